"""Whether a model fits this machine: weights, KV cache and compute buffers against free memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from llmos.catalog.entries import CatalogEntry
from llmos.catalog.machine import Machine
from llmos.kernel import memory
from llmos.kernel.gguf_header import Header
from llmos.kernel.protocol import KvType

#: Share of the measured bandwidth that decoding reaches; measured on CPUs, see docs/models.md.
_REACHED = 0.6
#: KV bytes a token for a model whose header is not at hand, by its size: a grouped-query model's.
_TYPICAL_KV_SHARE = 1.1e-5
_TYPICAL_COMPUTE = 300 << 20

Verdict = Literal["fits", "tight", "smaller context", "too large"]


@dataclass(frozen=True, slots=True)
class Fit:
    """What a load would take and whether it can be had.

    Attributes:
        weights, kv, compute: bytes.
        context: tokens that this is for.
        available: bytes that can be taken now.
        largest_context: what fits at all with this number format; 0 when nothing does.
        verdict: in one word or two.
        words: in a sentence, with what would make it fit.
        tokens_per_second: estimate from measured bandwidth; 0.0 when not measured.
        exact: from the file's own header; else from the catalogue's size alone.
    """

    weights: int
    kv: int
    compute: int
    context: int
    available: int
    largest_context: int
    verdict: Verdict
    words: str
    tokens_per_second: float
    exact: bool
    kv_type: str = "f16"

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.weights + self.kv + self.compute

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "total": self.total}


def fit_header(
    header: Header,
    machine: Machine,
    context: int = 0,
    kv_type: KvType = "auto",
    active: float = 1.0,
) -> Fit:
    """Fit of a file whose header is at hand (local, or read by range from the hub).

    Args:
        header: of the GGUF file.
        machine: what it has to fit into.
        context: tokens; 0 takes what the program would choose.
        kv_type: format of the KV cache; ``auto`` is what a CPU gets.
        active: share of the weights that a token reads.
    """
    trained = int(header.of_architecture("context_length", 0)) or memory.DEFAULT_CONTEXT
    wanted = context or min(trained, memory.DEFAULT_CONTEXT)
    chosen: str = kv_type
    if kv_type == "auto":
        chosen = memory.choose_kv_type(header, context, memory=machine.available)
    need = memory.need(header, wanted, kv_type=chosen)
    largest = min(trained, memory.largest_context(header, machine.available, kv_type=chosen))
    other = memory.need(header, wanted, kv_type="q8_0").total
    return _judge(
        need.weights,
        need.kv,
        need.total - need.weights - need.kv,
        wanted,
        machine,
        largest,
        active,
        exact=True,
        kv_type=chosen,
        smaller_kv=0 if chosen == "q8_0" else other,
    )


def fit_entry(entry: CatalogEntry, machine: Machine, context: int = 0) -> Fit:
    """Fit of a catalogue entry by its file size; ``Fit.exact`` is False."""
    wanted = context or min(entry.context or memory.DEFAULT_CONTEXT, memory.DEFAULT_CONTEXT)
    per_token = entry.bytes * _TYPICAL_KV_SHARE
    left = machine.available - entry.bytes - _TYPICAL_COMPUTE - memory.RESERVE
    largest = max(0, int(left / per_token) // 256 * 256)
    if entry.context:
        largest = min(largest, entry.context)
    kv = int(wanted * per_token)
    return _judge(
        entry.bytes,
        kv,
        _TYPICAL_COMPUTE,
        wanted,
        machine,
        largest,
        entry.active_share,
        exact=False,
        kv_type="f16",
    )


def _judge(
    weights: int,
    kv: int,
    compute: int,
    context: int,
    machine: Machine,
    largest: int,
    active: float,
    *,
    exact: bool,
    kv_type: str,
    smaller_kv: int = 0,
) -> Fit:
    total, room = weights + kv + compute, machine.available - memory.RESERVE
    show = memory.show_bytes
    verdict: Verdict
    if total <= 0.8 * room:
        verdict, words = (
            "fits",
            f"It fits: {show(total)} of {show(machine.available)} free at {context:,} tokens.",
        )
    elif total <= room:
        verdict = "tight"
        words = f"It just fits: {show(total)} of {show(machine.available)} free; close other programs first."
    elif largest >= memory.SMALLEST_CONTEXT:
        verdict = "smaller context"
        words = (
            f"{context:,} tokens need {show(total)} of {show(machine.available)} free; {largest:,} tokens fit."
        )
        if smaller_kv and smaller_kv <= room:
            words += f" With a q8_0 KV cache {context:,} tokens fit too."
    else:
        verdict = "too large"
        words = (
            f"It needs {show(total)} and {show(machine.available)} are free; "
            "take a smaller quantisation or a smaller model."
        )
    speed = _REACHED * machine.bandwidth / max(1.0, weights * active + kv / 2) if machine.bandwidth else 0.0
    return Fit(weights, kv, compute, context, machine.available, largest, verdict, words, speed, exact, kv_type)


def recommend(entries: list[CatalogEntry], machine: Machine, task: str = "chat") -> CatalogEntry | None:
    """The largest model for a task that fits well and still answers at reading speed.

    Args:
        entries: candidates.
        machine: this machine; with a measured bandwidth, models under 5 tokens/s are left out.
        task: what it is for.
    """
    best: tuple[float, CatalogEntry] | None = None
    for entry in entries:
        if task not in entry.tasks:
            continue
        fit = fit_entry(entry, machine)
        if fit.verdict != "fits" or (fit.tokens_per_second and fit.tokens_per_second < 5):
            continue
        if best is None or entry.bytes > best[0]:
            best = (entry.bytes, entry)
    return best[1] if best else None
