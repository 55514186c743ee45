"""A context for stages on a running session: its kernel, the record, further kernels on demand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.kernel.protocol import CutText, Kernel, LoadRequest
from llmos.stages.frame import StageContext
from llmos.types import UserError

if TYPE_CHECKING:
    from llmos.foundry.record import BuildRecord
    from llmos.kernel.client import KernelClient

#: Vectors of texts that are kept: two folders of the RAG panel.
_VECTORS = 512
#: Further models kept loaded at a time: base and a checkpoint beside the chat model.
_KEPT = 2


class Kernels:
    """Further kernels, the least recently used one closed when there are too many."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Path, bool], Kernel] = OrderedDict()
        self._cutter: KernelClient | None = None

    async def cut(self, path: Path, text: str) -> CutText:
        """A text cut by the tokenizer of a file, in a worker of its own: large vocabularies load slowly."""
        from llmos.kernel.client import KernelClient

        if self._cutter is None:
            self._cutter = KernelClient()
        await self._cutter.start()
        return await self._cutter.tokenize_with(path, text)

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
        if self._cutter is not None:
            await self._cutter.close()
            self._cutter = None
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
    return StageContext(kernel, bundled_record(), kernels.get, extras=extras_of(session), cut_by=kernels.cut)


def extras_of(session: Any) -> dict[str, Any]:
    """What panels may ask of a session.

    Keys, each only where the session has it: ``embed`` (texts to vectors), ``embedder`` (its name once
    it is started), ``embedder_path`` (its file now), ``find_embedder`` (its file, which a plugin may have
    to make first), ``prepare_embedder`` (starts it), ``jobs`` (what runs in the background), ``plugins``
    (rows with ``name, state, tab, tools``), ``experts`` (personas of plugins).
    """
    extras: dict[str, Any] = {}
    if getattr(session, "embedder", None) is not None:
        port = EmbedderPort(session)
        extras["embed"] = port.embed
        # Asked each time: a plugin may bring the model after the panel was made.
        extras["embedder"] = port.name
        extras["embedder_path"] = port.path
        extras["find_embedder"] = port.find
        extras["prepare_embedder"] = port.prepare
    jobs = getattr(session, "jobs", None)
    if jobs is not None:
        extras["jobs"] = jobs.list
    plugins = getattr(session, "plugins", None)
    if hasattr(plugins, "panels") and hasattr(plugins, "plugins"):
        extras["plugins"] = lambda: plugin_rows(plugins)
    if plugins is not None and hasattr(plugins, "personas"):
        extras["experts"] = plugins.personas
    return extras


class EmbedderPort:
    """The session's embedder, used only once it is started: a panel's opening does not wait for it.

    Args:
        session: with an ``embedder``, and plugins that may bring its model.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._started = ""
        self._known: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def path(self) -> Path | None:
        """The embedding model's file, None when there is none."""
        try:
            found: Path | None = self._session.embedder.path()
        except (OSError, UserError):
            return None
        return found

    def name(self) -> str:
        """Name of the embedder when it is started, else empty."""
        known = str(self._session.embedder.id())
        return known.split(":")[0] if known and known == self._started else ""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Normalised vectors of texts; the last ones are kept, so that a panel opens again at once."""
        model = str(self._session.embedder.id())
        new = [one for one in dict.fromkeys(texts) if (model, one) not in self._known]
        for text, vector in zip(new, await self._session.embedder.embed(new), strict=True):
            self._known[model, text] = vector
        found = [self._known[model, one] for one in texts]
        while len(self._known) > _VECTORS:
            self._known.popitem(last=False)
        return found

    async def find(self) -> Path | None:
        """The embedding model's file; where none is known yet, the plugins are asked for theirs."""
        models = getattr(self._session.plugins, "models", None)
        if self.path() is None and models is not None:
            await models()
        return self.path()

    async def prepare(self) -> bool:
        """Start the embedder; True when it was not started before.

        Raises:
            UserError: the model cannot be loaded.
        """
        if await self.find() is None or self.name():
            return False
        await self.embed(["start"])
        self._started = str(self._session.embedder.id())
        return True


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
