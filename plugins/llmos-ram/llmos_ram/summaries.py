"""Summaries of what left the window: made in quiet moments, linked to their pages, recalled after them.

Pages are taken in batches of one kind of label, so that a summary is as tainted as its pages and no
clean page is tainted by its neighbours. A model of some size writes them; beside a smaller one they
are key sentences (``llmos_ram.key_sentences``) and are named so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from llmos.plugins import Host
from llmos.types import Confidentiality, Integrity, Labels, Page, SamplingSettings, UserError, join_labels
from llmos_ram.key_sentences import as_text, key_sentences, statements
from llmos_ram.store import RamStore, StoredPage
from llmos_ram.summary_rows import Summary
from llmos_ram.words import all_words, content_words

#: A smaller model's summaries are worse than sentences of the pages themselves.
LEAST_PARAMETERS = 1_000_000_000
#: Pages in a batch; fewer wait until more have left.
FEWEST, MOST = 6, 24
#: Tokens of the pages of a batch, at most; a quarter of the window where that is less.
BATCH_TOKENS = 1_200
#: Tokens of a summary: a third of its pages, within these bounds and a sixteenth of the window.
SHORTEST, LONGEST = 32, 160
KEY_SENTENCES = "key sentences"
#: Tokens of instructions and template around the pages that a model summarises.
_AROUND = 96

_SYSTEM = (
    "You summarise a part of a conversation in at most four short sentences. Keep names, numbers and dates "
    "exactly as they are written. Add nothing that is not there."
)
_NUMBER = re.compile(r"\d[\d.,:]*")
#: Words of a question about the conversation as a whole.
_OVERVIEW = re.compile(
    r"\b(?:summar\w+|recap|so far|what (?:did|have|were) (?:we|i|you) (?:talk\w*|discuss\w*|speak\w*)"
    r"|(?:talk|talked|talking|spoke|discussed) about (?:earlier|before|so far|today|yesterday))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Pages that one summary is made of."""

    chat_id: str
    pages: tuple[StoredPage, ...]

    @property
    def labels(self) -> Labels:
        """Joined from those of the pages."""
        return join_labels(page.labels for page in self.pages)


class Summaries:
    """Makes summaries and finds them again.

    Args:
        host: the program.
        store: the pages.
    """

    def __init__(self, host: Host, store: RamStore) -> None:
        self._host = host
        self._store = store

    @property
    def mode(self) -> str:
        """The user's setting: ``auto``, ``key sentences``, ``model`` or ``off``."""
        return str(self._host.settings.get("summaries", "auto"))

    @property
    def by_model(self) -> bool:
        """Whether the loaded model writes them."""
        large = int(self._host.model_parameters) >= LEAST_PARAMETERS
        return self.mode == "model" or (self.mode == "auto" and large)

    # What is to be done.

    def due(self, chat_id: str) -> list[Batch]:
        """Batches of pages of a chat that left the window and have no summary, oldest first."""
        if self.mode == "off":
            return []
        gone = [
            page.message_id
            for page in self._host.window_pages(chat_id)
            if page.where == "swapped" and page.message_id and page.id == page.message_id
        ]
        known = self._store.known_messages(chat_id)
        rows = sorted({known[message] for message in gone if message in known})
        done = self._store.summarised(rows)
        batches: list[Batch] = []
        groups: dict[tuple[Integrity, Confidentiality], list[StoredPage]] = {}
        left = rows = [row for row in rows if row not in done]
        while left:
            part, left = left[:500], left[500:]
            pages = self._store.pages(part)
            for row in part:
                page = pages.get(row)
                if page is None or not statements(page.text, page.role):
                    continue
                group = groups.setdefault((page.labels.integrity, page.labels.confidentiality), [])
                group.append(page)
                if len(group) == MOST or self._long(group):
                    batches.append(Batch(chat_id, tuple(group)))
                    group.clear()
        batches += [Batch(chat_id, tuple(group)) for group in groups.values() if len(group) >= FEWEST]
        return sorted(batches, key=lambda batch: batch.pages[0].row)

    def _long(self, group: Sequence[StoredPage]) -> bool:
        most = min(BATCH_TOKENS, self._host.context_size // 4 or BATCH_TOKENS)
        return sum(len(page.text) for page in group) >= 4 * most

    # Making.

    def make(self, batch: Batch) -> int:
        """Summarise a batch and keep the summary.

        Returns:
            its row, 0 when there was nothing to keep.

        Raises:
            llmos.types.UserError: the person is back, the model cannot answer, or the cache has no room now.
        """
        text, how = self._by_model(batch) if self.by_model else ("", "")
        if not text:
            text, how = self._by_sentences(batch), KEY_SENTENCES
        if not text:
            return 0
        labels = batch.labels
        if how != KEY_SENTENCES:
            labels = labels.join(Labels(frozenset({"model"}), Integrity.TRUSTED, Confidentiality.PUBLIC))
        span = batch.pages[0].created, batch.pages[-1].created
        return self._store.add_summary(
            batch.chat_id, text, labels, [page.row for page in batch.pages], span, how
        )

    def _budget(self, batch: Batch) -> int:
        tokens = self._host.count_tokens("\n".join(page.text for page in batch.pages))
        most = min(
            LONGEST, self._host.context_size // 16 or LONGEST
        )  # what is brought has a sixth of the window
        return max(SHORTEST, min(most, tokens // 3))

    def _by_sentences(self, batch: Batch) -> str:
        said = [(page.role, page.text) for page in batch.pages]
        return as_text(key_sentences(said, self._budget(batch), self._host.count_tokens))

    def _by_model(self, batch: Batch) -> tuple[str, str]:
        """Text and the model's name; empty where what it wrote does not hold against the pages."""
        source = "\n".join(f"{page.role}: {page.text}" for page in batch.pages)
        longest = self._budget(batch)
        need = self._host.count_tokens(source) + longest + _AROUND
        if need > self._host.context_size // 2:
            return "", ""
        if self._host.kv_state(batch.chat_id).tokens + need > self._host.context_size:
            # The kernel would push the chat out of its cache, and the next turn would evaluate it anew.
            raise UserError("The cache has no room beside the chat; its summary waits for the next turn.")
        made = self._host.generate(
            f"{source}\n\nSummarise the lines above.",
            system=_SYSTEM,
            max_tokens=longest,
            sampling=SamplingSettings(temperature=0.0),
            while_quiet=True,
        )
        text = " ".join(made.text.split())
        if made.stop_reason == "length":  # an unfinished last sentence goes
            text = text[: max(text.rfind(mark) for mark in ".!?") + 1]
        return (text, self._host.model_name) if holds(text, source) else ("", "")

    # Finding.

    def recall(
        self,
        query: str,
        chat_id: str,
        *,
        budget: int,
        brought: Collection[int] = (),
        present: Collection[int] = (),
        branch: Collection[int] | None = None,
        limit: int = 1,
    ) -> list[Page]:
        """Summaries for a text, as pages; they come after the pages themselves and never beside them.

        Args:
            query: the user's text, or the model's query.
            chat_id: whose; empty for all chats.
            budget: tokens that are left.
            brought: rows of pages that are recalled now.
            present: rows of pages in the window.
            branch: rows of the chat's current branch; None allows every row.
            limit: at most this many.
        """
        if budget <= 0 or self.mode == "off":
            return []
        overview = asks_for_overview(query)
        wanted = set(content_words(query))
        if overview:
            found = self._store.latest_summaries(chat_id, 50)[::-1] if chat_id else []
            limit = max(limit, 3)
        else:
            rows = self._store.search_summaries(wanted, chat_id, 12)
            ranks = {row: rank for rank, row in enumerate(rows)}
            found = sorted(self._store.summaries(chat_id, rows), key=lambda one: ranks[one.row])
        pages: list[Page] = []
        allowed = branch if branch is None or isinstance(branch, Set) else set(branch)
        for one in found:
            linked = set(one.pages)
            shared = wanted & set(content_words(one.text))
            if not overview and len(shared) < min(2, len(wanted)):
                continue
            if linked <= {*present, *brought} or (linked & set(brought) and not overview):
                continue  # it would only repeat them
            if allowed is not None and not linked <= allowed:
                continue
            why = "you asked about the whole chat" if overview else f"it shares {_list(shared)} with it"
            page = summary_page(one, why)
            cost = self._host.count_tokens(page.text) + 16
            if len(pages) < limit and cost <= budget:
                pages.append(page)
                budget -= cost
        return pages


def asks_for_overview(text: str) -> bool:
    """Whether a text asks for the conversation as a whole: summaries then have half of the budget."""
    return bool(_OVERVIEW.search(text))


def holds(text: str, source: str) -> bool:
    """Whether a model's summary may stand: shorter than its source, with no number or most words made up."""
    words = content_words(text)
    if not all_words(text) or len(text) >= len(source):
        return False
    numbers = {one.rstrip(".,:") for one in _NUMBER.findall(source)}
    if any(one.rstrip(".,:") not in numbers for one in _NUMBER.findall(text)):
        return False
    known = set(content_words(source))
    return sum(word in known for word in words) >= len(words) / 2


def summary_page(one: Summary, why: str) -> Page:
    """A summary as a page of the window.

    Its origin is the one of a memory: the user's own words in it do not become a foreign source.
    """
    labels = one.labels
    return Page(
        text=one.text,
        kind="summary",
        labels=Labels(labels.origins | {f"memory:summary-{one.row}"}, labels.integrity, labels.confidentiality),
        source=f"summary of {len(one.pages)} earlier pages ({span_of(one)}), {by(one)}",
        location={"chat": one.chat_id, "summary": one.row},
        reason=f"recalled for your message: {why}",
    )


def by(one: Summary) -> str:
    """How a summary was made, in words."""
    return KEY_SENTENCES if one.how == KEY_SENTENCES else f"written by {one.how}"


def span_of(one: Summary) -> str:
    """From when to when its pages were said."""
    first, last = (datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M") for at in (one.first, one.last))
    return first if first == last else f"{first} to {last}"


def _list(words: Collection[str]) -> str:
    return "the words " + ", ".join(sorted(words)) if len(words) > 1 else "the word " + "".join(words)


def work_through(summaries: Summaries, chat_id: str, go_on: Callable[[], bool]) -> int:
    """Summarise what is due of a chat while ``go_on``; returns how many summaries were made."""
    made = 0
    for batch in summaries.due(chat_id):
        if not go_on():
            break
        try:
            made += bool(summaries.make(batch))
        except UserError:
            break  # the person is back, or the kernel cannot: the next quiet moment goes on from here
    return made
