"""Plugins' middleware around generation, each layer with its own fault boundary and deadline.

A layer that raises, hangs or yields nonsense is cut out: if it has shown nothing yet, the answer
comes from the layer below as if it were not there; if it has, what was shown stands. Faults of
what lies below a layer (a dead kernel, a stop) pass through it and are never blamed on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, get_args

from llmos.plugins.hookspecs import Middleware, Next
from llmos.types import Event, Notice, TextDelta, ThinkingDelta, TurnDone, TurnRequest

#: Seconds in which a layer must yield, call ``next`` or end, while nothing below it is at work.
LAYER_SECONDS = 30.0

_EVENTS: tuple[type, ...] = get_args(Event)

OnFault = Callable[[str, BaseException], None]


class LayerFault(Exception):
    """What a layer did wrong, in words."""


def compose(
    layers: Sequence[tuple[str, Middleware]],
    base: Next,
    on_fault: OnFault,
    *,
    seconds: float = LAYER_SECONDS,
) -> Next:
    """One generator of all layers, the first one outermost.

    Args:
        layers: (plugin name, middleware).
        base: the kernel's generator.
        on_fault: told of every fault, with the plugin's name.
        seconds: deadline as in ``LAYER_SECONDS``.
    """
    whole = base
    for name, layer in reversed(layers):
        whole = _Layer(name, layer, whole, on_fault, seconds)
    return whole


class _Layer:
    """One guarded layer."""

    def __init__(self, name: str, layer: Middleware, below: Next, on_fault: OnFault, seconds: float) -> None:
        self._name = name
        self._layer = layer
        self._below = below
        self._on_fault = on_fault
        self._seconds = seconds

    async def __call__(self, request: TurnRequest) -> AsyncIterator[Event]:
        watch = _Below(self._below)
        shown = ended = False
        fault: BaseException | None = None
        stream: AsyncIterator[Event] | None = None
        try:
            stream = self._layer(request, watch)
            iterator = stream.__aiter__()
            while True:
                event = await self._next(iterator, watch)
                if not isinstance(event, _EVENTS):
                    raise LayerFault(f"it yielded {type(event).__name__}, which is no event")
                shown = shown or isinstance(event, TextDelta | ThinkingDelta)
                ended = ended or isinstance(event, TurnDone)
                yield event
        except StopAsyncIteration:
            pass
        except (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt):
            raise
        except BaseException as error:
            if watch.error is not None:
                raise watch.error from None
            fault = error
        finally:
            await watch.close()
            await _close(stream)
        if fault is None and not ended and not shown:
            fault = LayerFault("it ended without an answer")
        if fault is None:
            return
        self._on_fault(self._name, fault)
        yield Notice(
            f"The plugin {self._name} failed in this answer ({describe(fault)}); "
            + ("what it had written stands." if shown else "the answer is made without it."),
            "warning",
        )
        if not shown:
            below = self._below(request)
            try:
                async for event in below:
                    yield event
            finally:
                await _close(below)

    async def _next(self, iterator: AsyncIterator[Event], watch: _Below) -> Event:
        """The layer's next event, while it shows signs of life."""
        task = asyncio.ensure_future(_layer_anext(iterator))
        watch.alive = time.monotonic()
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=self._seconds)
                if done:
                    return task.result()
                if not watch.busy and time.monotonic() - watch.alive >= self._seconds:
                    raise LayerFault(f"it did nothing for {self._seconds:g} seconds")
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=1.0)


class _Below:
    """``next`` as a layer sees it: notes whether what is below is at work, and its faults."""

    def __init__(self, below: Next) -> None:
        self._below = below
        self._open: set[AsyncIterator[Event]] = set()
        self.busy = 0
        self.alive = 0.0
        self.error: BaseException | None = None

    async def __call__(self, request: TurnRequest) -> AsyncIterator[Event]:
        stream = self._below(request)
        self._open.add(stream)
        iterator = stream.__aiter__()
        try:
            while True:
                self.busy += 1
                try:
                    event = await _anext(iterator)
                except StopAsyncIteration:
                    return
                except Exception as error:
                    self.error = error
                    raise
                finally:
                    self.busy -= 1
                    self.alive = time.monotonic()
                yield event
        finally:
            self._open.discard(stream)
            await _close(stream)

    async def close(self) -> None:
        """Close what the layer left open."""
        for stream in list(self._open):
            await _close(stream)


async def _anext(iterator: AsyncIterator[Event]) -> Event:
    """``anext`` as a coroutine, with StopAsyncIteration kept apart from a layer's own errors."""
    return await iterator.__anext__()


async def _layer_anext(iterator: AsyncIterator[Event]) -> Event:
    """``_anext`` in a task of its own: asyncio would end the program on a SystemExit there."""
    try:
        return await iterator.__anext__()
    except SystemExit as error:
        raise LayerFault("it tried to end the program") from error


async def _close(stream: Any) -> None:
    """Close an iterator that can be closed; what it raises while closing is of no interest."""
    close = getattr(stream, "aclose", None)
    if close is None:
        if asyncio.iscoroutine(stream):  # a layer written as a plain coroutine
            stream.close()
        return
    try:
        await close()
    except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
        raise
    except BaseException:
        return


def describe(error: BaseException) -> str:
    """An error in a few words."""
    if isinstance(error, LayerFault):
        return str(error)
    text = str(error).splitlines()
    return f"{type(error).__name__}: {text[0]}" if text and text[0] else type(error).__name__
