"""The face's backend on the conversation session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.conversation.session import Session, open_session
from llmos.guard.clean import clean
from llmos.plugins.contributions import CommandContext, CommandResult, Element, Parameter, Persona
from llmos.tui.backend import Ask, CommandOffer, ModelChoice, PanelOffer
from llmos.tui.widgets.status_bar import StatusFigures
from llmos.types import ApprovalAnswer, Event, Notice, Page, ToolResult, UserError, join_labels

if TYPE_CHECKING:
    from llmos.conversation.store import Store
    from llmos.settings import Settings


def larger_model() -> str:
    """Which model of the catalogue fits this machine, and the keys that fetch it; a measurement of 0.2 s."""
    from llmos.catalog.entries import load_catalog
    from llmos.catalog.fit import recommend
    from llmos.catalog.machine import this_machine
    from llmos.kernel.memory import show_bytes

    try:
        best = recommend(load_catalog().models, this_machine(bandwidth=True))
    except UserError:
        return ""
    if best is None:
        return ""
    return f"{best.name} ({show_bytes(best.bytes)}) fits this machine: Alt+3 shows it, f fetches it."


class RealBackend:
    """Session, kernel and plugins behind the face's protocol.

    Args:
        settings: the user's; None reads them at ``start``.
        safe_mode: load no plugin.
    """

    def __init__(self, settings: Settings | None = None, *, safe_mode: bool = False) -> None:
        self._settings = settings
        self._safe_mode = safe_mode
        self._stack = AsyncExitStack()
        self._session: Session | None = None
        self._loading = ""
        self._bundled = False
        self._larger = ""

    @property
    def session(self) -> Session:
        """The session behind it.

        Raises:
            UserError: not started.
        """
        if self._session is None:
            raise UserError("The program is still starting; try again in a moment.")
        return self._session

    @property
    def store(self) -> Store:
        """The chats."""
        return self.session.store

    async def start(self, notify: Callable[[str, str], None], ask: Ask) -> None:
        """Open the session."""
        self._session = await self._stack.enter_async_context(
            open_session(self._settings, face="tui", safe_mode=self._safe_mode)
        )

        def tell(notice: Notice) -> None:
            notify(clean(notice.text), notice.level)

        self._session.on_notice(tell)
        self._session.approver = ask

    async def load_model(self, name: str = "") -> str:
        """Load a model; empty: the one in the settings, else the bundled one."""
        self._loading = Path(name).stem if name else "the model"
        try:
            info = await self.session.load_model(name)
        finally:
            self._loading = ""
        from llmos.kernel.locate import bundled_folder

        self._bundled = Path(info.path).resolve().is_relative_to(bundled_folder().resolve())
        if self._bundled and not self._larger:
            self._larger = await asyncio.to_thread(larger_model)
        return info.name

    async def send(
        self, chat_id: str, text: str, *, edit_of: str = "", options: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Event]:
        """A turn."""
        conversation = self.session.conversation(chat_id)
        files: list[Path | Page] = [Path(file) for file in (options or {}).get("files", ())]
        for other in (options or {}).get("chats", ()):
            files.append(await self.store.run(self._chat_page, other))
        if edit_of:
            events = conversation.edit(edit_of, text, options)
        else:
            events = conversation.send(text, files, options)
        async with aclosing(events) as stream:
            async for event in stream:
                yield event

    def _chat_page(self, chat_id: str) -> Page:
        """Another chat as a page to read; its text keeps the labels that it has."""
        from llmos.tui.transfer import chat_text

        chat = self.store.chat(chat_id)
        labels = join_labels(message.labels for message in self.store.branch(chat_id))
        title = chat.title if chat is not None else ""
        return Page(clean(chat_text(self.store, chat_id)), "passage", labels, source=f"chat {clean(title)}")

    async def regenerate(
        self, chat_id: str, message_id: str, options: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Event]:
        """Another answer beside an earlier one, or to a message of the user."""
        async with aclosing(self.session.conversation(chat_id).regenerate(message_id, options)) as stream:
            async for event in stream:
                yield event

    async def fork(self, chat_id: str) -> str:
        """Copy a chat's branch into a new chat."""
        return (await self.session.conversation(chat_id).fork()).id

    async def stop(self, chat_id: str) -> bool:
        """Stop the turn of a chat, or have its answer now where it is being thought about."""
        return self.session.conversation(chat_id).stop()

    async def answer_approval(self, approval_id: str, answer: ApprovalAnswer) -> None:
        """The user's word on a call; only the chat that asked knows the id."""
        for conversation in self.session.conversations:
            conversation.answer_approval(approval_id, answer)

    async def status(self, chat_id: str) -> StatusFigures:
        """Figures for the status bar."""
        from llmos.offline import is_offline

        kernel = self.session.kernel
        offline = is_offline()
        if self._loading:
            return StatusFigures(f"loading {self._loading}", "loading", offline=offline)
        model = kernel.model
        if model is None:
            return StatusFigures(offline=offline)
        try:
            stats = await asyncio.wait_for(kernel.stats(), 2.0)
        except (UserError, TimeoutError):
            return StatusFigures(model.name, "loading", offline=offline)
        used, state = 0, "ready"
        if chat_id:
            conversation = self.session.conversation(chat_id)
            state = "generating" if conversation.busy else "ready"
            used = next((one.tokens for one in stats.sequences if one.name == conversation.sequence), 0)
        return StatusFigures(
            model=model.name,
            state=state,
            context_used=used,
            context_size=model.context,
            tokens_per_second=stats.tokens_per_second,
            memory_bytes=stats.resident_bytes,
            offline=offline,
            items=await self.status_texts(),
        )

    async def models(self) -> Sequence[ModelChoice]:
        """Local models."""
        from llmos.kernel.locate import local_models

        found = await asyncio.to_thread(local_models)
        return [
            ModelChoice(
                one.name if one.bundled else str(one.path),
                one.name,
                f"{one.bytes / 1e6:.0f} MB, {'bundled' if one.bundled else one.path.parent}",
            )
            for one in found
        ]

    def about_model(self) -> str:
        """One line on what the loaded model is and is not."""
        model = self._session.kernel.model if self._session is not None else None
        if model is None:
            return ""
        size = f"{model.parameters / 1e9:.1f} billion" if model.parameters >= 1e9 else (
            f"{model.parameters / 1e6:.1f} million"
        )  # fmt: skip
        if self._bundled:
            return (
                f"{model.name} came with the program: {size} parameters, built by it from raw text. It talks "
                "about itself and about language models and uses tools; it knows little else. "
                + (self._larger or "Ctrl+O chooses a larger one.")
            )
        return f"{model.name}: {size} parameters, on this machine. Its answers can be wrong."

    # Plugins

    @property
    def _plugins(self) -> Any:
        return self.session.plugins

    def commands(self) -> Sequence[CommandOffer]:
        """Slash commands of plugins."""
        return [
            CommandOffer(one.name, one.help, [Parameter(**part.model_dump()) for part in one.parameters])
            for _, one in self._plugins.commands()
            if "tui" in one.faces
        ]

    async def run_command(
        self, name: str, arguments: Mapping[str, Any], chat_id: str, write: Callable[[str], None]
    ) -> CommandResult:
        """Run a plugin's command; faults are the result's text."""
        loop = asyncio.get_running_loop()

        def from_thread(text: str) -> None:
            loop.call_soon_threadsafe(write, text)

        context = CommandContext("tui", chat_id, from_thread)
        result: CommandResult = await self._plugins.run_command(name, arguments, context)
        return result

    def panels(self) -> Sequence[PanelOffer]:
        """Panels of plugins."""
        return [
            PanelOffer(plugin, one.id, clean(one.title), one.place, one.refresh)
            for plugin, one in self._plugins.panels()
        ]

    async def panel_view(self, plugin: str, panel: str) -> Sequence[Element]:
        """What a panel shows now."""
        elements: Sequence[Element] = await self._plugins.view_panel(plugin, panel)
        return elements

    async def panel_act(self, plugin: str, panel: str, action: str, value: Any) -> str:
        """An action of the user in a panel."""
        return clean(await self._plugins.act_panel(plugin, panel, action, value) or "")

    async def status_texts(self) -> Mapping[str, str]:
        """Texts of plugins for the status bar."""
        return {
            f"{plugin}.{one.id}": clean(await self._plugins.view_status(plugin, one.id))
            for plugin, one in self._plugins.status_items()
        }

    async def draw_result(self, tool: str, result: ToolResult) -> Sequence[Element]:
        """How a plugin draws a result of a tool."""
        return await self._plugins.render(tool, result) or ()

    async def personas(self) -> Sequence[Persona]:
        """Experts of plugins."""
        found: Sequence[Persona] = await self._plugins.personas()
        return found

    def typed(self) -> None:
        """The person is typing."""
        if self._session is not None:
            self._session.quiet.touch()

    async def left_chat(self, chat_id: str) -> None:
        """This chat's state may go to disk."""
        await self.session.leave(chat_id)

    def set_offline(self, offline: bool) -> None:
        """Switch the network off or on."""
        from llmos.offline import set_offline

        set_offline(offline)

    def clean(self, text: str) -> str:
        """Text without what could fool a terminal or a reader."""
        return clean(text)

    async def close(self) -> None:
        """Store what is open and end the kernel."""
        await self._stack.aclose()
