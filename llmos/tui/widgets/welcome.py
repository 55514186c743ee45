"""First run: a line on the model and a few starters."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message as TextualMessage
from textual.widgets import OptionList, Static


class Welcome(Vertical):
    """What the model is and is not; starters that it does well."""

    DEFAULT_CSS = """
    Welcome {
        height: auto;
    }
    #welcome {
        height: auto;
        margin: 1 2;
    }
    #starters {
        height: auto;
        margin: 0 2 1 2;
        max-height: 8;
    }
    """

    class Chosen(TextualMessage):
        """A starter was chosen."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, about: str, starters: Sequence[str]) -> None:
        super().__init__()
        self._about = about
        self._starters = list(starters)

    def compose(self) -> ComposeResult:
        """The line, the starters."""
        yield Static(self._about, id="welcome", markup=False)
        yield OptionList(*self._starters, id="starters", compact=True, markup=False)

    def set_about(self, about: str) -> None:
        """Another line on the model."""
        self.query_one("#welcome", Static).update(about)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A starter is chosen."""
        event.stop()
        self.post_message(self.Chosen(self._starters[event.option_index]))
