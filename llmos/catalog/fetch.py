"""Fetch model files: by Range into a durable partial, checked, into the hub's own cache layout.

huggingface_hub 2.x deletes its temporary file when a download fails, so nothing there resumes
(measured at 2.4). The layout (``blobs/SHA256``, ``snapshots/COMMIT/NAME`` as a link, ``refs/main``)
is its own, so that every other program that uses that cache finds the file.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from llmos.catalog.hub import HubFile, HubModel, cache_folder, check_online, explain, file_url, token
from llmos.catalog.machine import free_disk
from llmos.kernel.memory import show_bytes
from llmos.offline import http_client
from llmos.types import UserError

_BLOCK = 1 << 20
#: An answer that delivers less than this for so long is given up; the partial stays.
_STALL_SECONDS = 30.0
_SPARE_DISK = 512 << 20
_TRIES = 4


class Paused(Exception):
    """The user paused; the partial stays and the next pull goes on from it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pull is; ``done`` and ``total`` are bytes of all files, never going back."""

    file: str
    done: int
    total: int
    bytes_per_second: float
    checking: bool = False

    @property
    def seconds_left(self) -> float:
        """Estimate; 0.0 when the rate is not known yet."""
        return (self.total - self.done) / self.bytes_per_second if self.bytes_per_second else 0.0


def repository_folder(repository: str) -> Path:
    """Folder of a repository in the hub's cache."""
    return cache_folder() / ("models--" + repository.replace("/", "--"))


def snapshot_file(model: HubModel, file: HubFile) -> Path:
    """Where a file lies once it is fetched."""
    return repository_folder(model.repository) / "snapshots" / model.commit / file.name


def pull(
    model: HubModel,
    progress: Callable[[Progress], None] = lambda now: None,
    stopped: Callable[[], bool] = lambda: False,
    *,
    client: httpx.Client | None = None,
    client_check: Callable[[], None] = check_online,
) -> Path:
    """Fetch every file of a model; what is there already is not fetched again.

    Args:
        model: from ``hub.look_up``.
        progress: called a few times a second.
        stopped: asked between blocks; True pauses.
        client: for requests; None makes one.
        client_check: raises when the network may not be used.

    Returns:
        the (first) GGUF file, ready to load.

    Raises:
        UserError: no room on the disk, a failure of the hub, a wrong checksum.
        Paused: ``stopped`` said so.
    """
    missing = [file for file in model.files if not snapshot_file(model, file).exists()]
    if not missing:
        return snapshot_file(model, model.files[0])
    client_check()
    folder = repository_folder(model.repository)
    blobs = folder / "blobs"
    here = sum(
        _partial(blobs, model, file).stat().st_size for file in missing if _partial(blobs, model, file).exists()
    )
    need = sum(file.size for file in missing) - here
    room = free_disk(folder)
    if need + _SPARE_DISK > room:
        raise UserError(
            f"{model.repository} needs {show_bytes(need)} and {folder} has {show_bytes(room)} free; "
            "make room or set HF_HOME to another disk."
        )
    blobs.mkdir(parents=True, exist_ok=True)
    before = sum(file.size for file in model.files if file not in missing)
    timeout = httpx.Timeout(10.0, read=_STALL_SECONDS)
    own = client or http_client("Fetching a model", follow_redirects=True, timeout=timeout)
    try:
        for file in missing:
            _Download(own, model, file, blobs, before, progress, stopped).run()
            before += file.size
            _link(model, file, blobs)
    finally:
        if client is None:
            own.close()
    refs = folder / "refs"
    refs.mkdir(exist_ok=True)
    _write_atomic(refs / "main", model.commit)
    return snapshot_file(model, model.files[0])


def _partial(blobs: Path, model: HubModel, file: HubFile) -> Path:
    # Named by content where that is known, so that a re-tagged repository resumes the same bytes.
    name = file.sha256 or hashlib.sha256(f"{model.commit}/{file.name}".encode()).hexdigest()
    return blobs / f"{name}.llmos-partial"


def _link(model: HubModel, file: HubFile, blobs: Path) -> None:
    target = snapshot_file(model, file)
    target.parent.mkdir(parents=True, exist_ok=True)
    blob = _partial(blobs, model, file).with_suffix("")
    with suppress(FileExistsError):
        try:
            target.symlink_to(os.path.relpath(blob, target.parent))
        except OSError:  # a file system without links
            os.link(blob, target)


def _write_atomic(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="ascii")
    temporary.replace(path)


class _Download:
    """One file: resume, stream, verify, put in place."""

    def __init__(
        self,
        client: httpx.Client,
        model: HubModel,
        file: HubFile,
        blobs: Path,
        before: int,
        progress: Callable[[Progress], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._client, self._model, self._file = client, model, file
        self._partial = _partial(blobs, model, file)
        self._before, self._progress, self._stopped = before, progress, stopped
        self._total = sum(one.size for one in model.files)
        self._began, self._begun_at = time.monotonic(), 0
        self._shown = 0.0
        self._most = before

    def run(self) -> None:
        what = f"{self._model.repository}:{self._model.quantisation}"
        failed = 0
        while True:
            before = self._size()
            try:
                self._stream(what)
                break
            except httpx.HTTPStatusError as error:
                if error.response.status_code not in (429, 500, 502, 503, 504):
                    raise explain(error, what) from error
                failure: httpx.HTTPError = error
            except httpx.HTTPError as error:
                failure = error
            # An attempt that moved on was no failed one: an unsteady line gets there in the end.
            failed = 0 if self._size() > before else failed + 1
            if failed >= _TRIES:
                raise explain(failure, what) from failure
            self._wait(min(8.0, 0.5 * 2**failed))
        self._verify(what)

    def _size(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._stopped():
                raise Paused
            time.sleep(0.05)

    def _stream(self, what: str) -> None:
        size = self._size()
        if size > self._file.size:
            self._partial.unlink()
            size = 0
        if size == self._file.size:
            return
        headers = {"Accept-Encoding": "identity"}
        if size:
            headers["Range"] = f"bytes={size}-"
        secret = token()
        if secret:
            headers["Authorization"] = f"Bearer {secret}"
        self._begun_at, self._began = size, time.monotonic()
        with self._client.stream("GET", file_url(self._model, self._file), headers=headers) as answer:
            answer.raise_for_status()
            kind = answer.headers.get("content-type", "")
            if "text/html" in kind:
                raise UserError(
                    f"The address of {what} answers with a web page instead of a model; "
                    "check the network's login page."
                )
            if size and answer.status_code != 206:
                size = 0  # the server does not resume: begin again
            with self._partial.open("r+b" if size else "wb") as out:
                out.seek(size)
                # Blocks as they arrive: larger ones would be lost when the line breaks.
                for block in answer.iter_bytes():
                    if size + len(block) > self._file.size:
                        raise UserError(
                            f"The hub sends more of {what} than its {self._file.size:,} bytes; "
                            "the rest was refused."
                        )
                    out.write(block)
                    size += len(block)
                    self._show(size)
                    if self._stopped():
                        out.flush()
                        os.fsync(out.fileno())
                        raise Paused
                out.flush()
                os.fsync(out.fileno())
        if size < self._file.size:
            raise httpx.RemoteProtocolError("the answer ended early")

    def _show(self, size: int, *, checking: bool = False) -> None:
        now = time.monotonic()
        if now - self._shown < 0.2 and size < self._file.size and not checking:
            return
        self._shown = now
        rate = (size - self._begun_at) / max(1e-3, now - self._began)
        self._most = max(self._most, self._before + size)
        self._progress(Progress(self._file.name, self._most, self._total, max(0.0, rate), checking))

    def _verify(self, what: str) -> None:
        self._show(self._file.size, checking=True)
        digest = hashlib.sha256()
        with self._partial.open("rb") as data:
            first = data.read(4)
            data.seek(0)
            while block := data.read(8 * _BLOCK):
                digest.update(block)
                if self._stopped():
                    raise Paused
        wrong = bool(self._file.sha256) and digest.hexdigest() != self._file.sha256
        if wrong or first != b"GGUF":
            self._partial.unlink()
            raise UserError(
                f"What arrived of {what} is not what the hub published "
                f"({'wrong checksum' if wrong else 'no GGUF file'}); it was deleted: pull again."
            )
        self._partial.replace(self._partial.with_suffix(""))
