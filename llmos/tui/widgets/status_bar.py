"""The last row: model, context used, speed, memory, network, and notices that go away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

from textual.content import Content
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class StatusFigures:
    """What the status bar shows.

    Attributes:
        model: name of the model, or what is being done about it.
        state: ``loading``, ``ready``, ``generating`` or ``none``.
        context_used: tokens in the window.
        context_size: tokens that fit; 0: unknown.
        tokens_per_second: of the running or last answer.
        memory_bytes: resident memory of the kernel.
        offline: the network is switched off.
        items: short texts of plugins by id.
    """

    model: str = ""
    state: str = "none"
    context_used: int = 0
    context_size: int = 0
    tokens_per_second: float = 0.0
    memory_bytes: int = 0
    offline: bool = False
    items: Mapping[str, str] = field(default_factory=dict)


class StatusBar(Widget):
    """Draws ``StatusFigures``; a notice covers the left part for some seconds."""

    DEFAULT_CSS = """
    StatusBar { height: 1; width: 1fr; background: $surface; padding: 0 1; }
    """

    NOTICE_SECONDS = 8.0

    def __init__(self) -> None:
        super().__init__()
        self._figures = StatusFigures()
        self._notice = ("", "info")
        self._until = 0.0
        self._hint = ""

    def show(self, figures: StatusFigures) -> None:
        """Set the figures."""
        if figures != self._figures:
            self._figures = figures
            self.refresh()

    def set_hint(self, hint: str) -> None:
        """Keys that matter now, at the right."""
        if hint != self._hint:
            self._hint = hint
            self.refresh()

    def notice(self, text: str, level: str = "info") -> None:
        """Show a line for some seconds."""
        self._notice = (text, level)
        self._until = monotonic() + self.NOTICE_SECONDS
        self.set_timer(self.NOTICE_SECONDS + 0.1, self.refresh)
        self.refresh()

    @property
    def notice_text(self) -> str:
        """The line that is shown now, or empty."""
        return self._notice[0] if monotonic() < self._until else ""

    def render(self) -> Content:
        """Notice or figures at the left, keys at the right."""
        width = self.size.width
        if self.notice_text:
            text, level = self._notice
            style = {"warning": "$text-warning", "error": "$text-error"}.get(level, "$text-accent")
            return Content.styled(text, style).truncate(width, ellipsis=True)
        parts = figure_parts(self._figures, width)
        hint = Content.styled(self._hint, "$text-muted")
        room = width - hint.cell_length - 2 if self._hint else width
        # Keys that matter now are worth more than figures: the last ones make room.
        while parts and sum(part.cell_length + 2 for part in parts) - 2 > room and (self._hint or parts[1:]):
            parts.pop()
        left = Content("  ").join(parts)
        if not parts:
            return hint.truncate(width, ellipsis=True)
        gap = width - left.cell_length - hint.cell_length
        return (left + Content(" " * gap) + hint) if gap >= 0 else left.truncate(width, ellipsis=True)


def figure_parts(figures: StatusFigures, width: int) -> list[Content]:
    """The figures as styled pieces, the less important left out on narrow screens."""
    parts: list[Content] = []
    mark, style = {
        "ready": ("●", "$text-success"),
        "generating": ("●", "$text-accent"),
        "loading": ("◌", "$text-warning"),
    }.get(figures.state, ("○", "$text-muted"))
    name = figures.model or "no model"
    parts.append(Content.assemble((f"{mark} ", style), name))
    if figures.context_size:
        share = figures.context_used / figures.context_size
        full = "$text-error" if share > 0.9 else "$text-warning" if share > 0.75 else "$text-muted"
        text = (
            f"{figures.context_used}/{figures.context_size}"
            if width < 60
            else (f"context {figures.context_used}/{figures.context_size}")
        )
        parts.append(Content.styled(text, full))
    if figures.tokens_per_second:
        parts.append(Content.styled(f"{figures.tokens_per_second:.0f} tok/s", "$text-muted"))
    if figures.memory_bytes and width >= 60:
        parts.append(Content.styled(memory_text(figures.memory_bytes), "$text-muted"))
    if figures.offline:
        parts.append(Content.styled("offline", "$text-warning"))
    if width >= 100:
        parts.extend(Content.styled(text, "$text-muted") for text in figures.items.values() if text)
    return parts


def memory_text(size: int) -> str:
    """Bytes as MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
