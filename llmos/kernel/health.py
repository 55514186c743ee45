"""A look at the model just after loading: corrupt weights still "generate", but from NaN."""

from __future__ import annotations

import numpy as np

from llmos.kernel.engine import Engine
from llmos.kernel.protocol import KernelError


def check_model(engine: Engine) -> None:
    """Evaluate two tokens and look at the numbers; the KV cache is empty again afterwards.

    Raises:
        KernelError: the logits are not finite or are all the same, so the weights are damaged.
    """
    start, end, _ = engine.start_and_end()
    tokens = [max(start, end, 0), min(1, engine.vocabulary - 1)]
    engine.decode([(token, at, 0, at == 1) for at, token in enumerate(tokens)])
    logits = engine.logits(1)
    finite = bool(np.isfinite(logits).all())
    flat = len(logits) > 1 and float(logits.max()) == float(logits.min())
    engine.clear()
    if not finite or flat:
        what = "not finite numbers" if not finite else "all the same"
        raise KernelError(
            f"The weights of {engine.path.name} are damaged: the model's outputs are {what}; "
            "download the file again."
        )
