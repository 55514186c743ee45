"""Read the header of a GGUF file on the hub without fetching it, by range requests."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import cast

import httpx

from llmos.catalog.hub import HubModel, check_online, explain, file_url, token
from llmos.kernel.gguf_header import Header, parse_header
from llmos.offline import http_client

_FIRST = 1 << 20
_MOST = 64 << 20


class RangeFile(io.RawIOBase):
    """A remote file as a seekable binary stream, read in growing blocks from its beginning.

    Args:
        url: address of the file.
        size: its length in bytes.
        client: for the requests.
    """

    def __init__(self, url: str, size: int, client: httpx.Client) -> None:
        self._url, self._length, self._client = url, size, client
        self._data = bytearray()
        self._place = 0
        self.requests = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; nothing is fetched."""
        self._place = (0, self._place, self._length)[whence] + offset
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Read from the block at hand, fetching more where it ends."""
        end = self._length if size < 0 else min(self._length, self._place + size)
        if end > len(self._data):
            self._fetch(end)
        out = bytes(self._data[self._place : end])
        self._place += len(out)
        return out

    def _fetch(self, end: int) -> None:
        if end > _MOST:
            raise httpx.RemoteProtocolError("the header is larger than any known one")
        start = len(self._data)
        stop = min(self._length, max(end, 2 * start, _FIRST))
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        secret = token()
        if secret:
            headers["Authorization"] = f"Bearer {secret}"
        self.requests += 1
        with self._client.stream("GET", self._url, headers=headers) as answer:
            answer.raise_for_status()
            if answer.status_code != 206:
                raise httpx.RemoteProtocolError("the server gives no ranges")
            for block in answer.iter_bytes():
                self._data += block
                if len(self._data) >= stop:
                    break


def remote_header(
    model: HubModel, *, client: httpx.Client | None = None, client_check: Callable[[], None] = check_online
) -> Header:
    """Header of a model's (first) file on the hub.

    Raises:
        UserError: offline, no range requests, or the file is no GGUF.
    """
    client_check()
    first = model.files[0]
    own = client or http_client("Looking at a model", follow_redirects=True, timeout=10.0)
    try:
        stream = RangeFile(file_url(model, first), first.size, own)
        return parse_header(Path(first.name), cast("io.BufferedReader", stream), first.size)
    except httpx.HTTPError as error:
        raise explain(error, f"{model.repository}:{model.quantisation}") from error
    finally:
        if client is None:
            own.close()
