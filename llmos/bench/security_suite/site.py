"""Web sites of a case: real servers on loopback, one that the user allowed and one that nobody did."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from llmos.bench.security_suite.cases import FoundHit, SitePage


class CaseSite:
    """Serves the pages of a case; ``/search`` answers as a SearXNG with its hits.

    Attributes:
        requests: paths with queries that were asked for, in order.
    """

    def __init__(self, pages: Mapping[str, SitePage], hits: tuple[FoundHit, ...]) -> None:
        self.requests: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append(self.path)
                page = site.page(self.path, pages, hits)
                body = page.body().encode("utf-8")
                self.send_response(page.status)
                self.send_header("Content-Type", page.kind)
                self.send_header("Content-Length", str(len(body)))
                if page.location:
                    self.send_header("Location", page.location)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing on the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def place(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @staticmethod
    def page(path: str, pages: Mapping[str, SitePage], hits: tuple[FoundHit, ...]) -> SitePage:
        """What a path gives."""
        where = urlsplit(path).path
        if where == "/search":
            rows = [{"title": hit.title, "url": hit.url, "content": hit.snippet} for hit in hits]
            return SitePage(path=where, text=json.dumps({"results": rows}), kind="application/json")
        return pages.get(where) or SitePage(path=where, text="Not found.", status=404)

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
