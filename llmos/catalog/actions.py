"""What a user does with models, for every face: resolve a name, import, remove, set the default."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llmos.catalog import hub
from llmos.catalog.entries import Catalog, CatalogEntry, load_catalog
from llmos.catalog.fit import Fit, fit_entry, fit_header
from llmos.catalog.machine import Machine
from llmos.catalog.owned import OwnedModel, find_owned, models_folder
from llmos.kernel.gguf_header import check_complete, read_header
from llmos.settings import folders
from llmos.types import UserError


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a name means: a file here, a catalogue entry, or a hub reference."""

    name: str
    owned: OwnedModel | None = None
    entry: CatalogEntry | None = None
    reference: str = ""
    pattern: str = ""


def understand(name: str, catalog: Catalog | None = None) -> Wanted:
    """Find out what a name means: file, owned model, catalogue name, ``org/repo[:quant]``.

    Raises:
        UserError: none of these.
    """
    path = Path(name).expanduser()
    if name.endswith(".gguf") and path.is_file():
        return Wanted(
            name, OwnedModel(path.stem, path, path.stat().st_size, "file", hub.quantisation_of(path.name))
        )
    owned = find_owned(name)
    entry = (catalog or load_catalog()).find(name)
    if owned is not None and entry is None:
        return Wanted(name, owned)
    if entry is not None:
        return Wanted(name, owned or _pulled(entry), entry, entry.repository, entry.file)
    repository, quantisation = hub.parse_reference(name)
    return Wanted(name, None, None, f"{repository}:{quantisation}" if quantisation else repository)


def _pulled(entry: CatalogEntry) -> OwnedModel | None:
    return find_owned(entry.reference)


def fit_of(wanted: Wanted, machine: Machine, context: int = 0) -> Fit | None:
    """Fit of what a name means, without the network; None when only the hub knows its size."""
    if wanted.owned is not None:
        active = wanted.entry.active_share if wanted.entry else 1.0
        return fit_header(read_header(wanted.owned.path), machine, context, active=active)
    return fit_entry(wanted.entry, machine, context) if wanted.entry else None


def import_file(path: Path, name: str = "") -> OwnedModel:
    """Copy a GGUF file into LLMOS's own folder, checked first.

    Args:
        path: the file.
        name: its new name; empty keeps it.

    Raises:
        UserError: no complete GGUF file, or the name is taken.
    """
    path = path.expanduser()
    check_complete(read_header(path))
    stem = name or path.stem
    if not stem or "/" in stem or stem.startswith("."):
        raise UserError(f"{stem!r} is no name for a model; use letters, digits, dots and hyphens.")
    target = models_folder() / f"{stem}.gguf"
    if target.exists():
        raise UserError(f"There is a model {stem} already at {target}; give another name with --name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".new")
    try:
        shutil.copyfile(path, temporary)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be copied to {target.parent} ({error.strerror}).") from error
    return OwnedModel(stem, target, target.stat().st_size, "llmos", hub.quantisation_of(target.name))


def remove(model: OwnedModel) -> int:
    """Delete a model's files; returns bytes freed.

    Raises:
        UserError: it belongs to another program or comes with LLMOS.
    """
    if not model.removable:
        raise UserError(f"{model.name} belongs to {model.origin} ({model.path}); remove it there.")
    freed = 0
    for part in _parts(model.path):
        blob = part.resolve()
        freed += blob.stat().st_size
        part.unlink()
        if blob != part and blob.exists() and not _linked_elsewhere(blob):
            blob.unlink()
    return freed


def _parts(path: Path) -> list[Path]:
    if "-00001-of-" not in path.name:
        return [path]
    return sorted(path.parent.glob(path.name.replace("-00001-of-", "-?????-of-")))


def _linked_elsewhere(blob: Path) -> bool:
    snapshots = blob.parent.parent / "snapshots"
    return any(one.is_symlink() and one.resolve() == blob for one in snapshots.rglob("*"))


def set_default(name: str) -> Path:
    """Make a model the one that new sessions load; the settings file's comments stay.

    Args:
        name: as ``--model`` takes it; empty goes back to the bundled one.

    Returns:
        the settings file.
    """
    import tomlkit

    file = folders().make().settings_file
    document = tomlkit.parse(file.read_text(encoding="utf-8")) if file.exists() else tomlkit.document()
    section = document.setdefault("model", tomlkit.table())
    section["name"] = name
    temporary = file.with_suffix(".new")
    temporary.write_text(tomlkit.dumps(document), encoding="utf-8")
    temporary.replace(file)
    return file


def look_up(wanted: Wanted, client_check: Callable[[], None]) -> hub.HubModel:
    """What the hub has for a name.

    Raises:
        UserError: offline, not there, gated.
    """
    if not wanted.reference:
        raise UserError(f"{wanted.name} is on this machine already.")
    return hub.look_up(wanted.reference, wanted.pattern, client_check=client_check)
