from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmos.tui.markdown.layout import render
from llmos.tui.markdown.lines import Line
from llmos.tui.markdown.stream import StreamRenderer

SAMPLE = """# Title

Some *para* with **bold**, `code` and a [link](http://x.y/z) <http://a.b>.
It goes on long enough to be wrapped at every width that is tried here, even at eighty.

- one
- two
  - nested a
  - nested b
- three

  second paragraph in three
- [x] done

1. first
2. second
   more
10. tenth

> quote with
> two lines
>
> - list in quote

```python
def f(x):
    return x + 1  # comment
```

| a | b |
|---|--:|
| 1 | 2 |
| a long cell with text | 3 |

para
#tag
---
end <b>html</b>
* a

* b
***
Setext
======
"""

PIECES = st.sampled_from(
    [
        "word ", "two words ", "\n", "\n\n", "- item\n", "* item\n", "  - nested\n", "1. one\n", "2) two\n", "> quote\n",
        "```py\n", "```\n", "x = 1\n", "| a | b |\n", "|---|---|\n", "| 1 | 2 |\n", "# head\n", "---\n", "===\n", "**b** ",
        "`c` ", "[t](u) ", "<b>", "    code\n", "#", "-", "1.", "é漢字 ", "\t",
    ]
)  # fmt: skip


def shape(lines: list[Line]) -> list[tuple[str, str, int]]:
    return [(line.content.plain.rstrip(), line.joint, line.lead) for line in lines]


@pytest.mark.parametrize("width", [4, 20, 40, 80])
def test_every_prefix_looks_like_a_full_render(width: int) -> None:
    stream = StreamRenderer(width)
    place, dice = 0, random.Random(width)
    while place < len(SAMPLE):
        place = min(place + dice.randint(1, 12), len(SAMPLE))
        lines, kept = stream.update(SAMPLE[:place])
        assert shape(lines) == shape(render(SAMPLE[:place], width)), SAMPLE[:place][-60:]
        assert kept <= len(lines)


@settings(max_examples=120, deadline=None)
@given(st.lists(PIECES, max_size=24))
@example(["- item\n", "-", "--\n", "word "])
@example(["word ", "\n", "#", "tag\n"])
@example(["1. one\n", "2) two\n", "1. one\n"])
def test_any_text_streams_to_its_full_render(pieces: list[str]) -> None:
    stream = StreamRenderer(30)
    text = ""
    for piece in pieces:
        text += piece
        lines, _ = stream.update(text)
    if pieces:
        assert shape(lines) == shape(render(text, 30))


def test_a_late_link_definition_changes_what_is_frozen() -> None:
    text = "See [the page][p].\n\nMore.\n\nAnd more.\n\n[p]: https://example.org/x\n\nEnd.\n"
    stream = StreamRenderer(60)
    for place in range(1, len(text) + 1):
        lines, _ = stream.update(text[:place])
    assert shape(lines) == shape(render(text, 60))
    assert "https://example.org/x" in lines[0].content.plain


def test_another_text_begins_anew() -> None:
    stream = StreamRenderer(30)
    stream.update("one\n\ntwo\n\nthree")
    lines, kept = stream.update("other")
    assert (shape(lines), kept) == ([("other", "\n", 0)], 0)


def test_work_a_chunk_does_not_grow_with_a_long_list(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmos.tui.markdown import stream as module

    seen: list[int] = []
    original = module.block_tokens

    def counting(text: str, environment: dict[str, object]) -> object:
        seen.append(len(text))
        return original(text, environment)

    monkeypatch.setattr(module, "block_tokens", counting)
    stream = StreamRenderer(60)
    text = ""
    for number in range(400):
        text += f"- item number {number}\n"
        stream.update(text)
    assert max(seen[-20:]) <= 2 * max(seen[:40])
