"""Opens one page: robots.txt, every redirect by itself, limits, the cache."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit
from urllib.robotparser import RobotFileParser

from llmos.plugins import Host, HttpResponse
from llmos.types import UserError
from llmos_web.addresses import clean_url, resolve_public
from llmos_web.cache import Cache, Document
from llmos_web.dates import day
from llmos_web.extract import READABLE, extract
from llmos_web.options import Options

FRESH_SECONDS = 86_400.0
MAX_REDIRECTS = 5
AGENT = "llmos"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Opened:
    """A page, and in words where it comes from when not from the web just now."""

    document: Document
    note: str = ""


class Opener:
    """Opens pages for one host.

    Args:
        host: the program; its ``http`` checks every address after the name is looked up.
        cache: pages read earlier.
    """

    def __init__(self, host: Host, cache: Cache) -> None:
        self._host = host
        self._cache = cache

    def open(self, url: str, fresh: bool = False) -> Opened:
        """Read a page.

        Args:
            url: an http or https address.
            fresh: fetch it though a recent copy is stored.

        Raises:
            UserError: not an address, not to be opened, not to be read; nothing in the cache.
        """
        given, url = url, clean_url(url if "://" in url else f"https://{url}")
        if not url:
            raise UserError(f"{given.strip()[:120]!r} is no web address; it begins with https:// or http://.")
        stored = None if fresh else self._cache.document(url, FRESH_SECONDS)
        if stored is not None:
            return Opened(stored, f"From the cache, read on {day(stored.fetched)}.")
        try:
            self._host.http.check()
            document = self._fetch(url, Options.of(self._host.settings))
        except UserError as error:
            old = self._cache.document(url)
            if old is None:
                raise
            return Opened(old, f"{error} This is the copy of {day(old.fetched)}.")
        self._cache.keep_document(document)
        return Opened(document)

    def _fetch(self, url: str, options: Options) -> Document:
        end = time.monotonic() + options.timeout
        asked = url
        seen = set()
        for _ in range(MAX_REDIRECTS + 1):
            if url in seen:
                raise UserError(f"{asked} redirects in a circle.")
            seen.add(url)
            if options.robots:
                self._obey_robots(url, end)
            response = self._get(url, end, options.page_bytes)
            target = response.headers.get("location", "") if response.status in _REDIRECTS else ""
            if not target:
                break
            url = clean_url(urljoin(url, target))
            if not url:
                raise UserError(f"{asked} redirects to something that is no web address.")
        else:
            raise UserError(f"{asked} redirects more than {MAX_REDIRECTS} times.")
        if response.status != 200:
            raise UserError(f"{asked} answers with status {response.status}.")
        found = extract(response.body, response.headers.get("content-type", ""), asked)
        return Document(asked, url, found.title, found.date, found.text, time.time())

    def _get(self, url: str, end: float, max_bytes: int) -> HttpResponse:
        """One exchange without redirects; the program's client checks the address it connects to."""
        pieces = urlsplit(url)
        host, port = pieces.hostname or "", pieces.port or (443 if pieces.scheme == "https" else 80)
        left = max(0.2, end - time.monotonic())
        allowed = {str(name) for name in self._host.settings.get("allow_hosts", ())}
        if host not in allowed and f"{host}:{port}" not in allowed:
            # Not the check that counts (that is made at connecting): this one has a time limit.
            resolve_public(host, port, min(2.0, left))
        headers = {"Accept": ", ".join(READABLE) + ";q=0.9, */*;q=0.1"}
        return self._host.http.request(
            "GET", url, headers=headers, timeout=left, max_bytes=max_bytes, follow_redirects=False
        )

    def _obey_robots(self, url: str, end: float) -> None:
        """Raise when the site's robots.txt does not want the address read by programs."""
        pieces = urlsplit(url)
        site = f"{pieces.scheme}://{pieces.netloc}"
        stored = self._cache.robots(site, FRESH_SECONDS)
        if stored is None:
            response = self._get(f"{site}/robots.txt", end, 500_000)
            for _ in range(MAX_REDIRECTS):
                if response.status not in _REDIRECTS or not response.headers.get("location"):
                    break
                target = clean_url(urljoin(response.url, response.headers["location"]))
                if not target:
                    break
                response = self._get(target, end, 500_000)
            stored = (response.status, response.body.decode("utf-8", "replace"))
            if stored[0] < 500:
                self._cache.keep_robots(site, *stored)
        status, text = stored
        if status >= 500:
            raise UserError(f"{site} does not say whether programs may read it (robots.txt: status {status}).")
        if status >= 400 or status in _REDIRECTS:
            return  # there is none
        rules = RobotFileParser()
        rules.parse(text.splitlines())
        if not rules.can_fetch(AGENT, url):
            raise UserError(f"{site} asks programs not to read {pieces.path} (robots.txt).")
