"""Inside the forward pass: real attention weights and layer states, by llama.cpp's callback.

A second context without flash attention is made for it (with it the weights never exist as a
tensor) and freed afterwards; the caches of running conversations are not touched.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llmos.kernel.engine import Engine
from llmos.kernel.protocol import KernelError, NotAvailable

#: Most tokens that can be looked into: attention is tokens x tokens, layer states need logits of each.
MOST_TOKENS = {"attention": 1024, "layers": 256}


class _Tensor(ctypes.Structure):
    """The beginning of ``ggml_tensor``: type, buffer, elements and strides of each dimension."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("elements", ctypes.c_int64 * 4),
        ("strides", ctypes.c_size_t * 4),
    )


def _ggml(library: Any) -> Any:
    """libggml-base with the functions used here declared."""
    folder = Path(library.__file__).parent / "lib"
    path = next((one for one in sorted(folder.glob("*ggml-base*")) if one.is_file()), None)
    if path is None:
        raise NotAvailable("This build of llama.cpp does not let its tensors be read.")
    ggml = ctypes.CDLL(str(path))
    ggml.ggml_get_name.argtypes = [ctypes.c_void_p]
    ggml.ggml_get_name.restype = ctypes.c_char_p
    ggml.ggml_backend_tensor_get.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
    ]
    ggml.ggml_backend_tensor_get.restype = None
    return ggml


def inspect(
    engine: Engine, tokens: list[int], what: Literal["attention", "layers"], layer: int = -1
) -> NDArray[np.float32]:
    """Evaluate tokens and keep what the forward pass computed on the way.

    Args:
        engine: the loaded model.
        tokens: what to evaluate.
        what: ``attention`` of one layer, or the states after every layer.
        layer: for attention; negative counts from the last.

    Returns:
        ``attention``: [heads, tokens, tokens], rows sum to 1. ``layers``: [layers, tokens, width].

    Raises:
        KernelError: too many tokens or no such layer; ``NotAvailable`` when the architecture
            names its tensors otherwise.
    """
    if what not in MOST_TOKENS:
        raise KernelError(f"The kernel can show attention or layers, not {what}.")
    if not 0 < len(tokens) <= MOST_TOKENS[what]:
        raise KernelError(
            f"{what.capitalize()} can be shown for 1 to {MOST_TOKENS[what]} tokens, not {len(tokens):,}."
        )
    engine.check_tokens(tokens)
    if not -engine.layers <= layer < engine.layers:
        raise KernelError(f"The model has the layers 0 to {engine.layers - 1}; there is no layer {layer}.")
    layer %= engine.layers
    names = (
        {f"kq_soft_max-{layer}"}
        if what == "attention"
        else {f"l_out-{number}" for number in range(engine.layers)}
    )
    found = _run(engine, tokens, names, every=what == "layers")
    if set(found) != names:
        raise NotAvailable("This model's architecture does not show its inside.")
    count = len(tokens)
    if what == "attention":
        (weights,) = found.values()  # [1, heads, tokens, padded cells]
        return np.ascontiguousarray(weights[0, :, :count, :count])
    ordered = [found[f"l_out-{number}"][0, 0, :count] for number in range(engine.layers)]
    return np.stack(ordered)


def _run(engine: Engine, tokens: list[int], names: set[str], *, every: bool) -> dict[str, NDArray[np.float32]]:
    """One forward pass in a context of its own; returns the named tensors, dimensions slowest first."""
    c = engine.handles[0]
    ggml = _ggml(c)
    found: dict[str, NDArray[np.float32]] = {}

    def look(address: int, asking: bool, _data: Any) -> bool:
        try:
            name = (ggml.ggml_get_name(address) or b"").decode("ascii", "replace")
            if asking:
                return name in names
            tensor = _Tensor.from_address(address)
            if tensor.type == 0 and name in names:
                shape = tuple(int(size) for size in reversed(tensor.elements))
                array = np.empty(shape, np.float32)
                ggml.ggml_backend_tensor_get(address, array.ctypes.data, 0, array.nbytes)
                found[name] = array
        except Exception as error:  # an exception cannot pass through the native code
            print(f"inspect: {error!r}")
        return True

    kind = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)
    callback = kind(look)
    size = max(32, len(tokens))
    context = engine.make_context(
        n_ctx=size + 32,
        n_batch=size,
        n_ubatch=size,
        n_seq_max=1,
        flash_attn_type=0,
        type_k=1,
        type_v=1,
        cb_eval=ctypes.cast(callback, type(c.llama_context_default_params().cb_eval)),
    )
    batch = c.llama_batch_init(len(tokens), 0, 1)
    try:
        batch.n_tokens = len(tokens)
        for at, token in enumerate(tokens):
            batch.token[at], batch.pos[at] = token, at
            batch.n_seq_id[at], batch.seq_id[at][0] = 1, 0
            batch.logits[at] = every or at == len(tokens) - 1
        if c.llama_decode(context, batch) != 0:
            raise KernelError("The forward pass failed inside llama.cpp.")
    finally:
        c.llama_batch_free(batch)
        c.llama_free(context)
    return found
