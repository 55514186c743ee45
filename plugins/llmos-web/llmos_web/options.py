"""The plugin's settings, with their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the plugin; ``llmos-plugin.toml`` says what each is for."""

    engines: tuple[str, ...] = ("duckduckgo", "mojeek", "brave", "startpage", "yahoo", "wikipedia")
    searxng: str = ""
    region: str = "us-en"
    safe_search: str = "moderate"
    results: int = 6
    timeout: float = 6.0
    page_bytes: int = 3_000_000
    robots: bool = True
    cache_days: float = 90.0
    proxy: str = ""
    ca_file: str = ""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Options:
        """From ``host.settings``."""
        default = cls()
        return cls(
            engines=tuple(str(name) for name in settings.get("engines", default.engines)),
            searxng=str(settings.get("searxng", "")).rstrip("/"),
            region=str(settings.get("region", default.region)),
            safe_search=str(settings.get("safe_search", default.safe_search)),
            results=int(settings.get("results", default.results)),
            timeout=float(settings.get("timeout", default.timeout)),
            page_bytes=int(float(settings.get("page_mb", 3)) * 1_000_000),
            robots=bool(settings.get("robots", True)),
            cache_days=float(settings.get("cache_days", default.cache_days)),
            proxy=str(settings.get("proxy", "")),
            ca_file=str(settings.get("ca_file", "")),
        )
