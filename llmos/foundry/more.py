"""Going on with a stage that was finished: more tokens, and a better base under a fine-tuned model."""

from __future__ import annotations

import json
from pathlib import Path

from llmos.foundry.trainer import load_state


def reopen(stage: Path) -> None:
    """Turn a finished run into one that can be gone on with, by a larger number of tokens.

    The final weights become a resumable state without momentum (the run warms up again); the log
    goes on in the same file, and so do the counts of steps, tokens and seconds.

    Args:
        stage: folder of the stage, as ``pretrain`` or ``sft``.

    Raises:
        FileNotFoundError: the stage has not been finished.
    """
    import torch

    final = stage / "final.pt"
    state = load_state(final)
    facts = json.loads((stage / "facts.json").read_text(encoding="utf-8"))
    before = state["facts"]
    state["facts"] = {
        "step": facts["steps"],
        "done": facts["tokens"],
        "seconds": facts["seconds"],
        "flops": facts["flops"],
        "learned": facts.get("learned_tokens", 0),
        # A pool of conversations lasts more than one step, so this number has not been used.
        "pool": before.get("pool", facts["steps"]),
        "kept": facts["options"].get("checkpoints", []),
        "half_kept": True,
    }
    state["optimiser"] = None
    draft = stage / "state.part"
    torch.save(state, draft)
    draft.replace(stage / "state.pt")
    final.unlink()


def reopen_sft(folder: Path) -> bool:
    """Reopen fine-tuning; where the base was trained on in the meantime, carry its change over.

    The new start is the fine-tuned weights plus what the base has gained since fine-tuning began
    from it (the arithmetic of task vectors, Ilharco et al. 2022, arXiv 2212.04089), so that neither
    the earlier fine-tuning nor the further pre-training is lost.

    Args:
        folder: of the build.

    Returns:
        Whether the base had changed.

    Raises:
        FileNotFoundError: a stage has not been finished.
    """
    import torch

    stage = folder / "sft"
    base = load_state(folder / "pretrain" / "final.pt")
    before = load_state(stage / "base.pt")
    reopen(stage)
    state = load_state(stage / "state.pt")
    changed = False
    for name, weight in state["weights"].items():
        gain = base["weights"][name] - before["weights"][name]
        changed = changed or bool(gain.abs().max() > 0)
        weight += gain
    if changed:
        torch.save(state, stage / "state.part")
        (stage / "state.part").replace(stage / "state.pt")
        torch.save(base, stage / "base.part")
        (stage / "base.part").replace(stage / "base.pt")
    return changed
