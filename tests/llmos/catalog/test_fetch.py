from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from llmos.catalog import fetch, hub
from llmos.types import UserError
from tests.helpers.hub_stub import COMMIT, HubStub

REPO = "org/Tiny-GGUF"
BODY = b"GGUF" + random.Random(1).randbytes(3_000_000)
SPLIT = [b"GGUF" + random.Random(n).randbytes(200_000) for n in (2, 3)]


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[HubStub]:
    files = {
        "Tiny-Q4_K_M.gguf": BODY,
        "Tiny-Q8_0.gguf": b"GGUF" + BODY,
        "big/Tiny-F16-00001-of-00002.gguf": SPLIT[0],
        "big/Tiny-F16-00002-of-00002.gguf": SPLIT[1],
        "mmproj-F16.gguf": b"GGUFmm",
        "README.md": b"# Tiny",
    }
    with HubStub({REPO: files, "org/Empty": {"README.md": b"x"}}) as made:
        os.environ["HF_ENDPOINT"] = made.url
        os.environ["HF_HOME"] = str(tmp_path / "hf")
        os.environ.pop("HF_HUB_OFFLINE", None)
        yield made


def client() -> httpx.Client:
    return httpx.Client(follow_redirects=True, timeout=httpx.Timeout(2.0, read=0.6))


def pull(model: hub.HubModel, **options: object) -> Path:
    with client() as own:
        return fetch.pull(model, client=own, **options)  # type: ignore[arg-type]


def test_a_pull_lands_in_the_hubs_own_layout(stub: HubStub) -> None:
    shown: list[fetch.Progress] = []
    model = hub.look_up(REPO)
    path = pull(model, progress=shown.append)
    assert path.read_bytes() == BODY
    assert path == hub.cache_folder() / "models--org--Tiny-GGUF" / "snapshots" / COMMIT / "Tiny-Q4_K_M.gguf"
    assert path.is_symlink()
    from huggingface_hub import try_to_load_from_cache

    assert try_to_load_from_cache(REPO, "Tiny-Q4_K_M.gguf", cache_dir=hub.cache_folder()) == str(path)
    done = [one.done for one in shown]
    assert done == sorted(done) and done[-1] == len(BODY)
    assert shown[-1].checking


def test_what_is_there_is_not_fetched_again(stub: HubStub) -> None:
    model = hub.look_up(REPO)
    pull(model)
    before = len(stub.requests)
    pull(model)
    assert len(stub.requests) == before


def test_a_pause_keeps_the_partial_and_the_next_pull_resumes(stub: HubStub) -> None:
    model = hub.look_up(REPO)
    with pytest.raises(fetch.Paused):
        pull(model, stopped=lambda: True)
    partial = next(hub.cache_folder().rglob("*.llmos-partial")).stat().st_size
    assert 0 < partial < len(BODY)
    assert pull(model).read_bytes() == BODY
    assert stub.requests[-1][1] == f"bytes={partial}-"


def test_a_server_without_ranges_begins_again(stub: HubStub) -> None:
    model = hub.look_up(REPO)
    with pytest.raises(fetch.Paused):
        pull(model, stopped=lambda: True)
    stub.ranges = False
    assert pull(model).read_bytes() == BODY


def test_split_files_come_as_one_model(stub: HubStub) -> None:
    model = hub.look_up(f"{REPO}:F16")
    assert [file.name for file in model.files] == [f"big/Tiny-F16-0000{n}-of-00002.gguf" for n in (1, 2)]
    first = pull(model)
    assert first.name.endswith("00001-of-00002.gguf")
    assert (first.parent / "Tiny-F16-00002-of-00002.gguf").read_bytes() == SPLIT[1]


def no_partial_model() -> bool:
    return not list(hub.cache_folder().rglob("snapshots/*/*"))


@pytest.mark.parametrize(
    ("status", "words"), [(403, "HF_TOKEN"), (404, "has no"), (429, "slow down"), (500, "fault")]
)
def test_failures_of_the_hub_are_one_sentence(
    stub: HubStub, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    monkeypatch.setattr(fetch._Download, "_wait", lambda self, seconds: None)
    model = hub.look_up(REPO)

    def fault(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    stub.fault = fault
    with pytest.raises(UserError, match=words) as error:
        pull(model)
    assert "\n" not in str(error.value)
    assert no_partial_model()


def test_a_wrong_checksum_leaves_nothing(stub: HubStub) -> None:
    stub.wrong_sha = True
    with pytest.raises(UserError, match="wrong checksum"):
        pull(hub.look_up(REPO))
    assert no_partial_model()
    assert not list(hub.cache_folder().rglob("*.llmos-partial"))


def test_corrupted_bytes_are_found(stub: HubStub) -> None:
    def fault(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        stub._send(handler, body[:1000] + bytes(1000) + body[2000:])
        return True

    stub.fault = fault
    with pytest.raises(UserError, match="wrong checksum"):
        pull(hub.look_up(REPO))


def test_truncated_answers_are_resumed(stub: HubStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch._Download, "_wait", lambda self, seconds: None)
    cut = 500_000

    def fault(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        handler.wfile.write(body[start : start + cut])
        handler.close_connection = True
        return True

    stub.fault = fault
    model = hub.look_up(REPO)
    path = pull(model)
    assert path.read_bytes() == BODY


def test_endless_answers_are_cut_and_a_page_is_no_model(stub: HubStub) -> None:
    model = hub.look_up(REPO)

    def endless(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(bytes(1 << 16))
        handler.close_connection = True
        return True

    stub.fault = endless
    with pytest.raises(UserError, match="more of"):
        pull(model)

    def page(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.send_header("Content-Length", "5")
        handler.end_headers()
        handler.wfile.write(b"login")
        return True

    stub.fault = page
    with pytest.raises(UserError, match="web page"):
        pull(model)
    assert no_partial_model()


def test_a_silent_server_is_given_up(stub: HubStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_TRIES", 1)
    model = hub.look_up(REPO)

    def silent(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        time.sleep(2)
        handler.close_connection = True
        return True

    stub.fault = silent
    with pytest.raises(UserError, match="cannot be reached"):
        pull(model)


def test_a_full_disk_is_told_before_the_pull(stub: HubStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "free_disk", lambda folder: 1000)
    model = hub.look_up(REPO)
    before = len(stub.requests)
    with pytest.raises(UserError, match="free"):
        pull(model)
    assert len(stub.requests) == before


def test_offline_refuses_at_once(stub: HubStub) -> None:
    model = hub.look_up(REPO)
    os.environ["HF_HUB_OFFLINE"] = "1"
    before = len(stub.requests)
    for ask in (lambda: pull(model), lambda: hub.look_up(REPO), lambda: hub.search("x")):
        with pytest.raises(UserError, match="switched off"):
            ask()
    assert len(stub.requests) == before


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("org/None", "has no org/None"),
        ("org/Empty", "no GGUF file"),
        (f"{REPO}:Q2_K", "it has F16, Q4_K_M, Q8_0"),
        ("nonsense", "is no model"),
    ],
)
def test_what_cannot_be_found_is_told(stub: HubStub, reference: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        hub.look_up(reference)


def test_search_names_repositories(stub: HubStub) -> None:
    assert [hit.repository for hit in hub.search("tiny")] == [REPO]


PULL = """
import sys
from llmos.catalog import fetch, hub
fetch.pull(hub.look_up(sys.argv[1]))
"""


def kill_during_pulls(stub: HubStub, kills: int) -> None:
    """Kill a pulling process at random moments; every later one goes on from what is there."""
    stub.pace = 0.002
    random_moment = random.Random(4)
    sizes = [0]
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", PULL, REPO], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        seen = len(stub.requests)
        until = time.monotonic() + 20
        while len(stub.requests) < seen + 2 and time.monotonic() < until and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random_moment.uniform(0.0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.wait()
        partials = list(hub.cache_folder().rglob("*.llmos-partial"))
        sizes.append(partials[0].stat().st_size if partials else sizes[-1])
    assert sizes == sorted(sizes)
    stub.pace = 0.0
    assert pull(hub.look_up(REPO)).read_bytes() == stub.repositories[REPO]["Tiny-Q4_K_M.gguf"]


def test_killed_pulls_resume_and_verify(stub: HubStub) -> None:
    kill_during_pulls(stub, 3)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_kills_during_a_gigabyte(stub: HubStub) -> None:
    stub.repositories[REPO]["Tiny-Q4_K_M.gguf"] = b"GGUF" + random.Random(9).randbytes(1 << 20) * 1000
    stub.block = 1 << 22
    kill_during_pulls(stub, 100)
