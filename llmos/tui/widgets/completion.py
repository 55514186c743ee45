"""A short list above the prompt: slash commands and ``@`` mentions that fit what is typed."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class Candidate:
    """One completion: what is inserted and a word on it."""

    value: str
    detail: str = ""


class Completion(Widget):
    """Shows at most ``ROWS`` candidates; never takes the focus."""

    ROWS = 7

    DEFAULT_CSS = """
    Completion { height: auto; width: 1fr; display: none; background: $surface; padding: 0 1; }
    Completion.-shown { display: block; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.candidates: list[Candidate] = []
        self.word = ""
        self._index = 0

    def show(self, word: str, candidates: list[Candidate]) -> None:
        """Show candidates for a word; none hides it."""
        self.word, self.candidates, self._index = word, candidates, 0
        self.set_class(bool(candidates), "-shown")
        self.refresh(layout=True)

    def hide(self) -> None:
        """Show nothing."""
        if self.candidates:
            self.show("", [])

    def move(self, step: int) -> None:
        """Choose the next or previous one."""
        if self.candidates:
            self._index = (self._index + step) % len(self.candidates)
            self.refresh()

    @property
    def chosen(self) -> Candidate | None:
        """The chosen candidate."""
        return self.candidates[self._index] if self.candidates else None

    def render(self) -> Content:
        """Rows around the chosen one."""
        first = max(0, min(self._index - self.ROWS // 2, len(self.candidates) - self.ROWS))
        rows: list[Content] = []
        for number, candidate in enumerate(self.candidates[first : first + self.ROWS], first):
            chosen = number == self._index
            row = Content.assemble(
                (candidate.value, "bold"), (f"  {candidate.detail}" if candidate.detail else "", "$text-muted")
            ).truncate(max(self.size.width, 1), ellipsis=True)
            rows.append(row.stylize("reverse") if chosen else row)
        return Content("\n").join(rows)


def fuzzy(word: str, text: str) -> int | None:
    """How well a text fits what is typed: smaller is better, None when it does not."""
    wanted, offered = word.casefold(), text.casefold()
    if not wanted:
        return len(offered)
    place = offered.find(wanted)
    if place >= 0:
        return place * 4 + len(offered)
    score, position = 1_000, 0
    for letter in wanted:
        found = offered.find(letter, position)
        if found < 0:
            return None
        score += found - position
        position = found + 1
    return score + len(offered)


def best(word: str, candidates: list[Candidate], limit: int = 40) -> list[Candidate]:
    """Candidates that fit, best first."""
    if len(word) < 2:
        return candidates[:limit]
    scored = [
        (score, number, candidate)
        for number, candidate in enumerate(candidates)
        if (score := fuzzy(word, candidate.value)) is not None
    ]
    return [candidate for _, _, candidate in sorted(scored, key=lambda one: one[:2])[:limit]]
