"""Whether an answer is right, ability by ability; and intervals for shares."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from llmos.formats import (
    NOT_IN_PAGES,
    THINK_CLOSE,
    THINK_OPEN,
    TOOL_CALL_CLOSE,
    TOOL_CALL_OPEN,
)
from llmos.foundry.tasks.base import Conversation
from llmos.foundry.tasks.refuse import REFUSAL

_CALL = re.compile(re.escape(TOOL_CALL_OPEN) + r"(.*?)" + re.escape(TOOL_CALL_CLOSE), re.DOTALL)
_NUMBER = re.compile(r"-?\d+")


def visible(text: str) -> str:
    """An answer without its thinking."""
    return (
        text.rpartition(THINK_CLOSE)[2].strip() if THINK_CLOSE in text else text.replace(THINK_OPEN, "").strip()
    )


def parse_call(text: str) -> tuple[str, dict[str, Any]] | None:
    """The first well-formed tool call in an answer."""
    found = _CALL.search(text)
    if not found:
        return None
    try:
        value = json.loads(found[1])
    except json.JSONDecodeError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("arguments"), dict):
        return None
    return str(value.get("name")), value["arguments"]


def last_number(text: str) -> str:
    """The last whole number in a text, or nothing."""
    numbers = _NUMBER.findall(text.replace(",", ""))
    return str(int(numbers[-1])) if numbers else ""


def word_f1(given: str, wanted: str) -> float:
    """Overlap of words, as reading-comprehension scores count it."""
    a, b = (Counter(re.findall(r"\w+", t.lower())) for t in (given, wanted))
    both = sum((a & b).values())
    return 2 * both / (sum(a.values()) + sum(b.values())) if both else 0.0


def score(conversation: Conversation, text: str) -> dict[str, float]:
    """Named scores (0 to 1) of one answer to a generated conversation."""
    shown, kind = visible(text), conversation.kind
    if kind == "tool":
        wanted = conversation.options
        made = parse_call(text)
        right = made is not None and made[0] == wanted["tool"]
        exact = right and made is not None and made[1] == wanted["arguments"]
        return {"right_tool": float(right), "exact_call": float(exact), "valid": float(made is not None)}
    if kind == "pages":
        cited = f"[{conversation.options['page']}]" in shown
        holds = re.search(rf"(?<!\w){re.escape(conversation.answer)}(?!\w)", shown) is not None
        return {
            "correct": float(holds and cited),
            "value": float(holds),
            "cited": float(cited),
            "exact": float(shown == conversation.options["reply"]),
            "f1": word_f1(shown, conversation.options["reply"]),
        }
    if kind == "absent":
        return {"correct": float(shown == NOT_IN_PAGES)}
    if kind in ("steps", "direct", "problem", "digits"):
        return {"correct": float(last_number(shown) == conversation.answer)}
    if kind == "told":
        return {"correct": float(conversation.answer in shown)}
    if kind == "unknown":
        return {"correct": float(shown.startswith("I do not know"))}
    if kind == "refusal":
        return {"correct": float(shown == REFUSAL)}
    return {"correct": float(shown == conversation.answer)}


def wilson(right: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson)."""
    if count == 0:
        return 0.0, 1.0
    share = right / count
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # Rounding must not push the share itself out of its interval.
    return max(0.0, min(share, (middle - spread) / scale)), min(1.0, max(share, (middle + spread) / scale))


def paired_interval(
    before: Sequence[float], after: Sequence[float], draws: int = 1000, groups: Sequence[int] = ()
) -> tuple[float, float, float]:
    """Mean difference of two runs on the same items, with a bootstrap 95 % interval.

    Args:
        before: scores of the items.
        after: scores of the same items.
        draws: of the bootstrap.
        groups: number of the group of each item, where some belong together (the same prompt drawn
            more than once); whole groups are drawn then.

    Raises:
        ValueError: the items are not the same ones.
    """
    if len(before) != len(after) or not before:
        raise ValueError("paired scores must be of the same items")
    sums: dict[int, list[float]] = {}
    for group, b, a in zip(groups or range(len(before)), before, after, strict=True):
        found = sums.setdefault(group, [0.0, 0])
        found[0] += a - b
        found[1] += 1
    rng = random.Random(0)
    lots = list(sums.values())
    means = []
    for _ in range(draws):
        drawn = rng.choices(lots, k=len(lots))
        means.append(sum(d for d, _ in drawn) / sum(n for _, n in drawn))
    means.sort()
    mean = sum(d for d, _ in lots) / len(before)
    return mean, means[int(0.025 * draws)], means[int(0.975 * draws)]
