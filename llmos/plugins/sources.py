"""What can be installed: a name, a wheel, a git address, a folder or one file; looked at first."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
import zipfile
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path
from typing import Any, Literal

from llmos.offline import require_online
from llmos.plugins.discovery import GROUP
from llmos.plugins.manifest import MANIFEST_NAME, Manifest, parse_manifest, read_manifest, read_single_file
from llmos.plugins.pip import normal, run_pip
from llmos.types import UserError

Kind = Literal["name", "wheel", "git", "folder", "file"]
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._ -]+\])?\s*([=<>!~].*)?$")
_BIG = 1_000_000


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be installed.

    Attributes:
        kind: what the user named.
        requirement: how to get it again, for the lock file.
        path: the wheel, folder or file that will be installed.
        manifest: what it declares.
        distribution: its package name; empty for a single file.
        version: its version, empty when only its build would tell.
        requires: what it depends on; None when only its build would tell.
        build_requires: what building it needs.
        editable: installed in place.
    """

    kind: Kind
    requirement: str
    path: Path
    manifest: Manifest
    distribution: str = ""
    version: str = ""
    requires: tuple[str, ...] | None = None
    build_requires: tuple[str, ...] = ()
    editable: bool = False


def kind_of(source: str) -> Kind:
    """Which kind of source a text names.

    Raises:
        UserError: none.
    """
    path = Path(source).expanduser()
    if source.startswith(("git+", "git@")) or (source.startswith(("https://", "ssh://")) and ".git" in source):
        return "git"
    if source.endswith(".whl"):
        return "wheel"
    if source.endswith(".py") and path.is_file():
        return "file"
    if path.is_dir() and ("/" in source or "\\" in source or source in (".", "..")):
        return "folder"
    if _NAME.match(source) and not source.endswith((".py", ".zip", ".gz")):
        return "name"
    raise UserError(
        f"{source} is no plugin that can be installed: give a package name, a wheel, a git address, "
        "a folder (with ./) or a .py file."
    )


def look(source: str, work: Path, *, editable: bool = False, wheels: Path | None = None) -> Preview:
    """Find out what a source holds, without running anything of it.

    Args:
        source: what the user named.
        work: an empty folder for downloads.
        editable: install a folder in place.
        wheels: folder with wheels; nothing is then fetched from the network.

    Raises:
        UserError: not there, no plugin, a manifest that is missing or wrong.
    """
    kind = kind_of(source)
    if editable and kind != "folder":
        raise UserError("Only a folder can be installed in place (--editable).")
    if kind == "file":
        path = Path(source).expanduser().resolve()
        return Preview("file", str(path), path, read_single_file(path))
    if kind == "wheel":
        path = Path(source).expanduser().resolve()
        return look_wheel(path, str(path), "wheel")
    if kind == "folder":
        path = Path(source).expanduser().resolve()
        return look_folder(path, str(path), "folder", editable)
    if kind == "git":
        folder, requirement = _clone(source, work)
        return look_folder(folder, requirement, "git", False)
    return look_wheel(_download(source, work, wheels), source, "name")


def _download(source: str, work: Path, wheels: Path | None) -> Path:
    """The wheel of a package by its name; only wheels, since building one would run its code."""
    options = ["--no-deps", "--only-binary", ":all:", "--dest", str(work)]
    if wheels is not None:
        options += ["--no-index", "--find-links", str(wheels)]
    else:
        require_online(f"Installing {source} by its name")
    run_pip("download", *options, source)
    found = sorted(work.glob("*.whl"))
    if not found:
        raise UserError(f"There is no wheel of {source}; install it from its folder or git address instead.")
    return found[0]


def _clone(source: str, work: Path) -> tuple[Path, str]:
    """A shallow copy of a git repository, and a requirement that names its commit."""
    address = source.removeprefix("git+")
    address, _, wanted = address.partition("@") if "@" in address.partition("://")[2] else (address, "", "")
    if not address.startswith("file://"):
        require_online(f"Installing from {address}")
    git = shutil.which("git")
    if git is None:
        raise UserError("git is needed to install from a git address; install git and try again.")
    folder = work / "source"
    steps = [[git, "clone", "--quiet", "--depth", "1", "--", address, str(folder)]]
    if wanted:
        steps = [
            [git, "clone", "--quiet", "--", address, str(folder)],
            [git, "-C", str(folder), "checkout", "--quiet", wanted],
        ]
    for step in [*steps, [git, "-C", str(folder), "rev-parse", "HEAD"]]:
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=600, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(f"git cannot fetch {address}: {error}.") from error
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"git cannot fetch {address}: {reason}")
    return folder, f"git+{address}@{done.stdout.strip()}"


def look_folder(folder: Path, requirement: str, kind: Kind, editable: bool) -> Preview:
    """A source tree: its ``pyproject.toml`` and its manifest.

    Raises:
        UserError: one of them is missing or wrong.
    """
    file = folder / "pyproject.toml"
    try:
        project: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{folder} is no Python package: {file.name} cannot be read.") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file} is not valid TOML: {error}.") from error
    table = project.get("project", {})
    entries = table.get("entry-points", {}).get(GROUP, {})
    name, module = _single(entries, str(folder))
    top = module.partition(":")[0].partition(".")[0]
    places = [base / top / MANIFEST_NAME for base in (folder, folder / "src")]
    manifest_file = next((place for place in places if place.is_file()), places[0])
    manifest = _named(read_manifest(manifest_file), name)
    return Preview(
        kind,
        requirement,
        folder,
        manifest,
        normal(str(table.get("name", ""))),
        str(table.get("version", "")),
        None if "dependencies" in table.get("dynamic", ()) else tuple(table.get("dependencies", ())),
        tuple(project.get("build-system", {}).get("requires", ("setuptools",))),
        editable,
    )


def look_wheel(path: Path, requirement: str, kind: Kind) -> Preview:
    """A wheel: its entry point and its manifest.

    Raises:
        UserError: not a wheel, or no plugin.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            info = next((one.split("/")[0] for one in names if one.split("/")[0].endswith(".dist-info")), "")
            parser = ConfigParser(delimiters=("=",))
            parser.optionxform = str  # type: ignore[assignment, method-assign]
            if f"{info}/entry_points.txt" in names:
                parser.read_string(_text(archive, f"{info}/entry_points.txt"))
            entries = dict(parser[GROUP]) if parser.has_section(GROUP) else {}
            name, module = _single(entries, path.name)
            inner = f"{module.partition(':')[0].partition('.')[0]}/{MANIFEST_NAME}"
            if inner not in names:
                raise UserError(f"{path.name} has no {inner}; it is no plugin for this program.")
            manifest = parse_manifest(_text(archive, inner), f"{path.name}/{inner}")
            fields = message_from_string(_text(archive, f"{info}/METADATA"))
    except (OSError, KeyError, zipfile.BadZipFile, ConfigError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a wheel that can be read: {error}.") from error
    distribution, _, rest = info.removesuffix(".dist-info").partition("-")
    requires = tuple(str(one) for one in fields.get_all("Requires-Dist", ()))
    return Preview(kind, requirement, path, _named(manifest, name), normal(distribution), rest, requires)


def _text(archive: zipfile.ZipFile, name: str) -> str:
    if archive.getinfo(name).file_size > _BIG:
        raise UserError(f"{name} in {archive.filename} is too large to be what it says.")
    return archive.read(name).decode("utf-8")


def _single(entries: dict[str, str], where: str) -> tuple[str, str]:
    if len(entries) != 1:
        found = ", ".join(entries) or "none"
        raise UserError(
            f"{where} must have one entry point in the group {GROUP!r} and has {found}; it is no plugin."
        )
    return next(iter(entries.items()))


def _named(manifest: Manifest, name: str) -> Manifest:
    if manifest.name != name:
        raise UserError(f"The manifest calls the plugin {manifest.name!r}, its entry point {name!r}.")
    if not manifest.works_here:
        raise UserError(
            f"The plugin {name} needs the hook surface {manifest.api}; this program has another. "
            "Install another version of it."
        )
    return manifest
