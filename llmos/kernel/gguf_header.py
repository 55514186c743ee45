"""Reads the header of a GGUF file: metadata and tensor list, without the weights.

The gguf package reads the same but takes seconds on a vocabulary of 150,000 because it makes
a numpy view of every string; here long arrays are walked over and only counted.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from llmos.kernel.protocol import KernelError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

#: Arrays up to this many numbers are kept as values (head counts per layer and the like).
_KEEP_ARRAY = 4096


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of the list: name, shape (fastest dimension first), ggml type, offset in the data."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def elements(self) -> int:
        """Number of weights."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bytes(self) -> int:
        """Size in the file; 0 for a number format newer than the gguf package."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        try:
            block, size = GGML_QUANT_SIZES[GGMLQuantizationType(self.type)]
        except (ValueError, KeyError):
            return 0
        return int(self.elements // block * size)


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says. ``array_lengths`` holds the lengths of arrays that were not kept."""

    path: Path
    file_bytes: int
    data_start: int
    metadata: dict[str, Any]
    array_lengths: dict[str, int]
    tensors: tuple[TensorEntry, ...] = field(default=(), repr=False)

    @property
    def architecture(self) -> str:
        """``general.architecture``."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def parameters(self) -> int:
        """Number of weights in the file."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        length = self.array_lengths.get("tokenizer.ggml.tokens", 0)
        return length or int(self.metadata.get(f"{self.architecture}.vocab_size", 0))

    def of_architecture(self, key: str, default: Any = None) -> Any:
        """Metadata under the architecture's own prefix."""
        return self.metadata.get(f"{self.architecture}.{key}", default)

    @property
    def weight_bytes(self) -> int:
        """Size of all tensors in the file."""
        sizes = [tensor.bytes for tensor in self.tensors]
        return sum(sizes) if all(sizes) else max(0, self.file_bytes - self.data_start)

    @property
    def expected_bytes(self) -> int:
        """Smallest size that the file must have."""
        return max((self.data_start + one.offset + one.bytes for one in self.tensors), default=0)


class _Truncated(Exception):
    pass


class _Reader:
    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def bytes(self, count: int) -> bytes:
        if count < 0 or count > self._size:
            raise _Truncated
        data = self._file.read(count)
        if len(data) != count:
            raise _Truncated
        return data

    def scalar(self, code: str) -> Any:
        return struct.unpack("<" + code, self.bytes(struct.calcsize("<" + code)))[0]

    def string(self) -> str:
        return self.bytes(self.scalar("Q")).decode("utf-8", "replace")

    def skip_strings(self, count: int) -> None:
        read = self._file.read
        seek = self._file.seek
        for _ in range(count):
            head = read(8)
            if len(head) != 8:
                raise _Truncated
            length = int.from_bytes(head, "little")
            if length > self._size:
                raise _Truncated
            seek(length, 1)

    def value(self, kind: int) -> tuple[Any, int | None]:
        """(value, None) or, for an array that is not kept, (None, its length)."""
        if kind == _STRING:
            return self.string(), None
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind]), None
        if kind != _ARRAY:
            raise _Truncated
        inner, count = self.scalar("I"), self.scalar("Q")
        if inner == _STRING:
            self.skip_strings(count)
            return None, count
        if inner not in _SCALARS:
            raise _Truncated
        width = struct.calcsize("<" + _SCALARS[inner])
        if count > _KEEP_ARRAY:
            if count * width > self._size:
                raise _Truncated
            self._file.seek(count * width, 1)
            return None, count
        return list(struct.unpack(f"<{count}{_SCALARS[inner]}", self.bytes(count * width))), None


def read_header(path: Path) -> Header:
    """Read and check the header of a GGUF file.

    Raises:
        KernelError: missing, empty, no GGUF, a version that is not supported, or cut off; the
            sentence says which and what to do.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise KernelError(f"{path} is a folder; name the GGUF file inside it.")
        if size == 0:
            raise KernelError(f"The model file {path} is empty; download it again.")
        with path.open("rb") as file:
            return parse_header(path, file, size)
    except FileNotFoundError as error:
        raise KernelError(f"There is no model file at {path}; see `llmos models list`.") from error
    except OSError as error:
        raise KernelError(f"The model file {path} cannot be read ({error.strerror}).") from error


def parse_header(path: Path, file: BinaryIO, size: int) -> Header:
    """Parse a header from a stream at its beginning (a file, or one read by range requests).

    Raises:
        KernelError: no GGUF, an unsupported version, or cut off.
    """
    reader = _Reader(file, size)
    if file.read(4) != b"GGUF":
        raise KernelError(f"{path} is not a GGUF model (it does not begin with GGUF); choose another file.")
    try:
        version = reader.scalar("I")
        if version not in (2, 3):
            raise KernelError(f"{path} is GGUF version {version}, which cannot be read; convert it again.")
        tensor_count, value_count = reader.scalar("Q"), reader.scalar("Q")
        if tensor_count > 1_000_000 or value_count > 1_000_000:
            raise _Truncated
        metadata: dict[str, Any] = {}
        lengths: dict[str, int] = {}
        for _ in range(value_count):
            key = reader.string()
            value, length = reader.value(reader.scalar("I"))
            if length is None:
                metadata[key] = value
            else:
                lengths[key] = length
        tensors = []
        for _ in range(tensor_count):
            name = reader.string()
            dimensions = reader.scalar("I")
            if dimensions > 8:
                raise _Truncated
            shape = tuple(reader.scalar("Q") for _ in range(dimensions))
            kind, offset = reader.scalar("I"), reader.scalar("Q")
            tensors.append(TensorEntry(name, shape, kind, offset))
        alignment = int(metadata.get("general.alignment", 32)) or 32
        start = -(-file.tell() // alignment) * alignment
    except (_Truncated, struct.error, OverflowError, MemoryError) as error:
        raise KernelError(
            f"The model file {path} is damaged or cut off inside its header; download it again."
        ) from error
    return Header(path, size, start, metadata, lengths, tuple(tensors))


def check_complete(header: Header) -> None:
    """Refuse a file that cannot be run.

    Raises:
        KernelError: no weights (a vocabulary only), or data cut off.
    """
    if not header.tensors:
        raise KernelError(
            f"{header.path} holds a vocabulary only and no weights; choose a model file with weights."
        )
    expected = header.expected_bytes
    if header.file_bytes < expected:
        raise KernelError(
            f"The model file {header.path} is cut off: {header.file_bytes:,} of {expected:,} bytes are there; "
            "download it again."
        )


def fingerprint(path: Path) -> str:
    """SHA-256 over the size and the first and last MiB: quick, and different for every model."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(1 << 20))
        if size > 1 << 20:
            file.seek(max(1 << 20, size - (1 << 20)))
            digest.update(file.read(1 << 20))
    return digest.hexdigest()
