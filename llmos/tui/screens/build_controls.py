"""The controls of a stage on the Build tab: text fields, sliders, choices, buttons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from llmos.stages.frame import Control
from llmos.tui.screens.build_parts import named, packed
from llmos.tui.widgets.slider import Slider

#: Columns that a button takes beside its text.
_AROUND = 6


class StageControls(Vertical):
    """Holds the widgets; what they say goes to the screen as their own messages.

    A widget's ``name`` is its control's id.
    """

    def __init__(self) -> None:
        super().__init__(id="controls")

    async def show(self, stage: str, controls: Sequence[Control], state: Mapping[str, Any], width: int) -> None:
        """Make them anew.

        Args:
            stage: id of the stage that they belong to.
            controls: in order.
            state: values by a control's id; its own value where there is none.
            width: columns for buttons.
        """
        rows: list[Widget] = []
        for control in controls:
            value = state.get(control.id, control.value)
            if control.kind == "text":
                field = Input(str(value), name=control.id, classes=f"of-{stage}")
                rows.append(Horizontal(Static(control.label, classes="label", markup=False), field))
            elif control.kind == "choice" and control.choices:
                last = len(control.choices) - 1
                place = control.choices.index(value) if value in control.choices else last
                rows.append(Slider(control.id, control.label, place, 0, last, 1, control.choices))
        sliders = [
            Slider(one.id, one.label, float(state.get(one.id, one.value)), one.low, one.high, one.step)
            for one in controls
            if one.kind == "slider"
        ]
        rows += [Horizontal(*sliders[place : place + 2]) for place in range(0, len(sliders), 2)]
        buttons = [one for one in controls if one.kind == "button"]
        for line in packed([len(named(one)) + _AROUND for one in buttons], width):
            rows.append(Horizontal(*[Button(named(buttons[at]), name=buttons[at].id) for at in line]))
        await self.mount_all(rows)
        for slider in self.query(Slider):
            slider.add_class(f"of-{stage}")

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Set them as if the user had."""
        for field in self.query(Input):
            if str(field.name) in values:
                field.value = str(values[str(field.name)])
        for slider in self.query(Slider):
            if str(slider.name) in values:
                slider.set_value(float(values[str(slider.name)]))

    def take_texts(self, state: Mapping[str, Any]) -> None:
        """Show the texts that an experiment has left, without telling anybody of a change."""
        for field in self.query(Input):
            name = str(field.name)
            if name in state and field.value != str(state[name]):
                with field.prevent(Input.Changed):
                    field.value = str(state[name])

    def focus_field(self, name: str) -> None:
        """Go to a text field."""
        for field in self.query(Input):
            if field.name == name:
                field.focus()
