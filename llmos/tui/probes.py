"""Measurements of the face, each in a process of its own: ``python -m llmos.tui.probes NAME [KEY=N]``.

Prints one JSON object. ``llmos bench startup`` runs these and judges the numbers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any


def minimal() -> dict[str, float]:
    """CPU seconds from the start of the process to the first frame of a minimal Textual app."""
    from textual.app import App, ComposeResult
    from textual.widgets import Static

    class Minimal(App[None]):
        def compose(self) -> ComposeResult:
            yield Static("hello")

    return _until_first_frame(Minimal())


def first_paint() -> dict[str, float]:
    """CPU seconds from the start of the process to the first frame of the face."""
    from llmos.tui.quick_start import pause_collection

    pause_collection()
    from llmos.errors import UserError
    from llmos.folders import folders
    from llmos.tui.app import LlmosApp
    from llmos.tui.options import read_options

    def no_backend() -> Any:
        raise UserError("The measurement ends at the first frame.")

    return _until_first_frame(LlmosApp(no_backend, read_options(folders().settings_file)))


def _until_first_frame(app: Any) -> dict[str, float]:
    """Run an app until it hands its first whole frame to the terminal."""
    from textual._compositor import LayoutUpdate

    painted: list[float] = []
    display = app._display

    def first(screen: Any, renderable: Any) -> None:
        display(screen, renderable)
        if not painted and isinstance(renderable, LayoutUpdate):
            painted.append(time.process_time())
            app.set_timer(0.2, app.exit)

    app._display = first
    app.run(headless=True)
    return {"seconds": painted[0]}


def chunks(middle: int = 4) -> dict[str, float]:
    """CPU milliseconds a chunk at the beginning and at the end of a 4,000-token answer.

    Args:
        middle: letters a chunk between its first and its last tenth, which are not measured.
    """
    return asyncio.run(_chunks(middle))


async def _chunks(middle: int) -> dict[str, float]:
    from llmos.tui.probe_backend import ProbeBackend, long_answer
    from llmos.tui.turns import TurnDrawer
    from llmos.tui.widgets.answer import AnswerBlock
    from llmos.types import Message, TextDelta, TurnStarted

    text = long_answer()
    tenth = len(text) // 40
    first, last = tenth * 4, len(text) - tenth * 4
    pieces = [text[place : place + 4] for place in range(0, first, 4)]
    pieces += [text[place : min(place + middle, last)] for place in range(first, last, middle)]
    pieces += [text[place : place + 4] for place in range(last, len(text), 4)]
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


def typing(keys: int = 150) -> dict[str, float]:
    """Milliseconds from a key press to its paint while text streams at full speed from this process."""
    from llmos.tui.probe_backend import ProbeBackend

    return asyncio.run(_typing(ProbeBackend(tokens_per_second=400), keys))


def typing_kernel(keys: int = 150) -> dict[str, float]:
    """The same while the kernel writes as fast as it can: a 15M model with random weights."""
    from pathlib import Path

    from llmos.bench.random_gguf import M15, write_random_gguf
    from llmos.folders import folders
    from llmos.settings import Settings
    from llmos.tui.real_backend import RealBackend

    file = Path(folders().cache) / "random-15M.gguf"
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        write_random_gguf(file, M15, quantisation="Q8_0")
    settings = Settings()
    settings.model.name = str(file)
    settings.chat.titles = "off"
    return asyncio.run(_typing(RealBackend(settings, safe_mode=True), keys))


async def _typing(backend: Any, keys: int) -> dict[str, float]:
    async with _app(backend) as (_, screen):
        face = screen.face
        painted = asyncio.Event()
        original = face._display

        def display(one: Any, renderable: Any) -> None:
            original(one, renderable)
            painted.set()

        face._display = display
        from textual import events

        waits: list[float] = []
        costs: list[float] = []
        for number in range(keys):
            await _writing(screen)
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
        waits.sort()
        costs.sort()
        return {
            "cpu_p99": costs[int(len(costs) * 0.99)],
            "median": waits[len(waits) // 2],
            "p99": waits[int(len(waits) * 0.99)],
            "tokens_per_second": (await backend.status("")).tokens_per_second,
        }


async def _writing(screen: Any) -> None:
    """Return while an answer is being written; begin another where the last one has ended."""
    if screen.face.turns:
        return
    screen.send("begin")
    while not (screen.transcript.blocks and screen.face.turns and screen.transcript.blocks[-1].text):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)


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
    "typing_kernel": typing_kernel,
    "chats": chats,
    "memory": memory,
    "slow_bytes": slow_bytes,
}


def main() -> None:
    """Run the probe named on the command line, with its numbers."""
    name, *words = sys.argv[1:]
    options = {key: int(value) for key, _, value in (word.partition("=") for word in words)}
    function: Any = PROBES[name]
    print(json.dumps(function(**options)))


if __name__ == "__main__":
    main()
