from __future__ import annotations

import pytest

from llmos.tui import themes
from llmos.tui.options import FaceOptions
from llmos.types import Approval, ApprovalNeeded, EffectClass, Event, ThinkingDelta, ToolAsked, ToolCall
from tests.helpers.face import face, talk, wait_until, weak_contrasts
from tests.helpers.fake_session import FakeBackend, words

CALL = ToolCall("python", {"code": "print(2)"})
ANSWER = """# Heading

**Bold**, *slanted*, `code`, [link](https://example.org).

> quoted

- [x] item

```python
def f(x):  # comment
    return "text", 12, None
```

| a | b |
|---|---|
| 1 | 2 |
"""


def script(text: str) -> list[Event | float]:
    if text != "tool":
        return [ThinkingDelta("Thoughts."), *words(ANSWER)]
    approval = Approval(
        CALL,
        EffectClass.WRITE,
        "x",
        "Writes a file.",
        ("url:https://a.example",),
        "--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new",
    )
    return [ToolAsked(CALL), ApprovalNeeded(approval)]


@pytest.mark.parametrize("name", [name for name in themes.offered() if name not in themes.TERMINAL])
async def test_every_text_has_the_contrast_of_wcag_aa(name: str) -> None:
    weak: dict[tuple[str, str, str], float] = {}
    async with face(FakeBackend(script), size=(120, 60), options=FaceOptions(theme=name)) as (pilot, screen):
        assert pilot.app.theme == name
        weak |= weak_contrasts(pilot)
        await talk(pilot, screen, "hello")
        screen.prompt.set_text("tool")
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen.query("ApprovalBlock"))
        screen.face.tell("A notice.", "warning")
        await pilot.press("ctrl+up")
        await pilot.pause()
        weak |= weak_contrasts(pilot)
        await pilot.press("ctrl+p")
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) > 1)
        weak |= weak_contrasts(pilot)
    assert not weak


@pytest.mark.parametrize("name", list(themes.TERMINAL))
async def test_the_terminals_own_colours(name: str) -> None:
    async with face(options=FaceOptions(theme=name)) as (pilot, screen):
        assert pilot.app.theme == themes.TERMINAL[name]
        await talk(pilot, screen, "hello")
        assert screen.transcript.blocks


def test_an_unknown_name_gives_the_default() -> None:
    assert themes.resolve("no-such-theme") == themes.DEFAULT
