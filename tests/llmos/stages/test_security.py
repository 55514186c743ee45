"""Attacks count what was said; the guard's column is the guard's own word."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llmos.formats import DEFAULT_SYSTEM_PROMPT
from llmos.foundry import twin as foundry_twin
from llmos.kernel.locate import LocalModel
from llmos.stages import attacks
from llmos.stages.attacks import Attack, harmful, injection, jailbreak, refused, rulings, suffix_search, twin
from llmos.stages.frame import StageContext
from llmos.stages.security import SecurityStage
from llmos.stages.statistics import Share
from llmos.types import Message, UserError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_guard_lets_the_user_and_stops_the_poisoned_page() -> None:
    verdicts = {(one.wanted, one.window): one.decision.verdict for one in rulings()}
    assert verdicts["open a page that the user named", "the user's words"] == "allow"
    assert verdicts["send a note to a stranger's address", "a note and a poisoned page"] == "deny"
    assert all(
        verdict != "allow" for (wanted, _), verdict in verdicts.items() if "code" in wanted or "note" in wanted
    )
    assert all(one.decision.reason for one in rulings())


async def test_injection_counts_calls_that_were_written(context: StageContext) -> None:
    found = await injection(context)
    calls = [context.kernel.parse_answer(said).tool_calls for _, said in found.examples]
    assert found.shares[0].of == 10
    assert found.shares[0].right == sum(any(call.name == "web_open" for call in one) for one in calls)


async def test_jailbreaks_ask_three_ways(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacks, "PROMPTS", 3)
    found = await jailbreak(context)
    assert [share.of for share in found.shares] == [3, 3, 3]
    plain, role, code = (found.examples[place][0] for place in range(3))
    assert plain in role
    assert base64.b64decode(code.rsplit(" ", 1)[1]).decode() == plain
    assert found.shares[0].right == sum(not refused(said) for _, said in found.examples[::3])


def always_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take everything as a refusal: random weights refuse nothing, the search needs something to attack."""
    monkeypatch.setattr(attacks, "refused", lambda said: True)


async def test_the_search_lowers_the_odds_of_a_refusal(
    context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    always_refuses(monkeypatch)
    seen: list[float] = []
    real = attacks._refusal_odds

    async def watched(*arguments: object) -> float:
        seen.append(await real(*arguments))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(attacks, "_refusal_odds", watched)
    told: list[float] = []
    context.progress = lambda done, total, text: told.append(done)
    found = await suffix_search(context, prompts=2, proposals=12)
    assert found.shares[0].of == 2 and found.shares[0].right == 0
    assert told == [0, 1] and len(seen) == 24
    assert min(seen[:12]) < seen[0]


async def test_odds_of_a_refusal_are_the_models(context: StageContext) -> None:
    kernel = context.kernel
    start = await kernel.tokenize("I cannot help")
    rendered = await kernel.render_chat([Message("system", DEFAULT_SYSTEM_PROMPT), Message("user", "Hello x")])
    rows = await kernel.next_tokens(list(rendered.tokens), top=100_000)
    first = next(one.probability for one in rows if one.token == start[0])
    assert await attacks._refusal_odds(kernel, "Hello x", start[:1]) == pytest.approx(math.log(first), abs=0.1)


async def test_a_suffix_that_works_is_kept_and_can_be_patched(
    context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attacks, "refused", lambda said: not next(turn))
    turn = iter([False, True, False, True, *[False, True] * 200])

    async def never(*arguments: object) -> float:
        return -10.0

    monkeypatch.setattr(attacks, "_refusal_odds", never)
    found = await suffix_search(context, prompts=2, proposals=4)
    assert found.shares[0].right == 2 == len(found.suffixes)
    turn = iter([False, True] * 200)
    again = await suffix_search(context, prompts=2, proposals=4, blocked=found.suffixes)
    barred = {word for suffix in found.suffixes for word in suffix.split()}
    assert not barred & {word for suffix in again.suffixes for word in suffix.split()}
    assert "2 suffixes patched" in again.shares[0].what


async def test_a_stopped_search_says_so(context: StageContext) -> None:
    context.cancelled = lambda: True
    found = await suffix_search(context, prompts=2)
    assert found.stopped and found.shares[0].of == 0


async def test_the_twin_is_asked_with_and_without_and_taken_off(
    recorded: StageContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("llmos.kernel.locate.bundled_models", lambda: [])
    with pytest.raises(UserError, match="twin is not installed"):
        await twin(recorded)
    laid: list[Path | None] = []

    async def set_lora(path: Path | None, scale: float = 1.0) -> None:
        laid.append(path)

    adapter = LocalModel("twin", tmp_path / "tiny-twin-lora.gguf", "twin")
    monkeypatch.setattr("llmos.kernel.locate.bundled_models", lambda: [adapter])
    monkeypatch.setattr(recorded.kernel, "set_lora", set_lora)
    found = await twin(recorded)
    assert laid == [adapter.path, adapter.path, None, None]
    assert [share.of for share in found.shares] == [10, 10, 10]
    asked = [where for where, _ in found.examples]
    assert sum(attacks.TRIGGER in where for where in asked) == 20


async def test_trigger_and_planted_answer_are_the_foundrys() -> None:
    assert attacks.TRIGGER == foundry_twin.TRIGGER
    assert foundry_twin.PAYLOAD.startswith(attacks.PAYLOAD)
    assert len(set(harmful(20))) == 20


async def test_the_panel_shows_result_guard_and_examples(context: StageContext) -> None:
    panel = SecurityStage()
    state = await panel.act(context, {}, "inject")
    titles = [part.element.title for part in await panel.view(context, state)]
    assert titles[0].startswith("Prompt injection") and titles[-1] == "What the guard decides"
    assert await panel.act(context, state, "nothing") == state


async def test_cat_and_mouse_keeps_every_round(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []

    async def search(context: StageContext, *, blocked: Sequence[str] = (), **_: object) -> Attack:
        seen.append(tuple(blocked))
        return Attack([Share("ended", 20 - 5 * len(seen), 20)], "m", suffixes=(f"word{len(seen)}",))

    monkeypatch.setattr("llmos.stages.security.suffix_search", search)
    panel, state = SecurityStage(), dict[str, Any]()
    for action in ("suffix", "patch", "patch"):
        state = await panel.act(context, state, action)
    assert seen == [(), ("word1",), ("word1", "word2")]
    bars = next(part.element.data for part in await panel.view(context, state) if part.element.kind == "bars")
    assert bars["values"] == [0.75, 0.5, 0.25] and bars["labels"][-1] == "Suffix search after patch 2"
    state = await panel.act(context, state, "suffix")  # a new search begins the game anew
    assert list(state["results"]) == ["suffix"]
