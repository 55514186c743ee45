"""The index as a screen, and what the last turn brought in: as data for any face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmos.plugins import Element, Panel
from llmos.types import UserError
from llmos_disk.background import start_index, start_watch
from llmos_disk.hosted import HostedDisk

_FORM = {
    "type": "object",
    "required": ["path"],
    "properties": {
        "path": {"type": "string", "title": "Folder or file", "description": "What to index."},
        "public": {
            "type": "boolean",
            "default": False,
            "title": "Public",
            "description": "What it says may leave this machine.",
        },
        "trusted": {
            "type": "boolean",
            "default": False,
            "title": "Trusted",
            "description": "What it says may steer tools.",
        },
    },
}
_MOST_SKIPPED = 200


def panels(hosted: HostedDisk) -> Sequence[Panel]:
    """The tab "Disk" and the side panel "Sources"."""
    return [
        Panel(
            "disk", "Disk", lambda: view(hosted), lambda action, value: act(hosted, action, value), refresh=1.0
        ),
        Panel("sources", "Sources", lambda: sources(hosted), place="side", refresh=2.0),
    ]


def status_line(hosted: HostedDisk) -> str:
    """Progress of a run; also the moment at which watching begins in a face that stays open."""
    if not hosted.exists:
        return ""
    disk = hosted.disk
    if disk.settings.watch and disk.store.folders():
        start_watch(hosted)
    line = disk.progress.line()
    return f"disk: {line}" if line else ""


def view(hosted: HostedDisk) -> list[Element]:
    """Folders, progress, what was skipped and why, and what can be done."""
    actions = [
        {"id": "index", "label": "Look for changes", "key": "i"},
        {"id": "pause", "label": "Pause", "key": "p"},
        {"id": "rebuild", "label": "Rebuild vectors", "key": "r"},
        {"id": "delete", "label": "Forget the folder", "key": "d"},
    ]
    form = Element("form", {"schema": _FORM, "values": {}, "action": "add"}, "Add")
    if not hosted.exists or not (folders := hosted.disk.store.folders()):
        intro = "Nothing is indexed yet. Add a folder, and answers can cite your own files."
        return [Element("text", {"markdown": intro}), form]
    disk = hosted.disk
    if disk.paused:
        actions[1] = {"id": "resume", "label": "Go on", "key": "p"}
    counts, active = disk.store.counts(), disk.store.active_embedder()
    elements = [
        Element(
            "text",
            {
                "markdown": f"{counts['files']:,} files · {counts['chunks']:,} passages · embedder "
                f"{active[1].split(':')[0] if active else 'none (words alone)'}"
                + (" · **paused**" if disk.paused else "")
            },
        )
    ]
    progress = disk.progress
    if progress.line():
        elements.append(
            Element(
                "progress",
                {
                    "done": round(progress.done / 1e6, 1),
                    "total": round(progress.total / 1e6, 1) or 1,
                    "text": f"MB · {progress.line()}",
                },
            )
        )
    per_folder = {
        int(row[0]): (int(row[1]), int(row[2]))
        for row in disk.store.db.execute(
            "SELECT folder_id, COUNT(content), COUNT(*) - COUNT(content) FROM files GROUP BY folder_id"
        )
    }
    rows = []
    for folder in folders:
        files, skipped = per_folder.get(folder.id, (0, 0))
        rows.append(
            [
                folder.name,
                f"{files:,}",
                f"{skipped:,}",
                "private" if folder.private else "public",
                "trusted" if folder.trusted else "untrusted",
                folder.display,
            ]
        )
    columns = ["folder", "files", "skipped", "leaves this machine", "may steer tools", "path"]
    elements.append(
        Element(
            "table",
            {"columns": columns, "rows": rows, "keys": [f"folder:{folder.id}" for folder in folders]},
            "Folders",
        )
    )
    skipped_rows = disk.store.files(skipped=True)
    if skipped_rows:
        elements.append(
            Element(
                "table",
                {
                    "columns": ["file", "why"],
                    "rows": [[row.relative, row.reason] for row in skipped_rows[:_MOST_SKIPPED]],
                    "keys": [f"file:{row.id}" for row in skipped_rows[:_MOST_SKIPPED]],
                },
                f"Skipped ({len(skipped_rows):,})",
            )
        )
    elements += [Element("actions", {"actions": actions}), form]
    return elements


def act(hosted: HostedDisk, action: str, value: Any) -> str | None:
    """What the user did on the screen."""
    try:
        disk = hosted.disk
        if action == "index":
            return start_index(hosted)
        if action in ("pause", "resume"):
            disk.pause(action == "pause")
            return "Indexing is paused." if action == "pause" else "Indexing goes on."
        if action == "rebuild":
            return f"The vector index holds {disk.rebuild():,} passages again."
        if action == "add" and isinstance(value, dict):
            path = str(value.get("path", "")).strip()
            if not path:
                return "Name a folder or file first."
            disk.add([path], public=bool(value.get("public")), trusted=bool(value.get("trusted")))
            return start_index(hosted)
        if action == "delete":
            if not str(value).startswith("folder:"):
                return "Choose a folder in the table first."
            removed = disk.remove([str(value).partition(":")[2]])
            return f"Forgotten: {removed[0].name}."
    except UserError as error:
        return str(error)
    return None


def sources(hosted: HostedDisk) -> list[Element]:
    """What the last question brought in and why, and which sentences nothing supports."""
    last = hosted.last
    if last is None:
        return [Element("text", {"markdown": "No question was asked yet."})]
    elements = [
        Element("text", {"markdown": f"Retrieval is *{last.mode}*: {last.why} ({last.seconds * 1000:.0f} ms)."})
    ]
    if last.pages:
        rows = [
            [
                page.source,
                str(page.location.get("line") or page.location.get("page") or ""),
                page.heading,
                page.reason,
            ]
            for page in last.pages
        ]
        table = {
            "columns": ["file", "line", "heading", "why"],
            "rows": rows,
            "keys": [page.id for page in last.pages],
        }
        elements.append(Element("table", table, "Passages"))
    bare = [one for one in hosted.support if one.supported is False]
    if bare:
        text = "\n".join(f"- {' '.join(one.text.split())}" for one in bare)
        elements.append(Element("text", {"markdown": text}, "No passage supports"))
    return elements
