"""The Plugins tab: what is installed, its state and faults; turn on and off, install, set, remove."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import DataTable, Input, Static

from llmos.plugins import settings_file
from llmos.plugins.describe import lines_of
from llmos.plugins.index import Known, persona_file, read_index
from llmos.plugins.installer import Installer
from llmos.plugins.registry import Registry, Slot
from llmos.settings import folders, load_settings
from llmos.tui.screens.ask import Ask
from llmos.tui.screens.base import TabScreen
from llmos.tui.screens.modal import Modal
from llmos.tui.widgets.elements import ActionButton
from llmos.tui.widgets.form import FormElement
from llmos.types import UserError


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: installed, or known from the index."""

    name: str
    version: str
    state: str
    runs: str
    summary: str
    slot: Slot | None = None
    known: Known | None = None


class SettingsForm(Modal[dict[str, Any] | None]):
    """A plugin's settings, from its schema; Apply writes them, Esc leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave")]
    CSS_PATH = "plugins.tcss"

    def __init__(self, title: str, schema: dict[str, Any], values: dict[str, Any]) -> None:
        super().__init__()
        self._title = title
        self._data = {"schema": schema, "values": values, "action": "apply"}

    def compose(self) -> ComposeResult:
        """Title and fields."""
        with VerticalScroll(id="plugins-form"):
            yield Static(self._title, id="plugins-form-title", markup=False)
            yield FormElement(self._data)

    def on_button_pressed(self, event: ActionButton.Pressed) -> None:
        """Apply."""
        event.stop()
        self.dismiss(self.query_one(FormElement).values())

    def action_leave(self) -> None:
        """Leave without a change."""
        self.dismiss(None)


class InstallQuestion(Modal[str]):
    """What a plugin declares, before it is installed: y installs it in its own process, t trusts it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer('yes')", "Install"),
        Binding("t", "answer('trust')", "Install and trust"),
        Binding("n,escape", "answer('')", "Leave"),
    ]
    CSS_PATH = "plugins.tcss"

    def __init__(self, name: str, text: str) -> None:
        super().__init__()
        self._name_of = name
        self._text = text

    def compose(self) -> ComposeResult:
        """The manifest in words, and the keys."""
        with VerticalScroll(id="plugins-form"):
            yield Static(f"Install {self._name_of}?", id="plugins-form-title", markup=False)
            yield Static(self._text, markup=False)
            yield Static(
                "y installs it in a process of its own, t trusts it (it then runs inside the program, and "
                "nothing holds it to what it declares), n leaves.",
                id="plugins-keys",
                markup=False,
            )

    def action_answer(self, answer: str) -> None:
        """Give the answer."""
        self.dismiss(answer)


class PluginsScreen(TabScreen):
    """A table of plugins, and words on the selected one."""

    CSS_PATH = "plugins.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "on_or_off", "On or off"),
        Binding("i", "install", "Install"),
        Binding("s", "settings", "Settings"),
        Binding("u", "uninstall", "Uninstall"),
        Binding("r", "reload", "Load anew"),
        Binding("slash", "search", "Search"),
        Binding("escape", "to_table", "Back to the table"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []
        self._shown: list[Row] = []
        self._registry: Registry | None = None

    def compose_body(self) -> ComposeResult:
        """Search, table, words on the selected row."""
        yield Input(placeholder="Search (/)", id="plugins-search", compact=True)
        yield DataTable(id="plugins-table", cursor_type="row")
        with Vertical(id="plugins-about"):
            yield Static("", id="plugins-words", markup=False)

    def on_mount(self) -> None:
        """Columns and rows."""
        table = self.query_one("#plugins-table", DataTable)
        table.add_columns("plugin", "version", "state", "runs", "faults", "what it is for")
        table.focus()
        self.refresh_rows()
        self.set_interval(2.0, self._watch)

    def on_screen_resume(self) -> None:
        """They may have changed elsewhere."""
        self.refresh_rows()

    @property
    def registry(self) -> Registry:
        """The running program's plugins; without a session what is installed."""
        session = getattr(self.face.backend, "session", None)
        running = getattr(session, "plugins", None)
        if isinstance(running, Registry):
            return running
        if self._registry is None:
            self._registry = Registry(load_settings(), folders(), notify=self.face.tell)
        return self._registry

    # rows

    @work(exclusive=True, group="plugin-rows")
    async def refresh_rows(self) -> None:
        """Collect and draw."""
        try:
            index = await asyncio.to_thread(read_index, load_settings().plugins.index)
        except UserError as error:
            index = []
            self.face.tell(str(error), "warning")
        slots = self.registry.plugins()
        rows = [
            Row(
                slot.name,
                slot.found.version,
                slot.state,
                "own process" if slot.isolated else "in the program",
                slot.manifest.summary or slot.reason,
                slot,
            )
            for slot in slots
        ]
        here = {slot.name for slot in slots}
        rows += [
            Row(one.name, "", "not installed", one.kind, one.summary, known=one)
            for one in index
            if one.name not in here
        ]
        self._rows = rows
        self._fill()

    def _watch(self) -> None:
        """States and faults change by themselves; only then the table is drawn anew."""
        if self.is_current and any(row.slot is not None and row.slot.state != row.state for row in self._rows):
            self.refresh_rows()

    def _fill(self) -> None:
        words = self.query_one("#plugins-search", Input).value.casefold().split()
        self._shown = [
            row
            for row in self._rows
            if all(word in f"{row.name} {row.state} {row.summary}".casefold() for word in words)
        ]
        table = self.query_one("#plugins-table", DataTable)
        place = table.cursor_row
        table.clear()
        clean = self.face.clean
        for row in self._shown:
            faults = len(self.registry.faults(row.name)) if row.slot else 0
            table.add_row(
                row.name, row.version, row.state, row.runs, str(faults) if faults else "", clean(row.summary)
            )
        if self._shown:
            table.move_cursor(row=min(max(place, 0), len(self._shown) - 1))
        self._say()

    def _selected(self) -> Row | None:
        place = self.query_one("#plugins-table", DataTable).cursor_row
        return self._shown[place] if 0 <= place < len(self._shown) else None

    def _say(self) -> None:
        row = self._selected()
        lines: list[str] = []
        if row is None:
            lines = ["No plugin fits the search."]
        elif row.slot is not None:
            slot = row.slot
            if slot.reason:
                lines.append(f"{slot.state}: {slot.reason}")
            lines += [str(fault) for fault in self.registry.faults(slot.name)[-3:]]
            lines += lines_of(slot.manifest, trusted=not slot.isolated, version=slot.found.version)
        elif row.known is not None:
            lines = [f"{row.summary} Not installed: i installs it."]
        self.query_one("#plugins-words", Static).update(self.face.clean("\n".join(lines)))

    @on(DataTable.RowHighlighted, "#plugins-table")
    def _moved(self) -> None:
        self._say()

    @on(Input.Changed, "#plugins-search")
    def _typed(self) -> None:
        self._fill()

    @on(Input.Submitted, "#plugins-search")
    def _submitted(self) -> None:
        self.action_to_table()

    def action_search(self) -> None:
        """To the search line."""
        self.query_one("#plugins-search").focus()

    def action_to_table(self) -> None:
        """To the table."""
        self.query_one("#plugins-table").focus()

    # actions

    def _installed(self) -> Slot | None:
        row = self._selected()
        if row is None or row.slot is None:
            self.face.tell("Select a plugin that is installed.")
            return None
        return row.slot

    @work(group="plugin-change")
    async def action_on_or_off(self) -> None:
        """Turn the selected plugin off, or on again; faults are forgiven."""
        slot = self._installed()
        if slot is None:
            return
        registry = self.registry
        off = slot.state in ("disabled", "set aside")
        try:
            await asyncio.to_thread(settings_file.set_disabled, registry.folders, slot.name, not off)
        except UserError as error:
            self.face.tell(str(error), "error")
            return
        if off:
            await registry.enable(slot.name)
        else:
            await registry.disable(slot.name, "disabled in the settings")
        self._changed(f"{slot.name} is {'on' if off else 'off'}.")

    @work(group="plugin-change")
    async def action_reload(self) -> None:
        """Unload and load the selected plugin, its code read anew."""
        slot = self._installed()
        if slot is None:
            return
        await self.registry.unload(slot.name)
        self.registry.rescan()
        loaded = await self.registry.load(slot.name)
        self._changed(f"{slot.name} is loaded." if loaded else f"{slot.name} could not be loaded.")

    @work(group="plugin-change")
    async def action_settings(self) -> None:
        """The selected plugin's settings as a form."""
        slot = self._installed()
        if slot is None:
            return
        schema = slot.manifest.settings
        if not schema:
            self.face.tell(f"{slot.name} has no settings.")
            return
        options = self.registry.settings.plugins.options
        present = {**slot.manifest.default_settings(), **options.get(slot.name, {})}
        values = await self.app.push_screen_wait(SettingsForm(f"Settings of {slot.name}", schema, present))
        if values is None:
            return
        try:
            checked = settings_file.check_options(schema, values)
            await asyncio.to_thread(settings_file.set_options, self.registry.folders, slot.name, checked)
        except UserError as error:
            self.face.tell(str(error), "error")
            return
        options[slot.name] = checked
        self._changed(f"The settings of {slot.name} are stored.")

    @work(group="plugin-change")
    async def action_install(self) -> None:
        """Install the selected known one, or what the user names; its manifest is shown first."""
        row = self._selected()
        known = row.known if row else None
        start = known.name if known else ""
        source = await self.app.push_screen_wait(
            Ask("Install: a name, wheel, git address, ./folder or .py file", start)
        )
        if not source:
            return
        installer = Installer(self.registry.folders, say=self._say_from_thread)
        known = next((one for one in (row.known for row in self._rows) if one and one.name == source), None)
        try:
            if known is not None and known.manifest is not None:
                name = await asyncio.to_thread(self._persona, installer, known)
            else:
                name = await self._package(installer, known.source if known else source)
        except UserError as error:
            self.face.tell(str(error), "error")
            return
        if name:
            self.registry.rescan()
            self._changed(f"{name} is installed.")

    def _say_from_thread(self, text: str) -> None:
        self.app.call_from_thread(self.face.tell, f"{text} …")

    def _persona(self, installer: Installer, known: Known) -> str:
        import tempfile

        assert known.manifest is not None
        with tempfile.TemporaryDirectory() as work:
            path = Path(work) / f"{known.manifest.name.replace('-', '_')}.py"
            path.write_text(persona_file(known.manifest), encoding="utf-8")
            with installer.preview(str(path)) as preview:
                return installer.install(preview).name

    async def _package(self, installer: Installer, source: str) -> str:
        """Look, show, ask, install; empty when the user says no."""
        context = installer.preview(source)
        preview = await asyncio.to_thread(context.__enter__)
        try:
            installer.check_free(preview)
            lines = lines_of(preview.manifest, trusted=False, version=preview.version)
            text = self.face.clean("\n".join(lines))
            answer = await self.app.push_screen_wait(InstallQuestion(preview.manifest.name, text))
            if not answer:
                return ""
            trusted = answer == "trust"
            entry = await asyncio.to_thread(installer.install, preview, trusted=trusted)
            return entry.name
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)

    @work(group="plugin-change")
    async def action_uninstall(self) -> None:
        """Remove the selected plugin and its data, after a question."""
        slot = self._installed()
        if slot is None:
            return
        answer = await self.app.push_screen_wait(Ask(f"Type {slot.name} to remove it and its data"))
        if answer != slot.name:
            return
        await self.registry.unload(slot.name)
        installer = Installer(self.registry.folders, say=self._say_from_thread)
        try:
            await asyncio.to_thread(installer.uninstall, slot.name)
        except UserError as error:
            self.face.tell(str(error), "error")
            return
        self.registry.rescan()
        self._changed(f"{slot.name} is removed.")

    def _changed(self, text: str) -> None:
        """Tell it, and draw the tabs and rows anew."""
        self.face.plugins_changed()
        self.face.tell(text)
        self.refresh_rows()
