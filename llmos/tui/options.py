"""The few settings that the first paint needs, read without the weight of the whole schema."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FaceOptions:
    """What the face looks like.

    Attributes:
        theme: name of the colour theme; empty: the program's own.
        slow: fewer repaints.
        vi_keys: vi keys in the prompt.
        keys: action id to keys.
    """

    theme: str = ""
    slow: bool = False
    vi_keys: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)


def read_options(file: Path, *, slow: bool = False) -> FaceOptions:
    """Read the face's options; what is damaged is left out (the full check comes after the paint).

    Args:
        file: the user's ``settings.toml``.
        slow: True when the command line asks for it.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        values = {}
    face = values.get("face")
    face = face if isinstance(face, dict) else {}
    keys = values.get("keys")
    keys = keys if isinstance(keys, dict) else {}
    theme = os.environ.get("LLMOS_FACE__THEME") or face.get("theme", "")
    return FaceOptions(
        theme=theme if isinstance(theme, str) else "",
        slow=slow or bool(face.get("slow", False)),
        vi_keys=bool(face.get("vi_keys", False)),
        keys={name: key for name, key in keys.items() if isinstance(key, str)},
    )
