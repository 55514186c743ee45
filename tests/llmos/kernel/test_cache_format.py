"""Number formats of the KV cache: what they take, and which one is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmos.bench.random_gguf import Shape, write_random_gguf
from llmos.kernel.cache_format import FORMATS
from llmos.kernel.engine import Engine
from llmos.kernel.model import load, plan
from llmos.kernel.protocol import KernelError, LoadRequest


def test_bytes_and_types() -> None:
    assert FORMATS["f16"].bytes(64, 32) == 192
    assert FORMATS["q8_0"].bytes(64, 32) == 102
    assert FORMATS["q8_0/f16"].bytes(64, 32) == 132
    assert [FORMATS[name].types for name in ("f16", "q8_0", "q8_0/f16")] == [(1, 1), (8, 8), (8, 1)]
    # llama.cpp takes quantised values with flash attention only.
    assert all(one.flash_attention for one in FORMATS.values() if one.value != "f16")


@pytest.fixture(scope="module")
def middling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 50 MB, large enough for the faster format."""
    shape = Shape("middling", 256, 8, 8, 2, 4096, 512, context=512)
    return write_random_gguf(tmp_path_factory.mktemp("models") / "middling.gguf", shape, quantisation="F16")


def test_what_is_loaded_when_none_is_named(middling: Path, tiny: Path) -> None:
    assert plan(LoadRequest(middling)).kv_type == "q8_0/f16"
    assert plan(LoadRequest(middling, kv_type="f16")).kv_type == "f16"
    # Windows of their own share nothing that could be read once for all.
    assert plan(LoadRequest(middling, own_windows=True)).kv_type == "f16"
    assert plan(LoadRequest(tiny)).kv_type == "f16"
    loaded = load(request := LoadRequest(middling, threads=1), plan(request))
    assert loaded.info["kv_type"] == loaded.swap_key().kv_type == "q8_0/f16"
    loaded.engine.close()


def test_a_format_that_llama_cpp_refuses_gives_way(middling: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Engine.make_context

    def make_context(self: Engine, **changes: Any) -> Any:
        if self._params["flash_attn_type"] == 0:
            raise KernelError("llama.cpp cannot make a context.")
        return real(self, **changes)

    monkeypatch.setattr(Engine, "make_context", make_context)
    request = LoadRequest(middling, threads=1)
    loaded = load(request, plan(request))
    assert loaded.info["kv_type"] == loaded.swap_key().kv_type == "f16"
    plain = plan(replace(request, kv_type="f16")).takes
    assert loaded.info["memory"] == {"weights": plain.weights, "kv": plain.kv, "compute": plain.compute}
    loaded.engine.close()
    named = LoadRequest(middling, threads=1, kv_type="q8_0/f16")
    with pytest.raises(KernelError, match="cannot make a context"):
        load(named, plan(named))
