"""The remote kernel against servers that are not ours, and ours; and when the line breaks."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.kernel.locate import with_role
from llmos.kernel.protocol import (
    Chunk,
    Finished,
    GenerateRequest,
    KernelDied,
    KernelError,
    LoadRequest,
    NotAvailable,
)
from llmos.kernel.remote import RemoteKernel, estimate
from llmos.types import Message, SamplingSettings, ToolCall, ToolSpec

ROOT = Path(__file__).parents[3]


def free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundled = with_role("chat")
    return bundled.path if bundled else write_random_gguf(tmp_path_factory.mktemp("m") / "tiny.gguf", TINY)


def serving(arguments: list[str], port: int, home: Path) -> Iterator[str]:
    environment = {**os.environ, "LLMOS_HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 90
    while time.monotonic() < until:
        try:
            httpx.get(f"{url}/v1/models", timeout=2)
            break
        except httpx.HTTPError:
            assert process.poll() is None, "the server ended"
            time.sleep(0.1)
    yield url
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


@pytest.fixture(scope="module", params=["llama_cpp.server", "llmos serve"])
def server(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    port, home = free_port(), tmp_path_factory.mktemp("home")
    if request.param == "llama_cpp.server":
        pytest.importorskip("sse_starlette")
        pytest.importorskip("starlette_context")
        arguments = ["-m", "llama_cpp.server", "--model", str(model), "--port", str(port), "--n_ctx", "1024"]
    else:
        arguments = ["-m", "llmos.cli.main", "serve", "--model", str(model), "--port", str(port), "--no-token"]
    yield from serving(arguments, port, home)


@pytest.fixture
async def kernel(server: str) -> AsyncIterator[RemoteKernel]:
    made = RemoteKernel(server)
    await made.load(LoadRequest(Path()))
    yield made
    await made.close()


async def test_a_chat_is_answered_and_measured(kernel: RemoteKernel) -> None:
    assert kernel.model is not None and kernel.model.name
    rendered = await kernel.render_chat([Message("user", "hello")])
    request = GenerateRequest(rendered.tokens, max_tokens=8, sampling=SamplingSettings(temperature=0.0))
    events = [event async for event in kernel.generate(request)]
    assert isinstance(events[-1], Finished)
    assert events[-1].stop_reason in ("stop", "length")
    assert events[-1].seconds > 0
    assert all(isinstance(event.text, str) for event in events if isinstance(event, Chunk))


async def test_a_text_is_continued(kernel: RemoteKernel) -> None:
    tokens = await kernel.tokenize("Once upon a time")
    assert len(tokens) == estimate("Once upon a time")
    events = [event async for event in kernel.generate(GenerateRequest(tokens, max_tokens=4))]
    assert isinstance(events[-1], Finished)


async def test_stopping_closes_the_request(kernel: RemoteKernel) -> None:
    rendered = await kernel.render_chat([Message("user", "hello")])
    request = GenerateRequest(rendered.tokens, max_tokens=400, sampling=SamplingSettings(temperature=1.5))
    stream = kernel.generate(request)
    async for event in stream:
        if isinstance(event, Chunk):
            break
    await stream.aclose()  # type: ignore[attr-defined]
    again = [event async for event in kernel.generate(GenerateRequest(rendered.tokens, max_tokens=2))]
    assert isinstance(again[-1], Finished)


async def test_what_needs_logits_says_so_in_a_sentence(kernel: RemoteKernel) -> None:
    for work in (
        kernel.next_tokens([1]), kernel.score([1]), kernel.inspect([1], "layers"), kernel.pieces([1]),
        kernel.set_lora(Path("x")), kernel.embed(["x"], hidden=True),
    ):  # fmt: skip
        with pytest.raises(NotAvailable, match="local model"):
            await work
    with pytest.raises(NotAvailable):
        async for _ in kernel.generate(GenerateRequest([1], grammar='root ::= "a"')):
            pass
    await kernel.set_lora(None)
    assert await kernel.save_sequence("a", Path("x")) == 0


def mock(handler: httpx.MockTransport) -> RemoteKernel:
    return RemoteKernel("http://x.test", "t", httpx.AsyncClient(transport=handler))


def sse(*lines: str) -> bytes:
    return "".join(f"data: {line}\n\n" for line in lines).encode()


MODELS = {"data": [{"id": "m", "max_model_len": 4096}]}


async def test_thoughts_and_calls_come_back_as_parts() -> None:
    stream = sse(
        '{"choices": [{"index": 0, "delta": {"reasoning_content": "I "}}]}',
        '{"choices": [{"index": 0, "delta": {"reasoning": "think."}}]}',  # as newer vLLM calls it
        '{"choices": [{"index": 0, "delta": {"content": "So."}}]}',
        '{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{\\"a\\""}}]}}]}',
        '{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}, "finish_reason": "tool_calls"}]}',
        '{"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}',
        "[DONE]",
    )
    sent: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json=MODELS)
        sent.append(request.content)
        return httpx.Response(200, content=stream, headers={"content-type": "text/event-stream"})

    kernel = mock(httpx.MockTransport(handle))
    info = await kernel.load(LoadRequest(Path()))
    assert info.context == 4096
    tool = ToolSpec("f", "Does.", {"type": "object", "properties": {"a": {"type": "integer"}}})
    call = ToolCall("f", {"a": 2})
    messages = [
        Message("user", "x"), Message("assistant", "", tool_calls=(call,)), Message("tool", "r", tool_call_id=call.id)
    ]  # fmt: skip
    rendered = await kernel.render_chat(messages, [tool])
    events = [event async for event in kernel.generate(GenerateRequest(rendered.tokens))]
    parsed = kernel.parse_answer("".join(event.text for event in events if isinstance(event, Chunk)))
    assert (parsed.thinking, parsed.content) == ("I think.", "So.")
    assert [(one.name, dict(one.arguments)) for one in parsed.tool_calls] == [("f", {"a": 1})]
    assert isinstance(events[-1], Finished) and events[-1].completion_tokens == 7
    assert b'"tool_call_id"' in sent[0] and b'"tools"' in sent[0]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"", "LLMOS_KERNEL_TOKEN"),
        (400, b'{"error": {"message": "too\\nlong."}}', "too long"),
        (500, b"oops", "oops"),
    ],
)
async def test_refusals_are_one_sentence(status: int, body: bytes, words: str) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return (
            httpx.Response(200, json=MODELS)
            if request.method == "GET"
            else httpx.Response(status, content=body)
        )

    kernel = mock(httpx.MockTransport(handle))
    await kernel.load(LoadRequest(Path()))
    with pytest.raises(KernelError, match=words) as error:
        rendered = await kernel.render_chat([Message("user", "x")])
        async for _ in kernel.generate(GenerateRequest(rendered.tokens)):
            pass
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": []}', b'{"data": 3}'])
async def test_what_is_no_model_server_is_told(body: bytes) -> None:
    kernel = mock(httpx.MockTransport(lambda request: httpx.Response(200, content=body)))
    with pytest.raises(KernelError, match="server"):
        await kernel.load(LoadRequest(Path()))


async def test_a_line_that_breaks_keeps_what_came_and_says_so() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            body = b'{"data": [{"id": "m"}]}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            data = sse('{"choices": [{"index": 0, "delta": {"content": "Half an"}}]}')
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    kernel = RemoteKernel(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await kernel.load(LoadRequest(Path()))
    rendered = await kernel.render_chat([Message("user", "x")])
    came = ""
    with pytest.raises(KernelDied, match="broke"):
        async for event in kernel.generate(GenerateRequest(rendered.tokens)):
            came += event.text if isinstance(event, Chunk) else ""
    assert came == "Half an"
    await kernel.close()
    server.close()
