"""A line plot as SVG, for the documentation: a few series over a logarithmic axis, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 46, 62
_INK, _GRID = "#24292f", "#d8dee4"
#: Distinguishable without colour vision (Okabe and Ito), with a mark for each series.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")
_MARKS = ("circle", "square", "diamond", "triangle", "circle")


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with its interval; x above 0, y from 0 to 1."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Series:
    """Points that a line joins, in order."""

    name: str
    dots: tuple[Dot, ...]


def plot(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> str:
    """The plot as an SVG document.

    Args:
        title: above the plot.
        x_label: of the logarithmic axis, with its unit.
        y_label: of the share.
        series: at least one dot in all.
    """
    xs = [dot.x for one in series for dot in one.dots]
    low, high = math.floor(math.log10(min(xs))), math.log10(max(xs) * 1.2)

    def px(x: float) -> float:
        return _LEFT + (math.log10(x) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def py(y: float) -> float:
        return _HEIGHT - _BOTTOM - y * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="13" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_WIDTH / 2, 24, title, anchor="middle", size=16),
    ]
    for step in range(0, 11, 2):
        y = py(step / 10)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" stroke="{_GRID}"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{step * 10} %", anchor="end"))
    for tick in _ticks(low, high):
        x = px(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}" stroke="{_GRID}"/>')
        parts.append(_text(x, _HEIGHT - _BOTTOM + 18, f"{tick:g}", anchor="middle"))
    parts.append(_text(_WIDTH / 2 + 20, _HEIGHT - 16, x_label, anchor="middle"))
    parts.append(
        f'<text transform="translate(18 {_HEIGHT / 2:.0f}) rotate(-90)" text-anchor="middle" '
        f'fill="{_INK}">{escape(y_label)}</text>'
    )
    for number, one in enumerate(series):
        colour, mark = _COLOURS[number % len(_COLOURS)], _MARKS[number % len(_MARKS)]
        dots = [(px(dot.x), py(dot.y), py(dot.low), py(dot.high)) for dot in one.dots]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in dots)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, bottom, top in dots:
            parts.append(
                f'<line x1="{x:.1f}" y1="{bottom:.1f}" x2="{x:.1f}" y2="{top:.1f}" stroke="{colour}" '
                'stroke-width="1" stroke-opacity="0.6"/>'
            )
            parts.append(_mark(mark, x, y, colour))
        row = _TOP + 16 + 20 * number
        parts.append(_mark(mark, _LEFT + 18, row - 4, colour))
        parts.append(_text(_LEFT + 30, row, one.name))
    return "\n".join([*parts, "</svg>\n"])


def _ticks(low: float, high: float) -> list[float]:
    found = [base * 10.0**power for power in range(int(low), math.ceil(high) + 1) for base in (1, 3)]
    return [tick for tick in found if low <= math.log10(tick) <= high]


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{_INK}">{escape(text)}</text>'
    )


def _mark(kind: str, x: float, y: float, colour: str) -> str:
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'
    shapes = {
        "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "diamond": ((0, -6), (6, 0), (0, 6), (-6, 0)),
        "triangle": ((0, -6), (6, 4), (-6, 4)),
    }
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in shapes[kind])
    return f'<polygon points="{points}" fill="{colour}"/>'
