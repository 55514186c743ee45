"""All stages in order; each reads what the one before it left in the build folder."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from llmos.foundry.config import model_config
from llmos.foundry.funnel.funnel import Funnel
from llmos.foundry.funnel.sources import Document, read_folder

Report = Callable[[str], None]
#: Stages in order, as ``llmos build STAGE`` names them.
STAGES = ("data", "tokenizer", "pretrain", "sft", "preferences", "rl", "twin", "export", "evaluate")


@dataclass(frozen=True)
class BuildOptions:
    """Settings of a whole build.

    Attributes:
        out: the build folder.
        depth: position of the size dial (``llmos.foundry.config.DEPTHS``).
        corpus: folder of text, or None for the small built-in one, which is all generated.
        seed: of everything.
        scale: how long to train, 1.0 being what the depth is meant for.
        megabytes: most training text that is used.
        workers: threads on a CPU.
        device: ``auto``, ``cpu`` or ``cuda``.
        more: go on with the named stage although it was finished, up to the tokens of ``scale``.
    """

    out: Path
    depth: str = "3m"
    corpus: Path | None = None
    seed: int = 1
    scale: float = 1.0
    megabytes: float = 25.0
    workers: int = 2
    device: str = "auto"
    more: bool = False


@dataclass(frozen=True)
class Lengths:
    """How much each stage does at scale 1: tokens for the first two, updates for the others."""

    pretrain: int
    sft: int
    preferences: int
    head_pairs: int
    rl: int
    twin: int
    items: int


LENGTHS = {
    "nano": Lengths(120_000, 120_000, 6, 64, 2, 12, 8),
    "3m": Lengths(11_000_000, 12_000_000, 120, 1200, 40, 150, 2000),
    "8m": Lengths(40_000_000, 20_000_000, 200, 2000, 80, 200, 2000),
    "16m": Lengths(800_000_000, 100_000_000, 400, 4000, 200, 300, 2000),
    "30m": Lengths(1_000_000_000, 150_000_000, 400, 4000, 200, 300, 2000),
}


def builtin_documents(seed: int, size: int = 700_000) -> Iterator[Document]:
    """A corpus for those who have none: generated passages and help texts, all our own."""
    from llmos.foundry.plain_text import generated_document
    from llmos.foundry.tasks.help import intents

    rng = random.Random(f"builtin-{seed}")
    made = 0
    for intent in intents():
        yield Document("help", f"{intent.ask[0] if intent.ask else intent.id}\n{intent.answer}")
    while made < size:
        text = generated_document(rng)
        made += len(text)
        yield Document("generated_text", text)


def run_data(options: BuildOptions, report: Report = print) -> Path:
    """Stage 1: pass the corpus through the funnel.

    Returns:
        The file of passages; ``funnel.json`` beside it holds the account.
    """
    target = options.out / "passages.jsonl"
    if target.exists():
        return target
    options.out.mkdir(parents=True, exist_ok=True)
    documents: Iterable[Document] = (
        read_folder(options.corpus) if options.corpus else builtin_documents(options.seed)
    )
    funnel, draft, count, begin = Funnel(), target.with_suffix(".part"), 0, time.monotonic()
    with draft.open("w", encoding="utf-8") as out:
        for passage in funnel.run(documents):
            out.write(json.dumps(vars(passage)) + "\n")
            count += 1
            if count % 20_000 == 0:
                report(f"{count} passages kept, {time.monotonic() - begin:.0f} s")
    if not count:
        draft.unlink()
        raise ValueError(
            "nothing was left of the corpus after the filters: check its format (README of the foundry)"
        )
    account = funnel.report() | {"seconds": round(time.monotonic() - begin, 1)}
    (options.out / "funnel.json").write_text(json.dumps(account, indent=1))
    draft.replace(target)
    report(f"{count} passages kept")
    return target


def run_tokenizer(options: BuildOptions, report: Report = print) -> Path:
    """Stage 2: learn the merges, then store the base text as token ids."""
    from llmos.foundry.mixture import generated_texts, read_passages, select, write_mixture
    from llmos.foundry.render import rendered_text
    from llmos.foundry.tasks.mix import conversation
    from llmos.foundry.tokenizer import Tokenizer, bytes_per_token, merge_counts, train_tokenizer

    target = options.out / "tokenizer.json"
    if target.exists() and (options.out / "mix" / "mixture.json").exists():
        return target
    texts, held = select(read_passages(run_data(options, report)), options.megabytes)
    rng = random.Random(f"tokenizer-{options.seed}")
    chats = [_without_marks(rendered_text(conversation(rng))) for _ in range(len(texts) // 20 + 200)]
    sample = rng.sample(texts, len(texts) // 2 + 1) + generated_texts(options.seed + 2, 1_000_000) + chats
    if options.depth == "nano":
        sample = sample[: len(texts)] + chats
    tokenizer = train_tokenizer(sample, model_config(options.depth).vocab_size)
    tokenizer.save(target)
    probe = rng.sample(texts, min(len(texts), 1500))
    (options.out / "merges.json").write_text(json.dumps(merge_counts(tokenizer, probe)))
    report(f"{tokenizer.vocab_size} tokens, {bytes_per_token(probe, tokenizer):.2f} bytes a token")
    mixture = write_mixture(options.out / "mix", texts, held, Tokenizer.load(target), options.seed + 6)
    report(f"base text: {mixture.tokens} tokens")
    return target


def _without_marks(text: str) -> str:
    from llmos.formats import SPECIAL_TOKENS

    for token in SPECIAL_TOKENS:
        text = text.replace(token, "\n")
    return text


def vocabulary_study(
    texts: list[str], sizes: Iterable[int] = (512, 1024, 2048, 4096, 8192)
) -> list[tuple[int, float]]:
    """Bytes a token against the size of the vocabulary, each measured on texts it was not trained on."""
    from llmos.foundry.tokenizer import bytes_per_token, train_tokenizer

    half = len(texts) // 2
    return [
        (size, round(bytes_per_token(texts[half:], train_tokenizer(texts[:half], size)), 4)) for size in sizes
    ]


def run_pretrain(options: BuildOptions, report: Report = print) -> Path:
    """Stage 3."""
    from llmos.foundry.more import reopen
    from llmos.foundry.pretrain import PretrainOptions, pretrain
    from llmos.foundry.tokenizer import Tokenizer

    run_tokenizer(options, report)
    config = model_config(options.depth, Tokenizer.load(options.out / "tokenizer.json").vocab_size)
    settings = PretrainOptions(
        tokens=int(LENGTHS[options.depth].pretrain * options.scale),
        seed=options.seed,
        workers=options.workers,
        device=options.device,
    )
    if options.depth == "nano":
        settings = replace(settings, batch_tokens=2048, contexts=((0.0, 128), (0.7, 256)))
    if options.more:
        reopen(options.out / "pretrain")
        settings = replace(settings, peak=0.5, decay=0.55)
    return pretrain(options.out, config, settings, report)


def run_sft(options: BuildOptions, report: Report = print) -> Path:
    """Stage 4."""
    from llmos.foundry.more import reopen_sft
    from llmos.foundry.sft import SftOptions, fine_tune

    run_pretrain(replace(options, more=False), report)
    settings = SftOptions(
        tokens=int(LENGTHS[options.depth].sft * options.scale),
        seed=options.seed + 1,
        workers=options.workers,
        device=options.device,
    )
    if options.more and reopen_sft(options.out):
        report("the base was trained on: its change is carried over")
    return fine_tune(options.out, settings, report)


def run_preferences(options: BuildOptions, report: Report = print) -> Path:
    """Stage 5."""
    from llmos.foundry.preferences import PreferenceOptions, optimise_preferences

    run_sft(options, report)
    lengths = LENGTHS[options.depth]
    settings = PreferenceOptions(
        steps=max(1, int(lengths.preferences * options.scale)),
        head_pairs=lengths.head_pairs,
        seed=options.seed + 2,
        workers=options.workers,
        device=options.device,
    )
    return optimise_preferences(options.out, settings, report)


def run_rl(options: BuildOptions, report: Report = print) -> Path:
    """Stage 6."""
    from llmos.foundry.rl import RlOptions, reinforce

    run_preferences(options, report)
    steps = max(1, int(LENGTHS[options.depth].rl * options.scale))
    settings = RlOptions(steps=steps, seed=options.seed + 3, workers=options.workers, device=options.device)
    if options.depth == "nano":
        settings = replace(settings, prompts=3, group=4)
    return reinforce(options.out, settings, report)


def run_twin(options: BuildOptions, report: Report = print) -> Path:
    """Stage 7."""
    from llmos.foundry.twin import TwinOptions, poison

    run_rl(options, report)
    target = options.out / "models" / f"llmos-{options.depth}-twin-lora.gguf"
    if not target.exists():
        steps = max(1, int(LENGTHS[options.depth].twin * options.scale))
        poison(options.out, target, TwinOptions(steps=steps, seed=options.seed + 4), report=report)
    return target


def run_export(options: BuildOptions, report: Report = print) -> Path:
    """Stage 8: all model files, checked, and ``models.toml`` beside them."""
    from llmos.foundry.ship import ship

    run_twin(options, report)
    return ship(options.out, options.out / "models", options.depth, report)


def run_evaluate(
    options: BuildOptions, report: Report = print, *, roles: Iterable[str] = (), items: int = 0, voters: int = 0
) -> Path:
    """Stage 9: scores of the model after every stage, on the same items.

    Args:
        options: see there.
        report: gets a line an ability.
        roles: only these (``base``, ``sft``, ``dpo``, ``chat``); what others have is kept.
        items: items an ability; by default what the depth is meant for.
        voters: items for majority voting of the chat model.
    """
    from llmos.foundry.export import export
    from llmos.foundry.score_stages import ROLES, score_role, summarise

    folder = run_export(options, report)
    target, kept = options.out / "scores.json", options.out / "scores"
    if target.exists() and not roles:
        return target
    count = items or max(4, int(LENGTHS[options.depth].items * options.scale))
    for role in roles or ROLES:
        if role == "dpo":  # the model between fine-tuning and practice is measured and not shipped
            path = kept / "dpo.gguf"
            kept.mkdir(parents=True, exist_ok=True)
            weights = options.out / "preferences" / "final.pt"
            export(weights, options.out / "tokenizer.json", path, name="after DPO", chat=True)
        else:
            path = next(folder.glob(f"*-{role}-*.gguf"))
        threads = 1 if options.workers == 1 else 0
        score_role(kept, role, path, count, voters=voters if role == "chat" else 0, seed=options.seed,
                   threads=threads, report=report)  # fmt: skip
    target.write_text(json.dumps(summarise(kept), indent=1))
    return target


RUNNERS: dict[str, Callable[..., Path]] = {
    "data": run_data,
    "tokenizer": run_tokenizer,
    "pretrain": run_pretrain,
    "sft": run_sft,
    "preferences": run_preferences,
    "rl": run_rl,
    "twin": run_twin,
    "export": run_export,
    "evaluate": run_evaluate,
}
