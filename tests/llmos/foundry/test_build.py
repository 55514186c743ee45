"""The whole build, end to end at the smallest depth, and the record that it leaves."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from llmos.cli.build import build
from llmos.foundry.record import BuildRecord, RecordError, load_record
from tests.helpers.require import require


@pytest.mark.timeout(1200)
def test_nano_build_runs_through_every_stage(tmp_path: Path) -> None:
    for name in ("torch", "tokenizers", "trafilatura", "py3langid"):
        require(name)
    out = tmp_path / "build"
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.jsonl").write_text(
        "\n".join(
            json.dumps(
                {
                    "text": f"Story {n}. The boy and the dog went to the river, and it was the best day of the year."
                }
            )
            for n in range(400)
        )
    )
    arguments = ["--depth", "nano", "--corpus", str(corpus), "--out", str(out), "--scale", "0.4"]
    result = CliRunner().invoke(build, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    models = out / "models"
    listed = (models / "models.toml").read_text()
    assert 'role = "chat"' in listed and listed.count("selectable = true") == 1
    assert 'role = "twin"' in listed and 'role = "checkpoint"' in listed
    checks = json.loads((models / "checks.json").read_text())
    assert all(c["wrong_ids"] == 0 and c["strings"] == 500 for c in checks.values())
    assert checks["chat as F32"]["logit_error"] < 0.05
    scores = json.loads((out / "scores.json").read_text())
    for role in ("base", "sft", "dpo", "chat"):
        assert scores[role]["pages_new_names"]["n"] == 4
        assert 0 <= scores[role]["tools_new_phrasing"]["valid"]["low"] <= 1
    assert "pages_new_names" in scores["sft_to_chat"] and "pages_new_names" in scores["sft_to_dpo"]

    # One stage again with more items: what was measured of the others stays, the table takes both.
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- scores:begin -->STALE<!-- scores:end -->\nafter\n")
    again = ["evaluate", *arguments, "--role", "chat", "--items", "5", "--voters", "2", "--page", str(page)]
    result = CliRunner().invoke(build, again, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    wider = json.loads((out / "scores.json").read_text())
    assert wider["chat"]["pages_new_names"]["n"] == 5 and wider["base"]["pages_new_names"]["n"] == 4
    assert wider["chat"]["steps_majority_16"]["n"] == 2
    written = page.read_text()
    assert written.startswith("before") and written.endswith("after\n") and "STALE" not in written
    assert "| pages new names | value and page | 4/5 |" in written and "Change from SFT to DPO" in written

    from llmos.foundry.record_writer import write_record

    folder = write_record(out, models, "llmos-nano", corpus="test", pairs=4, examples=4)
    record = BuildRecord(folder)
    assert record.name == "llmos-nano"
    assert record.funnel()["stages"][0]["name"] == "host"
    left, right, _ = record.merges()[0]
    assert isinstance(left, bytes) and left + right
    curve = record.curve()
    assert {"step", "tokens", "loss", "lr", "grad_norm", "tokens_per_second"} <= curve[0].keys()
    assert curve[0]["loss"] > curve[-1]["loss"]
    assert record.held_out()[0]["step"] == 1 and "generated" in record.held_out()[-1]["held_out"]
    assert record.checkpoints()[0][0] == 1
    assert {s.step for s in record.samples()} >= {1}
    example = record.examples()[0]
    assert len(example.tokens) == len(example.learned) and any(example.learned) and not all(example.learned)
    pair = record.pairs()[0]
    assert pair.chosen != pair.rejected and pair.prompt.endswith("assistant\n")
    head = record.reward_head()
    assert isinstance(head.score([0.0] * len(head.vector)), float)
    with pytest.raises(ValueError, match="does not fit"):
        head.score([1.0])
    assert record.curve("rl") and record.curve("preferences")
    assert len(record.planted()["absent"]) == 16
    assert record.about["seeds"]["pretrain"] == 1 and record.about["hours"] >= 0
    assert "not measured" in str(record.about["energy_joules"]) or record.about["energy_joules"] >= 0

    again = CliRunner().invoke(build, arguments, catch_exceptions=False)
    assert again.exit_code == 0 and "scores.json" in again.output


@pytest.mark.timeout(600)
def test_finished_stages_are_gone_on_with(tmp_path: Path) -> None:
    """More pre-training moves the base, and the fine-tuned model takes that change along."""
    for name in ("torch", "tokenizers", "trafilatura", "py3langid"):
        require(name)
    import torch

    from llmos.foundry.trainer import load_state

    run = CliRunner()
    shared = ["--depth", "nano", "--out", str(tmp_path)]
    first = run.invoke(build, ["sft", *shared, "--scale", "0.1"], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    base, tuned = (load_state(tmp_path / s / "final.pt")["weights"] for s in ("pretrain", "sft"))
    steps = json.loads((tmp_path / "pretrain" / "facts.json").read_text())["steps"]
    longer = run.invoke(build, ["pretrain", *shared, "--scale", "0.2", "--more"], catch_exceptions=False)
    assert longer.exit_code == 0 and f"going on at step {steps}" in longer.output
    new_base = load_state(tmp_path / "pretrain" / "final.pt")["weights"]
    assert any(not torch.equal(new_base[n], base[n]) for n in base)

    from llmos.foundry.more import reopen_sft

    assert reopen_sft(tmp_path)
    state = load_state(tmp_path / "sft" / "state.pt")
    for name, weight in state["weights"].items():
        assert torch.allclose(weight, tuned[name] + new_base[name] - base[name], atol=1e-6)
    assert not (tmp_path / "sft" / "final.pt").exists()
    on = run.invoke(build, ["sft", *shared, "--scale", "0.2"], catch_exceptions=False)
    assert on.exit_code == 0 and "going on at step" in on.output
    facts = json.loads((tmp_path / "sft" / "facts.json").read_text())
    assert facts["tokens"] >= 0.2 * 120_000
    assert not reopen_sft(tmp_path), "the same base twice changes nothing"


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    require("trafilatura")
    from llmos.types import UserError

    with pytest.raises(UserError, match="no corpus folder at"):
        CliRunner().invoke(
            build,
            ["data", "--corpus", str(tmp_path / "none"), "--out", str(tmp_path)],
            catch_exceptions=False,
            standalone_mode=False,
        )
    with pytest.raises(UserError, match="There is no model file"):
        CliRunner().invoke(
            build,
            ["evaluate", "--model", str(tmp_path / "none.gguf")],
            catch_exceptions=False,
            standalone_mode=False,
        )


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no record\.json"):
        load_record(tmp_path)
    folder = tmp_path / "llmos-3m" / "record"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text('{"version": 99}')
    with pytest.raises(RecordError, match="version 99"):
        load_record(tmp_path)
    (folder / "record.json").write_text('{"version": 1, "name": "x"}')
    (folder / "merges.json").write_text("{")
    with pytest.raises(RecordError, match="cannot be read"):
        load_record(tmp_path).merges()
