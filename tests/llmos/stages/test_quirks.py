"""The eight experiments: what they count is counted again here, from what was said."""

from __future__ import annotations

import pytest

from llmos.stages import experiments
from llmos.stages.experiments import EXPERIMENTS, Experiment, Outcome, likelier, unknown
from llmos.stages.frame import StageContext, answer
from llmos.stages.quirks import QuirksStage
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
    again = await answer(
        recorded.kernel, "Tell me a short story.", 24,
        SamplingSettings(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=3),
    )  # fmt: skip
    assert again == outcome.examples[13][1]


async def test_the_likelier_continuation_is_that_of_the_plain_scores(recorded: StageContext) -> None:
    kernel, beginning, candidates = recorded.kernel, "In 2024 it", [" was", " zzqx vrkp", " is in the"]
    means = []
    for candidate in candidates:
        tokens = await kernel.tokenize(beginning + candidate, bos=True)
        start = len(await kernel.tokenize(beginning, bos=True))
        scores = (await kernel.score(tokens))[start:]
        means.append(sum(scores) / len(scores))
    assert await likelier(kernel, beginning, candidates) == means.index(max(means))


async def test_without_the_record_it_says_what_is_missing(context: StageContext) -> None:
    with pytest.raises(UserError, match="build record"):
        await QuirksStage().act(context, {}, "names")
