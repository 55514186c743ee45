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


def test_the_worked_deployment_parses_and_fits_together() -> None:
    folder = ROOT / "docs" / "deploy"
    settings = Settings.model_validate(tomllib.loads((folder / "settings.toml").read_text()))
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    ray = yaml.safe_load((folder / "ray-cluster.yaml").read_text())
    command = compose["services"]["vllm"]["command"]
    host = next(one for one in command if one.startswith("--host=")).removeprefix("--host=")
    port = next(one for one in command if one.startswith("--port=")).removeprefix("--port=")
    assert settings.model.kernel_url == f"http://{host}:{port}"
    assert ray["provider"]["head_ip"] == host
    head = " ".join(ray["head_start_ray_commands"])
    assert compose["services"]["vllm"]["environment"]["RAY_ADDRESS"].endswith(":6379") and "--port=6379" in head
    assert "--tensor-parallel-size=2" in command and ray["max_workers"] == 2
    chroma = settings.plugins.options["disk"]["chroma_url"]
    assert compose["services"]["chroma"]["ports"][0].startswith(chroma.removeprefix("http://"))


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
