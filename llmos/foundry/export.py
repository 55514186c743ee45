"""Stage 8, export: GGUF files, checked against the model they come from."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.foundry.gguf_file import write_gguf
from llmos.foundry.tokenizer import Tokenizer
from llmos.foundry.trainer import load_model

if TYPE_CHECKING:
    import numpy as np

    from llmos.foundry.model import Llama

LICENCE = "MIT (weights; training text: see ATTRIBUTION.md)"


@dataclass(frozen=True)
class Check:
    """What was compared for one file.

    Attributes:
        strings: how many strings were tokenised by both libraries.
        wrong_ids: for how many of them the ids differ.
        logit_error: largest difference of a logit.
        same_top: share of positions whose likeliest token is the same.
    """

    strings: int
    wrong_ids: int
    logit_error: float
    same_top: float


def sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_of(model: Llama) -> dict[str, np.ndarray[Any, Any]]:
    """All weights as float32 arrays, by name."""
    return {n: w.detach().float().cpu().numpy() for n, w in model.named_parameters()}


def export(
    weights: Path,
    tokenizer_path: Path,
    target: Path,
    *,
    name: str,
    quantisation: str = "Q8_0",
    chat: bool = True,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write one GGUF file.

    Args:
        weights: a saved state of any stage.
        tokenizer_path: the build's tokenizer.
        target: the file to write.
        name: ``general.name``.
        quantisation: ``F32``, ``Q8_0`` or ``Q4_0``.
        chat: with chat template and end of turn.
        metadata: further ``general.*`` strings.
    """
    model = load_model(weights)
    target.parent.mkdir(parents=True, exist_ok=True)
    facts = {"license": LICENCE, "author": "LLMOS", **(metadata or {})}
    write_gguf(
        target,
        model.config,
        weights_of(model),
        Tokenizer.load(tokenizer_path),
        name=name,
        quantisation=quantisation,
        chat=chat,
        metadata=facts,
    )
    return target


def probe_strings(count: int = 500, seed: int = 5) -> list[str]:
    """Strings that tell tokenizers apart: words, digits, spaces, signs, other scripts, template marks."""
    rng = random.Random(seed)
    words = ["the", "LLMOS", "print(34", "+", "57)", "don't", "It's", "naïve", "Größe", "東京", "привет"]
    words += ["🙂", "x=1;", "12345", "3.14", "a_b\tc", "<|im_end|>", "<think>"]
    spaces = (" ", " ", "  ", "\n", "\n\n", "\t", "   ", " \n", "")
    found = ["", " ", "\n", "  leading", "trailing  ", "a" * 300, "1" * 40, "\r\n", "é", "e\u0301", "\u200b"]
    while len(found) < count:
        parts = []
        for _ in range(rng.randrange(1, 14)):
            word = rng.choice(words)
            if rng.random() < 0.3:
                word = "".join(
                    chr(rng.choice((rng.randrange(32, 127), rng.randrange(160, 1500)))) for _ in range(4)
                )
            parts += [word, rng.choice(spaces)]
        found.append("".join(parts))
    return found


async def check(path: Path, model: Llama, tokenizer: Tokenizer) -> Check:
    """Compare a GGUF file, as the kernel reads it, with the PyTorch model.

    Args:
        path: the file.
        model: what it was written from.
        tokenizer: likewise.
    """
    import numpy as np
    import torch

    from llmos.kernel.client import KernelClient
    from llmos.kernel.protocol import LoadRequest

    text = "Once upon a time there was a small model. [1] notes/list.md > Facts\nThe capital of X is Tilwick."
    ids = tokenizer.encode(text)
    strings = probe_strings()
    wrong, errors, same = 0, [], []
    with torch.no_grad():
        ours = model(torch.tensor([ids]))[0].float().numpy()
    kernel = KernelClient()
    try:
        await kernel.load(LoadRequest(path, context=512, threads=1))
        for string in strings:
            wrong += await kernel.tokenize(string) != tokenizer.encode(string)
        for place in range(4, len(ids), 5):
            found = await kernel.next_tokens(ids[: place + 1], top=model.config.vocab_size)
            theirs = np.zeros(model.config.vocab_size, dtype=np.float32)
            theirs[[t.token for t in found]] = [t.logit for t in found]
            errors.append(float(np.abs(theirs - ours[place]).max()))
            same.append(int(theirs.argmax()) == int(ours[place].argmax()))
    finally:
        await kernel.close()
    return Check(len(strings), wrong, round(max(errors), 4), round(sum(same) / len(same), 4))
