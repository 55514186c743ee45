"""Asks one search engine through ``ddgs``, and tells a page of results from a locked door."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from llmos_web.addresses import clean_url, inside
from llmos_web.options import Options

#: What pages of engines say that want to see a human first.
_LOCKED = re.compile(
    r"anomaly-modal|captcha|unusual traffic|are you (a )?(human|robot)|verify you are human|challenge-form",
    re.I,
)
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Hit:
    """One result."""

    title: str
    url: str
    snippet: str

    def data(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def known_engines() -> list[str]:
    """Names of the engines that the library has working."""
    from ddgs.engines import ENGINES

    return sorted(ENGINES["text"])


def ask(name: str, query: str, options: Options, timeout: float) -> list[Hit]:
    """Results of one engine, best first; none is an answer too.

    Raises:
        EngineProblem: it is not known, not reachable, busy, slow, or shows a locked door.
    """
    from ddgs.engines import ENGINES

    from llmos_web.bounded import BoundedClient, EngineProblem

    kind = ENGINES["text"].get(name)
    if kind is None:
        raise EngineProblem("odd", f"there is no engine of that name (there are: {', '.join(known_engines())})")
    engine: Any = kind(timeout=1)
    client = BoundedClient(options.proxy, timeout, options.ca_file)
    client.client.headers_update(engine.headers_update)
    engine.http_client = client
    try:
        found = engine.search(query, region=options.region, safesearch=options.safe_search) or []
    except EngineProblem:
        raise
    except Exception as error:  # the library's parsers raise whatever a strange page makes them
        raise EngineProblem("odd", f"its page cannot be read ({type(error).__name__})") from error
    hits = tidy([(one.title, one.href, one.body) for one in found])
    if not hits:
        if client.last_status != 200 or _LOCKED.search(client.last_text):
            if client.last_status in (200, 202, 403, 418) or _LOCKED.search(client.last_text):
                raise EngineProblem("blocked", "it wants to see a human first")
            raise EngineProblem("odd", f"it answers with status {client.last_status}")
        if not re.search(r"<html|<!doctype|^\s*[\[{]", client.last_text, re.I):
            raise EngineProblem("odd", "its answer is no page")
    return hits


def tidy(rows: list[tuple[str, str, str]]) -> list[Hit]:
    """Results with plain addresses and texts, each address once, none inside the local network."""
    from urllib.parse import urlsplit

    hits: dict[str, Hit] = {}
    for title, address, snippet in rows:
        url = clean_url(str(address or ""))
        if not url or url in hits or inside(urlsplit(url).hostname or ""):
            continue
        name = _BLANKS.sub(" ", str(title or "")).strip()[:200]
        text = _BLANKS.sub(" ", str(snippet or "")).strip()[:600]
        hits[url] = Hit(name or url, url, text)
    return list(hits.values())
