"""Which page every token belongs to: labels that teach a small model to know page numbers.

To cite a page, its number must travel from the page's head to each of its words, from there to the
words of the answer that are copied, and from these to the citation. The loss on the citation alone,
one token of an answer, did not teach that in 28 million tokens: the number stayed a guess. So, while
fine-tuning, the number is also read off the stream in the middle of the network at every word of a
page, and behind the last block but one at the end of a cited answer (deep supervision, Lee et al.
2015, arXiv 1409.5185). What is read is the digit's own token, so nothing is added to the model.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmos.formats import TOOL_RESPONSE_CLOSE, TURN_END, TURN_START
from llmos.foundry.tokenizer import Tokenizer

#: How many tokens of an answer, the bracket included, are held to the number of the page cited.
ANSWER_TAIL = 6


@dataclass(frozen=True)
class PageTokens:
    """The tokens that make a page's head, looked up once.

    Attributes:
        brackets: tokens that end with ``[``.
        digits: the tokens of 1 to 9, in order.
        gaps: tokens that hold an empty line.
        breaks: tokens that are a line break alone; two of them are an empty line as well.
        ends: tokens that end a turn or a tool's answer.
    """

    brackets: frozenset[int]
    digits: tuple[int, ...]
    gaps: frozenset[int]
    breaks: frozenset[int]
    ends: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> PageTokens:
        """Look them up in a vocabulary."""
        texts = [tokenizer.decode([i]) for i in range(tokenizer.vocab_size)]
        special = tokenizer.special
        return cls(
            frozenset(i for i, t in enumerate(texts) if t.endswith("[")),
            tuple(tokenizer.encode(str(d))[0] for d in range(1, 10)),
            frozenset(i for i, t in enumerate(texts) if "\n\n" in t),
            frozenset(i for i, t in enumerate(texts) if t == "\n"),
            frozenset(special[t] for t in (TURN_START, TURN_END, TOOL_RESPONSE_CLOSE)),
        )


def page_labels(ids: list[int], mask: list[bool], marks: PageTokens) -> tuple[list[int], list[int]]:
    """For each token the digit (0 for page 1) of the page it is in, and of the page its answer cites.

    Args:
        ids: a whole conversation.
        mask: whether each token is learned, that is the assistant's.
        marks: of the tokenizer.

    Returns:
        Two lists as long as ``ids``, with -1 where there is no page. Pages above 9 have none.
    """
    pages, answers = [-1] * len(ids), [-1] * len(ids)
    digit_of = {token: number for number, token in enumerate(marks.digits)}
    current, begin, last_gap = -1, 0, 0
    for place, token in enumerate(ids):
        if token in marks.ends:
            if current >= 0 and last_gap > begin:  # the question behind the pages belongs to none
                pages[last_gap:place] = [-1] * (place - last_gap)
            current, begin, last_gap = -1, place, place
            continue
        after = ids[place + 1 : place + 3]
        alone = len(after) == 2 and after[0] in digit_of and after[1] not in digit_of
        if token in marks.brackets and alone:
            if mask[place]:
                first = max(begin, place - ANSWER_TAIL + 1)
                answers[first : place + 1] = [digit_of[after[0]]] * (place + 1 - first)
            elif _begins_line(ids, place, marks):
                current = digit_of[after[0]]
        if _is_gap(ids, place, marks):
            last_gap = place
        if not mask[place]:
            pages[place] = current
    return pages, answers


def _is_gap(ids: list[int], place: int, marks: PageTokens) -> bool:
    """Whether an empty line ends at a token."""
    return ids[place] in marks.gaps or (
        place > 0 and ids[place] in marks.breaks and ids[place - 1] in marks.breaks
    )


def _begins_line(ids: list[int], place: int, marks: PageTokens) -> bool:
    """Whether a bracket opens a page's head: behind an empty line, or at the start of a turn."""
    if place and _is_gap(ids, place - 1, marks):
        return True
    return any(i in marks.ends for i in ids[max(0, place - 4) : place])
