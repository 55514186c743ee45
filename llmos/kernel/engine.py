"""One loaded model and its context: the low-level calls, each guarded.

llama.cpp aborts the process on misuse (a batch over n_batch, a row without logits, a NULL
sampler, a position out of order). Every such call goes through a method here that checks first
and raises ``KernelError`` instead.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmos.kernel.batch import Batch, Row
from llmos.kernel.cache_format import FORMATS
from llmos.kernel.library import native
from llmos.kernel.protocol import KernelError

#: Most tokens of one llama_decode: a prefill chunk of 128 and the lanes that decode beside it.
BATCH = 160

#: From so many tokens on a batch is worth more threads than answers that are decoded together.
MANY = 32

# LLAMA_TOKEN_ATTR_CONTROL and LLAMA_TOKEN_ATTR_USER_DEFINED
_CONTROL = 1 << 3
_USER_DEFINED = 1 << 4

Floats = NDArray[np.float32]


class Engine:
    """Owns the native model and context; for one thread only.

    Args:
        path: GGUF file, already checked by ``memory``.
        context: window in tokens.
        threads: CPU threads.
        gpu_layers: layers to offload, -1 for all that the build can.
        kv_type: format of the KV cache, a key of ``FORMATS``.
        max_sequences: most KV sequences at once.
        batch: most tokens of one decode.
        embedding: make an embedding context (vectors instead of logits).
        pooling: ``LLAMA_POOLING_TYPE_*``, -1 takes the model's own.
        repack: let llama.cpp keep a second copy of the weights in a faster order.
        own_windows: give every sequence ``context / max_sequences`` tokens of its own.

    Raises:
        KernelError: llama.cpp cannot load the file or make the context.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: int,
        threads: int,
        gpu_layers: int = -1,
        kv_type: str = "f16",
        max_sequences: int = 10,
        batch: int = BATCH,
        embedding: bool = False,
        pooling: int = -1,
        repack: bool = True,
        own_windows: bool = False,
    ) -> None:
        self._c = native()
        self.path = path
        self._context_wanted = context
        self._pieces: dict[int, bytes] = {}
        self._lora: Any = None
        self._ctx: Any = None
        params = self._c.llama_model_default_params()
        params.n_gpu_layers = gpu_layers if gpu_layers >= 0 else 999
        params.use_extra_bufts = repack
        self._model = self._c.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise KernelError(
                f"llama.cpp cannot load {path.name}: the file is damaged or its architecture is not "
                "supported by this build; download it again or choose another model."
            )
        self._vocab = self._c.llama_model_get_vocab(self._model)
        self.vocabulary = int(self._c.llama_vocab_n_tokens(self._vocab))
        self.embedding_width = int(self._c.llama_model_n_embd(self._model))
        self.layers = int(self._c.llama_model_n_layer(self._model))
        self.trained_context = int(self._c.llama_model_n_ctx_train(self._model))
        self.partial_removal = not (
            self._c.llama_model_is_recurrent(self._model) or self._c.llama_model_is_hybrid(self._model)
        )
        cache = FORMATS[kv_type]
        self._params: dict[str, Any] = {
            "n_ctx": context,
            "n_batch": batch,
            "n_ubatch": batch,
            "n_seq_max": max_sequences,
            "n_threads": threads,
            "n_threads_batch": threads,
            "flash_attn_type": 1 if cache.flash_attention else 0,
            "type_k": cache.types[0],
            "type_v": cache.types[1],
            "kv_unified": not own_windows,
            "no_perf": True,
            "embeddings": embedding,
            "pooling_type": pooling,
        }
        try:
            self._ctx = self.make_context()
        except KernelError:
            self.close()
            raise
        self._few = self._many = threads
        self._own_windows = own_windows
        self.context = int(self._c.llama_n_ctx_seq(self._ctx))
        self.max_sequences = max_sequences
        self._memory = self._c.llama_get_memory(self._ctx)
        if not embedding:
            self._check_can_chat()
        # llama.cpp makes it smaller in a context smaller than it, and aborts on what is larger.
        self._batch = Batch(self._c, min(batch, int(self._c.llama_n_batch(self._ctx))))
        self._row_type = ctypes.c_float * self.vocabulary
        self._rows = 0

    # -- set-up and end ---------------------------------------------------------------------

    def make_context(self, **changes: Any) -> Any:
        """A native context over the model; ``changes`` override its parameters.

        The caller frees what it made. Raises ``KernelError`` when llama.cpp refuses.
        """
        params = self._c.llama_context_default_params()
        for name, value in {**self._params, **changes}.items():
            setattr(params, name, value)
        made = self._c.llama_init_from_model(self._model, params)
        if not made:
            raise KernelError(
                f"llama.cpp cannot make a context of {self._context_wanted:,} tokens for {self.path.name}; "
                "choose a smaller context or f16 for the KV cache."
            )
        return made

    def _check_can_chat(self) -> None:
        """Refuse what llama_decode would abort on or answer nonsense with."""
        c, model = self._c, self._model
        if c.llama_model_has_encoder(model) or c.llama_model_is_diffusion(model) or not self._memory:
            self.close()
            raise KernelError(
                f"{self.path.name} is no model to chat with: it embeds, translates or denoises text; "
                "choose a text-generation model."
            )

    def close(self) -> None:
        """Free everything native; the engine cannot be used afterwards."""
        if self._ctx:
            self._c.llama_free(self._ctx)
            self._ctx = None
        if self._lora:
            self._c.llama_adapter_lora_free(self._lora)
            self._lora = None
        if self._model:
            self._c.llama_model_free(self._model)
            self._model = None

    @property
    def batch_size(self) -> int:
        """Most rows of one decode."""
        return self._batch.size

    @property
    def handles(self) -> tuple[Any, Any, Any, Any]:
        """(library, model, context, vocabulary) for the sampler and the inspector."""
        return self._c, self._model, self._ctx, self._vocab

    def set_threads(self, one: int, few: int = 0, many: int = 0) -> None:
        """Threads of every later decode: of one token, of fewer than ``MANY``, of more (0: as of one)."""
        self._params["n_threads"], self._few, self._many = one, few or one, many or one
        self._use_threads(self._many)

    def _use_threads(self, batch: int) -> None:
        self._params["n_threads_batch"] = batch
        self._c.llama_set_n_threads(self._ctx, self._params["n_threads"], batch)

    # -- text -------------------------------------------------------------------------------

    def tokenize(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """Token ids; a lone surrogate becomes ``?``, NUL is kept."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        tokens = (ctypes.c_int32 * room)()
        count = self._c.llama_tokenize(self._vocab, data, len(data), tokens, room, False, special)
        if count < 0:
            room = -count
            tokens = (ctypes.c_int32 * room)()
            count = self._c.llama_tokenize(self._vocab, data, len(data), tokens, room, False, special)
        if count < 0:
            raise KernelError("The text is too long to be cut into tokens.")
        found = tokens[:count]
        if bos:
            start = self._c.llama_vocab_bos(self._vocab)
            if start >= 0 and self._c.llama_vocab_get_add_bos(self._vocab):
                found.insert(0, start)
        return list(found)

    def piece(self, token: int) -> bytes:
        """Bytes of a token, a special token by its name."""
        found = self._pieces.get(token)
        if found is None:
            self.check_tokens((token,))
            buffer = ctypes.create_string_buffer(64)
            count = self._c.llama_token_to_piece(self._vocab, token, buffer, 64, 0, True)
            if count < 0:
                buffer = ctypes.create_string_buffer(-count)
                count = self._c.llama_token_to_piece(self._vocab, token, buffer, -count, 0, True)
            found = self._pieces[token] = bytes(buffer.raw[: max(count, 0)])
        return found

    def is_end(self, token: int) -> bool:
        """Whether the token ends an answer."""
        return bool(self._c.llama_vocab_is_eog(self._vocab, token))

    def check_tokens(self, tokens: Sequence[int]) -> None:
        """Raise ``KernelError`` for an id outside the vocabulary (it would read foreign memory)."""
        if tokens and (min(tokens) < 0 or max(tokens) >= self.vocabulary):
            raise KernelError(
                f"A token id is outside this model's vocabulary of {self.vocabulary:,}; "
                "the text was cut by another model's tokenizer."
            )

    def special_tokens(self) -> tuple[list[str], list[str]]:
        """Names of the control tokens, and of the user-defined ones."""
        control: list[str] = []
        defined: list[str] = []
        for token in range(self.vocabulary):
            attributes = self._c.llama_vocab_get_attr(self._vocab, token)
            if attributes & (_CONTROL | _USER_DEFINED):
                text = (self._c.llama_vocab_get_text(self._vocab, token) or b"").decode("utf-8", "replace")
                if text.strip():
                    (control if attributes & _CONTROL else defined).append(text)
        return control, defined

    def start_and_end(self) -> tuple[int, int, bool]:
        """(start token or -1, end token or -1, whether prompts begin with the start token)."""
        return (
            int(self._c.llama_vocab_bos(self._vocab)),
            int(self._c.llama_vocab_eos(self._vocab)),
            bool(self._c.llama_vocab_get_add_bos(self._vocab)),
        )

    # -- forward pass -----------------------------------------------------------------------

    def decode(self, rows: Sequence[Row]) -> int:
        """Evaluate a batch of rows (token, position, sequence, wants logits).

        Returns 0, or 1 when the KV cache has no room for it (nothing is changed then).

        Raises:
            KernelError: too many rows, a token or sequence out of range, or a fatal native error.
        """
        count = len(rows)
        if not 0 < count <= self._batch.size:
            raise KernelError(f"A batch holds 1 to {self._batch.size} tokens, not {count}.")
        for row, (token, position, sequence, _) in enumerate(rows):
            if not (0 <= token < self.vocabulary and 0 <= sequence < self.max_sequences and position >= 0):
                raise KernelError(f"Row {row} of the batch is out of range (token {token}, KV {sequence}).")
        self._batch.fill(rows)
        wanted = self._few if count < MANY else self._many
        if wanted != self._params["n_threads_batch"]:
            self._use_threads(wanted)
        code = int(self._c.llama_decode(self._ctx, self._batch.native))
        self._rows = count if code == 0 else 0
        if code in (0, 1):
            return code
        raise KernelError(f"The forward pass failed inside llama.cpp (code {code}).")

    def forget_outputs(self) -> None:
        """What the last batch computed is overwritten from now on; its rows cannot be read any more."""
        self._rows = 0

    def check_row(self, row: int) -> None:
        """Raise ``KernelError`` unless the last batch computed an output for this row."""
        if not 0 <= row < self._rows or not self._batch.has_output(row):
            raise KernelError(f"Row {row} of the last batch has no output.")

    def logits(self, row: int) -> Floats:
        """Logits of a row of the last batch, [vocabulary]; a view that the next decode overwrites."""
        self.check_row(row)
        pointer = self._c.llama_get_logits_ith(self._ctx, row)
        if not pointer:
            raise KernelError(f"Row {row} of the last batch has no logits.")
        # Ten times as quick as np.ctypeslib.as_array, which counts for a small model.
        place = ctypes.addressof(pointer.contents)
        return np.frombuffer(memoryview(self._row_type.from_address(place)), np.float32)

    def check_finite(self, row: int) -> None:
        """Raise ``KernelError`` when a row's logits are NaN; llama.cpp would draw from them all the same.

        One number is looked at: a NaN anywhere in the last layer spreads over all of them.
        """
        self.check_row(row)
        first = self._c.llama_get_logits_ith(self._ctx, row)[0]
        if first != first:
            raise KernelError(
                f"{self.path.name} computed no numbers (NaN) for this prompt; its weights are damaged or "
                "its number format overflows: choose another file of it."
            )

    def hidden_states(self) -> Floats:
        """Last hidden states of every row of the last batch, [rows, width], copied.

        Raises:
            KernelError: the context was not made for embedding.
        """
        if not self._params["embeddings"] or not self._rows:
            raise KernelError("This context gives no hidden states.")
        self.check_row(self._rows - 1)
        pointer = self._c.llama_get_embeddings(self._ctx)
        if not pointer:
            raise KernelError("This context gives no hidden states.")
        return np.array(np.ctypeslib.as_array(pointer, shape=(self._rows, self.embedding_width)))

    # -- KV cache ---------------------------------------------------------------------------

    def clear(self) -> None:
        """Empty the whole KV cache."""
        if self._memory:
            self._c.llama_memory_clear(self._memory, True)

    def remove(self, sequence: int, start: int = 0, end: int = -1) -> bool:
        """Forget positions [start, end) of a sequence; False when the model cannot forget a part."""
        if not self._memory:
            return True
        return bool(self._c.llama_memory_seq_rm(self._memory, sequence, start, end))

    def copy(self, source: int, target: int, end: int = -1) -> None:
        """Let ``target`` share positions [0, end) of ``source``."""
        if self._memory:
            # From window to window llama.cpp copies the whole and aborts on a part; it is cut afterwards.
            self._c.llama_memory_seq_cp(self._memory, source, target, 0, -1 if self._own_windows else end)
            if self._own_windows and end >= 0:
                self.remove(target, end)

    def last_position(self, sequence: int) -> int:
        """Largest position in a sequence, -1 when it is empty."""
        return int(self._c.llama_memory_seq_pos_max(self._memory, sequence)) if self._memory else -1

    def state(self, sequence: int) -> bytes:
        """KV state of one sequence as bytes."""
        size = int(self._c.llama_state_seq_get_size(self._ctx, sequence))
        buffer = (ctypes.c_uint8 * size)()
        written = int(self._c.llama_state_seq_get_data(self._ctx, buffer, size, sequence))
        return memoryview(buffer)[:written].tobytes()

    def set_state(self, sequence: int, data: bytes) -> bool:
        """Put a saved state into an empty sequence; False when llama.cpp does not take it."""
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        return int(self._c.llama_state_seq_set_data(self._ctx, buffer, len(data), sequence)) > 0

    # -- LoRA, metadata ---------------------------------------------------------------------

    def set_lora(self, path: Path | None, scale: float) -> None:
        """Lay an adapter over the model or take it off; the KV cache is cleared.

        Raises:
            KernelError: the file is missing or does not fit this model; nothing is changed then.
        """
        adapter = None
        if path is not None:
            if not path.is_file():
                raise KernelError(f"The adapter {path} does not exist.")
            adapter = self._c.llama_adapter_lora_init(self._model, str(path).encode())
            if not adapter:
                raise KernelError(f"The adapter {path.name} is damaged or was made for another model.")
        old, self._lora = self._lora, adapter
        if adapter:
            one = (self._c.llama_adapter_lora_p_ctypes * 1)(adapter)
            self._c.llama_set_adapters_lora(self._ctx, one, 1, (ctypes.c_float * 1)(scale))
        else:
            self._c.llama_set_adapters_lora(self._ctx, None, 0, None)
        if old:
            self._c.llama_adapter_lora_free(old)
        self.clear()

    def metadata(self) -> Iterator[tuple[str, str]]:
        """Key and value of every metadata entry that is not an array."""
        buffer = ctypes.create_string_buffer(1 << 20)
        for index in range(self._c.llama_model_meta_count(self._model)):
            if self._c.llama_model_meta_key_by_index(self._model, index, buffer, len(buffer)) < 0:
                continue
            key = buffer.value.decode("utf-8", "replace")
            if self._c.llama_model_meta_val_str_by_index(self._model, index, buffer, len(buffer)) >= 0:
                yield key, buffer.value.decode("utf-8", "replace")

    def parameters(self) -> int:
        """Number of weights."""
        return int(self._c.llama_model_n_params(self._model))
