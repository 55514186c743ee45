"""Settings and folders: one TOML file that stays the user's own, overridden by environment.

``LLMOS_HOME`` puts every folder under one place (tests, portable use). A setting ``a.b`` can be
overridden by the environment variable ``LLMOS_A__B``.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from llmos.folders import Folders, folders
from llmos.types import UserError

__all__ = [
    "ChatSettings",
    "FaceSettings",
    "Folders",
    "ModelSettings",
    "PluginSettings",
    "Settings",
    "folders",
    "load_settings",
]


class ModelSettings(BaseModel):
    """The kernel's model and how it is loaded."""

    name: str = Field("", description="Name or path of the model; empty takes the bundled one.")
    context: int = Field(0, ge=0, description="Context window in tokens; 0 lets the program choose.")
    threads: int = Field(0, ge=0, description="CPU threads; 0 probes for the fastest count.")
    gpu_layers: int = Field(-1, ge=-1, description="Layers on the GPU; -1 lets the program choose.")
    kv_type: Literal["auto", "f16", "q8_0", "q8_0/f16"] = Field(
        "auto",
        description="Number format of the KV cache; q8_0/f16 is of keys and values, auto takes what is "
        "fast on this machine.",
    )
    embedder: str = Field("", description="Embedding model; empty takes the default one.")
    kernel_url: str = Field("", description="OpenAI-compatible server to use instead of a local kernel.")


class ChatSettings(BaseModel):
    """How answers are made."""

    system_prompt: str = Field("", description="System prompt; empty takes the model's default.")
    temperature: float = Field(0.7, ge=0, le=5, description="0 always takes the likeliest token.")
    top_k: int = Field(40, ge=0, description="Draw among this many likeliest tokens; 0: all.")
    top_p: float = Field(0.95, gt=0, le=1, description="Draw among tokens that make up this share.")
    min_p: float = Field(0.05, ge=0, le=1, description="Leave out tokens below this share of the likeliest.")
    max_tokens: int = Field(0, ge=0, description="Most tokens of an answer; 0: what fits the window.")
    tool_rounds: int = Field(8, ge=0, le=64, description="Most rounds of tool calls in a turn.")
    low_water: float = Field(
        0.05,
        ge=0.0,
        le=0.9,
        description="Share of the window that stays when old pages are evicted, beside the last messages "
        "and what the question calls for.",
    )
    titles: Literal["auto", "heuristic", "off"] = Field(
        "auto", description="Titles of new chats: by the model where it is able, by first words, or none."
    )
    swap_megabytes: int = Field(
        1024, ge=0, description="Disk space for the states of chats that were left; 0 keeps none."
    )


class FaceSettings(BaseModel):
    """The terminal face."""

    theme: str = Field("llmos-dark", description="Name of the colour theme.")
    vi_keys: bool = Field(False, description="Vi keys in the prompt.")
    slow: bool = Field(False, description="Fewer repaints, for slow connections.")


class PluginSettings(BaseModel):
    """Which plugins run, and their own settings by name."""

    disabled: list[str] = Field(default_factory=list, description="Plugins that are not loaded.")
    options: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Settings of each plugin.")
    index: str = Field("", description="File or https address of known plugins; empty: the one built in.")


class Settings(BaseModel):
    """Everything a user can set."""

    model: ModelSettings = Field(default_factory=ModelSettings)
    chat: ChatSettings = Field(default_factory=ChatSettings)
    face: FaceSettings = Field(default_factory=FaceSettings)
    plugins: PluginSettings = Field(default_factory=PluginSettings)
    offline: bool = Field(False, description="Refuse every network connection.")
    keys: dict[str, str] = Field(default_factory=dict, description="Action id to key, over the defaults.")


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings file, then the environment.

    Args:
        path: the TOML file; None takes the user's own. A missing file gives the defaults.

    Raises:
        UserError: the file is not TOML, or a value is out of range; the sentence names it.
    """
    file = path if path is not None else folders().settings_file
    values: dict[str, Any] = {}
    if file.exists():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UserError(f"The settings file {file} cannot be read: {error}; mend or remove it.") from error
    _merge_environment(values)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        variable = "LLMOS_" + where.replace(".", "__").upper()
        place = f"from the environment variable {variable}" if variable in os.environ else f"in {file}"
        raise UserError(f"The setting {where} {place} is not valid: {first['msg']}.") from error


def _merge_environment(values: dict[str, Any]) -> None:
    """Lay ``LLMOS_SECTION__NAME`` over the values from the file."""
    for variable, text in os.environ.items():
        if not variable.startswith("LLMOS_"):
            continue
        path = variable.removeprefix("LLMOS_").lower().split("__")
        if path == ["offline"]:
            values["offline"] = text
        elif len(path) == 2 and path[0] in Settings.model_fields:
            section = values.setdefault(path[0], {})
            if isinstance(section, dict):
                section[path[1]] = text
