"""Settings: a searchable list made from the schema; changes go to the user's own TOML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from llmos.tui import themes
from llmos.tui.screens.ask import Ask
from llmos.tui.screens.base import TabScreen
from llmos.tui.screens.picker import Pick, Picker
from llmos.types import UserError

if TYPE_CHECKING:
    from llmos.settings import Settings
    from llmos.tui.settings_rows import SettingRow


class SettingsScreen(TabScreen):
    """Type to search, Enter to change, Delete for the default."""

    CSS_PATH = "settings.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search"),
        Binding("delete,d", "default", "Back to the default"),
        Binding("escape", "rows", "To the rows"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._settings: Settings | None = None
        self._rows: list[SettingRow] = []

    def compose_body(self) -> ComposeResult:
        """Search field, rows, a sentence on the highlighted one."""
        with Vertical(id="settings"):
            yield Input(placeholder="Search settings and keys", id="settings-search", compact=True)
            yield OptionList(id="settings-rows", compact=True)
            yield Static("", id="settings-about", markup=False)

    def on_mount(self) -> None:
        """Read the settings."""
        self.query_one("#settings-search").focus()
        self.refresh_rows()

    def on_screen_resume(self) -> None:
        """They may have changed elsewhere."""
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """Read and show the settings that fit the search."""
        from llmos.settings import load_settings
        from llmos.tui.settings_rows import matching, setting_rows, shown

        options = self.query_one("#settings-rows", OptionList)
        try:
            self._settings = load_settings()
        except UserError as error:
            self.query_one("#settings-about", Static).update(str(error))
            return
        present = options.highlighted
        search = self.query_one("#settings-search", Input).value
        self._rows = matching(setting_rows(self._settings), search)
        options.clear_options()
        clean = self.face.clean
        wide = max((len(row.id) for row in self._rows), default=0)
        for row in self._rows:
            changed = row.value != row.default
            options.add_option(
                Option(
                    Content.assemble(
                        (row.id.ljust(wide + 2), "$text-muted"),
                        (clean(shown(row)) or shown(row), "bold $text-accent" if changed else ""),
                    ),
                    id=row.id,
                )
            )
        if self._rows:
            options.highlighted = min(present or 0, len(self._rows) - 1)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search."""
        event.stop()
        self.refresh_rows()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the search goes to the rows."""
        event.stop()
        self.action_rows()

    def action_search(self) -> None:
        """To the search field."""
        self.query_one("#settings-search").focus()

    def action_rows(self) -> None:
        """To the rows."""
        self.query_one("#settings-rows").focus()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say what the highlighted setting is."""
        row = self._row(event.option_id)
        if row is not None:
            from llmos.settings import folders

            text = f"{row.description}  Default: {row.default or 'none'}."
            self.query_one("#settings-about", Static).update(
                f"{text}  Enter changes, Delete resets.\n{folders().settings_file}"
            )

    def _row(self, row_id: str | None) -> SettingRow | None:
        return next((row for row in self._rows if row.id == row_id), None)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Change the chosen setting."""
        event.stop()
        row = self._row(event.option_id)
        if row is not None:
            self.change(row)

    def action_default(self) -> None:
        """Take the highlighted setting back to its default."""
        highlighted = self.query_one("#settings-rows", OptionList).highlighted
        if highlighted is not None and highlighted < len(self._rows):
            self.write(self._rows[highlighted], None)

    @work(group="change", exclusive=True)
    async def change(self, row: SettingRow) -> None:
        """Ask for a new value in the way that fits its kind."""
        from llmos.tui.settings_rows import parsed, shown

        if row.kind == "flag":
            self.write(row, not row.value)
            return
        choices = tuple(themes.offered()) if row.id == "face.theme" else row.choices
        if choices:
            text = await self.app.push_screen_wait(Picker(row.id, [Pick(one, one) for one in choices]))
        else:
            present = "" if row.kind != "key" and row.value in ("", None) else str(row.value)
            present = shown(row) if row.kind == "list" and row.value else present
            hint = f"{row.id}: {row.description} Empty: default."
            text = await self.app.push_screen_wait(Ask(hint, present))
        if text is None:
            return
        try:
            self.write(row, parsed(row, text))
        except UserError as error:
            self.face.tell(str(error), "error")

    def write(self, row: SettingRow, value: object) -> None:
        """Check and store a value; None is the default."""
        from llmos.settings import folders
        from llmos.tui.settings_file import write_setting
        from llmos.tui.settings_rows import checked

        if self._settings is None:
            return
        try:
            checked(self._settings, row, value)
            write_setting(folders().settings_file, row.section, row.name, value)
        except UserError as error:
            self.face.tell(str(error), "error")
            return
        self.face.setting_changed(row.id, row.default if value is None else value)
        self.refresh_rows()
