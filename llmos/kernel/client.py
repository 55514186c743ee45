"""The kernel's client: the ``Kernel`` interface over a worker process that may die and be restarted."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from llmos.kernel.client_looks import ClientLooks, floats
from llmos.kernel.families import family_named
from llmos.kernel.families.base import fit_types
from llmos.kernel.frames import pack_tokens
from llmos.kernel.memo import TokenMemo, cut_spans, marked_text
from llmos.kernel.process import WorkerProcess, death_words, error_of, event_of, generate_message
from llmos.kernel.protocol import (
    Chunk,
    Finished,
    GenerateEvent,
    GenerateRequest,
    KernelDied,
    KernelError,
    KernelStats,
    LoadRequest,
    ModelInfo,
    ParsedAnswer,
    Rendered,
    SequenceInfo,
)
from llmos.kernel.rendering import Renderer
from llmos.kernel.templates import (
    PLAIN_STOPS,
    PLAIN_TEMPLATE,
    Neutraliser,
    chat_values,
    with_tool_instructions,
)
from llmos.types import Message, Notice, ToolSpec

#: After this many deaths within this many seconds the kernel is not started again by itself.
_DEATHS, _WITHIN = 4, 60.0


class KernelClient(ClientLooks):
    """A local kernel.

    Args:
        log: file for the worker's log; None keeps none.
        notice: told one line when the kernel died and was started again.
        template_deadline: seconds that a chat template may take.
    """

    def __init__(
        self,
        log: Path | None = None,
        notice: Callable[[Notice], None] | None = None,
        template_deadline: float = 5.0,
    ) -> None:
        self._log = log
        self._listeners: list[Callable[[Notice], None]] = [notice] if notice else []
        self._renderer = Renderer(template_deadline)
        self._memo = TokenMemo()
        self._warming: asyncio.Task[None] | None = None
        self._worker: WorkerProcess | None = None
        self._ready = asyncio.Event()
        self._starting = asyncio.Lock()
        self._request: LoadRequest | None = None
        self._lora: tuple[Path, float] | None = None
        self._model: ModelInfo | None = None
        self._special: list[str] = []
        self._schemas: dict[str, Mapping[str, Any]] = {}
        self._start_text = ""
        self._end_text = ""
        self._deaths: deque[float] = deque(maxlen=_DEATHS)
        self._failure = ""
        self._closed = False
        self.restarts = 0

    def on_notice(self, listener: Callable[[Notice], None]) -> None:
        """Tell this listener, too, when the kernel dies and comes back."""
        self._listeners.append(listener)

    @property
    def model(self) -> ModelInfo | None:
        """The loaded model; None before ``load``."""
        return self._model

    @property
    def pid(self) -> int:
        """Process id of the worker, 0 when there is none."""
        return self._worker.pid if self._worker else 0

    # -- the worker's life --------------------------------------------------------------------

    async def _start(self) -> WorkerProcess:
        worker = WorkerProcess(self._log, self._on_death)
        await worker.start()
        self._worker = worker
        return worker

    async def _on_death(self, status: int) -> None:
        """Kernel panic: start another worker and load the model again."""
        if self._closed:
            return
        self._ready.clear()
        self._deaths.append(time.monotonic())
        why = death_words(status)
        if len(self._deaths) == _DEATHS and self._deaths[-1] - self._deaths[0] < _WITHIN:
            self._fail(
                f"The kernel died {_DEATHS} times within a minute ({why}); it is left stopped. "
                "Choose another model or a smaller context."
            )
            return
        self.restarts += 1
        try:
            worker = await self._start()
            if self._request is not None:
                await self._load_into(worker, self._request)
                if self._lora is not None:
                    path, scale = self._lora
                    await worker.ask({"op": "lora", "path": str(path), "scale": scale})
        except KernelDied:
            return  # its own death is handled by its own call
        except KernelError as error:
            self._fail(f"The kernel died ({why}) and could not load the model again: {error}")
            return
        self._ready.set()
        self._tell(f"Kernel panic: the kernel died ({why}) and was started again; nothing was lost.", "warning")

    def _fail(self, sentence: str) -> None:
        self._failure = sentence
        self._ready.set()
        self._tell(sentence, "error")

    def _tell(self, sentence: str, level: Literal["info", "warning", "error"]) -> None:
        for listener in self._listeners:
            listener(Notice(sentence, level))

    async def _live(self) -> WorkerProcess:
        """The worker, once it is ready (after a death: when the model is loaded again)."""
        if self._closed:
            raise KernelError("The kernel is closed.")
        if self._worker is None:
            raise KernelError("No model is loaded.")
        await self._ready.wait()
        if self._failure:
            raise KernelError(self._failure)
        assert self._worker is not None
        return self._worker

    async def _ask(self, op: str, payload: bytes = b"", **values: Any) -> tuple[Any, bytes]:
        worker = await self._live()
        answer, data = await worker.ask({"op": op, **values}, payload)
        return answer.get("value"), data

    async def start(self) -> None:
        """Start the worker without a model: enough to cut texts by the tokenizers of files."""
        async with self._starting:
            if self._worker is None and not self._closed:
                await self._start()
                self._ready.set()

    async def load(self, request: LoadRequest) -> ModelInfo:
        """Load a model, replacing the present one; a refusal leaves the present one as it is.

        A cancelled load goes on in the background: the worker cannot be interrupted in it.
        """
        task = asyncio.create_task(self._load(request), name="kernel-load")
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _load(self, request: LoadRequest) -> ModelInfo:
        async with self._starting:
            if self._closed:
                raise KernelError("The kernel is closed.")
            worker = self._worker
            if worker is None or self._failure:
                self._failure = ""
                self._deaths.clear()
                worker = await self._start()
            elif self._request is not None or not worker.alive:
                worker = await self._live()  # waits for a restart that is under way
            self._ready.clear()
            before, self._request = self._request, request
            try:
                info = await self._load_into(worker, request)
            except KernelDied:
                self._request = before  # the restart under way then loads what was there
                raise KernelDied(
                    f"The kernel died while loading {request.path.name}: the file is probably damaged; "
                    "choose another model."
                ) from None
            except KernelError:
                self._request = before
                self._ready.set()
                raise
            self._lora = None
            self._ready.set()
            return info

    async def _load_into(self, worker: WorkerProcess, request: LoadRequest) -> ModelInfo:
        values = {**asdict(request), "path": str(request.path)}
        answer, _ = await worker.ask({"op": "load", "request": values})
        value = answer["value"]
        self._model = ModelInfo(**value["info"])
        self._memo.clear()
        self._warming = asyncio.create_task(self._renderer.warm(self._model.chat_template))
        self._special = value["special"]
        self._start_text, self._end_text = value["start"], value["end"]
        return self._model

    async def close(self) -> None:
        """End the worker process and the renderer."""
        self._closed = True
        self._ready.set()
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait({self._warming})
        if self._worker is not None:
            await self._worker.close()
        await self._renderer.close()

    # -- text ---------------------------------------------------------------------------------

    async def tokenize(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """Token ids of a text."""
        value, _ = await self._ask("tokenize", text=text, special=special, bos=bos)
        return list(value)

    async def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes of each token."""
        lengths, data = await self._ask("pieces", pack_tokens(tokens))
        found, at = [], 0
        for length in lengths:
            found.append(data[at : at + length])
            at += length
        return found

    async def detokenize(self, tokens: Sequence[int], *, special: bool = True) -> str:
        """Text of token ids; without ``special`` the names of special tokens are left out."""
        pieces = await self.pieces(tokens)
        if not special:
            names = {name.encode() for name in self._special}
            pieces = [piece for piece in pieces if piece not in names]
        return b"".join(pieces).decode("utf-8", "replace")

    async def render_chat(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), *, add_generation_prompt: bool = True
    ) -> Rendered:
        """Render by the model's own chat template; what users and data wrote stays text."""
        await self._live()
        assert self._model is not None
        template = self._model.chat_template
        self._schemas.update((tool.name, tool.parameters) for tool in tools)
        hide = Neutraliser(self._special)
        values = hide.hide_all(chat_values(messages, tools))
        if tools and "tools" not in template:
            values = with_tool_instructions(values)
        rendered = await self._renderer.render(
            template,
            {
                **values,
                "add_generation_prompt": add_generation_prompt,
                "bos_token": self._start_text,
                "eos_token": self._end_text,
            },
        )
        spans = hide.spans(rendered)
        tokens = await self._tokens_of(spans)
        return Rendered(
            text="".join(text for text, _ in spans),
            tokens=tokens,
            stop=PLAIN_STOPS if template == PLAIN_TEMPLATE else (),
        )

    async def _tokens_of(self, spans: list[tuple[str, bool]]) -> tuple[int, ...]:
        """Tokens of a rendered chat; what was answered before keeps the tokens it was written in."""
        marked = marked_text(spans)
        length, known = self._memo.match(marked)
        rest = cut_spans(spans, length)
        if rest is None:
            known, rest = (), spans
        new, _ = await self._ask("tokenize_spans", spans=rest, start=not known)
        tokens = (*known, *new)
        self._memo.rendered(tokens, marked)
        return tokens

    async def tool_grammar(self, tools: Sequence[ToolSpec]) -> tuple[str, str]:
        """(GBNF, trigger text) for calls of these tools."""
        self._schemas.update((tool.name, tool.parameters) for tool in tools)
        described = [{"name": tool.name, "parameters": dict(tool.parameters)} for tool in tools]
        value, _ = await self._ask("tool_grammar", tools=described)
        return str(value[0]), str(value[1])

    def parse_answer(self, text: str) -> ParsedAnswer:
        """Take a raw answer apart by the model's family."""
        parsed = family_named(self._model.tool_family if self._model else "").parse(text)
        calls = (fit_types(call, self._schemas.get(call.name, {})) for call in parsed.tool_calls)
        return replace(parsed, tool_calls=tuple(calls))

    # -- generation ---------------------------------------------------------------------------

    async def generate(self, request: GenerateRequest) -> AsyncIterator[GenerateEvent]:
        """Generate; closing the iterator stops within one token or prefill chunk."""
        worker = await self._live()
        number, queue = worker.open()
        ended = False
        remember = self._memo.knows(request.prompt)
        written: list[Chunk] = []
        try:
            await worker.send(generate_message(number, request), pack_tokens(request.prompt))
            while True:
                answer = await queue.get()
                if answer is None:
                    ended = True
                    raise KernelDied("The kernel died while it was answering; it is being started again.")
                message = answer[0]
                kind = message["e"]
                if kind == "end":
                    ended = True
                    return
                if kind == "error":
                    ended = True
                    raise error_of(message)
                event = event_of(kind, message)
                if remember and isinstance(event, Chunk) and event.sample == 0:
                    written.append(event)
                elif remember and isinstance(event, Finished) and event.sample == 0:
                    self._remember(request, written, event)
                yield event
        finally:
            worker.forget(number)
            if not ended:
                worker.post({"op": "stop", "id": 0, "target": number})

    def _remember(self, request: GenerateRequest, written: list[Chunk], finished: Finished) -> None:
        if request.stop and finished.stop_reason == "stop":
            return  # the tokens may hold a stop text that the answer does not
        tokens = [token for chunk in written for token in chunk.tokens]
        self._memo.answered(request.prompt, tokens, "".join(chunk.text for chunk in written))

    # -- sequences and the rest ---------------------------------------------------------------

    async def fork(self, source: str, target: str) -> None:
        """Make ``target`` share what ``source`` holds."""
        await self._ask("fork", source=source, target=target)

    async def drop(self, sequence: str) -> None:
        """Free a sequence's KV."""
        await self._ask("drop", sequence=sequence)

    async def save_sequence(self, sequence: str, path: Path) -> int:
        """Write a sequence's KV state atomically; returns bytes written."""
        value, _ = await self._ask("save", sequence=sequence, path=str(path))
        return int(value)

    async def restore_sequence(self, sequence: str, path: Path) -> int:
        """Restore a saved KV state; returns tokens restored, 0 when it cannot be used."""
        value, _ = await self._ask("restore", sequence=sequence, path=str(path))
        return int(value)

    async def embed(self, texts: Sequence[str], *, hidden: bool = False) -> list[list[float]]:
        """Vectors of texts, or last hidden states."""
        shape, data = await self._ask("embed", texts=list(texts), hidden=hidden)
        return list(floats(data, shape).tolist()) if texts else []

    async def set_lora(self, path: Path | None, scale: float = 1.0) -> None:
        """Lay a LoRA adapter over the model, or take it off."""
        await self._ask("lora", path=str(path) if path else "", scale=scale)
        self._lora = (path, scale) if path else None

    async def stats(self) -> KernelStats:
        """Memory, sequences and load of the kernel now."""
        value, _ = await self._ask("stats")
        sequences = tuple(SequenceInfo(*one) for one in value.pop("sequences"))
        return KernelStats(**value, sequences=sequences, restarts=self.restarts)
