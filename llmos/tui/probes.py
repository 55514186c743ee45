"""Measurements of the face, each in a process of its own: ``python -m llmos.tui.probes NAME``.

Prints one JSON object. ``llmos bench startup`` runs these and judges the numbers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any


def minimal() -> dict[str, float]:
    """CPU seconds from the start of the process to the first paint of a minimal Textual app."""
    from textual.app import App, ComposeResult
    from textual.widgets import Static

    class Minimal(App[float]):
        def compose(self) -> ComposeResult:
            yield Static("hello")

        def on_mount(self) -> None:
            self.call_after_refresh(lambda: self.exit(time.process_time()))

    return {"seconds": Minimal().run(headless=True) or 0.0}


def first_paint() -> dict[str, float]:
    """CPU seconds from the start of the process to the first paint of the face."""
    from llmos.tui.quick_start import pause_collection

    pause_collection()
    from llmos.folders import folders
    from llmos.tui.app import LlmosApp
    from llmos.tui.options import read_options

    painted: list[float] = []

    class Probe(LlmosApp):
        def on_mount(self) -> None:
            self.call_after_refresh(self._painted)

        def _painted(self) -> None:
            painted.append(time.process_time())
            self.exit()

    def never() -> Any:
        raise AssertionError("the backend comes after the first paint")

    Probe(never, read_options(folders().settings_file)).run(headless=True)
    return {"seconds": painted[0]}


def chunks() -> dict[str, float]:
    """CPU milliseconds a chunk at the beginning and at the end of a 4,000-token answer."""
    return asyncio.run(_chunks())


async def _chunks() -> dict[str, float]:
    from llmos.tui.probe_backend import ProbeBackend, long_answer
    from llmos.tui.turns import TurnDrawer
    from llmos.tui.widgets.answer import AnswerBlock
    from llmos.types import Message, TextDelta, TurnStarted

    text = long_answer()
    pieces = [text[place : place + 4] for place in range(0, len(text), 4)]
    async with _app(ProbeBackend()) as (pilot, screen):
        drawer = TurnDrawer("", "question", lambda piece: piece)
        await drawer.attach(screen.transcript)
        await drawer._draw(TurnStarted(Message("user", "question"), "a"))
        costs: list[float] = []
        for piece in pieces:
            before = time.process_time()
            await drawer._draw(TextDelta(piece))
            drawer.flush()
            await pilot.pause()
            costs.append((time.process_time() - before) * 1000)
        tenth = len(costs) // 10
        block = screen.query(AnswerBlock).last()
        streamed = [line.content.plain.rstrip() for line in block.lines]
        block.finish(Message("assistant", text))
        whole = [line.content.plain.rstrip() for line in block.lines]
        return {
            "chunks": len(costs),
            "beginning": sum(costs[:tenth]) / tenth,
            "end": sum(costs[-tenth:]) / tenth,
            "equal": float(streamed == whole[: len(streamed)] and len(whole) - len(streamed) <= 2),
        }


def typing() -> dict[str, float]:
    """Milliseconds from a key press to its paint while text streams at full speed."""
    return asyncio.run(_typing())


async def _typing() -> dict[str, float]:
    from llmos.tui.probe_backend import ProbeBackend

    async with _app(ProbeBackend(tokens_per_second=400)) as (_, screen):
        face = screen.face
        painted = asyncio.Event()
        original = face._display

        def display(one: Any, renderable: Any) -> None:
            original(one, renderable)
            painted.set()

        face._display = display
        screen.send("begin")
        while not screen.transcript.blocks or not face.turns:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        from textual import events

        waits: list[float] = []
        costs: list[float] = []
        for number in range(150):
            length = len(screen.prompt.text)
            painted.clear()
            begin, cpu = time.perf_counter(), time.process_time()
            face.post_message(events.Key("x", "x"))
            while len(screen.prompt.text) == length or not painted.is_set():
                if len(screen.prompt.text) == length:
                    painted.clear()
                await asyncio.sleep(0.0005)
            waits.append((time.perf_counter() - begin) * 1000)
            costs.append((time.process_time() - cpu) * 1000)
            await asyncio.sleep(0.013 + number % 7 * 0.004)
        streaming = float(bool(face.turns))
        waits.sort()
        costs.sort()
        return {
            "cpu_p99": costs[int(len(costs) * 0.99)],
            "median": waits[len(waits) // 2],
            "p99": waits[int(len(waits) * 0.99)],
            "streaming_to_the_end": streaming,
        }


def chats() -> dict[str, float]:
    """CPU milliseconds (all threads) to open long chats, and to list, search and switch over many."""
    return asyncio.run(_chats())


async def _chats() -> dict[str, float]:
    from llmos.tui.probe_backend import ProbeBackend, fill

    backend = ProbeBackend()
    short, long = fill(backend.store)
    async with _app(backend, size=(140, 40)) as (pilot, screen):
        result: dict[str, float] = {}

        async def timed(name: str, work: Any) -> None:
            begin = time.process_time()
            await work
            await pilot.pause()
            result[name] = (time.process_time() - begin) * 1000

        await timed("open_200", screen.open_chat(short))
        await screen.open_chat("")
        await timed("open_5000", screen.open_chat(long))
        await timed("list", screen.refresh_list())
        from textual.widgets import Input

        screen.query_one("#chat-search", Input).value = "number 77"
        await timed("search_titles", screen.refresh_list())
        store = backend.store
        await timed("search_texts", store.run(lambda: store.search("question marmalade", limit=50)))
        chat = store.list_chats(limit=1, offset=500)[0]
        await timed("switch", screen.open_chat(chat.id))
        return result


def memory() -> dict[str, float]:
    """Megabytes of the face's process after a turn, and its CPU share when nothing happens."""
    return asyncio.run(_memory())


async def _memory() -> dict[str, float]:
    import psutil

    from llmos.tui.probe_backend import ProbeBackend

    async with _app(ProbeBackend(tokens_per_second=2_000, tokens=600)) as (_, screen):
        # What the real backend brings into this process, apart from the worker.
        import llmos.tui.real_backend  # noqa: F401

        screen.send("begin")
        await asyncio.sleep(0.3)
        while screen.face.turns:
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(6.0)
        share = (time.process_time() - cpu) / (time.perf_counter() - wall)
        return {"megabytes": psutil.Process().memory_info().rss / 1e6, "idle_percent": share * 100}


def slow_bytes() -> dict[str, float]:
    """Bytes that the terminal gets for each byte of text that streams in with ``--slow``."""
    from llmos.tui.pty_probe import bytes_written

    return bytes_written()


def _app(backend: Any, size: tuple[int, int] = (80, 24)) -> Any:
    from contextlib import asynccontextmanager

    from llmos.tui.app import LlmosApp

    @asynccontextmanager
    async def running() -> Any:
        app = LlmosApp(lambda: backend)
        async with app.run_test(size=size) as pilot:
            screen: Any = app.screen
            while app.figures.state != "ready" or not screen.filled:
                await asyncio.sleep(0.01)
            await pilot.pause()
            yield pilot, screen

    return running()


PROBES = {
    "minimal": minimal,
    "first_paint": first_paint,
    "chunks": chunks,
    "typing": typing,
    "chats": chats,
    "memory": memory,
    "slow_bytes": slow_bytes,
}


def main() -> None:
    """Run the probe named on the command line."""
    print(json.dumps(PROBES[sys.argv[1]]()))


if __name__ == "__main__":
    main()
