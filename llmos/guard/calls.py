"""A call as exact bytes: one canonical form to compare, one readable form to approve."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmos.guard.reveal import reveal
from llmos.types import ToolCall, UserError

_SURROGATE = re.compile("[\ud800-\udfff]")
#: Longest canonical form of a call that is considered at all, in characters.
MAX_CALL = 1_000_000
#: Deepest nesting of arguments.
MAX_DEPTH = 64

_PATH_NAMES = ("path", "file", "filename", "file_path")
_CONTENT_NAMES = ("content", "text", "contents", "new_text", "data")


def canonical(call: ToolCall) -> str:
    """Name and arguments as canonical JSON: equal exactly when the calls are equal.

    Raises:
        ValueError, TypeError, RecursionError: the arguments are not plain JSON.
    """
    text = json.dumps(
        {"name": call.name, "arguments": _plain(call.arguments)},
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
        allow_nan=False,
    )
    # Half a surrogate pair has no bytes that a store could keep; its JSON escape means the same.
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: Any, depth: int = 0) -> Any:
    """The value, provided that it is plain JSON with string keys, and no deeper than anybody reads."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not a string")
        return {key: _plain(part, depth + 1) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, depth + 1) for part in value]
    raise TypeError(f"{type(value).__name__} is not JSON")


def parse_named_call(text: str) -> str:
    """Canonical form of a call that a user wrote down, for ``WindowState.preapproved``.

    Args:
        text: ``{"name": "…", "arguments": {…}}``.

    Raises:
        UserError: it is not such an object.
    """
    problem = 'A call to allow is written as JSON: {"name": "TOOL", "arguments": {…}}'
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{problem}; this is not JSON: {error}.") from error
    if (
        not isinstance(value, dict)
        or set(value) != {"name", "arguments"}
        or not isinstance(value["name"], str)
        or not isinstance(value["arguments"], dict)
    ):
        raise UserError(f"{problem}; got {text[:80]}.")
    return canonical(ToolCall(value["name"], value["arguments"]))


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands there twice")
    return result


def exact_text(call: ToolCall) -> str:
    """The call as the user reads it before approving: every argument whole, nothing hidden.

    Several lines or an uncommon character are shown as they are used; the length stands before a
    long argument so that its end is looked for.
    """
    lines = [reveal(call.name)]
    for name, value in call.arguments.items():
        text = value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False, indent=2)
        shown = reveal(text)
        size = f" ({len(text):,} characters, {text.count(chr(10)) + 1:,} lines)" if len(text) > 400 else ""
        if "\n" in shown:
            body = "\n".join(f"  | {line}" for line in shown.split("\n"))
            lines.append(f"  {reveal(name)}{size}:\n{body}")
        else:
            lines.append(f"  {reveal(name)}{size}: {shown}")
    return "\n".join(lines)


def write_diff(arguments: Mapping[str, Any], limit: int = 1_000_000) -> str:
    """Unified diff of a file write, when the arguments name a file and its new content.

    Args:
        arguments: arguments of the call.
        limit: a present file of more bytes is not compared.

    Returns:
        The diff with everything made visible; empty when there is nothing to compare.
    """
    path = next((arguments[name] for name in _PATH_NAMES if isinstance(arguments.get(name), str)), None)
    new = next((arguments[name] for name in _CONTENT_NAMES if isinstance(arguments.get(name), str)), None)
    if path is None or new is None or len(arguments) != 2:
        return ""  # a difference shown instead of the call must leave nothing of the call out
    old = ""
    try:
        file = Path(path).expanduser()
        if file.is_file() and file.stat().st_size <= limit:
            old = file.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError, RuntimeError):
        old = ""
    return unified_diff(path, old, new)


def unified_diff(path: str, old: str, new: str) -> str:
    """Unified diff between two texts with everything made visible.

    Args:
        path: name of the file, for the head.
        old: what is there now; empty for a new file.
        new: what will be there.
    """
    before, after = _lines(old), _lines(new)
    name = reveal(path)
    return "\n".join(difflib.unified_diff(before, after, f"{name} (now)", f"{name} (new)", lineterm=""))


def _lines(text: str) -> list[str]:
    """Lines with everything made visible, a missing line end at the end of the file too."""
    if not text:
        return []
    lines = reveal(text).split("\n")
    if lines[-1] == "":
        return lines[:-1]
    lines[-1] += "⟨no line end⟩"
    return lines
