"""Export and import of chats."""

from __future__ import annotations

import json
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from llmos.conversation.export import export_chat, format_of
from llmos.conversation.imports import import_file
from llmos.conversation.records import Chat
from llmos.conversation.store import Store
from llmos.types import Message, Page, ToolCall, UserError


def example(store: Store) -> Chat:
    chat = store.create_chat("Tides <& more>")
    page = Page("The moon pulls.", "passage", source="moon.md", heading="Pull", number=1)
    user = Message("user", "Why tides? <script>alert(1)</script>", chat_id=chat.id, pages=(page,))
    first = Message("assistant", "", chat_id=chat.id, parent_id=user.id, thinking="hm")
    first.tool_calls = (ToolCall("python", {"code": "1"}, "c1"),)
    result = Message(
        "tool", "out ``` put", chat_id=chat.id, parent_id=first.id, name="python", tool_call_id="c1"
    )
    last = Message("assistant", "The moon [1].\n\n```py\nx\n```", chat_id=chat.id, parent_id=result.id)
    other = Message("assistant", "Cut off", chat_id=chat.id, parent_id=user.id, status="stopped")
    for message in (user, other, first, result, last):
        store.add_message(message)
    return store.find_chat(chat.id)


def test_markdown_shows_the_branch_with_its_sources() -> None:
    store = Store(None)
    text = export_chat(store, example(store), "markdown")
    for part in ("# Tides <& more>", "## You", "> [1] moon.md > Pull\n> The moon pulls.", "Calls `python`"):
        assert part in text
    assert "````\nout ``` put\n````" in text  # the fence is longer than what it holds
    assert "Cut off" not in text


def test_html_escapes_everything_and_runs_nothing() -> None:
    store = Store(None)
    text = export_chat(store, example(store), "html")
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
            tags.append(tag)
            assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)

    Reader().feed(text)
    assert "script" not in tags
    assert "&lt;script&gt;" in text
    assert "default-src 'none'" in text


def test_json_holds_every_branch_and_can_be_read_back(tmp_path: Path) -> None:
    store = Store(None)
    chat = example(store)
    text = export_chat(store, chat, "json")
    data = json.loads(text)
    assert len(data["messages"]) == 5
    assert data["messages"][0]["pages"][0]["source"] == "moon.md"
    path = tmp_path / "chat.json"
    path.write_text(text)
    fresh = Store(None)
    assert str(import_file(fresh, path)).startswith("1 chat with 4 messages read")
    again = fresh.list_chats()[0]
    assert again.title == "Tides <& more>"
    contents = [m.content for m in fresh.branch(again.id)]
    assert contents[0].startswith("Why tides?")
    assert contents[-1].startswith("The moon [1].")
    assert all(m.labels.tainted for m in fresh.branch(again.id))
    assert "1 were there already" in str(import_file(fresh, path))


def test_the_files_name_decides_the_format() -> None:
    store = Store(None)
    assert [format_of(name) for name in ("a.JSON", "b.htm", "c.md", "")] == [
        "json",
        "html",
        "markdown",
        "markdown",
    ]
    with pytest.raises(UserError, match="There is no format"):
        export_chat(store, example(store), "pdf")  # type: ignore[arg-type]


def chatgpt() -> list[dict[str, Any]]:
    def node(key: str, parent: str | None, role: str, parts: list[Any] | None) -> dict[str, Any]:
        message = None
        if parts is not None:
            content = {"content_type": "text", "parts": parts}
            message = {"author": {"role": role}, "content": content, "create_time": 1_700_000_000.5}
        return {"id": key, "parent": parent, "children": [], "message": message}

    mapping = {
        "root": node("root", None, "system", None),
        "sys": node("sys", "root", "system", ["hidden"]),
        "a2": node("a2", "q1", "assistant", ["second answer"]),
        "q1": node("q1", "sys", "user", ["question", {"asset_pointer": "file"}]),
        "a1": node("a1", "q1", "assistant", ["first \x1b[31manswer"]),
        "loop1": node("loop1", "loop2", "user", ["lost"]),
        "loop2": node("loop2", "loop1", "user", ["lost"]),
    }
    return [{"title": "Old chat", "create_time": 1.7e9, "mapping": mapping, "current_node": "a1", "id": "g1"}]


def test_chatgpt_as_json_and_as_zip(tmp_path: Path) -> None:
    text = json.dumps([*chatgpt(), {"title": "broken", "mapping": 3}, {"title": "empty", "mapping": {}}])
    (tmp_path / "conversations.json").write_text(text)
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("folder/conversations.json", text)
    for name in ("conversations.json", "export.zip"):
        store = Store(None)
        report = import_file(store, tmp_path / name)
        assert (report.chats, report.messages, len(report.faults)) == (1, 3, 1)
        chat = store.list_chats()[0]
        assert chat.title == "Old chat"
        assert chat.created_at == 1.7e9
        branch = store.branch(chat.id)
        assert [m.content for m in branch] == ["question\n\n[attachment left out]", "first answer"]
        assert len(store.children(chat.id, branch[0].id)) == 2


def test_open_webui_tree_and_list(tmp_path: Path) -> None:
    tree = {
        "id": "w1",
        "title": "Web",
        "chat": {
            "history": {
                "currentId": "m2",
                "messages": {
                    "m2": {"id": "m2", "parentId": "m1", "role": "assistant", "content": "hello"},
                    "m1": {"id": "m1", "parentId": None, "role": "user", "content": [{"text": "hi"}]},
                    "m3": {"id": "m3", "parentId": "m1", "role": "assistant", "content": "other"},
                },
            }
        },
    }
    flat = {"chat": {"title": "Flat", "timestamp": 1_700_000_000_000, "messages": [
        {"role": "user", "content": "q"}, {"role": "system", "content": "s"},
        {"role": "assistant", "content": "a"},
    ]}}  # fmt: skip
    path = tmp_path / "webui.json"
    path.write_text(json.dumps([tree, flat]))
    store = Store(None)
    assert import_file(store, path).chats == 2
    found = {chat.title: [m.content for m in store.branch(chat.id)] for chat in store.list_chats()}
    assert found == {"Web": ["hi", "hello"], "Flat": ["q", "a"]}
    assert store.list_chats(title="Flat")[0].created_at == 1.7e9


@pytest.mark.parametrize("content", [b"", b"not json", b"[1, 2]", b'{"a": 1}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_export_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="export"):
        import_file(Store(None), path)


def test_a_zip_without_chats_and_a_missing_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(UserError, match="holds no conversations"):
        import_file(Store(None), tmp_path / "x.zip")
    with pytest.raises(UserError, match="cannot be read"):
        import_file(Store(None), tmp_path / "missing.json")
