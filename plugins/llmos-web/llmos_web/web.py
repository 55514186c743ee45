"""Everything that the plugin keeps for one host: cache, pauses, search, pages."""

from __future__ import annotations

from llmos.plugins import Host
from llmos_web.cache import Cache
from llmos_web.opening import Opener
from llmos_web.options import Options
from llmos_web.pauses import Pauses
from llmos_web.search import Searcher


class Web:
    """Search and pages of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.cache = Cache(host.data_dir / "cache.db")
        self.cache.forget_older(Options.of(host.settings).cache_days)
        self.pauses = Pauses(host.store)
        self.searcher = Searcher(host, self.cache, self.pauses)
        self.opener = Opener(host, self.cache)

    @property
    def options(self) -> Options:
        """The settings now."""
        return Options.of(self.host.settings)

    def close(self) -> None:
        """Close the cache."""
        self.cache.close()
