"""It knows when not to think: greetings, thanks and other talk are answered at once."""

from __future__ import annotations

import re

_TALK = frozenset(
    [
        "hi",
        "hello",
        "hey",
        "thanks",
        "thank",
        "you",
        "ok",
        "okay",
        "yes",
        "no",
        "bye",
        "goodbye",
        "good",
        "morning",
        "evening",
        "night",
        "day",
        "nice",
        "cool",
        "great",
        "please",
        "sorry",
        "there",
        "how",
        "are",
        "doing",
        "what's",
        "up",
        "welcome",
        "well",
        "lol",
        "llmos",
        "so",
        "much",
        "a",
        "lot",
        "very",
        "that",
        "is",
        "was",
        "it",
        "fine",
    ]
)


def needs_no_thought(text: str) -> bool:
    """True for small talk: few words, all of them phrases of politeness."""
    words = re.findall(r"[\w'’]+", text.casefold())
    return len(words) <= 6 and all(word in _TALK for word in words)
