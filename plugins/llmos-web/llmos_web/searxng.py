"""Asks the user's own SearXNG, through ``host.http``."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from llmos.plugins import Host
from llmos.types import UserError
from llmos_web.engines import Hit, tidy
from llmos_web.options import Options


def ask_searxng(host: Host, query: str, options: Options, timeout: float) -> list[Hit]:
    """Results of the user's SearXNG.

    Raises:
        UserError: it cannot be reached, or does not answer in JSON.
    """
    values = urlencode(
        {
            "q": query,
            "format": "json",
            "language": "-".join(reversed(options.region.split("-"))),
            "safesearch": {"off": 0, "moderate": 1, "on": 2}.get(options.safe_search, 1),
        }
    )
    answer = host.http.request(
        "GET", f"{options.searxng}/search?{values}", timeout=timeout, max_bytes=2_000_000
    )
    if answer.status == 403:
        raise UserError(
            f"The SearXNG at {options.searxng} does not answer in JSON; add json to its search.formats setting."
        )
    if answer.status != 200:
        raise UserError(f"The SearXNG at {options.searxng} answers with status {answer.status}.")
    try:
        rows = json.loads(answer.body)["results"]
        return tidy([(row.get("title", ""), row.get("url", ""), row.get("content", "")) for row in rows])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"The SearXNG at {options.searxng} sent something that is no result list.") from error
