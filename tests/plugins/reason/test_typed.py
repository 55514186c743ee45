"""``think`` as it is typed: in a shell and after a slash, with and without a value."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from llmos.cli.main import cli
from llmos.cli.plugin_verbs import _entries
from llmos.plugins.contributions import Parameter
from llmos.tui.backend import CommandOffer
from llmos.tui.screens.chat_complete import parse_arguments


def run(*words: str) -> str:
    result = CliRunner().invoke(cli, ["think", *words, "--json"])
    assert result.exit_code == 0, result.output
    return str(json.loads(result.stdout)["effort"])


def test_the_effort_is_set_and_shown_from_a_shell() -> None:
    assert run() == "off"
    assert run("5", "min") == run() == "5 min"
    assert run("20s") == run() == "20 s"
    assert run("sure") != run("off") == "off"


@pytest.mark.parametrize("text", ["5 min", "20s", "sure"])
def test_what_follows_the_slash_is_one_text(text: str) -> None:
    entry = next(one for one in _entries() if one.name == "think")
    offer = CommandOffer(entry.name, entry.help, [Parameter(**one.model_dump()) for one in entry.parameters])
    assert parse_arguments(offer, text) == {"effort": text}
    assert parse_arguments(offer, "").get("effort", "") == ""
