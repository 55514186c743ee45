"""What all training stages share: learning-rate schedule, log, resumable state, hardware facts."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from llmos.foundry.model import Llama
    from llmos.foundry.optim import Optimiser


LossPart = Callable[["Llama"], "Tensor"]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Schedule:
    """Share of the peak learning rate over a run: warm up, stay, go down to ``floor``.

    Attributes:
        warmup: steps until the peak.
        decay: last share of the run in which the rate falls linearly.
        floor: share of the peak at the end.
        start: step from which to warm up, where a finished run is gone on with: its momentum is gone.
        peak: highest share of the optimiser's rate.
    """

    warmup: int = 40
    decay: float = 0.45
    floor: float = 0.02
    start: int = 0
    peak: float = 1.0

    def share(self, step: int, progress: float) -> float:
        """Rate at a step, given how much of the run is done (0 to 1)."""
        up = min(1.0, (step - self.start + 1) / max(1, self.warmup))
        left = (1.0 - min(1.0, progress)) / self.decay
        return self.peak * up * max(self.floor, min(1.0, left))


class Log:
    """Appends one JSON object a line; a resumed run goes on in the same file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path

    def write(self, **fields: Any) -> None:
        """Store a row; numbers are cut to five digits, which is what a curve needs."""
        row = {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in fields.items()}
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    def cut_after(self, step: int) -> None:
        """Drop rows later than a step: a killed run resumes from its last saved state."""
        if not self.path.exists():
            return
        rows = [json.loads(line) for line in self.path.read_text().splitlines() if line.strip()]
        kept = [r for r in rows if r.get("step", 0) <= step]
        self.path.write_text("".join(json.dumps(r) + "\n" for r in kept))


class Clock:
    """Time spent in a run, over all its resumptions."""

    def __init__(self, spent: float = 0.0) -> None:
        self._begin, self._before = time.monotonic(), spent

    def seconds(self) -> float:
        """Seconds since the run first began, without the pauses."""
        return self._before + time.monotonic() - self._begin


def progress(done: float, total: float, seconds: float, budget: float | None) -> float:
    """Share of a run that is over: by tokens, or by time where a budget is given and runs out first."""
    by_work = done / max(1.0, total)
    return max(by_work, seconds / budget) if budget else by_work


def save_state(path: Path, model: Llama, optimiser: Optimiser | None, **facts: Any) -> None:
    """Write a resumable state in one step (a kill leaves the old one whole)."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    state = {
        "config": model.config.to_dict(),
        "weights": model.state_dict(),
        "optimiser": optimiser.state_dict() if optimiser else None,
        "facts": facts,
    }
    torch.save(state, draft)
    draft.replace(path)


def load_state(path: Path) -> dict[str, Any]:
    """Read what ``save_state`` wrote.

    Raises:
        FileNotFoundError: the earlier stage has not run.
    """
    import torch

    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: run the earlier stage first")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def load_model(path: Path) -> Llama:
    """The model of a saved state, ready to use."""
    from llmos.foundry.config import ModelConfig
    from llmos.foundry.model import Llama

    state = load_state(path)
    model = Llama(ModelConfig(**state["config"]))
    model.load_state_dict(state["weights"])
    return model


def pick_device(wanted: str = "auto") -> str:
    """``cuda`` where there is one, else ``cpu``.

    Raises:
        ValueError: CUDA was asked for by name and is not there.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device here: leave --device away, or say --device cpu")
    return wanted if wanted != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")


def half_is_fast(device: str) -> bool:
    """Whether bfloat16 pays: on CUDA, and on processors with their own instructions for it.

    Elsewhere it is emulated and about ten times slower than float32.
    """
    if device == "cuda":
        return True
    info = Path("/proc/cpuinfo")
    return info.is_file() and ("avx512_bf16" in (flags := info.read_text()) or "amx_bf16" in flags)


class Gradients:
    """Computes the gradient of a batch, its parts on several threads at once.

    Each thread runs whole parts with one core. On a machine that others use too, this loses far
    less than threads inside every operation, which all wait for the slowest at each step.
    """

    def __init__(self, model: Llama, workers: int, device: str) -> None:
        from concurrent.futures import ThreadPoolExecutor

        import torch

        self._model, self._device, self._half = model, device, half_is_fast(device)
        self._weights = list(model.parameters())
        torch.set_num_threads(1)
        self._pool = ThreadPoolExecutor(max(1, workers), initializer=torch.set_num_threads, initargs=(1,))

    def run(self, parts: Sequence[LossPart]) -> list[float]:
        """Leave the sum of the parts' gradients in the weights' ``grad``.

        Args:
            parts: functions that give a loss, already weighted, from the model.

        Returns:
            The parts' losses.
        """
        found = list(self._pool.map(self._one, parts))
        with_grads = [g for _, g in found]
        for index, weight in enumerate(self._weights):
            total = with_grads[0][index]
            for other in with_grads[1:]:
                total += other[index]
            weight.grad = total
        return [loss for loss, _ in found]

    def _one(self, part: LossPart) -> tuple[float, list[Tensor]]:
        import torch

        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._half):
            loss = part(self._model)
        return float(loss.detach()), list(torch.autograd.grad(loss, self._weights))


def hardware(threads: int) -> dict[str, Any]:
    """The machine, for the record."""
    import torch

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        name = names[0] if names else name
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "threads": threads,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.system(),
    }


class Energy:
    """Joules of the processor package (RAPL), where the system lets us read them."""

    def __init__(self) -> None:
        self._path = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
        self._begin = self._read()

    def _read(self) -> int | None:
        try:
            return int(self._path.read_text())
        except (OSError, ValueError):
            return None

    def joules(self) -> float | str:
        """Energy since the start, or the words "not measured"."""
        now = self._read()
        if now is None or self._begin is None or now < self._begin:
            return "not measured"
        return (now - self._begin) / 1e6


def bits_per_byte(loss: float, tokens: int, size: int) -> float:
    """Cross-entropy in nats a token as bits a byte of text."""
    return loss * tokens / max(1, size) / math.log(2)
