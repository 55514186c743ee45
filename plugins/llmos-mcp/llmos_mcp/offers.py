"""What servers offer, as this program's tools, results and texts; none of it is believed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from llmos.guard.clean import clean
from llmos.plugins import Tool, ToolContext
from llmos.types import Confidentiality, Integrity, Labels, ToolResult
from llmos_mcp.connection import Connection

_DESCRIPTION = 400
_SCHEMA_BYTES = 20_000
_TEXT = 2_000_000

Call = Callable[[Connection, str, dict[str, Any], ToolContext], ToolResult]


def labels_of(connection: Connection) -> Labels:
    """Labels of what a server gave: private, since it may tell of the user's own things."""
    integrity = Integrity.TRUSTED if connection.server.trusted else Integrity.UNTRUSTED
    return Labels(frozenset({f"tool:mcp/{connection.name}"}), integrity, Confidentiality.PRIVATE)


def one_line(text: str | None, limit: int = _DESCRIPTION) -> str:
    """A server's text, cleaned, on one line, cut."""
    plain = " ".join(clean(str(text or "")).split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def tool_name(server: str, tool: str) -> str:
    """``server_tool`` in the form that tools have here."""
    joined = re.sub(r"[^a-z0-9_]+", "_", f"{server}_{tool}".lower()).strip("_")
    return joined if joined[:1].isalpha() else f"mcp_{joined}"


def tools_of(connection: Connection, call: Call) -> list[Tool]:
    """The tools of a connected server."""
    server = connection.server
    tools: dict[str, Tool] = {}
    for offer in connection.offers.tools:
        name = str(offer.name)
        if server.tools is not None and name not in server.tools:
            continue
        schema = safe_schema(offer.input_schema)
        known = tool_name(connection.name, name)
        if schema is None or known in tools:
            continue
        tools[known] = Tool(
            _caller(connection, name, call),
            effect=server.effect_of(name),
            name=known,
            description=one_line(offer.description or offer.title or name),
            time_limit=server.timeout,
            description_trusted=server.trusted,
            parameters=schema,
        )
    return list(tools.values())


def _caller(connection: Connection, tool: str, call: Call) -> Callable[..., ToolResult]:
    # The name is one that no server's argument will have.
    def run(llmos_tool_context: ToolContext, **arguments: Any) -> ToolResult:
        """Call the server."""
        return call(connection, tool, arguments, llmos_tool_context)

    return run


def safe_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """A server's schema with every text in it cleaned and cut; None when it is of no use.

    Names of arguments stay as they are, since the server expects them; one that holds more than
    letters, digits and marks makes the tool unusable.
    """
    if schema.get("type", "object") != "object":
        return None
    try:
        if len(json.dumps(schema)) > _SCHEMA_BYTES:
            return None
    except (TypeError, ValueError):
        return None
    names = schema.get("properties", {})
    if not isinstance(names, Mapping) or not all(re.fullmatch(r"[\w.$-]{1,64}", str(one)) for one in names):
        return None
    cleaned: dict[str, Any] = _clean_schema(dict(schema))
    cleaned.setdefault("type", "object")
    cleaned.setdefault("properties", {})
    for noise in ("$schema", "title"):
        cleaned.pop(noise, None)
    return cleaned


def _clean_schema(part: Any) -> Any:
    if isinstance(part, dict):
        return {str(key): _clean_schema(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_clean_schema(one) for one in part]
    return one_line(part, 200) if isinstance(part, str) and len(part) > 64 else _clean_short(part)


def _clean_short(part: Any) -> Any:
    return clean(part) if isinstance(part, str) else part


def result_of(connection: Connection, answer: Any) -> ToolResult:
    """A server's answer to a call."""
    parts: list[str] = []
    images: list[dict[str, str]] = []
    for block in answer.content:
        kind = getattr(block, "type", "")
        if kind == "text":
            parts.append(str(block.text))
        elif kind == "image":
            images.append({"mime": str(block.mime_type), "base64": str(block.data)})
            parts.append(f"[an image, {block.mime_type}]")
        elif kind == "resource":
            parts.append(contents_text(block.resource))
        elif kind == "resource_link":
            parts.append(f"[resource {one_line(str(block.uri), 200)}: {one_line(block.name, 100)}]")
        else:
            parts.append(f"[{kind or 'something'} that cannot be shown]")
    text = "\n".join(parts)
    data: dict[str, Any] = {}
    if answer.structured_content is not None:
        data["structured"] = answer.structured_content
        if not text:
            text = json.dumps(answer.structured_content, ensure_ascii=False)
    if images:
        data["images"] = images
    text = clean(text)[:_TEXT] or "The server gave no text."
    return ToolResult(text, ok=not answer.is_error, labels=labels_of(connection), data=data or None)


def contents_text(contents: Any) -> str:
    """Text of a resource; binary ones are only named."""
    text = getattr(contents, "text", None)
    if text is not None:
        return str(text)
    size = len(str(getattr(contents, "blob", ""))) * 3 // 4
    return f"[{size:,} bytes of {getattr(contents, 'mime_type', None) or 'binary data'}]"
