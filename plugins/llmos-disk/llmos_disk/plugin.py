"""Hooks of the disk plugin: search tool, passages for a turn, commands, panels, status."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmos.plugins import (
    Command,
    Element,
    Host,
    ModelOffer,
    Panel,
    Renderer,
    StatusItem,
    Tool,
    ToolContext,
    Turn,
    hookimpl,
)
from llmos.types import EffectClass, Mark, Page, ToolResult, join_labels
from llmos_disk.convert_minilm import FILE_NAME
from llmos_disk.hosted import HostedDisk

#: What is said of a sentence that is marked.
NOT_SUPPORTED = "No passage supports this."

_CITATION = re.compile(r"\[\d+\]")
_disks: dict[int, HostedDisk] = {}


def disk_of(host: Host) -> HostedDisk:
    """The disk of this host."""
    found = _disks.get(id(host))
    if found is None:
        found = _disks[id(host)] = HostedDisk(host)
    return found


@hookimpl
def llmos_start(host: Host) -> None:
    """Offer the default embedder where it was made before; nothing is opened."""
    disk_of(host).offer_embedder(make=False)


@hookimpl
def llmos_models(host: Host) -> Sequence[ModelOffer]:
    """The default embedder, its file made now where it is missing and the package is installed."""
    hosted = disk_of(host)
    hosted.offer_embedder(make=True)
    path = host.data_dir / FILE_NAME
    if not path.is_file():
        return ()
    name = "all-MiniLM-L6-v2"
    return (ModelOffer(name, str(path), "embedding", "Apache-2.0", "Vectors of texts for files and memory."),)


@hookimpl
def llmos_stop(host: Host) -> None:
    """End background work, close the index."""
    found = _disks.pop(id(host), None)
    if found is not None:
        found.close()


@hookimpl
def llmos_tools(host: Host) -> Sequence[Tool]:
    """``search_files``, as the model knows it."""

    def search_files(query: str, context: ToolContext) -> ToolResult:
        """Searches the user's files and returns numbered passages.

        Args:
            query: what to look for.
        """
        from llmos.formats import format_page
        from llmos_disk.retrieval import page_of

        hosted = disk_of(host)
        if not hosted.exists or not hosted.disk.store.folders():
            return ToolResult("No files are indexed. The user can add some with /disk add.", ok=False)
        found = hosted.disk.search(query, limit=hosted.disk.settings.passages)
        if not found.hits:
            return ToolResult("Nothing was found in the user's files.")
        pages = [page_of(hit) for hit in found.hits]
        for number, page in enumerate(pages, start=1):
            page.number = number
        text = "\n\n".join(format_page(page.number, page.source, page.heading, page.text) for page in pages)
        rows = [
            {
                "number": page.number,
                "source": page.source,
                "heading": page.heading,
                "why": page.reason,
                "location": dict(page.location),
            }
            for page in pages
        ]
        return ToolResult(
            text, labels=join_labels(page.labels for page in pages), data={"passages": rows}, pages=tuple(pages)
        )

    return [Tool(search_files, EffectClass.READ, time_limit=20.0)]


@hookimpl
def llmos_context(host: Host, turn: Turn) -> Sequence[Page]:
    """Passages that the user's question calls for, within the turn's budget."""
    from llmos_disk.retrieval import retrieve

    hosted = disk_of(host)
    if not hosted.exists or turn.budget <= 0:
        return ()
    disk = hosted.disk
    if not disk.store.folders():
        return ()
    hosted.last = retrieve(
        disk, turn.user.content, turn.budget, host.count_tokens, turn.options, host.model_parameters
    )
    hosted.support = []
    host.store.set("last", hosted.last.as_dict())
    return hosted.last.pages


@hookimpl
def llmos_marks(host: Host, turn: Turn) -> Sequence[Mark]:
    """Sentences of the answer that no passage in the window supports."""
    from llmos_disk.support import check

    passages = [page for page in turn.window if page.kind == "passage"]
    if turn.answer is None or not passages:
        return ()
    numbered = [(page.number, f"{page.source} {page.heading}\n{page.text}") for page in passages]
    hosted = disk_of(host)
    # Passages of earlier turns say nothing about a greeting or a sum: only an answer that was to come
    # from the files, or that cites them, is held to them.
    asked = hosted.last is not None and hosted.last.question == turn.user.content
    if asked and hosted.last and not hosted.last.pages and not _CITATION.search(turn.answer.content):
        return ()
    hosted.support = check(turn.answer.content, numbered)
    return [
        Mark(one.start, one.end, one.text, NOT_SUPPORTED) for one in hosted.support if one.supported is False
    ]


@hookimpl
def llmos_commands(host: Host) -> Sequence[Command]:
    """``disk add``, ``disk search`` and so on."""
    from llmos_disk.commands import commands

    return commands(disk_of(host))


@hookimpl
def llmos_panels(host: Host) -> Sequence[Panel]:
    """The index as a screen, and what the last turn brought in at the side."""
    from llmos_disk.panels import panels

    return panels(disk_of(host))


@hookimpl
def llmos_status(host: Host) -> Sequence[StatusItem]:
    """Progress of the index in the status bar."""
    from llmos_disk.panels import status_line

    hosted = disk_of(host)
    return [StatusItem("indexing", lambda: status_line(hosted), refresh=1.0)]


@hookimpl
def llmos_renderers(host: Host) -> Sequence[Renderer]:
    """Results of ``search_files`` as a table."""

    def view(result: ToolResult) -> Sequence[Element]:
        rows = (result.data or {}).get("passages", [])
        if not rows:
            return [Element("text", {"markdown": result.text})]
        table = [[row["number"], row["source"], row["heading"], row["why"]] for row in rows]
        return [
            Element(
                "table",
                {
                    "columns": ["", "file", "heading", "found by"],
                    "rows": table,
                    "keys": [str(row["number"]) for row in rows],
                },
            )
        ]

    return [Renderer("search_files", view)]
