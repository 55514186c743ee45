"""Build hook: a real wheel carries the bundled models; an editable install reads the checkout's."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ModelsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts ``models/`` into the wheel as package data ``llmos/_models``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a build; ``version`` is ``editable`` for ``pip install -e``."""
        if version != "editable":
            build_data["force_include"]["models"] = "llmos/_models"
            # The handbook, for `/help QUESTION`.
            build_data["force_include"]["docs"] = "llmos/_docs"
