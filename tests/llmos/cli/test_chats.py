from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmos.cli import main as program
from llmos.conversation.store import Store
from llmos.settings import folders
from llmos.types import Message


def run(*arguments: str) -> int:
    return program.run(program.cli, ["chats", *arguments])


@pytest.fixture
def chat_id() -> str:
    store = Store(folders().make().store_file)
    chat = store.create_chat("Tides \x1b[31mred")
    user = Message("user", "Why do tides rise?", chat_id=chat.id)
    answer = Message("assistant", "The moon \x1b]52;c;x\x07pulls.", chat_id=chat.id, parent_id=user.id)
    store.add_message(user)
    store.add_message(answer)
    store.close()
    return chat.id


def out(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_list_and_show(chat_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    shown = out(capsys)
    assert chat_id[:8] in shown
    assert "Tides red" in shown
    assert "\x1b[31m" not in shown
    assert run("list", "--json") == 0
    assert json.loads(out(capsys))[0]["id"] == chat_id
    assert run("show", chat_id[:6]) == 0
    shown = out(capsys)
    assert "## You" in shown
    assert "The moon pulls." in shown
    assert run("show", chat_id, "--json") == 0
    assert json.loads(out(capsys))["messages"][1]["role"] == "assistant"


def test_search(chat_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("search", "tide") == 0
    assert "Why do tides rise?" in out(capsys)
    assert run("search", "moon", "--json") == 0
    assert json.loads(out(capsys))[0]["chat_id"] == chat_id
    assert run("search", "nothing-like-it") == 0
    assert out(capsys) == "Nothing found.\n"


def test_export_to_files(chat_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, begins in (("a.md", "# Tides"), ("a.html", "<!doctype html>"), ("a.json", "{")):
        assert run("export", chat_id, "--to", str(tmp_path / name)) == 0
        assert (tmp_path / name).read_text().startswith(begins)
    assert run("export", chat_id, "--to", str(tmp_path / "a.md")) == 1
    assert "exists" in capsys.readouterr().err
    assert run("export", chat_id, "--to", str(tmp_path / "a.md"), "--force") == 0
    assert run("export", chat_id, "--to", str(tmp_path / "no" / "a.md")) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_trash_and_back(chat_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rm", chat_id) == 0
    assert "in the trash" in out(capsys)
    assert run("list") == 0
    assert out(capsys) == "No chats.\n"
    assert run("list", "--trash", "--json") == 0
    assert len(json.loads(out(capsys))) == 1
    assert run("restore", chat_id[:8]) == 0
    assert run("restore", chat_id[:8]) == 1
    assert run("rm", chat_id, "--forever") == 0
    assert run("restore", chat_id) == 1


def test_rename_pin_tag(chat_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rename", chat_id, "New name") == 0
    assert run("pin", "new name") == 0
    assert run("tag", "new name", "#sea", "moon") == 0
    capsys.readouterr()
    assert run("list", "--tag", "sea") == 0
    shown = out(capsys)
    assert "pinned" in shown
    assert "#moon #sea" in shown


def test_import(tmp_path: Path, chat_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", chat_id, "--to", str(tmp_path / "a.json")) == 0
    assert run("import", str(tmp_path / "a.json")) == 0
    assert "1 chat with 2 messages read" in out(capsys)


def test_what_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["show", "nope"], ["rm", "nope"], ["export", "nope"], ["import", "nope.json"]):
        assert run(*arguments) == 1
        error = capsys.readouterr().err
        assert error.startswith("llmos: ")
        assert error.count("\n") == 1


def test_a_damaged_store_is_told_and_the_command_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    folders().make().store_file.write_bytes(b"x" * 10_000)
    assert run("list") == 0
    shown = capsys.readouterr()
    assert shown.out == "No chats.\n"
    assert "set aside" in shown.err
