"""``llmos stages``: twelve panels, every figure with its mark and source, one panel with its picture."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.cli.main import cli
from llmos.stages.registry import STAGES
from llmos.stages.tour import TOUR


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_random_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", TINY))


def shown(*arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(cli, ["stages", "--json", *arguments])
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.output)["stages"]
    return found


def test_all_twelve_with_every_figures_mark(model: str) -> None:
    found = shown("--model", model)
    assert [one["id"] for one in found] == [entry.id for entry in STAGES] == [step.stage for step in TOUR]
    assert len(found) == 12
    for one in found:
        assert len(one["sentences"]) == 3
        assert one["figures"], one["id"]
        for figure in one["figures"]:
            assert figure["mark"] in ("live", "recorded", "cited") and figure["source"], figure
    disputed = {figure["name"]: figure for one in found for figure in one["figures"]}
    for name in ("Common Crawl, one crawl", "FineWeb", "Vocabulary of cl100k_base", "GPT-2's cost today"):
        assert disputed[name]["mark"] == "cited" and disputed[name]["caveat"]
    machine = {figure["name"]: figure["value"] for figure in found[-1]["figures"]}
    assert "Disk (files and their index)" in machine  # the plugins are there, as in the Build tab


def test_one_panel_comes_with_its_picture_and_the_tokenizers(model: str) -> None:
    (panel,) = shown("tokens", "--model", model)
    titles = [part["title"] for part in panel["parts"]]
    assert "Several tokenizers side by side" in titles
    assert {part["mark"] for part in panel["parts"]} <= {"live", "recorded", "cited"}
    assert all(part["text"].strip() for part in panel["parts"])


def test_text_says_where_a_figure_is_from_and_an_unknown_panel_is_told(model: str) -> None:
    result = CliRunner().invoke(cli, ["stages", "inference", "--model", model])
    assert "[live: " in result.output and "Entropy along the text" in result.output
    result = CliRunner().invoke(cli, ["stages", "nothing", "--model", model])
    assert result.exit_code != 0
