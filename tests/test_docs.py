"""The docs: links lead somewhere, configuration files parse, commands that are named exist."""

from __future__ import annotations

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
_RAY = {"cluster_name", "min_workers", "max_workers", "docker", "provider", "auth", "file_mounts",
        "head_start_ray_commands", "worker_start_ray_commands"}  # fmt: skip
_VLLM = {"model", "distributed-executor-backend", "tensor-parallel-size", "pipeline-parallel-size", "max-model-len",
         "enable-auto-tool-choice", "tool-call-parser", "reasoning-parser", "host", "port"}  # fmt: skip
_SERVICE = {"image", "ports", "volumes", "restart"}


def test_the_worked_deployment_parses_and_fits_together() -> None:
    folder = ROOT / "docs" / "deploy"
    settings = Settings.model_validate(tomllib.loads((folder / "settings.toml").read_text()))
    compose, ray, vllm = (
        yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in ("compose", "ray-cluster", "vllm")
    )
    assert set(ray) <= _RAY and set(vllm) <= _VLLM
    assert set(compose) == {"services", "volumes"}
    assert all(set(one) <= _SERVICE for one in compose["services"].values())

    assert settings.model.kernel_url == f"http://{vllm['host']}:{vllm['port']}"
    assert settings.model.context == vllm["max-model-len"]
    head, workers = ray["provider"]["head_ip"], ray["provider"]["worker_ips"]
    assert vllm["host"] == head and ray["min_workers"] == ray["max_workers"] == len(workers)
    assert vllm["distributed-executor-backend"] == "ray"
    assert vllm["pipeline-parallel-size"] == 1 + len(workers)  # a stage a machine
    port = re.search(r"--port=(\d+)", " ".join(ray["head_start_ray_commands"]))
    assert port and f"--address={head}:{port[1]}" in " ".join(ray["worker_start_ray_commands"])
    mounted = ray["file_mounts"]
    assert all((folder / source).is_file() for source in mounted.values())
    assert all(
        target in (folder / "ray-cluster.yaml").read_text().split("cluster_name")[0] for target in mounted
    )

    chroma = settings.plugins.options["disk"]["chroma_url"]
    assert compose["services"]["chroma"]["ports"][0].startswith(chroma.removeprefix("http://"))
    assert {volume.split(":")[0] for volume in compose["services"]["chroma"]["volumes"]} == set(
        compose["volumes"]
    )


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
