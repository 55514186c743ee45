"""Recall in a chat of many pages: what it finds beside what an exact search finds, and what it looks at."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmos_ram import page_words, vectors
from llmos_ram.page_vectors import PageVectors
from llmos_ram.store import RamStore
from llmos_ram.vectors import ChatVectors
from llmos_ram.words import ANSWERS, TELLS, content_words

from llmos.types import USER_LABELS

from .conftest import FakeHost

WIDTH = 384


def unit(numbers: np.ndarray) -> np.ndarray:
    return np.asarray(numbers / np.linalg.norm(numbers, axis=-1, keepdims=True), dtype=np.float32)


def held(count: int, tells: list[int], matrix: np.ndarray, tmp_path: Path) -> ChatVectors:
    made = ChatVectors(RamStore(tmp_path / "empty.db"), "c", "e")
    for start in range(0, count, 700):  # as they come: in several parts
        part = slice(start, min(count, start + 700))
        made.add(list(range(count))[part], matrix[part], tells[part])
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vectors")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 300), st.integers(1, 130), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_among_few_pages_the_nearest_are_exact(
    folder: Path, count: int, width: int, limit: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    matrix = unit(rng.standard_normal((count, width)) + 1e-6)
    tells = [TELLS if rng.random() < 0.6 else ANSWERS for _ in range(count)]
    (folder / "empty.db").unlink(missing_ok=True)
    chat = held(count, tells, matrix, folder)
    query = unit(rng.standard_normal(width))
    cosines = matrix.astype(np.float16).astype(np.float32) @ query
    best = sorted((row for row in range(count) if tells[row] == TELLS), key=lambda row: -cosines[row])[:limit]
    found = chat.nearest(query, limit, TELLS)
    assert len(found) == len(best)
    assert np.allclose(cosines[found], cosines[best], atol=1e-5)


def test_among_many_pages_the_near_ones_are_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    count = 8_000
    matrix = rng.standard_normal((count, WIDTH))
    queries = unit(rng.standard_normal((20, WIDTH)))
    for number, query in enumerate(queries):  # 12 pages near to each query, as far from it as paraphrases are
        for place in range(12):
            row = 100 + number * 390 + place * 17
            share = 0.45 + 0.04 * place
            matrix[row] = share * query + np.sqrt(1 - share**2) * unit(rng.standard_normal(WIDTH))
    matrix = unit(matrix)
    chat = held(count, [TELLS] * count, matrix, tmp_path)
    for query in queries:
        exact = np.argsort(-(matrix @ query))[:12].tolist()
        assert set(chat.nearest(query, 12, TELLS)) == set(exact)


def test_of_pages_that_are_alike_the_first_to_tell_stay_in_order(tmp_path: Path) -> None:
    one = unit(np.ones(WIDTH))
    count = vectors.CANDIDATES + 300
    chat = held(count, [TELLS] * count, np.repeat(one[None], count, axis=0), tmp_path)
    found = chat.nearest(one, 10, TELLS)
    assert found == list(range(300, 310))  # of those that the newest of equals were chosen from


def test_vectors_that_are_read_again_are_those_that_came(tmp_path: Path) -> None:
    store = RamStore(tmp_path / "ram.db")
    rows = store.add_pages(
        [(f"m{n}", "c", "user", "message", f"Fact {n}.", USER_LABELS, float(n)) for n in range(50)]
    )
    matrix = unit(np.random.default_rng(1).standard_normal((50, 70)))
    grown = ChatVectors(store, "c", "e")
    for at in range(0, 50, 7):
        grown.add(rows[at : at + 7], matrix[at : at + 7], [TELLS] * len(rows[at : at + 7]))
    store.set_vectors(rows, matrix, "e")
    again = ChatVectors(store, "c", "e")
    assert len(again) == len(grown) == 50
    for query in matrix[:5]:
        assert again.nearest(query, 9, TELLS) == grown.nearest(query, 9, TELLS)
    store.close()


NAMES = ["Orla", "Bram", "Selma", "Tarek", "Imre", "Nadia", "Jonas", "Freya", "Luca", "Mirela", "Pavel", "Runa"]
THINGS = ["lamp", "carpet", "bicycle", "piano", "kettle", "tent", "ladder", "mirror", "clock", "drill"]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RamStore]:
    """12,000 pages: facts told again and again, questions for them, talk of the same few words."""
    rng = random.Random("a long chat")
    store = RamStore(tmp_path_factory.mktemp("long") / "ram.db")
    pages = []
    for number in range(6_000):
        name, thing = rng.choice(NAMES), rng.choice(THINGS)
        if number % 9 == 0:
            text = f"The meeting with {name} about the {thing} is on day {number}."
        elif number % 9 == 1:
            text = f"When is the meeting with {name} about the {thing}?"
        else:
            text = f"My friends talked about the {thing} all evening."
        pages.append((f"u{number}", "c", "user", "message", text, USER_LABELS, float(number)))
        pages.append(
            (f"a{number}", "c", "assistant", "message", "The meeting is on", USER_LABELS, float(number))
        )
    store.add_pages(pages)
    yield store
    store.close()


def test_bounded_search_ranks_as_the_exact_one_does(long: RamStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a query has a rare word, the best pages are those of an unbounded BM25 search."""
    for name in NAMES[:6]:
        for thing in THINGS[:3]:
            words = content_words(f"When is the meeting with {name} about the {thing}?")
            bounded = long.search_kinds(words, "c", 12, (TELLS, ANSWERS))
            with monkeypatch.context() as exact:
                exact.setattr(page_words, "FREQUENT", 10**9)
                whole = long.search_kinds(words, "c", 12, (TELLS, ANSWERS))
            texts = {row: page.text for row, page in long.pages([*bounded[0], *whole[0]]).items()}
            both = [row for row in whole[0] if name in texts[row] and thing in texts[row]]
            assert both and bounded[0][: len(both)] == both  # those that say both, in the same order


def test_a_search_looks_at_a_bounded_number_of_pages(long: RamStore) -> None:
    most = page_words.LOOKED_AT + page_words.FREQUENT
    for text in ("the meeting with Orla", "friends talked all evening", "meeting", " ".join(NAMES + THINGS)):
        assert 0 < len(list(long._found(content_words(text), "c"))) <= max(most, page_words.NEWEST)


def test_another_chats_pages_are_not_found(long: RamStore) -> None:
    assert long.search_kinds(["orla"], "another", 9, (TELLS, ANSWERS)) == [[], []]
    assert long.search_kinds(["meeting"], "another", 9, (TELLS, ANSWERS)) == [[], []]
    assert long.search_words(["orla"], "", 3) == long.search_words(["orla"], "c", 3)


def test_what_may_not_come_takes_no_place(long: RamStore) -> None:
    first = long.search_kinds(["orla"], "c", 5, (TELLS,))[0]
    rest = long.search_kinds(["orla"], "c", 5, (TELLS,), without=first)[0]
    assert len(rest) == 5 and not set(rest) & set(first)
    assert long.search_kinds(["orla"], "c", 5, (TELLS,), within=set(rest[2:]))[0] == rest[2:]


def test_pages_wait_while_a_turn_is_prepared(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    store = RamStore(tmp_path / "ram.db")
    store.add_pages([(f"m{n}", "c", "user", "message", f"Fact {n}.", USER_LABELS, 1.0) for n in range(20)])
    made = PageVectors(host, store)  # type: ignore[arg-type]
    asked: list[int] = []

    def go_on() -> bool:
        asked.append(len(asked))
        return len(asked) < 6

    assert made.embed_new(go_on=go_on) == 5  # what was made by then is kept
    assert len(store.without_vectors("words")) == 15
    assert made.embed_new() == 15
    made.close()
    store.close()


def test_a_query_that_was_asked_ahead_is_embedded_once(tmp_path: Path) -> None:
    class Counting(FakeHost):
        texts = 0

        def embed(self, texts):  # type: ignore[no-untyped-def]
            self.texts += len(texts)
            return super().embed(texts)

    host = Counting(tmp_path)
    store = RamStore(tmp_path / "ram.db")
    made = PageVectors(host, store)  # type: ignore[arg-type]
    made.ask_ahead("my locker code", "words")
    first = made.query("my locker code", "words")
    made.ask_ahead("my locker code", "words")
    assert np.array_equal(first, made.query("my locker code", "words"))
    assert host.texts == 1
    made.ask_ahead("something else", "words")
    assert np.array_equal(
        made.query("my bicycle", "words"), np.asarray(host.embed(["my bicycle"])[0], np.float32)
    )
    made.close()
    store.close()


def test_what_tells_something_gets_its_vector_first(tmp_path: Path) -> None:
    store = RamStore(tmp_path / "ram.db")
    rows = store.add_pages(
        [
            ("a", "c", "assistant", "message", "The hill is steep.", USER_LABELS, 1.0),
            ("b", "c", "user", "message", "My code is 12.", USER_LABELS, 2.0),
            ("c", "c", "user", "message", "hello", USER_LABELS, 3.0),
            ("d", "c", "assistant", "message", "The sea is calm.", USER_LABELS, 4.0),
            ("e", "c", "user", "message", "My bike is red.", USER_LABELS, 5.0),
        ]
    )
    assert store.without_vectors("e") == [rows[4], rows[1], rows[3], rows[0]]
    assert store.misses_vectors("e", 4) and not store.misses_vectors("e", 5)
    store.set_vectors(rows[1:2], np.ones((1, 8)), "e")
    store.set_vectors(rows[3:4], np.ones((1, 8)), "another")
    assert store.without_vectors("e") == [rows[4], rows[3], rows[0]]
    store.close()
