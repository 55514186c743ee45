"""What a plugin's middleware reports while it works, for example the tally of a vote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textual.content import Content

from llmos.tui.markdown.lines import Line, prefixed, wrap
from llmos.tui.widgets.blocks import TranscriptBlock

_BAR = 16


def cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """Data with every text in it cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {str(key): cleaned(one, clean) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(one, clean) for one in value]
    return value


class TallyBlock(TranscriptBlock):
    """One report, updated in place: a head line, votes as bars, and each try, unfolded by Space.

    Data that it knows: ``text`` (the head), ``done``, ``confidence``, ``votes`` (``answer``, ``votes``)
    and ``tries`` (``answer``, ``text``, ``thinking``).
    """

    kind = "tally"

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__(str(data.get("text", "")))
        self._data = data
        self.folded = True

    def show(self, data: Mapping[str, Any]) -> None:
        """A newer report."""
        self._data = data
        self.text = str(data.get("text", ""))
        self.content_changed()

    def layout_lines(self, width: int) -> list[Line]:
        """Head, votes, tries."""
        mark = "▸" if self.folded else "▾"
        lines = wrap(Content.styled(f"{mark} {self.text}", "italic $text-muted"), width)
        pad = Content("  ")
        for line in self._votes():
            lines.extend(prefixed(wrap(line, width - 2), pad, pad))
        if not self.folded:
            for number, one in enumerate(self._data.get("tries", ()), 1):
                lines.extend(prefixed(self._try(number, one, width - 2), pad, pad))
        return lines

    def _votes(self) -> list[Content]:
        votes: Sequence[Mapping[str, Any]] = self._data.get("votes", ())
        most = max((int(one["votes"]) for one in votes), default=1)
        out = []
        for one in votes[:4]:
            bar = "█" * max(1, round(_BAR * int(one["votes"]) / most))
            label = Content.styled(f"{one['answer']}  ", "$text")
            out.append(label + Content.styled(f"{bar} {one['votes']}", "$text-primary"))
        return out

    def _try(self, number: int, one: Mapping[str, Any], width: int) -> list[Line]:
        head = Content.styled(f"try {number}: {one.get('text', '')}", "$text")
        lines = wrap(head, width)
        for row in str(one.get("thinking", "")).split("\n"):
            if row.strip():
                lines.extend(wrap(Content.styled(f"  {row}", "italic $text-muted"), width))
        return lines

    def toggle_fold(self) -> bool:
        """Fold or unfold the tries."""
        self.folded = not self.folded
        self.relayout()
        return True

    def copy_text(self) -> str:
        """The head and every try."""
        rows = [f"{number}. {one.get('text', '')}" for number, one in enumerate(self._data.get("tries", ()), 1)]
        return "\n".join([self.text, *rows])
