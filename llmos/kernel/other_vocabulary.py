"""Tokenizers of other files: only their vocabulary is loaded, no weights."""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos.kernel import gguf_header
from llmos.kernel.library import native
from llmos.kernel.protocol import KernelError

#: Vocabularies that are kept loaded.
_KEPT = 6


class OtherVocabularies:
    """The operation that cuts a text by another file's tokenizer; part of ``Operations``."""

    _reply: Callable[..., None]

    def _op_tokenize_with(self, number: int, message: dict[str, Any], _payload: bytes) -> None:
        known: OrderedDict[tuple[str, int], Vocabulary] = self.__dict__.setdefault(
            "_vocabularies", OrderedDict()
        )
        path = Path(message["path"]).expanduser()
        try:
            key = (str(path), path.stat().st_mtime_ns)
        except OSError:
            raise KernelError(f"There is no model file at {path}.") from None
        if key not in known:
            while len(known) >= _KEPT:
                known.popitem(last=False)[1].close()
            known[key] = Vocabulary(path)
        known.move_to_end(key)
        found = known[key]
        tokens = found.tokenize(str(message["text"]))
        pieces = [found.piece(token) for token in tokens]
        value = [found.size, found.kind, tokens, [len(piece) for piece in pieces]]
        self._reply(number, value, b"".join(pieces))


class Vocabulary:
    """The vocabulary of a GGUF file.

    Args:
        path: any GGUF model.

    Raises:
        KernelError: no GGUF file, or it holds no vocabulary.
    """

    def __init__(self, path: Path) -> None:
        header = gguf_header.read_header(path)
        if not str(header.metadata.get("tokenizer.ggml.model", "")):
            raise KernelError(f"{path.name} holds no tokenizer.")
        self.kind = str(header.metadata["tokenizer.ggml.model"])
        self._c = native()
        params = self._c.llama_model_default_params()
        params.vocab_only = True
        self._model = self._c.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise KernelError(f"llama.cpp cannot read the tokenizer of {path.name}.")
        self._vocab = self._c.llama_model_get_vocab(self._model)
        self.size = int(self._c.llama_vocab_n_tokens(self._vocab))

    def tokenize(self, text: str) -> list[int]:
        """Token ids, special tokens left out."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 16
        for _ in range(2):
            tokens = (ctypes.c_int32 * room)()
            count = int(self._c.llama_tokenize(self._vocab, data, len(data), tokens, room, False, False))
            if count >= 0:
                return list(tokens[:count])
            room = -count
        raise KernelError("The text is too long to be cut into tokens.")

    def piece(self, token: int) -> bytes:
        """Bytes of a token."""
        buffer = ctypes.create_string_buffer(256)
        count = int(self._c.llama_token_to_piece(self._vocab, token, buffer, 256, 0, True))
        return bytes(buffer.raw[: max(0, count)])

    def close(self) -> None:
        """Free it."""
        if self._model:
            self._c.llama_model_free(self._model)
            self._model = None
