"""Labels as the guard reads them: where untrusted text came from, what is private, how they join."""

from __future__ import annotations

from collections.abc import Iterable

from llmos.guard.reveal import reveal
from llmos.labels import NO_SOURCE as NO_SOURCE
from llmos.labels import PRIVATE_SOURCE as PRIVATE_SOURCE
from llmos.labels import is_private_source as is_private_source
from llmos.types import Confidentiality, Integrity, Labels, ToolSpec

#: Kinds of origin that are the program's and the user's own; ``via:NAME`` is a tool that only
#: worked on what was there.
OWN = frozenset({"user", "system", "model", "via", PRIVATE_SOURCE})
#: Stands for the source when untrusted text names none.
UNKNOWN = "unknown"


def kind(origin: str) -> str:
    """``file`` of ``file:/path``."""
    return origin.partition(":")[0]


def untrusted_origins(labels: Iterable[Labels]) -> tuple[str, ...]:
    """Where the untrusted among these texts came from, sorted; ``unknown`` when one names no source."""
    found: set[str] = set()
    for one in labels:
        if one.integrity is not Integrity.UNTRUSTED:
            continue
        if found and one.origins <= found:  # nothing new, and it names a source
            continue
        sources = [origin for origin in one.origins if kind(origin) not in OWN]
        found.update(sources or [UNKNOWN])
    return tuple(sorted(found))


def joined(labels: Iterable[Labels], origin: str) -> Labels:
    """Join in one pass (200 pages cost microseconds)."""
    origins: set[str] = {origin}
    tainted = private = False
    for one in labels:
        origins.update(one.origins)
        if PRIVATE_SOURCE not in origins and is_private_source(one):
            origins.add(PRIVATE_SOURCE)
        tainted = tainted or one.integrity is Integrity.UNTRUSTED
        private = private or one.confidentiality is Confidentiality.PRIVATE
    return Labels(
        frozenset(origins),
        Integrity.UNTRUSTED if tainted else Integrity.TRUSTED,
        Confidentiality.PRIVATE if private else Confidentiality.PUBLIC,
    )


def description_labels(tools: Iterable[ToolSpec]) -> list[Labels]:
    """Labels of tool descriptions that somebody else's server wrote: the model reads them too."""
    return [
        Labels(frozenset({f"tool:{tool.name}"}), Integrity.UNTRUSTED, Confidentiality.PUBLIC)
        for tool in tools
        if not tool.description_trusted
    ]


def origin_shown(origin: str) -> str:
    """An origin as it may be drawn; ordinary ones are quick."""
    if origin.isascii() and origin.isprintable() and "  " not in origin:
        return origin
    return reveal(origin.replace("\n", "\r"))
