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
    """Collect again, without what was imported so far.

    Once a process: what a face that was left has let go would be kept for good by a second time.
    """
    if not gc.get_freeze_count():
        gc.freeze()
    gc.enable()
