"""The innermost generator: one answer of the kernel as events."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from llmos.conversation.splitting import Splitter
from llmos.conversation.written import Begun, Shown, Written
from llmos.formats import THINK_OPEN
from llmos.kernel.families import family_named
from llmos.kernel.families.base import Family
from llmos.kernel.protocol import (
    Chunk,
    Finished,
    GenerateRequest,
    Kernel,
    KernelDied,
    KernelError,
    Prefilled,
    Rendered,
)
from llmos.types import (
    Event,
    Message,
    PrefillProgress,
    TokenCount,
    ToolSpec,
    TurnDone,
    TurnRequest,
    TurnStats,
)

_log = logging.getLogger(__name__)


class Generator:
    """Renders a request, generates, and splits the answer.

    Yields ``PrefillProgress``, ``TextDelta`` and ``ThinkingDelta``, at the end ``TurnDone`` with
    the answer (not stored) and its figures. Options of a request that it knows: ``samples`` (one
    ``TurnDone`` a sample, the first one streams), ``stop`` (texts that end the answer),
    ``prefix`` (how the answer begins, written for the model), ``thoughts`` (closed in the model's own
    form before the prefix), ``priority``, ``logprobs``, ``token_count`` (a ``TokenCount`` that counts along),
    ``no_tool_calls`` (tools stay in the prompt but cannot be called).

    Args:
        kernel: where to generate.
        clean: strips what may not be shown or stored (the guard's ``clean``).
    """

    def __init__(self, kernel: Kernel, clean: Callable[[str], str]) -> None:
        self._kernel = kernel
        self._clean = clean
        self._prepared: tuple[Sequence[Message], Rendered] | None = None
        self._written: Written | None = None

    def prepare(self, messages: Sequence[Message], rendered: Rendered) -> None:
        """Remember a rendering that was made to measure it, for a request with the same messages."""
        self._prepared = (messages, rendered)

    async def __call__(self, request: TurnRequest) -> AsyncIterator[Event]:
        """Generate one answer (or several samples of it)."""
        kernel = self._kernel
        rendered = await self._render(request)
        grammar, trigger, bias = request.grammar, "", {}
        if request.tools and not grammar:
            grammar, trigger = await self._grammar(request.tools)
            if request.options.get("no_tool_calls"):
                bias = await self._forbid(trigger)
                grammar, trigger = "", ""
        samples = int(request.options.get("samples", 1))
        opened = THINK_OPEN if rendered.text.rstrip().endswith(THINK_OPEN) else ""
        prompt = rendered.tokens
        begun = await self._beginning(request.options, opened, rendered.tokens)
        written = Written(rendered.tokens)
        if begun.text:
            written.add(begun.text, begun.tokens)
            prompt = (*prompt, *begun.tokens)
            opened += begun.text
        self._written = written
        splitters = [
            Splitter(kernel.parse_answer, trigger=trigger, json_calls=bool(request.tools), opened=opened)
            for _ in range(samples)
        ]
        ask = GenerateRequest(
            prompt=prompt,
            sequence=request.sequence,
            max_tokens=request.max_tokens,
            sampling=request.sampling,
            stop=(*rendered.stop, *request.options.get("stop", ())),
            grammar=grammar,
            grammar_trigger=trigger,
            samples=samples,
            logprobs=int(request.options.get("logprobs", 0)),
            priority="background" if request.options.get("priority") == "background" else "person",
            bias=bias,
        )
        shown = Shown()
        count = request.options.get("token_count")
        stream = kernel.generate(ask)
        try:
            async for event in stream:
                if isinstance(event, Chunk):
                    if isinstance(count, TokenCount):
                        count.tokens += len(event.tokens)
                    splitter = splitters[event.sample]
                    deltas = splitter.feed(event.text)
                    if event.sample == 0:
                        deltas = shown.feed(deltas)
                        settled = splitter.settled and shown.settled
                        written.add(event.text, event.tokens, deltas, settled=settled)
                        for delta in deltas:
                            yield delta
                elif isinstance(event, Prefilled):
                    yield PrefillProgress(event.done - event.cached, event.total - event.cached)
                elif isinstance(event, Finished):
                    deltas, _ = splitters[event.sample].finish()
                    if event.sample == 0:
                        for delta in [*shown.feed(deltas), *shown.flush()]:
                            yield delta
                    yield self._done(splitters[event.sample], event)
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    async def _beginning(self, options: Mapping[str, Any], opened: str, prompt: tuple[int, ...]) -> Begun:
        """How the answer begins: thoughts closed as the model's family does, and what follows them.

        What was written just so before keeps its tokens, so that only what is new is evaluated.
        """
        prefix, thoughts = str(options.get("prefix", "")), str(options.get("thoughts", ""))
        if not prefix and not thoughts:
            return Begun("", [], "")
        before, after = self._thinking_marks() if thoughts else ("", "")
        found = None
        if self._written is not None and self._written.prompt == prompt:
            found = await self._written.find(thoughts, prefix, after, self._kernel.detokenize)
        if found is None:
            text = f"{before}{thoughts}{after}{prefix}"
            if opened:
                text = text.removeprefix(THINK_OPEN)  # the template has opened the thoughts itself
            found = Begun("", [], text)
        rest = await self._kernel.tokenize(found.rest, special=True) if found.rest else []
        return Begun(found.text + found.rest, [*found.tokens, *rest], "")

    def _thinking_marks(self) -> tuple[str, str]:
        """What stands before and after thoughts in the loaded model's form."""
        model = self._kernel.model
        before, after = family_named(model.tool_family if model else "").thinking_marks
        if model and before.strip() not in model.chat_template and THINK_OPEN in model.chat_template:
            return Family.thinking_marks
        return before, after

    async def _render(self, request: TurnRequest) -> Rendered:
        """The prompt, from the last measuring if the request was not changed since."""
        if self._prepared is not None and self._prepared[0] is request.messages:
            return self._prepared[1]
        return await self._kernel.render_chat(request.messages, request.tools)

    async def _grammar(self, tools: Sequence[ToolSpec]) -> tuple[str, str]:
        """Grammar and marker of tool calls.

        A schema that no grammar can be made of (tools of others) must not end the chat: calls are
        then written freely, and checked like every call before they run.
        """
        try:
            return await self._kernel.tool_grammar(tools)
        except KernelDied:
            raise
        except KernelError as error:
            _log.warning("no grammar for the tools %s: %s", [tool.name for tool in tools], error)
            return "", (await self._kernel.tool_grammar(()))[1]

    async def _forbid(self, trigger: str) -> dict[int, float]:
        """A bias against beginning a tool call, where its marker is one token."""
        tokens = await self._kernel.tokenize(trigger, special=True) if trigger else []
        return {tokens[0]: -1e9} if len(tokens) == 1 else {}

    def _done(self, splitter: Splitter, finished: Finished) -> TurnDone:
        """The answer of one sample with its figures."""
        parsed = splitter.finish()[1]
        model = self._kernel.model
        stats = TurnStats(
            prompt_tokens=finished.prompt_tokens,
            cached_tokens=finished.cached_tokens,
            completion_tokens=finished.completion_tokens,
            seconds=finished.seconds,
            first_token_seconds=finished.first_token_seconds,
            tokens_per_second=finished.tokens_per_second,
            stop_reason="tool_call" if parsed.tool_calls else finished.stop_reason,
            model=model.name if model else "",
            context_used=finished.prompt_tokens + finished.completion_tokens,
            context_size=model.context if model else 0,
        )
        message = Message(
            "assistant",
            self._clean(parsed.content),
            thinking=self._clean(parsed.thinking),
            tool_calls=parsed.tool_calls,
            stats={"sample": finished.sample, "mean_logprob": finished.mean_logprob},
        )
        return TurnDone(message, stats)


def tool_named(tools: Sequence[ToolSpec], name: str) -> ToolSpec | None:
    """The tool of that name."""
    return next((tool for tool in tools if tool.name == name), None)
