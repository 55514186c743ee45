from __future__ import annotations

from typing import Any

from textual.app import App, ComposeResult

from llmos.plugins.contributions import Command, CommandResult, Element, Panel, Parameter
from llmos.tui.widgets.elements import bar_text
from llmos.tui.widgets.form import FormElement
from llmos.tui.widgets.panel import PanelView
from tests.helpers.face import LARGE, face, screen_text, wait_until
from tests.helpers.fake_session import FakeBackend

ELEMENTS = [
    Element("text", {"markdown": "**Bold** \x1b[31mtext"}),
    Element("progress", {"done": 40, "total": 100, "text": "tokens"}, "Context"),
    Element(
        "cells",
        {"cells": [{"label": "system", "weight": 10, "colour": "primary", "key": "page:1"},
                   {"label": "history", "weight": 50, "colour": "accent", "key": "page:2"}]},
        "Pages",
    ),
    Element("bars", {"labels": ["alpha", "beta"], "values": [3.5, 10], "unit": "ms"}, "Bars"),
    Element("table", {"columns": ["a", "b"], "rows": [["x", 1.5], ["y", 2]], "keys": ["k1", "k2"]}, "Table"),
    Element("plot", {"series": [{"name": "loss", "x": [0, 1, 2], "y": [4, 2, 1.5]}], "x": "step", "y": "loss"}),
    Element(
        "form",
        {"schema": {"properties": {"name": {"type": "string", "title": "Name"}, "on": {"type": "boolean"},
                                   "count": {"type": "integer"}, "kind": {"enum": ["a", "b"]}}},
         "values": {"name": "x", "count": 3}, "action": "save"},
        "Form",
    ),
    Element("actions", {"actions": [{"id": "go", "label": "Go", "key": "g"}]}),
]  # fmt: skip


async def test_every_kind_of_element_is_drawn_and_acts() -> None:
    acted: list[tuple[str, Any]] = []

    def act(action: str, value: Any) -> str:
        acted.append((action, value))
        return f"did {action}"

    panel = Panel("demo", "Demo", lambda: ELEMENTS, act, refresh=0)
    async with face(FakeBackend(panels=[("x", panel)]), size=(120, 70)) as (pilot, screen):
        await wait_until(pilot, lambda: any(tab.title == "Demo" for tab in screen.face.tabs))
        assert screen.face.tabs[-1].id == "settings"
        screen.face.open_tab("x-demo")
        await wait_until(pilot, lambda: "beta" in screen_text(pilot))
        text = screen_text(pilot)
        for words in ("Bold", "40 of 100 tokens", "system", "history", "10 ms", "loss", "Name", "Go (g)"):
            assert words in text
        assert "\x1b" not in text
        view = pilot.app.screen.query_one(PanelView)
        view.query("TableElement").first().focus()
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: ("select", "k2") in acted)
        await pilot.press("g")
        await wait_until(pilot, lambda: ("go", "k2") in acted)
        assert "did go" in screen_text(pilot)
        view.query("CellsElement").first().focus()
        await pilot.press("right", "enter")
        await wait_until(pilot, lambda: ("select", "page:2") in acted)
        await pilot.click("FormButton")
        expected = {"name": "x", "on": False, "count": 3, "kind": "a"}
        await wait_until(pilot, lambda: ("save", expected) in acted)


async def test_new_data_is_drawn_in_place() -> None:
    share = [10]
    panel = Panel("demo", "Demo", lambda: [Element("progress", {"done": share[0], "total": 50})], refresh=0.5)
    async with face(FakeBackend(panels=[("x", panel)])) as (pilot, screen):
        await wait_until(pilot, lambda: any(tab.title == "Demo" for tab in screen.face.tabs))
        screen.face.open_tab("x-demo")
        await wait_until(pilot, lambda: "10 of 50" in screen_text(pilot))
        part = pilot.app.screen.query("ProgressElement").first()
        share[0] = 20
        await wait_until(pilot, lambda: "20 of 50" in screen_text(pilot))
        assert pilot.app.screen.query("ProgressElement").first() is part


async def test_a_side_panel_opens_beside_the_chat() -> None:
    panel = Panel("window", "Window", lambda: [Element("text", {"markdown": "pages here"})], place="side")
    async with face(FakeBackend(panels=[("ram", panel)]), size=LARGE) as (pilot, _):
        await pilot.press("f5")
        await wait_until(pilot, lambda: "pages here" in screen_text(pilot))
        await pilot.press("f5")
        await wait_until(pilot, lambda: "pages here" not in screen_text(pilot))


async def test_a_command_of_a_plugin_runs_with_its_arguments() -> None:
    seen: list[dict[str, Any]] = []

    def add(context: Any, **arguments: Any) -> CommandResult:
        context.write("working")
        seen.append(arguments)
        return CommandResult("**added**")

    command = Command(
        "disk add",
        add,
        "Add a folder.",
        (Parameter("path", required=True), Parameter("public", kind="flag", option=True)),
    )
    async with face(FakeBackend(commands=[command])) as (pilot, screen):
        screen.prompt.set_text("/disk add --public 'my folder'")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "added" in screen_text(pilot))
        assert seen == [{"path": "my folder", "public": True}]
        assert "working" in screen_text(pilot)
        screen.prompt.set_text("/disk add")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "/disk add needs path" in screen_text(pilot))


def test_bars_are_eighths_of_a_cell() -> None:
    assert bar_text(0.5, 4) == "██  "
    assert bar_text(0.53, 4) == "██▏ "
    assert bar_text(7, 3) == "███"


async def test_a_box_says_in_words_whether_it_is_ticked() -> None:
    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            yield FormElement(
                {
                    "schema": {"properties": {"a": {"type": "boolean"}, "b": {"type": "boolean"}}},
                    "values": {"b": True},
                }
            )

    app = Shown()
    async with app.run_test(size=(60, 10)) as pilot:
        await pilot.pause()
        rows = ["".join(part.text for part in line) for line in app.screen._compositor.render_strips()]
        assert rows[0].split("▐")[1].rstrip() == " ▌ no" and rows[1].split("▐")[1].rstrip() == "X▌ yes"
        app.query_one("#field-a").focus()
        await pilot.press("space")
        await pilot.pause()
        rows = ["".join(part.text for part in line) for line in app.screen._compositor.render_strips()]
        assert rows[0].split("▐")[1].rstrip() == "X▌ yes"
        assert app.query_one(FormElement).values() == {"a": True, "b": True}
