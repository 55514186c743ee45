"""The docs: links lead somewhere, configuration files parse, commands that are named exist."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from llmos.cli.main import VERBS, cli
from llmos.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


#: What the configuration formats allow, of what is used here or near it: a misspelt key must fail.
_VLLM = {"model", "distributed-executor-backend", "tensor-parallel-size", "pipeline-parallel-size", "max-model-len",
         "enable-auto-tool-choice", "tool-call-parser", "reasoning-parser", "host", "port"}  # fmt: skip
_SERVICE = {"build", "command", "deploy", "entrypoint", "environment", "image", "network_mode", "ports", "restart",
            "shm_size", "volumes"}  # fmt: skip


def test_the_worked_deployment_parses_and_fits_together() -> None:
    folder = ROOT / "docs" / "deploy"
    settings = Settings.model_validate(tomllib.loads((folder / "settings.toml").read_text()))
    head, worker, vllm = (
        yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in ("head", "worker", "vllm")
    )
    assert set(vllm) <= _VLLM
    for machine in (head, worker):
        assert set(machine) == {"services", "volumes"}
        used = [volume for one in machine["services"].values() for volume in one["volumes"]]
        assert {name for volume in used if (name := volume.split(":")[0])[0] not in "./"} == set(
            machine["volumes"]
        )
        assert all(set(one) <= _SERVICE for one in machine["services"].values())

    serving, ray = head["services"]["vllm"], worker["services"]["ray"]
    started, joined = serving["command"][0], " ".join(ray["entrypoint"])
    address = serving["environment"]["VLLM_HOST_IP"]
    assert f"--node-ip-address={address} " in started
    assert f"--node-ip-address={ray['environment']['VLLM_HOST_IP']}" in joined and "--block" in joined
    port = re.search(r"--port=(\d+)", started)
    assert port and f"--address={address}:{port[1]}" in joined
    config = re.search(r"vllm serve --config (\S+)", started)
    assert config and f"./vllm.yaml:{config[1]}:ro" in serving["volumes"]
    for one in (serving, ray):  # both see their GPUs and each other
        (device,) = one["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"] and one["network_mode"] == "host" and one["build"] == "."
    assert serving["environment"]["VLLM_API_KEY"].startswith("${LLMOS_KERNEL_TOKEN:?")
    assert re.search(r'FROM vllm/vllm-openai:v[\d.]+\nRUN pip install .*"ray\[cgraph\]==[\d.]+"',
                     (folder / "Dockerfile").read_text())  # fmt: skip

    assert settings.model.kernel_url == f"http://{vllm['host']}:{vllm['port']}"
    assert settings.model.context == vllm["max-model-len"]
    assert vllm["host"] == address and vllm["distributed-executor-backend"] == "ray"
    assert vllm["pipeline-parallel-size"] == len((head, worker))  # a stage a machine

    chroma = head["services"]["chroma"]
    assert chroma["ports"][0].startswith(settings.plugins.options["disk"]["chroma_url"].removeprefix("http://"))
    release = importlib.metadata.version("chromadb").split(".")[0]
    assert chroma["image"].startswith(f"chromadb/chroma:{release}.")


def test_every_verb_has_help() -> None:
    runner = CliRunner()
    for verb in VERBS:
        result = runner.invoke(cli, [verb, "--help"])
        assert result.exit_code == 0, (verb, result.output)
        assert "Usage:" in result.output


def test_commands_in_the_docs_exist() -> None:
    named: set[str] = set()
    for page in PAGES:
        named |= set(re.findall(r"`llmos ([a-z]+)", page.read_text(encoding="utf-8")))
    own = set(VERBS)
    plugins = {"disk", "web", "ram", "code", "think", "remember", "forget", "memories", "mcp"}
    assert named <= own | plugins, named - own - plugins


def test_the_readme_tells_the_scores_of_the_bundled_model() -> None:
    record = ROOT / "models" / "llmos-3m" / "record" / "scores.json"
    scores = json.loads(record.read_text(encoding="utf-8"))["chat"]

    def percent(ability: str, score: str = "correct") -> str:
        return f"{100 * scores[ability][score]['value']:.0f}"

    told = [
        ("help in trained wording {} %, in new wording {} %",
         percent("help_trained_phrasing"), percent("help_new_phrasing")),
        ("{} % with new names and {} % with relations it never saw",
         percent("pages_new_names"), percent("pages_new_relations")),
        ('"the pages do not say" {} to {} %, {} % beside new relations', percent("absent_new_names"),
         percent("absent_new_prose"), percent("absent_new_relations")),
        ("right tool {} %, {} % in new wording, exact call {} and {} %", percent("tools_trained_phrasing", "right_tool"),
         percent("tools_new_phrasing", "right_tool"), percent("tools_trained_phrasing", "exact_call"),
         percent("tools_new_phrasing", "exact_call")),
        ("sums step by step {} %, with numbers of a new range {} %, at once {} %", percent("steps_new_pairs"),
         percent("steps_new_range"), percent("direct_new_pairs")),
        ("two-step word problems {} %", percent("word_problems")),
    ]  # fmt: skip
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for text, *figures in told:
        assert text.format(*figures) in readme
