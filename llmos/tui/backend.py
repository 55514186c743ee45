"""What the face needs of the program behind it, as one small protocol.

``llmos.tui.real_backend`` fits it to the conversation session; tests give one of their own. The
face never blocks on it: every call that may take time is a coroutine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from llmos.types import ApprovalAnswer, Event, Labels

if TYPE_CHECKING:
    from llmos.conversation.store import Store
    from llmos.plugins.contributions import Command, Panel, Persona, Renderer, StatusItem
    from llmos.tui.widgets.status_bar import StatusFigures


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that the picker offers.

    Attributes:
        name: what to load it by: a name or a path.
        label: what is shown.
        detail: size, folder, a word on it.
    """

    name: str
    label: str
    detail: str = ""


class Backend(Protocol):
    """Chats, turns, models and plugins."""

    @property
    def store(self) -> Store:
        """The chats; call its methods through ``store.run``."""
        ...

    async def start(self, notify: Callable[[str, str], None]) -> None:
        """Open the store and the plugins; ``notify(text, level)`` takes notices from now on.

        Raises:
            UserError: it cannot work at all.
        """
        ...

    async def load_model(self, name: str = "") -> str:
        """Load a model (empty: the one in the settings or the bundled one); gives its name.

        Raises:
            UserError: missing, damaged or too large.
        """
        ...

    def send(
        self,
        chat_id: str,
        text: str,
        *,
        edit_of: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Event]:
        """A turn: the user's text, in place of an earlier message when ``edit_of`` names one."""
        ...

    def regenerate(self, chat_id: str, answer_id: str) -> AsyncIterator[Event]:
        """Another answer beside an earlier one."""
        ...

    async def stop(self, chat_id: str) -> None:
        """Stop the turn of a chat; what came is kept."""
        ...

    async def answer_approval(self, approval_id: str, answer: ApprovalAnswer) -> None:
        """The user's word on a call."""
        ...

    async def status(self, chat_id: str) -> StatusFigures:
        """Figures for the status bar."""
        ...

    async def models(self) -> Sequence[ModelChoice]:
        """Local models."""
        ...

    def about_model(self) -> str:
        """One line on what the loaded model is and is not; empty when nothing is known."""
        ...

    def commands(self) -> Sequence[Command]:
        """Slash commands of plugins."""
        ...

    async def run_command(
        self, command: Command, arguments: Mapping[str, Any], chat_id: str, write: Callable[[str], None]
    ) -> Any:
        """Run a plugin's command; gives text or a ``CommandResult``."""
        ...

    def panels(self) -> Sequence[tuple[str, Panel]]:
        """Panels as (plugin, panel)."""
        ...

    async def panel_view(self, plugin: str, panel: Panel) -> Sequence[Any]:
        """Elements of a panel, from the plugin's own thread under a deadline."""
        ...

    async def panel_act(self, plugin: str, panel: Panel, action: str, value: Any) -> str:
        """An action of the user in a panel; text is a notice."""
        ...

    def status_items(self) -> Sequence[tuple[str, StatusItem]]:
        """Items of plugins for the status bar."""
        ...

    def renderers(self) -> Mapping[str, Renderer]:
        """How results of tools are drawn, by tool."""
        ...

    def personas(self) -> Sequence[Persona]:
        """Experts of plugins."""
        ...

    def window_labels(self, chat_id: str) -> Labels:
        """Joined labels of a chat's window."""
        ...

    def clean(self, text: str) -> str:
        """Text without what could fool a terminal or a reader."""
        ...

    async def close(self) -> None:
        """Store what is open and end the kernel."""
        ...
