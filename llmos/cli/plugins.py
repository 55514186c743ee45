"""``llmos plugins``: what is installed and known; install, remove, make, check and trace plugins."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmos.cli.output import json_option, print_json, table
from llmos.types import UserError

if TYPE_CHECKING:
    from llmos.plugins.index import Known
    from llmos.plugins.installer import Installer
    from llmos.plugins.registry import Registry, Slot
    from llmos.settings import Folders


def _folders() -> Folders:
    from llmos.settings import folders

    return folders().make()


def _registry() -> Registry:
    """What is installed, without a running program."""
    from llmos.plugins.registry import Registry
    from llmos.settings import load_settings

    return Registry(load_settings(), _folders(), notify=lambda text, level: click.echo(text, err=True))


def _installer(wheels: Path | None = None, quiet: bool = False) -> Installer:
    from llmos.plugins.installer import Installer

    def say(text: str) -> None:
        if not quiet:
            click.echo(f"{text} …", err=True)

    return Installer(_folders(), wheels=wheels, say=say)


def _index() -> list[Known]:
    from llmos.plugins.index import read_index
    from llmos.settings import load_settings

    return read_index(load_settings().plugins.index)


def _clean(text: str) -> str:
    from llmos.cli.output import clean, one_line

    return one_line(clean(text))


@click.group()
def plugins() -> None:
    """List, install, make and check plugins."""
    from llmos.cli.output import log_to_file

    log_to_file()


@plugins.command("list")
@click.option("--known", is_flag=True, help="Those of the index too, installed or not.")
@json_option
def list_plugins(known: bool, as_json: bool) -> None:
    """Plugins that are installed, their state and what they bring."""
    registry = _registry()
    rows: list[dict[str, Any]] = [_row(slot) for slot in registry.plugins()]
    missing = _installer(quiet=True).missing()
    rows += [
        {"name": entry.name, "version": entry.version, "state": "missing", "runs": "", "summary": ""}
        for entry in missing
    ]
    if known:
        here = {row["name"] for row in rows}
        rows += [
            {"name": one.name, "version": "", "state": "known", "runs": one.kind, "summary": one.summary}
            for one in _index()
            if one.name not in here
        ]
    if as_json:
        print_json({"plugins": rows})
        return
    if not rows:
        click.echo("No plugin is installed; `llmos plugins list --known` shows what there is.")
        return
    columns = ("name", "version", "state", "runs", "summary")
    click.echo(table(columns, [[_clean(str(row[column])) for column in columns] for row in rows]))
    if missing:
        click.echo("`llmos plugins upgrade --restore` puts the missing ones back.", err=True)


def _row(slot: Slot) -> dict[str, Any]:
    manifest = slot.manifest
    return {
        "name": slot.name,
        "version": slot.found.version,
        "state": slot.state,
        "runs": "own process" if slot.isolated else "in the program",
        "summary": manifest.summary or slot.reason,
        "reason": slot.reason,
        "bundled": slot.found.bundled,
        "tools": [entry.name for entry in manifest.tools],
        "commands": [entry.name for entry in manifest.commands],
        "panels": [entry.id for entry in manifest.panels],
    }


@plugins.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """All that a plugin's manifest declares: what it does, brings and needs."""
    from llmos.plugins.describe import lines_of

    registry = _registry()
    try:
        slot = registry.plugin(name)
    except UserError:
        one = next((one for one in _index() if one.name == name), None)
        if one is None:
            raise
        if as_json:
            print_json({"name": one.name, "kind": one.kind, "summary": one.summary, "source": one.source})
        else:
            click.echo(f"{one.name} ({one.kind}, not installed): {_clean(one.summary)}")
        return
    if as_json:
        print_json(
            {**_row(slot), "manifest": slot.manifest.model_dump(mode="json"), "path": str(slot.found.path)}
        )
        return
    lines = lines_of(slot.manifest, trusted=not slot.isolated, version=slot.found.version)
    lines += [f"State: {slot.state}{f' ({slot.reason})' if slot.reason else ''}", f"Lies in {slot.found.path}"]
    click.echo("\n".join(_clean_line(line) for line in lines))


def _clean_line(line: str) -> str:
    from llmos.cli.output import clean

    return clean(line)


@plugins.command()
@click.argument("source")
@click.option("--editable", "-e", is_flag=True, help="Install a folder in place.")
@click.option("--trust", is_flag=True, help="Run it inside the program, not in a process of its own.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--wheels", type=click.Path(path_type=Path), help="Take everything from this folder, without network."
)
@json_option
def install(source: str, editable: bool, trust: bool, yes: bool, wheels: Path | None, as_json: bool) -> None:
    """Install a plugin: a name, a wheel, a git address, a folder (./NAME) or a .py file."""
    from llmos.plugins.describe import lines_of

    installer = _installer(wheels, quiet=as_json)
    known = _known(source)
    if known is not None and known.manifest is not None:
        entry = _install_persona(installer, known)
        _say_installed(entry, as_json)
        return
    with installer.preview(known.source if known else source, editable=editable) as preview:
        installer.check_free(preview)
        lines = lines_of(preview.manifest, trusted=trust, version=preview.version)
        click.echo("\n".join(_clean_line(line) for line in lines), err=True)
        if not yes and sys.stdin.isatty() and not click.confirm("Install it?", default=True, err=True):
            raise click.exceptions.Exit(1)
        entry = installer.install(preview, trusted=trust)
    _say_installed(entry, as_json)


def _known(source: str) -> Known | None:
    """The entry of the index that a plain name means.

    Raises:
        UserError: it comes with the program.
    """
    from llmos.plugins.discovery import BUNDLED
    from llmos.plugins.pip import normal

    if not source.replace("-", "").isalnum():
        return None
    if normal(source) in BUNDLED or f"llmos-{source}" in BUNDLED:
        raise UserError(f"{source} comes with the program; `llmos plugins enable {source}` turns it on.")
    return next((one for one in _index() if source in (one.name, one.name.removeprefix("persona-"))), None)


def _install_persona(installer: Installer, known: Known) -> Any:
    import tempfile

    from llmos.plugins.index import persona_file

    assert known.manifest is not None
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / f"{known.manifest.name.replace('-', '_')}.py"
        path.write_text(persona_file(known.manifest), encoding="utf-8")
        with installer.preview(str(path)) as preview:
            return installer.install(preview)


def _say_installed(entry: Any, as_json: bool) -> None:
    if as_json:
        print_json({"name": entry.name, "version": entry.version, "trusted": entry.trusted})
        return
    where = "inside the program" if entry.trusted else "in a process of its own"
    click.echo(f"{entry.name} {entry.version} is installed and runs {where}.".replace("  ", " "))


@plugins.command()
@click.argument("name")
@click.option("--keep-data", is_flag=True, help="Leave what it stored.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
def uninstall(name: str, keep_data: bool, yes: bool, as_json: bool) -> None:
    """Remove a plugin, what came with it, its settings and its data."""
    if not yes and sys.stdin.isatty() and not click.confirm(f"Remove {name} and its data?", err=True):
        raise click.exceptions.Exit(1)
    removed = _installer(quiet=as_json).uninstall(name, keep_data=keep_data)
    if as_json:
        print_json({"name": name, "removed": removed})
    else:
        click.echo(f"{name} is removed: {', '.join(removed) or 'nothing was left of it'}.")


@plugins.command()
@click.argument("name")
@click.option("--trust/--no-trust", default=None, help="Run it inside the program, or in its own process.")
def enable(name: str, trust: bool | None) -> None:
    """Turn a plugin on, from now on."""
    from llmos.plugins.lock import read_lock
    from llmos.plugins.settings_file import set_disabled

    where = _folders()
    slot = _registry().plugin(name)
    set_disabled(where, name, False)
    if trust is not None and not slot.found.bundled:
        from dataclasses import replace

        from llmos.plugins.lock import Locked

        lock = read_lock(where)
        entry = lock.entries.get(name) or Locked(name, slot.found.distribution, slot.found.version)
        lock.entries[name] = replace(entry, trusted=trust)
        lock.write()
    click.echo(f"{name} is on.")


@plugins.command()
@click.argument("name")
def disable(name: str) -> None:
    """Turn a plugin off, from now on; it stays installed."""
    from llmos.plugins.settings_file import set_disabled

    _registry().plugin(name)
    set_disabled(_folders(), name, True)
    click.echo(f"{name} is off.")


@plugins.command()
@click.argument("names", nargs=-1)
@click.option("--restore", is_flag=True, help="Put back what the lock file lists and is missing.")
@click.option(
    "--wheels", type=click.Path(path_type=Path), help="Take everything from this folder, without network."
)
@json_option
def upgrade(names: Sequence[str], restore: bool, wheels: Path | None, as_json: bool) -> None:
    """Install newer versions; with --restore put back what an upgrade of the program lost."""
    from llmos.plugins.lock import read_lock

    installer = _installer(wheels, quiet=as_json)
    rows: list[dict[str, str]] = []
    if restore:
        rows += [{"name": name, "error": error} for name, error in installer.restore()]
    else:
        entries = read_lock(_folders()).entries
        for name in names or [one for one, entry in entries.items() if entry.distribution]:
            try:
                old, new = installer.upgrade(name)
                rows.append({"name": name, "old": old, "new": new, "error": ""})
            except UserError as error:
                rows.append({"name": name, "error": str(error)})
    if as_json:
        print_json({"plugins": rows})
    elif not rows:
        click.echo("There is nothing to do.")
    for row in rows if not as_json else []:
        if row["error"]:
            click.echo(f"{row['name']}: {row['error']}", err=True)
        elif "old" in row and row["old"] != row["new"]:
            click.echo(f"{row['name']}: {row['old']} → {row['new']}")
        else:
            click.echo(f"{row['name']}: {'is back' if restore else 'is the newest already'}")
    if any(row["error"] for row in rows):
        raise click.exceptions.Exit(1)


@plugins.command("set")
@click.argument("name")
@click.argument("values", nargs=-1)
def set_values(name: str, values: Sequence[str]) -> None:
    """Show a plugin's settings, or change some: KEY=VALUE."""
    from llmos.plugins.settings_file import check_options, set_options
    from llmos.settings import load_settings

    manifest = _registry().plugin(name).manifest
    present = {**manifest.default_settings(), **load_settings().plugins.options.get(name, {})}
    given: dict[str, str] = {}
    for text in values:
        key, mark, value = text.partition("=")
        if not mark:
            raise UserError(f"A setting is given as KEY=VALUE, not {text!r}.")
        given[key] = value
    if given:
        present |= check_options(manifest.settings, given)
        set_options(_folders(), name, present)
    for key, part in manifest.settings.get("properties", {}).items():
        click.echo(f"{key} = {present.get(key)!r}  # {_clean(str(part.get('description', '')))}")


@plugins.command()
@click.argument("name")
@click.option("--summary", default="", help="What it is for, in one sentence.")
@click.option(
    "--in", "parent", type=click.Path(path_type=Path, file_okay=False), default=Path("."), help="Where."
)
def new(name: str, summary: str, parent: Path) -> None:
    """Write a new plugin: a tool, a command, a panel, a passing test, CI and docs."""
    from llmos.plugins.scaffold import new_plugin

    written = new_plugin(name, parent, summary)
    click.echo(f"{parent / name}: {len(written)} files. Next:")
    click.echo(f"  llmos plugins check {parent / name}")
    here = f"./{name}" if parent == Path(".") else str(parent / name)
    click.echo(f"  llmos plugins install --editable {here}")


@plugins.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--write", is_flag=True, help="Write the tools' schemas into the manifest first.")
@json_option
def check(path: Path, write: bool, as_json: bool) -> None:
    """Run the conformance kit on a plugin's folder or file."""
    from llmos.plugins.conformance import check_plugin, write_schemas

    if write:
        for line in write_schemas(path):
            click.echo(line, err=True)
    report = check_plugin(path)
    if as_json:
        print_json(
            {
                "plugin": report.plugin,
                "ok": report.ok,
                "findings": [
                    {"level": one.level, "rule": one.rule, "text": one.text} for one in report.findings
                ],
            }
        )
    else:
        for one in report.findings:
            click.echo(f"{one.level:<5} {one.rule:<12} {_clean(one.text)}")
        counts = {level: sum(one.level == level for one in report.findings) for level in ("ok", "warn", "fail")}
        click.echo(f"{report.plugin}: {counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} failed.")
    if not report.ok:
        raise click.exceptions.Exit(1)


@plugins.command()
@click.argument("name", default="")
@click.option("--lines", "-n", default=50, help="How many of the last calls.")
@json_option
def trace(name: str, lines: int, as_json: bool) -> None:
    """The last calls of plugins; they are written while LLMOS_TRACE_PLUGINS=1 is set."""
    from llmos.plugins.trace import format_line, read_trace

    found = list(read_trace(_folders(), name, lines))
    if as_json:
        print_json({"calls": found})
    elif not found:
        click.echo("Nothing was traced. Start the program with LLMOS_TRACE_PLUGINS=1 and look again.")
    else:
        for line in found:
            click.echo(_clean_line(format_line(line)))
