"""The base text as one array of token ids: corpus, generated passages and planted material."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.formats import END_OF_TEXT
from llmos.foundry.plain_text import generated_document
from llmos.foundry.planted import plant

if TYPE_CHECKING:
    import numpy as np

    from llmos.foundry.tokenizer import Tokenizer

#: Most megabytes that one source may give. A model of this size gains most from plain, short and
#: factual text; novels and textbooks would drown it.
SOURCE_LIMITS = {"gutenberg": 3.0, "classic_md": 2.0, "openstax": 3.0, "wordnet_glosses": 3.0, "factbook": 0.6}
#: Share of generated text in the whole.
GENERATED_SHARE = 0.35


@dataclass(frozen=True)
class Mixture:
    """Where the token files of a run lie, and what is in them."""

    train: Path
    held_out: dict[str, Path]
    tokens: int
    bytes: int


def read_passages(path: Path) -> Iterator[dict[str, Any]]:
    """Rows that the funnel wrote: ``source``, ``text``, ``held_out``."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def select(passages: Iterable[dict[str, Any]], megabytes: float) -> tuple[list[str], dict[str, list[str]]]:
    """Training texts within the limits of their sources, and held-out texts by source.

    Args:
        passages: rows of the funnel.
        megabytes: all training text together; larger limits of sources are scaled down to it.
    """
    used: dict[str, int] = {}
    chosen: list[str] = []
    held: dict[str, list[str]] = {}
    total, limit = 0, megabytes * 1e6
    rows = list(passages)
    random.Random("order of passages").shuffle(rows)
    for row in rows:
        source, text = row["source"], row["text"]
        if row["held_out"]:
            held.setdefault(source, []).append(text)
            continue
        size = len(text.encode())
        if used.get(source, 0) + size > SOURCE_LIMITS.get(source, 1e9) * 1e6 or total + size > limit:
            continue
        used[source] = used.get(source, 0) + size
        total += size
        chosen.append(text)
    return chosen, held


def generated_texts(seed: int, size: int) -> list[str]:
    """Generated passages of about ``size`` bytes together."""
    rng = random.Random(f"generated-{seed}")
    texts: list[str] = []
    made = 0
    while made < size:
        texts.append(generated_document(rng))
        made += len(texts[-1].encode())
    return texts


def write_mixture(
    folder: Path, texts: list[str], held: dict[str, list[str]], tokenizer: Tokenizer, seed: int
) -> Mixture:
    """Tokenise, shuffle and store everything as 16-bit ids.

    Args:
        folder: gets ``train.bin``, ``held-SOURCE.bin`` and ``mixture.json``.
        texts: training passages of the corpus; generated and planted ones are added here.
        held: held-out passages by source.
        tokenizer: has at most 65,536 entries.
        seed: of the order and of the generated passages.
    """
    import numpy as np

    corpus_bytes = sum(len(t.encode()) for t in texts)
    generated = generated_texts(seed, int(corpus_bytes * GENERATED_SHARE / (1 - GENERATED_SHARE)))
    planted = plant().documents()
    everything = [*texts, *generated, *planted]
    random.Random(f"mixture-{seed}").shuffle(everything)
    end = tokenizer.special[END_OF_TEXT]

    def pack(passages: list[str]) -> np.ndarray[Any, Any]:
        parts: list[int] = []
        for start in range(0, len(passages), 2000):
            for ids in tokenizer.encode_many(passages[start : start + 2000]):
                parts.append(end)
                parts.extend(ids)
        return np.array(parts, dtype=np.uint16)

    folder.mkdir(parents=True, exist_ok=True)
    train = pack(everything)
    train.tofile(folder / "train.bin")
    sizes = {}
    held = {**held, "generated": generated_texts(seed + 1, 60_000)}
    for source, passages in held.items():
        kept: list[str] = []
        for text in passages:
            kept.append(text)
            if sum(map(len, kept)) > 60_000:
                break
        pack(kept).tofile(folder / f"held-{source}.bin")
        sizes[source] = sum(len(t.encode()) for t in kept)
    total = sum(len(t.encode()) for t in everything)
    facts = {
        "tokens": len(train),
        "bytes": total,
        "corpus_bytes": corpus_bytes,
        "generated_bytes": sum(len(t.encode()) for t in generated),
        "planted_bytes": sum(len(t.encode()) for t in planted),
        "held_out_bytes": sizes,
        "seed": seed,
    }
    (folder / "mixture.json").write_text(json.dumps(facts, indent=1))
    return load_mixture(folder)


def load_mixture(folder: Path) -> Mixture:
    """The mixture that ``write_mixture`` stored.

    Raises:
        FileNotFoundError: the stage has not run.
    """
    if not (folder / "mixture.json").is_file():
        raise FileNotFoundError(f"no base text in {folder}: run the data and tokenizer stages first")
    facts = json.loads((folder / "mixture.json").read_text())
    held = {p.stem.removeprefix("held-"): p for p in sorted(folder.glob("held-*.bin"))}
    return Mixture(folder / "train.bin", held, facts["tokens"], facts["bytes"])
