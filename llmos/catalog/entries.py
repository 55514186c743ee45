"""The catalogue: open GGUF models by name, task and size, from one TOML file."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from llmos.types import UserError

Task = Literal["chat", "thinking", "code", "vision", "audio", "embedding"]


class CatalogEntry(BaseModel):
    """One model of the catalogue.

    Attributes:
        name: short name, as in ``llmos models pull NAME``.
        repository: ``org/repo`` on the hub.
        file: pattern of the file in the repository.
        bytes: size of that file.
        context: tokens that it was trained for; 0 when not known.
        tasks: what it is good for.
        parameters: as its makers say it.
        active: parameters that take part in a token, for mixtures of experts.
        verified: the size equals a published pin.
    """

    name: str
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    file: str
    bytes: int = Field(gt=0)
    quantisation: str = "Q4_K_M"
    context: int = 0
    tasks: list[Task]
    parameters: str
    active: str = ""
    licence: str = "Apache-2.0"
    notes: str = ""
    verified: bool = False

    @property
    def active_share(self) -> float:
        """Share of the weights that a token reads: 1 for dense models."""
        whole, active = _count(self.parameters), _count(self.active)
        return active / whole if whole and active else 1.0

    @property
    def reference(self) -> str:
        """``org/repo:quantisation``."""
        return f"{self.repository}:{self.quantisation}"


class Catalog(BaseModel):
    """All entries; ``collected`` says when the facts were gathered."""

    version: Literal[1]
    collected: str
    models: list[CatalogEntry]

    def find(self, name: str) -> CatalogEntry | None:
        """The entry of that name or repository."""
        folded = name.casefold()
        for entry in self.models:
            if folded in (entry.name.casefold(), entry.repository.casefold(), entry.reference.casefold()):
                return entry
        return None

    def search(self, query: str = "", task: str = "", largest: int = 0) -> list[CatalogEntry]:
        """Entries that hold every word of the query, smallest first.

        Args:
            query: words to find in name, repository, task and licence.
            task: only models for this task.
            largest: only files of at most so many bytes; 0 for all.
        """
        words = query.casefold().split()
        found = [
            entry
            for entry in self.models
            if all(
                word in f"{entry.name} {entry.repository} {' '.join(entry.tasks)} {entry.licence}".casefold()
                for word in words
            )
            and (not task or task in entry.tasks)
            and (not largest or entry.bytes <= largest)
        ]
        return sorted(found, key=lambda entry: entry.bytes)


def _count(parameters: str) -> float:
    match = re.search(r"([\d.]+)\s*([BM])", parameters)
    if not match:
        return 0.0
    return float(match[1]) * (1e9 if match[2] == "B" else 1e6)


def bundled_catalog() -> Path:
    """The catalogue that comes with the program: package data, else the checkout's."""
    packaged = Path(str(files("llmos"))) / "_models" / "catalog.toml"
    return packaged if packaged.exists() else Path(__file__).parents[2] / "models" / "catalog.toml"


def load_catalog(path: Path | None = None) -> Catalog:
    """Read a catalogue.

    Args:
        path: TOML file; None takes the bundled one.

    Raises:
        UserError: missing, no TOML, or a field that does not fit; the sentence names it.
    """
    file = path or bundled_catalog()
    try:
        return Catalog.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"The model catalogue {file} cannot be read: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"The model catalogue {file} is not valid at {where}: {first['msg']}.") from error
