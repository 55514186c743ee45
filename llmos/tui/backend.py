"""What the face needs of the program behind it, as one small protocol.

``llmos.tui.real_backend`` fits it to the conversation session; tests give one of their own. The
face never blocks on it: every call that may take time is a coroutine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from llmos.types import Approval, ApprovalAnswer, Event

if TYPE_CHECKING:
    from llmos.conversation.store import Store
    from llmos.plugins.contributions import CommandResult, Element, Parameter, Persona
    from llmos.tui.widgets.status_bar import StatusFigures
    from llmos.types import ToolResult

Ask = Callable[[Approval], Awaitable[ApprovalAnswer]]


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


@dataclass(frozen=True, slots=True)
class CommandOffer:
    """A slash command of a plugin."""

    name: str
    help: str
    parameters: Sequence[Parameter] = ()


@dataclass(frozen=True, slots=True)
class PanelOffer:
    """A panel of a plugin: a tab or a part of the side panel; drawn anew every ``refresh`` seconds."""

    plugin: str
    id: str
    title: str
    place: Literal["tab", "side"] = "tab"
    refresh: float = 2.0


class Backend(Protocol):
    """Chats, turns, models and plugins."""

    @property
    def store(self) -> Store:
        """The chats; call its methods through ``store.run``."""
        ...

    async def start(self, notify: Callable[[str, str], None], ask: Ask) -> None:
        """Open the store and the plugins.

        Args:
            notify: takes (text, level) of notices from now on.
            ask: asks the user outside of a turn.

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

    def regenerate(
        self, chat_id: str, message_id: str, options: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Event]:
        """Another answer beside an earlier one, or to a message of the user."""
        ...

    async def fork(self, chat_id: str) -> str:
        """Copy a chat's branch into a new chat; gives its id.

        Raises:
            UserError: there is nothing to copy.
        """
        ...

    async def stop(self, chat_id: str) -> bool:
        """Stop the turn of a chat; what came is kept. True when its answer comes now instead."""
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

    def commands(self) -> Sequence[CommandOffer]:
        """Slash commands of plugins."""
        ...

    async def run_command(
        self, name: str, arguments: Mapping[str, Any], chat_id: str, write: Callable[[str], None]
    ) -> CommandResult:
        """Run a plugin's command; faults are the result's text."""
        ...

    def panels(self) -> Sequence[PanelOffer]:
        """Panels of plugins."""
        ...

    async def panel_view(self, plugin: str, panel: str) -> Sequence[Element]:
        """What a panel shows now; faults show as text."""
        ...

    async def panel_act(self, plugin: str, panel: str, action: str, value: Any) -> str:
        """An action of the user in a panel; text is a notice."""
        ...

    async def status_texts(self) -> Mapping[str, str]:
        """Texts of plugins for the status bar."""
        ...

    async def draw_result(self, tool: str, result: ToolResult) -> Sequence[Element]:
        """How a plugin draws a result of a tool; empty without a renderer."""
        ...

    async def personas(self) -> Sequence[Persona]:
        """Experts of plugins."""
        ...

    def typed(self) -> None:
        """The person is typing: background work that waits for a quiet moment goes on waiting."""
        ...

    async def left_chat(self, chat_id: str) -> None:
        """Another chat is open now: this one's state may go to disk."""
        ...

    def set_offline(self, offline: bool) -> None:
        """Switch the network off or on."""
        ...

    def clean(self, text: str) -> str:
        """Text without what could fool a terminal or a reader."""
        ...

    async def close(self) -> None:
        """Store what is open and end the kernel."""
        ...
