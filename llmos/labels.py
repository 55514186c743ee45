"""Labels of a text: where it came from, whether it may steer, whether it may leave the machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

#: Origin of texts that private files, pages or results had a part in: joined labels are private as
#: soon as the user's own words are among them, so this is kept apart.
PRIVATE_SOURCE = "private"
#: Kinds of origin that name no source of private text but the user's own words and memories.
NO_SOURCE = frozenset({"user", "system", "model", "via", "memory", PRIVATE_SOURCE})


class Integrity(StrEnum):
    """Whether the text may steer what the program does."""

    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"


class Confidentiality(StrEnum):
    """Whether the text may leave this machine."""

    PUBLIC = "public"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Labels:
    """Where a text came from and what may be done with it.

    Origins are strings ``kind`` or ``kind:detail``: ``user``, ``system``, ``model``,
    ``file:/path``, ``url:https://…``, ``tool:name``, ``memory:id``; the guard adds ``via:name`` (a
    tool that only worked on what was there) and ``private`` (private files or pages had a part).
    """

    origins: frozenset[str] = frozenset({"user"})
    integrity: Integrity = Integrity.TRUSTED
    confidentiality: Confidentiality = Confidentiality.PRIVATE

    def join(self, *others: Labels) -> Labels:
        """Labels of a text made from this one and the others: never weaker than any of them."""
        every = (self, *others)
        origins: frozenset[str] = frozenset().union(*(one.origins for one in every))
        if "model" in origins and PRIVATE_SOURCE not in origins and any(map(is_private_source, every)):
            origins |= {PRIVATE_SOURCE}  # beside the model's own words it could not be told any more
        return Labels(
            origins=origins,
            integrity=(
                Integrity.UNTRUSTED
                if any(one.integrity is Integrity.UNTRUSTED for one in every)
                else Integrity.TRUSTED
            ),
            confidentiality=(
                Confidentiality.PRIVATE
                if any(one.confidentiality is Confidentiality.PRIVATE for one in every)
                else Confidentiality.PUBLIC
            ),
        )

    @property
    def tainted(self) -> bool:
        """True when untrusted text had a part in it."""
        return self.integrity is Integrity.UNTRUSTED

    @property
    def private(self) -> bool:
        """True when it must not leave the machine unasked."""
        return self.confidentiality is Confidentiality.PRIVATE


def is_private_source(one: Labels) -> bool:
    """Whether a private text has another source than what the user typed and had remembered."""
    if one.confidentiality is not Confidentiality.PRIVATE:
        return False
    if PRIVATE_SOURCE in one.origins:
        return True
    if "model" in one.origins:  # a joined text, which would carry the mark
        return False
    return any(origin.partition(":")[0] not in NO_SOURCE for origin in one.origins)


def join_labels(labels: Iterable[Labels]) -> Labels:
    """Join any number of labels; none at all gives trusted, public, no origin."""
    neutral = Labels(frozenset(), Integrity.TRUSTED, Confidentiality.PUBLIC)
    return neutral.join(*labels)


SYSTEM_LABELS = Labels(frozenset({"system"}), Integrity.TRUSTED, Confidentiality.PUBLIC)
USER_LABELS = Labels(frozenset({"user"}), Integrity.TRUSTED, Confidentiality.PRIVATE)
