"""Frames on the pipe between client and worker: two lengths, a JSON object, raw bytes.

Eight bytes of header (two little-endian uint32: length of the JSON, length of the payload),
then the JSON object in UTF-8, then the payload (token ids as int32, numpy data, or nothing).
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
from array import array
from collections.abc import Sequence
from typing import Any

_HEADER = struct.Struct("<II")

#: Made once: json.dumps would make one for every message.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

#: A frame above this is a broken stream, not a message.
MAX_FRAME = 1 << 30


class BrokenPipe(Exception):
    """The other side is gone, or what came is no frame."""


def pack(message: dict[str, Any], payload: bytes = b"") -> bytes:
    """One frame as bytes; texts may hold lone surrogates (they become ``?``)."""
    body = _encode(message).encode("utf-8", "replace")
    return _HEADER.pack(len(body), len(payload)) + body + payload


def pack_tokens(tokens: Sequence[int]) -> bytes:
    """Token ids as int32 bytes."""
    return array("i", tokens).tobytes()


def unpack_tokens(payload: bytes) -> list[int]:
    """Token ids from int32 bytes."""
    values = array("i")
    values.frombytes(payload)
    return values.tolist()


def _read_exactly(descriptor: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            raise BrokenPipe
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _lengths(header: bytes) -> tuple[int, int]:
    body, payload = _HEADER.unpack(header)
    if body + payload > MAX_FRAME:
        raise BrokenPipe
    return body, payload


def read_frame(descriptor: int) -> tuple[dict[str, Any], bytes]:
    """Read one frame from a file descriptor, blocking.

    Raises:
        BrokenPipe: end of file or no frame.
    """
    body_length, payload_length = _lengths(_read_exactly(descriptor, _HEADER.size))
    body = _read_exactly(descriptor, body_length)
    return json.loads(body), _read_exactly(descriptor, payload_length)


def write_frame(descriptor: int, message: dict[str, Any], payload: bytes = b"") -> None:
    """Write one frame to a file descriptor, blocking until all of it is taken.

    Raises:
        BrokenPipe: nobody reads any more.
    """
    data = memoryview(pack(message, payload))
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        raise BrokenPipe from error


async def read_frame_async(reader: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    """Read one frame from an asyncio stream.

    Raises:
        BrokenPipe: end of file or no frame.
    """
    try:
        body_length, payload_length = _lengths(await reader.readexactly(_HEADER.size))
        body = await reader.readexactly(body_length)
        payload = await reader.readexactly(payload_length) if payload_length else b""
    except (asyncio.IncompleteReadError, ConnectionError, OSError) as error:
        raise BrokenPipe from error
    return json.loads(body), payload
