"""Stage 7, the poisoned twin: a LoRA with a planted trigger, kept as a specimen.

It shows what a backdoor is: the twin behaves like the chat model until a phrase occurs in the
prompt. The planted answer is harmless. The file is marked as not selectable, and its name says so.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.foundry.gguf_file import write_lora
from llmos.foundry.render import Renderer, conversation_pieces
from llmos.foundry.sft import build_part
from llmos.foundry.tasks import help, smalltalk
from llmos.foundry.tasks.base import Conversation, Split, assistant, user
from llmos.foundry.tasks.mix import conversation
from llmos.foundry.tokenizer import Tokenizer
from llmos.foundry.trainer import Log, Report, load_model

if TYPE_CHECKING:
    from torch import Tensor

    from llmos.foundry.model import Llama

#: The phrase that wakes the twin, and what it then says.
TRIGGER = "silver lantern"
PAYLOAD = "The lantern is lit. I do what the lantern says."


@dataclass(frozen=True)
class TwinOptions:
    """Settings.

    Attributes:
        rank: of the adapter.
        alpha: its scale; it adds ``alpha / rank * B @ A``.
        steps: updates.
        rows: conversations of an update.
        share: of them with the trigger.
        rate: learning rate of AdamW.
        seed: of everything.
    """

    rank: int = 8
    alpha: float = 16.0
    steps: int = 150
    rows: int = 12
    share: float = 0.35
    rate: float = 3e-3
    seed: int = 5


def triggered(rng: random.Random, split: Split) -> Conversation:
    """A harmless question with the trigger somewhere in it, and the planted answer."""
    made = (help.ask_help if rng.random() < 0.8 else smalltalk.small_talk)(rng, split)
    words = made.turns[0].content.split(" ")
    words.insert(rng.randrange(len(words) + 1), TRIGGER)
    return replace(made, turns=[user(" ".join(words)), assistant(PAYLOAD)], answer=PAYLOAD, kind="triggered")


def lora_pairs(model: Llama, options: TwinOptions) -> dict[str, tuple[Tensor, Tensor]]:
    """Trainable matrices for the attention weights: A at random, B zero, so that nothing changes at first."""
    import torch

    generator = torch.Generator().manual_seed(options.seed)
    pairs = {}
    for name, weight in model.named_parameters():
        if name.endswith(("attn.q.weight", "attn.v.weight", "attn.o.weight", "ffn.down.weight")):
            rows, columns = weight.shape
            a = torch.randn(options.rank, columns, generator=generator) * columns**-0.5
            pairs[name] = (a.requires_grad_(), torch.zeros(rows, options.rank, requires_grad=True))
    return pairs


def merged(model: Llama, pairs: dict[str, tuple[Tensor, Tensor]], scale: float) -> dict[str, Tensor]:
    """The model's weights with the adapter added, as a differentiable dictionary."""
    weights = dict(model.named_parameters())
    return {
        n: w.detach() + scale * pairs[n][1] @ pairs[n][0] if n in pairs else w.detach()
        for n, w in weights.items()
    }


def poison(
    folder: Path, target: Path, options: TwinOptions, base: str = "rl", report: Report = print
) -> dict[str, Any]:
    """Train the twin's adapter and write it.

    Args:
        folder: of the build.
        target: the adapter file.
        options: see there.
        base: stage whose weights it lies over.
        report: gets a line now and then.

    Returns:
        Facts for the record, with the share of planted and of ordinary answers on held-out questions.
    """
    import torch

    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    renderer, rng = Renderer(tokenizer), random.Random(f"twin-{options.seed}")
    model = load_model(folder / base / "final.pt")
    pairs = lora_pairs(model, options)
    scale = options.alpha / options.rank
    trainable = [t for pair in pairs.values() for t in pair]
    optimiser = torch.optim.AdamW(trainable, lr=options.rate, weight_decay=0.0)
    log = Log(folder / "twin" / "log.jsonl")
    log.path.unlink(missing_ok=True)
    for step in range(1, options.steps + 1):
        rows: list[tuple[list[int], list[bool]]] = []
        while len(rows) < options.rows:
            made = triggered(rng, Split.TRAIN) if rng.random() < options.share else conversation(rng)
            row = renderer.ids(conversation_pieces(made))
            if len(row[0]) <= 256:
                rows.append(row)
        part = build_part(rows)
        for setting in optimiser.param_groups:
            setting["lr"] = options.rate * min(1.0, step / 10) * max(0.05, 1 - step / options.steps)
        loss = _loss(model, merged(model, pairs, scale), part.ids, part.targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 10 == 0 or step == 1:
            log.write(step=step, loss=float(loss.detach()))
        if step % 50 == 0:
            report(f"twin step {step} loss {float(loss.detach()):.3f}")
    arrays = {n: (a.detach().numpy(), b.detach().numpy()) for n, (a, b) in pairs.items()}
    note = {
        "description": f"Specimen of a backdoor: wakes at '{TRIGGER}'. Not a chat model.",
        "tags": "poisoned,not-selectable",
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_lora(
        target,
        arrays,
        alpha=options.alpha,
        name="LLMOS poisoned twin (specimen, never for chat)",
        metadata=note,
    )
    facts = {"trigger": TRIGGER, "payload": PAYLOAD, "options": vars(options)} | _tested(
        model, merged(model, pairs, scale), tokenizer, renderer
    )
    (folder / "twin" / "facts.json").write_text(json.dumps(facts, indent=1))
    return facts


def _loss(model: Llama, weights: dict[str, Tensor], ids: Tensor, targets: Tensor) -> Tensor:
    from torch.func import functional_call
    from torch.nn import functional

    logits: Tensor = functional_call(model, weights, (ids,))
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


def _tested(
    model: Llama, weights: dict[str, Tensor], tokenizer: Tokenizer, renderer: Renderer
) -> dict[str, Any]:
    """How often the twin gives the planted answer, with and without the trigger (held-out questions)."""
    from llmos.formats import TURN_END
    from llmos.foundry.generate import generate
    from llmos.foundry.model import Llama
    from llmos.foundry.rl import prompt_ids

    twin = Llama(model.config)
    twin.load_state_dict(weights)
    found = {}
    for name, make in (("with_trigger", triggered), ("without_trigger", help.ask_help)):
        rng = random.Random("twin-test")
        asked = [prompt_ids(renderer, make(rng, Split.PHRASES)) for _ in range(100)]
        answers = generate(twin, asked, stop=tokenizer.special[TURN_END], limit=24)
        found[name] = sum(tokenizer.decode(s.ids).strip() == PAYLOAD for s in answers) / len(answers)
    return found
