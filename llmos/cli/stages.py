"""``llmos stages``: the panels' figures and pictures as text or JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import click

from llmos.stages.frame import Part, StageContext
from llmos.stages.registry import STAGES, stage
from llmos.types import UserError


@click.command()
@click.argument("name", required=False)
@click.option("--model", default="", help="Model to ask; the bundled one by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def stages(name: str | None, model: str, as_json: bool) -> None:
    """Show how the model was built, with a mark at every figure."""
    found = asyncio.run(_collect([name] if name else [entry.id for entry in STAGES], model, views=bool(name)))
    if as_json:
        click.echo(json.dumps({"stages": found}, ensure_ascii=False, indent=2))
        return
    for one in found:
        click.echo(f"{one['title']}\n{'=' * len(one['title'])}")
        for sentence in one["sentences"]:
            click.echo(sentence)
        click.echo()
        for figure in one["figures"]:
            unit = f" {figure['unit']}" if figure["unit"] else ""
            caveat = f" ({figure['caveat']})" if figure["caveat"] else ""
            click.echo(
                f"  {figure['name']}: {figure['value']}{unit}  [{figure['mark']}: {figure['source']}]{caveat}"
            )
        for part in one.get("parts", []):
            click.echo(f"\n{part['title']}  [{part['mark']}: {part['source']}]\n{part['text']}")
        click.echo()


@click.command()
@click.option("--model", "-m", default="", help="Model to walk through with; the bundled one by default.")
@click.option("--again", is_flag=True, help="Begin anew instead of where it was left.")
def tour(model: str, again: bool) -> None:
    """Walk through how the model was built, doing one thing on each panel."""
    import sys

    from llmos.cli.face import run_tui
    from llmos.settings import folders
    from llmos.stages.tour import save_place

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("The tour needs a terminal; `llmos stages` prints the panels as text.")
    if again:
        save_place(folders().data, 0)
    run_tui(model=model, tour=True)


async def _collect(names: list[str], model: str, *, views: bool) -> list[dict[str, Any]]:
    from llmos.cli.app_context import cli_session
    from llmos.stages.context import Kernels, make_context

    kernels = Kernels()
    async with cli_session(quiet=True) as session:
        try:
            await session.load_model(model, context=2048)
            context = make_context(session.kernel, kernels, session)
            return [await _one(name, context, views=views) for name in names]
        finally:
            await kernels.close()


async def _one(name: str, context: StageContext, *, views: bool) -> dict[str, Any]:
    one = stage(name)
    out: dict[str, Any] = {"id": one.id, "title": one.title, "sentences": list(one.sentences)}
    try:
        with contextlib.suppress(UserError):  # what is missing then, the panel says itself
            await one.prepare(context)
        out["figures"] = [figure.as_json() for figure in await one.figures(context)]
        if views:
            state = one.first_state(context)
            parts = [*await one.view(context, state), *await one.later(context, state)]
            out["parts"] = [_part(part) for part in parts]
    except UserError as error:
        out["figures"] = out.get("figures", [])
        out["missing"] = str(error)
    return out


def _part(part: Part) -> dict[str, Any]:
    element = part.element
    return {
        "kind": element.kind,
        "title": element.title,
        "mark": part.mark,
        "source": part.source,
        "data": dict(element.data),
        "text": as_text(part),
    }


def as_text(part: Part) -> str:
    """A part as plain text."""
    data = part.element.data
    if part.element.kind == "text":
        return str(data["markdown"])
    if part.element.kind == "bars":
        top = max((abs(value) for value in data["values"]), default=0.0) or 1.0
        width = max((len(str(label)) for label in data["labels"]), default=0)
        return "\n".join(
            f"{label!s:>{width}} {value:8.4f} {'#' * round(32 * abs(value) / top)}"
            for label, value in zip(data["labels"], data["values"], strict=True)
        )
    if part.element.kind == "table":
        rows = [data["columns"], *data["rows"]]
        widths = [max(len(str(row[place])) for row in rows) for place in range(len(data["columns"]))]
        return "\n".join(
            "  ".join(f"{cell!s:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )
    if part.element.kind == "cells":
        return "|".join(str(cell["label"]) for cell in data["cells"])
    if part.element.kind == "plot":
        lines = []
        for series in data["series"]:
            points = list(zip(series["x"], series["y"], strict=True))
            shown = points[:: max(1, len(points) // 8)]
            lines.append(f"{series['name']}: " + ", ".join(f"{x:.4g}: {y:.4g}" for x, y in shown))
        return "\n".join(lines)
    return json.dumps(dict(data), ensure_ascii=False)
