"""This machine, as far as it decides which model fits: memory, cores, bandwidth, disk."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from llmos.kernel import memory


@dataclass(frozen=True, slots=True)
class Machine:
    """What a model has to fit into.

    Attributes:
        available: bytes of memory that can be taken now, within a container's limits.
        total: bytes of memory in all.
        cores: processor cores that this process may use.
        bandwidth: bytes that memory delivers a second, measured; 0.0 when not measured.
    """

    available: int
    total: int
    cores: int
    bandwidth: float = 0.0


def measure_bandwidth(megabytes: int = 192, rounds: int = 3) -> float:
    """Bytes read a second by all cores, the best of a few rounds (0.1 s or so).

    Decoding reads every active weight once a token, so this bounds tokens a second.

    Args:
        megabytes: size of the block read; well over the processor's caches.
        rounds: how often; the best counts, since others use the machine too.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    cores = usable_cores()
    part = np.ones(megabytes * (1 << 20) // 8 // cores, dtype=np.float64)
    parts = [part] + [part.copy() for _ in range(cores - 1)]
    best = 0.0
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(rounds):
            began = time.perf_counter()
            list(pool.map(np.add.reduce, parts))
            best = max(best, sum(one.nbytes for one in parts) / (time.perf_counter() - began))
    return best


def usable_cores() -> int:
    """Cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        return os.cpu_count() or 1


def this_machine(*, bandwidth: bool = False) -> Machine:
    """Look at this machine; ``bandwidth`` measures that too."""
    import psutil

    return Machine(
        memory.available(),
        int(psutil.virtual_memory().total),
        usable_cores(),
        measure_bandwidth() if bandwidth else 0.0,
    )


def free_disk(folder: Path) -> int:
    """Free bytes where a folder lies or will lie."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    return shutil.disk_usage(there).free
