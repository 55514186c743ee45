"""Prompt templates: Markdown files in the user's folder, with ``{{variables}}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][\w ]*?)\s*\}\}")


def template_folder() -> Path:
    """Where the user's templates lie."""
    from llmos.settings import folders

    return folders().config / "templates"


def find_templates(folder: Path | None = None) -> dict[str, str]:
    """Templates by name; files that cannot be read are left out."""
    found: dict[str, str] = {}
    base = folder if folder is not None else template_folder()
    if not base.is_dir():
        return found
    for file in sorted(base.glob("*.md")):
        try:
            found[file.stem] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return found


def variables(template: str) -> list[str]:
    """Names of the variables, each once, in order."""
    return list(dict.fromkeys(match.group(1) for match in _VARIABLE.finditer(template)))


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with values in place of its variables; unknown ones stay."""
    return _VARIABLE.sub(lambda match: values.get(match.group(1), match.group(0)), template)
