"""The terminal face: wiring between screens, backend and keys; nothing is drawn here."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import App
from textual.binding import BindingType

from llmos.errors import UserError
from llmos.tui import terminal_keys, themes
from llmos.tui.actions import bindings, unknown_ids
from llmos.tui.drafts import Drafts
from llmos.tui.options import FaceOptions
from llmos.tui.quick_start import resume_collection
from llmos.tui.tabs import TABS, Tab
from llmos.tui.widgets.status_bar import StatusBar, StatusFigures
from llmos.tui.widgets.tab_bar import TabBar

if TYPE_CHECKING:
    from llmos.tui.backend import Backend
    from llmos.tui.turns import TurnDrawer
    from llmos.types import Approval, ApprovalAnswer

_HERE = Path(__file__).parent
#: Seconds within which a second Ctrl+C quits.
QUIT_SECONDS = 3.0


class LlmosApp(App[None], inherit_bindings=False):
    """The program in a terminal.

    Args:
        make_backend: builds the backend; called on a thread after the first paint.
        options: theme, keys and so on.
        chat: id of the chat to open; empty: a new one.
        model: model to load; empty: the one in the settings.
    """

    # The chat's own sheet too: read at once, it is parsed once.
    CSS_PATH: ClassVar[Any] = [_HERE / "app.tcss", _HERE / "screens" / "chat.tcss"]
    TITLE = "LLMOS"
    ENABLE_COMMAND_PALETTE = False
    # The chat is the first screen: no blank one before it.
    DEFAULT_MODE = "chat"
    MODES: ClassVar[dict[str, Any]] = {"chat": TABS[0].screen}
    BINDINGS: ClassVar[list[BindingType]] = bindings("app")

    def __init__(
        self,
        make_backend: Callable[[], Backend],
        options: FaceOptions | None = None,
        *,
        chat: str = "",
        model: str = "",
        tour: bool = False,
    ) -> None:
        super().__init__()
        self.options = options if options is not None else FaceOptions()
        self.backend: Backend | None = None
        self.tabs: list[Tab] = list(TABS)
        self.turns: dict[str, TurnDrawer] = {}
        self.figures = StatusFigures(model="starting", state="loading")
        self.first_chat = chat
        self.tour = tour
        self._model = model
        self._make_backend = make_backend
        self._quit_asked = -QUIT_SECONDS
        self._present_tab = "chat"
        self._backend_up = asyncio.Event()
        self.drafts = Drafts()
        self._modes_added: set[str] = {"chat"}
        # Textual knows the first screen's mode by name only; the way back to it needs an entry.
        self._modes["_default"] = self.get_default_screen
        terminal_keys.install()
        themes.register(self)
        # Without its watcher: nothing is drawn yet that would have to change.
        self.set_reactive(LlmosApp.theme, themes.resolve(self.options.theme))
        self.stylesheet.set_variables(self.get_css_variables())
        if self.no_color:
            self._draw_without_colour()
        if self.options.slow:
            self.animation_level = "none"
        if self.options.keys:
            self.set_keymap(dict(self.options.keys))

    def _draw_without_colour(self) -> None:
        from textual.color import Color
        from textual.filter import Monochrome

        from llmos.tui.no_colour import NoColour

        ground = Color.parse(self.get_css_variables()["background"])
        # The library's own answer to NO_COLOR still sends greys.
        self._filters = [NoColour(ground) if isinstance(one, Monochrome) else one for one in self._filters]

    def on_mount(self) -> None:
        """Bring the backend up once the first frame is on the screen."""
        self.call_after_refresh(self._begin)

    def clean(self, text: str) -> str:
        """Text from models, files and tools as it may be drawn."""
        return self.backend.clean(text) if self.backend is not None else ""

    async def ready(self) -> Backend:
        """The backend, once its store is open; what is typed before waits here."""
        await self._backend_up.wait()
        if self.backend is None:
            raise UserError("The program could not open its chats; see the message above.")
        return self.backend

    @work(exclusive=True, group="begin")
    async def _begin(self) -> None:
        resume_collection()
        self.show_tabs()
        self._show_figures()
        try:
            backend = await asyncio.to_thread(self._make_backend)
            await backend.start(self._notify_from_backend, self._ask)
        except UserError as error:
            self._backend_up.set()
            self.figures = StatusFigures(model="not started")
            self.tell(str(error), "error")
            return
        self.backend = backend
        self._backend_up.set()
        self._add_panels()
        if unknown := unknown_ids(self.options.keys):
            self.tell(f"No action is called {unknown[0]!r} (settings, [keys]); see docs/keys.md.", "warning")
        screen = self.screen
        if hasattr(screen, "backend_ready"):
            await screen.backend_ready()
        self.set_interval(8.0 if self.options.slow else 1.0, self.refresh_status)
        if self.tour:
            self.open_tab("build")
        from llmos.tui.warm import warm

        warming = asyncio.create_task(asyncio.to_thread(warm))
        await self.load_model(self._model)
        await warming

    async def load_model(self, name: str = "") -> None:
        """Load a model; the status bar says so, errors become a line."""
        backend = await self.ready()
        self.figures = StatusFigures(model="loading the model", state="loading")
        self._show_figures()
        try:
            await backend.load_model(name)
        except UserError as error:
            self.tell(str(error), "error", keep=True)
        await self.refresh_status()
        for screen in list(self.screen_stack):
            if hasattr(screen, "model_loaded"):
                screen.model_loaded()

    async def refresh_status(self) -> None:
        """Ask for the figures and show what has changed."""
        if self.backend is None:
            return
        # The open chat's window, on the other tabs too.
        chats = self._screen_stacks.get("chat", [])
        chat_id = next((getattr(screen, "chat_id", "") for screen in chats), "")
        self.figures = await self.backend.status(chat_id)
        self._show_figures()

    def _show_figures(self) -> None:
        # While the program ends there may be no screen any more.
        for screen in self.screen_stack[-1:]:
            for bar in screen.query(StatusBar):
                bar.show(self.figures)

    def _notify_from_backend(self, text: str, level: str) -> None:
        self.call_next(self.tell, text, level)

    async def _ask(self, approval: Approval) -> ApprovalAnswer:
        """A question outside of a turn: on the chat screen, the prompt keeps its text."""
        for screen in self.screen_stack:
            if hasattr(screen, "ask"):
                answer: ApprovalAnswer = await screen.ask(approval)
                return answer
        return "deny"

    def _handle_exception(self, error: Exception) -> None:
        """A fault of the program: one line and the log, and the chat goes on.

        Tests (and ``LLMOS_DEBUG``) see the fault itself.
        """
        if self.is_headless or os.environ.get("LLMOS_DEBUG"):
            super()._handle_exception(error)
            return
        import logging

        from textual.worker import WorkerFailed

        from llmos.folders import folders

        cause: BaseException = error.error if isinstance(error, WorkerFailed) else error
        logging.getLogger(__name__).error("fault in the face", exc_info=cause)
        what = self.clean(f"{type(cause).__name__}: {cause}".partition("\n")[0].rstrip(": "))
        self.call_next(
            self.tell, f"Something went wrong ({what}); details are in {folders().log_file}.", "error"
        )

    def tell(self, text: str, level: str = "info", *, keep: bool = False) -> None:
        """One line for the user: in the status bar, and in the chat when it should stay."""
        for screen in reversed(self.screen_stack):
            bars = screen.query(StatusBar)
            if bars:
                bars.first().notice(text, level)
                if (keep or level == "error") and hasattr(screen, "add_notice"):
                    self.call_next(screen.add_notice, text, level)
                return

    # Tabs

    @property
    def tab_names(self) -> list[tuple[str, str]]:
        """Id and title of every tab."""
        return [(tab.id, tab.title) for tab in self.tabs]

    @property
    def present_tab(self) -> str:
        """Id of the open tab."""
        return self._present_tab

    def show_tabs(self) -> None:
        """Draw the names of the tabs on the present screen."""
        for screen in self.screen_stack[:1]:
            for bar in screen.query(TabBar):
                bar.show(self.tab_names, self._present_tab)

    def _add_panels(self) -> None:
        if self.backend is None:
            return
        from llmos.tui.screens.panel import panel_tabs

        known = {tab.id for tab in self.tabs}
        added = [tab for tab in panel_tabs(self.backend.panels()) if tab.id not in known]
        # Settings stay the last tab.
        self.tabs[-1:-1] = added
        self.show_tabs()

    def plugins_changed(self) -> None:
        """A plugin came, went or changed: tabs of new panels are added, those of gone ones leave."""
        if self.backend is None:
            return
        from llmos.tui.screens.panel import panel_tabs

        offered = {tab.id for tab in panel_tabs(self.backend.panels())}
        self.tabs = [tab for tab in self.tabs if tab.make is None or tab.id in offered]
        self._add_panels()

    def open_tab(self, tab_id: str) -> None:
        """Switch to a tab; its screen is built on the first visit."""
        tab = next((tab for tab in self.tabs if tab.id == tab_id), None)
        if tab is None or tab_id == self._present_tab or len(self.screen_stack) > 1:
            return
        mode = tab.id
        if mode not in self._modes_added:
            try:
                screen = tab.screen()
            except (ImportError, AttributeError) as error:
                self.tell(f"The tab {tab.title} cannot be opened: {error}.", "error")
                return
            self.add_mode(mode, lambda: screen)
            self._modes_added.add(mode)
        self._present_tab = tab_id
        self.call_next(self._switch, mode)

    async def _switch(self, mode: str) -> None:
        await self.switch_mode(mode)
        self.show_tabs()
        self._show_figures()

    def action_open_tab(self, number: int) -> None:
        """Open a tab by its place, from 1."""
        if number <= len(self.tabs):
            self.open_tab(self.tabs[number - 1].id)

    def action_step_tab(self, step: int) -> None:
        """Next or previous tab."""
        ids = [tab.id for tab in self.tabs]
        self.open_tab(ids[(ids.index(self._present_tab) + step) % len(ids)])

    def on_tab_bar_chosen(self, event: TabBar.Chosen) -> None:
        """A tab was clicked."""
        self.open_tab(event.tab)

    # Actions that work everywhere

    async def action_interrupt(self) -> None:
        """Ctrl+C: copy a selection, else stop the answer, else quit when pressed twice."""
        from llmos.tui.clipboard import copy, selected

        if text := selected(self):
            copy(self, text)
            self.screen.clear_selection()
            self.tell("Copied.")
            return
        if hasattr(self.screen, "stop_turn") and await self.screen.stop_turn():
            return
        if monotonic() - self._quit_asked < QUIT_SECONDS:
            await self.action_quit()
            return
        self._quit_asked = monotonic()
        self.tell("Press Ctrl+C again to quit.")

    async def action_quit(self) -> None:
        """Leave; what is being written is kept."""
        self.exit()

    async def on_unmount(self) -> None:
        """Close the backend."""
        if self.backend is not None:
            backend, self.backend = self.backend, None
            await self.drafts.write(backend.store)
            await backend.close()

    def setting_changed(self, name: str, value: object) -> None:
        """Use a changed setting at once where that is possible; else it holds from the next start."""
        section, _, key = name.partition(".")
        if name == "face.theme":
            self.theme = themes.resolve(str(value))
        elif section == "keys" and key:
            keys = {**self.options.keys, key: str(value)}
            self.options = dataclasses.replace(self.options, keys=keys)
            self.set_keymap(dict(keys))
        elif name == "face.slow":
            self.options = dataclasses.replace(self.options, slow=bool(value))
        elif name == "face.vi_keys":
            self.options = dataclasses.replace(self.options, vi_keys=bool(value))
            for stack in self._screen_stacks.values():
                for screen in stack:
                    if hasattr(screen, "prompt"):
                        screen.prompt.use_vi(bool(value))
        elif name == "offline" and self.backend is not None:
            self.backend.set_offline(bool(value))
        else:
            self.tell("Changed; it holds from the next start on.")
            return
        self.tell("Changed.")

    def action_palette(self) -> None:
        """Find any action by name."""
        from llmos.tui.palette import open_palette

        open_palette(self)

    def action_context_help(self) -> None:
        """Help for what has the focus."""
        from llmos.tui.screens.help import open_help

        open_help(self)

    def action_jump(self) -> None:
        """Jump to a part of the screen."""
        from llmos.tui.screens.jump import open_jump

        open_jump(self)

    def action_pick_theme(self) -> None:
        """Choose the colours, with a preview."""
        from llmos.tui.choices import pick_theme

        pick_theme(self)

    def action_pick_model(self) -> None:
        """Choose the model."""
        from llmos.tui.choices import pick_model

        pick_model(self)

    def action_toggle_offline(self) -> None:
        """Switch the network off or on, in the settings too."""
        from llmos.tui.choices import toggle_offline

        toggle_offline(self)
