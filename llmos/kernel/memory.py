"""How much memory a load takes, and whether it fits, before anything is loaded.

Weights as in the file, KV cache = context x sum over layers of (K + V width) x bytes per value,
compute buffers = vocabulary x batch x 4 bytes (and heads x context x batch x 4 without flash
attention). llama.cpp fills the KV cache at once, so a context that is too large kills the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmos.kernel.cache_format import FORMATS, keys_fit_blocks
from llmos.kernel.gguf_header import Header
from llmos.kernel.protocol import KernelError

#: Context that is chosen when none is asked for, if it fits and the model was trained for it.
DEFAULT_CONTEXT = 8192
SMALLEST_CONTEXT = 256

#: Memory that is left alone: the rest of the program and the system's own needs.
RESERVE = 256 << 20

#: Weights (bytes) up to which a model keeps its keys as they are: it answers at once anyway, and the
#: panels show its probabilities to digits that quantised keys move (0.231 for 0.238 at 3M parameters,
#: though 20 held-out abilities stay within 0.8 points).
_SMALL = 32 << 20

#: What the faster cache format may take beyond the plain one: this, or a share of the weights.
_FASTER_BYTES, _FASTER_SHARE = 64 << 20, 0.2

#: The worker itself with the library loaded.
_WORKER = 46 << 20


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a load takes."""

    weights: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.compute + _WORKER


def _per_layer(value: object, layers: int) -> list[int]:
    if isinstance(value, list):
        return [int(one) for one in value][:layers] + [0] * max(0, layers - len(value))
    return [int(value)] * layers if isinstance(value, int | float) else [0] * layers


def kv_width(header: Header) -> tuple[int, int]:
    """Sums over layers of the width of keys and of values, in values per token.

    Encoders have no cache. Layers without attention (recurrent ones in hybrid models) have no KV
    heads and count nothing.
    """
    if header.of_architecture("attention.causal", True) is False:
        return 0, 0  # an encoder keeps nothing
    layers = int(header.of_architecture("block_count", 0))
    heads = _per_layer(header.of_architecture("attention.head_count", 0), layers)
    kv_heads = _per_layer(header.of_architecture("attention.head_count_kv", heads), layers)
    width = int(header.of_architecture("embedding_length", 0))
    keys = values = 0
    for head, kv_head in zip(heads, kv_heads, strict=True):
        if not head or not kv_head:
            continue
        default = width // head
        keys += kv_head * int(header.of_architecture("attention.key_length", default))
        values += kv_head * int(header.of_architecture("attention.value_length", default))
    return keys, values


def need(header: Header, context: int, *, kv_type: str = "f16", batch: int = 160) -> Need:
    """Bytes for a model at a context; ``kv_type`` is a key of ``FORMATS``."""
    layers = int(header.of_architecture("block_count", 0))
    heads = max(_per_layer(header.of_architecture("attention.head_count", 0), layers), default=0)
    width = int(header.of_architecture("embedding_length", 0))
    feed = max(_per_layer(header.of_architecture("feed_forward_length", 4 * width), max(layers, 1)))
    compute = batch * 4 * (header.vocabulary + 2 * feed + 8 * width)
    cache = FORMATS[kv_type]
    if not cache.flash_attention:
        compute += heads * context * batch * 4
    return Need(
        weights=header.weight_bytes,
        kv=round(context * cache.bytes(*kv_width(header))),
        compute=compute,
    )


def available() -> int:
    """Bytes that can be taken now, within the limits of the machine and of a container."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, usage in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            most = Path(limit).read_text(encoding="ascii").strip()
            used = int(Path(usage).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        if most != "max":
            free = min(free, max(0, int(most) - used))
    return free


def choose_kv_type(header: Header, wanted: int = 0, *, memory: int | None = None, batch: int = 160) -> str:
    """The cache format for a model on a CPU when none is named.

    Args:
        header: the model's header.
        wanted: tokens asked for; 0 as in ``choose_context``.
        memory: bytes at hand; None asks the system.
        batch: most tokens of one decode.

    Returns:
        ``q8_0/f16``, which is faster where answers share a prefix, if the model is not tiny, the
        keys can be kept so and it takes not much more memory than ``f16``; else ``f16``.
    """
    if header.weight_bytes <= _SMALL or not keys_fit_blocks(header):
        return "f16"
    memory = available() if memory is None else memory
    context = wanted or min(_trained(header), DEFAULT_CONTEXT)
    plain = need(header, context, batch=batch)
    faster = need(header, context, kv_type="q8_0/f16", batch=batch)
    spare = max(_FASTER_BYTES, _FASTER_SHARE * plain.weights)
    if faster.total - plain.total > spare or faster.total + RESERVE > memory:
        return "f16"
    return "q8_0/f16"


def _trained(header: Header) -> int:
    return int(header.of_architecture("context_length", 0)) or DEFAULT_CONTEXT


def largest_context(header: Header, memory: int, *, kv_type: str, batch: int = 160) -> int:
    """Largest context (a multiple of 256) that fits into ``memory`` bytes; 0 when not even 256 do."""
    low, high = 0, 1 << 14  # in units of 256 tokens
    while low < high:
        middle = (low + high + 1) // 2
        wanted = need(header, middle * 256, kv_type=kv_type, batch=batch)
        if wanted.total + RESERVE <= memory:
            low = middle
        else:
            high = middle - 1
    return low * 256


def show_bytes(count: int) -> str:
    """Bytes in words: ``1.2 GB``, ``640 MB``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def choose_context(
    header: Header,
    wanted: int = 0,
    *,
    kv_type: str = "f16",
    memory: int | None = None,
    batch: int = 160,
) -> tuple[int, Need]:
    """The context to load with, and what it takes.

    Args:
        header: the model's header.
        wanted: tokens asked for; 0 takes the least of what it was trained for, 8192 and what fits.
        kv_type: format of the KV cache, a key of ``FORMATS``.
        memory: bytes at hand; None asks the system.
        batch: most tokens of one decode.

    Raises:
        KernelError: it does not fit; the sentence gives the numbers and the largest that does.
    """
    memory = available() if memory is None else memory
    largest = largest_context(header, memory, kv_type=kv_type, batch=batch)
    context = wanted or max(min(_trained(header), DEFAULT_CONTEXT, largest), SMALLEST_CONTEXT)
    takes = need(header, context, kv_type=kv_type, batch=batch)
    if takes.total + RESERVE <= memory:
        return context, takes
    if largest < SMALLEST_CONTEXT:
        raise KernelError(
            f"{header.path.name} does not fit: its weights take {show_bytes(takes.weights)}, with caches "
            f"{show_bytes(takes.total)}, and {show_bytes(memory)} of memory are available; choose a smaller "
            "model or a smaller quantisation."
        )
    raise KernelError(
        f"A context of {context:,} tokens does not fit: weights {show_bytes(takes.weights)} + KV cache "
        f"{show_bytes(takes.kv)} + compute {show_bytes(takes.compute)} against {show_bytes(memory)} "
        f"available; the largest that fits is {largest:,} tokens."
    )
