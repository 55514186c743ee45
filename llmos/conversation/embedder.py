"""The second kernel: turns texts into vectors; started when somebody first needs one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

from llmos.kernel.protocol import Kernel, LoadRequest
from llmos.settings import Folders, Settings
from llmos.types import UserError


class Embedder:
    """Finds and runs the embedding model.

    Args:
        settings: may name one.
        where: for the worker's log.
    """

    def __init__(self, settings: Settings, where: Folders) -> None:
        self._settings = settings
        self._where = where
        self._registered: Path | None = None
        self._kernel: Kernel | None = None
        self._loaded: Path | None = None
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
        """Name and hash of the embedder, empty when there is none.

        The hash is of size, first and last mebibyte: quick, and different for different models.
        """
        try:
            path = self.path()
            if path is None:
                return ""
            if path not in self._ids:
                size = path.stat().st_size
                digest = hashlib.sha256(str(size).encode())
                with path.open("rb") as file:
                    digest.update(file.read(1 << 20))
                    file.seek(max(0, size - (1 << 20)))
                    digest.update(file.read())
                self._ids[path] = f"{path.stem}:{digest.hexdigest()[:16]}"
            return self._ids[path]
        except (OSError, UserError):
            return ""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Normalised vectors, one a text.

        Raises:
            UserError: there is no embedding model.
        """
        if not texts:
            return []
        path = self.path()
        if path is None:
            raise UserError(
                "There is no embedding model; name one in the setting model.embedder or install llmos-disk."
            )
        async with self._lock:
            if self._kernel is None:
                from llmos.kernel.client import KernelClient

                self._kernel = KernelClient(self._where.log / "embedder.log")
            if self._loaded != path:
                await self._kernel.load(
                    LoadRequest(path=path, embedding=True, context=512, threads=self._settings.model.threads)
                )
                self._loaded = path
        return await self._kernel.embed(texts)

    async def close(self) -> None:
        """End the worker, if one was started."""
        if self._kernel is not None:
            await self._kernel.close()
            self._kernel = None
