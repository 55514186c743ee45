"""The manifest ``llmos-plugin.toml``: what a plugin is, does and needs, read without importing it.

It lies in the package's own folder (``llmos_disk/llmos-plugin.toml``); a single-file plugin
carries it in a comment block. The program shows it before an install, offers the declared tools
and commands from it, and imports the plugin only when one of them is used.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from llmos.plugins import hookspecs
from llmos.plugins.hookspecs import HOOK_API
from llmos.types import EffectClass, UserError

MANIFEST_NAME = "llmos-plugin.toml"

#: Every hook of the surface, from the hook file itself.
HOOK_NAMES = tuple(name for name in vars(hookspecs) if name.startswith("llmos_"))

#: What faces call of the things that hooks return; they have deadlines of their own.
VIEWS = ("view_panel", "act_panel", "view_status", "render")

#: Hooks whose results hold live Python objects and so cannot cross a pipe.
IN_PROCESS_HOOKS = frozenset({"llmos_generators", "llmos_widgets"})

_NAME = r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$"
_INLINE = re.compile(r"(?ms)^# /// llmos-plugin\s*$\n(?P<body>(?:^#(?: .*)?$\n?)+?)^# ///\s*$")


class _Part(BaseModel):
    """Unknown keys are mistakes, so that a typing error never goes unseen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Needs(_Part):
    """What the plugin asks for. In the same process this is advisory; out of process it is enforced
    where the operating system can.
    """

    files: Literal["none", "read", "write"] = Field("none", description="The user's files.")
    network: bool = Field(False, description="Network connections, through host.http.")
    execute: bool = Field(False, description="Starts other programs or runs code.")
    memory: bool = Field(False, description="Writes memories that later chats read.")
    model: bool = Field(False, description="Generates or embeds with the loaded models.")


class ToolEntry(_Part):
    """A tool. With ``parameters`` it is offered to the model without importing the plugin."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = ""
    effect: EffectClass = EffectClass.PURE
    parameters: dict[str, Any] | None = None
    time_limit: float = Field(30.0, gt=0, le=3600)
    result_limit: int = Field(8_000, ge=100)
    contained: bool = Field(False, description="Its code is held in a sandbox by the system.")
    description_trusted: bool = Field(True, description="False when a server supplied the description.")


class ParameterEntry(_Part):
    """An argument or option of a command; fields as ``llmos.plugins.Parameter``."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    help: str = ""
    kind: Literal["text", "int", "float", "flag", "path", "choice"] = "text"
    required: bool = False
    many: bool = False
    option: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()


class CommandEntry(_Part):
    """A command: slash command, palette entry and CLI verb."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*( [a-z][a-z0-9-]*)?$")
    help: str
    faces: tuple[Literal["tui", "cli"], ...] = ("tui", "cli")
    parameters: tuple[ParameterEntry, ...] = ()


class PanelEntry(_Part):
    """A panel: a tab or a part of the side panel."""

    id: str = Field(pattern=_NAME)
    title: str
    place: Literal["tab", "side"] = "tab"
    refresh: float = Field(2.0, ge=0)


class StatusEntry(_Part):
    """An item of the status bar."""

    id: str = Field(pattern=_NAME)
    refresh: float = Field(2.0, ge=0)


class RendererEntry(_Part):
    """A renderer for the results of one tool."""

    tool: str


class ModelEntry(_Part):
    """A model that the package brings or knows how to find."""

    name: str
    source: str
    task: Literal["chat", "thinking", "code", "vision", "embedding"] = "chat"
    licence: str = ""
    description: str = ""


class PersonaEntry(_Part):
    """An expert: system prompt, tools and sampling. Needs no code at all."""

    name: str
    system_prompt: str
    tools: tuple[str, ...] = ()
    sampling: dict[str, float] = Field(default_factory=dict)
    description: str = ""


class Manifest(_Part):
    """Everything that is known about a plugin before it is imported."""

    name: str = Field(pattern=_NAME, description="The entry point's name.")
    title: str = ""
    summary: str = ""
    api: str = Field(">=1.0,<2", description="Range of the hook surface that it works with.")
    hooks: tuple[str, ...] = ()
    order: int = Field(50, ge=0, le=100, description="Lower runs earlier; middleware: further out.")
    homepage: str = ""
    needs: Needs = Needs()
    deadlines: dict[str, float] = Field(default_factory=dict)
    memory_mb: int = Field(512, ge=64, description="Memory limit when it runs in its own process.")
    tools: tuple[ToolEntry, ...] = ()
    commands: tuple[CommandEntry, ...] = ()
    panels: tuple[PanelEntry, ...] = ()
    status: tuple[StatusEntry, ...] = ()
    renderers: tuple[RendererEntry, ...] = ()
    models: tuple[ModelEntry, ...] = ()
    personas: tuple[PersonaEntry, ...] = ()
    settings: dict[str, Any] = Field(default_factory=dict, description="JSON schema of the settings object.")

    @field_validator("api")
    @classmethod
    def _api_is_a_range(cls, value: str) -> str:
        try:
            SpecifierSet(value)
        except InvalidSpecifier as error:
            raise ValueError(f"not a version range: {value}") from error
        return value

    @field_validator("hooks")
    @classmethod
    def _hooks_exist(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in HOOK_NAMES:
                raise ValueError(f"there is no hook {name}")
        return value

    @field_validator("settings")
    @classmethod
    def _settings_are_a_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value and (value.get("type", "object") != "object" or not isinstance(value.get("properties"), dict)):
            raise ValueError("settings must be a JSON schema of an object, with properties")
        return value

    @model_validator(mode="after")
    def _declared_things_have_their_hooks(self) -> Manifest:
        for part in ("tools", "commands", "panels", "status", "renderers"):
            if getattr(self, part) and f"llmos_{part}" not in self.hooks:
                raise ValueError(f"it declares {part}, so hooks must name llmos_{part}")
        for name, seconds in self.deadlines.items():
            if name not in (*HOOK_NAMES, *VIEWS) or not 0 < seconds <= 60:
                raise ValueError(f"deadlines.{name} must be a hook or view with 0 to 60 seconds")
        return self

    @property
    def works_here(self) -> bool:
        """True when this program's hook surface lies in the declared range."""
        return Version(HOOK_API) in SpecifierSet(self.api)

    def default_settings(self) -> dict[str, Any]:
        """The ``default`` of every property in the settings schema."""
        properties = self.settings.get("properties", {})
        return {name: part["default"] for name, part in properties.items() if "default" in part}


def parse_manifest(text: str, where: str) -> Manifest:
    """Read a manifest's TOML.

    Args:
        text: the TOML.
        where: what to call it in an error.

    Raises:
        UserError: not TOML, an unknown key, a wrong value; the sentence names it.
    """
    try:
        values: Mapping[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The manifest {where} is not valid TOML: {error}; mend or remove it.") from error
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "manifest"
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"The manifest {where} is not valid at {place}: {message}.") from error


def read_manifest(path: Path) -> Manifest:
    """Read ``llmos-plugin.toml``.

    Raises:
        UserError: missing, unreadable or not valid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The manifest {path} cannot be read: {error}.") from error
    return parse_manifest(text, str(path))


def read_single_file(path: Path) -> Manifest:
    """Manifest of a single-file plugin: its comment block, else what its syntax tree shows.

    The block begins with ``# /// llmos-plugin`` and ends with ``# ///``; each line between is a
    comment that holds a line of TOML. ``name`` and ``hooks`` may be left out: the file's stem and
    the ``llmos_…`` functions in it are taken.

    Raises:
        UserError: unreadable, not Python, or a block that is not valid.
    """
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source, str(path))
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise UserError(f"The plugin file {path} cannot be read: {error}; mend or remove it.") from error
    found = _INLINE.search(source)
    body = ""
    if found:
        lines = found["body"].splitlines()
        body = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)
    try:
        values = tomllib.loads(body)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The manifest in {path} is not valid TOML: {error}; mend it.") from error
    hooks = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in HOOK_NAMES]
    values.setdefault("name", re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "plugin")
    values.setdefault("hooks", hooks)
    if "summary" not in values:
        values["summary"] = (ast.get_docstring(tree) or "").split("\n")[0]
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "manifest"
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"The manifest in {path} is not valid at {place}: {message}.") from error
