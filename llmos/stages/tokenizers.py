"""Several tokenizers on one text: the loaded model's, other files', and the recorded merges cut short."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos.kernel.protocol import NotAvailable
from llmos.stages.frame import StageContext
from llmos.types import UserError

#: Other files' tokenizers that are shown at most.
_MOST_FILES = 5
#: Merges of the bundled model's own encoding at which it is cut short; all of them come last.
_SIZES = (0, 256, 1024)
_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
#: Kinds of tokenizers as GGUF files name them.
_KINDS = {
    "gpt2": "byte pairs",
    "llama": "SentencePiece",
    "bert": "WordPiece",
    "t5": "Unigram",
    "rwkv": "RWKV",
    "gemma4": "byte pairs",
}
#: GPT-2's pattern over classes of letters: L letter, N number, W other white space, O the rest.
_PATTERN = re.compile(r" ?L+| ?N+| ?O+|[ W]+(?![^ W])|[ W]+")


@dataclass(frozen=True, slots=True)
class Cut:
    """A text as one tokenizer cuts it.

    Attributes:
        name: of the model or encoding.
        kind: of tokenizer, in words.
        vocabulary: its size.
        ids: the tokens' numbers.
        pieces: the bytes of each.
        recorded: whether the merges of the build record made it.
        problem: why there is none, else empty.
    """

    name: str
    kind: str = ""
    vocabulary: int = 0
    ids: tuple[int, ...] = ()
    pieces: tuple[bytes, ...] = ()
    recorded: bool = False
    problem: str = ""


def _class(letter: str) -> str:
    if letter == " ":
        return " "
    if letter.isspace() and letter not in "\x1c\x1d\x1e\x1f":  # white space to Python, not to Unicode
        return "W"
    kind = unicodedata.category(letter)[0]
    return kind if kind in "LN" else "O"


def words_of(text: str) -> list[str]:
    """A text cut before byte pair encoding, as the bundled model's tokenizer does: digits one by one,
    then by GPT-2's pattern (Radford et al. 2019), so that no merge crosses from word to word.
    """
    found: list[str] = []
    start = 0
    for end in range(len(text) + 1):
        number = end < len(text) and _class(text[end]) == "N"
        if end == len(text) or number:
            found += _by_pattern(text[start:end])
            if number:
                found.append(text[end])
            start = end + 1
    return found


def _by_pattern(text: str) -> list[str]:
    shadow = "".join(map(_class, text))
    found, place = [], 0
    while place < len(text):
        word = next((one for one in _CONTRACTIONS if text.startswith(one, place)), "")
        if not word:
            match = _PATTERN.match(shadow, place)
            assert match is not None  # every class is in the pattern
            word = text[place : match.end()]
        found.append(word)
        place += len(word)
    return found


def encode(text: str, ranks: Mapping[tuple[bytes, bytes], int]) -> list[bytes]:
    """Tokens of a text under merges, the earliest merge first.

    Args:
        text: any.
        ranks: place of each merge in the order in which training found it.
    """
    tokens: list[bytes] = []
    for word in words_of(text):
        parts = [bytes([byte]) for byte in word.encode("utf-8", "replace")]
        while len(parts) > 1:
            places = range(len(parts) - 1)
            best = min(places, key=lambda at: ranks.get((parts[at], parts[at + 1]), len(ranks)))
            if (parts[best], parts[best + 1]) not in ranks:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        tokens += parts
    return tokens


def cut_short(text: str, merges: Sequence[tuple[bytes, bytes, int]], name: str) -> list[Cut]:
    """The bundled model's encoding with its first merges only, and with all.

    Args:
        text: what to cut.
        merges: of the build record, in order.
        name: of the bundled model.
    """
    found = []
    for count in [*(size for size in _SIZES if size < len(merges)), len(merges)]:
        ranks = {(left, right): place for place, (left, right, _) in enumerate(merges[:count])}
        # An id as if the vocabulary were the 256 bytes and then the merges.
        numbers = {left + right: 256 + place for (left, right), place in ranks.items()}
        pieces = encode(text, ranks)
        ids = tuple(numbers[one] if one in numbers else one[0] for one in pieces)
        title = f"{name}, {count:,} of {len(merges):,} merges" if count else "bytes alone, no merge"
        kind = "byte pairs, ids: bytes, then merges"
        found.append(Cut(title, kind, 256 + count, ids, tuple(pieces), recorded=True))
    return found


async def loaded_cut(context: StageContext, text: str) -> Cut:
    """The loaded model's own."""
    kernel, model = context.kernel, context.kernel.model
    ids = tuple(await kernel.tokenize(text))
    kind = str(model.metadata.get("tokenizer.ggml.model", "")) if model else ""
    pieces = tuple(await kernel.pieces(ids))
    return Cut(f"{context.model_name} (loaded)", in_words(kind), model.vocabulary if model else 0, ids, pieces)


def in_words(kind: str) -> str:
    """A GGUF file's name of a tokenizer's kind, in words."""
    return _KINDS.get(kind, kind)


async def other_files(context: StageContext) -> list[tuple[str, Path]]:
    """(name, file) of other models on this machine: the embedder's, then the user's and the bundled one."""
    from llmos.kernel import locate

    loaded = Path(context.kernel.model.path) if context.kernel.model else Path()
    found: dict[Path, str] = {}
    path: Path | None = await context.extras["find_embedder"]() if "find_embedder" in context.extras else None
    if path is not None:
        found[path.resolve()] = f"{path.stem} (embedder)"
    local = locate.local_models()
    for one in [*(one for one in local if not one.bundled), *(one for one in local if one.bundled)]:
        found.setdefault(one.path.resolve(), one.name)
    found.pop(loaded.resolve(), None)
    return [(name, path) for path, name in found.items()][:_MOST_FILES]


async def cuts_of_files(context: StageContext, text: str) -> list[Cut]:
    """The text under every other file's tokenizer; one that cannot be read says why."""
    found = []
    for name, path in await other_files(context):
        try:
            one = await context.cut(path, text)
        except NotAvailable as error:
            return [Cut("Other models", problem=str(error))]
        except UserError as error:
            found.append(Cut(name, problem=str(error)))
        else:
            found.append(Cut(name, in_words(one.kind), one.vocabulary, one.tokens, one.pieces))
    return found
