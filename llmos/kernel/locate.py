"""Where models lie: those that come with the program, and GGUF files in the user's folders.

The bundled ones are listed in ``models.toml`` beside them: in an installed package under
``llmos/_models``, in a checkout under ``models/``.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from llmos.kernel.protocol import KernelError
from llmos.settings import folders


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model file on this machine.

    Attributes:
        name: what a user calls it (``--model NAME``).
        path: the GGUF file.
        role: ``chat``, ``base``, ``checkpoint``, ``embedder`` …; ``chat`` for the user's own files.
        bundled: whether it came with the program.
        selectable: whether it is offered for chatting.
        sha256: expected hash of the whole file, empty when not known.
        bytes: size of the file.
    """

    name: str
    path: Path
    role: str = "chat"
    bundled: bool = False
    selectable: bool = True
    sha256: str = ""
    bytes: int = 0


def bundled_folder() -> Path:
    """Folder of the bundled models; it need not exist."""
    packaged = Path(str(files("llmos"))) / "_models"
    return packaged if packaged.is_dir() else Path(str(files("llmos"))).parent / "models"


def bundled_models(folder: Path | None = None) -> list[LocalModel]:
    """Models listed in ``models.toml`` whose file is there.

    Args:
        folder: where to look, and one folder down; None takes the program's own.

    Raises:
        KernelError: a list cannot be read.
    """
    folder = bundled_folder() if folder is None else folder
    found: list[LocalModel] = []
    for index in (folder / "models.toml", *sorted(folder.glob("*/models.toml"))):
        if not index.is_file():
            continue
        try:
            listed = tomllib.loads(index.read_text(encoding="utf-8")).get("models", [])
            found += [_listed(index.parent, entry) for entry in listed]
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise KernelError(
                f"The list of bundled models {index} cannot be read ({error}); reinstall."
            ) from error
    return [one for one in found if one.path.is_file()]


def _listed(folder: Path, entry: dict[str, object]) -> LocalModel:
    path = folder / str(entry["file"])
    return LocalModel(
        name=str(entry.get("name", path.stem)),
        path=path,
        role=str(entry["role"]),
        bundled=True,
        selectable=bool(entry.get("selectable", False)),
        sha256=str(entry.get("sha256", "")),
        bytes=path.stat().st_size if path.is_file() else 0,
    )


def user_models(where: Iterable[Path] = ()) -> list[LocalModel]:
    """GGUF files in the user's models folder and in further ones, sorted by name.

    Vision projectors and the later parts of split files are left out.
    """
    found: dict[Path, LocalModel] = {}
    for folder in (folders().data / "models", *where):
        try:
            paths = sorted(folder.expanduser().rglob("*.gguf"))
        except OSError:
            continue
        for path in paths:
            name = path.stem
            later_part = "-of-" in name and not name.rpartition("-of-")[0].endswith("-00001")
            if "mmproj" in name.lower() or later_part:
                continue
            try:
                size = path.stat().st_size
            except OSError:
                continue
            found.setdefault(path.resolve(), LocalModel(name=name, path=path, bytes=size))
    return sorted(found.values(), key=lambda one: one.name.lower())


def local_models(where: Iterable[Path] = ()) -> list[LocalModel]:
    """Every model that can be chosen: bundled ones first, then the user's."""
    return [one for one in bundled_models() if one.selectable] + user_models(where)


def with_role(role: str) -> LocalModel | None:
    """The first bundled model of a role, or None."""
    return next((one for one in bundled_models() if one.role == role), None)


def resolve(wanted: str = "", where: Sequence[Path] = ()) -> LocalModel:
    """The model that a user means.

    Args:
        wanted: path of a file, or a name (exact, else an unambiguous beginning); empty takes the
            bundled chat model.
        where: further folders to look in.

    Raises:
        KernelError: nothing or more than one thing has that name.
    """
    if not wanted:
        chosen = with_role("chat")
        if chosen is None:
            raise KernelError(
                "The bundled model is missing from this installation; reinstall, or name a model with --model."
            )
        return chosen
    path = Path(wanted).expanduser()
    if path.suffix.lower() == ".gguf" or path.exists():
        if not path.is_file():
            raise KernelError(f"There is no model file at {path}; see `llmos models list`.")
        return LocalModel(name=path.stem, path=path, bytes=path.stat().st_size)
    every = [*bundled_models(), *user_models(where)]
    exact = [one for one in every if one.name.lower() == wanted.lower()]
    found = exact[:1] or [one for one in every if one.name.lower().startswith(wanted.lower())]
    if not found:
        raise KernelError(
            f"There is no model named {wanted}; `llmos models list` shows those that are here, "
            "`llmos models pull` fetches others."
        )
    if len(found) > 1:
        names = ", ".join(one.name for one in found[:5])
        raise KernelError(f"More than one model begins with {wanted}: {names}; write the whole name.")
    return found[0]


def intact(model: LocalModel) -> bool:
    """Whether the file has the hash that it should have; True when none is known."""
    if not model.sha256:
        return True
    with model.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == model.sha256
