"""Data, base model, SFT and RLHF: counts against the record, live numbers worked out by other means."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmos.foundry.record import BuildRecord, RewardHead
from llmos.stages import rlhf
from llmos.stages.base_model import BaseStage, dreams, file_sizes, surprise_of_rest
from llmos.stages.context import bundled_record
from llmos.stages.data import DataStage
from llmos.stages.frame import StageContext
from llmos.stages.rlhf import RlhfStage, as_conversation, reward
from llmos.stages.sft import SftStage
from llmos.types import UserError

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def bundled(recorded: StageContext) -> StageContext:
    """With the bundled model's own record where it is installed."""
    recorded.record = bundled_record() or recorded.record
    return recorded


def raw(record: BuildRecord, name: str) -> Any:
    """A file of the record, read without the program."""
    text = (record.folder / name).read_text()
    return json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]


async def test_a_folder_without_text_is_a_sentence(recorded: StageContext, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"no text")
    with pytest.raises(UserError, match=f"{tmp_path}"):
        await DataStage().act(recorded, {"folder": str(tmp_path)}, "run")


async def test_the_funnel_is_the_records(bundled: StageContext) -> None:
    record = bundled.need_record()
    funnel = raw(record, "funnel.json")
    figures = {one.name: one for one in await DataStage().figures(bundled)}
    assert figures["Documents in"].value == funnel["stages"][0]["documents_in"]
    assert figures["Documents out"].value == funnel["stages"][-1]["documents_out"]
    assert figures["Bytes out"].value == funnel["stages"][-1]["bytes_out"]
    rows = (await DataStage().view(bundled, {}))[0].element.data["rows"]
    assert [row[0] for row in rows] == [stage["name"] for stage in funnel["stages"]]
    assert [int(row[1].replace(",", "")) for row in rows] == [one["documents_in"] for one in funnel["stages"]]
    assert all(one.caveat for name, one in figures.items() if name.startswith(("Common Crawl", "FineWeb")))


async def test_the_funnel_runs_on_a_folder_and_names_what_drops(context: StageContext, tmp_path: Path) -> None:
    good = "The ferry leaves the old harbour at seven and comes back before the sun goes down. " * 12
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(
            f"{good}Page {number} speaks of the sea and of the people there."
        )
    (tmp_path / "short.txt").write_text("ok")
    report = (await DataStage().act(context, {"folder": str(tmp_path)}, "run"))["report"]
    assert report["stages"][0]["documents_in"] == 4
    assert any("ok" in row[2] for row in report["dropped"])
    (tmp_path / "short.txt").unlink()
    fewer = (await DataStage().act(context, {"folder": str(tmp_path)}, "run"))["report"]
    assert fewer["stages"][0]["documents_in"] == 3 and len(fewer["dropped"]) < len(report["dropped"])
    with pytest.raises(UserError, match="no folder"):
        await DataStage().act(context, {"folder": str(tmp_path / "none")}, "run")


async def test_memory_is_counted_again(recorded: StageContext) -> None:
    kernel = recorded.kernel
    passage = recorded.need_record().planted()["memorised"]["1"][0]
    state = await BaseStage().act(recorded, {}, "memory")
    beginning, rest = " ".join(passage.split()[:8]), passage.split()[8:14]
    tokens = await kernel.tokenize(passage, bos=True)
    start = len(await kernel.tokenize(beginning, bos=True))
    bits = [-value / math.log(2) for value in (await kernel.score(tokens))[start:]]
    assert state["memory"]["1"]["of"] == 1
    assert state["memory"]["1"]["bits"] == pytest.approx(sum(bits) / len(bits), abs=0.05)
    assert state["memory"]["1"]["known"] in (0, 1) and len(rest) == 6
    assert await surprise_of_rest(kernel, passage + " and more of it") != pytest.approx(
        state["memory"]["1"]["bits"], abs=1e-3
    )
    parts = await BaseStage().view(recorded, state)
    assert parts[0].element.data["rows"][0][1].endswith("of 1") and parts[1].element.data["unit"] == "bits"


async def test_past_its_end_draws_differ(recorded: StageContext) -> None:
    found = await dreams(recorded.kernel, recorded.need_record().planted())
    assert [asked for asked, _ in found[:3]] == ["In 2030 the Lantern Prize was given to"] * 3
    assert len({said for _, said in found[:3]}) > 1
    assert await dreams(recorded.kernel, recorded.need_record().planted()) == found  # the same seeds


async def test_base_and_chat_are_asked_the_same(recorded: StageContext) -> None:
    panel = BaseStage()
    first = (await panel.act(recorded, {"text": "Once upon a time"}, "ask"))["said"]
    other = (await panel.act(recorded, {"text": "The sea is"}, "ask"))["said"]
    assert first != other and first[0][1].startswith("**Once upon a time**")
    sizes = dict(file_sizes())
    assert sizes["the kernel's code"] == sum(
        path.stat().st_size for path in Path(rlhf.__file__).parents[1].joinpath("kernel").rglob("*.py")
    )


async def test_masks_and_tokens_are_the_records(bundled: StageContext) -> None:
    rows = raw(bundled.need_record(), "sft_examples.json")
    if not rows:
        pytest.skip("the bundled model is not here")
    panel = SftStage()
    for row in rows[:2]:
        shown = await panel.view(bundled, {"kind": row["kind"]})
        cells = next(part for part in shown if part.element.kind == "cells").element.data["cells"]
        wanted = next(one for one in rows if one["kind"] == row["kind"])
        assert len(cells) == len(wanted["tokens"])
        learned = [cell["colour"] == "success" for cell in cells]
        for cell, green, token, mask in zip(cells, learned, wanted["tokens"], wanted["learned"], strict=True):
            assert green == mask or (cell["colour"] == "warning" and token.startswith("<"))
    figures = {one.name: one.value for one in await panel.figures(bundled)}
    share = sum(sum(row["learned"]) for row in rows) / sum(len(row["tokens"]) for row in rows)
    assert figures["Share of tokens that the loss counts"] == pytest.approx(share, abs=1e-3)


async def test_margins_are_the_records(bundled: StageContext) -> None:
    pairs = raw(bundled.need_record(), "pairs.json")
    if not pairs:
        pytest.skip("the bundled model is not here")
    shown = await RlhfStage().view(bundled, {})
    rows = next(part for part in shown if part.element.title.startswith("Preference pairs")).element.data[
        "rows"
    ]
    for row, pair in zip(rows, pairs, strict=True):
        assert float(row[1]) == pytest.approx(pair["before"][0] - pair["before"][1], abs=0.06)
        assert float(row[2]) == pytest.approx(pair["after"][0] - pair["after"][1], abs=0.06)
        assert row[3] and row[3] in pair["prompt"] and "<|im_" not in "".join(row[3:])
    figures = {one.name: one.value for one in await RlhfStage().figures(bundled)}
    better = sum(pair["after"][0] > pair["after"][1] for pair in pairs) / len(pairs)
    assert figures["The same, after DPO"] == pytest.approx(better, abs=1e-3)
    assert (
        figures["Reward model orders held-out pairs rightly"]
        == raw(bundled.need_record(), "reward_head.json")["accuracy"]
    )


async def test_the_reward_is_the_heads_product_with_the_state(
    recorded: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {"short": [1.0, 2.0], "longer answer": [3.0, -1.0]}
    asked: list[tuple[str, bool]] = []

    class Hidden:
        async def embed(self, texts: list[str], *, hidden: bool = False) -> list[list[float]]:
            asked.append((texts[0], hidden))
            return [next(state for words, state in states.items() if f"{words}<|im_end|>" in texts[0])]

    async def open_hidden(path: Path, embedding: bool) -> Any:
        assert embedding
        return Hidden()

    head = RewardHead((0.5, -2.0), 0.25, 2.0, 0.9)
    monkeypatch.setattr(BuildRecord, "reward_head", lambda self: head)
    context = replace(recorded, open_kernel=open_hidden)
    for words, state in states.items():
        expected = (float(np.dot([0.5, -2.0], state)) + 0.25) / 2.0
        assert await reward(context, "Hello", words) == pytest.approx(expected)
    assert asked[0] == (as_conversation("Hello", "short"), True)
    panel = RlhfStage()
    state = await panel.act(context, {"text": "Hello", "reply": "short"}, "score")
    state = await panel.act(context, {**state, "reply": "longer answer"}, "score")
    bars = (await panel.view(context, state))[0].element.data
    assert bars["labels"] == ["longer answer", "short"] and bars["values"][0] != bars["values"][1]
