"""``llmos ask``: one question, one answer; the same turn as in the terminal face."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmos.cli.output import clean, json_option
from llmos.guard.reveal import reveal
from llmos.types import (
    AnswerMarked,
    ApprovalNeeded,
    Citation,
    Event,
    Message,
    Notice,
    PluginEvent,
    TextDelta,
    ThinkingDelta,
    ToolAsked,
    ToolDone,
    TurnDone,
    TurnStats,
    UserError,
)

if TYPE_CHECKING:
    from llmos.conversation.conversation import Conversation
    from llmos.conversation.session import Session
    from llmos.types import Page

#: Stands behind a sentence that a plugin marked.
MARK = " [?]"


@click.command()
@click.argument("prompt", required=False, default="")
@click.option("--model", "-m", default="", help="Name or path of the model.")
@click.option("--system", "-s", default=None, help="System prompt.")
@click.option("--continue", "-c", "go_on", is_flag=True, help="Go on in the chat used last.")
@click.option("--chat", default="", help="Go on in this chat (id or title).")
@click.option("--temperature", "-t", type=click.FloatRange(0, 5), default=None, help="0: always the likeliest.")
@click.option("--seed", type=int, default=None, help="Draw the same answer again.")
@click.option("--max-tokens", type=click.IntRange(1), default=None, help="Most tokens of the answer.")
@click.option(
    "--file", "-f", "files", multiple=True, type=click.Path(path_type=Path), help="Attach a text file."
)
@click.option("--allow", multiple=True, metavar="CALL_JSON", help="Approve this exact tool call beforehand.")
@click.option(
    "--think", is_flag=False, flag_value="20s", default=None, metavar="[TIME]",
    help="Let the model think: 10s, 5 min, sure or off.",
)  # fmt: skip
@click.option("--option", "-o", "extra", multiple=True, metavar="NAME=VALUE", help="A value for plugins.")
@click.option("--no-tools", is_flag=True, help="Offer no tools to the model.")
@click.option("--plain", is_flag=True, help="Print the answer alone: no thoughts, no tool lines.")
@json_option
def ask(
    prompt: str,
    model: str,
    system: str | None,
    go_on: bool,
    chat: str,
    temperature: float | None,
    seed: int | None,
    max_tokens: int | None,
    files: Sequence[Path],
    allow: Sequence[str],
    think: str | None,
    extra: Sequence[str],
    no_tools: bool,
    plain: bool,
    as_json: bool,
) -> int:
    """Ask one question and print the answer.

    Text on stdin is the question, or, when there is one, comes before it as a page. A tool that
    needs your approval is refused where nobody can be asked, unless --allow names its exact call.
    """
    options: dict[str, Any] = {
        "temperature": temperature,
        "seed": seed,
        "max_tokens": max_tokens,
        "system_prompt": system,
        "think": think,
        **_extra(extra),
    }
    if no_tools:
        options["tool_rounds"] = 0
    pages: list[Path | Page] = list(files)
    question = _with_stdin(prompt, pages)
    printer = Printer(as_json=as_json, plain=plain, marked=not plain)
    options = {name: value for name, value in options.items() if value is not None}
    return asyncio.run(_ask(question, pages, options, printer, model, chat, go_on, allow))


def _with_stdin(prompt: str, pages: list[Path | Page]) -> str:
    """The question; what is piped in is the question itself or a page before it."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return prompt
    from llmos.conversation.intake import decode_input, text_page

    try:
        piped = decode_input(sys.stdin.buffer.read())
    except OSError:
        return prompt
    if not piped.strip():
        return prompt
    if not prompt:
        return piped.strip()
    pages.insert(0, text_page(piped.strip(), source="stdin", origin="stdin"))
    return prompt


def _extra(values: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs; a value that is JSON is read as such."""
    found: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UserError(f"An option is written NAME=VALUE; this is none: {text}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


@dataclass
class Printer:
    """Shows the events of a turn, or collects them for ``--json``.

    Attributes:
        as_json: print one object at the end.
        plugins: last event of each plugin by kind, for example the tally of a vote.
        plain: the answer alone.
        marked: show what plugins marked in it.
    """

    as_json: bool = False
    plain: bool = False
    marked: bool = True
    text: str = ""
    thinking: str = ""
    message: Message | None = None
    stats: TurnStats | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    citations: list[dict[str, Any]] = field(default_factory=list)
    marks: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    plugins: dict[str, Any] = field(default_factory=dict)
    _thought: bool = False
    _held: str = ""
    _open: bool = False

    def show(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, TextDelta):
            self._text(event.text)
        elif isinstance(event, ThinkingDelta):
            self._think(event.text)
        elif isinstance(event, ToolAsked):
            self._aside(f"→ {reveal(event.call.name)}({reveal(_short(dict(event.call.arguments)))})")
        elif isinstance(event, ToolDone):
            self._tool(event)
        elif isinstance(event, Citation):
            page = event.page
            self.citations.append(
                {"number": event.number, "source": page.source, "heading": page.heading,
                 "location": dict(page.location), "text": page.text}
            )  # fmt: skip
        elif isinstance(event, AnswerMarked):
            self._mark(event)
        elif isinstance(event, Notice):
            self.notices.append(event.text)
            if not self.as_json:
                self._line(event.text)
        elif isinstance(event, PluginEvent):
            # The last event of a kind stands for those before it, as a tally does.
            self.plugins.setdefault(event.plugin, {})[event.kind] = dict(event.data)
            if event.data.get("done", True) and isinstance(event.data.get("text"), str):
                self._aside(str(event.data["text"]))
        elif isinstance(event, TurnDone):
            self.message, self.stats = event.message, event.stats or self.stats

    def _text(self, text: str) -> None:
        if self._thought:
            self._thought = False
            click.echo("", err=True)
        self.text += text
        if not self.as_json:
            # White space waits for what follows: a mark belongs right behind its sentence.
            shown = self._held + text
            kept = shown.rstrip()
            self._held = shown[len(kept) :]
            sys.stdout.write(kept)
            sys.stdout.flush()
            self._open = self._open or bool(kept)

    def _mark(self, event: AnswerMarked) -> None:
        """A sign behind the sentence; what it means is told once, at the end."""
        mark = event.mark
        self.marks.append(
            {"start": mark.start, "end": mark.end, "text": mark.text, "note": mark.note, "kind": mark.kind,
             "plugin": mark.plugin}
        )  # fmt: skip
        if not self.as_json and self.marked:
            sys.stdout.write(MARK)
            sys.stdout.flush()

    def _think(self, text: str) -> None:
        self.thinking += text
        if not self.as_json and not self.plain and sys.stderr.isatty():
            self._thought = True
            click.echo(click.style(text, dim=True), nl=False, err=True)

    def _tool(self, event: ToolDone) -> None:
        self.tools.append(
            {"name": event.call.name, "arguments": dict(event.call.arguments), "ok": event.result.ok,
             "result": event.result.text, "seconds": round(event.seconds, 3)}
        )  # fmt: skip
        if not event.result.ok:
            self._aside(f"✗ {reveal(event.call.name)}: {event.result.text}", always=True)

    def _aside(self, text: str, *, always: bool = False) -> None:
        if not self.as_json and (always or not self.plain):
            self._line(text)

    def _line(self, text: str) -> None:
        """A line of its own on stderr, also in the middle of an answer."""
        if self._open and sys.stdout.isatty():
            click.echo("")
            self._held, self._open = self._held.replace("\n", "", 1), False
        click.echo(" ".join(clean(text).split()), err=True)

    def end(self, conversation: Conversation) -> None:
        """Finish the output."""
        if not self.as_json:
            if self._open or self.text:
                click.echo("")
                self._open = False
            for note in dict.fromkeys(mark["note"] for mark in self.marks if self.marked):
                self._line(f"{MARK.strip()} {note}")
            return
        from llmos.cli.output import print_json

        print_json(self.result(conversation.chat_id))

    def result(self, chat_id: str) -> dict[str, Any]:
        """The object of ``--json``."""
        stats = asdict(self.stats) if self.stats else {}
        status = self.message.status if self.message else "error"
        return {
            "text": self.message.content if self.message else self.text,
            "model": stats.get("model", ""),
            "prompt_tokens": stats.get("prompt_tokens", 0),
            "cached_tokens": stats.get("cached_tokens", 0),
            "completion_tokens": stats.get("completion_tokens", 0),
            "seconds": round(stats.get("seconds", 0.0), 4),
            "tokens_per_second": round(stats.get("tokens_per_second", 0.0), 2),
            "stop_reason": stats.get("stop_reason", status) if status == "complete" else status,
            "tool_calls": self.tools,
            "citations": self.citations,
            "marks": self.marks,
            "thinking": self.thinking,
            "first_token_seconds": round(stats.get("first_token_seconds", 0.0), 4),
            "notices": self.notices,
            "plugins": self.plugins,
            "chat_id": chat_id,
        }


async def _ask(
    question: str,
    pages: list[Path | Page],
    options: dict[str, Any],
    printer: Printer,
    model: str,
    chat: str,
    go_on: bool,
    allow: Sequence[str],
) -> int:
    """Run the turn; the exit code says whether an answer stands."""
    from llmos.cli.app_context import cli_session, on_signals

    async with cli_session(quiet=printer.as_json, preapproved=allow) as session:
        if printer.as_json:
            session.on_notice(lambda notice: printer.notices.append(notice.text))
        conversation = await _conversation(session, chat, go_on)
        came = on_signals(lambda at_once: conversation.stop(at_once=at_once))
        if model:
            await session.load_model(model)
        if came():
            return 128 + came()
        async for event in conversation.send(question, pages, options):
            if isinstance(event, ApprovalNeeded):
                await _approve(conversation, event)
            else:
                printer.show(event)
        printer.end(conversation)
    if came():
        return 128 + came()
    return 0 if printer.message is not None and printer.message.status == "complete" else 1


async def _approve(conversation: Conversation, event: ApprovalNeeded) -> None:
    from llmos.cli.app_context import ask_approval

    conversation.answer_approval(event.approval.id, await ask_approval(event.approval))


async def _conversation(session: Session, chat: str, go_on: bool) -> Conversation:
    """A new chat, the one named, or the one used last."""
    store = session.store
    if chat:
        return session.conversation((await store.run(store.find_chat, chat)).id)
    latest = await store.run(store.latest_chat) if go_on else None
    if go_on and latest is None:
        raise UserError("There is no chat to go on with; ask without --continue first.")
    return session.conversation(latest.id if latest else "")


def _short(arguments: dict[str, Any]) -> str:
    """Arguments on one line, cut where they are long."""
    text = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    return text if len(text) <= 100 else text[:97] + "…"
