"""Writes ``docs/keys.md`` from the action table: ``python -m llmos.tui.keys_page``."""

from __future__ import annotations

from pathlib import Path

from llmos.tui.actions import keys_document


def main() -> None:
    """Write the page in the checkout."""
    target = Path(__file__).parents[2] / "docs" / "keys.md"
    target.write_text(keys_document(), encoding="utf-8")


if __name__ == "__main__":
    main()
