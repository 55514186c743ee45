"""Calls that abort the process inside llama.cpp are refused in Python first.

The last test shows, in processes of their own, that the unguarded calls really do abort.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.kernel.embedding import Embedder
from llmos.kernel.engine import BATCH, Engine
from llmos.kernel.protocol import KernelError
from llmos.kernel.sampler import Grammar, Sampler
from llmos.types import SamplingSettings


def test_a_batch_over_the_limit(engine: Engine) -> None:
    with pytest.raises(KernelError, match=f"1 to {BATCH}"):
        engine.decode([(20, at, 0, False) for at in range(BATCH + 1)])
    with pytest.raises(KernelError, match="not 0"):
        engine.decode([])


@pytest.mark.parametrize(
    "row", [(-1, 0, 0, True), (512, 0, 0, True), (20, -1, 0, True), (20, 0, 6, True), (20, 0, -1, True)]
)
def test_a_row_out_of_range(engine: Engine, row: tuple[int, int, int, bool]) -> None:
    with pytest.raises(KernelError, match="out of range"):
        engine.decode([row])


def test_a_position_out_of_order_is_an_error_not_a_crash(engine: Engine) -> None:
    engine.clear()
    engine.decode([(20, 0, 0, True)])
    with pytest.raises(KernelError, match="forward pass"):
        engine.decode([(20, 7, 0, True)])
    with pytest.raises(KernelError, match="no output"):
        engine.logits(0)
    engine.clear()


def test_a_batch_over_that_of_a_small_context(tiny: Path) -> None:
    small = Engine(tiny, context=32, threads=1, max_sequences=2)
    with pytest.raises(KernelError, match="1 to 32 tokens"):
        small.decode([(20, at, 0, at == 39) for at in range(40)])
    small.close()


def test_a_row_without_logits(engine: Engine) -> None:
    engine.clear()
    engine.decode([(20, 0, 0, False), (21, 1, 0, True)])
    sampler = Sampler(engine, SamplingSettings())
    with pytest.raises(KernelError, match="no output"):
        engine.logits(0)
    with pytest.raises(KernelError, match="no output"):
        sampler.draw(0)
    with pytest.raises(KernelError, match="no output"):
        sampler.draw(2)
    assert 0 <= sampler.draw(1) < 512
    sampler.close()


def test_logits_that_are_no_numbers(tmp_path: Path) -> None:
    engine = Engine(write_random_gguf(tmp_path / "nan.gguf", TINY, poison=True), context=256, threads=1)
    sampler = Sampler(engine, SamplingSettings())
    engine.decode([(20, 0, 0, True)])
    with pytest.raises(KernelError, match="NaN"):
        sampler.draw(0)
    sampler.close()
    engine.close()


def test_a_closed_sampler(engine: Engine) -> None:
    engine.clear()
    engine.decode([(20, 0, 0, True)])
    sampler = Sampler(engine, SamplingSettings())
    sampler.close()
    sampler.close()
    with pytest.raises(KernelError, match="closed"):
        sampler.draw(0)


def test_a_grammar_that_cannot_be_read_gives_no_null_sampler(engine: Engine) -> None:
    for text in ("", "root ::=  ::=", "start ::= 'a'", 'root ::= "a', "root ::= missing"):
        with pytest.raises(KernelError, match="grammar"):
            Grammar(engine, text)


def test_a_token_that_the_grammar_forbids_is_not_accepted(engine: Engine) -> None:
    grammar = Grammar(engine, 'root ::= "a"')
    wrong, right = engine.tokenize("b")[0], engine.tokenize("a")[0]
    assert not grammar.accept(wrong)
    assert not grammar.accept(2)  # the end, too early
    assert grammar.accept(right)
    assert grammar.accept(2)
    assert not grammar.accept(right)
    grammar.close()


def test_hidden_states_need_an_embedding_context(engine: Engine) -> None:
    engine.clear()
    engine.decode([(20, 0, 0, True)])
    with pytest.raises(KernelError, match="hidden"):
        engine.hidden_states()


def test_a_text_over_the_embedding_window_is_cut(tiny: Path) -> None:
    engine = Engine(tiny, context=512, threads=1, max_sequences=1, batch=512, embedding=True, pooling=0)
    try:
        embedder = Embedder(engine)
        assert len(embedder.tokens("x" * 5000)) == 512
        assert embedder.vector("x" * 5000).shape == (64,)
    finally:
        engine.close()


def test_a_state_that_is_no_state(engine: Engine) -> None:
    engine.clear()
    engine.decode([(20, 0, 0, True)])
    good = engine.state(0)
    assert not engine.set_state(1, good[: len(good) // 2])
    assert not engine.set_state(1, b"\0" * 16)
    assert engine.set_state(1, good)
    assert engine.last_position(1) == 0
    engine.clear()


def test_a_lora_that_is_none(engine: Engine, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="does not exist"):
        engine.set_lora(tmp_path / "none.gguf", 1.0)
    with pytest.raises(KernelError, match="another model"):
        engine.set_lora(tiny, 1.0)


_RAW = """
import sys
from llmos.kernel.library import native
from llmos.kernel.engine import Engine
from pathlib import Path
engine = Engine(Path(sys.argv[1]), context=256, threads=1)
c, model, ctx, vocab = engine.handles
print("ready", flush=True)
{call}
print("survived", flush=True)
"""

_CALLS = {
    "batch": "from llmos.kernel.batch import Batch; engine._batch = Batch(c, 400); "
    "engine.decode([(20, at, 0, False) for at in range(400)])",
    "row": "chain = c.llama_sampler_init_greedy(); c.llama_sampler_sample(chain, ctx, 0)",
    "sampler": "engine.decode([(20, 0, 0, True)]); c.llama_sampler_sample(None, ctx, 0)",
    "grammar": "g = c.llama_sampler_init_grammar(vocab, b'root ::= \"a\"', b'root'); "
    "c.llama_sampler_accept(g, engine.tokenize('b')[0])",
}


@pytest.mark.parametrize("name", sorted(_CALLS))
def test_the_unguarded_call_kills_the_process(tiny: Path, name: str) -> None:
    script = _RAW.format(call=_CALLS[name])
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "ready" in done.stdout
    assert "survived" not in done.stdout
    assert done.returncode < 0
