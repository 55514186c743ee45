"""The build record of a model: typed access to the files under ``models/<name>/record/``.

Needs no torch; the panels read it. A record is read file by file, when something is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llmos.errors import UserError

#: Version of the files' layout; a loader reads this one only.
VERSION = 1


class RecordError(UserError):
    """The record is missing or damaged; the text is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class SampleText:
    """What a checkpoint wrote.

    Attributes:
        step: of pre-training.
        prompt: fixed text that it continued.
        text: its greedy continuation.
    """

    step: int
    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class MaskedExample:
    """A training conversation as tokens.

    Attributes:
        kind: the ability that it trains.
        tokens: text of each token.
        learned: whether the loss counts each token.
    """

    kind: str
    tokens: tuple[str, ...]
    learned: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A prompt with a better and a worse answer.

    Attributes:
        kind: the rule that made it.
        prompt: rendered chat up to the answer.
        chosen: the better answer.
        rejected: the worse one.
        before: log-probabilities (chosen, rejected) before DPO.
        after: the same after it.
    """

    kind: str
    prompt: str
    chosen: str
    rejected: str
    before: tuple[float, float]
    after: tuple[float, float]


@dataclass(frozen=True, slots=True)
class RewardHead:
    """A linear score of an answer.

    Attributes:
        vector: weights on the last hidden state of the token that ends the turn.
        bias: added; the mean score of training answers is zero with it.
        scale: standard deviation of the scores, to show them in comparable units.
        accuracy: share of held-out pairs that it orders rightly.
    """

    vector: tuple[float, ...]
    bias: float
    scale: float
    accuracy: float

    def score(self, state: Sequence[float]) -> float:
        """Score of a hidden state, in standard deviations above the mean."""
        if len(state) != len(self.vector):
            raise ValueError(f"a state of {len(state)} numbers does not fit a head of {len(self.vector)}")
        raw = sum(a * b for a, b in zip(self.vector, state, strict=True)) + self.bias
        return raw / (self.scale or 1.0)


@cache
def _byte_of() -> dict[str, int]:
    """Byte behind each letter of the byte-level alphabet (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(b): b for b in printable}
    spare = (b for b in range(256) if b not in printable)
    return letters | {chr(256 + n): b for n, b in enumerate(spare)}


def token_bytes(token: str) -> bytes:
    """The bytes that a stored token stands for."""
    table = _byte_of()
    return bytes(table[letter] for letter in token)


class BuildRecord:
    """A record on disk.

    Args:
        folder: ``models/<name>/record``.

    Raises:
        RecordError: there is none, or its version is another one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        about = self._json("record.json")
        if about.get("version") != VERSION:
            raise RecordError(
                f"The build record in {folder} has version {about.get('version')}, but this program "
                f"reads {VERSION}: reinstall, or build the model again."
            )
        self.about: dict[str, Any] = about

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RecordError(f"There is no {name} in the build record {self.folder}: reinstall.") from None
        except (OSError, ValueError) as error:
            raise RecordError(f"{self.folder / name} cannot be read ({error}): reinstall.") from error

    def _rows(self, name: str) -> list[dict[str, Any]]:
        try:
            lines = (self.folder / name).read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines if line]
        except FileNotFoundError:
            raise RecordError(f"There is no {name} in the build record {self.folder}: reinstall.") from None
        except (OSError, ValueError) as error:
            raise RecordError(f"{self.folder / name} cannot be read ({error}): reinstall.") from error

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.about["name"])

    def funnel(self) -> dict[str, Any]:
        """Account of the data funnel: ``stages`` in order, ``redacted``, ``sources``."""
        found: dict[str, Any] = self._json("funnel.json")
        return found

    def merges(self) -> list[tuple[bytes, bytes, int]]:
        """Merges of the tokenizer in order: left, right, uses in a sample of the text."""
        return [(token_bytes(a), token_bytes(b), int(n)) for a, b, n in self._json("merges.json")]

    def vocabulary_sizes(self) -> list[tuple[int, float]]:
        """(vocabulary size, bytes a token) of the tokenizer study."""
        return [(int(size), float(rate)) for size, rate in self._json("vocabulary.json")]

    def curve(self, stage: str = "pretrain") -> list[dict[str, Any]]:
        """Logged steps of a stage (``pretrain``, ``sft``, ``preferences``, ``rl``, ``twin``).

        Pre-training rows have ``step, tokens, loss, bits_per_byte, lr, grad_norm, tokens_per_second,
        context, seconds``.
        """
        return [row for row in self._rows(f"{stage}.jsonl") if "held_out" not in row]

    def held_out(self) -> list[dict[str, Any]]:
        """Bits per byte on held-out text by source, at every checkpoint (``step``, ``held_out``)."""
        return [row for row in self._rows("pretrain.jsonl") if "held_out" in row]

    def samples(self) -> list[SampleText]:
        """Continuations of the fixed prompts at every checkpoint."""
        return [SampleText(r["step"], r["prompt"], r["text"]) for r in self._rows("samples.jsonl")]

    def checkpoints(self) -> list[tuple[int, Path]]:
        """(step, file) of the checkpoints that can be loaded, first to last."""
        found = [(int(c["step"]), self.folder.parent / c["file"]) for c in self._json("checkpoints.json")]
        return [(step, path) for step, path in found if path.is_file()]

    def checkpoint_hashes(self) -> dict[str, str]:
        """SHA-256 of every checkpoint by file name."""
        return {str(c["file"]): str(c["sha256"]) for c in self._json("checkpoints.json")}

    def examples(self) -> list[MaskedExample]:
        """Training conversations with their loss masks."""
        rows = self._json("sft_examples.json")
        return [MaskedExample(r["kind"], tuple(r["tokens"]), tuple(map(bool, r["learned"]))) for r in rows]

    def pairs(self) -> list[PreferencePair]:
        """Some preference pairs with their log-probabilities before and after DPO."""
        rows = self._json("pairs.json")
        return [
            PreferencePair(
                r["kind"], r["prompt"], r["chosen"], r["rejected"], tuple(r["before"]), tuple(r["after"])
            )
            for r in rows
        ]

    def reward_head(self) -> RewardHead:
        """The reward model."""
        row = self._json("reward_head.json")
        return RewardHead(tuple(row["vector"]), row["bias"], row["scale"], row["accuracy"])

    def scores(self) -> dict[str, dict[str, Any]]:
        """Held-out scores by stage, then ability: ``n`` and each score's ``value``, ``low``, ``high``."""
        found: dict[str, dict[str, Any]] = self._json("scores.json")
        return found

    def scaling(self) -> list[dict[str, Any]]:
        """Runs of the scaling study: ``parameters, tokens, flops, loss``."""
        found: list[dict[str, Any]] = self._json("scaling.json")
        return found

    def planted(self) -> dict[str, Any]:
        """What is planted in the base text.

        ``reversal`` (name, description), ``memorised`` (passages by repetitions), ``prize`` (winner by
        year up to ``cut_off``), ``absent`` (names that never occur).
        """
        found: dict[str, Any] = self._json("planted.json")
        return found


def load_record(models: Path, name: str = "llmos-3m") -> BuildRecord:
    """The record of a bundled model.

    Args:
        models: the folder of bundled models.
        name: the model's folder in it.
    """
    return BuildRecord(models / name / "record")
