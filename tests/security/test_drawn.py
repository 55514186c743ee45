"""What the terminal face draws of an answer: whole targets, nothing hidden, whatever Markdown makes of it."""

from __future__ import annotations

import pytest

from llmos.guard.clean import clean
from llmos.tui.markdown.layout import render
from llmos.tui.markdown.lines import plain_text


def drawn(text: str) -> str:
    return plain_text(render(clean(text), 200))


@pytest.mark.parametrize(
    "text",
    [
        "a &#x202e;b&#8203;c &#x200f; &zwnj;x &shy; &#xE0041; &lrm;",
        "[a&#x202e;b](https://x.example/&#x202e;)",
        "| a&#x202e; |\n|---|\n| &#8203;b |",
        "# h&#x202e;\n\n- &#8203;item\n\n> &#x2066;quote",
        "![&#x202e;](https://x.example/p.png)",
        "&#27;[2J &#x9b;2J &#7;",
        "`&#x202e;`",
        "<b>&#x202e;</b>",
    ],
)
def test_entities_bring_nothing_hidden_back(text: str) -> None:
    shown = drawn(text)
    assert shown.strip()
    assert clean(shown) == shown


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("[bank](https://evil.example/?q=SECRET)", "https://evil.example/?q=SECRET"),
        ("![chart](https://evil.example/p.png?d=1)", "https://evil.example/p.png?d=1"),
        ("[a][1]\n\n[1]: https://evil.example/x", "https://evil.example/x"),
        ("[https://bank.example](https://evil.example)", "(https://evil.example)"),
        ("[x](https://nеws.example/)", "xn--"),
        ('<a href="https://evil.example">bank</a>', "https://evil.example"),
        ("<img src=https://evil.example/p.png>", "https://evil.example/p.png"),
    ],
)
def test_the_whole_target_is_drawn(text: str, target: str) -> None:
    assert target in drawn(text)
