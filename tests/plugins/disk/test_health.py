"""Damage to the vector index is found, set aside and mended without embedding anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from llmos_disk.chroma_index import ChromaIndex, IndexDamaged
from llmos_disk.service import Disk

from llmos.types import UserError

from .conftest import WordEmbedder


def fill(folder: Path, count: int = 1200) -> None:
    """Enough text that Chroma writes its graph to disk (it does so from 1,000 vectors on)."""
    folder.mkdir(exist_ok=True)
    for number in range(count // 100):
        text = "".join(f"# Part {number}-{part}\n\nword{number} thing{part} here\n\n" for part in range(100))
        (folder / f"{number}.md").write_text(text)


@pytest.fixture
def filled(make_disk: Callable[..., Disk], tmp_path: Path) -> Path:
    """An index of 1,200 chunks, closed; returns its folder."""
    fill(tmp_path / "many")
    disk = make_disk()
    disk.add([str(tmp_path / "many")])
    assert disk.index().chunks == 1200
    disk.close()
    return disk.folder


def header(folder: Path) -> Path:
    return next((folder / "chroma").rglob("header.bin"))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "graph deleted": lambda folder: shutil.rmtree(header(folder).parent),
    "header cut": lambda folder: header(folder).write_bytes(header(folder).read_bytes()[:20]),
    "folder deleted": lambda folder: shutil.rmtree(folder / "chroma"),
    "database overwritten": lambda folder: (folder / "chroma" / "chroma.sqlite3").write_bytes(b"noise" * 1000),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_mended_from_the_database(
    damage: str, filled: Path, make_disk: Callable[..., Disk], embedder: WordEmbedder
) -> None:
    DAMAGE[damage](filled)
    embedder.embedded.clear()
    disk = make_disk()
    report = disk.index()
    assert report.unchanged == 12 and not embedder.embedded  # nothing was embedded again
    active = disk.keeper.active()
    assert active is not None and disk.chroma.count(active[1]) == 1200
    found = disk.search("word7 thing33")
    assert not found.exact and found.hits[0].passage.relative == "7.md"
    assert any("damaged" in notice for notice in disk.notices) or damage == "folder deleted"  # type: ignore[attr-defined]
    if damage != "folder deleted":
        assert list(filled.glob("chroma.damaged-*"))


def test_a_reader_searches_the_database_until_the_index_is_mended(
    filled: Path, make_disk: Callable[..., Disk]
) -> None:
    shutil.rmtree(header(filled).parent)
    disk = make_disk()
    found = disk.search("word7 thing33")
    assert found.exact and found.dense and found.hits[0].passage.relative == "7.md"
    assert any("disk rebuild" in notice for notice in disk.notices)  # type: ignore[attr-defined]
    assert disk.rebuild() == 1200
    assert not disk.search("word7 thing33").exact


def test_another_process_writes_and_this_one_sees_it(
    make_disk: Callable[..., Disk], docs: Path, embedder: WordEmbedder
) -> None:
    """Two disks on one folder stand for two processes: each has a mark of its own."""
    reader, writer = make_disk(), make_disk()
    writer.add([str(docs)])
    writer.index()
    assert not reader.search("tomatoes").exact
    (docs / "later.md").write_text("# Later\n\nzeppelins everywhere\n")
    writer.index()
    found = reader.search("zeppelins everywhere")
    assert found.hits[0].passage.relative == "later.md" and found.hits[0].dense_rank == 1 and not found.exact


def test_probe_knows_a_healthy_index_from_a_wrong_one(tmp_path: Path) -> None:
    index = ChromaIndex(tmp_path / "chroma")
    vectors = np.eye(8, dtype=np.float16)
    pairs = [(f"a:{n}", vectors[n].tobytes()) for n in range(8)]
    index.upsert("e", pairs)
    index.probe("e", 8, pairs[:3])
    with pytest.raises(IndexDamaged, match="8 vectors where 9 should be"):
        index.probe("e", 9, pairs)
    index.delete("e", ["a:1"])
    with pytest.raises(IndexDamaged, match="is not found by itself"):
        index.probe("e", 7, pairs[1:2])
    assert sorted(index.keys("e")) == sorted(f"a:{n}" for n in range(8) if n != 1)
    index.close()
    assert not index.changed_behind_us()
    index.upsert("e", pairs)
    index.reopen()
    assert index.changed_behind_us()


def test_a_server_that_is_not_there_is_one_sentence(make_disk: Callable[..., Disk], docs: Path) -> None:
    disk = make_disk(chroma_url="http://127.0.0.1:9")
    disk.add([str(docs)])
    with pytest.raises(UserError, match=r"Chroma server http://127.0.0.1:9 does not answer .*chroma run"):
        disk.index()
    with pytest.raises(UserError, match="not of the form"):
        ChromaIndex(Path("x"), url="ftp://host").count("e")


def test_the_token_is_sent(chroma_server: str, tmp_path: Path) -> None:
    """Through a proxy that lets nobody in without it, as teams would set it up."""
    import http.server
    import threading
    import urllib.request

    seen: list[str] = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            if seen[-1] != "Bearer sesame":
                self.send_response(401)
                self.end_headers()
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = urllib.request.Request(chroma_server + self.path, body or None, method=self.command)
            request.add_header("Content-Type", "application/json")
            try:
                with urllib.request.urlopen(request) as answer:
                    status, data = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                status, data = error.code, error.read()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    index = ChromaIndex(tmp_path / "x", url=address, token="sesame", namespace="token-test")
    index.upsert("e", [("a:0", np.ones(4, dtype=np.float16).tobytes())])
    assert index.count("e") == 1 and set(seen) == {"Bearer sesame"}
    with pytest.raises(UserError, match="does not answer"):
        ChromaIndex(tmp_path / "x", url=address, token="wrong", namespace="token-test").count("e")
    server.shutdown()
    server.server_close()
