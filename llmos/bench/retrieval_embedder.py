"""Embedders for the benchmark: the kernel's worker, a bare loop, and a rival."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmos.kernel.client import KernelClient
from llmos.kernel.library import prepare_environment
from llmos.kernel.protocol import LoadRequest


class Source:
    """One embedder, whatever is asked for."""

    def __init__(self, embedder: Any) -> None:
        self._embedder = embedder

    def current(self) -> Any:
        """The embedder, or None."""
        return self._embedder

    def named(self, name: str) -> Any:
        """The embedder, when it has this name."""
        return self._embedder if self._embedder is not None and self._embedder.name == name else None


class KernelEmbedder:
    """The program's own way: a worker process, called from threads over its event loop.

    Args:
        model: embedding GGUF.
        log: the worker's log.
        threads: of the worker.
    """

    name = "all-MiniLM-L6-v2"

    def __init__(self, model: Path, log: Path, threads: int) -> None:
        """See the class; the worker is started at once."""
        self.threads = threads
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._kernel = KernelClient(log)
        self._wait(self._kernel.load(LoadRequest(path=model, embedding=True, context=512, threads=threads)))

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def embed(self, texts: Sequence[str]) -> Any:
        """Normalised vectors."""
        return self._wait(self._kernel.embed(list(texts)))

    @property
    def resident_bytes(self) -> int:
        """Memory of the worker."""
        return int(self._wait(self._kernel.stats()).resident_bytes)

    def close(self) -> None:
        """End the worker."""
        self._wait(self._kernel.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


class BareEmbedder:
    """``Llama.embed`` in a loop, with flash attention, as one would write it in a notebook."""

    name = "bare"

    def __init__(self, model: Path, threads: int) -> None:
        """Load the model into this process."""
        prepare_environment()  # threads wait as in the kernel, or the ratio is of that
        from llama_cpp import Llama

        self._model = Llama(
            str(model),
            embedding=True,
            n_ctx=512,
            n_batch=512,
            n_ubatch=512,
            flash_attn=True,
            n_threads=threads,
            n_threads_batch=threads,
            verbose=False,
        )

    def embed(self, texts: Sequence[str]) -> Any:
        """Normalised vectors, one call a text."""
        return [self._model.embed(text, normalize=True) for text in texts]


class SentenceTransformersEmbedder:
    """The same weights in PyTorch."""

    name = "sentence-transformers"

    def __init__(self, threads: int) -> None:
        """Load the package's own files; nothing is downloaded."""
        os.environ["HF_HUB_OFFLINE"] = "1"
        import torch
        from llmos_disk.convert_minilm import package_folder
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        self._model = SentenceTransformer(str(package_folder()), device="cpu")

    def embed(self, texts: Sequence[str]) -> Any:
        """Normalised vectors, in the batches in which they come."""
        return self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
