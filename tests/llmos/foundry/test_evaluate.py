"""Measuring a model: what is known is kept, what is missing is answered, the wide copy gives the same numbers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from llmos.foundry import evaluate as measuring
from llmos.foundry.evaluate import VOTING, Result, evaluate
from llmos.foundry.score_stages import score_role
from llmos.foundry.wide_heads import write_wide
from llmos.kernel.engine import Engine

MODEL = Path(__file__).parents[3] / "models" / "llmos-3m" / "llmos-3m-chat-Q8_0.gguf"


def test_wide_heads_give_the_same_numbers(tmp_path: Path) -> None:
    copy = tmp_path / "wide.gguf"
    assert write_wide(MODEL, copy) and not write_wide(copy, tmp_path / "again.gguf")
    found = []
    for path in (MODEL, copy):
        engine = Engine(path, context=512, threads=1, max_sequences=1)
        tokens = engine.tokenize("<|im_start|>user\nWhat is 3 + 4, and who wrote it down? " * 5, special=True)[
            :90
        ]
        assert engine.decode([(token, at, 0, True) for at, token in enumerate(tokens)]) == 0
        found.append(np.array([engine.logits(row) for row in range(len(tokens))]))
        engine.close()
    # Sums over a head are made in another order at most; wrong frequencies or a wrong scale give far more.
    assert np.abs(found[0] - found[1]).mean() < 0.02 * found[0].std()


def test_only_missing_items_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    answered = measuring.Answerers.greedy

    async def counted(self: measuring.Answerers, prompts: list[str]) -> list[str]:
        asked.append(len(prompts))
        return await answered(self, prompts)

    monkeypatch.setattr(measuring.Answerers, "greedy", counted)
    monkeypatch.setattr(
        measuring, "ABILITIES", {n: measuring.ABILITIES[n] for n in ("single_digits", "steps_new_pairs")}
    )
    model = tmp_path / "chat.gguf"
    shutil.copy(MODEL, model)
    lines: list[str] = []

    def run(count: int, voters: int = 0) -> dict[str, Result]:
        return score_role(
            tmp_path, "chat", model, count, voters=voters, threads=1, kernels=1, report=lines.append
        )

    run(3)
    both = run(5, voters=1)
    assert asked == [3, 3, 2, 2]
    run(4, voters=1)  # all of it is known
    assert asked == [3, 3, 2, 2] and both["single_digits"].count == 5
    at_once = asyncio.run(evaluate(model, 5, 1, ["single_digits"], 1, kernels=1))["single_digits"]
    assert both["single_digits"] == at_once
    assert {both[name].count for name in VOTING} == {1}
    assert (
        sum(line.startswith("chat steps_new_pairs") for line in lines) == 2 and "chat voting: 1 items" in lines
    )

    # Scores of another file are not added to; those that do not say what they are of need to be younger.
    kept = tmp_path / "chat.json"
    raw = json.loads(kept.read_text())
    raw["steps_new_pairs"]["source"] = "another"
    raw["single_digits"]["source"] = ""
    kept.write_text(json.dumps(raw))
    run(6)
    assert asked[4:] == [5, 1, 6]
    raw["steps_new_pairs"]["source"] = ""
    kept.write_text(json.dumps(raw))
    later = kept.stat().st_mtime + 10
    os.utime(model, (later, later))
    run(1)
    assert asked[7:] == [1, 1] and "all anew" in lines[-3]


def test_the_same_prompt_is_answered_once_and_in_the_items_order() -> None:
    async def ask() -> tuple[list[str], list[str]]:
        prompts = [
            f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
            for text in ("What is 5 + 2?", "Hello", "What is 5 + 2?", "Who are you?")
        ]
        async with measuring.Answerers(MODEL, threads=1, kernels=2, example=prompts[0]) as answerers:
            together = await answerers.greedy(prompts)
            alone = [(await answerers.greedy([prompt]))[0] for prompt in prompts]
            long = "<|im_start|>user\n" + "one two " * 300  # larger than the first windows
            assert len(await answerers.greedy([long])) == 1
        return together, alone

    together, alone = asyncio.run(ask())
    assert together == alone and together[0] == together[2] and len(set(together)) == 3
