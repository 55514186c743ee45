"""Edits of the user's ``settings.toml`` that concern plugins; comments and order stay as they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from llmos.settings import Folders, load_settings
from llmos.types import UserError


def _edit(folders: Folders) -> tuple[Any, Any]:
    """The document and its table ``plugins``."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = folders.settings_file
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        document = tomlkit.parse(text)
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise UserError(f"The settings file {path} cannot be read: {error}; mend or remove it.") from error
    if "plugins" not in document:
        document["plugins"] = tomlkit.table()
    return document, document["plugins"]


def _save(folders: Folders, document: Any) -> None:
    import tomlkit

    path = folders.settings_file
    temporary = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(tomlkit.dumps(document), encoding="utf-8")
        load_settings(temporary)  # never write what could not be read again
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"The settings file {path} cannot be written: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def set_disabled(folders: Folders, name: str, disabled: bool) -> None:
    """Turn a plugin off or on for later starts."""
    document, table = _edit(folders)
    names = [str(one) for one in table.get("disabled", []) if str(one) != name]
    if disabled:
        names.append(name)
    table["disabled"] = sorted(names)
    _save(folders, document)


def set_options(folders: Folders, name: str, values: Mapping[str, Any]) -> None:
    """Write a plugin's own settings."""
    document, table = _edit(folders)
    import tomlkit

    if "options" not in table:
        table["options"] = tomlkit.table(is_super_table=True)
    table["options"][name] = dict(values)
    _save(folders, document)


def forget_plugin(folders: Folders, name: str) -> None:
    """Remove every trace of a plugin from the settings."""
    if not folders.settings_file.exists():
        return
    document, table = _edit(folders)
    changed = False
    names = [str(one) for one in table.get("disabled", [])]
    if name in names:
        table["disabled"] = [one for one in names if one != name]
        changed = True
    if name in table.get("options", {}):
        del table["options"][name]
        changed = True
    if changed:
        _save(folders, document)


def check_options(schema: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values for a plugin's settings, checked against its schema; texts become what the schema says.

    Raises:
        UserError: a name that is not there, or a value that does not fit.
    """
    properties: Mapping[str, Any] = schema.get("properties", {})
    result: dict[str, Any] = {}
    for name, value in values.items():
        if name not in properties:
            known = ", ".join(properties) or "none"
            raise UserError(f"There is no setting {name}; the settings are: {known}.")
        result[name] = _fit(name, properties[name], value)
    return result


def _fit(name: str, part: Mapping[str, Any], value: Any) -> Any:
    kind = part.get("type", "string")
    try:
        if kind == "boolean" and isinstance(value, str):
            value = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                value.lower()
            ]
        elif kind == "integer":
            value = int(value)
        elif kind == "number":
            value = float(value)
        elif kind == "array" and isinstance(value, str):
            value = [one.strip() for one in value.split(",") if one.strip()]
        elif kind == "string":
            value = str(value)
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"The setting {name} must be of type {kind}, not {value!r}.") from error
    choices = part.get("enum")
    if choices and value not in choices:
        raise UserError(f"The setting {name} must be one of {', '.join(map(str, choices))}.")
    low, high = part.get("minimum"), part.get("maximum")
    if isinstance(value, (int, float)) and (
        (low is not None and value < low) or (high is not None and value > high)
    ):
        raise UserError(f"The setting {name} must lie between {low} and {high}.")
    return value
