"""Build hook: a real wheel carries the bundled models; an editable install reads the checkout's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ModelsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts ``models/`` into the wheel as ``llmos/_models``, and the handbook as ``llmos/_docs``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a build; ``version`` is ``editable`` for ``pip install -e``."""
        if version == "editable":
            return
        taken = build_data["force_include"]
        taken["models"] = "llmos/_models"
        # The handbook, for `/help QUESTION`: its pages, not the pictures, which a terminal cannot show.
        docs = Path(self.root) / "docs"
        for file in sorted(docs.rglob("*")):
            inside = file.relative_to(docs)
            if file.is_file() and inside.parts[0] != "images" and not file.name.startswith("."):
                taken[str(file)] = f"llmos/_docs/{inside.as_posix()}"
