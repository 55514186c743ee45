"""Costs, computation and sizes, worked out again from the record's own numbers."""

from __future__ import annotations

import pytest

from llmos.stages.context import bundled_record
from llmos.stages.frame import StageContext
from llmos.stages.pipeline import PipelineStage, duration, flops_of, in_words, threads_of
from llmos.stages.quirks import QuirksStage
from tests.llmos.stages.conftest import ABOUT

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_cost_is_hours_times_threads_times_price(recorded: StageContext) -> None:
    panel = PipelineStage()
    figures = {one.name: one for one in await panel.figures(recorded)}
    assert figures["Cost at the stated price"].value == pytest.approx(2.0 * 3 * 0.05)
    assert figures["Tokens of pre-training"].value == 500_000
    assert figures["6 N D of pre-training"].value == pytest.approx(6 * 1e6 * 5e5)
    assert figures["Of the frontier's computation"].value == pytest.approx(1.2e15 / 3.8e25)
    assert figures["Llama 3.1 405B: cost at the stated price"].value == 61_680_000
    assert all(one.caveat for name, one in figures.items() if "cost" in name.casefold())


async def test_prices_move_the_costs_and_nothing_else(recorded: StageContext) -> None:
    panel = PipelineStage()
    state = panel.first_state(recorded)
    first = await panel.view(recorded, state)
    dear = await panel.view(recorded, {**state, "cpu": 0.10, "gpu": 4.0})
    assert dear[-1].element.data["rows"][0][1] == "$0.60"
    assert dear[-1].element.data["rows"][1][1] == "$123,360,000.00"
    assert first[-1].element.data != dear[-1].element.data
    assert first[0].element.data == dear[0].element.data


async def test_minutes_and_steps_are_the_records(recorded: StageContext) -> None:
    parts = await PipelineStage().view(recorded, {})
    bars = next(part for part in parts if part.element.title == "Minutes a step").element.data
    assert bars["values"] == [seconds / 60 for seconds in ABOUT["seconds"].values()]
    steps = parts[0].element.data["rows"]
    assert steps[0][1] == "40 documents, 30 kept"
    assert "10 steps" in steps[2][1] and "60 min" in steps[2][1]


async def test_without_the_record_it_says_so(context: StageContext) -> None:
    parts = await PipelineStage().view(context, {})
    assert "not installed" in str(parts[0].element.data)
    assert {one.mark for one in await PipelineStage().figures(context)} == {"cited"}


async def test_small_parts() -> None:
    assert flops_of(10, 100) == 6000
    assert threads_of({"processor": "x", "threads": 4, "cores": 8}) == 4
    assert threads_of("a machine") == 1
    assert in_words({"cores": 2, "torch": "1"}) == "cores: 2, torch: 1"
    assert [duration(seconds) for seconds in (5, 600, 10_000)] == ["5 s", "10 min", "2.8 h"]


async def test_the_bundled_record_is_what_is_shown(recorded: StageContext) -> None:
    recorded.record = bundled_record() or recorded.record
    record = recorded.need_record()
    figures = {one.name: one for one in await PipelineStage().figures(recorded)}
    about, last = record.about, record.curve()[-1]
    assert figures["Parameters"].value == about["parameters"]
    assert figures["Tokens of pre-training"].value == last["tokens"]
    assert figures["Hours, all stages"].value == pytest.approx(sum(about["seconds"].values()) / 3600, abs=1e-3)
    price = about["hours"] * about["hardware"]["threads"] * 0.05
    assert figures["Cost at the stated price"].value == pytest.approx(price, abs=1e-4)
    quirks = {one.name: one.value for one in await QuirksStage().figures(recorded)}
    assert quirks["Names that never occur"] == len(record.planted()["absent"])
