"""The index: plugins and personas that are known, for ``llmos plugins list --known`` and the screen.

A TOML file that comes with the program; the setting ``plugins.index`` points to another file or
address. A persona needs no package: installing one writes a single-file plugin that is only a manifest.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from llmos.plugins.manifest import MANIFEST_NAME, Manifest, parse_manifest
from llmos.types import UserError

_LARGEST = 2_000_000


@dataclass(frozen=True, slots=True)
class Known:
    """One entry.

    Attributes:
        name: what ``llmos plugins install`` takes.
        kind: a package or a persona.
        summary: one sentence.
        source: for a package, what pip is given.
        manifest: for a persona, all of it.
    """

    name: str
    kind: Literal["plugin", "persona"]
    summary: str
    source: str = ""
    homepage: str = ""
    manifest: Manifest | None = None


def read_index(place: str = "") -> list[Known]:
    """Every known plugin and persona, sorted by kind and name.

    Args:
        place: file or https address; empty takes the one that comes with the program.

    Raises:
        UserError: it cannot be read or is wrong.
    """
    text = _text(place)
    where = place or "of known plugins"
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The index {where} is not valid TOML: {error}.") from error
    known: list[Known] = []
    for table in values.get("plugin", []):
        known.append(_plugin(table, where))
    for table in values.get("persona", []):
        known.append(_persona(table, where))
    return sorted(known, key=lambda one: (one.kind == "persona", one.name))


def _text(place: str) -> str:
    if not place:
        return (files("llmos.plugins") / "index.toml").read_text(encoding="utf-8")
    if place.startswith("https://"):
        from llmos.offline import is_offline
        from llmos.plugins.http import PluginHttp

        answer = PluginHttp("index", True, is_offline).request("GET", place, max_bytes=_LARGEST)
        if answer.status != 200:
            raise UserError(f"The index {place} cannot be fetched: status {answer.status}.")
        return answer.body.decode("utf-8", "replace")
    try:
        return Path(place).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The index {place} cannot be read: {error}; check the setting plugins.index."
        ) from error


def _plugin(table: Any, where: str) -> Known:
    try:
        return Known(
            str(table["name"]),
            "plugin",
            str(table["summary"]),
            str(table["source"]),
            str(table.get("homepage", "")),
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"An entry of the index {where} has no {error}.") from error


def _persona(table: Any, where: str) -> Known:
    try:
        manifest = persona_manifest(dict(table))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"A persona of the index {where} is not valid: {error}.") from error
    return Known(manifest.name, "persona", manifest.summary, manifest=manifest)


def persona_manifest(table: dict[str, Any]) -> Manifest:
    """The manifest of a plugin that is one persona and nothing else."""
    name = str(table.pop("name"))
    title = str(table.pop("title", name))
    summary = str(table.pop("summary", ""))
    persona = {"name": title, "description": summary, **table}
    return Manifest.model_validate(
        {"name": f"persona-{name}", "title": title, "summary": summary, "personas": [persona]}
    )


def persona_file(manifest: Manifest) -> str:
    """A single-file plugin with nothing but that manifest."""
    import tomlkit

    values = manifest.model_dump(mode="json", exclude_defaults=True)
    text = tomlkit.dumps(values)
    parse_manifest(text, MANIFEST_NAME)  # what is written can be read again
    lines = "\n".join(f"# {line}".rstrip() for line in text.splitlines())
    return f"# /// llmos-plugin\n{lines}\n# ///\n"
