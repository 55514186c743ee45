"""The file with ``mcpServers``: read, checked, edited."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llmos.types import EffectClass, UserError

Effect = Literal["pure", "read", "network", "memory", "write", "execute"]


class Server(BaseModel):
    """One entry; keys of other programs that mean nothing here are left alone."""

    model_config = ConfigDict(extra="allow")

    command: str = ""
    args: list[str] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str | None = None
    url: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    disabled: bool = False
    trusted: bool = False
    effect: Effect | None = None
    effects: dict[str, Effect] = Field(default_factory=dict)
    tools: list[str] | None = None
    network: bool = True
    timeout: float = Field(30.0, gt=0, le=3600)

    @model_validator(mode="after")
    def _one_way(self) -> Server:
        if bool(self.command) == bool(self.url):
            raise ValueError("an entry has either a command or a url")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https://")
        return self

    def effect_of(self, tool: str) -> EffectClass:
        """What a tool counts as: the user's word, else the worst that its transport allows."""
        word = self.effects.get(tool, self.effect)
        return EffectClass(word) if word else EffectClass.NETWORK if self.url else EffectClass.EXECUTE


def read_config(path: Path) -> dict[str, Server]:
    """Servers by name; none when there is no file.

    Raises:
        UserError: not JSON, or an entry that is not valid; the sentence names it.
    """
    values = _load(path)
    servers: dict[str, Server] = {}
    for name, entry in values.get("mcpServers", {}).items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}", name):
            raise UserError(f"The server name {name!r} in {path} must be letters, digits, _, . or -.")
        try:
            servers[name] = Server.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise UserError(f"The server {name} in {path} is not valid: {place} {message}.") from error
    return servers


def _load(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"The file {path} cannot be read: {error}; mend or remove it.") from error
    if not isinstance(values, dict) or not isinstance(values.get("mcpServers", {}), dict):
        raise UserError(f'The file {path} must hold an object with "mcpServers".')
    return values


def put_server(path: Path, name: str, entry: dict[str, Any] | None) -> None:
    """Add, replace or (with None) remove an entry; all else in the file stays.

    Raises:
        UserError: it is not valid, not there, or the file cannot be written.
    """
    values = _load(path)
    servers = values.setdefault("mcpServers", {})
    if entry is None:
        if name not in servers:
            raise UserError(f"There is no server {name!r}; `mcp list` shows those that there are.")
        del servers[name]
    else:
        servers[name] = entry
    temporary = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(values, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        read_config(temporary)
        os.chmod(temporary, 0o600)  # headers and env may hold keys
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"The file {path} cannot be written: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)
