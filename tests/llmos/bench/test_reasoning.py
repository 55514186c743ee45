"""The bench of reasoning: items, kept samples, replays, the drawing; one item on the bundled model."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.bench.plot import Dot, Series, plot
from llmos.bench.reasoning import curve_figures, drawing, run
from llmos.bench.reasoning_curve import Replay, paired, undecided
from llmos.bench.reasoning_items import KINDS, Item, make_items
from llmos.bench.reasoning_samples import BLOCK, CUTS, TOGETHER, Sample, Sampler, Samples
from llmos.foundry.tasks.arithmetic import HELD_RANGE
from llmos.kernel.client import KernelClient
from llmos.kernel.locate import resolve
from llmos.kernel.protocol import LoadRequest
from llmos.types import UserError

PACE = {"direct": 0.1, "one": 100.0, "several": 200.0}


def test_items_are_the_same_every_time_and_a_longer_list_begins_alike() -> None:
    items = make_items(20)
    assert items == make_items(40)[:20] != make_items(20, seed=6)
    assert [item.kind for item in items[:5]] == list(KINDS)
    for item in items:
        assert item.answer.lstrip("-").isdigit() and item.question
        if item.kind == "new range":
            numbers = [
                int(word.strip("?.,=")) for word in item.question.split() if word.strip("?.,=").isdigit()
            ]
            assert all(number in HELD_RANGE for number in numbers)


def sample(answer: str, tokens: int = 10) -> Sample:
    return Sample(f"It is {answer}.", "", tokens, -1.0)


def test_samples_outlive_the_run_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "samples.jsonl"
    kept = Samples(path)
    kept.add(0, "tries", [sample("7"), sample("8")])
    kept.add(0, "tries", [sample("9")])
    with path.open("a") as file:
        file.write('{"item": 1, "kind": "tries", "samp')
    again = Samples(path)
    assert again.of(0, "tries") == [sample("7"), sample("8"), sample("9")]
    assert again.of(1, "tries") == []


def replay_of(tmp_path: Path, tries: Sequence[Sequence[str]], *, direct: str = "1") -> Replay:
    """Items whose right answer is 7, with these tries."""
    items = [Item("", "What is 3 + 4?", "7", "new pairs") for _ in tries]
    kept = Samples(tmp_path / "s.jsonl")
    for number, answers in enumerate(tries):
        kept.add(number, "direct", [sample(direct, 5)])
        kept.add(number, "single", [sample(answers[0], 50)])
        for cut in CUTS:
            kept.add(number, f"cut{cut}", [sample(direct, cut)])
        kept.add(number, "tries", [sample(answer) for answer in answers])
    return Replay(items, kept, PACE, list(range(len(items))))


def test_votes_are_replayed_with_tokens_and_seconds(tmp_path: Path) -> None:
    replay = replay_of(tmp_path, [["7"] * 8, ["8", "7", "8", "7", "7", "7", "7", "7"]])
    all_of_them = replay.vote(0, most=8, early=False)
    assert (all_of_them.key, all_of_them.tokens, all_of_them.tries) == ("7", 80, 8)
    assert all_of_them.seconds == pytest.approx(10 / 100 + 70 / 200)
    early = replay.vote(0, most=8, early=True)
    assert (early.key, early.tries) == ("7", 4)  # four votes to none are enough, three are not
    assert replay.vote(1, most=8, early=True).tries > 4
    timed = replay.vote(0, most=8, early=False, allowed=0.25)
    assert timed.tries == 3 and timed.seconds == pytest.approx(0.2375)
    assert not undecided(replay.items[0], replay.samples.of(0, "tries"))
    assert undecided(replay.items[1], replay.samples.of(1, "tries")[:4])


def test_checks_change_the_vote(tmp_path: Path) -> None:
    replay = replay_of(tmp_path, [["8", "8", "8", "7"]])
    assert replay.vote(0, most=4, early=False).key == "8"
    replay.checks = {0: [("wrong", True)] * 3 + [("right", True)]}
    assert replay.vote(0, most=4, early=True, check=True).key == "7"
    assert replay.checked()[-1].share == 1.0


def test_figures_and_drawing(tmp_path: Path) -> None:
    replay = replay_of(tmp_path, [["7"] * 8, ["8", *["7"] * 7], ["8"] * 8])
    figures, points = curve_figures(replay, 8, 3)
    by_name = {one.name: one for one in figures}
    assert by_name["questions with all their samples"].ok
    assert by_name["thinking minus direct (+0.0% to +100.0%)"].value == pytest.approx(1 / 3)
    saved = by_name["tokens saved by stopping early, of 8 tries"]
    assert 0.3 < saved.value < 0.6 and saved.target == ">= 0.4"
    assert by_name["new pairs (n=3), majority of 8"].value == pytest.approx(2 / 3)
    assert not curve_figures(replay, 8, 4)[0][0].ok  # one question is still to be asked
    drawn = drawing(points, "a <model>")
    root = ElementTree.fromstring(drawn)
    assert "3 held-out questions" in "".join(root.itertext())
    # A mark for each point and one for each series in the key.
    series = len({point.series for point in points} - {"direct"})
    marks = drawn.count("<circle") + drawn.count("<polygon")
    assert marks == len(points) + series


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_the_paired_interval_holds_the_difference(pairs: list[tuple[bool, bool]]) -> None:
    better, worse = [one for one, _ in pairs], [one for _, one in pairs]
    mean, low, high = paired(better, worse, rounds=200)
    assert low - 1e-9 <= mean <= high + 1e-9 and low >= -1 and high <= 1
    assert mean == pytest.approx((sum(better) - sum(worse)) / len(pairs))
    assert paired(better, better, rounds=50) == (0.0, 0.0, 0.0)


@given(
    st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(0, 1)), min_size=1, max_size=6),
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=20),
)
def test_any_plot_is_well_formed_and_inside_its_frame(dots: list[tuple[float, float]], name: str) -> None:
    series = Series(name, tuple(Dot(x, y, y, y) for x, y in dots))
    root = ElementTree.fromstring(plot(name, name, name, [series]))
    width = float(root.attrib["width"])
    for mark in root.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(mark.attrib["cx"]) <= width


@pytest.mark.parametrize("options", [{"parts": "curve,nothing"}, {"shapes": "7B"}])
def test_unknown_parts_and_shapes_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UserError, match="There is no"):
        run(**options)  # type: ignore[arg-type]


async def test_samples_of_the_bundled_model_are_taken_once(tmp_path: Path) -> None:
    kernel = KernelClient()
    items = make_items(1, seed=900)
    try:
        await kernel.load(
            LoadRequest(resolve("").path, context=2048, max_sequences=BLOCK * TOGETHER + 4, threads=1)
        )
        kept = Samples(tmp_path / "s.jsonl")
        sampler = Sampler(kernel, kept, undecided, tries=2, most=2)
        assert await sampler.take(items, 0.0, print) == 0  # no time, nothing taken
        assert await sampler.take(items, 60.0, print) == 1
        before = kept.path.read_text()
        assert await Sampler(kernel, Samples(kept.path), undecided, 2, 2).take(items, 60.0, print) == 1
        assert kept.path.read_text() == before
        again = await sampler.tries(items[0], 2, seed=0)
    finally:
        await kernel.close()
    assert len(kept.of(0, "tries")) == 2 and kept.of(0, "direct")[0].tokens < kept.of(0, "single")[0].tokens
    # The seeds are the items' own, so that a run that is gone on with is the run in one piece.
    assert [one.text for one in again] == [one.text for one in kept.of(0, "tries")]
