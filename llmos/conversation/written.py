"""What an answer's first sample has written: raw text and tokens beside what of it was shown.

An answer that was ended in mid-thought is gone on with: its thoughts are closed and the rest is
written. What the user saw of it is cleaned text, and cut into tokens anew that can be several times
as many (a byte that is no letter is shown as U+FFFD, three bytes), all to be evaluated once more.
Here the shown text finds its way back to the tokens that are in the cache.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from llmos.guard.clean import StreamCleaner
from llmos.types import TextDelta, ThinkingDelta

Delta = TextDelta | ThinkingDelta

#: How many pieces are given up to find one that ends with a whole letter.
_STEPS_BACK = 16


class Shown:
    """Deltas as they may be drawn: cleaned as if the text had come whole, thoughts and text apart."""

    def __init__(self) -> None:
        self._text = StreamCleaner()
        self._thinking = StreamCleaner()

    @property
    def settled(self) -> bool:
        """Whether nothing is held back for what may follow it."""
        return self._text.settled and self._thinking.settled

    def feed(self, deltas: Sequence[Delta]) -> list[Delta]:
        """What of the deltas is certain now."""
        found: list[Delta] = []
        for delta in deltas:
            cleaner = self._text if isinstance(delta, TextDelta) else self._thinking
            text = cleaner.feed(delta.text)
            if text:
                found.append(replace(delta, text=text))
        return found

    def flush(self) -> list[Delta]:
        """What was held back, at the end."""
        thinking, text = self._thinking.flush(), self._text.flush()
        rest: list[Delta] = [ThinkingDelta(thinking)] if thinking else []
        return [*rest, TextDelta(text)] if text else rest


@dataclass(frozen=True, slots=True)
class Begun:
    """How an answer begins: what is in the cache of it, and what is to be written after that.

    Attributes:
        text: raw text whose tokens are known.
        tokens: its tokens.
        rest: text that comes after it.
    """

    text: str
    tokens: list[int]
    rest: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a piece ended: in the raw text, the tokens, the shown thoughts and the shown text."""

    raw: int
    tokens: int
    thinking: int
    text: int


class Written:
    """The first sample of an answer as it comes.

    Args:
        prompt: tokens before it.
    """

    def __init__(self, prompt: tuple[int, ...]) -> None:
        self.prompt = prompt
        self._raw: list[str] = []
        self._tokens: list[int] = []
        self._thinking: list[str] = []
        self._text: list[str] = []
        self._at = _Place(0, 0, 0, 0)
        self._places: list[_Place] = []

    def add(
        self, raw: str, tokens: Sequence[int], deltas: Sequence[Delta] = (), *, settled: bool = False
    ) -> None:
        """The next piece.

        Args:
            raw: its text.
            tokens: its tokens.
            deltas: what is shown of it.
            settled: whether all of the text so far was shown, but for what is never shown.
        """
        self._raw.append(raw)
        self._tokens.extend(tokens)
        thinking, text = self._at.thinking, self._at.text
        for delta in deltas:
            if isinstance(delta, TextDelta):
                self._text.append(delta.text)
                text += len(delta.text)
            else:
                self._thinking.append(delta.text)
                thinking += len(delta.text)
        self._at = _Place(self._at.raw + len(raw), len(self._tokens), thinking, text)
        if settled and (thinking or text):
            self._places.append(self._at)

    async def find(
        self, thoughts: str, text: str, closing: str, spell: Callable[[Sequence[int]], Awaitable[str]]
    ) -> Begun | None:
        """The longest known beginning of an answer that shows these thoughts and this text; None when none.

        Args:
            thoughts: shown thoughts, without blanks at their ends.
            text: shown text after them.
            closing: what ends thoughts, where the answer has not ended them itself.
            spell: text of tokens.
        """
        shown_thoughts, shown_text = "".join(self._thinking), "".join(self._text)
        same_thoughts = _shared(shown_thoughts, thoughts)
        same_text = _shared(shown_text, text)
        thought_out = shown_thoughts.strip() == thoughts
        raw = "".join(self._raw)
        steps = 0
        for place in reversed(self._places):
            if place.text:
                if not thought_out or place.text > same_text:
                    continue
                rest = text[place.text :]
            elif place.thinking <= same_thoughts:
                rest = f"{thoughts[place.thinking :]}{closing}{text}"
            else:
                continue
            begun = Begun(raw[: place.raw], self._tokens[: place.tokens], rest)
            # A letter may be split over two pieces: then the tokens say more than the text.
            if await spell(begun.tokens) == begun.text:
                return begun
            steps += 1
            if steps >= _STEPS_BACK:
                break
        return None


def _shared(first: str, second: str) -> int:
    """Number of leading letters that agree."""
    count = min(len(first), len(second))
    if first[:count] == second[:count]:
        return count
    return next(at for at in range(count) if first[at] != second[at])
