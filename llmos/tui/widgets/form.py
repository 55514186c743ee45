"""A form made from a JSON schema: one field a property, checked as it is typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Checkbox, Input, Select, Static

from llmos.tui.widgets.elements import ActionButton


class FormButton(ActionButton):
    """The button of a form: it also gives the values."""

    def __init__(self, action_id: str, form: FormElement) -> None:
        super().__init__(action_id, " Apply ")
        self._form = form

    def form_values(self) -> dict[str, Any]:
        """What the fields hold."""
        return self._form.values()


class FormElement(Vertical):
    """Fields and a button."""

    DEFAULT_CSS = """
    FormElement { height: auto; }
    FormElement Horizontal { height: auto; margin-bottom: 0; }
    FormElement .field-name { width: 28; max-width: 40%; }
    FormElement .field-help { color: $text-muted; margin-left: 2; height: auto; }
    FormElement Input { width: 1fr; }
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__()
        self._schema: Mapping[str, Any] = data.get("schema", {})
        self._values: Mapping[str, Any] = data.get("values", {})
        self._action = str(data.get("action", "apply"))

    def compose(self) -> ComposeResult:
        """A row a property."""
        for name, field in self._schema.get("properties", {}).items():
            value = self._values.get(name, field.get("default"))
            with Horizontal():
                yield Static(str(field.get("title", name)), classes="field-name", markup=False)
                yield field_widget(f"field-{name}", field, value)
            if field.get("description"):
                yield Static(str(field["description"]), classes="field-help", markup=False)
        yield FormButton(self._action, self)

    def update_data(self, data: Mapping[str, Any]) -> None:
        """Fields keep what the user types; new values only replace what was not touched."""
        values = data.get("values", {})
        for name, value in values.items():
            if value != self._values.get(name):
                for widget in self.query(f"#field-{name}"):
                    set_value(widget, value)
        self._values = values

    def values(self) -> dict[str, Any]:
        """What the fields hold, in the types of the schema."""
        found: dict[str, Any] = {}
        for name, field in self._schema.get("properties", {}).items():
            found[name] = read_value(self.query_one(f"#field-{name}"), field)
        return found


class Tick(Checkbox):
    """A box that says what it is in words and by its cross, not by its colour alone."""

    def __init__(self, value: bool, id: str) -> None:
        super().__init__("yes" if value else "no", value, id=id, compact=True)
        self._mark()

    def watch_value(self) -> None:
        """Called by Textual when the value changed."""
        super().watch_value()
        self._mark()
        self.label = "yes" if self.value else "no"

    def _mark(self) -> None:
        self.BUTTON_INNER = "X" if self.value else " "


def field_widget(id: str, field: Mapping[str, Any], value: Any) -> Widget:
    """The widget for a property of a JSON schema."""
    if "enum" in field:
        options = [(str(one), one) for one in field["enum"]]
        chosen = value if value in field["enum"] else field["enum"][0]
        return Select(options, value=chosen, allow_blank=False, id=id, compact=True)
    kind = field.get("type", "string")
    if kind == "boolean":
        return Tick(bool(value), id)
    kinds = {"integer": "integer", "number": "number"}
    text = "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return Input(text, type=kinds.get(kind, "text"), id=id, compact=True)  # type: ignore[arg-type]


def read_value(widget: Widget, field: Mapping[str, Any]) -> Any:
    """The value of a field in the type of its schema; None where it cannot be read so."""
    if isinstance(widget, Checkbox):
        return widget.value
    if isinstance(widget, Select):
        return widget.value
    text = widget.value if isinstance(widget, Input) else ""
    kind = field.get("type", "string")
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
    except ValueError:
        return None
    if kind == "array":
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def set_value(widget: Widget, value: Any) -> None:
    """Put a value into a field."""
    if isinstance(widget, Checkbox):
        widget.value = bool(value)
    elif isinstance(widget, Select):
        widget.value = value
    elif isinstance(widget, Input):
        widget.value = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
