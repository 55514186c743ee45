"""Parts of the Build tab: marks in titles, buttons in lines, what may fail told as a sentence."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from llmos.plugins.contributions import Element
from llmos.stages.frame import Control, Part, StageBase, StageContext, figure_parts
from llmos.types import UserError

_MARKS = {"live": "● live", "recorded": "■ recorded", "cited": "▲ cited"}


def with_mark(part: Part) -> Element:
    """An element whose title says where its figures come from."""
    source = f": {part.source}" if part.source else ""
    return Element(part.element.kind, part.element.data, f"{part.element.title}   {_MARKS[part.mark]}{source}")


def named(control: Control) -> str:
    """A button's text, with its key."""
    return f"{control.label} ({control.key})" if control.key else control.label


def packed(widths: Sequence[int], room: int) -> list[list[int]]:
    """Places of things put into lines of a width, in order; a line holds at least one."""
    lines: list[list[int]] = []
    used = room
    for place, width in enumerate(widths):
        if not lines or used + width > room:
            lines.append([])
            used = 0
        lines[-1].append(place)
        used += width
    return lines


async def tried(made: Awaitable[list[Part]]) -> list[Part]:
    """Parts of a picture, or the sentence why there are none."""
    try:
        return await made
    except UserError as error:
        return [Part(Element("text", {"markdown": str(error)}), "live")]


async def figures_of(shown: StageBase, context: StageContext) -> list[Part]:
    """A stage's figures as parts of its picture."""
    return figure_parts(await shown.figures(context))


async def prepared(shown: StageBase, context: StageContext) -> bool:
    """Let a stage prepare itself; what fails in it, its picture says."""
    try:
        return await shown.prepare(context)
    except UserError:
        return False
