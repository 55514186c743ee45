"""What is typed after a plugin's slash command becomes its arguments."""

from __future__ import annotations

import pytest

from llmos.plugins.manifest import CommandEntry, ParameterEntry
from llmos.tui.screens.chat_complete import parse_arguments
from llmos.types import UserError

RUN = CommandEntry(name="run", help="Run", parameters=(ParameterEntry(name="code", required=True),))
SEARCH = CommandEntry(
    name="web search",
    help="Search",
    parameters=(
        ParameterEntry(name="query", required=True, many=True),
        ParameterEntry(name="limit", kind="int", option=True),
    ),
)


@pytest.mark.parametrize("text", ['print("it\'s")', "x = 1\nprint(x)", 'say "no', "a  b", "--limit 3"])
def test_a_single_text_is_taken_as_it_is(text: str) -> None:
    assert parse_arguments(RUN, text) == {"code": text}


def test_a_missing_one_is_told() -> None:
    with pytest.raises(UserError, match="needs code"):
        parse_arguments(RUN, "")


def test_words_and_options() -> None:
    assert parse_arguments(SEARCH, 'the "far moon" --limit 3') == {"query": ("the", "far moon"), "limit": 3}
    with pytest.raises(UserError, match="must be a number"):
        parse_arguments(SEARCH, "x --limit many")
