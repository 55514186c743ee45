"""Stored messages to blocks of the transcript."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from llmos.tui.widgets.answer import AnswerBlock
from llmos.tui.widgets.blocks import NoticeBlock, ThinkingBlock, TranscriptBlock, UserBlock
from llmos.types import Labels, Message, Page, ToolCall, ToolResult


def blocks_of(
    messages: Sequence[Message],
    clean: Callable[[str], str],
    siblings: Mapping[str | None, Sequence[str]] | None = None,
) -> list[TranscriptBlock]:
    """Blocks for messages of one branch, oldest first.

    Args:
        messages: the messages.
        clean: strips what must not reach the terminal.
        siblings: for each parent with several children, their ids.
    """
    results = {one.tool_call_id: one for one in messages if one.role == "tool" and one.tool_call_id}
    shown: set[str] = set()
    blocks: list[TranscriptBlock] = []
    for message in messages:
        branch = branch_mark(message, siblings or {})
        text = clean(message.content)
        if message.role == "user":
            blocks.append(UserBlock(dataclasses.replace(message, content=text), branch=branch))
        elif message.role == "assistant":
            if message.thinking:
                blocks.append(ThinkingBlock(clean(message.thinking), message_id=message.id))
            if text.strip() or not message.tool_calls:
                answer = AnswerBlock(dataclasses.replace(message, content=text))
                answer.branch = branch
                answer.citations = cited(text, messages, message)
                blocks.append(answer)
            for call in message.tool_calls:
                blocks.append(_tool(call, results.get(call.id), clean, message.id))
                shown.add(call.id)
        elif message.role == "tool" and message.tool_call_id not in shown:
            blocks.append(_tool(ToolCall(message.name or "tool", {}), message, clean, message.id))
        elif message.role == "system":
            blocks.append(NoticeBlock(text))
    return blocks


def branch_mark(message: Message, siblings: Mapping[str | None, Sequence[str]]) -> str:
    """``2/3`` for the second of three siblings, empty where there is only one."""
    ids = siblings.get(message.parent_id, ())
    return f"{ids.index(message.id) + 1}/{len(ids)}" if len(ids) > 1 and message.id in ids else ""


def cited(text: str, messages: Sequence[Message], answer: Message) -> dict[int, Page]:
    """Pages that an answer names by ``[n]``, from the messages before it."""
    import re

    numbers = {int(mark) for mark in re.findall(r"\[(\d{1,3})\]", text)}
    if not numbers:
        return {}
    found: dict[int, Page] = {}
    for message in messages:
        if message.id == answer.id:
            break
        for page in message.pages:
            if page.number in numbers:
                found[page.number] = page
    return found


def _tool(call: ToolCall, message: Message | None, clean: Callable[[str], str], owner: str) -> TranscriptBlock:
    from llmos.tui.widgets.tool_block import ToolBlock

    result = None
    if message is not None:
        result = ToolResult(clean(message.content), ok=message.status != "error", labels=message.labels)
    else:
        result = ToolResult("No result was stored.", ok=False, labels=Labels())
    block = ToolBlock(call, result)
    block.message_id = owner
    return block
