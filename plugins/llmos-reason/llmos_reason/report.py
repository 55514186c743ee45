"""What the faces are told of a vote: a line while it goes on, the whole tally at its end."""

from __future__ import annotations

from typing import Any

from llmos.types import PluginEvent
from llmos_reason.budget import Budget
from llmos_reason.voting import Tally


def tally_data(tally: Tally, budget: Budget, *, how: str = "") -> dict[str, Any]:
    """The tally as JSON-able data; each try with its text, so that it can be opened.

    Args:
        tally: the tries.
        budget: the time.
        how: how the answer was chosen; empty while the vote goes on.
    """
    return {
        "votes": [{"answer": key, "votes": count, "check": said} for key, count, said in tally.all_votes],
        "tries": [
            {
                "text": one.text,
                "thinking": one.thinking,
                "answer": one.key,
                "tokens": one.tokens,
                "check": one.check.verdict,
                "checked": one.check.shown,
            }
            for one in tally.tries
        ],
        "tokens": tally.tokens,
        "seconds": round(budget.spent, 3),
        "allowed_seconds": budget.seconds,
        "budget_tokens": budget.tokens,
        "confidence": round(tally.confidence, 4),
        "done": bool(how),
        "how": how,
        "text": in_words(tally, budget, how),
    }


def in_words(tally: Tally, budget: Budget, how: str) -> str:
    """One line: the clock while nothing has ended, then the vote, at last its outcome."""
    spent = f"{budget.spent:.1f} s"
    allowed = f" of {budget.seconds:g} s" if budget.seconds and not how else ""
    tries = len(tally.tries)
    if not tries:
        tokens = f", room for about {budget.tokens:,} tokens" if budget.tokens else ""
        return f"thinking, {spent}{allowed}{tokens}"
    head = f"{tries} {'try' if tries == 1 else 'tries'} in {spent}{allowed}"
    if not how:
        return f"{head}, {tally.confidence:.0%} sure"
    shown = ", ".join(f"{key}: {count}" for key, count, _ in tally.all_votes[:4])
    return f"{head}, chosen by {how}" + (f" ({shown})" if shown else "")


def tally_event(tally: Tally, budget: Budget, *, how: str = "") -> PluginEvent:
    """``tally_data`` for the faces."""
    return PluginEvent("reason", "tally", tally_data(tally, budget, how=how))
