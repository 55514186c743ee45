"""What every part of the worker's ``Operations`` may count on."""

from __future__ import annotations

from collections.abc import Callable

from llmos.kernel import model
from llmos.kernel.scheduler import Scheduler


class OperationPart:
    """Declares what ``Operations`` gives to the classes that it is put together from."""

    _reply: Callable[..., None]

    @property
    def loaded(self) -> model.Loaded:
        """The loaded model."""
        raise NotImplementedError

    def _running(self) -> Scheduler:
        raise NotImplementedError
