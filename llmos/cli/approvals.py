"""``llmos approvals``: approvals that hold beyond their question, and taking them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llmos.cli.output import json_option, one_line, print_json, table, when
from llmos.types import UserError

if TYPE_CHECKING:
    from llmos.guard.approvals import ApprovalStore


@click.group()
def approvals() -> None:
    """List approvals that hold for a chat or for ever, and take them back."""


def _store() -> ApprovalStore:
    from llmos.conversation.session import approvals_file
    from llmos.guard.approvals import ApprovalStore
    from llmos.settings import folders

    return ApprovalStore(approvals_file(folders()))


@approvals.command("list")
@json_option
def list_approvals(as_json: bool) -> None:
    """Every approval that was given for a chat or for ever, newest first."""
    found = _store().all()
    if as_json:
        print_json(
            [
                {"id": one.id, "call": one.call, "scope": one.scope, "chat_id": one.chat_id,
                 "untrusted_sources": sorted(one.origins), "created_at": one.created_at}
                for one in found
            ]
        )  # fmt: skip
        return
    if not found:
        click.echo("No approvals; every call that needs one will be asked for.")
        return
    from llmos.guard.reveal import reveal

    rows = [
        [str(one.id), when(one.created_at), one.scope if one.scope == "always" else f"chat {one.chat_id[:8]}",
         ", ".join(sorted(one.origins)) or "-", one_line(reveal(one.call))]
        for one in found
    ]  # fmt: skip
    click.echo(table(["id", "given", "for", "untrusted sources", "exact call"], rows))


@approvals.command("revoke")
@click.argument("number", type=int, required=False)
@click.option("--all", "every", is_flag=True, help="Take all of them back.")
def revoke(number: int | None, every: bool) -> None:
    """Take an approval back; the call will be asked for again."""
    store = _store()
    if every:
        numbers = [one.id for one in store.all()]
    elif number is None:
        raise UserError("Name the approval by its id (`llmos approvals list` shows them), or give --all.")
    else:
        numbers = [number]
    taken = sum(store.revoke(one) for one in numbers)
    if number is not None and not every and not taken:
        raise UserError(f"There is no approval {number}; `llmos approvals list` shows them.")
    click.echo(f"Took back {taken} {'approval' if taken == 1 else 'approvals'}.")
