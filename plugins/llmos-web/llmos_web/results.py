"""Results and pages as the model reads them, as a face draws them, as ``--json`` prints them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from llmos.plugins import Element
from llmos.types import Confidentiality, Integrity, Labels, Page, ToolResult
from llmos_web.dates import day
from llmos_web.extract import passages
from llmos_web.opening import Opened
from llmos_web.search import Outcome


def labels_of(*urls: str) -> Labels:
    """Labels of a text from the web: public, and never to be believed."""
    origins = frozenset(f"url:{url}" for url in urls) or frozenset({"tool:web_search"})
    return Labels(origins, Integrity.UNTRUSTED, Confidentiality.PUBLIC)


def _page(text: str, url: str, heading: str, number: int, reason: str) -> Page:
    return Page(
        text,
        "passage",
        labels_of(url),
        role="tool",
        heading=heading,
        source=urlsplit(url).hostname or url,
        location={"url": url, "passage": number},
        reason=reason,
    )


def search_result(outcome: Outcome) -> ToolResult:
    """A search as a tool's result: a list of addresses, and a page a snippet."""
    found = outcome.found
    lines = [outcome.note] if outcome.note else []
    if not found.hits:
        lines.append(f"No results for: {found.query}")
    for number, hit in enumerate(found.hits, 1):
        lines.append(f"{number}. {hit.title}\n{hit.url}")
    pages = tuple(
        _page(hit.snippet, hit.url, hit.title, number, f"result {number} of a web search")
        for number, hit in enumerate(found.hits, 1)
        if hit.snippet
    )
    urls = tuple(hit.url for hit in found.hits)
    return ToolResult("\n".join(lines), True, labels_of(*urls), search_data(outcome), urls, pages)


def search_data(outcome: Outcome) -> dict[str, Any]:
    """A search as JSON-able data."""
    found = outcome.found
    return {
        "query": found.query,
        "engine": found.engine,
        "fetched": day(found.fetched),
        "note": outcome.note,
        "results": [hit.data() for hit in found.hits],
    }


def open_result(opened: Opened) -> ToolResult:
    """A page as a tool's result: what it is, and its passages as pages."""
    document = opened.document
    parts = passages(document.text)
    lines = [document.title or document.final_url]
    if document.title:
        lines.append(document.final_url)
    if document.date:
        lines.append(f"published {document.date}")
    if opened.note:
        lines.append(opened.note)
    pages = tuple(
        _page(
            text,
            document.final_url,
            " > ".join(part for part in (document.title, heading) if part),
            number,
            "a page of the web that was opened",
        )
        for number, (heading, text) in enumerate(parts, 1)
    )
    labels = labels_of(*dict.fromkeys((document.url, document.final_url)))
    return ToolResult("\n".join(lines), True, labels, open_data(opened), pages=pages)


def open_data(opened: Opened) -> dict[str, Any]:
    """A page as JSON-able data."""
    document = opened.document
    return {
        "url": document.url,
        "final_url": document.final_url,
        "title": document.title,
        "date": document.date,
        "fetched": day(document.fetched),
        "note": opened.note,
        "text": document.text,
    }


def search_markdown(outcome: Outcome) -> str:
    """A search for a reader."""
    lines = [outcome.note] if outcome.note else []
    if not outcome.found.hits:
        lines.append(f"No results for: {escape(outcome.found.query)}")
    for number, hit in enumerate(outcome.found.hits, 1):
        # The whole address is shown: a title can say anything.
        lines.append(f"{number}. **{escape(hit.title)}**  \n   <{hit.url}>  \n   {escape(hit.snippet)}")
    return "\n\n".join(lines)


def escape(text: str) -> str:
    """Text that Markdown shows as it is."""
    for mark in "\\`*_[]<>#|":
        text = text.replace(mark, "\\" + mark)
    return text


def search_elements(result: ToolResult) -> list[Element]:
    """How a face draws a search."""
    data = result.data or {}
    rows = [[hit["title"], hit["snippet"][:160], hit["url"]] for hit in data.get("results", ())]
    if not rows:
        return [Element("text", {"markdown": escape(result.text)})]
    parts = [
        Element(
            "table", {"columns": ["Title", "Snippet", "Address"], "rows": rows, "keys": [r[2] for r in rows]}
        )
    ]
    line = data.get("note") or f"{len(rows)} results from {data.get('engine', '')}"
    parts.append(Element("text", {"markdown": escape(str(line))}))
    return parts


def open_elements(result: ToolResult) -> list[Element]:
    """How a face draws a page: what it is and how it begins."""
    data = result.data or {}
    if "text" not in data:
        return [Element("text", {"markdown": escape(result.text)})]
    head = "  \n".join(f"{line}" for line in map(escape, result.text.splitlines()))
    text = str(data["text"])
    begin = text if len(text) <= 1_500 else text[:1_500] + " …"
    return [Element("text", {"markdown": head}), Element("text", {"markdown": escape(begin)}, title="Text")]
