from __future__ import annotations

from typing import Any

import pytest
from llmos_ram import memories as facts
from llmos_ram.commands import commands
from llmos_ram.memory_map import MemoryMap
from llmos_ram.pager import Pager
from llmos_ram.store import labels_from_json, labels_to_json

from llmos.plugins import CommandContext, CommandResult, Turn
from llmos.types import USER_LABELS, Integrity, Message, Page

from .conftest import FakeHost


def run(pager: Pager, name: str, **arguments: Any) -> CommandResult:
    command = next(one for one in commands(lambda: pager) if one.name == name)
    result = command.function(CommandContext(chat_id="c"), **arguments)
    assert isinstance(result, CommandResult)
    return result


def test_a_newer_fact_supersedes_an_older_one(pager: Pager) -> None:
    first = facts.remember(pager.store, "My locker code is 4821.", USER_LABELS)
    second = facts.remember(pager.store, "My locker code is 9134.", USER_LABELS)
    assert [one.row for one in second.replaced] == [first.row]
    assert [one.text for one in pager.store.memories()] == ["My locker code is 9134."]
    assert len(pager.store.memories(history=True)) == 2


def test_facts_about_different_things_stand_side_by_side(pager: Pager) -> None:
    facts.remember(pager.store, "My sister's name is Ana.", USER_LABELS)
    facts.remember(pager.store, "My brother's name is Tom.", USER_LABELS)
    assert len(pager.store.memories()) == 2


def test_the_same_fact_is_kept_once(pager: Pager) -> None:
    facts.remember(pager.store, "I like tea.", USER_LABELS)
    assert facts.remember(pager.store, "i like TEA.", USER_LABELS).known
    assert len(pager.store.memories(history=True)) == 1


def test_nothing_is_no_memory(pager: Pager) -> None:
    with pytest.raises(ValueError, match="nothing to remember"):
        facts.remember(pager.store, " ?! ", USER_LABELS)
    assert not run(pager, "remember", text="...").ok


def test_a_forgotten_fact_is_gone_with_its_history_and_its_text(pager: Pager, host: FakeHost) -> None:
    run(pager, "remember", text="My locker code is 4821.")
    run(pager, "remember", text="My locker code is 9134.")
    assert run(pager, "forget", text="locker code").ok
    assert pager.store.memories(history=True) == []
    pager.store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    held = pager.store.path.read_bytes()
    assert b"4821" not in held and b"9134" not in held
    assert not run(pager, "forget", text="locker code").ok


def test_memories_enter_the_window_when_they_match_or_are_pinned(pager: Pager) -> None:
    run(pager, "remember", text="My locker code is 4821.")
    run(pager, "remember", text="I am allergic to nuts.")
    turn = Turn("c", Message("user", "What is my locker code?"), budget=300)
    assert [page.kind for page in pager.context(turn)] == ["memory"]
    number = pager.store.memories()[1].row
    assert run(pager, "ram pin", page=str(number)).ok
    texts = [page.text for page in pager.context(turn)]
    assert texts == ["I am allergic to nuts.", "My locker code is 4821."]


def test_commands_answer_with_text_and_data(pager: Pager, host: FakeHost) -> None:
    pager.index("c", [Message("user", "My locker code is 4821.", chat_id="c")])
    found = run(pager, "ram search", query="locker code")
    assert [one["text"] for one in found.data] == ["My locker code is 4821."]
    page = Page("My locker code is 4821.", tokens=9, id="84183776" + "a" * 24)  # begins with digits alone
    host.windows["c"] = [page]
    shown = run(pager, "ram show")
    assert shown.data["pages"][0]["tokens"] == 9
    assert run(pager, "ram pin", page=page.id[:8]).ok
    assert host.pinned == [("c", page.id, True)]
    assert not run(pager, "ram pin", page="zz").ok
    assert run(pager, "ram forget", chat="c").data == {"pages": 1}
    assert not run(pager, "ram forget").ok


def test_the_map_shows_every_page_of_the_window_as_a_cell(pager: Pager, host: FakeHost) -> None:
    view = MemoryMap(lambda: pager)
    assert view.elements()[0].kind == "text"
    pager.last_chat = "c"
    host.windows["c"] = [
        Page("one", tokens=10),
        Page("two", tokens=5, pinned=True),
        Page("three", where="swapped"),
    ]
    elements = {element.title: element for element in view.elements()}
    cells = elements["Window: ! untrusted, * pinned"].data["cells"]
    assert [cell["weight"] for cell in cells] == [10, 5]
    assert cells[1]["label"].startswith("*")
    assert len(elements["Pages"].data["rows"]) == 3
    key = elements["Pages"].data["keys"][0]
    assert "pinned" in str(view.act("pin", key))
    assert host.pinned[0][2] is True
    run(pager, "remember", text="I like tea.")
    number = pager.store.memories()[0].row
    assert "now pinned" in str(view.act("pin", f"memory:{number}"))
    assert "Forgotten" in str(view.act("forget", f"memory:{number}"))
    assert view.act("forget", None) == "Select a page, a summary or a memory first."


def test_unreadable_labels_are_taken_for_the_weakest_trust() -> None:
    assert labels_from_json(labels_to_json(USER_LABELS)) == USER_LABELS
    for broken in ("", "{}", '{"o": 1}', '{"o": [], "i": "very", "c": "x"}'):
        labels = labels_from_json(broken)
        assert labels.integrity is Integrity.UNTRUSTED
        assert labels.private
