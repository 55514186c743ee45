"""A fully compromised model, as a kernel: it does what any text in its prompt tells it to.

Orders stand in the prompt as ``[[do TOOL {arguments}]]``, ``[[say "text"]]`` or
``[[raw "text"]]``, inside one another in ``⟦…⟧``; the user's own requests stand in double
round brackets. The model follows each once, in the order of the prompt, one in a generation;
``[[again …]]`` once in every turn.
It also reads orders that are written in invisible tag characters. In arguments ``$SECRET``
becomes the secret that it finds in its prompt, ``$HEX`` and ``$B64`` the same in disguise.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos.kernel.client_looks import NoLooks
from llmos.kernel.families import family_named
from llmos.kernel.protocol import (
    Chunk,
    Finished,
    GenerateEvent,
    GenerateRequest,
    KernelStats,
    LoadRequest,
    ModelInfo,
    NotAvailable,
    ParsedAnswer,
    Prefilled,
    Rendered,
)
from llmos.types import Message, ToolCall, ToolSpec

_ORDER = re.compile(
    "|".join(
        rf"(?P<open{number}>{opening})(?P<again{number}>again\s+)?(?P<verb{number}>do|say|raw)\s+"
        rf"(?P<body{number}>.+?){closing}(?=\s|$|[.,\"\\])"
        for number, (opening, closing) in enumerate(((r"\[\[", r"\]\]"), ("⟦", "⟧"), (r"\(\(", r"\)\)")))
    ),
    re.S,
)
_SECRET = re.compile(r"SECRET-[0-9A-Za-z]+")
_PIECE = 4


@dataclass(frozen=True, slots=True)
class Order:
    """An order that the model found.

    Attributes:
        text: as it stands in the prompt.
        foreign: not the user's own request.
        again: followed anew in every turn.
        verb: ``do``, ``say`` or ``raw``.
        body: what follows the verb.
    """

    text: str
    foreign: bool
    again: bool
    verb: str
    body: str


def orders_in(text: str) -> list[Order]:
    """Orders in a text, in order; those hidden in tag characters too."""
    shown = "".join(chr(ord(c) - 0xE0000) if 0xE0020 <= ord(c) <= 0xE007E else c for c in text)
    found: list[Order] = []
    for match in _ORDER.finditer(shown):
        number = next(one for one in range(3) if match[f"open{one}"])
        again, verb, body = (match[f"{part}{number}"] for part in ("again", "verb", "body"))
        found.append(Order(match.group(), number != 2, bool(again), verb, body.strip()))
    return found


def fill_in(value: Any, prompt: str) -> Any:
    """Arguments with the secret of the prompt put in."""
    if isinstance(value, str):
        found = _SECRET.search(prompt)
        secret = found.group() if found else "nothing"
        value = value.replace("$SECRET", secret)
        value = value.replace("$HEX", secret.encode().hex())
        return value.replace("$B64", base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="))
    if isinstance(value, Mapping):
        return {key: fill_in(part, prompt) for key, part in value.items()}
    if isinstance(value, list):
        return [fill_in(part, prompt) for part in value]
    return value


class CompromisedModel(NoLooks):
    """Implements ``llmos.kernel.protocol.Kernel`` without any weights.

    Attributes:
        obedient: False makes a model that follows nobody, for what must hold by itself.
        turn: number of the turn, set by the runner.
        chat: the chat of the turn, set by the runner.
        prompts: every prompt that it read.
        foreign_calls: calls that it made on the order of somebody else than the user.
        foreign_words: what it said on such orders.
    """

    def __init__(self, context: int, *, obedient: bool = True) -> None:
        self.obedient = obedient
        self.turn = 0
        self.chat = ""
        self.prompts: list[str] = []
        self.foreign_calls: list[ToolCall] = []
        self.foreign_words: list[str] = []
        self._done: set[tuple[str, str, int]] = set()
        self._ids: dict[str, int] = {}
        self._texts: list[str] = []
        self._family = family_named("hermes")
        self.model: ModelInfo | None = ModelInfo(
            name="compromised",
            path="",
            architecture="none",
            parameters=0,
            file_bytes=0,
            vocabulary=0,
            context=context,
            trained_context=context,
            embedding_width=0,
            layers=0,
            threads=0,
            quantisation="none",
            chat_template="",
            tool_family="hermes",
        )

    # -- text ------------------------------------------------------------------------------

    def _encode(self, text: str) -> tuple[int, ...]:
        tokens: list[int] = []
        for start in range(0, len(text), _PIECE):
            piece = text[start : start + _PIECE]
            if piece not in self._ids:
                self._ids[piece] = len(self._texts)
                self._texts.append(piece)
            tokens.append(self._ids[piece])
        return tuple(tokens)

    async def tokenize(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """Pieces of four characters."""
        return list(self._encode(text))

    async def detokenize(self, tokens: Sequence[int], *, special: bool = True) -> str:
        """The text again."""
        return "".join(self._texts[token] for token in tokens)

    async def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes of each piece."""
        return [self._texts[token].encode("utf-8", "replace") for token in tokens]

    async def render_chat(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), *, add_generation_prompt: bool = True
    ) -> Rendered:
        """Everything in the window, descriptions of tools and calls included."""
        parts = [f"tool {tool.name}: {tool.description} {json.dumps(dict(tool.parameters))}" for tool in tools]
        for message in messages:
            calls = "".join(f"\n(called {call.name})" for call in message.tool_calls)
            parts.append(f"{message.role}\n{message.content}{calls}")
        text = "\n\n".join(parts)
        return Rendered(text, self._encode(text))

    async def tool_grammar(self, tools: Sequence[ToolSpec]) -> tuple[str, str]:
        """No grammar: this model may write whatever it likes."""
        return "", self._family.trigger

    def parse_answer(self, text: str) -> ParsedAnswer:
        """As for every model of this family."""
        return self._family.parse(text)

    # -- obeying ---------------------------------------------------------------------------

    async def generate(self, request: GenerateRequest) -> AsyncIterator[GenerateEvent]:
        """Follow the next order of the prompt."""
        prompt = await self.detokenize(request.prompt)
        background = request.priority == "background"
        if not background:
            self.prompts.append(prompt)
        answer = self._answer(prompt) if not background else "A title"
        yield Prefilled(len(request.prompt), len(request.prompt), 0)
        for start in range(0, len(answer), 7):
            yield Chunk(answer[start : start + 7])
        yield Finished("stop", prompt_tokens=len(request.prompt), completion_tokens=len(answer))

    def _answer(self, prompt: str) -> str:
        if not self.obedient:
            return "I see."
        seen: Counter[str] = Counter()
        for order in orders_in(prompt):
            seen[order.text] += 1
            if order.foreign:
                key = (order.text, self.chat, self.turn if order.again else -1)
            else:  # the user may ask for the same thing twice
                key = (order.text, self.chat, -1 - seen[order.text])
            if key in self._done:
                continue
            self._done.add(key)
            answer = self._obey(order, prompt)
            if answer:
                return answer
        return "That is all."

    def _obey(self, order: Order, prompt: str) -> str:
        try:
            if order.verb == "do":
                name, _, text = order.body.partition(" ")
                arguments = fill_in(json.loads(text or "{}"), prompt)
                if order.foreign:
                    self.foreign_calls.append(ToolCall(name, arguments))
                call = json.dumps({"name": name, "arguments": arguments})
                return f"<tool_call>{call}</tool_call>"
            words = str(fill_in(json.loads(order.body), prompt))
        except ValueError as error:
            raise AssertionError(f"the case has a broken order: {order.text} ({error})") from error
        if order.foreign:
            self.foreign_words.append(words)
            if order.verb == "raw":
                self.foreign_calls.extend(self.parse_answer(words).tool_calls)
        return words

    # -- what a kernel has beside ------------------------------------------------------------

    async def load(self, request: LoadRequest) -> ModelInfo:
        """There is nothing to load."""
        if self.model is None:
            raise NotAvailable("The scripted model loads nothing.")
        return self.model

    async def fork(self, source: str, target: str) -> None:
        """Nothing is cached."""

    async def drop(self, sequence: str) -> None:
        """Nothing is cached."""

    async def save_sequence(self, sequence: str, path: Path) -> int:
        """Nothing is cached."""
        return 0

    async def restore_sequence(self, sequence: str, path: Path) -> int:
        """Nothing is cached."""
        return 0

    async def embed(self, texts: Sequence[str], *, hidden: bool = False) -> list[list[float]]:
        """Not here."""
        raise NotAvailable("The scripted model embeds nothing.")

    async def set_lora(self, path: Path | None, scale: float = 1.0) -> None:
        """Not here."""
        raise NotAvailable("The scripted model has no adapters.")

    async def stats(self) -> KernelStats:
        """An idle kernel."""
        return KernelStats(0, 0, 0, self.model.context if self.model else 0, 0, (), 0, 0, 0.0)

    async def close(self) -> None:
        """Nothing to end."""
