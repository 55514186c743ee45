"""The settings as rows, generated from the schema; and how a typed value is checked."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from llmos.settings import Settings
from llmos.tui.actions import ACTIONS, RESERVED, key_name
from llmos.types import UserError

Kind = Literal["text", "int", "float", "flag", "choice", "list", "key"]


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting.

    Attributes:
        section: table in the file, parts separated by dots; empty: the top.
        name: key in the table.
        kind: how it is edited.
        value: what it is now.
        default: what it is without the user's word.
        description: the sentence of the schema.
        choices: for ``choice``.
    """

    section: str
    name: str
    kind: Kind
    value: Any
    default: Any
    description: str = ""
    choices: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """``section.name``."""
        return f"{self.section}.{self.name}" if self.section else self.name


def setting_rows(settings: Settings) -> list[SettingRow]:
    """Every setting that can be edited, in the order of the schema, then the keys."""
    rows = list(_rows(settings, Settings(), ""))
    for action in ACTIONS:
        value = settings.keys.get(action.id, action.keys)
        rows.append(SettingRow("keys", action.id, "key", value, action.keys, f"Keys: {action.description}"))
    return rows


def _rows(present: BaseModel, defaults: BaseModel, section: str) -> Iterator[SettingRow]:
    for name, field in type(present).model_fields.items():
        value, default = getattr(present, name), getattr(defaults, name)
        if isinstance(value, BaseModel):
            yield from _rows(value, default, f"{section}.{name}" if section else name)
            continue
        kind, choices = _kind(field.annotation)
        if kind is not None:
            yield SettingRow(section, name, kind, value, default, field.description or "", choices)


def _kind(annotation: Any) -> tuple[Kind | None, tuple[str, ...]]:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        inner = [one for one in get_args(annotation) if one is not type(None)]
        return _kind(inner[0]) if len(inner) == 1 else (None, ())
    if origin is Literal:
        return "choice", tuple(str(one) for one in get_args(annotation))
    if origin is list and get_args(annotation) == (str,):
        return "list", ()
    simple: dict[Any, Kind] = {bool: "flag", int: "int", float: "float", str: "text"}
    return simple.get(annotation), ()


def shown(row: SettingRow) -> str:
    """A value as people read it."""
    if row.kind == "flag":
        return "yes" if row.value else "no"
    if row.kind == "list":
        return ", ".join(row.value) or "none"
    if row.kind == "key":
        return ", ".join(key_name(key) for key in str(row.value).split(",") if key) or "no key"
    return str(row.value) if row.value not in ("", None) else "default"


def parsed(row: SettingRow, text: str) -> Any:
    """What a typed text means; empty is the default (None).

    Raises:
        UserError: it cannot be that; the sentence says why.
    """
    text = text.strip()
    if not text:
        return None
    value: Any = text
    if row.kind in ("int", "float"):
        try:
            value = int(text) if row.kind == "int" else float(text)
        except ValueError as error:
            raise UserError(f"{row.id} must be a number, not {text!r}.") from error
    elif row.kind == "flag":
        value = text.casefold() in ("yes", "true", "1", "on")
    elif row.kind == "list":
        value = [part.strip() for part in text.split(",") if part.strip()]
    elif row.kind == "choice" and text not in row.choices:
        raise UserError(f"{row.id} must be one of {', '.join(row.choices)}.")
    elif row.kind == "key":
        value = ",".join(
            part.strip().lower() if len(part.strip()) > 1 else part.strip() for part in text.split(",")
        )
        if taken := RESERVED.intersection(value.split(",")):
            raise UserError(f"{key_name(min(taken))} belongs to the terminal; choose another key.")
    return value


def checked(settings: Settings, row: SettingRow, value: Any) -> Settings:
    """The settings with one value changed.

    Raises:
        UserError: the schema does not allow it.
    """
    values = settings.model_dump()
    table: Any = values
    for part in row.section.split(".") if row.section else ():
        table = table[part]
    if value is None and row.kind == "key":
        table.pop(row.name, None)
    else:
        table[row.name] = row.default if value is None else value
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{row.id}: {error.errors()[0]['msg']}.") from error


def matching(rows: list[SettingRow], text: str) -> list[SettingRow]:
    """Rows whose name or description holds every word."""
    words = text.casefold().split()
    return [row for row in rows if all(word in f"{row.id} {row.description}".casefold() for word in words)]
