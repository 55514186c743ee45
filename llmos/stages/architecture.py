"""The architecture of the loaded model, read from its GGUF file: blocks, shapes, parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.kernel.gguf_header import Header, read_header

if TYPE_CHECKING:
    import numpy as np

_WHAT = {
    "token_embd": "a vector for each token",
    "attn_norm": "scales the stream before attention",
    "attn_q": "what each position looks for",
    "attn_k": "what each position offers",
    "attn_v": "what is passed on",
    "attn_output": "mixes the heads back into the stream",
    "ffn_norm": "scales the stream before the MLP",
    "ffn_gate": "which of the MLP's features are on",
    "ffn_up": "features of the MLP",
    "ffn_down": "back into the stream",
    "output_norm": "scales the stream at the end",
    "output": "a logit for each token",
}
_BLOCK = re.compile(r"blk\.(\d+)\.(.+)\.(?:weight|bias)$")


@dataclass(frozen=True, slots=True)
class Block:
    """One kind of matrix: its name, shape, how many layers have it, parameters in all, what it does."""

    name: str
    shape: tuple[int, ...]
    count: int
    parameters: int
    what: str


def blocks(header: Header) -> list[Block]:
    """Matrices of a model in the order of the forward pass, layers folded into one row."""
    order: list[str] = []
    found: dict[str, list[Any]] = {}
    for tensor in header.tensors:
        match = _BLOCK.match(tensor.name)
        name = match[2] if match else tensor.name.rsplit(".", 1)[0]
        if name not in found:
            order.append(name)
        found.setdefault(name, []).append(tensor)
    known = list(_WHAT)
    order.sort(key=lambda name: known.index(name) if name in known else len(known) - 2)
    return [
        Block(
            name,
            tuple(found[name][0].shape),
            len(found[name]),
            sum(tensor.elements for tensor in found[name]),
            _WHAT.get(name, ""),
        )
        for name in order
    ]


def drawing(found: Sequence[Block], heads: int) -> list[str]:
    """The forward pass as lines of text: what the stream of vectors goes through, with the real shapes.

    Args:
        found: matrices of the model.
        heads: attention heads of a layer, 0 where the file does not say.
    """
    shapes = {one.name: "x".join(map(str, one.shape)) for one in found}
    layers = max((one.count for one in found if one.name.startswith(("attn_", "ffn_"))), default=0)

    def part(names: Sequence[str]) -> str:
        return ", ".join(f"{name} {shapes[name]}" for name in names if name in shapes)

    ends = [name for name in shapes if name.startswith("output")]
    inside = [name for name in shapes if name.startswith(("attn_", "ffn_")) and not name.endswith("norm")]
    attention = [name for name in inside if name.startswith("attn_")]
    mlp = [name for name in inside if name.startswith("ffn_")]
    counted = f"{heads} heads" if heads else "heads"
    logits = part(ends) if "output" in shapes else f"{part(ends)}, token_embd turned around"
    return [
        "tokens",
        f"  ▼  embedding: {part(['token_embd'])}",
        f"┌─────── {layers} times ───────",
        "│ ├──▶ norm ─▶ attention ─▶ ⊕   what other tokens say is added",
        f"│ │      {counted}: {part(attention)}",
        "│ ├──▶ norm ─▶ MLP ───────▶ ⊕   what this token alone calls up is added",
        f"│ │      {part(mlp)}",
        "└─▼────────────────────",
        f"  ▼  logits: {logits}",
        "next token",
    ]


def token_vectors(path: Path, tokens: Sequence[int]) -> np.ndarray:
    """Embeddings of some tokens as the model has them, [tokens, width] in float32; only they are read."""
    import numpy as np
    from gguf import GGUFReader, dequantize

    tensor = next(one for one in GGUFReader(str(path)).tensors if one.name == "token_embd.weight")
    width = int(tensor.shape[0])
    rows = np.asarray(tensor.data).reshape(int(tensor.shape[1]), -1)[list(tokens)]
    return np.asarray(dequantize(rows, tensor.tensor_type), dtype=np.float32).reshape(-1, width)


@lru_cache(maxsize=2)
def embeddings(path: Path) -> np.ndarray:
    """The token embedding matrix [vocabulary, width] of a GGUF file, float32, rows normalised."""
    import numpy as np
    from gguf import GGUFReader, dequantize

    reader = GGUFReader(str(path))
    tensor = next(one for one in reader.tensors if one.name == "token_embd.weight")
    matrix = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
    matrix = matrix.reshape(-1, int(tensor.shape[0]))
    unit: np.ndarray = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
    return unit


def neighbours(path: Path, token: int, count: int = 8) -> list[tuple[int, float]]:
    """Tokens whose embeddings are nearest to one token's, with their cosine."""
    import numpy as np

    matrix = embeddings(path)
    if not 0 <= token < len(matrix):
        return []
    scores = matrix @ matrix[token]
    best = np.argsort(-scores)[: count + 1]
    return [(int(one), float(scores[one])) for one in best if one != token][:count]


def header_of(path: str) -> Header:
    """Header of the loaded model's file."""
    return read_header(Path(path))


def cosine_by_layer(first: Any, second: Any) -> list[float]:
    """Cosine of one token's state in two contexts, layer by layer.

    Args:
        first: states [layers, width] in the one context.
        second: states [layers, width] in the other.
    """
    import numpy as np

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return [float(value) for value in (a * b).sum(axis=1) / np.maximum(norms, 1e-12)]


def power_law(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """(a, b) of y = a · x^b by least squares in logarithms, as in Kaplan et al. 2020 (2001.08361)."""
    import numpy as np

    slope, intercept = np.polyfit(np.log(np.asarray(x, dtype=float)), np.log(np.asarray(y, dtype=float)), 1)
    return float(np.exp(intercept)), float(slope)
