"""The disk of a running program: embedders through the host, opened at first use."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmos.plugins import Host
from llmos_disk.convert_minilm import FILE_NAME, ConversionError, default_embedder
from llmos_disk.embedding import Embedder
from llmos_disk.retrieval import Retrieval
from llmos_disk.service import Disk, DiskSettings
from llmos_disk.support import Sentence


@dataclass(frozen=True, slots=True)
class HostEmbedder:
    """An embedder in the program's embedding worker."""

    host: Host
    name: str

    def embed(self, texts: Sequence[str]) -> Any:
        """Normalised vectors of texts."""
        return self.host.embed(list(texts), self.name)


class HostEmbedders:
    """The embedder that is set, and earlier ones while their vectors serve."""

    def __init__(self, host: Host) -> None:
        """See the class."""
        self._host = host

    def current(self) -> Embedder | None:
        """The embedder that is set now."""
        name = self._host.embedder_id()
        return HostEmbedder(self._host, name) if name else None

    def named(self, name: str) -> Embedder | None:
        """An embedder by name; whether its file is still there shows when it is used."""
        return HostEmbedder(self._host, name)


class HostedDisk:
    """The disk and what the faces ask of it.

    Attributes:
        last: what the last turn brought in, and why.
        support: sentences of the last answer.
    """

    def __init__(self, host: Host) -> None:
        """See the class; nothing is opened yet."""
        self.host = host
        self.last: Retrieval | None = None
        self.support: list[Sentence] = []
        self._disk: Disk | None = None
        self._lock = threading.Lock()
        self.jobs: dict[str, Any] = {}

    def offer_embedder(self, *, make: bool) -> None:
        """Offer the default embedder to the program, making its file when ``make``."""
        folder = self.host.data_dir
        if not make and not (folder / FILE_NAME).is_file():
            return
        try:
            path = default_embedder(folder)
        except ConversionError as error:
            self.host.notify(f"{error} Files are searched by words alone.", "warning")
            return
        if path is not None:
            self.host.register_embedder(path)

    @property
    def disk(self) -> Disk:
        """The disk, opened now if it was not.

        Raises:
            UserError: the index cannot be opened.
        """
        with self._lock:
            if self._disk is None:
                self.offer_embedder(make=True)
                self._disk = Disk(
                    self.host.data_dir,
                    HostEmbedders(self.host),
                    DiskSettings.from_mapping(self.host.settings),
                    notify=self.host.notify,
                    may_connect=self.host.http.check,
                )
            return self._disk

    @property
    def exists(self) -> bool:
        """Whether anything was ever indexed; asking costs nothing."""
        return self._disk is not None or (self.host.data_dir / "disk.db").exists()

    def close(self) -> None:
        """End background work and let go of the index."""
        for job in self.jobs.values():
            job.stop.set()
        for job in self.jobs.values():
            job.ended.wait(1)
        with self._lock:
            if self._disk is not None:
                self._disk.close()
                self._disk = None
