"""Frames on the pipe to a plugin's own process: a length, then JSON in which dataclasses are named.

JSON and not pickle: what a foreign process sends can only become one of the plain types below.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from llmos import types
from llmos.plugins import contributions, host_api

_HEADER = struct.Struct("<I")

#: A larger frame is an attack or a mistake.
MAX_FRAME = 64 << 20

_CLASSES: dict[str, Any] = {
    one.__name__: one
    for one in (
        types.Labels,
        types.ToolSpec,
        types.ToolCall,
        types.ToolResult,
        types.Page,
        types.Mark,
        types.Message,
        types.SamplingSettings,
        host_api.Generation,
        host_api.HttpResponse,
        host_api.KvState,
        contributions.CommandResult,
        contributions.Element,
        contributions.ModelOffer,
        contributions.Persona,
        contributions.Turn,
    )
}
_ENUMS: dict[str, type[enum.Enum]] = {
    one.__name__: one for one in (types.Integrity, types.Confidentiality, types.EffectClass)
}


class WireError(Exception):
    """What came is no frame, or holds something that may not cross."""


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, enum.Enum):
        return {"$e": type(value).__name__, "v": value.value}
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return [_encode(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return {"$s": [_encode(one) for one in value]}
    if isinstance(value, bytes):
        return {"$b": base64.b64encode(value).decode()}
    if isinstance(value, PurePath):
        return str(value)
    kind = _CLASSES.get(type(value).__name__)
    if kind is not None and isinstance(value, kind):
        fields = {one.name: _encode(getattr(value, one.name)) for one in dataclasses.fields(kind)}
        return {"$d": kind.__name__, "v": fields}
    if isinstance(value, Sequence):  # one that fetches its items when they are asked for
        return [_encode(one) for one in value]
    if isinstance(value, Mapping):
        return {"$m": {str(key): _encode(one) for key, one in value.items()}}
    raise WireError(f"a {type(value).__name__} cannot cross to another process")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "$m" in value:
        return {key: _decode(one) for key, one in value["$m"].items()}
    if "$d" in value:
        kind = _CLASSES[value["$d"]]
        fields: dict[str, Any] = {}
        for name, one in value["v"].items():
            decoded = _decode(one)
            fields[name] = tuple(decoded) if isinstance(decoded, list) else decoded
        return _checked(kind, fields)
    if "$e" in value:
        return _ENUMS[value["$e"]](value["v"])
    if "$s" in value:
        return frozenset(_decode(one) for one in value["$s"])
    if "$b" in value:
        return base64.b64decode(value["$b"])
    raise WireError("an unknown mark")


#: Fields whose type the program relies on without looking again.
_MUST: dict[str, dict[str, type | tuple[type, ...]]] = {
    "Page": {"text": str, "labels": types.Labels, "tokens": int, "id": str, "pinned": bool},
    "ToolResult": {"text": str, "ok": bool, "labels": types.Labels},
    "Labels": {"origins": frozenset, "integrity": types.Integrity, "confidentiality": types.Confidentiality},
    "ToolSpec": {"name": str, "description": str, "parameters": dict, "effect": types.EffectClass},
    "Message": {"content": str, "labels": types.Labels, "id": str},
    "CommandResult": {"text": str, "ok": bool, "prompt": str},
    "Element": {"kind": str, "data": dict, "title": str},
    "Persona": {"name": str, "system_prompt": str},
    "ModelOffer": {"name": str, "source": str},
}


def _checked(kind: type, fields: dict[str, Any]) -> Any:
    for name, wanted in _MUST.get(kind.__name__, {}).items():
        if name in fields and not isinstance(fields[name], wanted):
            raise WireError(f"{kind.__name__}.{name} has the wrong type")
    return kind(**fields)


def pack(message: Mapping[str, Any]) -> bytes:
    """One frame.

    Raises:
        WireError: it holds something that cannot cross, or is too large.
    """
    try:
        body = json.dumps(
            {key: _encode(value) for key, value in message.items()}, ensure_ascii=False, separators=(",", ":")
        ).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"it cannot be written as JSON: {error}") from error
    if len(body) > MAX_FRAME:
        raise WireError(f"{len(body):,} bytes are more than the pipe takes")
    return _HEADER.pack(len(body)) + body


def frame_length(header: bytes) -> int:
    """Bytes that follow a frame's header.

    Raises:
        WireError: too many.
    """
    (length,) = _HEADER.unpack(header)
    if length > MAX_FRAME:
        raise WireError(f"a frame of {length:,} bytes")
    return int(length)


HEADER_SIZE = _HEADER.size


def unpack(body: bytes) -> dict[str, Any]:
    """The message in a frame.

    Raises:
        WireError: not JSON, or not made of the types that may cross.
    """
    try:
        message = json.loads(body)
        if not isinstance(message, dict):
            raise WireError("not a message")
        return {key: _decode(value) for key, value in message.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(f"it cannot be read: {error}") from error
