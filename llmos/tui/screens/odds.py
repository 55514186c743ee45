"""Odds of an answer's words: choose a token, see what else could have come, branch from there."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import DataTable, Static

from llmos.stages.frame import visible
from llmos.stages.odds import AnswerOdds, TokenOdds
from llmos.tui.screens.modal import Modal
from llmos.types import UserError

#: Colours of the theme by probability: sure, likely, unsure, surprising.
_STEPS = ((0.8, "success"), (0.4, "primary"), (0.1, "warning"), (0.0, "error"))


def colour_of(probability: float) -> str:
    """Theme colour of a token by its probability."""
    return next(name for least, name in _STEPS if probability >= least)


class OddsScreen(Modal[str | None]):
    """Gives the text with which a branch begins, or None.

    Args:
        odds: of one answer.
    """

    CSS_PATH = "odds.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f4", "leave", "Back"),
        Binding("left", "step(-1)", "Token before"),
        Binding("right", "step(1)", "Token after"),
    ]

    def __init__(self, odds: AnswerOdds) -> None:
        super().__init__()
        self._odds = odds
        self._tokens: list[TokenOdds] = []
        self._place = 0
        self._texts: list[str] = []

    def compose(self) -> ComposeResult:
        """Tokens, alternatives, keys."""
        with Vertical(id="odds"):
            with VerticalScroll(id="odds-cells"):
                yield Static("Computing the odds …", id="odds-text", markup=False)
            yield DataTable(id="odds-table", cursor_type="row")
            yield Static("← → choose a token, Enter branches from there, Esc back", id="odds-foot")

    def on_mount(self) -> None:
        """Compute, then draw."""
        table = self.query_one("#odds-table", DataTable)
        table.add_columns("token", "probability", "id", "")
        table.focus()
        self._compute()

    @property
    def _left(self) -> bool:
        """Whether the screen was left while something was computed: its widgets go before its workers."""
        return not self.query("#odds-text")

    @work(exclusive=True, group="odds")
    async def _compute(self) -> None:
        said = "This answer has no visible text."
        try:
            self._tokens = await self._odds.tokens()
        except UserError as error:
            said = str(error)
        if self._left:
            return
        if self._tokens:
            self._show()
        else:
            self.query_one("#odds-text", Static).update(said)

    def _show(self) -> None:
        line = Content("")
        for place, one in enumerate(self._tokens):
            name = colour_of(one.probability)
            style = f"$text-{name} on ${name}-muted" + (" reverse bold" if place == self._place else "")
            line += Content(one.text.replace("\n", "⏎\n") or " ").stylize(style)
        self.query_one("#odds-text", Static).update(line)
        self._alternatives(self._place)

    @work(exclusive=True, group="alternatives")
    async def _alternatives(self, place: int) -> None:
        try:
            rows = await self._odds.alternatives(place)
        except UserError as error:
            if not self._left:
                self.query_one("#odds-foot", Static).update(str(error))
            return
        if self._left:
            return
        taken = self._tokens[place]
        table = self.query_one("#odds-table", DataTable)
        table.clear()
        self._texts = []
        shown = [(one.token, one.text, one.probability) for one in rows]
        if taken.token not in [token for token, _, _ in shown]:
            shown.append((taken.token, taken.text, taken.probability))
        for token, text, probability in shown:
            mark = "written" if token == taken.token else ""
            table.add_row(visible(text), f"{probability:.4f}", token, mark)
            self._texts.append(text)

    def action_step(self, step: int) -> None:
        """The token beside."""
        if self._tokens:
            self._place = (self._place + step) % len(self._tokens)
            self._show()

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        if 0 <= event.cursor_row < len(self._texts):
            self.dismiss(self._odds.text_before(self._place) + self._texts[event.cursor_row])

    def action_leave(self) -> None:
        """No branch."""
        self.dismiss(None)
