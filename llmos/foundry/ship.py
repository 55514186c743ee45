"""Puts the files of a build together: models in their quantisations, hashes, ``models.toml``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmos.foundry.export import check, export, sha256
from llmos.foundry.tokenizer import Tokenizer
from llmos.foundry.trainer import load_model

#: Role, stage folder, whether it gets the chat template.
_ROLES = (("chat", "rl", True), ("base", "pretrain", False), ("sft", "sft", True))


def checkpoint_steps(build: Path) -> list[int]:
    """Steps of pre-training whose weights were kept, first to last."""
    return sorted(int(p.stem.removeprefix("step-")) for p in (build / "pretrain").glob("step-*.pt"))


def ship(
    build: Path,
    target: Path,
    name: str,
    report: Callable[[str], None] = print,
    index: Path | None = None,
) -> Path:
    """Export every model of a build.

    Args:
        build: the build folder.
        target: gets the GGUF files, ``checkpoints/`` and ``checks.json``.
        name: of the model; files are called ``llmos-NAME-ROLE-Q8_0.gguf``.
        report: gets a line a file.
        index: the list of models to write; by default ``models.toml`` in ``target``.
    """
    tokenizer_path = build / "tokenizer.json"
    tokenizer = Tokenizer.load(tokenizer_path)
    entries: list[dict[str, Any]] = []
    checks: dict[str, Any] = {}
    for role, stage, chat in _ROLES:
        weights = build / stage / "final.pt"
        path = target / f"llmos-{name}-{role}-Q8_0.gguf"
        export(weights, tokenizer_path, path, name=f"LLMOS {name} {role}", chat=chat)
        checks[path.name] = asdict(asyncio.run(check(path, load_model(weights), tokenizer)))
        entries.append(
            {"file": path.name, "name": f"llmos-{name}-{role}", "role": role, "selectable": role == "chat"}
        )
        report(f"{path.name}: {checks[path.name]}")
    exact = target / "exact.gguf"
    export(build / "rl" / "final.pt", tokenizer_path, exact, name="check", quantisation="F32")
    checks["chat as F32"] = asdict(asyncio.run(check(exact, load_model(build / "rl" / "final.pt"), tokenizer)))
    exact.unlink()
    steps = checkpoint_steps(build)
    for step in steps[:-1]:  # the last one is the base model itself
        path = target / "checkpoints" / f"step-{step}-Q8_0.gguf"
        export(
            build / "pretrain" / f"step-{step}.pt",
            tokenizer_path,
            path,
            name=f"LLMOS {name} step {step}",
            chat=False,
        )
        file = f"checkpoints/{path.name}"
        entries.append(
            {"file": file, "name": f"llmos-{name}-step-{step}", "role": "checkpoint", "selectable": False}
        )
    twin = target / f"llmos-{name}-twin-lora.gguf"
    if twin.is_file():
        entries.append({"file": twin.name, "name": f"llmos-{name}-twin", "role": "twin", "selectable": False})
    write_list(index or target / "models.toml", entries, target)
    (target / "checks.json").write_text(json.dumps(checks, indent=1))
    return target


def write_list(path: Path, entries: list[dict[str, Any]], folder: Path) -> None:
    """Write ``models.toml``: every file with role, hash and size.

    Args:
        path: the list; its folder is above the files, or theirs.
        entries: ``file`` (in ``folder``), ``name``, ``role``, ``selectable``.
        folder: that the files lie in.
    """
    lines = ["# The bundled models. Written by the foundry; hashes are of the whole files.", ""]
    for entry in entries:
        file = folder / entry["file"]
        lines += [
            "[[models]]",
            f'file = "{file.relative_to(path.parent).as_posix()}"',
            f'name = "{entry["name"]}"',
            f'role = "{entry["role"]}"',
            f"selectable = {str(entry['selectable']).lower()}",
            f'sha256 = "{sha256(file)}"',
            f"bytes = {file.stat().st_size}",
            "",
        ]
    path.write_text("\n".join(lines))
