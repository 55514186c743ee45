"""Commands of the RAM plugin: one declaration each for slash command, palette and CLI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmos.plugins import Command, CommandContext, CommandResult, Parameter
from llmos.types import USER_LABELS, Page
from llmos_ram import memories as memory_facts
from llmos_ram.figures import chat_figures, count
from llmos_ram.pager import Pager, when
from llmos_ram.summaries import by, span_of, work_through
from llmos_ram.summary_rows import Summary
from llmos_ram.trace import trace


def page_data(page: Page) -> dict[str, Any]:
    """A page of the window as JSON-able data."""
    return {
        "id": page.id,
        "kind": page.kind,
        "role": page.role,
        "tokens": page.tokens,
        "where": page.where,
        "pinned": page.pinned,
        "integrity": page.labels.integrity.value,
        "confidentiality": page.labels.confidentiality.value,
        "origins": sorted(page.labels.origins),
        "reason": page.reason,
        "text": page.text,
    }


def summary_data(held: Pager, one: Summary) -> dict[str, Any]:
    """A summary with the messages that it summarises, as JSON-able data."""
    pages = held.store.pages(one.pages)
    return {
        "row": one.row,
        "text": one.text,
        "how": one.how,
        "made": one.made,
        "integrity": one.labels.integrity.value,
        "confidentiality": one.labels.confidentiality.value,
        "origins": sorted(one.labels.origins),
        "messages": [pages[row].message_id for row in one.pages if row in pages],
    }


def commands(pager: Callable[[], Pager]) -> list[Command]:
    """The commands; ``pager`` gives the plugin's one pager."""

    def remember(context: CommandContext, text: str) -> CommandResult:
        try:
            kept = memory_facts.remember(pager().store, text, USER_LABELS, context.chat_id)
        except ValueError as error:
            return CommandResult(str(error), ok=False)
        if kept.known:
            return CommandResult("That is remembered already.", {"row": kept.row, "known": True})
        old = f" It replaces: {kept.replaced[-1].text}" if kept.replaced else ""
        return CommandResult(
            f"Remembered as {kept.row}.{old}", {"row": kept.row, "replaced": [one.row for one in kept.replaced]}
        )

    def forget(context: CommandContext, text: str) -> CommandResult:
        gone = memory_facts.forget(pager().store, text)
        if not gone:
            return CommandResult(f"No memory matches {text!r}; /memories lists them.", [], ok=False)
        return CommandResult("Forgotten: " + "; ".join(one.text for one in gone), [one.row for one in gone])

    def memories(context: CommandContext, history: bool = False) -> CommandResult:
        kept = pager().store.memories(history=history)
        lines = [
            f"{one.row}. {one.text}  ({when(one.created)}"
            + (", pinned" if one.pinned else "")
            + (f", replaced by {one.superseded_by}" if one.superseded_by else "")
            + ")"
            for one in kept
        ]
        data = [
            {
                "row": one.row,
                "text": one.text,
                "created": one.created,
                "pinned": one.pinned,
                "by": one.superseded_by,
            }
            for one in kept
        ]
        return CommandResult("\n".join(lines) or "Nothing is remembered yet; /remember FACT keeps one.", data)

    def show(context: CommandContext, chat: str = "") -> CommandResult:
        chat_id = chat or context.chat_id
        if not chat_id:
            known = pager().store.chats()
            lines = [
                f"{one}  {count(int(pager().store.turn_figures(one)['turns']), 'turn', 'turns')}"
                for one in known
            ]
            text = (
                "Chats with pages (name one with --chat):\n" + "\n".join(lines)
                if lines
                else "No chat has pages yet."
            )
            return CommandResult(text, {"chats": known})
        held = pager()
        pages = held.host.window_pages(chat_id)
        figures = chat_figures(held, chat_id, pages)
        summaries = held.store.summaries(chat_id)
        lines = [
            f"{page.id[:8]} {page.where:8}{page.tokens:6} {page.kind:12}"
            f"{'pinned ' if page.pinned else ''}{page.text[:60]!r}"
            for page in pages
        ]
        lines += [
            f"summary {one.row} of {count(len(one.pages), 'page', 'pages')}, {span_of(one)}, {by(one)}:"
            f" {one.text[:60]!r}"
            for one in summaries
        ]
        return CommandResult(
            "\n".join([*lines, *figures.lines()]),
            {
                "pages": [{**page_data(page), "trace": trace(page, pages)} for page in pages],
                "summaries": [summary_data(held, one) for one in summaries],
                "figures": figures.data(),
            },
        )

    def search(context: CommandContext, query: str, chat: str = "") -> CommandResult:
        chat_id = chat or context.chat_id
        held = pager()
        held.embed_new()
        found = held.recall(query, chat_id, budget=100_000) if chat_id else _everywhere(held, query)
        lines = [f"{when(one.page.created)}  {one.page.role}: {one.page.text}" for one in found]
        data = [
            {
                "message": one.page.message_id,
                "chat": one.page.chat_id,
                "role": one.page.role,
                "text": one.page.text,
                "created": one.page.created,
                "score": one.score,
                "reason": one.reason,
            }
            for one in found
        ]
        left = 100_000 if chat_id else 0
        rows = [one.page.row for one in found]
        for page in held.summaries.recall(query, chat_id, budget=left, brought=rows, limit=3):
            lines.append(f"{page.source}: {page.text}")
            data.append(
                {"summary": page.location["summary"], "chat": chat_id, "text": page.text, "reason": page.reason}
            )
        return CommandResult("\n".join(lines) or "Nothing was found.", data)

    def pin(context: CommandContext, page: str, off: bool = False, chat: str = "") -> CommandResult:
        if page.isdigit() and len(page) < 8:  # the beginning of an id may be digits alone
            ok = pager().store.pin_memory(int(page), not off)
            done = f"Memory {page} {'unpinned' if off else 'pinned'}."
            return CommandResult(done if ok else f"There is no memory {page}.", {"memory": int(page)}, ok=ok)
        chat_id = chat or context.chat_id
        ids = (
            [one.id for one in pager().host.window_pages(chat_id) if one.id.startswith(page)] if chat_id else []
        )
        if len(ids) != 1:
            why = "names no page of the chat" if chat_id else "is no memory, and no chat is named (--chat)"
            return CommandResult(f"{page!r} {why}; llmos ram show lists pages.", ok=False)
        pager().host.pin_page(chat_id, ids[0], not off)
        return CommandResult(f"Page {ids[0][:8]} {'unpinned' if off else 'pinned'}.", {"page": ids[0]})

    def summarise(context: CommandContext, chat: str = "") -> CommandResult:
        chat_id = chat or context.chat_id
        if not chat_id:
            return CommandResult("Name a chat with --chat; llmos ram show lists them.", ok=False)
        held = pager()
        if held.summaries.mode == "off":
            return CommandResult("Summaries are switched off in the settings of the plugin.", ok=False)
        held.index(chat_id, held.host.chat_messages(chat_id))
        made = work_through(held.summaries, chat_id, lambda: True)
        return CommandResult(f"{made} summaries were made.", {"made": made})

    def forget_pages(context: CommandContext, chat: str = "", deleted: bool = False) -> CommandResult:
        if deleted:
            gone = pager().forget_deleted()
        elif chat:
            gone = pager().forget_chat(chat)
        else:
            return CommandResult("Name a chat with --chat, or say --deleted for chats that are gone.", ok=False)
        return CommandResult(f"{count(gone, 'page is', 'pages are')} forgotten.", {"pages": gone})

    text = Parameter("text", "the fact, in a sentence", required=True)
    chat = Parameter("chat", "id of the chat", option=True, default="")
    return [
        Command("remember", remember, "Keep a fact for every later chat.", (text,)),
        Command(
            "forget",
            forget,
            "Forget a fact, by its number or its words.",
            (Parameter("text", "number or words", required=True),),
        ),
        Command(
            "memories",
            memories,
            "List what is remembered.",
            (Parameter("history", "older versions too", kind="flag", option=True, default=False),),
        ),
        Command("ram show", show, "Show the pages of a chat's window.", (chat,)),
        Command("ram summarise", summarise, "Summarise now what has left a chat's window.", (chat,)),
        Command(
            "ram search",
            search,
            "Search what was said earlier.",
            (Parameter("query", "what to look for", required=True), chat),
        ),
        Command(
            "ram pin",
            pin,
            "Pin a page or a memory, so that it never leaves.",
            (
                Parameter("page", "number of a memory or id of a page", required=True),
                Parameter("off", "unpin", kind="flag", option=True, default=False),
                chat,
            ),
        ),
        Command(
            "ram forget",
            forget_pages,
            "Remove what is indexed of a chat.",
            (chat, Parameter("deleted", "chats that no longer exist", kind="flag", option=True, default=False)),
        ),
    ]


def _everywhere(held: Pager, query: str) -> list[Any]:
    from llmos_ram.recall import search

    return search(held.store, query, chat_id="", limit=20)
