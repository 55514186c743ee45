"""Plugins made on the spot: a package in a folder of its own, found as an installed one is."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from llmos.plugins import discovery
from llmos.settings import Folders, folders

MakePlugin = Callable[..., Path]


@pytest.fixture
def home(_own_folders: Path) -> Folders:
    """The test's own folders, made."""
    return folders().make()


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on ``sys.path``, as ``site-packages`` is, and the only one where plugins are looked for.

    What is imported from it is forgotten again.
    """
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(discovery, "distributions", lambda: metadata.distributions(path=[str(folder)]))
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    yield folder
    sys.path.remove(str(folder))
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        if str(folder) in str(getattr(module, "__file__", "") or ""):
            del sys.modules[name]
    sys.path_importer_cache.clear()


@pytest.fixture
def make_plugin(site: Path) -> MakePlugin:
    """Lay an installed package there: ``make_plugin(name, manifest=…, code=…, distribution=…)``.

    The default distribution is a bundled one, so that the plugin runs in this process.
    """

    def make(name: str, *, manifest: str, code: str, distribution: str = "llmos-ram") -> Path:
        package = site / f"llmos_{name}"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "llmos-plugin.toml").write_text(f'name = "{name}"\n' + textwrap.dedent(manifest))
        (package / "plugin.py").write_text(textwrap.dedent(code))
        info = site / f"{distribution.replace('-', '_')}_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[llmos]\n{name} = llmos_{name}.plugin\n")
        return package

    return make
