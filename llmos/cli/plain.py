"""``llmos --plain``: a chat line by line, for screen readers, slow lines and pipes."""

from __future__ import annotations

import asyncio
import signal
import sys

import click

from llmos.types import ApprovalNeeded, UserError

_HELP = "Type a message and press Enter. /new begins a chat, /quit ends. Ctrl+C stops an answer."


def run_plain(model: str, chat: str, go_on: bool) -> None:
    """Read lines from stdin, print answers; ends with the input.

    Args:
        model: name or path; empty for the user's own choice.
        chat: id or title of a chat to go on in.
        go_on: go on in the chat used last.
    """
    asyncio.run(_run(model, chat, go_on))


async def _run(model: str, chat: str, go_on: bool) -> None:
    from llmos.cli.app_context import cli_session
    from llmos.cli.ask import _conversation

    tty = sys.stdin.isatty()
    async with cli_session() as session:
        conversation = await _conversation(session, chat, go_on)
        info = await session.load_model(model)
        if tty:
            click.echo(f"LLMOS with {info.name}. {_HELP}", err=True)
        loop = asyncio.get_running_loop()
        while True:
            if tty:
                click.echo("You: ", nl=False, err=True)
            line = await asyncio.to_thread(sys.stdin.buffer.readline)
            if not line:
                return
            from llmos.conversation.intake import decode_input

            text = decode_input(line).strip()
            if text in ("/quit", "/exit"):
                return
            if text == "/help":
                click.echo(_HELP, err=True)
            elif text == "/new":
                conversation = session.conversation()
            elif text:
                loop.add_signal_handler(signal.SIGINT, conversation.stop)
                try:
                    await _turn(conversation, text, tty)
                except UserError as error:
                    click.echo(str(error), err=True)
                finally:
                    loop.remove_signal_handler(signal.SIGINT)


async def _turn(conversation: object, text: str, tty: bool) -> None:
    """One question and its answer."""
    from llmos.cli.app_context import ask_approval
    from llmos.cli.ask import Printer
    from llmos.conversation.conversation import Conversation

    assert isinstance(conversation, Conversation)
    printer = Printer(plain=True)
    if tty:
        click.echo("LLMOS: ", nl=False, err=True)
    async for event in conversation.send(text):
        if isinstance(event, ApprovalNeeded):
            answer = await ask_approval(event.approval)
            conversation.answer_approval(event.approval.id, answer)
        else:
            printer.show(event)
    printer.end(conversation)
