"""The decode benchmark on a tiny model: what it reports, not how fast this machine is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmos.bench.decode import Case, measure
from llmos.bench.figures import Figure, as_json, as_table, figure
from llmos.bench.random_gguf import M15, M135, TINY, vocabulary, write_random_gguf
from llmos.kernel.gguf_header import read_header


async def test_every_size_is_measured_against_the_bare_loop(tmp_path: Path) -> None:
    said: list[str] = []
    figures = await measure(
        folder=tmp_path, cases=(Case(TINY, "F32", 20, 6, 0.1),), quick=True, say=said.append
    )
    names = [one.name for one in figures]
    assert "decode at tiny, whole path / bare loop" in names
    ratio = figures[0]
    assert (ratio.unit, ratio.target) == ("ratio", ">= 0.1")
    by_name = {one.name.removeprefix("decode at tiny, "): one.value for one in figures}
    assert by_name["whole path"] > 0 and by_name["bare loop"] > 0
    parts = ["forward pass", "sampling", "token to text", "pipe", "scheduler"]
    booked = sum(by_name[f"a token: {part}"] for part in parts)
    assert 0 < by_name["a token: forward pass"] < booked
    assert by_name["a token: worker, processor"] > 0 and by_name["a token: client, processor"] > 0
    assert (tmp_path / "random-tiny-F32.gguf").exists()
    assert said[:2] == ["writing random weights of the tiny shape", "loading tiny"]
    assert said[2].startswith("tiny, round 1 of 1: ")


async def test_a_given_model_is_measured_with_first_token_and_stop(tmp_path: Path) -> None:
    model = write_random_gguf(tmp_path / "mine.gguf", TINY)
    figures = {one.name: one for one in await measure(model)}
    assert any(name.startswith("first token after 2,000 tokens") for name in figures)
    stopped = figures["evaluated after a stop while a prompt is read"]
    assert stopped.unit == "chunks" and stopped.value >= 0


def test_figures_and_their_targets() -> None:
    assert figure("a", 0.96, "ratio", ">=", 0.95) == Figure("a", 0.96, "ratio", ">= 0.95", True)
    assert not figure("a", 0.94, "ratio", ">=", 0.95).ok
    assert figure("a", 1.1, "ratio", "<=", 1.2).ok
    assert not figure("a", 1.3, "ratio", "<=", 1.2).ok
    assert figure("a", 5, "ms").ok and figure("a", 5, "ms").target == ""


def test_figures_as_json_and_as_a_table() -> None:
    figures = [figure("speed", 0.5, "ratio", ">=", 0.95), figure("time", 1234.5, "ms")]
    read = json.loads(as_json(figures))
    assert read["figures"][0] == {
        "name": "speed",
        "value": 0.5,
        "unit": "ratio",
        "target": ">= 0.95",
        "ok": False,
    }
    assert read["machine"]["cpus"] >= 1
    table = as_table(figures).splitlines()
    assert "missed" in table[1] and "1,234.5" in table[2]


@pytest.mark.parametrize("quantisation", ["F32", "F16", "Q8_0", "Q4_0"])
def test_random_models_have_the_shape_they_say(tmp_path: Path, quantisation: str) -> None:
    file = write_random_gguf(tmp_path / "m.gguf", TINY, quantisation=quantisation)  # type: ignore[arg-type]
    header = read_header(file)
    assert header.expected_bytes <= header.file_bytes
    assert header.parameters == TINY.parameters + (2 * TINY.layers + 1) * TINY.width  # and the norms
    assert 14e6 < M15.parameters < 16e6 and 130e6 < M135.parameters < 140e6


def test_the_vocabulary_has_no_doubles() -> None:
    tokens, types, _ = vocabulary(40_000)
    assert len(tokens) == len(set(tokens)) == len(types) == 40_000
