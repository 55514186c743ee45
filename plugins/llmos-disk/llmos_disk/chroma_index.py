"""The vector index: one Chroma collection an embedder, rebuilt from SQLite whenever it is in doubt."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from llmos.types import UserError
from llmos_disk.chroma_client import forget_clients, local_client, server_client

_PAGE = 1_000
#: Cosine similarity that a known vector must have with itself (float16 costs about 1e-4).
_SELF = 0.995


class IndexDamaged(Exception):
    """The index does not hold what it should; the message says what was seen."""


class ChromaIndex:
    """Vectors by id, in a folder of this machine or on a server.

    Args:
        folder: where the local index lies.
        url: address of a Chroma server; empty for the local one.
        token: its token.
        namespace: part of the collections' names, so that several people can share a server.
    """

    def __init__(self, folder: Path, *, url: str = "", token: str = "", namespace: str = "llmos") -> None:
        """See the class; nothing is opened yet."""
        self.folder = folder
        self.url = url
        self._token = token
        self._namespace = namespace
        self._client: Any = None
        self._collections: dict[str, Any] = {}
        self._lock = threading.RLock()

    @property
    def remote(self) -> bool:
        """True on a server."""
        return bool(self.url)

    def _collection(self, embedder: str) -> Any:
        with self._lock:
            if self._client is None:
                self._client = server_client(self.url, self._token) if self.url else local_client(self.folder)
            if embedder not in self._collections:
                self._collections[embedder] = self._client.get_or_create_collection(
                    self.collection_name(embedder),
                    embedding_function=None,
                    configuration={"hnsw": {"space": "cosine"}},
                )
            return self._collections[embedder]

    def collection_name(self, embedder: str) -> str:
        """Name of an embedder's collection."""
        return f"{self._namespace}-{hashlib.sha256(embedder.encode()).hexdigest()[:16]}"

    def upsert(self, embedder: str, vectors: Sequence[tuple[str, bytes]]) -> None:
        """Put (id, float16 vector) pairs in; those that are there are replaced.

        Raises:
            UserError: the disk is full, or the server does not answer.
        """
        import numpy as np

        if not vectors:
            return
        with self._told("written"), self._lock:
            collection = self._collection(embedder)
            for start in range(0, len(vectors), _PAGE):
                page = vectors[start : start + _PAGE]
                array = np.stack([np.frombuffer(vector, dtype=np.float16) for _, vector in page])
                collection.upsert(ids=[key for key, _ in page], embeddings=array.astype(np.float32))

    def delete(self, embedder: str, keys: Sequence[str]) -> None:
        """Take ids out; those that are not there do no harm."""
        with self._told("written"), self._lock:
            collection = self._collection(embedder)
            for start in range(0, len(keys), _PAGE):
                collection.delete(ids=list(keys[start : start + _PAGE]))

    def query(self, embedder: str, vector: Any, count: int) -> list[tuple[str, float]]:
        """(id, cosine similarity) of the nearest, best first."""
        with self._told("read"):
            with self._lock:
                collection = self._collection(embedder)
            found = collection.query(query_embeddings=[vector], n_results=count, include=["distances"])
        return [
            (str(key), 1.0 - float(distance))
            for key, distance in zip(found["ids"][0], found["distances"][0], strict=True)
        ]

    def count(self, embedder: str) -> int:
        """Number of vectors."""
        with self._told("read"), self._lock:
            return int(self._collection(embedder).count())

    def keys(self, embedder: str) -> list[str]:
        """Every id, read in pages (one call for all would take gigabytes)."""
        found: list[str] = []
        with self._told("read"), self._lock:
            collection = self._collection(embedder)
            while page := collection.get(limit=_PAGE * 5, offset=len(found), include=[])["ids"]:
                found.extend(map(str, page))
        return found

    def probe(self, embedder: str, expected: int, sample: Iterable[tuple[str, bytes]]) -> None:
        """Is it healthy: as many vectors as there should be, and known ones come back as themselves.

        Raises:
            IndexDamaged: it is not.
        """
        import numpy as np

        try:
            count = self.count(embedder)
            if count < expected:
                raise IndexDamaged(f"{count} vectors where {expected} should be")
            for key, raw in sample:
                vector = np.frombuffer(raw, dtype=np.float16).astype(np.float32)
                found = self.query(embedder, vector, 5)
                if not found or found[0][1] < _SELF:
                    raise IndexDamaged(f"the vector {key} is not found by itself")
        except UserError as error:
            if self.remote:
                raise
            raise IndexDamaged(str(error)) from error

    def drop(self, embedder: str) -> None:
        """Remove an embedder's collection."""
        with self._lock:
            self._collection(embedder)
            self._collections.pop(embedder, None)
            self._client.delete_collection(self.collection_name(embedder))

    def reopen(self) -> None:
        """Forget everything cached; the next call reads the index as it is now."""
        with self._lock:
            if self._client is not None and not self.remote:
                forget_clients()
            self._client = None
            self._collections.clear()

    def close(self) -> None:
        """Let go of the index and note what its files look like (see ``changed_behind_us``)."""
        with self._lock:
            opened = self._client is not None
            self.reopen()
            if opened and not self.remote:
                self.remember()

    # damage

    def set_aside(self) -> Path | None:
        """Move a damaged local index away, so that it can be looked at; older ones are deleted."""
        with self._lock:
            self.reopen()
            if self.remote or not self.folder.exists():
                return None
            for old in self.folder.parent.glob(f"{self.folder.name}.damaged-*"):
                shutil.rmtree(old, ignore_errors=True)
            target = self.folder.with_name(f"{self.folder.name}.damaged-{int(time.time())}")
            os.replace(self.folder, target)
            return target

    def rebuild(
        self,
        embedder: str,
        pages: Iterable[list[tuple[str, bytes]]],
        progress: Callable[[int], None] = lambda done: None,
    ) -> int:
        """Fill the index from vectors that are stored already; returns their number."""
        if self.remote:
            self.drop(embedder)
        total = 0
        for page in pages:
            self.upsert(embedder, page)
            total += len(page)
            progress(total)
        return total

    @property
    def _note(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.files.json")

    def _fingerprint(self) -> dict[str, list[int]]:
        found = {}
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and not file.name.endswith(("-wal", "-shm", "-journal")):
                state = file.stat()
                found[str(file.relative_to(self.folder))] = [state.st_size, state.st_mtime_ns]
        return found

    def remember(self) -> None:
        """Note sizes and dates of the index files; without the note they are probed next time."""
        part = self._note.with_suffix(".part")
        try:
            if self.folder.exists():
                part.write_text(json.dumps(self._fingerprint()))
                os.replace(part, self._note)
        except OSError:
            for file in (part, self._note):
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)

    def changed_behind_us(self) -> bool:
        """True when the files are not as they were left: a crash, or someone else's hand."""
        if self.remote or not self.folder.exists():
            return False
        try:
            return bool(json.loads(self._note.read_text()) != self._fingerprint())
        except (OSError, ValueError):
            return True

    def survives_use(self, embedder: str, sample: Sequence[tuple[str, bytes]], expected: int) -> bool:
        """Read and write the index in another process: damaged files can crash native code.

        Returns:
            False when that process died or found the index wanting.
        """
        self.reopen()
        request = {
            "folder": str(self.folder),
            "namespace": self._namespace,
            "embedder": embedder,
            "expected": expected,
            "sample": [[key, vector.hex()] for key, vector in sample],
        }
        try:
            done = subprocess.run(
                [sys.executable, "-m", "llmos_disk.probe"],
                input=json.dumps(request),
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def _told(self, what: str) -> _Told:
        return _Told(what, self.url or str(self.folder))


class _Told:
    """Turns Chroma's many errors into one sentence."""

    def __init__(self, what: str, where: str) -> None:
        self._what = what
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, UserError | IndexDamaged) or not isinstance(error, Exception):
            return
        text = " ".join(str(error).split())[:200]
        if "full" in text.lower() or "no space" in text.lower():
            raise UserError(
                f"The disk is full: the vector index {self._where} cannot be {self._what}; free some space. "
                "What was indexed before is safe."
            ) from error
        raise UserError(f"The vector index {self._where} cannot be {self._what} ({text}).") from error
