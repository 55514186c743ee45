"""The documents hold: the reference is current, the example manifest is valid, the tutorial's plugin works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from llmos.plugins import reference
from llmos.plugins.conformance import check_plugin, write_schemas
from llmos.plugins.manifest import HOOK_NAMES, parse_manifest
from llmos.plugins.registry import DEADLINES

DOCS = Path(__file__).resolve().parents[3] / "docs" / "plugins"


def test_the_reference_is_made_from_the_present_code() -> None:
    assert reference.main(["--check"]) == 0, "run `python -m llmos.plugins.reference`"
    text = (DOCS / "reference.md").read_text()
    for hook in HOOK_NAMES:
        assert f"### {hook}\n" in text


def test_the_example_manifest_is_valid_and_its_deadlines_are_true() -> None:
    text = (DOCS / "manifest.md").read_text()
    example = re.search(r"```toml\n(name = \"disk\".*?)```", text, re.DOTALL)
    assert example is not None
    manifest = parse_manifest(example[1], "manifest.md")
    assert manifest.tools[0].parameters is not None and manifest.default_settings() == {"retrieve": "auto"}
    for hook in ("llmos_stop", "llmos_context", "llmos_evict", "llmos_turn_done"):
        assert f"| `{hook}` | {DEADLINES[hook]:g} |" in text


def test_the_tutorial_ends_in_a_plugin_that_works(tmp_path: Path) -> None:
    text = (DOCS / "tutorial.md").read_text()
    files = re.findall(r"```\w+ file=(\S+)\n(.*?)```", text, re.DOTALL)
    assert {name for name, _ in files} >= {"pyproject.toml", "llmos_dice/plugin.py", "tests/test_plugin.py"}
    folder = tmp_path / "dice"
    for name, body in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    (folder / "llmos_dice" / "__init__.py").touch()
    assert write_schemas(folder) == ["roll_dice: written to llmos-plugin.toml"]
    report = check_plugin(folder)
    # How long the import takes is a matter of the machine.
    assert {one.level for one in report.findings if one.rule != "import"} == {"ok"}, report.findings
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0 and "2 passed" in ran.stdout, ran.stdout


def test_every_page_that_is_linked_is_there() -> None:
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([\w./-]+\.md)\)", page.read_text()):
            assert (page.parent / target).exists(), (page, target)
