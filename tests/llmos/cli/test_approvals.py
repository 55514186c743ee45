from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from llmos.cli.approvals import approvals
from llmos.conversation.session import approvals_file
from llmos.guard.approvals import ApprovalStore
from llmos.settings import folders
from llmos.types import UserError


@pytest.fixture
def store() -> ApprovalStore:
    made = ApprovalStore(approvals_file(folders().make()))
    made.add('{"arguments":{"command":"ls\u202e"},"name":"shell"}', "always", "", ())
    made.add(
        '{"arguments":{"code":"1"},"name":"python"}', "chat", "0123456789abcdef", ["url:https://x.example/"]
    )
    return made


def run(*arguments: str) -> str:
    done = CliRunner().invoke(approvals, list(arguments), standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_they_are_listed_with_what_was_seen(store: ApprovalStore) -> None:
    shown = run("list")
    assert "chat 01234567" in shown and "https://x.example/" in shown and "always" in shown
    assert "\u202e" not in shown and "RIGHT-TO-LEFT OVERRIDE" in shown
    rows = json.loads(run("list", "--json"))
    assert [row["scope"] for row in rows] == ["chat", "always"]


def test_one_and_all_are_taken_back(store: ApprovalStore) -> None:
    assert "Took back 1 approval." in run("revoke", str(store.all()[0].id))
    assert [one.scope for one in store.all()] == ["always"]
    assert "Took back 1" in run("revoke", "--all")
    assert store.all() == [] and "No approvals" in run("list")


def test_mistakes_are_told(store: ApprovalStore) -> None:
    with pytest.raises(UserError, match="no approval 99"):
        run("revoke", "99")
    with pytest.raises(UserError, match="by its id"):
        run("revoke")
