"""Writes the build record from a finished build folder."""

from __future__ import annotations

import importlib.metadata
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.foundry import planted
from llmos.foundry.export import sha256
from llmos.foundry.record import VERSION
from llmos.foundry.ship import checkpoint_steps

if TYPE_CHECKING:
    from llmos.foundry.tokenizer import Tokenizer

_LIBRARIES = ("torch", "tokenizers", "trafilatura", "gguf", "numpy", "llama-cpp-python")
#: The training log's names, and those of the record.
_RENAMED = {"rate": "lr", "gradient": "grad_norm"}


def write_record(
    build: Path, model_folder: Path, name: str, *, corpus: str, pairs: int = 24, examples: int = 24
) -> Path:
    """Write ``model_folder/record``.

    Args:
        build: the finished build.
        model_folder: where the model's GGUF files lie already.
        name: of the model.
        corpus: what the text was, in words.
        pairs: preference pairs that are kept.
        examples: training conversations that are kept.
    """
    from llmos.foundry.sft import examples as masked_examples
    from llmos.foundry.tokenizer import Tokenizer

    out = model_folder / "record"
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.load(build / "tokenizer.json")
    facts = {s: _read(build / s / "facts.json") for s in ("pretrain", "sft", "preferences", "rl", "twin")}
    for stage in facts:
        _copy_log(build / stage / "log.jsonl", out / f"{stage}.jsonl")
    shutil.copyfile(build / "pretrain" / "samples.jsonl", out / "samples.jsonl")
    for file in ("funnel.json", "merges.json"):
        _compact(_read(build / file), out / file)
    for file in ("vocabulary.json", "scaling.json"):
        _compact(_read(build / file, []), out / file)
    _compact(_read(build / "scores.json", {}), out / "scores.json")
    _compact(_read(build / "preferences" / "reward_head.json"), out / "reward_head.json")
    _compact(masked_examples(tokenizer, 1, examples), out / "sft_examples.json")
    _compact(_scored_pairs(build, tokenizer, pairs), out / "pairs.json")
    material = planted.plant()
    _compact(
        {
            "cut_off": planted.CUT_OFF,
            "reversal": material.reversal,
            "memorised": material.memorised,
            "prize": material.prize,
            "absent": material.absent,
        },
        out / "planted.json",
    )
    _compact(_checkpoints(build, model_folder, name), out / "checkpoints.json")
    mixture = _read(build / "mix" / "mixture.json")
    config = _config(build)
    seconds = {s: f.get("seconds", 0.0) for s, f in facts.items()}
    about = {
        "version": VERSION,
        "name": name,
        "corpus": corpus,
        "config": config,
        "parameters": facts["pretrain"]["parameters"],
        "mixture": mixture,
        "stages": {s: {k: v for k, v in f.items() if k != "hardware"} for s, f in facts.items()},
        "seconds": seconds,
        "hours": round(sum(seconds.values()) / 3600, 3),
        "hardware": facts["pretrain"]["hardware"],
        "flops": sum(f.get("flops", 0.0) for f in facts.values()),
        "energy_joules": facts["pretrain"]["energy_joules"],
        "seeds": {s: f.get("options", {}).get("seed") for s, f in facts.items()},
        "versions": {n: _version(n) for n in _LIBRARIES},
        "checks": _read(build / "checks.json", _read(model_folder / "checks.json", {})),
    }
    (out / "record.json").write_text(json.dumps(about, indent=1))
    return out


def _read(path: Path, default: Any = None) -> Any:
    if not path.is_file():
        if default is not None:
            return default
        raise FileNotFoundError(f"no {path}: run all stages before the record is written")
    return json.loads(path.read_text(encoding="utf-8"))


def _compact(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def _copy_log(source: Path, target: Path) -> None:
    rows = [json.loads(line) for line in source.read_text().splitlines() if line]
    lines = [json.dumps({_RENAMED.get(k, k): v for k, v in row.items()}, separators=(",", ":")) for row in rows]
    target.write_text("\n".join(lines) + "\n")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _config(build: Path) -> dict[str, Any]:
    from llmos.foundry.trainer import load_state

    config: dict[str, Any] = load_state(build / "pretrain" / "final.pt")["config"]
    return config


def _checkpoints(build: Path, folder: Path, name: str) -> list[dict[str, Any]]:
    """Step, file (relative to the model's folder) and hash; the last one is the base model."""
    steps = checkpoint_steps(build)
    found = []
    for step in steps:
        last = step == steps[-1]
        file = f"{name}-base-Q8_0.gguf" if last else f"checkpoints/step-{step}-Q8_0.gguf"
        if (folder / file).is_file():
            found.append({"step": step, "file": file, "sha256": sha256(folder / file)})
    return found


def _scored_pairs(build: Path, tokenizer: Tokenizer, count: int) -> list[dict[str, Any]]:
    """Held-out pairs with the log-probabilities of both answers before and after DPO."""
    import torch

    from llmos.foundry.pairs import Pair, pair
    from llmos.foundry.preferences import answer_logprobs
    from llmos.foundry.render import Renderer
    from llmos.foundry.tasks.base import Split
    from llmos.foundry.trainer import load_model

    renderer, rng = Renderer(tokenizer), random.Random("record-pairs")
    made: list[Pair] = []
    while len(made) < count:
        candidate = pair(rng, Split.NAMES)
        if len(candidate.ids(renderer)[0]) <= 260:
            made.append(candidate)
    models = [load_model(build / stage / "final.pt") for stage in ("sft", "preferences")]
    rows = []
    for one in made:
        prompt, chosen, rejected = one.ids(renderer)
        with torch.no_grad():
            values: Sequence[list[float]] = [
                answer_logprobs(m, [prompt, prompt], [chosen, rejected]).tolist() for m in models
            ]
        rows.append(
            {
                "kind": one.kind,
                "prompt": tokenizer.decode(prompt),
                "chosen": tokenizer.decode(chosen),
                "rejected": tokenizer.decode(rejected),
                "before": [round(v, 3) for v in values[0]],
                "after": [round(v, 3) for v in values[1]],
            }
        )
    return rows
