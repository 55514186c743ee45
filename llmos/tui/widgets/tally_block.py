"""What a plugin's middleware reports while it works, for example the tally of a vote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textual.content import Content

from llmos.tui.markdown.lines import Line, prefixed, wrap
from llmos.tui.widgets.blocks import TranscriptBlock

_BAR = 16
#: What running an answer said of it: mark, words, colour.
_CHECKS = {
    "right": (" ✓", " checked by running", "$text-success"),
    "wrong": (" ✗", " found wrong by running", "$text-error"),
}


def cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """Data with every text in it cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {str(key): cleaned(one, clean) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(one, clean) for one in value]
    return value


def _verdict(one: Mapping[str, Any]) -> Content:
    """The mark of a checked answer; nothing where none was run."""
    mark, words, colour = _CHECKS.get(str(one.get("check", "")), ("", "", ""))
    return Content.styled(mark + words, colour) if mark else Content("")


class TallyBlock(TranscriptBlock):
    """One report, updated in place: a head line, votes as bars, and each try, unfolded by Space.

    Data that it knows: ``text`` (the head), ``done``, ``confidence``, ``votes`` (``answer``, ``votes``,
    ``check``: ``right`` or ``wrong`` by running it) and ``tries`` (``answer``, ``text``, ``thinking``,
    ``check``, ``checked``: what was run).
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
        shown = votes[:4]
        most = max((int(one["votes"]) for one in shown), default=1)
        width = max((len(str(one["answer"])) for one in shown), default=0)
        out = []
        for one in shown:
            bar = "█" * max(1, round(_BAR * int(one["votes"]) / most))
            label = Content.styled(f"{one['answer']!s:<{min(width, 24)}}  ", "$text")
            line = label + Content.styled(f"{bar} {one['votes']}", "$text-primary")
            out.append(line + _verdict(one))
        return out

    def _try(self, number: int, one: Mapping[str, Any], width: int) -> list[Line]:
        head = Content.styled(f"try {number}: {one.get('text', '')}", "$text") + _verdict(one)
        lines = wrap(head, width)
        rows = str(one.get("thinking", "")).split("\n")
        if one.get("checked"):
            rows.append(f"run: {one['checked']}")
        for row in rows:
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
