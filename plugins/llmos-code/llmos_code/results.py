"""What a run gave, as the model reads it, as a face draws it, and as ``--json`` prints it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmos.plugins import Element
from llmos.types import Confidentiality, Integrity, Labels, ToolResult
from llmos_code.limits import RunResult

KEPT_IMAGES = 50
MAX_IMAGE = 4 * 1024 * 1024


def save_images(folder: Path, images: Sequence[bytes]) -> list[dict[str, Any]]:
    """Write PNG files that faces and users can open; the oldest beyond fifty are removed.

    Returns:
        For each its ``path``, ``width`` and ``height`` in pixels.
    """
    saved = []
    for image in images:
        if len(image) > MAX_IMAGE or len(image) < 33 or image[12:16] != b"IHDR":
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(image).hexdigest()[:16]}.png"
        path.write_bytes(image)
        width, height = struct.unpack(">II", image[16:24])
        saved.append({"path": str(path), "width": width, "height": height})
    if saved:
        files = sorted(folder.glob("*.png"), key=lambda file: file.stat().st_mtime)
        for file in files[: max(0, len(files) - KEPT_IMAGES)]:
            file.unlink(missing_ok=True)
    return saved


def text_of(result: RunResult, images: Sequence[dict[str, Any]]) -> str:
    """The run as text: what was printed, the value, the images, the error."""
    parts = [result.output.rstrip("\n"), result.value]
    parts += [f"[image {image['width']}x{image['height']}: {image['path']}]" for image in images]
    parts.append(result.error)
    return "\n".join(part for part in parts if part) or "(The code ran and printed nothing.)"


def data_of(result: RunResult, images: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The run as JSON-able data."""
    return {
        "ok": result.ok,
        "output": result.output,
        "value": result.value,
        "error": result.error,
        "tables": list(result.tables),
        "images": list(images),
        "seconds": round(result.seconds, 4),
        "lost": result.lost,
        "tier": result.tier,
    }


def tool_result(result: RunResult, images: Sequence[dict[str, Any]], sources: Sequence[str]) -> ToolResult:
    """The run as a tool's result.

    Its labels say what it was made from beyond the call itself: with files handed in they are
    private and may not steer tools. (The program joins what was in the window.)
    """
    labels = Labels(
        frozenset({"tool:python", *(f"file:{source}" for source in sources)}),
        Integrity.UNTRUSTED if sources else Integrity.TRUSTED,
        Confidentiality.PRIVATE if sources else Confidentiality.PUBLIC,
    )
    return ToolResult(text_of(result, images), result.ok, labels, data_of(result, images))


def elements(result: ToolResult) -> list[Element]:
    """How a face draws it: code block for the text, tables, the images' places."""
    data = result.data or {}
    if "tier" not in data:
        return [Element("text", {"markdown": fenced(result.text)})]
    parts: list[Element] = []
    printed = "\n".join(part for part in (str(data["output"]).rstrip("\n"), str(data["value"])) if part)
    if printed:
        parts.append(Element("text", {"markdown": fenced(printed)}))
    for table in data["tables"]:
        rows = [[str(cell) for cell in row] for row in table["rows"]]
        parts.append(
            Element(
                "table", {"columns": table["columns"], "rows": rows, "keys": [str(n) for n in range(len(rows))]}
            )
        )
    for image in data["images"]:
        parts.append(
            Element("text", {"markdown": f"Image {image['width']}×{image['height']}: `{image['path']}`"})
        )
    if data["error"]:
        parts.append(Element("text", {"markdown": fenced(str(data["error"]))}, title="Error"))
    line = f"{data['seconds'] * 1000:.0f} ms in {data['tier']}"
    parts.append(Element("text", {"markdown": line}))
    return parts


def fenced(text: str) -> str:
    """A code block whose fence the text cannot close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
