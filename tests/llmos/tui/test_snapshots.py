"""What the screens look like, at both sizes: few and small, one for each screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from llmos.plugins.contributions import Element, Panel
from llmos.tui.app import LlmosApp
from llmos.tui.tabs import TABS
from llmos.types import (
    Approval,
    ApprovalNeeded,
    EffectClass,
    Event,
    ThinkingDelta,
    ToolAsked,
    ToolCall,
    ToolDone,
    ToolResult,
)
from tests.helpers.face import LARGE, SMALL, wait_until
from tests.helpers.fake_session import FakeBackend, words

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
CALL = ToolCall("python", {"code": "print(2 + 2)"}, id="call")
ANSWER = """## Tokens

A **token** is a piece of text, see [the page](https://example.org/tokens).

1. bytes
2. merges

```python
def merge(pair):
    return pair[0] + pair[1]
```

| step | tokens |
|---|--:|
| 1 | 256 |
"""


def script(text: str) -> list[Event | float]:
    if text == "compute":
        return [ToolAsked(CALL), ToolDone(CALL, ToolResult("4"), 0.5), *words("It is 4.")]
    if text == "write":
        diff = "--- a.txt\n+++ a.txt\n@@ -1 +1 @@\n-old\n+new"
        approval = Approval(CALL, EffectClass.WRITE, "new", "Writes a file.", ("url:https://a.example",), diff)
        return [ToolAsked(CALL), ApprovalNeeded(approval), 30.0]
    return [ThinkingDelta("A short thought."), *words(ANSWER)]


PANEL = Panel(
    "demo",
    "Demo",
    lambda: [
        Element("progress", {"done": 40, "total": 100, "text": "tokens"}, "Window"),
        Element("bars", {"labels": ["alpha", "beta"], "values": [3.5, 10], "unit": "ms"}, "Bars"),
        Element("table", {"columns": ["name", "n"], "rows": [["x", 1.5], ["y", 2]], "keys": ["1", "2"]}),
        Element("actions", {"actions": [{"id": "go", "label": "Go", "key": "g"}]}),
    ],
    refresh=0,
)


def app() -> LlmosApp:
    made = LlmosApp(lambda: FakeBackend(script, panels=[("x", PANEL)]))
    # Tabs that come and go elsewhere are no matter of these pictures.
    made.tabs = [TABS[0], TABS[-1]]
    return made


async def ready(pilot: Pilot[None]) -> Any:
    screen: Any = pilot.app.screen
    await wait_until(pilot, lambda: screen.filled and screen.query("Welcome"))
    await wait_until(pilot, lambda: "small test model" in str(screen.query_one("#welcome").render()))
    # A blinking cursor would make every picture another one.
    screen.prompt.cursor_blink = False
    return screen


def said(*texts: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    async def talk(pilot: Pilot[None]) -> None:
        screen = await ready(pilot)
        for text in texts:
            screen.prompt.set_text(text)
            await pilot.press("enter")
            if text == "write":
                await wait_until(pilot, lambda: screen.query("ApprovalBlock"))
            else:
                await wait_until(pilot, lambda: screen.prompt.text == "" and not screen.face.turns)
        await wait_until(pilot, lambda: pilot.app.figures.context_used)
        await pilot.pause()

    return talk


def pressed(*keys: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    async def press(pilot: Pilot[None]) -> None:
        await ready(pilot)
        await pilot.press(*keys)
        await pilot.pause(0.2)

    return press


def tab(name: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    async def go(pilot: Pilot[None]) -> None:
        screen = await ready(pilot)
        screen.face.open_tab(name)
        await wait_until(pilot, lambda: pilot.app.screen is not screen)
        for field in pilot.app.screen.query("Input"):
            field.cursor_blink = False  # type: ignore[attr-defined]
        await pilot.pause(0.3)

    return go


SCENES: dict[str, Callable[[Pilot[None]], Awaitable[None]]] = {
    "first_run": pressed(),
    "answer": said("What is a token?"),
    "tool": said("compute"),
    "approval": said("write"),
    "slash": pressed("/"),
    "settings": tab("settings"),
    "panel": tab("x-demo"),
}


@SIZES
@pytest.mark.parametrize("scene", SCENES)
def test_screen(
    scene: str, size: tuple[int, int], snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The settings screen names its file: one name for every machine.
    monkeypatch.setenv("LLMOS_HOME", "/nonexistent/llmos-home")
    assert snap_compare(app(), terminal_size=size, run_before=SCENES[scene])
