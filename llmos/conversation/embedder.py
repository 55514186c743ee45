"""The second kernel: turns texts into vectors; started when somebody first needs one."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from llmos.kernel.protocol import Kernel, LoadRequest
from llmos.settings import Folders, Settings
from llmos.types import UserError


class Embedder:
    """Finds and runs the embedding model, and earlier ones while their vectors are still in use.

    Args:
        settings: may name one.
        where: for the worker's log, and for the note of where earlier models lie.
    """

    def __init__(self, settings: Settings, where: Folders) -> None:
        self._settings = settings
        self._where = where
        self._registered: Path | None = None
        self._kernels: dict[Path, Kernel] = {}
        self._ids: dict[Path, str] = {}
        self._lock = asyncio.Lock()

    def register(self, path: Path) -> None:
        """Offer a GGUF as the default; the user's own setting wins."""
        self._registered = path

    def path(self) -> Path | None:
        """The embedding model's file; None when there is none."""
        from llmos.kernel import locate

        wanted = self._settings.model.embedder
        if wanted:
            return locate.resolve(wanted).path
        if self._registered is not None and self._registered.is_file():
            return self._registered
        bundled = locate.with_role("embedder")
        return bundled.path if bundled else None

    def id(self) -> str:
        """Name and hash of the embedder, empty when there is none."""
        try:
            path = self.path()
            return "" if path is None else self._id_of(path)
        except (OSError, UserError):
            return ""

    def _id_of(self, path: Path) -> str:
        """Name and hash of a file.

        The hash is of size, first and last mebibyte: quick, and different for different models.
        """
        if path not in self._ids:
            size = path.stat().st_size
            digest = hashlib.sha256(str(size).encode())
            with path.open("rb") as file:
                digest.update(file.read(1 << 20))
                file.seek(max(0, size - (1 << 20)))
                digest.update(file.read())
            self._ids[path] = f"{path.stem}:{digest.hexdigest()[:16]}"
            self._remember(self._ids[path], path)
        return self._ids[path]

    @property
    def _note(self) -> Path:
        return self._where.data / "embedders.json"

    def _known(self) -> dict[str, str]:
        """Where the models lie that were used before."""
        try:
            known = json.loads(self._note.read_text(encoding="utf-8"))
            return known if isinstance(known, dict) else {}
        except (OSError, ValueError):
            return {}

    def _remember(self, name: str, path: Path) -> None:
        known = self._known()
        if known.get(name) != str(path):
            try:
                self._note.write_text(json.dumps({**known, name: str(path)}), encoding="utf-8")
            except OSError:
                return  # it only helps while the model is changed

    def _path_of(self, name: str) -> Path | None:
        """File of an earlier embedder; None when it is gone or holds another model now."""
        if not name or name == self.id():
            return self.path()
        path = Path(self._known().get(name, ""))
        try:
            return path if path.is_file() and self._id_of(path) == name else None
        except OSError:
            return None

    async def embed(self, texts: Sequence[str], embedder: str = "") -> list[list[float]]:
        """Normalised vectors, one a text.

        Args:
            texts: what to embed.
            embedder: ``id`` of an earlier embedder; empty takes the one that is set now.

        Raises:
            UserError: there is no embedding model, or the earlier one is gone.
        """
        if not texts:
            return []
        path = self._path_of(embedder)
        if path is None and embedder:
            raise UserError(
                f"The embedding model {embedder.split(':')[0]} is gone; the present one embeds the texts."
            )
        if path is None:
            raise UserError(
                "There is no embedding model; name one in the setting model.embedder or install llmos-disk."
            )
        return await (await self._kernel(path)).embed(texts)

    async def _kernel(self, path: Path) -> Kernel:
        """The worker for a model, started when it does not run yet."""
        async with self._lock:
            if path not in self._kernels:
                from llmos.kernel.client import KernelClient

                kernel = KernelClient(self._where.log / "embedder.log")
                try:
                    await kernel.load(
                        LoadRequest(
                            path=path, embedding=True, context=512, threads=self._settings.model.threads
                        )
                    )
                except BaseException:
                    await kernel.close()
                    raise
                self._kernels[path] = kernel
            return self._kernels[path]

    async def close(self) -> None:
        """End the workers that were started."""
        kernels, self._kernels = list(self._kernels.values()), {}
        for kernel in kernels:
            await kernel.close()
