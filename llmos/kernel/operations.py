"""What the worker can be asked for: one method for each operation of the protocol."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmos.kernel import gguf_header, model, swap
from llmos.kernel.embedding import Embedder
from llmos.kernel.families import family_named
from llmos.kernel.frames import unpack_tokens
from llmos.kernel.grammar import schema_to_gbnf
from llmos.kernel.jobs import Job
from llmos.kernel.looks import Looks
from llmos.kernel.other_vocabulary import OtherVocabularies
from llmos.kernel.protocol import KernelError, LoadRequest, NotAvailable
from llmos.kernel.scheduler import Scheduler, Task
from llmos.kernel.sequences import Slot
from llmos.kernel.soft_inputs import SoftInputs
from llmos.kernel.span_tokens import tokens_of_spans
from llmos.types import SamplingSettings, ToolSpec

#: Decoding slower than this share of the probe's pace calls for another probe.
_SLOW = 3.0
#: Steps between looks at the pace.
_PACE_STEPS = 200

Event = Callable[[int, dict[str, Any]], None]
Reply = Callable[..., None]


@dataclass(slots=True)
class _Pace:
    steps: int = 0
    probed: int = 0


class Operations(Looks, SoftInputs, OtherVocabularies):
    """Handlers of requests.

    Args:
        event: sends an event of a running generation.
        reply: sends the one answer of a request, with an optional payload.
    """

    def __init__(self, event: Event, reply: Reply) -> None:
        self._event = event
        self._reply = reply
        self._loaded: model.Loaded | None = None
        self._embedder: Embedder | None = None
        self._pace = _Pace()
        self.scheduler: Scheduler | None = None

    def handle(self, number: int, message: dict[str, Any], payload: bytes) -> None:
        """Do what a request asks for.

        Raises:
            KernelError: it cannot be done; the worker sends the sentence.
        """
        method = getattr(self, f"_op_{message['op']}", None)
        if method is None:
            raise NotAvailable(f"This kernel does not know the operation {message['op']}.")
        method(number, message, payload)

    @property
    def loaded(self) -> model.Loaded:
        """The loaded model.

        Raises:
            KernelError: none is loaded.
        """
        if self._loaded is None:
            raise KernelError("No model is loaded.")
        return self._loaded

    def _running(self) -> Scheduler:
        if self.scheduler is None or self.loaded.request.embedding:
            raise NotAvailable("This kernel was loaded for embedding only; it cannot generate.")
        return self.scheduler

    # -- loading ------------------------------------------------------------------------------

    def _op_load(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        request = model.request_from(message["request"])
        before = self._loaded
        planned = model.plan(request, sum(before.info["memory"].values()) if before else 0)
        if self.scheduler is not None:
            self.scheduler.drop_all("Another model is being loaded.")
        if before is not None:
            before.engine.close()
        self._loaded, self.scheduler, self._embedder = None, None, None
        try:
            self._take(request, planned)
        except KernelError:
            if before is not None:  # a refusal leaves the model that was there
                self._take(before.request, model.plan(before.request))
            raise
        loaded = self.loaded
        value = {"info": loaded.info, "special": loaded.special, "start": loaded.start, "end": loaded.end}
        self._reply(number, value)

    def _take(self, request: LoadRequest, planned: model.Plan) -> None:
        loaded = model.load(request, planned)
        self._loaded = loaded
        self._embedder = Embedder(loaded.engine, loaded.pooling) if request.embedding else None
        self.scheduler = Scheduler(loaded.engine, loaded.table, self._event, loaded.largest)

    def after_step(self) -> None:
        """Probe the thread count again when decoding has become much slower than it was."""
        self._pace.steps += 1
        if self._pace.steps % _PACE_STEPS or self.scheduler is None or self._loaded is None:
            return
        loaded, rate = self._loaded, self.scheduler.tokens_per_second
        due = loaded.seconds_per_token > 0 and rate > 0 and rate * loaded.seconds_per_token * _SLOW < 1
        if due and not loaded.request.threads and self._pace.steps - self._pace.probed > 10 * _PACE_STEPS:
            self._pace.probed = self._pace.steps
            if loaded.table.empty_last():
                loaded.info["threads"], loaded.seconds_per_token = model.probe_threads(loaded.engine)

    # -- text ---------------------------------------------------------------------------------

    def _op_tokenize(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        engine = self.loaded.engine
        self._reply(number, engine.tokenize(message["text"], special=message["special"], bos=message["bos"]))

    def _op_tokenize_spans(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        """Token ids of a rendered chat; parts that came from content as names stay text."""
        engine = self.loaded.engine
        tokens = tokens_of_spans(engine, message["spans"])
        start, _, wanted = engine.start_and_end()
        if message["start"] and wanted and start >= 0 and tokens[:1] != [start]:
            tokens.insert(0, start)
        self._reply(number, tokens)

    def _op_pieces(self, number: int, _message: dict[str, Any], payload: bytes) -> None:
        pieces = [self.loaded.engine.piece(token) for token in unpack_tokens(payload)]
        self._reply(number, [len(piece) for piece in pieces], b"".join(pieces))

    def _op_tool_grammar(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        family = family_named(str(self.loaded.info["tool_family"]))
        tools = [ToolSpec(one["name"], "", one["parameters"]) for one in message["tools"]]
        self._reply(number, [family.grammar(tools, schema_to_gbnf) if tools else "", family.trigger])

    # -- generation ---------------------------------------------------------------------------

    def _op_generate(self, number: int, message: dict[str, Any], payload: bytes) -> None:
        job = Job(
            id=number,
            prompt=unpack_tokens(payload),
            sequence=message["sequence"],
            max_tokens=message["max_tokens"],
            sampling=SamplingSettings(**message["sampling"]),
            stop=message["stop"],
            grammar=message["grammar"],
            grammar_trigger=message["grammar_trigger"],
            samples=message["samples"],
            logprobs=message["logprobs"],
            priority=message["priority"],
            keep=message["keep"],
            bias={int(token): float(value) for token, value in message["bias"]},
            stream=bool(message.get("stream", True)),
        )
        job.check(self.loaded.engine)
        self._running().submit(job)

    def _op_stop(self, _number: int, message: dict[str, Any], _payload: bytes) -> None:
        """The reader thread has said so already, perhaps before the job itself was known."""
        if self.scheduler is not None:
            self.scheduler.stop(int(message["target"]))

    # -- sequences ----------------------------------------------------------------------------

    def _idle(self, name: str) -> Slot | None:
        slot = self.loaded.table.find(name)
        if slot is not None and slot.busy:
            raise KernelError(f"The sequence {name} is being written; wait until the answer has ended.")
        return slot

    def _op_fork(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        table = self.loaded.table
        source = table.find(message["source"])
        if source is None:
            raise KernelError(f"There is no sequence {message['source']} to fork.")
        self._idle(message["target"])
        table.touch(source)
        target = table.claim(message["target"])
        if target is None:
            raise KernelError("All KV sequences are in use.")
        table.fork(source, target)
        self._reply(number, len(target.tokens))

    def _op_drop(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        slot = self._idle(message["sequence"])
        if slot is not None:
            self.loaded.table.free(slot)
        self._reply(number, None)

    def _op_save(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        slot = self._idle(message["sequence"])
        if slot is None or not slot.tokens:
            raise KernelError(f"The sequence {message['sequence']} is empty; there is nothing to save.")
        state = self.loaded.engine.state(slot.number)
        self._reply(number, swap.write_state(Path(message["path"]), self.loaded.swap_key(), slot.tokens, state))

    def _op_restore(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        loaded = self.loaded
        table, engine = loaded.table, loaded.engine
        self._idle(message["sequence"])
        found = swap.read_state(Path(message["path"]), loaded.swap_key())
        if found is None or len(found[0]) >= engine.context:
            self._reply(number, 0)
            return
        tokens, state = found
        engine.check_tokens(tokens)
        part = table.claim("#restore")  # never into the target itself: a failure would leave half a state
        if part is None:
            raise KernelError("All KV sequences are in use.")
        table.truncate(part, 0)
        while not (good := engine.set_state(part.number, state)):
            engine.remove(part.number)
            if not table.free_least_used():
                break
        if not good or engine.last_position(part.number) != len(tokens) - 1:
            table.free(part)
            self._reply(number, 0)
            return
        table.adopt(part, tokens)
        part.busy = 1
        target = table.claim(message["sequence"])
        if target is not None:
            table.fork(part, target)
        table.free(part)
        self._reply(number, len(tokens) if target is not None else 0)

    # -- the rest -----------------------------------------------------------------------------

    def _op_embed(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        if self._embedder is None or self.scheduler is None:
            raise NotAvailable("This kernel was not loaded for embedding.")
        embedder, texts, hidden = self._embedder, message["texts"], bool(message["hidden"])

        def task() -> Task:
            vectors = []
            for text in texts:
                vectors.append(embedder.vector(text, hidden=hidden))
                yield
            width = self.loaded.engine.embedding_width
            data = np.stack(vectors).astype(np.float32) if vectors else np.zeros((0, width), np.float32)
            self._reply(number, list(data.shape), data.tobytes())

        self.scheduler.add_task(number, task())

    def _op_lora(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        loaded = self.loaded
        if self.scheduler is not None and self.scheduler.busy:
            raise KernelError("An answer is being written; change the adapter when it has ended.")
        path = Path(message["path"]) if message["path"] else None
        scale = float(message["scale"])
        if not math.isfinite(scale):
            raise KernelError("The adapter's scale is not a finite number.")
        loaded.engine.set_lora(path, scale)
        loaded.table.forget_all()
        loaded.lora = f"{gguf_header.fingerprint(path)}*{scale}" if path else ""
        self._reply(number, None)

    def _op_inspect(self, number: int, message: dict[str, Any], payload: bytes) -> None:
        from llmos.kernel.inspect import inspect

        tokens = unpack_tokens(payload)
        array = inspect(self.loaded.engine, tokens, message["what"], int(message["layer"]))
        self._reply(number, list(array.shape), array.tobytes())

    def _op_stats(self, number: int, _message: dict[str, Any], _payload: bytes) -> None:
        import os

        import psutil

        loaded = self._loaded
        running, waiting = self.scheduler.counts if self.scheduler else (0, 0)
        value: dict[str, Any] = {
            "pid": os.getpid(),
            "resident_bytes": int(psutil.Process().memory_info().rss),
            "threads": int(loaded.info["threads"]) if loaded else 0,
            "context": loaded.engine.context if loaded else 0,
            "cells_used": loaded.table.cells_used if loaded else 0,
            "sequences": [],
            "running": running,
            "waiting": waiting,
            "tokens_per_second": self.scheduler.tokens_per_second if self.scheduler else 0.0,
        }
        if loaded:
            windows = loaded.engine.max_sequences if loaded.request.own_windows else 1
            per_token = loaded.info["memory"]["kv"] / max(1, loaded.engine.context * windows)
            value["sequences"] = [
                [slot.name, len(slot.tokens), round(len(slot.tokens) * per_token)]
                for slot in loaded.table.named()
                if not slot.name.startswith("#")
            ]
        self._reply(number, value)
