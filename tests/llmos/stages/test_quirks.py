"""The eight experiments: what they count is counted again here, from what was said."""

from __future__ import annotations

import numpy as np
import pytest

from llmos.stages import experiments
from llmos.stages.experiments import EXPERIMENTS, Experiment, Outcome, unknown
from llmos.stages.frame import StageContext, answer, complete
from llmos.stages.quirks import QuirksStage
from llmos.stages.ranks import log_probabilities
from llmos.types import SamplingSettings, UserError

pytestmark = pytest.mark.asyncio(loop_scope="module")
_FOUND: dict[str, Outcome] = {}


async def outcome_of(name: str, context: StageContext) -> Outcome:
    """An experiment's outcome; run once for all tests."""
    if name not in _FOUND:
        _FOUND[name] = (await QuirksStage().act(context, {}, name))["results"][name]
    return _FOUND[name]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer questions for tools than in the panel: each costs two answers."""
    real = experiments.compute_questions
    monkeypatch.setattr(experiments, "compute_questions", lambda count: real(5))


@pytest.mark.parametrize("one", EXPERIMENTS, ids=[one.id for one in EXPERIMENTS])
async def test_every_experiment_states_sample_and_interval(one: Experiment, recorded: StageContext) -> None:
    told: list[tuple[float, float, str]] = []
    recorded.progress = lambda done, total, text: told.append((done, total, text))
    outcome = await outcome_of(one.id, recorded)
    assert outcome.shares and not outcome.stopped
    assert all(share.of >= 5 and 0 <= share.right <= share.of for share in outcome.shares)
    assert told and told[-1][0] == told[-1][1] - 1
    parts = await QuirksStage().view(recorded, {"results": {one.id: outcome}})
    assert parts[0].element.data["rows"][0][1].endswith(f"of {outcome.shares[0].of}")
    assert "to" in parts[0].element.data["rows"][0][3]


async def test_a_stopped_experiment_says_so_and_counts_what_it_has(recorded: StageContext) -> None:
    seen: list[float] = []
    recorded.progress = lambda done, total, text: seen.append(done)
    recorded.cancelled = lambda: len(seen) >= 2
    state = await QuirksStage().act(recorded, {}, "names")
    outcome = state["results"]["names"]
    assert outcome.stopped and outcome.shares[0].of == 2
    assert "(stopped early)" in (await QuirksStage().view(recorded, state))[0].element.title


async def test_what_is_counted_agrees_with_what_was_said(recorded: StageContext) -> None:
    outcome = await outcome_of("names", recorded)
    said = [
        await answer(recorded.kernel, f"Who is {name}?", 40)
        for name in recorded.need_record().planted()["absent"]
    ]
    assert [text for _, text in outcome.examples] == said
    assert outcome.shares[0].right == sum(unknown(text) for text in said)
    assert outcome.shares[0].right + outcome.shares[1].right == 5


async def test_ten_draws_differ_and_the_likeliest_does_not(recorded: StageContext) -> None:
    outcome = await outcome_of("chance", recorded)
    assert outcome.bars["distinct at temperature 0"] == 1.0
    assert outcome.bars["distinct at temperature 1"] > 1.0
    again = await complete(
        recorded.kernel, "Once upon a time", 24,
        SamplingSettings(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=3),
    )  # fmt: skip
    assert again == outcome.examples[13][1]


async def test_log_probabilities_are_sums_of_the_plain_scores(recorded: StageContext) -> None:
    kernel, beginning, candidates = recorded.kernel, "In 2024 it", [" was", " zzqx vrkp", " is in the"]
    found = await log_probabilities(kernel, beginning, candidates)
    for candidate, value in zip(candidates, found, strict=True):
        tokens = await kernel.tokenize(beginning + candidate, bos=True)
        start = len(await kernel.tokenize(beginning, bos=True))
        assert value == pytest.approx(sum((await kernel.score(tokens))[start:]), abs=0.05)


async def test_both_directions_are_ranked_among_all_completions(recorded: StageContext) -> None:
    outcome = await outcome_of("reversal", recorded)
    pairs = recorded.need_record().planted()["reversal"]
    table = np.asarray(
        [
            await log_probabilities(recorded.kernel, f"{name} is", [f" {about}." for _, about in pairs])
            for name, _ in pairs
        ]
    )
    helped = table - table.mean(axis=0)
    ranks = (helped >= np.diag(helped)[:, None]).sum(axis=1)
    assert [share.of for share in outcome.shares] == [len(pairs)] * 4
    assert outcome.shares[1].right == int((2 * ranks <= len(pairs)).sum())
    assert outcome.shares[0].right == int((ranks == 1).sum())
    assert outcome.bars["as it was read"] == pytest.approx(ranks.mean(), abs=0.4)
    assert outcome.bars["by chance"] == (len(pairs) + 1) / 2
    assert len(outcome.examples) == 2 * len(pairs)


async def test_the_prize_is_scored_up_to_the_cut_off(recorded: StageContext) -> None:
    outcome = await outcome_of("cutoff", recorded)
    assert outcome.shares[0].of == 7 and "of 7, up to 2025-12" in outcome.shares[0].what
    assert outcome.shares[1].of == 10
    assert set(outcome.bars) == {"by chance", "2010 to 2019", "2020 to 2025"}
    assert all("20" in asked for asked, _ in outcome.examples)


async def test_without_the_record_it_says_what_is_missing(context: StageContext) -> None:
    with pytest.raises(UserError, match="build record"):
        await QuirksStage().act(context, {}, "names")
