"""The house rules that a machine can check: layers, lazy imports, file sizes, no registry hosts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEADLESS = [
    "llmos.types",
    "llmos.settings",
    "llmos.kernel.client",
    "llmos.guard.guard",
    "llmos.plugins",
    "llmos.conversation.session",
    "llmos.cli.main",
]
HEAVY = [
    "textual",
    "llama_cpp",
    "chromadb",
    "torch",
    "tokenizers",
    "trafilatura",
    "huggingface_hub",
    "mcp",
    "ddgs",
]


def _tracked(*patterns: str) -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    names = subprocess.run(
        ["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("module", HEADLESS)
def test_headless_modules_import_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*(set({HEAVY!r}) & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.split() == []


def test_imports_go_down_the_layers_only() -> None:
    out = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert out.returncode == 0, out.stdout + out.stderr


def test_no_source_file_outgrows_its_job() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in _tracked("llmos/*.py", "plugins/*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert long == {}


def test_no_file_names_a_package_registry() -> None:
    hosts = ["pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org", "deb.debian" + ".org"]
    found = [
        str(path.relative_to(ROOT))
        for path in _tracked("*.py", "*.toml", "*.txt", "*.md", "Makefile", ".ci/run")
        if any(host in path.read_text(encoding="utf-8", errors="replace") for host in hosts)
    ]
    assert found == []
