"""Families of models by the way they write tool calls, found by their chat template."""

from __future__ import annotations

from llmos.kernel.families.base import Family
from llmos.kernel.families.hermes import Hermes

#: Tried in this order; the last serves models that know no tools.
FAMILIES: tuple[Family, ...] = (Hermes(),)


def family_of(template: str) -> Family:
    """The family that a chat template belongs to; Hermes when none is recognised."""
    return next((family for family in FAMILIES if family.detect(template)), FAMILIES[-1])


def family_named(name: str) -> Family:
    """A family by its name; Hermes for an unknown one."""
    return next((family for family in FAMILIES if family.name == name), FAMILIES[-1])
