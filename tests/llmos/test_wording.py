from __future__ import annotations

from llmos.wording import counted


def test_one_is_singular_and_all_others_are_not() -> None:
    assert [counted(number, "chat") for number in (0, 1, 2)] == ["0 chats", "1 chat", "2 chats"]
    assert counted(1200, "token", commas=True) == "1,200 tokens"
