"""The Models tab: what is here, what exists, what fits; fetch, pause, resume, load, remove."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Input, ProgressBar, Static

from llmos.catalog import actions, fetch, hub
from llmos.catalog.entries import Catalog, CatalogEntry, load_catalog
from llmos.catalog.fit import Fit, fit_entry, fit_header, recommend
from llmos.catalog.machine import Machine, this_machine
from llmos.catalog.owned import OwnedModel, owned_models
from llmos.kernel.gguf_header import read_header
from llmos.kernel.memory import show_bytes
from llmos.tui.screens.base import TabScreen
from llmos.types import UserError


@dataclass(frozen=True, slots=True)
class Row:
    """A model of the table: on this machine, or in the catalogue."""

    name: str
    bytes: int
    fit: Fit | None
    tasks: str
    where: str
    owned: OwnedModel | None = None
    entry: CatalogEntry | None = None


def _speed(tokens_per_second: float) -> str:
    """Tokens a second as a cell: a slow model is not shown as standing still."""
    if not tokens_per_second:
        return ""
    return f"{tokens_per_second:.1f}" if tokens_per_second < 10 else f"{tokens_per_second:.0f}"


def collect(machine: Machine, catalog: Catalog) -> list[Row]:
    """Everything to show: owned models first, then what can be fetched, smallest first."""
    rows: list[Row] = []
    owned = owned_models()
    for model in owned:
        try:
            fit: Fit | None = fit_header(read_header(model.path), machine)
        except UserError:
            fit = None
        rows.append(Row(model.name, model.bytes, fit, "", model.origin, owned=model))
    here = {model.name.casefold() for model in owned}
    for entry in catalog.search():
        if entry.reference.casefold() not in here:
            mark = "catalogue" if entry.verified else "catalogue, unverified"
            rows.append(
                Row(
                    entry.name,
                    entry.bytes,
                    fit_entry(entry, machine),
                    ", ".join(entry.tasks),
                    mark,
                    entry=entry,
                )
            )
    return rows


class ModelsScreen(TabScreen):
    """A table of models with what fits this machine."""

    CSS_PATH = "models.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "fetch", "Fetch or go on"),
        Binding("p", "pause", "Pause"),
        Binding("d", "make_default", "Load from now on"),
        Binding("delete", "remove", "Delete"),
        Binding("slash", "search", "Search"),
        Binding("escape", "to_table", "Back to the table"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []
        self._shown: list[Row] = []
        self._machine: Machine | None = None
        self._recommended = ""
        self._pausing = threading.Event()
        self._pulling = ""

    def compose_body(self) -> ComposeResult:
        """About this machine, search, table, words on the selected row, progress."""
        yield Static("Looking at this machine …", id="models-about", markup=False)
        yield Input(placeholder="Search (/), Enter searches the hub for org/repo", id="models-search")
        yield DataTable(id="models-table", cursor_type="row")
        yield Static("", id="models-words", markup=False)
        yield ProgressBar(id="models-progress", show_eta=True)

    def on_mount(self) -> None:
        """Columns, then the rows from a thread."""
        table = self.query_one("#models-table", DataTable)
        table.add_columns("model", "size", "fit", "tokens/s", "for", "where")
        table.focus()
        self._collect()

    @work(exclusive=True, group="collect")
    async def _collect(self) -> None:
        def look() -> tuple[Machine, list[Row], str]:
            machine = self._machine or this_machine(bandwidth=True)
            catalog = load_catalog()
            best = recommend(catalog.models, machine)
            return machine, collect(machine, catalog), best.name if best else ""

        try:
            machine, self._rows, self._recommended = await asyncio.to_thread(look)
        except UserError as error:
            self.face.tell(str(error), "error")
            return
        self._machine = machine
        text = (
            f"{show_bytes(machine.available)} of {show_bytes(machine.total)} memory free, "
            f"{machine.cores} cores, memory reads {show_bytes(int(machine.bandwidth))}/s."
        )
        if self._recommended:
            text += f" Recommended here: {self._recommended} (f fetches the selected one)."
        self.query_one("#models-about", Static).update(text)
        self._fill()

    def _fill(self) -> None:
        words = self.query_one("#models-search", Input).value.casefold().split()
        self._shown = [
            row for row in self._rows if all(word in f"{row.name} {row.tasks}".casefold() for word in words)
        ]
        table = self.query_one("#models-table", DataTable)
        place = table.cursor_row
        table.clear()
        for row in self._shown:
            speed = _speed(row.fit.tokens_per_second) if row.fit else ""
            name = f"{row.name} *" if row.name == self._recommended else row.name
            verdict = row.fit.verdict if row.fit else "cannot be read"
            table.add_row(self.face.clean(name), show_bytes(row.bytes), verdict, speed, row.tasks, row.where)
        if self._shown:
            table.move_cursor(row=min(place, len(self._shown) - 1))
        self._say()

    def _selected(self) -> Row | None:
        place = self.query_one("#models-table", DataTable).cursor_row
        return self._shown[place] if 0 <= place < len(self._shown) else None

    def _say(self) -> None:
        row = self._selected()
        words = ""
        if row is not None and row.fit is not None:
            fit = row.fit
            words = (
                f"{fit.words} Weights {show_bytes(fit.weights)}, KV {show_bytes(fit.kv)}, "
                f"compute {show_bytes(fit.compute)}."
            )
            if row.entry:
                words += f" {row.entry.reference}, {row.entry.licence or 'licence unknown'}. {row.entry.notes}"
            elif row.owned:
                words += f" {row.owned.path}"
        self.query_one("#models-words", Static).update(self.face.clean(words))

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        self._say()

    @on(DataTable.RowSelected)
    async def _load(self) -> None:
        row = self._selected()
        if row is None:
            return
        if row.owned is None:
            self.face.tell(f"{row.name} is not here yet: f fetches it.")
            return
        await self.face.load_model(str(row.owned.path))

    @on(Input.Changed, "#models-search")
    def _typed(self) -> None:
        self._fill()

    @on(Input.Submitted, "#models-search")
    def _submitted(self, event: Input.Submitted) -> None:
        if "/" in event.value:
            self._pull(actions.Wanted(event.value, reference=event.value))
        else:
            self.action_to_table()

    def action_search(self) -> None:
        """To the search line."""
        self.query_one("#models-search").focus()

    def action_to_table(self) -> None:
        """To the table."""
        self.query_one("#models-table").focus()

    def action_fetch(self) -> None:
        """Fetch the selected model; a partial one goes on."""
        row = self._selected()
        if row is None or row.entry is None:
            self.face.tell("Select a model of the catalogue to fetch.")
        elif self._pulling:
            self.face.tell(f"{self._pulling} is being fetched; p pauses it.")
        else:
            self._pull(actions.Wanted(row.name, None, row.entry, row.entry.repository, row.entry.file))

    def action_pause(self) -> None:
        """Pause the running pull; what came stays."""
        if self._pulling:
            self._pausing.set()

    def action_make_default(self) -> None:
        """Load the selected model from now on."""
        row = self._selected()
        if row is None or row.owned is None:
            self.face.tell("Only a model that is on this machine can be the default one.")
            return
        try:
            actions.set_default("" if row.owned.origin == "bundled" else str(row.owned.path))
        except (UserError, OSError) as error:
            self.face.tell(str(error), "error")
            return
        self.face.tell(f"New sessions load {row.name}.")

    def action_remove(self) -> None:
        """Delete the selected model's files."""
        row = self._selected()
        if row is None or row.owned is None:
            return
        try:
            freed = actions.remove(row.owned)
        except (UserError, OSError) as error:
            self.face.tell(str(error), "error")
            return
        self.face.tell(f"{row.name} is deleted; {show_bytes(freed)} are free again.")
        self._collect()

    def _check_online(self) -> None:
        session = getattr(self.face.backend, "session", None)
        if session is not None and session.settings.offline:
            raise UserError("Fetching needs the network, and the offline switch is on.")
        hub.check_online()

    @work(group="pull")
    async def _pull(self, wanted: actions.Wanted) -> None:
        bar = self.query_one("#models-progress", ProgressBar)
        self._pulling, loop = wanted.name, asyncio.get_running_loop()
        self._pausing.clear()

        def show(now: fetch.Progress) -> None:
            loop.call_soon_threadsafe(partial(bar.update, total=now.total, progress=now.done))
            what = "checking" if now.checking else f"{show_bytes(int(now.bytes_per_second))}/s"
            text = f"{wanted.name}: {show_bytes(now.done)} of {show_bytes(now.total)}, {what}; p pauses"
            loop.call_soon_threadsafe(self.face.tell, text)

        def work() -> None:
            model = actions.look_up(wanted, self._check_online)
            fetch.pull(model, show, self._pausing.is_set, client_check=self._check_online)

        bar.add_class("-shown")
        try:
            await asyncio.to_thread(work)
        except fetch.Paused:
            self.face.tell(f"{wanted.name} is paused; f goes on from here.")
        except UserError as error:
            self.face.tell(str(error), "error")
        else:
            self.face.tell(f"{wanted.name} is here; Enter loads it.")
        finally:
            self._pulling = ""
            bar.remove_class("-shown")
        self._collect()
