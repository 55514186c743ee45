"""A context for stages on a running session: its kernel, the record, further kernels on demand."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.kernel.protocol import Kernel, LoadRequest
from llmos.stages.frame import StageContext

if TYPE_CHECKING:
    from llmos.stages.record import BuildRecord

#: Further models kept loaded at a time: base and a checkpoint beside the chat model.
_KEPT = 2


class Kernels:
    """Further kernels, the least recently used one closed when there are too many."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, Kernel] = OrderedDict()

    async def get(self, path: Path) -> Kernel:
        """A kernel with that file loaded."""
        from llmos.kernel.client import KernelClient

        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        while len(self._open) >= _KEPT:
            _, old = self._open.popitem(last=False)
            await old.close()
        kernel = KernelClient()
        try:
            await kernel.load(LoadRequest(path, context=1024, threads=1, max_sequences=2))
        except BaseException:
            await kernel.close()
            raise
        self._open[path] = kernel
        return kernel

    async def close(self) -> None:
        """End them all."""
        while self._open:
            _, kernel = self._open.popitem()
            await kernel.close()


def bundled_record() -> BuildRecord | None:
    """The record of the bundled model, None where it is not installed."""
    from llmos.stages.record import find_record

    return find_record()


def make_context(kernel: Kernel, kernels: Kernels) -> StageContext:
    """What a stage works with."""
    return StageContext(kernel, bundled_record(), kernels.get)
