"""Labels of a text: where it came from, whether it may steer, whether it may leave the machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


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
        return Labels(
            origins=frozenset().union(*(one.origins for one in every)),
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


def join_labels(labels: Iterable[Labels]) -> Labels:
    """Join any number of labels; none at all gives trusted, public, no origin."""
    neutral = Labels(frozenset(), Integrity.TRUSTED, Confidentiality.PUBLIC)
    return neutral.join(*labels)


SYSTEM_LABELS = Labels(frozenset({"system"}), Integrity.TRUSTED, Confidentiality.PUBLIC)
USER_LABELS = Labels(frozenset({"user"}), Integrity.TRUSTED, Confidentiality.PRIVATE)
