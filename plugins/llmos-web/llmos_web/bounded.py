"""The search library's HTTP client, held to limits: the only way in which its sockets are used.

``ddgs`` fetches with a native client (``primp``) that looks like a browser, which the engines
insist on. Here it is asked hop by hop: https alone, the engine's own site alone, addresses that
are public, a size and a time.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urljoin, urlsplit

from ddgs.http_client import HttpClient

from llmos.types import UserError
from llmos_web.addresses import resolve_public, same_site

MAX_BYTES = 2_000_000
MAX_REDIRECTS = 4
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class EngineProblem(Exception):
    """An engine did not give results.

    Attributes:
        kind: ``blocked``, ``busy``, ``slow``, ``unreachable`` or ``odd``.
        retry_after: seconds that the engine asked for, or 0.
    """

    def __init__(self, kind: str, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.kind = kind
        self.retry_after = retry_after


class Answer:
    """What the library's engines look at."""

    def __init__(self, status: int, content: bytes, encoding: str) -> None:
        self.status_code = status
        self.content = content
        try:
            self.text = content.decode(encoding or "utf-8", "replace")
        except LookupError:
            self.text = content.decode("utf-8", "replace")


class BoundedClient:
    """Takes the place of an engine's client.

    Args:
        proxy: the user's own proxy, or empty.
        timeout: seconds for one search, redirects included.
        ca_file: certificates to trust instead of the usual ones, or empty.
    """

    def __init__(self, proxy: str, timeout: float, ca_file: str) -> None:
        inner = HttpClient(proxy=proxy or None, timeout=max(1, round(timeout)), verify=ca_file or True)
        self.client: Any = inner.client  # engines set cookies and headers on it
        self._timeout = timeout
        self._has_proxy = bool(proxy)
        self.last_status = 0
        self.last_text = ""

    def request(self, method: str, url: str, **kwargs: Any) -> Any:
        """One request of an engine.

        Raises:
            EngineProblem: it was not answered within the limits.
        """
        end = time.monotonic() + self._timeout
        home = urlsplit(url).hostname or ""
        for _ in range(MAX_REDIRECTS + 1):
            pieces = urlsplit(url)
            host = pieces.hostname or ""
            if pieces.scheme != "https" or not same_site(host, home):
                raise EngineProblem("odd", f"it redirects to {url[:120]}")
            left = end - time.monotonic()
            if left <= 0:
                raise EngineProblem("slow", f"no answer within {self._timeout:g} s")
            if not self._has_proxy:  # with one, names are looked up there
                try:
                    resolve_public(host, pieces.port or 443, min(2.0, left))
                except UserError as error:
                    raise EngineProblem("unreachable", str(error)) from error
            answer, target = self._hop(method, url, end, kwargs)
            if not target:
                self.last_status, self.last_text = answer.status_code, answer.text
                return answer
            url = urljoin(url, target)
            method, kwargs = "GET", {}
        raise EngineProblem("odd", f"it redirects more than {MAX_REDIRECTS} times")

    def _hop(self, method: str, url: str, end: float, kwargs: dict[str, Any]) -> tuple[Answer, str]:
        """One exchange, and where it redirects to."""
        import primp

        left = max(0.2, end - time.monotonic())
        try:
            with self.client.request(
                method, url, **kwargs, timeout=left, read_timeout=left, follow_redirects=False, stream=True
            ) as response:
                headers = {key.lower(): value for key, value in response.headers.items()}
                status = int(response.status_code)
                if status == 429:
                    raise EngineProblem(
                        "busy", "it asks to come back later", _seconds(headers.get("retry-after"))
                    )
                if status in _REDIRECTS and headers.get("location"):
                    return Answer(status, b"", ""), headers["location"]
                parts, size = [], 0
                for part in response.iter_bytes(65536):
                    size += len(part)
                    if size > MAX_BYTES:
                        raise EngineProblem("odd", f"its answer is larger than {MAX_BYTES:,} bytes")
                    if time.monotonic() > end:
                        raise EngineProblem("slow", f"no whole answer within {self._timeout:g} s")
                    parts.append(part)
                return Answer(status, b"".join(parts), response.encoding), ""
        except primp.TimeoutError as error:
            raise EngineProblem("slow", f"no answer within {self._timeout:g} s") from error
        except (primp.ConnectError, primp.DNSError) as error:
            raise EngineProblem("unreachable", "it cannot be reached") from error
        except primp.PrimpError as error:
            raise EngineProblem("odd", f"its answer cannot be read ({type(error).__name__})") from error


def _seconds(text: str | None) -> float:
    """A ``Retry-After`` in seconds; dates are taken as a minute."""
    if not text:
        return 0.0
    return float(text) if text.strip().isdigit() else 60.0
