"""Plugins' commands as CLI verbs, made from their manifests; the plugin is loaded only when one runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmos.types import UserError

if TYPE_CHECKING:
    from llmos.plugins.manifest import CommandEntry, ParameterEntry

_KINDS: dict[str, Any] = {"text": str, "int": int, "float": float, "path": click.Path(path_type=Path)}


def _entries() -> list[CommandEntry]:
    """Commands that plugins offer to the CLI; none when plugins or settings cannot be read."""
    if os.environ.get("LLMOS_SAFE_MODE"):
        return []
    from llmos.plugins.manager import PluginManager
    from llmos.settings import folders, load_settings

    try:
        manager = PluginManager(load_settings(), folders(), notify=lambda text, level: None)
        return [entry for _, entry in manager.commands() if "cli" in entry.faces]
    except (UserError, OSError):
        return []


def plugin_verbs() -> dict[str, str]:
    """First words of plugins' commands, with a help line."""
    found: dict[str, str] = {}
    for entry in _entries():
        verb, _, rest = entry.name.partition(" ")
        line = entry.help if not rest else f"{rest}: {entry.help}"
        found[verb] = f"{found[verb]} | {rest}" if verb in found and rest else line
    return found


def plugin_command(verb: str) -> click.Command | None:
    """The click command of a verb; a group when its commands have two words."""
    entries = [entry for entry in _entries() if entry.name.split(" ")[0] == verb]
    if not entries:
        return None
    single = next((entry for entry in entries if entry.name == verb), None)
    if len(entries) == 1 and single is not None:
        return _command(single, verb)
    group = click.Group(verb, help=f"Commands of {verb}.")
    for entry in entries:
        rest = entry.name.partition(" ")[2]
        if rest:
            group.add_command(_command(entry, rest))
    if single is not None:
        bare = _command(single, verb)
        group.invoke_without_command = True
        group.callback = lambda: None if click.get_current_context().invoked_subcommand else bare(args=[])
    return group


def _command(entry: CommandEntry, name: str) -> click.Command:
    def callback(**values: Any) -> None:
        as_json = bool(values.pop("as_json"))
        arguments = {key: _plain(value) for key, value in values.items() if value is not None}
        if sentence is not None and (words := arguments.pop(sentence.name, ())):
            arguments[sentence.name] = " ".join(words)
        asyncio.run(_run(entry.name, arguments, as_json))

    # Words of the last text are one text, as they are after a slash command: no quotation marks needed.
    plain = [one for one in entry.parameters if not one.option and one.kind != "flag"]
    sentence = plain[-1] if plain and plain[-1].kind == "text" and not plain[-1].many else None
    parameters: list[click.Parameter] = [_parameter(one, one is sentence) for one in entry.parameters]
    parameters.append(click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."))
    return click.Command(name, params=parameters, callback=callback, help=entry.help)


def _parameter(one: ParameterEntry, sentence: bool = False) -> click.Parameter:
    """One argument or option of a plugin's command; a ``sentence`` takes the words that are left."""
    kind = click.Choice(one.choices) if one.kind == "choice" else _KINDS.get(one.kind, str)
    if one.kind == "flag":
        return click.Option([f"--{one.name.replace('_', '-')}", one.name], is_flag=True, help=one.help)
    if one.option:
        return click.Option(
            [f"--{one.name.replace('_', '-')}", one.name],
            type=kind,
            required=one.required,
            default=one.default,
            multiple=one.many,
            help=one.help,
        )
    options: dict[str, Any] = {"type": kind, "required": one.required, "nargs": 1}
    if one.many or sentence:
        options["nargs"] = -1
    if one.default is not None and not one.many:
        options["default"] = str(one.default).split() if sentence else one.default
    return click.Argument([one.name], **options)


def _plain(value: Any) -> Any:
    """A value as it can cross a pipe."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


async def _run(name: str, arguments: dict[str, Any], as_json: bool) -> None:
    """Run the command within a session, as the program's other faces do."""
    from llmos.cli.app_context import cli_session
    from llmos.cli.markdown import echo_markdown
    from llmos.cli.output import clean, print_json
    from llmos.plugins.contributions import CommandContext

    async with cli_session() as session:
        run_command: Any = getattr(session.plugins, "run_command", None)
        if run_command is None:
            raise UserError(f"There is no command {name}.")
        loop = asyncio.get_running_loop()

        def write(text: str) -> None:
            # From the plugin's thread, whose own standard output is kept off the terminal.
            loop.call_soon_threadsafe(lambda: click.echo(clean(text), err=as_json))

        result = await run_command(name, arguments, CommandContext(face="cli", write=write))
        await asyncio.sleep(0)  # what was written last is shown before the result
    if as_json:
        print_json(result.data if result.data is not None else {"text": result.text, "ok": result.ok})
    elif result.text:
        echo_markdown(result.text, err=not result.ok)
    if not result.ok:
        raise click.exceptions.Exit(1)
