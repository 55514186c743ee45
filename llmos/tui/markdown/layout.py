"""Block tokens to lines of the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.content import Content

from llmos.tui.markdown.code import Code
from llmos.tui.markdown.inline import Inline, task_box
from llmos.tui.markdown.lines import BLANK, Line, fold, prefixed, wrap
from llmos.tui.markdown.parse import block_tokens
from llmos.tui.markdown.table import TableData, Tables

if TYPE_CHECKING:
    from markdown_it.token import Token

_HEADINGS = {
    "h1": "bold underline $text-primary",
    "h2": "bold $text-primary",
    "h3": "bold",
}
_BULLETS = "•◦▪"


class Layout:
    """Lays Markdown out for one width; keep one a message, it remembers its parts."""

    def __init__(self, width: int) -> None:
        self.width = max(width, 4)
        self.inline = Inline()
        self.code = Code()
        self.tables = Tables()
        self.environment: dict[str, Any] = {}
        #: True while the last code block is still being written.
        self.growing = False

    def clear(self) -> None:
        """Forget everything that was laid out, link definitions too."""
        self.inline.clear()
        self.code.clear()
        self.tables.clear()
        self.environment = {}

    def blocks(self, tokens: list[Token], width: int | None = None, depth: int = 0) -> list[Line]:
        """Lines of a run of blocks with one blank line between, none within lists."""
        width = self.width if width is None else max(width, 4)
        lines: list[Line] = []
        index = 0
        previous = ""
        while index < len(tokens):
            kind = tokens[index].type
            block, index = self.block(tokens, index, width, depth)
            if not block:
                continue
            if lines and not (depth and _is_list(kind) and previous == "paragraph_open"):
                lines.append(BLANK)
            lines.extend(block)
            previous = kind
        return lines

    def block(
        self, tokens: list[Token], index: int, width: int, depth: int = 0, number: int | None = None
    ) -> tuple[list[Line], int]:
        """Lines of the block that begins at ``index``, and the index behind it.

        Args:
            tokens: block tokens.
            index: where the block begins.
            width: cells.
            depth: how many lists it is in.
            number: number of the first item, when a list goes on.
        """
        token = tokens[index]
        kind = token.type
        end = _end(tokens, index)
        inner = tokens[index + 1 : end - 1]
        if kind in ("paragraph_open", "heading_open"):
            content = self.inline.render(inner[0].content, self.environment) if inner else Content("")
            if kind == "heading_open":
                content = content.stylize_before(_HEADINGS.get(token.tag, "italic bold"))
            return (wrap(content, width) if content else []), end
        if _is_list(kind):
            return self._list(inner, token, width, depth, number), end
        if kind == "blockquote_open":
            bar = Content.styled("│ ", "$text-accent")
            body = self.blocks(inner, width - 2)
            quoted = [Line(line.content.stylize_before("$text-muted"), *line[1:]) for line in body]
            return prefixed(quoted, bar, bar), end
        if kind in ("fence", "code_block"):
            return self._code(token, width), end
        if kind == "hr":
            return [Line(Content.styled("─" * width, "$text-muted"))], end
        if kind == "table_open":
            return self.tables.lines(self._table(inner), width), end
        if kind == "html_block":
            lines: list[Line] = []
            for row in token.content.rstrip("\n").split("\n"):
                lines.extend(fold(Content.styled(row.expandtabs(4), "$text-muted"), width))
            return lines, end
        return [], end

    def _code(self, token: Token, width: int) -> list[Line]:
        info = token.info.strip().split(maxsplit=1)
        language = info[0].strip("{}.").lower() if info else ""
        code = token.content.removesuffix("\n")
        if self.growing:
            return self.code.growing(code, language, width)
        return self.code.finished(code, language, width)

    def _list(
        self, tokens: list[Token], opening: Token, width: int, depth: int, number: int | None
    ) -> list[Line]:
        ordered = opening.type == "ordered_list_open"
        current = number if number is not None else list_start(opening)
        lines: list[Line] = []
        index = 0
        while index < len(tokens):
            end = _end(tokens, index)
            mark = f"{current}. " if ordered else f"{_BULLETS[depth % len(_BULLETS)]} "
            lines.extend(self._item(tokens[index + 1 : end - 1], mark, width, depth))
            current += 1
            index = end
        return lines

    def _item(self, tokens: list[Token], mark: str, width: int, depth: int) -> list[Line]:
        # On very narrow screens the indent gives way before the text does.
        indent = min(len(mark), max(width - 4, 0))
        body = self.blocks(tokens, width - indent, depth + 1) or [BLANK]
        if tokens and tokens[0].type == "paragraph_open":
            boxed = task_box(body[0].content)
            if boxed is not body[0].content:
                body[0] = Line(boxed, *body[0][1:])
        marker = Content.styled(mark, "$text-accent")
        return prefixed(body, marker, Content(" " * indent)) if indent else body

    def _table(self, tokens: list[Token]) -> TableData:
        table = TableData()
        for index, token in enumerate(tokens):
            if token.type == "tr_open":
                table.rows.append([])
            elif token.type in ("th_open", "td_open"):
                if token.type == "th_open":
                    style = str(token.attrGet("style") or "")
                    table.aligns.append(style.removeprefix("text-align:"))
                text = tokens[index + 1].content
                table.rows[-1].append(self.inline.render(text, self.environment))
        return table


def render(text: str, width: int) -> list[Line]:
    """Lines of a finished Markdown text."""
    layout = Layout(width)
    tokens = block_tokens(text, layout.environment)
    return layout.blocks(tokens)


def list_start(opening: Token) -> int:
    """Number of a list's first item."""
    start = opening.attrGet("start")
    return int(start) if start is not None else 1


def _is_list(kind: str) -> bool:
    return kind in ("bullet_list_open", "ordered_list_open")


def _end(tokens: list[Token], index: int) -> int:
    """Index behind the block that begins at ``index``."""
    depth = 0
    while index < len(tokens):
        depth += tokens[index].nesting
        index += 1
        if depth == 0:
            break
    return index
