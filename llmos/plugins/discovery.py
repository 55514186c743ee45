"""Which plugins are installed: names, places and manifests. Nothing is imported here.

A plugin is an entry point in the group ``llmos`` or one file in the user's plugin folder.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Literal

from llmos.plugins.manifest import MANIFEST_NAME, Manifest, read_manifest, read_single_file
from llmos.settings import Folders
from llmos.types import UserError

GROUP = "llmos"

#: Distributions that come with the program; they run inside its process.
BUNDLED = frozenset({"llmos-disk", "llmos-ram", "llmos-web", "llmos-code", "llmos-reason", "llmos-mcp"})


@dataclass(frozen=True, slots=True)
class Found:
    """One installed plugin.

    Attributes:
        name: the entry point's name, or that of the file's manifest.
        module: what to import; for a single file its stem.
        source: an installed package or a single file.
        path: the package's folder, or the file.
        distribution: the package's name in the registry; empty for a file.
        version: of the package.
        manifest: None when ``error`` says why.
        error: one sentence, empty when all is well.
    """

    name: str
    module: str
    source: Literal["package", "file"]
    path: Path | None
    distribution: str = ""
    version: str = ""
    manifest: Manifest | None = None
    error: str = ""

    @property
    def bundled(self) -> bool:
        """True for the plugins that come with the program."""
        return self.source == "package" and self.distribution in BUNDLED


def discover(folders: Folders, sites: Sequence[str] | None = None) -> list[Found]:
    """Every installed plugin, sorted by name; of two with one name the bundled one stays.

    Args:
        folders: where the user's single files lie.
        sites: where packages are looked for; None takes ``sys.path``.
    """
    every = [*_packages(sites), *_files(folders.plugins)]
    every.sort(key=lambda found: (found.name, not found.bundled, found.distribution, found.module))
    result: list[Found] = []
    for found in every:
        if result and result[-1].name == found.name:
            continue  # the installer refuses a name that is taken, so this is a file laid there by hand
        result.append(found)
    return result


def find(folders: Folders, name: str) -> Found:
    """One plugin by its name.

    Raises:
        UserError: no such plugin.
    """
    for found in discover(folders):
        if found.name == name:
            return found
    raise UserError(f"There is no plugin {name!r}; `llmos plugins list` shows those that are installed.")


def _packages(sites: Sequence[str] | None) -> Iterable[Found]:
    """Plugins from entry points, without importing them."""
    seen: set[str] = set()
    for distribution in distributions() if sites is None else distributions(path=list(sites)):
        # Reading each file once by hand is several times faster than entry_points(), which parses all.
        text = distribution.read_text("entry_points.txt")
        if not text or f"[{GROUP}]" not in text:
            continue
        name = _normal(distribution.metadata["Name"] or "")
        if name in seen:
            continue  # an older copy further down sys.path
        seen.add(name)
        for entry in distribution.entry_points:
            if entry.group == GROUP:
                yield _package(entry.name, entry.module, name, distribution)


def _package(name: str, module: str, distribution_name: str, distribution: Distribution) -> Found:
    """One entry point with its manifest."""
    version = distribution.version
    top = module.partition(".")[0]
    folder: Path | None = None
    manifest: Manifest | None = None
    error = ""
    try:
        folder = package_folder(top)
        manifest = read_manifest(folder / MANIFEST_NAME)
        if manifest.name != name:
            error = f"The manifest of {name} calls it {manifest.name!r}; both names must be one."
            manifest = None
    except UserError as problem:
        error = str(problem)
    if manifest is not None and not manifest.works_here:
        error = f"The plugin {name} needs the hook surface {manifest.api}; upgrade it or the program."
    return Found(name, module, "package", folder, distribution_name, version, manifest, error)


def package_folder(top: str) -> Path:
    """Folder of a top-level package, found without importing it.

    Raises:
        UserError: it is not there.
    """
    loaded = sys.modules.get(top)
    spec = getattr(loaded, "__spec__", None)
    if spec is None:
        try:
            spec = importlib.machinery.PathFinder.find_spec(top) or importlib.util.find_spec(top)
        except (ImportError, ValueError) as error:
            raise UserError(f"The package {top} cannot be found: {error}; install it again.") from error
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"The package {top} cannot be found; install it again.")
    return Path(next(iter(spec.submodule_search_locations)))


def _files(folder: Path) -> Iterable[Found]:
    """Single-file plugins of the user."""
    try:
        paths = sorted(folder.glob("*.py"))
    except OSError:
        return
    for path in paths:
        if path.name.startswith("_"):
            continue
        try:
            manifest = read_single_file(path)
        except UserError as problem:
            yield Found(path.stem, path.stem, "file", path, error=str(problem))
            continue
        error = ""
        if not manifest.works_here:
            error = f"The plugin {manifest.name} needs the hook surface {manifest.api}; upgrade it."
        yield Found(manifest.name, path.stem, "file", path, manifest=manifest, error=error)


def _normal(name: str) -> str:
    """A distribution's name as registries compare it."""
    return name.lower().replace("_", "-").replace(".", "-")
