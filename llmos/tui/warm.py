"""Imports that the first answer needs, made before it comes: they would hold up keys for 50 ms."""

from __future__ import annotations


def warm() -> None:
    """Import the Markdown parser, the highlighter and the blocks of a turn; call it on a thread."""
    import llmos.tui.turns
    import llmos.tui.widgets.tool_block  # noqa: F401
    from llmos.tui.markdown.layout import render

    render("# a\n\n- **b**\n\n| c | d |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1\n```\n", 40)
