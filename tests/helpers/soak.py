"""Random use of the face on the real program, its kernel killed now and then; nothing written is lost.

Every text that is typed holds a word of its own. After each few actions each of these words must be
somewhere: in a stored message, in a stored draft, or in the prompt with its history. Keys that delete
text are not pressed in the prompt: what they delete is meant to be gone.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from textual.pilot import Pilot, WaitForScreenTimeout

from llmos.folders import folders
from llmos.settings import Settings
from llmos.tui.app import LlmosApp
from llmos.tui.drafts import HISTORY_KEY, HISTORY_LEAST
from llmos.tui.real_backend import RealBackend
from tests.helpers.face import wait_until

SIZES = ((80, 24), (140, 40), (100, 30), (40, 12), (20, 5), (60, 60))
#: Tabs on which everything may be pressed: others install, remove or fetch.
TABS = ("chat", "build", "settings")
#: Keys that are pressed wherever the focus is.
ANYWHERE = [
    "enter", "escape", "tab", "shift+tab", "up", "down", "left", "right", "home", "end", "pageup",
    "pagedown", "ctrl+p", "ctrl+t", "ctrl+n", "ctrl+l", "ctrl+r", "ctrl+o", "f1", "f2", "f3", "f4", "f5",
    "f7", "f8", "f9", "ctrl+up", "ctrl+down", "ctrl+end", "ctrl+g", "alt+s", "ctrl+c", "f6",
]  # fmt: skip
#: Keys that are pressed only where they are no text.
OUTSIDE = [
    *"cxerfosykjgGdupna1234567890",
    "left_square_bracket",
    "right_square_bracket",
    "space",
    "delete",
    "backspace",
    "slash",
]
COMMANDS = (
    "/help keys", "/help how do I stop an answer", "/new", "/rename A title", "/delete", "/undelete",
    "/theme llmos-light", "/theme llmos-dark", "/set temperature 0.2", "/set max_tokens 40", "/set nonsense 1",
    "/system Be brief.", "/export chat-{n}.md", "/export chat-{n}.json", "/export chat-{n}.html",
    "/import chat-{n}.json", "/pin", "/tags one two", "/fork", "/retry", "/copy chat", "/copy code",
    "/find a", "/search", "/keys", "/template", "/nonsense", "/persona", "/model nonsense",
)  # fmt: skip
FAULTS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM)
WORDS = "what can you do tell me of tokens in the model how were you built and **why** `x = 1` | a | שלום 日本 é 👩‍👩‍👧"

#: The word of its own that each text begins with.
_WORD = re.compile(r"w\d+q\d+")


class Soak:
    """One run.

    Args:
        seed: the same seed draws the same actions (what the machine makes of them may differ).
        model: model to load; empty: the bundled one.
        fault_seconds: mean time between two faults of the kernel.
    """

    def __init__(self, seed: int, model: str = "", fault_seconds: float = 20.0) -> None:
        self.draw = random.Random(seed)
        self.settings = Settings()
        self.settings.model.name = model
        self.settings.offline = True
        self.written: list[str] = []
        self.only_in_history: set[str] = set()
        self.texts = self.aged = 0
        self.log: deque[str] = deque(maxlen=40)
        self.actions = self.faults = self.starts = self._least = 0
        self._fault_seconds = fault_seconds
        self._next_fault = monotonic() + fault_seconds / 4

    async def run(self, seconds: float, actions_each: int = 120, least: int = 25) -> None:
        """Use the program, leave it, start it again, until the time is over and so much was done."""
        end = monotonic() + seconds
        self._least = least
        while not self._over(end):
            await self._one_start(end, actions_each)

    def _over(self, end: float) -> bool:
        return monotonic() > end and self.actions >= self._least

    async def _one_start(self, end: float, count: int) -> None:
        self.starts += 1
        backend = RealBackend(self.settings)
        # Whatever is switched on in the settings: nothing here may go to the network.
        backend.set_offline = lambda offline: None  # type: ignore[method-assign]
        app = LlmosApp(lambda: backend)
        app.tabs = [tab for tab in app.tabs if tab.id in TABS]
        async with app.run_test(size=self.draw.choice(SIZES[:3])) as pilot:
            await wait_until(pilot, lambda: app.figures.state == "ready", 120)
            app.tabs = [tab for tab in app.tabs if tab.id in TABS]
            for number in range(count):
                if not app.is_running or app._exit or self._over(end):
                    break
                await self._act(pilot, app, backend)
                if number % 10 == 9 and app.is_running:
                    self.check(app)
            if app.is_running and not app._exit:
                self.check(app)
        self.check(None)

    async def _act(self, pilot: Pilot[None], app: LlmosApp, backend: RealBackend) -> None:
        chosen: Callable[[Pilot[None], LlmosApp], Any]
        chosen = self.draw.choices(
            [
                self._say,
                self._command,
                self._key,
                self._paste,
                self._click,
                self._resize,
                self._wait,
                self._word,
            ],
            [5, 2, 12, 0.5, 2, 0.7, 3, 1.5],
        )[0]
        self.actions += 1
        with suppress(WaitForScreenTimeout):
            await chosen(pilot, app)
        if monotonic() > self._next_fault:
            self._next_fault = monotonic() + self.draw.expovariate(1 / self._fault_seconds)
            self._fault(backend)

    def _fault(self, backend: RealBackend) -> None:
        pid = getattr(backend.session.kernel, "pid", 0) if backend._session is not None else 0
        if pid:
            number = self.draw.choice(FAULTS)
            self.log.append(f"kernel {number.name}")
            self.faults += 1
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    # Actions

    def _prompt(self, app: LlmosApp) -> Any:
        """The prompt, where it can be typed into now."""
        screen = app.screen
        return screen.prompt if hasattr(screen, "prompt") and getattr(screen, "alive", False) else None

    async def _to_prompt(self, pilot: Pilot[None], app: LlmosApp) -> Any:
        for _ in range(4):
            if (prompt := self._prompt(app)) is not None:
                prompt.focus()
                await pilot.pause()
                return prompt
            if len(app.screen_stack) > 1:
                await pilot.press("escape")
            else:
                app.open_tab("chat")
                await pilot.pause()
        return None

    def _text(self) -> str:
        word = f"w{self.texts}q{self.draw.randrange(10**6)}"
        self.texts += 1
        words = WORDS.split()
        return f"{word} {' '.join(self.draw.choices(words, k=self.draw.randrange(12)))}"

    async def _say(self, pilot: Pilot[None], app: LlmosApp) -> None:
        prompt = await self._to_prompt(pilot, app)
        if prompt is None:
            return
        text = self._text()
        prompt.move_cursor(prompt.document.end)
        prompt.insert((" " if prompt.text else "") + text)
        self.written.append(text.split()[0])
        send = self.draw.random() < 0.75
        self.log.append(f"say {text!r} {'Enter' if send else ''}")
        await pilot.pause()
        if send:
            await pilot.press("enter")

    async def _paste(self, pilot: Pilot[None], app: LlmosApp) -> None:
        from textual import events

        prompt = await self._to_prompt(pilot, app)
        if prompt is None:
            return
        text = self._text()
        self.written.append(text.split()[0])
        self.log.append(f"paste {text!r}")
        prompt.move_cursor(prompt.document.end)
        prompt.post_message(events.Paste(f" {text}\n" + "many lines of it\n" * self.draw.choice((1, 30, 3000))))
        await pilot.pause()

    async def _command(self, pilot: Pilot[None], app: LlmosApp) -> None:
        prompt = await self._to_prompt(pilot, app)
        if prompt is None or prompt.full_text:
            return
        command = self.draw.choice(COMMANDS).replace("{n}", str(self.draw.randrange(5)))
        self.log.append(command)
        prompt.insert(command)
        await pilot.pause()
        # The first Enter may take a completion.
        await pilot.press("enter", "enter")

    async def _key(self, pilot: Pilot[None], app: LlmosApp) -> None:
        outside = app.focused is not None and app.focused is not self._prompt(app)
        key = self.draw.choice([*ANYWHERE, *OUTSIDE] if outside else ANYWHERE)
        self.log.append(f"{key} on {type(app.screen).__name__} {app.focused}")
        await pilot.press(key)

    async def _word(self, pilot: Pilot[None], app: LlmosApp) -> None:
        """Letters into a field that is not the prompt: a search, a name, the palette."""
        if app.focused is None or app.focused is self._prompt(app):
            return
        word = self.draw.choice(["the", "model", "copy", "theme", "a", "7", "fold", "chat"])
        self.log.append(f"type {word} on {type(app.screen).__name__} {app.focused}")
        for letter in word:
            # A letter may have moved the focus to the prompt.
            if app.focused is not self._prompt(app):
                await pilot.press(letter)

    async def _click(self, pilot: Pilot[None], app: LlmosApp) -> None:
        place = (self.draw.randrange(app.size.width), self.draw.randrange(app.size.height))
        self.log.append(f"click {place}")
        await pilot.click(offset=place)

    async def _resize(self, pilot: Pilot[None], app: LlmosApp) -> None:
        size = self.draw.choice(SIZES)
        self.log.append(f"resize {size}")
        await pilot.resize_terminal(*size)

    async def _wait(self, pilot: Pilot[None], app: LlmosApp) -> None:
        await pilot.pause(self.draw.choice((0.01, 0.1, 0.5, 1.0)))

    # What must hold

    def check(self, app: LlmosApp | None) -> None:
        """Every word that was written is somewhere.

        The history keeps a stated number of texts: a word that was only there leaves it when it is full.
        """
        there, history = stored_texts(folders().store_file)
        if app is not None:
            there += "\n".join(app.drafts.pending.values())
            screens: list[Any] = [one for stack in app._screen_stacks.values() for one in stack]
            for screen in screens:
                if hasattr(screen, "prompt") and screen.query("#prompt"):
                    prompt: Any = screen.prompt
                    there += "\n".join([prompt.full_text, *prompt.set_aside, screen.unsent])
                    # Later than what is stored.
                    history = json.dumps([*json.loads(history), *prompt.earlier])
            # Sent, and not stored yet.
            there += "\n".join(turn.text for turn in app.turns.values())
        present, remembered = set(_WORD.findall(there)), set(_WORD.findall(history))
        missing = [word for word in self.written if word not in present]
        lost = [word for word in missing if word not in remembered]
        if len(json.loads(history)) >= HISTORY_LEAST:
            self.aged += len(self.only_in_history.intersection(lost))
            self.written = [
                word for word in self.written if word not in lost or word not in self.only_in_history
            ]
            lost = [word for word in lost if word not in self.only_in_history]
        self.only_in_history = set(missing).difference(lost)
        assert not lost, f"lost: {lost[:3]} after:\n" + "\n".join(self.log)


def stored_texts(file: Path) -> tuple[str, str]:
    """Every message and draft in a store as one text; and the history, JSON."""
    if not file.exists():
        return "", "[]"
    database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        messages = [row[0] for row in database.execute("SELECT content FROM messages")]
        drafts = dict(database.execute("SELECT chat_id, text FROM drafts").fetchall())
    finally:
        database.close()
    history = drafts.pop(HISTORY_KEY, "[]")
    return "\n".join([*messages, *drafts.values()]), history
