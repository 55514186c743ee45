"""Scores of every stage's model on the same held-out items, kept as they come; and their table for the docs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmos.foundry.evaluate import ABILITIES, VOTING, Result, compare, evaluate, main_score

#: Roles in order, each with its name in tables.
ROLES = {"base": "base", "sft": "SFT", "dpo": "DPO", "chat": "chat (RL)"}
#: Pairs of roles whose change is reported, item by item.
CHANGES = (("sft", "dpo"), ("dpo", "chat"), ("sft", "chat"))
_ANSWER = (
    ("correct", "value and page"),
    ("value", "value"),
    ("exact", "whole answer exact"),
    ("f1", "word F1"),
)
#: Further scores that the table shows beside the main one, by the start of the ability's name.
_SHOWN = {
    "tools": (("right_tool", "right tool"), ("exact_call", "exact call"), ("valid", "valid without grammar")),
    "pages": _ANSWER,
    "prose": _ANSWER,
}
BEGIN, END = "<!-- scores:begin -->", "<!-- scores:end -->"


def _load(path: Path) -> dict[str, Result]:
    if not path.is_file():
        return {}
    raw = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: Result(r["n"], r["scores"], r.get("source", ""), r.get("groups", [])) for name, r in raw.items()
    }


def _save(path: Path, results: dict[str, Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    kept = {
        n: {"n": r.count, "source": r.source, "groups": r.groups, "scores": r.scores}
        for n, r in results.items()
    }
    draft.write_text(json.dumps(kept), encoding="utf-8")
    draft.replace(path)


def score_role(
    folder: Path,
    role: str,
    model: Path,
    count: int,
    *,
    voters: int = 0,
    seed: int = 1,
    threads: int = 0,
    kernels: int = 0,
    report: Callable[[str], None] = print,
) -> dict[str, Result]:
    """Measure one model, ability by ability; what an earlier or interrupted run has measured is kept.

    An ability with fewer items than asked is extended: only the missing ones are answered. What was
    measured of another file, or of items that are made otherwise now, is measured anew.

    Args:
        folder: gets ``ROLE.json`` with the scores of every item.
        role: of ``ROLES``.
        model: the GGUF file.
        count: items an ability.
        voters: items for majority voting; 0 leaves it out.
        seed: of the items.
        threads: of each kernel; 0 lets it choose.
        kernels: worker processes that share the items; 0 starts as many as are worth it.
        report: gets a line an ability.
    """
    path = folder / f"{role}.json"
    results = _load(path)
    if (
        any(not one.source for one in results.values())
        and model.is_file()
        and model.stat().st_mtime > path.stat().st_mtime
    ):
        report(f"{role}: {model.name} is newer than its scores, which do not say what they are of: all anew")
        results = {}

    def keep(name: str, result: Result) -> None:
        results[name] = result
        _save(path, results)
        share = result.summary()[main_score(name)]
        if name not in VOTING:
            report(f"{role} {name}: {share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})")
        elif name == VOTING[-1]:
            report(f"{role} voting: {result.count} items")

    known = dict(results)
    work = evaluate(model, count, seed, (), threads, voters, known=known, done=keep, kernels=kernels)
    results |= asyncio.run(work)
    return results


def summarise(folder: Path) -> dict[str, Any]:
    """What ``scores.json`` holds: shares by role, and changes paired on the items both answered."""
    results = {role: _load(folder / f"{role}.json") for role in ROLES}
    out: dict[str, Any] = {
        r: {n: s.summary() for n, s in found.items()} for r, found in results.items() if found
    }
    for before, after in CHANGES:
        if results[before] and results[after]:
            out[f"{before}_to_{after}"] = compare(*_same_items(results[before], results[after]))
    return out


def _same_items(a: dict[str, Result], b: dict[str, Result]) -> tuple[dict[str, Result], dict[str, Result]]:
    """Both cut to the items that both have: a seed gives the same first items whatever their number."""

    def cut(one: dict[str, Result], other: dict[str, Result]) -> dict[str, Result]:
        found = {}
        for name, result in one.items():
            if name in other:
                count = min(result.count, other[name].count)
                found[name] = Result(
                    count, {k: v[:count] for k, v in result.scores.items()}, groups=result.groups[:count]
                )
        return found

    return cut(a, b), cut(b, a)


def table(scores: dict[str, Any]) -> str:
    """The scores as a Markdown table, and the changes in a sentence each."""
    roles = [r for r in ROLES if r in scores]
    lines = [
        "| ability | score | n | " + " | ".join(ROLES[r] for r in roles) + " |",
        "|---|---|---|" + "---|" * len(roles),
    ]
    names = [*ABILITIES, "steps_sampled", "steps_majority_4", "steps_majority_16"]
    for name in names:
        for key, label in _SHOWN.get(name.partition("_")[0], (("correct", "correct"),)):
            lines += _row(scores, roles, name, key, label)
    for before, after in CHANGES:
        changes = scores.get(f"{before}_to_{after}")
        if changes:
            said = "; ".join(
                f"{name.replace('_', ' ')} {100 * c['change']:+.1f} "
                f"({100 * c['low']:+.1f} to {100 * c['high']:+.1f})"
                for name, c in changes.items()
            )
            lines += [
                "",
                f"Change from {ROLES[before]} to {ROLES[after]} (points, paired, 95 % interval): {said}.",
            ]
    return "\n".join(lines)


def _row(scores: dict[str, Any], roles: Sequence[str], name: str, key: str, label: str) -> list[str]:
    cells, counts = [], []
    for role in roles:
        found = scores[role].get(name, {}).get(key)
        if found is None:
            cells.append("—")
            continue
        count, distinct = scores[role][name]["n"], scores[role][name].get("distinct", 0)
        counts.append(f"{count} ({distinct})" if 0 < distinct < count else str(count))
        cells.append(f"{100 * found['value']:.1f} ({100 * found['low']:.1f}-{100 * found['high']:.1f})")
    if not counts:
        return []
    numbers = "/".join(dict.fromkeys(counts))
    return [f"| {name.replace('_', ' ')} | {label} | {numbers} | " + " | ".join(cells) + " |"]


def write_page(scores: dict[str, Any], page: Path) -> None:
    """Put the table between its marks in a Markdown page.

    Raises:
        ValueError: the page has no marks.
    """
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page} has no place for the table: it needs the lines {BEGIN} and {END}")
    head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
    page.write_text(f"{head}{BEGIN}\n{table(scores)}\n\n{END}{tail}", encoding="utf-8")
