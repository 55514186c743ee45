"""KV states in files: a conversation's cache outlives a change of conversation and a restart.

A file is a magic word, the length of a JSON header, the header, the token ids, the state. The
header names the model, template, context parameters and adapters that the state was made with;
anything that does not agree, or whose checksum is wrong, is ignored and never given to llama.cpp.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from llmos.kernel.frames import pack_tokens, unpack_tokens
from llmos.kernel.protocol import KernelError

_MAGIC = b"LLMOSKV1"
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class SwapKey:
    """What a state depends on; it is used only where all of this is the same.

    Attributes:
        model: fingerprint of the GGUF file.
        template: hash of the chat template.
        build: version of the native library, whose state format may change.
        context: window in tokens.
        kv_type: format of the cache.
        lora: fingerprint and scale of the adapter, or empty.
    """

    model: str
    template: str
    build: str
    context: int
    kv_type: str
    lora: str = ""


def write_state(path: Path, key: SwapKey, tokens: list[int], state: bytes) -> int:
    """Write a state atomically; returns bytes written.

    Raises:
        KernelError: the file cannot be written (disk full, no permission); nothing is left behind.
    """
    packed = pack_tokens(tokens)
    header = json.dumps(
        {
            "key": asdict(key),
            "tokens": len(tokens),
            "state_bytes": len(state),
            "crc": zlib.crc32(state, zlib.crc32(packed)),
        }
    ).encode()
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.writelines((_MAGIC, _LENGTH.pack(len(header)), header, packed, state))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise KernelError(f"The cache state cannot be written to {path} ({error.strerror}).") from error
    return len(_MAGIC) + _LENGTH.size + len(header) + len(packed) + len(state)


def read_state(path: Path, key: SwapKey) -> tuple[list[int], bytes] | None:
    """Tokens and state of a file, or None when it is missing, damaged or made under another key."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + _LENGTH.size
    if len(data) < start or not data.startswith(_MAGIC):
        return None
    (length,) = _LENGTH.unpack(data[len(_MAGIC) : start])
    try:
        header = json.loads(data[start : start + length])
        count, size, checksum = int(header["tokens"]), int(header["state_bytes"]), int(header["crc"])
        same = header["key"] == asdict(key)
    except (ValueError, KeyError, TypeError):
        return None
    body = data[start + length :]
    if not same or count <= 0 or size <= 0 or len(body) != 4 * count + size or zlib.crc32(body) != checksum:
        return None
    return unpack_tokens(body[: 4 * count]), body[4 * count :]
