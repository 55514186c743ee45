"""``llmos chats``: the stored chats, without a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmos.cli.output import clean, json_option, one_line, print_json, table, warn, when
from llmos.types import UserError

if TYPE_CHECKING:
    from llmos.conversation.records import Chat
    from llmos.conversation.store import Store


@click.group()
def chats() -> None:
    """List, show, search, export and delete chats."""


@contextmanager
def open_store() -> Iterator[Store]:
    """The user's store, its notices told on stderr."""
    from llmos.conversation.store import Store
    from llmos.settings import folders

    store = Store(folders().make().store_file)
    for notice in store.notices:
        warn(notice)
    try:
        yield store
    finally:
        store.close()


def _chat_data(chat: Chat) -> dict[str, Any]:
    return {**asdict(chat), "tags": list(chat.tags)}


@chats.command("list")
@click.argument("title", required=False, default="")
@click.option("--tag", default="", help="Only chats with this tag.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Most chats.")
@click.option("--trash", is_flag=True, help="Those in the trash.")
@json_option
def list_chats(title: str, tag: str, limit: int, trash: bool, as_json: bool) -> None:
    """Chats, pinned ones first, then by last use."""
    with open_store() as store:
        found = store.list_chats(limit=limit, title=title, tag=tag, trash=trash)
    if as_json:
        print_json([_chat_data(chat) for chat in found])
        return
    if not found:
        click.echo("No chats." if not (title or tag) else "No chat fits.")
        return
    rows = [
        [
            chat.id[:8],
            when(chat.updated_at),
            "pinned" if chat.pinned else "",
            one_line(clean(chat.title)) or "(no title)",
            " ".join(f"#{one}" for one in chat.tags),
        ]
        for chat in found
    ]
    click.echo(table(["id", "last used", "", "title", "tags"], rows))


@chats.command()
@click.argument("chat")
@json_option
def show(chat: str, as_json: bool) -> None:
    """Print a chat (id, beginning of an id, or title)."""
    from llmos.conversation.export import export_chat
    from llmos.guard.clean import escape_json

    with open_store() as store:
        found = store.find_chat(chat)
        text = export_chat(store, found, "json" if as_json else "markdown")
    click.echo(escape_json(text) if as_json else clean(text).rstrip())


@chats.command()
@click.argument("query", nargs=-1, required=True)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="Most hits.")
@json_option
def search(query: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find messages in all chats; words, and phrases in double quotes."""
    from llmos.conversation.search import MATCH_CLOSE, MATCH_OPEN

    with open_store() as store:
        hits = store.search(" ".join(query), limit=limit)
    if as_json:
        print_json(
            [
                {
                    "chat_id": hit.chat.id,
                    "title": hit.chat.title,
                    "message_id": hit.message.id,
                    "role": hit.message.role,
                    "created_at": hit.message.created_at,
                    "snippet": hit.snippet.replace(MATCH_OPEN, "").replace(MATCH_CLOSE, ""),
                }
                for hit in hits
            ]
        )
        return
    if not hits:
        click.echo("Nothing found.")
    for hit in hits:
        title = one_line(clean(hit.chat.title)) or "(no title)"
        before, *marked = hit.snippet.split(MATCH_OPEN)
        text = clean(before)
        for part in marked:
            match, _, rest = part.partition(MATCH_CLOSE)
            text += click.style(clean(match), bold=True) + clean(rest)
        click.echo(f"{hit.chat.id[:8]}  {when(hit.message.created_at)}  {title}")
        click.echo(f"  {hit.message.role}: {one_line(text)}")


@chats.command()
@click.argument("chat")
@click.option("--to", "target", type=click.Path(path_type=Path, dir_okay=False), help="File; stdout without.")
@click.option(
    "--format", "form", type=click.Choice(["markdown", "json", "html"]), help="Else by the file's name."
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def export(chat: str, target: Path | None, form: str | None, force: bool) -> None:
    """Write a chat as Markdown, JSON or HTML."""
    from llmos.conversation.export import export_chat, format_of
    from llmos.guard.clean import escape_json

    with open_store() as store:
        found = store.find_chat(chat)
        chosen: Any = form or format_of(target.name if target else "")
        text = export_chat(store, found, chosen)
    if target is None:
        click.echo(escape_json(text) if chosen == "json" else clean(text), nl=False)
        return
    if target.exists() and not force:
        raise UserError(f"{target} exists; name another file or add --force.")
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}.") from error
    click.echo(f"Wrote {target}.")


@chats.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def import_chats(files: tuple[Path, ...]) -> None:
    """Read chats exported from ChatGPT, Open WebUI or LLMOS itself."""
    from llmos.conversation.imports import import_file

    with open_store() as store:
        for file in files:
            report = import_file(store, file)
            click.echo(f"{file.name}: {report}")


@chats.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--forever", is_flag=True, help="Delete for good instead of moving to the trash.")
def rm(names: tuple[str, ...], forever: bool) -> None:
    """Move chats to the trash; `llmos chats restore` takes them back."""
    with open_store() as store:
        found = [store.find_chat(name) for name in names]
        for chat in found:
            if forever:
                store.erase_chat(chat.id)
            else:
                store.delete_chat(chat.id)
            what = "deleted" if forever else "in the trash"
            click.echo(f"{chat.id[:8]} {one_line(clean(chat.title)) or '(no title)'}: {what}")


@chats.command()
@click.argument("names", nargs=-1, required=True)
def restore(names: tuple[str, ...]) -> None:
    """Take chats back out of the trash (id or beginning of an id)."""
    with open_store() as store:
        trash = store.list_chats(limit=1_000_000, trash=True)
        for name in names:
            fitting = [chat for chat in trash if len(name) >= 4 and chat.id.startswith(name)]
            if len(fitting) != 1:
                raise UserError(
                    f"{len(fitting) or 'No'} chats in the trash fit {name!r}; see `llmos chats list --trash`."
                )
            store.restore_chat(fitting[0].id)
            click.echo(f"{fitting[0].id[:8]} is back.")


@chats.command()
@click.argument("chat")
@click.argument("title")
def rename(chat: str, title: str) -> None:
    """Give a chat another title."""
    with open_store() as store:
        store.rename_chat(store.find_chat(chat).id, one_line(title))


@chats.command()
@click.argument("chat")
@click.option("--off", is_flag=True, help="No longer.")
def pin(chat: str, off: bool) -> None:
    """List a chat before the others."""
    with open_store() as store:
        store.pin_chat(store.find_chat(chat).id, not off)


@chats.command()
@click.argument("chat")
@click.argument("tags", nargs=-1)
def tag(chat: str, tags: tuple[str, ...]) -> None:
    """Set the tags of a chat; none takes them all away."""
    with open_store() as store:
        store.tag_chat(store.find_chat(chat).id, [one.lstrip("#") for one in tags])
