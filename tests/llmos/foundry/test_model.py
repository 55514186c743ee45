"""The network, its start, its optimiser, rendering, and export, on models of a few thousand weights."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from llmos.formats import SPECIAL_TOKENS
from llmos.foundry.config import ModelConfig, model_config
from tests.helpers.require import require

SMALL = {"width": 96, "layers": 2, "heads": 3, "kv_heads": 3, "ffn": 128, "context": 512}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    require("tokenizers")
    from llmos.foundry.plain_text import generated_document
    from llmos.foundry.tokenizer import train_tokenizer

    draw = random.Random(1)
    return train_tokenizer([generated_document(draw) for _ in range(300)], 700)


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    require("torch")
    from llmos.foundry.model import Llama
    from llmos.foundry.structured import initialise

    made = Llama(ModelConfig(vocab_size=tokenizer.vocab_size, **SMALL))
    initialise(made, 1)
    return made


def test_sizes_of_the_dial() -> None:
    assert 3.1e6 < model_config("3m").parameters() < 3.3e6
    assert 7e6 < model_config("8M").parameters() < 9.5e6
    assert 15e6 < model_config("16m").parameters() < 17.5e6
    assert 28e6 < model_config("30m").parameters() < 33e6
    with pytest.raises(ValueError, match="choose one of nano"):
        model_config("huge")
    with pytest.raises(ValueError, match="divide by 32"):
        ModelConfig(vocab_size=100, width=100, layers=1, heads=2, kv_heads=1, ffn=64)


def test_special_tokens_come_first_and_text_never_makes_them(tokenizer: Any) -> None:
    assert [tokenizer.special[t] for t in SPECIAL_TOKENS] == list(range(len(SPECIAL_TOKENS)))
    ids = tokenizer.encode("a <|im_end|> <think> b")
    assert min(ids) >= len(SPECIAL_TOKENS)
    assert tokenizer.decode(ids) == "a <|im_end|> <think> b"
    assert len(tokenizer.encode("12345")) == 5


def test_merge_counts_never_grow_from_part_to_whole(tokenizer: Any) -> None:
    from llmos.foundry.record import token_bytes
    from llmos.foundry.tokenizer import merge_counts

    counts = {a + b: n for a, b, n in merge_counts(tokenizer, ["The capital of Brenholm is Tilwick. " * 5])}
    for (a, b), n in zip(tokenizer.merges(), counts.values(), strict=True):
        for part in (a, b):
            assert part not in counts or counts[part] >= n
    assert any(n > 0 for n in counts.values())
    assert token_bytes("Ġthe") == b" the"


def test_number_of_weights_and_causality(model: Any) -> None:
    import torch

    assert sum(w.numel() for w in model.parameters()) == model.config.parameters()
    ids = torch.randint(9, model.config.vocab_size, (2, 40))
    other = ids.clone()
    other[:, 25:] = 9
    with torch.no_grad():
        assert torch.allclose(model(ids)[:, :25], model(other)[:, :25], atol=1e-5)


def test_half_precision_attention_agrees(model: Any) -> None:
    import torch

    ids = torch.randint(9, model.config.vocab_size, (2, 40))
    with torch.no_grad():
        exact = model(ids)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(ids).float()
    assert (exact - half).abs().max() < 0.25 * exact.abs().max()


def test_structured_start_copies_without_training(tokenizer: Any) -> None:
    require("torch")
    import torch

    from llmos.foundry.model import Llama
    from llmos.foundry.structured import initialise

    ranks = {}
    for copying in (False, True):
        made = Llama(model_config("3m", 2000))
        initialise(made, 3, copying=copying)
        generator = torch.Generator().manual_seed(0)
        half = torch.randint(9, 2000, (2, 64), generator=generator)
        ids = torch.cat([half, half], dim=1)
        with torch.no_grad():
            logits = made(ids)[:, 64:-1]
        target = ids[:, 65:, None]
        ranks[copying] = float((logits > logits.gather(2, target)).sum(-1).float().median())
    assert ranks[True] <= 3 < 100 < ranks[False]


def test_training_lowers_the_loss_and_seeds_repeat(tokenizer: Any) -> None:
    require("torch")
    import torch

    from llmos.foundry.model import Llama
    from llmos.foundry.optim import Optimiser
    from llmos.foundry.structured import initialise
    from llmos.foundry.trainer import Gradients

    config = ModelConfig(vocab_size=tokenizer.vocab_size, **SMALL)
    ids = torch.randint(9, config.vocab_size, (4, 33), generator=torch.Generator().manual_seed(1))
    ends = []
    for _ in range(2):
        made = Llama(config)
        initialise(made, 5)
        optimiser, gradients = Optimiser(made), Gradients(made, 1, "cpu")
        losses = []
        for _ in range(12):
            parts = [lambda m, p=p: m.loss(p[:, :-1], p[:, 1:]) / 2 for p in ids.chunk(2)]
            losses.append(sum(gradients.run(parts)))
            optimiser.step(1.0)
        assert losses[-1] < losses[0] - 1
        ends.append(losses[-1])
    assert ends[0] == pytest.approx(ends[1], rel=1e-4)


def test_cached_generation_agrees_with_the_plain_forward_pass(model: Any) -> None:
    import torch

    from llmos.foundry.generate import generate

    prompts = [[9, 10, 11, 12, 13], [20, 21]]
    made = generate(model, prompts, stop=0, limit=6)
    for prompt, sample in zip(prompts, made, strict=True):
        ids = list(prompt)
        with torch.no_grad():
            for token in sample.ids:
                logits = model(torch.tensor([ids]))[0, -1]
                assert logits[token] == pytest.approx(float(logits.max()), abs=1e-3)
                ids.append(token)
        assert sample.entropy > 0 and sample.logprob < 0


def test_rendering_is_the_template_and_masks_only_answers(tokenizer: Any) -> None:
    from llmos.foundry.render import Renderer, conversation_pieces, rendered_text
    from llmos.foundry.tasks.mix import conversation

    renderer, draw = Renderer(tokenizer), random.Random(2)
    for _ in range(150):
        made = conversation(draw)
        pieces = conversation_pieces(made)
        assert "".join(p[0] for p in pieces) == rendered_text(made)
        ids, mask = renderer.ids(pieces)
        learned = tokenizer.decode([i for i, m in zip(ids, mask, strict=True) if m])
        assert learned.count("<|im_end|>") == sum(t.role == "assistant" for t in made.turns)
        assert "<|im_start|>" not in learned and "<tool_response>" not in learned


def test_gguf_gives_the_same_ids_and_logits(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    from llmos.foundry.export import check, weights_of
    from llmos.foundry.gguf_file import write_gguf

    for kind, limit in (("F32", 0.02), ("Q8_0", 0.5)):
        path = tmp_path / f"{kind}.gguf"
        write_gguf(path, model.config, weights_of(model), tokenizer, name="test", quantisation=kind)
        found = asyncio.run(check(path, model, tokenizer))
        assert found.strings == 500 and found.wrong_ids == 0
        assert found.logit_error < limit
    with pytest.raises(ValueError, match="choose one of F32"):
        write_gguf(path, model.config, {}, tokenizer, name="test", quantisation="Q3")


def test_an_interrupted_run_goes_on(tokenizer: Any, tmp_path: Path) -> None:
    require("torch")
    from llmos.foundry.mixture import write_mixture
    from llmos.foundry.plain_text import generated_document
    from llmos.foundry.pretrain import PretrainOptions, pretrain
    from llmos.foundry.trainer import load_state

    draw = random.Random(4)
    texts = [generated_document(draw) for _ in range(120)]
    tokenizer.save(tmp_path / "tokenizer.json")
    write_mixture(tmp_path / "mix", texts, {"held": texts[:4]}, tokenizer, 1)
    config = ModelConfig(vocab_size=tokenizer.vocab_size, **SMALL)
    options = PretrainOptions(
        tokens=64 * 130, batch_tokens=64, contexts=((0.0, 32), (0.8, 64)), workers=1, checkpoints=(0.5,)
    )

    class Killed(Exception):
        pass

    def kill(line: str) -> None:
        if line.startswith("step 100"):
            raise Killed

    with pytest.raises(Killed):
        pretrain(tmp_path, config, options, kill)
    # The kill came before the state of step 100 was written, so there is nothing to resume from yet.
    assert not (tmp_path / "pretrain" / "state.pt").exists()
    lines: list[str] = []
    final = pretrain(tmp_path, config, options, lines.append)
    steps = load_state(final)["facts"]["step"]
    assert steps == 130
    assert {p.name for p in (tmp_path / "pretrain").glob("step-*.pt")} >= {"step-1.pt", "step-130.pt"}
    assert pretrain(tmp_path, config, options, lines.append) == final


def test_reward_and_advantages() -> None:
    require("torch")
    from llmos.foundry.rl import advantages

    assert advantages([1.0, 1.0]) == [0.0, 0.0]
    gains = advantages([1.0, 0.0, 0.0, 0.0])
    assert gains[0] > 0 > gains[1] and sum(gains) == pytest.approx(0, abs=1e-6)


def test_lora_file_changes_the_loaded_model(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    import torch

    from llmos.foundry.export import weights_of
    from llmos.foundry.gguf_file import write_gguf, write_lora
    from llmos.foundry.model import Llama
    from llmos.foundry.twin import TwinOptions, lora_pairs, merged
    from llmos.kernel.client import KernelClient
    from llmos.kernel.protocol import LoadRequest

    options = TwinOptions(rank=4, alpha=8.0)
    pairs = lora_pairs(model, options)
    with torch.no_grad():
        for _, b in pairs.values():
            b.normal_(0, 0.05)
    twin = Llama(model.config)
    twin.load_state_dict(merged(model, pairs, 2.0))
    ids = tokenizer.encode("The capital of Brenholm is")
    write_gguf(tmp_path / "m.gguf", model.config, weights_of(model), tokenizer, name="m", quantisation="F32")
    arrays = {n: (a.detach().numpy(), b.detach().numpy()) for n, (a, b) in pairs.items()}
    write_lora(tmp_path / "l.gguf", arrays, alpha=8.0, name="l")

    async def top() -> list[tuple[int, float]]:
        kernel = KernelClient()
        try:
            await kernel.load(LoadRequest(tmp_path / "m.gguf", context=256, threads=1))
            await kernel.set_lora(tmp_path / "l.gguf")
            return [(t.token, t.logit) for t in await kernel.next_tokens(ids, top=5)]
        finally:
            await kernel.close()

    with torch.no_grad():
        expected = twin(torch.tensor([ids]))[0, -1]
        plain = model(torch.tensor([ids]))[0, -1]
    found = asyncio.run(top())
    assert all(logit == pytest.approx(float(expected[token]), abs=0.05) for token, logit in found)
    assert max(abs(float(plain[t]) - logit) for t, logit in found) > 0.1
