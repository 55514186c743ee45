"""The official client against the server."""

from __future__ import annotations

import json
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from pydantic import TypeAdapter

from llmos.serve.access import Access, hostname, is_loopback, with_hosts
from llmos.serve.schema import ChatRequest
from llmos.serve.slots import shared_prefix

from .conftest import TOKEN, Running

HELLO: list[Any] = [{"role": "user", "content": "hello"}]


def test_a_chat_is_answered_whole_and_streamed_alike(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="x", messages=HELLO, temperature=0, max_tokens=12, seed=1)
    stream = client.chat.completions.create(
        model="x", messages=HELLO, temperature=0, max_tokens=12, seed=1, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.strip() == (whole.choices[0].message.content or "").strip()
    assert whole.usage is not None and chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens <= 12
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason


def test_prefixes_are_reused_between_requests(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "tell me about tokens " * 10}]
    for _ in range(2):
        answer = client.chat.completions.create(model="x", messages=messages, max_tokens=2)
    assert answer.usage is not None and answer.usage.prompt_tokens_details is not None
    assert (answer.usage.prompt_tokens_details.cached_tokens or 0) > 0.8 * answer.usage.prompt_tokens


def test_several_choices_and_logprobs(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="x", messages=HELLO, n=3, max_tokens=4, logprobs=True, top_logprobs=3, temperature=1.5
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    content = answer.choices[0].logprobs
    assert content is not None and content.content
    for token in content.content:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3


def test_json_follows_its_schema(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer", "enum": [1, 2]}},
        "required": ["ok", "n"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model="x", messages=HELLO, max_tokens=80, temperature=1.2,
        response_format={"type": "json_schema", "json_schema": {"name": "t", "schema": schema}},
    )  # fmt: skip
    value = json.loads(answer.choices[0].message.content or "")
    assert set(value) == {"ok", "n"} and isinstance(value["ok"], bool) and value["n"] in (1, 2)


TOOL: Any = {
    "type": "function",
    "function": {
        "name": "pick",
        "description": "Pick a side.",
        "parameters": {
            "type": "object",
            "properties": {"side": {"type": "string", "enum": ["left", "right"]}},
            "required": ["side"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize("stream", [False, True])
def test_a_required_tool_is_called_with_valid_arguments(client: openai.OpenAI, stream: bool) -> None:
    options: Any = {
        "model": "x",
        "messages": HELLO,
        "tools": [TOOL],
        "tool_choice": "required",
        "max_tokens": 200,
    }
    if stream:
        calls = [
            call
            for chunk in client.chat.completions.create(stream=True, **options)
            for call in chunk.choices[0].delta.tool_calls or []
        ]
        name, arguments = calls[0].function.name, calls[0].function.arguments
    else:
        answer = client.chat.completions.create(**options)
        assert answer.choices[0].finish_reason == "tool_calls"
        call = answer.choices[0].message.tool_calls[0]
        name, arguments = call.function.name, call.function.arguments
    assert name == "pick" and json.loads(arguments)["side"] in ("left", "right")


def test_models_text_and_embeddings(client: openai.OpenAI, running: Running) -> None:
    assert [model.id for model in client.models.list().data] == [running.model]
    assert client.models.retrieve(running.model).id == running.model
    text = client.completions.create(model="x", prompt="Once upon a", max_tokens=4, temperature=0)
    assert text.usage is not None and text.usage.completion_tokens <= 4
    vectors = client.embeddings.create(model="x", input=["a", "bcd"])
    assert [row.embedding for row in vectors.data] == [[1.0, 1.0], [3.0, 1.0]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "x " * 5000}]}, "context is"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "image_url",
        ),
        ({"temperature": 9}, "temperature"),
        ({"tool_choice": "required"}, "no tools"),
        ({"logit_bias": {"x": 1}}, "token id"),
        ({"n": 99}, "n"),
    ],
)
def test_bad_requests_get_the_error_that_clients_expect(
    client: openai.OpenAI, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as error:
        client.chat.completions.create(**{"model": "x", "messages": HELLO, **change})
    assert error.value.body is not None


def test_a_token_is_needed_and_other_sites_are_refused(running: Running) -> None:
    url = f"{running.url}/v1/models"
    good = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert httpx.get(url, headers=good).status_code == 200
    assert httpx.get(url, headers={**good, "Host": "evil.test"}).status_code == 403
    assert httpx.get(url, headers={**good, "Origin": "https://evil.test"}).status_code == 403
    assert httpx.get(url, headers={**good, "Origin": running.url}).status_code == 200
    assert (
        httpx.get(f"{running.url}/nothing", headers=good).json()["error"]["message"].startswith("There is no")
    )
    assert httpx.get(f"{running.url}/v1/chat/completions", headers=good).status_code == 405


def test_a_client_that_goes_away_frees_its_slot(running: Running) -> None:
    body = json.dumps({"messages": HELLO, "max_tokens": 1500, "temperature": 1.5}).encode()
    for stream in (b"false", b"true"):
        sent = body[:-1] + b', "stream": ' + stream + b"}"
        host = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host[0], int(host[1]))) as line:
            line.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
                + TOKEN.encode()
                + b"\r\nContent-Length: "
                + str(len(sent)).encode()
                + b"\r\n\r\n"
                + sent
            )
            until = time.monotonic() + 20
            while running.server.slots.free == 4 and time.monotonic() < until:
                time.sleep(0.005)
        until = time.monotonic() + 20
        while running.server.slots.free < 4 and time.monotonic() < until:
            time.sleep(0.005)
        assert running.server.slots.free == 4


def test_more_clients_than_slots_are_all_answered(client: openai.OpenAI) -> None:
    def ask(number: int) -> int:
        answer = client.chat.completions.create(
            model="x", messages=[{"role": "user", "content": f"number {number}"}], max_tokens=5, temperature=1
        )
        return answer.usage.completion_tokens if answer.usage else 0

    with ThreadPoolExecutor(10) as pool:
        assert all(count >= 1 for count in pool.map(ask, range(12)))


def _mangled(random_: random.Random) -> bytes:
    """A request of the published schema with something wrong or odd in it."""
    names = list(TypeAdapter(ChatRequest).json_schema()["properties"])
    odd: list[Any] = [
        None,
        True,
        -1,
        0,
        1e308,
        "",
        "x",
        "\x00",
        [],
        {},
        [[]],
        {"a": {}},
        2**70,
        "9" * 50,
        [None],
        "\ud800",
    ]
    body: dict[str, Any] = {"messages": HELLO, "max_tokens": 1}
    for name in random_.sample(names, random_.randint(1, 4)):
        body[name] = random_.choice(odd)
    if random_.random() < 0.3:
        message = {"role": random_.choice(["user", "tool", "x", None]), "content": random_.choice(odd)}
        body["messages"] = [message] * random_.randint(1, 3)
    data = json.dumps(body).encode()
    return data[: random_.randint(0, len(data))] if random_.random() < 0.2 else data


def fuzz(running: Running, count: int) -> None:
    random_ = random.Random(3)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(headers=headers, timeout=60) as http:
        for _ in range(count):
            data = _mangled(random_)
            answer = http.post(f"{running.url}/v1/chat/completions", content=data)
            assert answer.status_code < 500, data
            if "text/event-stream" not in answer.headers["content-type"]:
                assert ("error" in answer.json()) is (answer.status_code != 200), data
        assert http.get(f"{running.url}/health").json()["free_slots"] == 4


def test_malformed_requests_never_crash_it(running: Running) -> None:
    fuzz(running, 120)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_thousand_malformed_requests(running: Running) -> None:
    fuzz(running, 1000)


def test_access_fails_closed() -> None:
    access = Access("t", with_hosts(["box.lan"]), frozenset({"https://app.test"}))
    good = "Bearer t"
    assert access.refusal("box.lan:80", "", good) is None
    assert access.refusal("box.lan", "https://app.test", good) is None
    for host, origin, token in [
        ("", "", good), ("evil", "", good), ("box.lan", "null", good), ("box.lan", "https://x.test", good),
        ("box.lan", "", ""), ("box.lan", "", "Bearer "), ("[", "", good),
    ]:  # fmt: skip
        assert access.refusal(host, origin, token) is not None
    assert hostname("[::1]:80") == "::1" and is_loopback("::1") and not is_loopback("0.0.0.0")
    assert shared_prefix([1, 2, 3], [1, 2, 4]) == 2
