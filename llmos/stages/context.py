"""A context for stages on a running session: its kernel, the record, further kernels on demand."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.kernel.protocol import Kernel, LoadRequest
from llmos.stages.frame import StageContext

if TYPE_CHECKING:
    from llmos.foundry.record import BuildRecord

#: Further models kept loaded at a time: base and a checkpoint beside the chat model.
_KEPT = 2


class Kernels:
    """Further kernels, the least recently used one closed when there are too many."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Path, bool], Kernel] = OrderedDict()

    async def get(self, path: Path, embedding: bool = False) -> Kernel:
        """A kernel with that file loaded; ``embedding`` for vectors and hidden states."""
        from llmos.kernel.client import KernelClient

        key = (path, embedding)
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        while len(self._open) >= _KEPT:
            _, old = self._open.popitem(last=False)
            await old.close()
        kernel = KernelClient()
        try:
            await kernel.load(LoadRequest(path, context=1024, threads=1, max_sequences=2, embedding=embedding))
        except BaseException:
            await kernel.close()
            raise
        self._open[key] = kernel
        return kernel

    async def close(self) -> None:
        """End them all."""
        while self._open:
            _, kernel = self._open.popitem()
            await kernel.close()


def bundled_record() -> BuildRecord | None:
    """The record of the bundled model, None where it is not installed."""
    from llmos.foundry.record import RecordError, load_record
    from llmos.kernel.locate import bundled_folder

    try:
        return load_record(bundled_folder())
    except RecordError:
        return None


def bundled_model(role: str) -> Path | None:
    """The bundled model's file of a role (``base``, ``sft``, ``chat``, ``twin``), None when missing."""
    from llmos.kernel.locate import with_role

    found = with_role(role)
    return found.path if found else None


def make_context(kernel: Kernel, kernels: Kernels, session: Any = None) -> StageContext:
    """What a stage works with.

    Args:
        kernel: the loaded model.
        kernels: further ones.
        session: the running ``llmos.conversation.session.Session``, for what lies beside the model;
            None in faces without one.
    """
    return StageContext(kernel, bundled_record(), kernels.get, extras=extras_of(session))


def extras_of(session: Any) -> dict[str, Any]:
    """What panels may ask of a session.

    Keys, each only where the session has it: ``embed`` (texts to vectors), ``embedder`` (its name now),
    ``jobs`` (what runs in the background), ``plugins`` (rows with ``name, state, tab, tools``).
    """
    extras: dict[str, Any] = {}
    embedder = getattr(session, "embedder", None)
    if embedder is not None:
        extras["embed"] = embedder.embed
        # Asked each time: a plugin may bring the model after the panel was made.
        extras["embedder"] = lambda: str(embedder.id()).split(":")[0]
    jobs = getattr(session, "jobs", None)
    if jobs is not None:
        extras["jobs"] = jobs.list
    plugins = getattr(session, "plugins", None)
    if hasattr(plugins, "panels") and hasattr(plugins, "plugins"):
        extras["plugins"] = lambda: plugin_rows(plugins)
    return extras


def plugin_rows(manager: Any) -> list[dict[str, Any]]:
    """Installed plugins with their state, their panel's tab and their tools.

    Args:
        manager: the ``llmos.plugins.manager.PluginManager``.
    """
    tabs: dict[str, tuple[str, str]] = {}
    for plugin, panel in manager.panels():
        if panel.place == "tab":
            tabs.setdefault(plugin, (f"{plugin}-{panel.id}", panel.title))
    return [
        {
            "name": slot.name,
            "state": slot.state,
            "tab": tabs.get(slot.name),
            "tools": [spec.name for spec in slot.specs],
        }
        for slot in manager.plugins()
    ]
