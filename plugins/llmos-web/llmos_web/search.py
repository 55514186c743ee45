"""A search: the cache, then the engines in order until one answers, then the cache of any age."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from llmos.plugins import Host
from llmos.types import UserError
from llmos_web.cache import Cache, Found
from llmos_web.dates import clock, day
from llmos_web.options import Options
from llmos_web.pauses import Pauses

FRESH_SECONDS = 3_600.0
MAX_QUERY = 400
WHOLE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results, and in words where they come from when not from the web just now."""

    found: Found
    note: str = ""


class Searcher:
    """Searches for one host.

    Args:
        host: the program.
        cache: results of earlier searches.
        pauses: engines that are left alone.
    """

    def __init__(self, host: Host, cache: Cache, pauses: Pauses) -> None:
        self._host = host
        self._cache = cache
        self._pauses = pauses

    def search(
        self, query: str, limit: int | None = None, cancelled: Callable[[], bool] = lambda: False
    ) -> Outcome:
        """Search the web.

        Args:
            query: what to look for.
            limit: most results; None takes the setting.
            cancelled: looked at between engines.

        Raises:
            UserError: offline or without an answer, and nothing about it in the cache.
        """
        query = " ".join(query.split())
        if not query:
            raise UserError("The search is empty; say what to look for.")
        if len(query) > MAX_QUERY:
            raise UserError(f"The search is longer than {MAX_QUERY} characters; say it in fewer words.")
        options = Options.of(self._host.settings)
        most = limit or options.results
        stored = self._cache.search(query, FRESH_SECONDS)
        if stored is not None:
            return _cut(Outcome(stored), most)
        try:
            self._host.http.check()
            found = self._ask(query, options, cancelled)
        except UserError as error:
            old = self._cache.search(query)
            if old is None:
                raise UserError(f"{str(error).rstrip('.')}; no earlier results for this are stored.") from error
            return _cut(Outcome(old, f"{error} These are the results of {day(old.fetched)}."), most)
        if found.hits:
            self._cache.keep_search(found)
        return _cut(Outcome(found), most)

    def _ask(self, query: str, options: Options, cancelled: Callable[[], bool]) -> Found:
        """Ask the user's SearXNG, or the engines in turn."""
        if options.searxng:
            from llmos_web.searxng import ask_searxng

            hits = ask_searxng(self._host, query, options, options.timeout)
            return Found(query, "searxng", tuple(hits), time.time())
        return self._ask_engines(query, options, cancelled)

    def _ask_engines(self, query: str, options: Options, cancelled: Callable[[], bool]) -> Found:
        from llmos_web.bounded import EngineProblem
        from llmos_web.engines import ask

        problems: list[str] = []
        nothing: Found | None = None
        end = time.monotonic() + WHOLE_SECONDS
        for name in options.engines:
            until = self._pauses.until(name)
            if until:
                problems.append(f"{name} is paused until {clock(until)}")
                continue
            left = end - time.monotonic()
            if cancelled() or left < 0.5:
                problems.append("the time is up" if left < 0.5 else "it was stopped")
                break
            try:
                hits = ask(name, query, options, min(options.timeout, left))
            except EngineProblem as problem:
                self._pauses.failed(name, problem.kind, problem.retry_after)
                if problem.kind == "unreachable":
                    # The next one would not be reached either, and each costs seconds.
                    raise UserError(f"The web cannot be searched: {problem}") from problem
                problems.append(f"{name}: {problem}")
                continue
            self._pauses.answered(name)
            found = Found(query, name, tuple(hits), time.time())
            if hits:
                return found
            nothing = nothing or found
        if nothing is not None:
            return nothing
        raise UserError(
            f"No search engine answered ({'; '.join(problems) or 'none is set'}); "
            "try again later, or set the web plugin's searxng to a SearXNG of your own."
        )


def _cut(outcome: Outcome, most: int) -> Outcome:
    return replace(outcome, found=replace(outcome.found, hits=outcome.found.hits[: max(1, most)]))
