"""Panels of plugins: elements, which are data, drawn by widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.message import Message as TextualMessage
from textual.widget import Widget
from textual.widgets import Button, DataTable, Static

from llmos.tui.widgets.elements import (
    ActionsElement,
    BarsElement,
    CellsElement,
    PlotElement,
    ProgressElement,
    TableElement,
    TextElement,
    build_form,
)

if TYPE_CHECKING:
    from llmos.plugins.contributions import Element


class PanelView(VerticalScroll, can_focus=True):
    """The elements of one panel; what the user does there is told as ``Acted``."""

    class Acted(TextualMessage):
        """An action of the user."""

        def __init__(self, view: PanelView, action: str, value: Any) -> None:
            super().__init__()
            self.view = view
            self.action = action
            self.value = value

    def __init__(self, clean: Callable[[str], str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._cleaner = clean
        self._shape: list[tuple[str, str]] = []
        self._parts: list[Widget] = []
        self._keys: dict[str, str] = {}
        self.selected: Any = None

    async def show(self, elements: Sequence[Element]) -> None:
        """Draw elements; those that only changed their data are updated in place."""
        cleaned: list[tuple[str, str, Any]] = [
            (one.kind, self._cleaned(one.title), self._cleaned(one.data)) for one in elements
        ]
        shape = [(kind, title) for kind, title, _ in cleaned]
        if shape == self._shape:
            for part, (_, _, data) in zip(self._parts, cleaned, strict=True):
                part.update_data(data)  # type: ignore[attr-defined]
            return
        self._shape = shape
        self._parts = [make_element(kind, data) for kind, _, data in cleaned]
        await self.remove_children()
        widgets: list[Widget] = []
        for part, (_, title, _) in zip(self._parts, cleaned, strict=True):
            if title:
                widgets.append(Static(title, classes="element-title", markup=False))
            widgets.append(part)
        await self.mount_all(widgets)
        for part, (_, _, data) in zip(self._parts, cleaned, strict=True):
            part.update_data(data)  # type: ignore[attr-defined]
        self._bind_keys()

    def _cleaned(self, value: Any) -> Any:
        """Every text in the data, cleaned."""
        if isinstance(value, str):
            return self._cleaner(value)
        if isinstance(value, Mapping):
            return {self._cleaned(key): self._cleaned(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._cleaned(one) for one in value]
        return value

    def _bind_keys(self) -> None:
        for part in self._parts:
            if isinstance(part, ActionsElement):
                for action in part.actions:
                    key = str(action.get("key") or "")
                    if key and key not in self._keys:
                        self._keys[key] = str(action["id"])
                        self._bindings.key_to_bindings.setdefault(key, []).append(
                            Binding(key, f"panel('{action['id']}')", str(action.get("label", "")))
                        )

    def action_panel(self, action: str) -> None:
        """A key of an action."""
        self.post_message(self.Acted(self, action, self.selected))

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Remember the row that actions are about."""
        event.stop()
        table = event.data_table
        if isinstance(table, TableElement) and table.has_focus:
            self.selected = table.key_of(event.cursor_row)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter on a row."""
        event.stop()
        table = event.data_table
        if isinstance(table, TableElement):
            self.selected = table.key_of(event.cursor_row)
            if self.selected is not None:
                self.post_message(self.Acted(self, "select", self.selected))

    def on_cells_element_chosen(self, event: CellsElement.Chosen) -> None:
        """A cell was chosen."""
        event.stop()
        self.selected = event.key
        self.post_message(self.Acted(self, "select", event.key))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """An action, or the button of a form."""
        event.stop()
        action = getattr(event.button, "action_id", None)
        if action is not None:
            value = event.button.form_values() if hasattr(event.button, "form_values") else self.selected
            self.post_message(self.Acted(self, action, value))


def make_element(kind: str, data: Mapping[str, Any]) -> Widget:
    """The widget of an element."""
    if kind == "form":
        return build_form(data)
    classes: dict[str, type[Widget]] = {
        "text": TextElement,
        "table": TableElement,
        "bars": BarsElement,
        "plot": PlotElement,
        "cells": CellsElement,
        "progress": ProgressElement,
        "actions": ActionsElement,
    }
    return classes.get(kind, TextElement)()
