"""A list to choose from by typing: palette, models, themes, search over all chats."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from llmos.tui.screens.modal import Modal
from llmos.tui.widgets.completion import fuzzy

#: Rows that are listed at most.
LIMIT = 200


@dataclass(frozen=True, slots=True)
class Pick:
    """One row: id, what is shown, a word on it."""

    id: str
    label: str
    detail: str = ""


Search = Callable[[str], Awaitable[Sequence[Pick]]]


class Picker(Modal[str | None]):
    """Type to narrow down, Enter to choose, Esc to leave.

    Args:
        title: what is chosen.
        picks: rows, or a coroutine function that finds them for a text.
        placeholder: of the text field.
        free: Enter may also give the typed text itself (with ``text:`` before it).
        value: text to begin with.
        on_highlight: told the id of each highlighted row (live preview).
    """

    CSS_PATH = "picker.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave"),
        Binding("up", "move(-1)", "Up", priority=True),
        Binding("down", "move(1)", "Down", priority=True),
        Binding("pageup", "move(-8)", "Page up", priority=True),
        Binding("pagedown", "move(8)", "Page down", priority=True),
    ]

    def __init__(
        self,
        title: str,
        picks: Sequence[Pick] | Search,
        *,
        placeholder: str = "",
        free: bool = False,
        value: str = "",
        on_highlight: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self._title = title
        self._picks = picks
        self._placeholder = placeholder
        self._free = free
        self._value = value
        self._on_highlight = on_highlight
        self._asked = 0

    def compose(self) -> ComposeResult:
        """Title, field, rows."""
        with Vertical(id="picker"):
            yield Static(self._title, id="picker-title", markup=False)
            yield Input(self._value, placeholder=self._placeholder, id="picker-input", compact=True)
            yield OptionList(id="picker-rows", compact=True)

    async def on_mount(self) -> None:
        """First rows."""
        self.query_one("#picker-input").focus()
        self.query_one("#picker-rows").can_focus = False
        await self._refresh_rows(self._value)

    async def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow down."""
        event.stop()
        await self._refresh_rows(event.value)

    async def _refresh_rows(self, text: str) -> None:
        self._asked += 1
        asked = self._asked
        if callable(self._picks):
            found = await self._picks(text)
            if asked != self._asked or not self.is_attached:
                return
        else:
            found = narrowed(self._picks, text)
        rows = self.query_one("#picker-rows", OptionList)
        rows.clear_options()
        rows.add_options([Option(_label(pick), id=pick.id) for pick in found[:LIMIT]])
        if found:
            rows.highlighted = 0
        rows.display = bool(found)
        nothing = not found and text.strip() and not self._free
        self.query_one("#picker-title", Static).update(
            Content(f"{self._title}: nothing fits; Esc leaves" if nothing else self._title)
        )

    def action_move(self, step: int) -> None:
        """Highlight another row."""
        rows = self.query_one("#picker-rows", OptionList)
        if rows.option_count:
            present = rows.highlighted if rows.highlighted is not None else -1
            rows.highlighted = min(max(present + step, 0), rows.option_count - 1)

    def action_leave(self) -> None:
        """Choose nothing."""
        self.dismiss(None)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Preview."""
        if self._on_highlight is not None and event.option_id:
            self._on_highlight(event.option_id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click chooses."""
        event.stop()
        self.dismiss(event.option_id)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter chooses the highlighted row, or the text where that is allowed."""
        event.stop()
        rows = self.query_one("#picker-rows", OptionList)
        if rows.option_count and rows.highlighted is not None:
            self.dismiss(rows.get_option_at_index(rows.highlighted).id)
        elif self._free:
            self.dismiss(f"text:{event.value}")


def narrowed(picks: Sequence[Pick], text: str) -> list[Pick]:
    """Picks whose label or detail fits, best first."""
    if not text.strip():
        return list(picks)
    scored: list[tuple[int, int, Pick]] = []
    for number, pick in enumerate(picks):
        score = fuzzy(text, pick.label)
        if score is None and text.casefold() in pick.detail.casefold():
            score = 5_000
        if score is not None:
            scored.append((score, number, pick))
    return [pick for _, _, pick in sorted(scored, key=lambda one: one[:2])]


def _label(pick: Pick) -> Content:
    label = Content(pick.label)
    return label + Content.styled(f"  {pick.detail}", "$text-muted") if pick.detail else label
