"""Byte-level BPE: training, encoding, and the merges with their counts for the record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.formats import SPECIAL_TOKENS

if TYPE_CHECKING:
    from tokenizers import Tokenizer as HuggingTokenizer

#: llama.cpp's name for "digits one by one, then byte level" (``tokenizer.ggml.pre``).
GGUF_PRE = "smollm"


class Tokenizer:
    """Encodes text; knows which ids are special.

    Text that comes from outside never yields a special token: ``encode`` treats ``<|im_end|>`` in
    a text as plain characters, and only ``special`` gives the ids of the real ones.
    """

    def __init__(self, inner: HuggingTokenizer) -> None:
        self._inner = inner
        self.vocab_size: int = inner.get_vocab_size()
        self.special: dict[str, int] = {t: int(inner.token_to_id(t) or 0) for t in SPECIAL_TOKENS}
        self._plain = _without_special(inner)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text."""
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts at once (uses all cores)."""
        return [e.ids for e in self._plain.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids, special tokens included as they are written."""
        text: str = self._inner.decode(list(ids), skip_special_tokens=False)
        return text

    def tokens(self) -> list[str]:
        """Every token as it is stored (byte-level alphabet), in id order."""
        vocab: dict[str, int] = self._inner.get_vocab()
        return [token for token, _ in sorted(vocab.items(), key=lambda item: item[1])]

    def merges(self) -> list[tuple[str, str]]:
        """Merges in the order in which training found them."""
        import json

        model: dict[str, Any] = json.loads(self._inner.to_str())["model"]
        return [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]

    def save(self, path: Path) -> None:
        """Write the ``tokenizers`` JSON file."""
        self._inner.save(str(path))

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read what ``save`` wrote.

        Raises:
            FileNotFoundError: there is no such file.
        """
        from tokenizers import Tokenizer as HuggingTokenizer

        if not path.is_file():
            raise FileNotFoundError(f"no tokenizer at {path}: run the tokenizer stage first")
        return cls(HuggingTokenizer.from_file(str(path)))


def _without_special(inner: HuggingTokenizer) -> HuggingTokenizer:
    """The same merges with no special token known, for text that must stay text."""
    import json

    from tokenizers import Tokenizer as HuggingTokenizer

    state = json.loads(inner.to_str())
    state["added_tokens"] = []
    return HuggingTokenizer.from_str(json.dumps(state))


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn merges from ``texts``; special tokens get the ids from 0 on.

    Args:
        texts: passages; their order does not matter.
        vocab_size: entries wanted, with the 256 bytes and the special tokens.
    """
    from tokenizers import Tokenizer as HuggingTokenizer
    from tokenizers import decoders, models, pre_tokenizers, trainers

    inner = HuggingTokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return Tokenizer(inner)


def merge_counts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[tuple[str, str, int]]:
    """Merges in order, each with how often its result is used in ``texts``.

    "Used" counts a merge in every token that was built through it, so an early merge keeps the
    credit for the longer tokens that later merges made of it.
    """
    merges = tokenizer.merges()
    made_of = {left + right: (left, right) for left, right in merges}
    names = tokenizer.tokens()
    uses: Counter[str] = Counter()
    for ids in tokenizer.encode_many(texts):
        uses.update(names[i] for i in ids)
    total: Counter[str] = Counter()
    for token, count in uses.items():
        stack = [token]
        while stack:
            part = stack.pop()
            if part in made_of:
                total[part] += count
                stack.extend(made_of[part])
    return [(left, right, total[left + right]) for left, right in merges]


def bytes_per_token(texts: Sequence[str], tokenizer: Tokenizer) -> float:
    """UTF-8 bytes that one token stands for, on average over ``texts``."""
    size = sum(len(t.encode()) for t in texts)
    count = sum(len(ids) for ids in tokenizer.encode_many(texts))
    return size / max(1, count)
