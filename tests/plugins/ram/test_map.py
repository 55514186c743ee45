"""The memory map and ``ram show``: figures, trace, what moves; and what the map looks like."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from llmos_ram.commands import commands
from llmos_ram.figures import chat_figures, size
from llmos_ram.memory_map import MemoryMap
from llmos_ram.pager import Pager
from llmos_ram.summaries import work_through
from llmos_ram.trace import trace
from textual.pilot import Pilot

from llmos.plugins import CommandContext, CommandResult, KvState, Panel
from llmos.tui.app import LlmosApp
from llmos.tui.tabs import TABS
from llmos.types import SYSTEM_LABELS, USER_LABELS, Confidentiality, Integrity, Labels, Message, Page, UserError
from tests.helpers.face import LARGE, SMALL, wait_until
from tests.helpers.fake_session import FakeBackend

from .conftest import FakeHost

WEB = Labels(frozenset({"url:https://example.org"}), Integrity.UNTRUSTED, Confidentiality.PUBLIC)
MODEL = Labels(frozenset({"model", "user"}))
TAINTED = MODEL.join(WEB)
BEGAN = 1_790_000_000.0
FACTS = [
    "My locker code is 4821.", "The cat of my sister is called Mia.", "Our boat lies in the north harbour.",
    "The train to Ulm leaves at 7.12.", "My bicycle is green.", "The key hangs behind the clock.",
    "Aunt Vera plays the violin.", "The garden gate sticks in winter.",
]  # fmt: skip


def said(role: Any, text: str, number: int, **values: Any) -> Page:
    return Page(text, id=f"m{number}", message_id=f"m{number}", role=role, tokens=8 + number % 7, **values)


def filled(pager: Pager, host: FakeHost) -> list[Page]:
    """A chat of eight evicted facts with a summary, and a window with every kind of page."""
    for number, text in enumerate(FACTS):
        pager.index("c", [Message("user", text, id=f"m{number}", created_at=BEGAN + 60 * number)])
    swapped = [said("user", text, n, where="swapped") for n, text in enumerate(FACTS)]
    host.windows["c"] = swapped
    assert work_through(pager.summaries, "c", lambda: True) == 1
    recalled = Page(
        FACTS[0], id="r", message_id="m0", tokens=24, source="you said earlier, 2026-09-21 14:13",
        reason="recalled: its words and meaning match your message",
    )  # fmt: skip
    host.windows["c"] = [
        Page(
            "You are LLMOS.",
            "system",
            SYSTEM_LABELS,
            id="s",
            role="system",
            tokens=90,
            pinned=True,
            reason="it always stays",
        ),
        said("user", "I paint the fence on Sunday.", 20, pinned=True),
        said("assistant", "A fine plan for a dry day.", 21, labels=MODEL),
        said("tool", "Example page: fences need two coats.", 22, kind="tool_result", labels=WEB),
        said("assistant", "The page says two coats.", 23, labels=TAINTED),
        recalled,
        said("user", "What is my locker code?", 24),
        said("assistant", "Your locker code is 4821.", 25, labels=TAINTED),
        *swapped,
    ]
    pager.last_chat = "c"
    pager.store.add_turn("c", 1, 24, 8, 1, 0.01)
    pager.store.add_turn("c", 0, 0, 0, 1, 0.01)
    pager.store.add_turn_tokens("c", 300, 60)
    pager.store.add_turn_tokens("c", 400, 40)
    host.kv = KvState(212, 1_628_160, 2048, 15_728_640, 1_640_000, BEGAN + 3600)
    return host.windows["c"]


def show(pager: Pager, **arguments: Any) -> CommandResult:
    command = next(one for one in commands(lambda: pager) if one.name == "ram show")
    result = command.function(CommandContext(chat_id="c"), **arguments)
    assert isinstance(result, CommandResult)
    return result


def test_figures_are_those_of_the_turns_and_of_the_kernel(pager: Pager, host: FakeHost) -> None:
    pages = filled(pager, host)
    figures = chat_figures(pager, "c", pages)
    assert (figures.hit_ratio, figures.evaluated_a_turn, figures.evaluated_last) == (0.5, 50, 40)
    assert figures.cached_share == pytest.approx(1 - 100 / 700)
    data = show(pager).data["figures"]
    assert data["kv"] == {
        "tokens": 212, "bytes": 1_628_160, "capacity_tokens": 2048, "capacity_bytes": 15_728_640,
        "saved_bytes": 1_640_000, "saved_at": BEGAN + 3600,
    }  # fmt: skip
    assert (data["hit_ratio"], data["evaluated_a_turn"], data["evicted"]) == (0.5, 50, 8)
    text = show(pager).text
    for part in (
        "this chat 1.6 MB (212 tokens) of 15.7 MB",
        "hit ratio 50% (1 of 2",
        "50 tokens a turn, last 40",
    ):
        assert part in text


def test_a_chat_without_figures_says_so(pager: Pager, host: FakeHost) -> None:
    text = show(pager).text
    assert "nothing searched yet" in text and "no turn counted yet" in text and "0.0 kB" in text


def test_show_names_summaries_with_their_pages_and_says_why_a_page_came(pager: Pager, host: FakeHost) -> None:
    filled(pager, host)
    data = show(pager).data
    (summary,) = data["summaries"]
    assert summary["messages"] == [f"m{n}" for n in range(8)]
    assert (summary["integrity"], summary["how"]) == ("trusted", "key sentences")
    recalled = next(page for page in data["pages"] if page["id"] == "r")
    assert recalled["trace"] == [
        "Recalled: its words and meaning match your message.",
        "It was brought for the message “What is my locker code?”.",
        "They share the words code, locker.",
    ]


def test_the_trace_of_a_page_that_left_and_of_one_that_stays(pager: Pager, host: FakeHost) -> None:
    pages = filled(pager, host)
    assert "left the window" in trace(pages[-1], pages)[-1]
    assert "pinned" in trace(pages[1], pages)[-1]
    assert trace(pages[2], pages) == ["It was said here and has not left yet."]
    other = Page("Nothing alike", id="x", tokens=3, reason="memory")
    assert "meaning alone" in trace(other, [other, pages[6]])[-1]


def test_what_moves_between_two_looks_is_listed(pager: Pager, host: FakeHost) -> None:
    pages = filled(pager, host)
    view = MemoryMap(lambda: pager)

    def lately() -> str:
        return next(
            str(one.data["markdown"]) for one in view.elements() if one.title == "Evictions and recalls"
        )

    assert "None since" in lately()
    pages[3].where = "swapped"
    pages.insert(5, Page("The key hangs behind the clock.", id="new", tokens=9, reason="recalled: words"))
    moved = lately()
    assert "out, " in moved and "two coats" in moved and "in, 9 tokens: The key hangs" in moved
    assert lately() == moved


def test_a_page_is_opened_read_and_evicted(pager: Pager, host: FakeHost) -> None:
    filled(pager, host)
    view = MemoryMap(lambda: pager)

    def opened() -> str:
        return next(str(one.data["markdown"]) for one in view.elements() if one.title == "Opened page")

    view.elements()
    assert "Enter" in opened()
    assert view.act("select", "page:r") is None
    assert "    My locker code is 4821." in opened() and "They share the words" in opened()
    row = pager.store.summaries("c")[0].row
    view.act("select", f"summary:{row}")
    assert "Its pages" in opened() and f"    user: {FACTS[7]}" in opened()
    assert view.act("evict", "page:m21") == "The page left the window."
    assert host.evicted == [("c", "m21")]
    assert "cannot leave" in str(view.act("evict", "page:m3"))  # swapped already
    assert view.act("evict", "page:gone") == "That page is gone."
    assert "forgotten" in str(view.act("forget", f"summary:{row}"))
    assert view.act("forget", f"summary:{row}") == "That summary is gone."
    assert "Enter" in opened()


def test_a_page_cannot_be_evicted_while_an_answer_is_written(
    pager: Pager, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(pager, host)

    def busy(chat_id: str, page_id: str) -> bool:
        raise UserError("An answer is being written.")

    monkeypatch.setattr(host, "evict_page", busy)
    assert MemoryMap(lambda: pager).act("evict", "page:m21") == "An answer is being written."


def test_summarise_by_command(pager: Pager, host: FakeHost) -> None:
    command = next(one for one in commands(lambda: pager) if one.name == "ram summarise")
    host.chats["c"] = [Message("user", text, id=f"m{n}") for n, text in enumerate(FACTS)]
    host.windows["c"] = [said("user", text, n, where="swapped") for n, text in enumerate(FACTS)]
    assert command.function(CommandContext(chat_id="c")).data == {"made": 1}
    assert not command.function(CommandContext()).ok
    host.settings = {**host.settings, "summaries": "off"}
    assert not command.function(CommandContext(chat_id="c")).ok


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0.0 kB"), (7_680, "7.7 kB"), (2**20, "1.0 MB"), (2**31, "2.1 GB")]
)
def test_bytes_in_words(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_the_map_looks(
    size: tuple[int, int], snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: FakeHost
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path / "home"))
    time.tzset()
    pager = Pager(host)  # type: ignore[arg-type]
    pages = filled(pager, host)
    row = pager.store.add_memory("The user likes tea.", USER_LABELS)
    pager.store._db.execute("UPDATE memories SET created = ? WHERE row = ?", (BEGAN, row))
    view = MemoryMap(lambda: pager, lambda: "14:30:05")
    view.elements()
    pages[4].where = "swapped"
    view.act("select", "page:r")
    panel = Panel("map", "Memory", view.elements, view.act, refresh=0)
    app = LlmosApp(lambda: FakeBackend(panels=[("ram", panel)]))
    app.tabs = [TABS[0], TABS[-1]]

    async def open_it(pilot: Pilot[None]) -> None:
        screen: Any = pilot.app.screen
        await wait_until(pilot, lambda: screen.filled and screen.query("Welcome"))
        screen.face.open_tab("ram-map")
        await wait_until(
            pilot, lambda: pilot.app.screen is not screen and pilot.app.screen.query("CellsElement")
        )
        await pilot.pause(0.3)

    assert snap_compare(app, terminal_size=size, run_before=open_it)
    pager.close()
