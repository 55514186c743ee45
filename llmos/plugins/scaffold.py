"""``llmos plugins new``: a package with a tool, a command, a panel, a passing test, CI and docs."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from llmos.plugins.discovery import BUNDLED
from llmos.types import UserError

#: Template file to its place in the new package; ``{module}`` is the package's folder.
_FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "gitignore.txt": ".gitignore",
    "package/__init__.py.txt": "{module}/__init__.py",
    "package/llmos-plugin.toml.txt": "{module}/llmos-plugin.toml",
    "package/plugin.py.txt": "{module}/plugin.py",
    "tests/test_plugin.py.txt": "tests/test_plugin.py",
    "ci/check.yml.txt": ".github/workflows/check.yml",
}


def new_plugin(name: str, parent: Path, summary: str = "") -> list[Path]:
    """Write a new plugin into ``parent/name``.

    Args:
        name: lower-case letters, digits and ``-``.
        parent: existing folder.
        summary: one sentence; empty takes a general one.

    Returns:
        The files written.

    Raises:
        UserError: a bad name, a folder that is not empty, or one that cannot be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UserError(f"{name!r} is no plugin name: lower-case letters, digits and - make one.")
    if f"llmos-{name}" in BUNDLED:
        raise UserError(f"The name {name} belongs to a plugin that comes with the program; take another.")
    summary = (summary or "Counts words and letters.").replace('"', "'").replace("\\", "/")
    folder = parent / name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already and not empty; take another name or folder.")
    identifier = name.replace("-", "_")
    values = {
        "name": name,
        "id": identifier,
        "module": f"llmos_{identifier}",
        "title": name.replace("-", " ").capitalize(),
        "summary": summary,
    }
    templates = files("llmos.plugins") / "template"
    written: list[Path] = []
    try:
        for source, target in _FILES.items():
            text = templates.joinpath(*source.split("/")).read_text(encoding="utf-8")
            for key, value in values.items():
                text = text.replace("{{" + key + "}}", value)
            path = folder / target.format(module=values["module"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}.") from error
    return written
