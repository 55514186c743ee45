"""``llmos models``: find, fit, fetch, import, remove and choose models."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from llmos.settings import load_settings
from llmos.types import UserError


def _emit(data: Any, lines: Sequence[str], as_json: bool) -> None:
    click.echo(json.dumps(data, ensure_ascii=False, indent=2) if as_json else "\n".join(lines))


def _bytes(count: int) -> str:
    from llmos.kernel.memory import show_bytes

    return show_bytes(count)


def _check_online() -> None:
    from llmos.catalog.hub import check_online

    if load_settings().offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    check_online()


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def models() -> None:
    """Find, fit, fetch and choose models."""


@models.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """Models on this machine, whichever program fetched them."""
    from llmos.catalog.owned import owned_models

    default = load_settings().model.name
    found = owned_models()
    data = [
        {
            "name": one.name,
            "path": str(one.path),
            "bytes": one.bytes,
            "origin": one.origin,
            "quantisation": one.quantisation,
            "default": default in (one.name, str(one.path)) or (not default and one.origin == "bundled"),
        }
        for one in found
    ]
    width = max((len(one.name) for one in found), default=0)
    lines = [
        f"{'*' if row['default'] else ' '} {one.name:{width}}  {_bytes(one.bytes):>8}"
        f"  {one.quantisation:8} {one.origin}"
        for one, row in zip(found, data, strict=True)
    ]
    _emit(data, lines or ["No model is on this machine; `llmos models search` names some."], as_json)


@models.command()
@click.argument("query", nargs=-1)
@click.option("--task", help="Only models for a task: chat, thinking, code, vision, embedding.")
@click.option("--hub", "ask_hub", is_flag=True, help="Search the hub too (needs the network).")
@json_option
def search(query: Sequence[str], task: str | None, ask_hub: bool, as_json: bool) -> None:
    """Search the catalogue, and with --hub all GGUF repositories."""
    from llmos.catalog import hub
    from llmos.catalog.entries import load_catalog
    from llmos.catalog.fit import fit_entry
    from llmos.catalog.machine import this_machine

    words = " ".join(query)
    catalog, machine = load_catalog(), this_machine()
    found = catalog.search(words, task or "")
    data: list[dict[str, Any]] = []
    lines = []
    for entry in found:
        fit = fit_entry(entry, machine)
        data.append({**entry.model_dump(), "verdict": fit.verdict, "source": "catalogue"})
        mark = "" if entry.verified else " (unverified)"
        lines.append(
            f"{entry.name:28} {_bytes(entry.bytes):>8}  {entry.parameters:>5}  {fit.verdict:16}"
            f" {', '.join(entry.tasks)}{mark}"
        )
    if ask_hub:
        for hit in hub.search(words, client_check=_check_online):
            data.append(
                {"name": hit.repository, "downloads": hit.downloads, "licence": hit.licence, "source": "hub"}
            )
            lines.append(f"{hit.repository}  {hit.downloads} downloads  {hit.licence}")
    _emit(data, lines or [f"Nothing in the catalogue matches {words!r}; --hub searches the hub."], as_json)


@models.command()
@click.argument("name")
@click.option("--context", type=click.IntRange(0), default=0, help="Context window in tokens.")
@json_option
def show(name: str, context: int, as_json: bool) -> None:
    """What a model is, where it lies and whether it fits."""
    from llmos.catalog import actions
    from llmos.catalog.machine import this_machine
    from llmos.kernel.gguf_header import read_header

    wanted = actions.understand(name)
    fit = actions.fit_of(wanted, this_machine(), context)
    data: dict[str, Any] = {"name": name}
    if wanted.entry:
        data.update(wanted.entry.model_dump())
    if wanted.owned:
        header = read_header(wanted.owned.path)
        data.update(
            path=str(wanted.owned.path),
            origin=wanted.owned.origin,
            architecture=header.architecture,
            parameter_count=header.parameters,
            bytes=wanted.owned.bytes,
            context=int(header.of_architecture("context_length", 0)),
            chat_template=bool(header.metadata.get("tokenizer.chat_template")),
        )
    if fit:
        data["fit"] = fit.as_json()
    elif wanted.reference:
        model = actions.look_up(wanted, _check_online)
        data.update(repository=model.repository, commit=model.commit, bytes=model.bytes, gated=model.gated,
                    licence=model.licence, files=[file.name for file in model.files])  # fmt: skip
    lines = [f"{key}: {value}" for key, value in data.items() if key != "fit"] + ([fit.words] if fit else [])
    _emit(data, lines, as_json)


@models.command()
@click.argument("name", required=False)
@click.option("--context", type=click.IntRange(0), default=0, help="Context window in tokens.")
@json_option
def fit(name: str | None, context: int, as_json: bool) -> None:
    """What fits this machine; with a NAME, whether that one does."""
    from llmos.catalog import actions
    from llmos.catalog.entries import load_catalog
    from llmos.catalog.fit import fit_entry, recommend
    from llmos.catalog.machine import this_machine

    machine = this_machine(bandwidth=True)
    about = {"available": machine.available, "total": machine.total, "cores": machine.cores,
             "bandwidth": machine.bandwidth}  # fmt: skip
    first = (
        f"This machine: {_bytes(machine.available)} of {_bytes(machine.total)} free, {machine.cores} cores, "
        f"memory reads {_bytes(int(machine.bandwidth))}/s."
    )
    if name:
        wanted = actions.understand(name)
        one = actions.fit_of(wanted, machine, context)
        if one is None:
            from llmos.catalog.fit import fit_header
            from llmos.catalog.remote_header import remote_header

            model = actions.look_up(wanted, _check_online)
            one = fit_header(remote_header(model, client_check=_check_online), machine, context)
        parts = f"weights {_bytes(one.weights)}, KV {_bytes(one.kv)}, compute {_bytes(one.compute)}"
        speed = f"about {one.tokens_per_second:.1f} tokens/s" if one.tokens_per_second else ""
        _emit({"machine": about, "name": name, **one.as_json()}, [first, one.words, parts, speed], as_json)
        return
    entries = load_catalog().models
    best = recommend(entries, machine)
    rows = [(entry, fit_entry(entry, machine, context)) for entry in entries]
    lines = [first] + [
        f"{entry.name:28} {_bytes(entry.bytes):>8}  {one.verdict:16} {one.tokens_per_second:7.1f} tokens/s"
        for entry, one in rows
    ]
    lines.append(
        f"Recommended: {best.name} (llmos models pull {best.name})" if best else "No listed model fits."
    )
    _emit(
        {
            "machine": about,
            "models": [{"name": entry.name, **one.as_json()} for entry, one in rows],
            "recommended": best.name if best else None,
        },
        lines,
        as_json,
    )


@models.command()
@click.argument("name")
@click.option("--default", "make_default", is_flag=True, help="Load it from now on.")
@json_option
def pull(name: str, make_default: bool, as_json: bool) -> None:
    """Fetch a model; interrupted pulls go on where they were."""
    from llmos.catalog import actions, fetch

    wanted = actions.understand(name)
    if wanted.owned is not None:
        path = wanted.owned.path
    else:
        model = actions.look_up(wanted, _check_online)
        terminal = sys.stderr.isatty()
        last = [0.0]

        def progress(now: fetch.Progress) -> None:
            if not terminal and time.monotonic() - last[0] < 5 and not now.checking:
                return
            last[0] = time.monotonic()
            what = (
                "checking"
                if now.checking
                else f"{_bytes(int(now.bytes_per_second))}/s, {now.seconds_left:.0f} s left"
            )
            text = f"{now.file}: {_bytes(now.done)} of {_bytes(now.total)}, {what}"
            click.echo(f"\r\x1b[K{text}" if terminal else text, err=True, nl=not terminal)

        try:
            path = fetch.pull(model, progress, client_check=_check_online)
        except (KeyboardInterrupt, fetch.Paused):
            raise UserError(f"Stopped; `llmos models pull {name}` goes on from here.") from None
        finally:
            if terminal:
                click.echo(err=True)
    shown = wanted.owned.name if wanted.owned else name
    if make_default:
        actions.set_default(str(path))
    _emit({"name": shown, "path": str(path), "default": make_default}, [f"{shown} lies at {path}."], as_json)


@models.command("rm")
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Delete a model that LLMOS or the hub's cache holds."""
    from llmos.catalog import actions
    from llmos.catalog.owned import find_owned

    model = find_owned(name)
    if model is None:
        raise UserError(f"There is no model {name} on this machine; `llmos models list` shows them.")
    freed = actions.remove(model)
    _emit(
        {"name": model.name, "freed": freed},
        [f"{model.name} is deleted; {_bytes(freed)} are free again."],
        as_json,
    )


@models.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", default="", help="Its name from now on.")
@json_option
def import_model(path: Path, name: str, as_json: bool) -> None:
    """Copy a GGUF file into LLMOS's own folder."""
    from llmos.catalog import actions

    model = actions.import_file(path, name)
    _emit({"name": model.name, "path": str(model.path)}, [f"{model.name} lies at {model.path}."], as_json)


@models.command()
@click.argument("name", default="")
@json_option
def default(name: str, as_json: bool) -> None:
    """Choose the model that new sessions load; without a NAME the bundled one."""
    from llmos.catalog import actions

    if name:
        wanted = actions.understand(name)
        if wanted.owned is None:
            raise UserError(f"{name} is not on this machine yet; `llmos models pull {name}` fetches it.")
        name = (
            str(wanted.owned.path)
            if wanted.owned.origin in ("file", "ollama", "lm studio")
            else wanted.owned.name
        )
    file = actions.set_default(name)
    _emit({"default": name}, [f"New sessions load {name or 'the bundled model'} (in {file})."], as_json)
