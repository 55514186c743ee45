"""The scheduler, step by step, on the tiny model in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llmos.kernel import prefill
from llmos.kernel.engine import Engine
from llmos.kernel.jobs import Job
from llmos.kernel.prefill import CHUNK_ALONE, CHUNK_BESIDE
from llmos.kernel.protocol import KernelError
from llmos.kernel.sampler import Sampler
from llmos.kernel.scheduler import BACKGROUND_SHARE, KEPT_FREE, Scheduler
from llmos.kernel.sequences import SequenceTable
from tests.llmos.kernel.helpers import GREEDY


class Bench:
    """A scheduler whose events are collected by job."""

    def __init__(self, engine: Engine) -> None:
        engine.clear()
        self.engine = engine
        self.table = SequenceTable(engine, engine.max_sequences)
        self.events: dict[int, list[dict[str, Any]]] = {}
        self.scheduler = Scheduler(engine, self.table, self._emit)

    def _emit(self, number: int, message: dict[str, Any]) -> None:
        self.events.setdefault(number, []).append(message)

    def job(self, number: int, length: int, **changes: Any) -> Job:
        values: dict[str, Any] = {
            "id": number,
            "prompt": [20 + (n * (number + 1)) % 480 for n in range(length)],
            "sequence": f"s{number}",
            "max_tokens": 20,
            "sampling": GREEDY,
            "stop": [],
            "grammar": "",
            "grammar_trigger": "",
            "samples": 1,
            "logprobs": 0,
            "priority": "person",
            "keep": True,
            "bias": {0: -1e9, 2: -1e9},
        }
        made = Job(**{**values, **changes})
        self.scheduler.submit(made)
        return made

    def kinds(self, number: int) -> list[str]:
        return [one["e"] for one in self.events.get(number, [])]

    def progress(self, number: int) -> list[int]:
        return [one["done"] for one in self.events.get(number, []) if one["e"] == "prefill"]

    def tokens(self, number: int) -> list[int]:
        return [token for one in self.events[number] if one["e"] == "chunk" for token in one["t"]]

    def finished(self, number: int) -> dict[str, Any]:
        return next(one for one in self.events[number] if one["e"] == "finished")

    def run(self, limit: int = 2000) -> None:
        for _ in range(limit):
            if not self.scheduler.busy:
                return
            self.scheduler.step()
        raise AssertionError("the scheduler does not come to an end")


@pytest.fixture
def bench(engine: Engine) -> Iterator[Bench]:
    made = Bench(engine)
    yield made
    made.scheduler.drop_all("over")


def test_the_prompt_is_read_in_chunks(bench: Bench) -> None:
    bench.job(1, 300)
    bench.run()
    assert bench.progress(1) == [0, CHUNK_ALONE, 2 * CHUNK_ALONE, 300]
    assert bench.kinds(1)[-2:] == ["finished", "end"]


def test_a_slow_model_reads_in_smaller_chunks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefill, "SLOW_CHUNK", 0.0)
    bench.job(1, 300)
    bench.run()
    assert bench.progress(1)[:4] == [0, CHUNK_ALONE, CHUNK_ALONE + CHUNK_BESIDE, CHUNK_ALONE + 2 * CHUNK_BESIDE]


def test_a_stop_takes_effect_within_one_chunk_and_keeps_what_was_read(bench: Bench) -> None:
    job = bench.job(1, 400)
    bench.scheduler.step()
    bench.scheduler.stop(1)
    bench.scheduler.step()
    assert bench.progress(1) == [0, CHUNK_ALONE]
    assert bench.finished(1)["stop_reason"] == "stopped"
    assert not bench.scheduler.busy
    again = bench.job(2, 0, prompt=list(job.prompt), sequence="s1")
    bench.run()
    assert again.cached == CHUNK_ALONE


def test_a_stop_takes_effect_within_one_token(bench: Bench) -> None:
    job = bench.job(1, 50, max_tokens=300)
    while not job.lanes or job.lanes[0].count < 5:
        bench.scheduler.step()
    bench.scheduler.stop(1)
    bench.scheduler.step()
    assert bench.finished(1)["completion_tokens"] == 5
    assert bench.finished(1)["stop_reason"] == "stopped"


def test_a_waiting_job_can_be_stopped(bench: Bench) -> None:
    bench.job(1, 50, max_tokens=5)
    bench.job(2, 50, sequence="s1")  # waits for the same sequence
    bench.scheduler.step()
    bench.scheduler.stop(2)
    bench.run()
    assert bench.finished(1)["completion_tokens"] == 5
    assert bench.finished(2)["stop_reason"] == "stopped"


def test_jobs_of_one_sequence_run_one_after_the_other(bench: Bench) -> None:
    first = bench.job(1, 60, max_tokens=5)
    bench.job(2, 0, prompt=[*first.prompt, 30, 31], sequence="s1", max_tokens=3)
    bench.run()
    assert bench.finished(2)["cached_tokens"] == 60


def test_decoding_goes_on_beside_a_long_prompt(bench: Bench) -> None:
    speaking = bench.job(1, 20, max_tokens=40)
    while not speaking.lanes:
        bench.scheduler.step()
    before = speaking.lanes[0].count
    bench.job(2, 300, max_tokens=1)
    bench.scheduler.step()
    bench.scheduler.step()
    assert speaking.lanes[0].count == before + 2
    assert bench.progress(2) == [0, CHUNK_BESIDE, 2 * CHUNK_BESIDE]


def test_jobs_that_come_together_begin_together(bench: Bench) -> None:
    jobs = [bench.job(number, 12, max_tokens=20) for number in range(1, 6)]
    bench.scheduler.step()
    assert [job.lanes[0].count for job in jobs] == [1] * 5
    while bench.scheduler.busy:
        bench.scheduler.step()
        assert len({job.lanes[0].count for job in jobs}) == 1
    bench.job(9, 0, prompt=list(jobs[3].prompt), sequence="alone", max_tokens=20)
    bench.run()
    assert bench.tokens(9) == bench.tokens(4)  # each was read into its own sequence


def test_a_short_prompt_does_not_wait_for_a_long_one(bench: Bench) -> None:
    speaking = bench.job(1, 20, max_tokens=40)
    while not speaking.lanes:
        bench.scheduler.step()
    long = bench.job(2, 300, max_tokens=1)
    bench.scheduler.step()
    short = bench.job(3, CHUNK_BESIDE // 2, max_tokens=1)
    bench.scheduler.step()
    assert short.lanes
    assert long.done == CHUNK_BESIDE + CHUNK_BESIDE // 2
    bench.run()
    assert {bench.finished(number)["completion_tokens"] for number in (2, 3)} == {1}


def _family(bench: Bench, beginning: int) -> list[Job]:
    """Jobs that come together and whose prompts begin alike."""
    start = [20 + (7 * n) % 480 for n in range(beginning)]
    return [
        bench.job(number, 0, prompt=[*start, *range(30 * number, 30 * number + 5)], max_tokens=6)
        for number in (1, 2, 3)
    ]


def test_what_prompts_that_come_together_begin_with_is_read_once(bench: Bench) -> None:
    jobs = _family(bench, 200)
    bench.run()
    assert [job.cached for job in jobs] == [0, 200, 200]
    assert bench.progress(2) == [0, 200, 205]  # nothing, then what the first has read, then its own end
    together = [bench.tokens(job.id) for job in jobs]
    for job in jobs:
        bench.engine.clear()
        bench.table.forget_all()
        bench.job(10 + job.id, 0, prompt=list(job.prompt), max_tokens=6)
        bench.run()
    assert [bench.tokens(10 + job.id) for job in jobs] == together


def test_who_reads_for_others_may_be_stopped(bench: Bench) -> None:
    first, second, third = _family(bench, 300)
    bench.scheduler.step()
    bench.scheduler.stop(first.id)
    bench.run()
    assert (second.cached, third.cached) == (CHUNK_ALONE, 300)
    assert bench.finished(second.id)["completion_tokens"] == 6


def test_a_model_that_cannot_share_reads_each_prompt(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.engine, "partial_removal", False)
    jobs = _family(bench, 100)
    bench.run()
    assert [job.cached for job in jobs] == [0, 0, 0]


def test_the_person_goes_before_background_jobs(bench: Bench) -> None:
    background = bench.job(1, 20, max_tokens=200, priority="background")
    while not background.lanes:
        bench.scheduler.step()
    person = bench.job(2, 20, max_tokens=100)
    before = background.lanes[0].count
    while bench.kinds(2)[-1:] != ["end"]:
        bench.scheduler.step()
    written = background.lanes[0].count - before
    steps = person.lanes[0].count
    assert steps == 100
    assert 0 < written <= steps // BACKGROUND_SHARE + 2  # slow, but it does not starve
    bench.run()
    assert bench.finished(1)["completion_tokens"] == 200


def test_a_person_is_admitted_before_waiting_background_jobs(bench: Bench) -> None:
    for number in range(1, 10):
        bench.job(number, 20, max_tokens=30, priority="background")
    bench.job(20, 20, max_tokens=30)
    bench.run()
    ended = [number for number in bench.events if bench.kinds(number)[-1] == "end"]
    assert len(ended) == 10
    # Only six sequences exist: the person did not wait for the background jobs beyond the running ones.
    late = [n for n in range(1, 10) if bench.finished(n)["seconds"] > bench.finished(20)["seconds"]]
    assert late


def test_background_jobs_leave_room_for_the_person(bench: Bench) -> None:
    for number in range(1, 10):
        bench.job(number, 20, max_tokens=300, priority="background")
    for _ in range(30):
        bench.scheduler.step()
    running = bench.scheduler.counts[0]
    assert running == bench.engine.max_sequences - KEPT_FREE
    bench.job(20, 20, max_tokens=5)
    bench.scheduler.step()
    assert bench.scheduler.counts[0] == running + 1


def test_a_prompt_can_be_read_without_an_answer(bench: Bench) -> None:
    job = bench.job(1, 100, max_tokens=0)
    bench.run()
    end = bench.finished(1)
    assert (end["completion_tokens"], end["first_token_seconds"], end["stop_reason"]) == (0, 0.0, "length")
    again = bench.job(2, 0, prompt=list(job.prompt), sequence="s1", max_tokens=1)
    bench.run()
    assert again.cached == 99


def test_a_full_cache_frees_idle_sequences_first(bench: Bench) -> None:
    for number in range(1, 5):
        bench.job(number, 200, max_tokens=2)
        bench.run()
    names = {slot.name for slot in bench.table.named()}
    assert "s4" in names and "s1" not in names
    assert bench.table.cells_used <= bench.engine.context


def test_two_jobs_that_do_not_fit_together_both_end(bench: Bench) -> None:
    bench.job(1, 300, max_tokens=30)
    bench.job(2, 300, max_tokens=30, priority="background")
    bench.run()
    assert bench.finished(1)["stop_reason"] == "length"
    ends = bench.kinds(2)
    assert ends[-1] in ("end", "error")


def test_samples_longer_than_the_room_end_with_length(bench: Bench) -> None:
    bench.job(1, 300, max_tokens=None, samples=4)
    bench.run()
    ends = [one for one in bench.events[1] if one["e"] == "finished"]
    assert sorted(one["sample"] for one in ends) == [0, 1, 2, 3]
    assert {one["stop_reason"] for one in ends} == {"length"}


def test_a_failing_sample_ends_its_job_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    other = bench.job(1, 30, max_tokens=40)
    while not other.lanes:
        bench.scheduler.step()
    broken = bench.job(2, 40, samples=3, max_tokens=40)
    while not broken.lanes:
        bench.scheduler.step()
    draw = Sampler.draw

    def fails(self: Sampler, row: int) -> int:
        if self is broken.lanes[1].sampler:
            raise KernelError("no numbers")
        return draw(self, row)

    monkeypatch.setattr(Sampler, "draw", fails)
    bench.run()
    assert bench.kinds(2).count("error") == 1
    assert bench.finished(1)["completion_tokens"] == 40
    assert {slot.name for slot in bench.table.named()} == {"s1", "s2"}
    again = bench.job(3, 0, prompt=list(broken.prompt), sequence="s2", max_tokens=3)
    bench.run()
    assert again.cached == 39
    assert bench.finished(3)["completion_tokens"] == 3


def test_submit_refuses(bench: Bench) -> None:
    with pytest.raises(KernelError, match="shorten it by at least 1 tokens"):
        bench.job(1, 512)
    with pytest.raises(KernelError, match="empty"):
        bench.job(1, 0)
    with pytest.raises(KernelError, match="samples"):
        bench.job(1, 5, samples=0)


def test_a_task_yields_between_steps_and_its_error_is_told(bench: Bench) -> None:
    done: list[int] = []

    def task() -> Iterator[None]:
        for number in range(3):
            done.append(number)
            yield
        raise KernelError("the task says why")

    bench.job(1, 20, max_tokens=10)
    bench.scheduler.add_task(9, task())  # type: ignore[arg-type]
    bench.scheduler.step()
    assert done == [0]
    bench.run()
    assert done == [0, 1, 2]
    assert bench.events[9] == [{"e": "error", "text": "the task says why", "kind": "KernelError"}]
    assert bench.finished(1)["completion_tokens"] == 10
