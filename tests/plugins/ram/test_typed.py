"""Commands as they are typed: in a shell and after a slash, words and apostrophes and all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from llmos.cli.main import cli
from llmos.cli.plugin_verbs import _entries
from llmos.conversation.store import Store
from llmos.plugins.contributions import Parameter
from llmos.settings import folders
from llmos.tui.backend import CommandOffer
from llmos.tui.screens.chat_complete import parse_arguments
from llmos.types import Message

FACT = "My sister's cat and my brother's dog are called Mia"


def run(*words: str) -> Any:
    result = CliRunner().invoke(cli, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_facts_are_kept_found_pinned_and_forgotten_from_a_shell() -> None:
    kept = run("remember", *FACT.split())
    assert [one["text"] for one in run("memories")] == [FACT]
    assert run("remember", FACT)["known"]
    assert run("ram", "pin", str(kept["row"]))["memory"] == kept["row"]
    assert run("memories")[0]["pinned"]
    assert run("ram", "search", "sister's", "cat") == []  # nothing was said in a chat yet
    assert run("forget", "sister's", "cat") == [kept["row"]]
    assert run("memories") == []


@pytest.mark.parametrize("name", ["remember", "forget", "ram search"])
def test_what_follows_a_slash_command_is_one_text(name: str) -> None:
    entry = next(one for one in _entries() if one.name == name)
    offer = CommandOffer(entry.name, entry.help, [Parameter(**one.model_dump()) for one in entry.parameters])
    for text in (FACT, "my sister's cat", "plain words"):
        values = parse_arguments(offer, text)
        given = values.get("text", values.get("query"))
        assert isinstance(given, str)
        assert given.replace("'", "") == text.replace("'", "")
    if name == "ram search":
        assert parse_arguments(offer, "my sister's cat --chat c1")["chat"] == "c1"


def test_a_page_is_pinned_from_a_shell() -> None:
    store = Store(folders().make().store_file)
    chat = store.create_chat()
    message = Message("user", "The gate is green.", chat_id=chat.id)
    store.add_message(message)
    store.close()
    assert run("ram", "pin", message.id[:9], "--chat", chat.id) == {"page": message.id}
    (page,) = run("ram", "show", "--chat", chat.id)["pages"]
    assert (page["id"], page["pinned"], page["where"]) == (message.id, True, "window")
    run("ram", "pin", message.id, "--off", "--chat", chat.id)
    (page,) = run("ram", "show", "--chat", chat.id)["pages"]
    assert (page["pinned"], page["where"]) == (False, "window")
    refused = CliRunner().invoke(cli, ["ram", "pin", "no-such-page"])
    assert refused.exit_code == 1 and "--chat" in refused.output
