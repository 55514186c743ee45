"""Remembers how answers were written in tokens, so that the next turn finds them in the KV cache.

A model may cut a word otherwise than its tokenizer would. Rendered again in the next turn, the
same answer would then give other tokens, and everything from there on would be evaluated anew.
Where a rendered chat begins exactly as one that was answered, its tokens are taken over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

Spans = Sequence[tuple[str, bool]]


def marked_text(spans: Spans) -> str:
    """The rendered text with every literal name between NULs, so that it never equals a special token."""
    return "".join(text if special else f"\0{text}\0" for text, special in spans)


def cut_spans(spans: Spans, length: int) -> list[tuple[str, bool]] | None:
    """What follows the first ``length`` letters of the marked text; None inside a literal name."""
    rest: list[tuple[str, bool]] = []
    for text, special in spans:
        size = len(text) if special else len(text) + 2
        if length >= size:
            length -= size
        elif length == 0:
            rest.append((text, special))
        elif special:
            rest.append((text[length:], True))
            length = 0
        else:
            return None
    return rest


class TokenMemo:
    """The last renderings and the answers that followed them.

    Args:
        size: how many of each are kept.
    """

    def __init__(self, size: int = 32) -> None:
        self._size = size
        self._rendered: OrderedDict[tuple[int, ...], str] = OrderedDict()
        self._answered: OrderedDict[str, tuple[int, ...]] = OrderedDict()

    def clear(self) -> None:
        """Forget everything: another model, another vocabulary."""
        self._rendered.clear()
        self._answered.clear()

    def knows(self, prompt: Sequence[int]) -> bool:
        """Whether this prompt was rendered here."""
        return tuple(prompt) in self._rendered

    def rendered(self, tokens: tuple[int, ...], marked: str) -> None:
        """A chat was rendered."""
        self._rendered[tokens] = marked
        self._trim()

    def answered(self, prompt: Sequence[int], tokens: Sequence[int], text: str) -> None:
        """A rendered prompt was answered with these tokens; unclear text is not remembered."""
        marked = self._rendered.get(tuple(prompt))
        if marked is not None and text and "\0" not in text and "�" not in text:
            self._answered[marked + text] = (*prompt, *tokens)
            self._trim()

    def match(self, marked: str) -> tuple[int, tuple[int, ...]]:
        """(length, tokens) of the longest remembered beginning of a marked text; (0, ()) for none."""
        best = max((text for text in self._answered if marked.startswith(text)), key=len, default="")
        if not best:
            return 0, ()
        self._answered.move_to_end(best)
        return len(best), self._answered[best]

    def _trim(self) -> None:
        for store in (self._rendered, self._answered):
            while len(store) > self._size:
                store.popitem(last=False)
