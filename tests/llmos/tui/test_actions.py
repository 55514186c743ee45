from __future__ import annotations

from pathlib import Path

from llmos.tui.actions import ACTIONS, RESERVED, key_name, keys_document, keys_of, unknown_ids
from llmos.tui.app import LlmosApp
from llmos.tui.screens.chat import ChatScreen
from llmos.tui.widgets.chat_list import ChatOptions
from llmos.tui.widgets.prompt import Prompt
from llmos.tui.widgets.tool_block import ApprovalBlock
from llmos.tui.widgets.transcript import Transcript

OWNERS = {
    "app": (LlmosApp,),
    "chat": (ChatScreen,),
    "prompt": (Prompt,),
    "block": (Transcript, ChatScreen),
    "list": (ChatOptions,),
    "approval": (ApprovalBlock,),
}


def test_ids_are_unique_and_no_default_key_belongs_to_the_terminal() -> None:
    ids = [action.id for action in ACTIONS]
    assert len(ids) == len(set(ids))
    for action in ACTIONS:
        assert not RESERVED.intersection(action.keys.split(",")), action.id


def test_no_key_means_two_things_in_one_place() -> None:
    for scope in OWNERS:
        keys = [key for action in ACTIONS if action.scope == scope for key in action.keys.split(",") if key]
        assert len(keys) == len(set(keys)), scope


def test_every_action_is_a_method_of_its_owner() -> None:
    for action in ACTIONS:
        name = "action_" + action.call.partition("(")[0]
        assert any(hasattr(owner, name) for owner in OWNERS[action.scope]), action.id


def test_the_document_of_keys_is_made_from_the_table() -> None:
    document = Path(__file__).parents[3] / "docs" / "keys.md"
    assert document.read_text(encoding="utf-8") == keys_document(), "run: python -m llmos.tui.keys_page"


def test_own_keys_stand_before_the_defaults() -> None:
    action = next(action for action in ACTIONS if action.id == "chat.new")
    assert keys_of(action, {}) == "Ctrl+N"
    assert keys_of(action, {"chat.new": "f12"}) == "F12"
    assert unknown_ids({"chat.new": "f12", "chat.nothing": "f1"}) == ["chat.nothing"]
    assert key_name("left_square_bracket") == "["
