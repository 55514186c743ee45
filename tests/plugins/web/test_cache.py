"""The cache: ages, limits, damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from llmos_web import cache as module
from llmos_web.cache import Cache, Document, Found
from llmos_web.engines import Hit


def document(url: str, fetched: float = 1000.0) -> Document:
    return Document(url, url, "Title", "2024-01-01", "text é", fetched)


def test_ages(tmp_path: Path) -> None:
    now = 1000.0
    cache = Cache(tmp_path / "c.db", lambda: now)
    cache.keep_document(document("https://a.example/"))
    cache.keep_search(Found("Moon  Far", "duckduckgo", (Hit("t", "https://a.example/", "s"),), 1000.0))
    now = 1500.0
    assert cache.document("https://a.example/", 600) == document("https://a.example/")
    assert cache.document("https://a.example/", 400) is None
    assert cache.document("https://a.example/") is not None
    found = cache.search("moon far")
    assert found is not None and found.hits[0].url == "https://a.example/"
    now = 1000.0 + 3 * 86_400
    cache.forget_older(2)
    assert cache.document("https://a.example/") is None and cache.search("moon far") is None
    cache.close()


def test_the_oldest_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DOCUMENTS", 3)
    cache = Cache(tmp_path / "c.db")
    for number in range(6):
        cache.keep_document(document(f"https://a.example/{number}", float(number)))
    kept = [number for number in range(6) if cache.document(f"https://a.example/{number}")]
    assert kept == [3, 4, 5]
    cache.close()


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    path.write_bytes(b"this is no database " * 100)
    cache = Cache(path)
    assert cache.document("https://a.example/") is None
    cache.keep_document(document("https://a.example/"))
    assert cache.document("https://a.example/") is not None
    assert (tmp_path / "c.damaged").exists()
    cache.close()


def test_a_damaged_row_is_as_good_as_none(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c.db")
    cache._write("INSERT INTO documents VALUES (?, ?, ?)", ("https://a.example/", 1.0, "{broken"))
    cache._write("INSERT INTO searches VALUES (?, ?, ?, ?)", ("moon", "x", 1.0, '[{"odd": 1}]'))
    assert cache.document("https://a.example/") is None and cache.search("moon") is None
    cache.close()


def test_many_threads(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    cache = Cache(tmp_path / "c.db")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: cache.keep_document(document(f"https://a.example/{n}", float(n))), range(60)))
    assert all(cache.document(f"https://a.example/{n}") for n in range(60))
    cache.close()
