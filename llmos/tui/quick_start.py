"""No garbage collection before the first paint: it would walk over every imported module.

What is imported stays for good, so after the paint it is also left out of later collections;
that keeps pauses short while text streams.
"""

from __future__ import annotations

import gc


def pause_collection() -> None:
    """Collect nothing until ``resume_collection``; call it before the imports of the face."""
    gc.disable()


def resume_collection() -> None:
    """Collect again, without what was imported so far."""
    gc.freeze()
    gc.enable()
