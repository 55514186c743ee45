"""``llmos bench NAME``: measures this program on this machine.

Every benchmark is a function ``run(**options)`` in a module of its own, imported only when it is
named. It gives back ``{"figures": [{"name", "value", "unit", "target", "ok"}], "machine": {…}}`` or
a list of ``llmos.bench.figures.Figure``. An option ``say`` is a function that takes a progress line.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from llmos.cli.output import json_option, print_json, table, warn
from llmos.types import UserError

#: name -> (module:function, one line of help). Options that a function does not take are not passed.
BENCHMARKS: dict[str, tuple[str, str]] = {
    "decode": ("llmos.bench.decode:run", "Generation through the whole path against a bare loop."),
    "startup": ("llmos.bench.startup:run", "First paint, keys under load, memory of the face."),
    "security": ("llmos.bench.security:run", "Attacks that reach a sink, and benign tasks that finish."),
    "store": ("llmos.bench.store:run", "Chat store: commits, opening, search over many chats."),
    "plugins": ("llmos.bench.plugins:run", "Start-up with many plugins, overhead of a hook call."),
    "retrieval": ("llmos.bench.retrieval:run", "Indexing and search of files, and answers from them."),
    "paging": ("llmos.bench.paging:run", "The window as paged memory, against a sliding window."),
    "resume": ("llmos.bench.resume:run", "Coming back to a chat from disk, against evaluating it anew."),
    "models": ("llmos.bench.models:run", "Memory estimates against measured loads; reading headers."),
    "serve": ("llmos.bench.serve:run", "Eight clients at once against a bare batch."),
    "web": ("llmos.bench.web:run", "Search and reading of pages."),
    "code": ("llmos.bench.code:run", "The sandbox: what gets out, and what it costs."),
    "reason": ("llmos.bench.reasoning:run", "Accuracy over thinking time."),
    "stages": ("llmos.bench.stages:run", "Panels of the Build tab: opening, and sliders."),
}
#: Other names of benchmarks.
ALIASES = {"reasoning": "reason"}


@click.command()
@click.argument("name", required=False, default="")
@click.option("--model", "-m", default="", help="Name or path of the model to measure.")
@click.option("--quick", is_flag=True, help="Fewer repetitions.")
@json_option
@click.option("--option", "-o", "extra", multiple=True, metavar="NAME=VALUE", help="A value for the benchmark.")
def bench(name: str, model: str, quick: bool, as_json: bool, extra: tuple[str, ...]) -> int:
    """Run a benchmark; without a name, list them."""
    if not name:
        there = [(key, BENCHMARKS[key][1]) for key in sorted(BENCHMARKS) if _exists(key)]
        click.echo(table(["name", "what it measures"], [list(row) for row in there]))
        return 0
    options: dict[str, Any] = {"quick": quick, **dict(_pair(text) for text in extra)}
    if model:
        options["model"] = model
    result = run_benchmark(name, options)
    if as_json:
        print_json(result)
    else:
        click.echo(show(result))
    return 0 if all(figure.get("ok") is not False for figure in result["figures"]) else 1


def run_benchmark(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Run one benchmark.

    Args:
        name: from the table, or of a plugin: ``llmos_NAME.bench`` or ``llmos_NAME.bench.run``.
        options: handed on where the function takes them.

    Raises:
        UserError: no such benchmark, or an option that it does not take.
    """
    function = _function(name)
    accepted = inspect.signature(function).parameters
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in accepted.values())
    unknown = [key for key in options if key not in accepted and key != "quick" and not takes_all]
    if unknown:
        raise UserError(f"The benchmark {name} does not take {', '.join(unknown)}.")
    given = {key: value for key, value in options.items() if takes_all or key in accepted}
    if "model" in given and "Path" in str(accepted["model"].annotation if "model" in accepted else ""):
        from llmos.kernel.locate import resolve

        given["model"] = resolve(str(given["model"])).path
    if "say" in accepted:
        given["say"] = warn
    result = function(**given)
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    return _as_object(result)


def _as_object(result: Any) -> dict[str, Any]:
    """Figures and machine, however the benchmark gave them back."""
    from llmos.bench.figures import machine

    if not isinstance(result, Mapping):
        result = {"figures": list(result)}
    figures = [one if isinstance(one, Mapping) else asdict(one) for one in result["figures"]]
    return {"figures": figures, "machine": result.get("machine") or machine(), **{
        key: value for key, value in result.items() if key not in ("figures", "machine")
    }}  # fmt: skip


def _exists(name: str) -> bool:
    return importlib.util.find_spec(BENCHMARKS[name][0].partition(":")[0]) is not None or _plugin(name)


def _plugin(name: str) -> bool:
    try:
        return importlib.util.find_spec(f"llmos_{name}.bench") is not None
    except ModuleNotFoundError:
        return False


def _function(name: str) -> Any:
    name = ALIASES.get(name, name)
    if name in BENCHMARKS:
        module, _, function = BENCHMARKS[name][0].partition(":")
        if importlib.util.find_spec(module) is not None:
            return getattr(importlib.import_module(module), function)
    if name.isidentifier() and _plugin(name):
        return importlib.import_module(f"llmos_{name}.bench").run
    there = ", ".join(sorted(key for key in BENCHMARKS if _exists(key)))
    raise UserError(f"There is no benchmark {name}; there are: {there}.")


def _pair(text: str) -> tuple[str, Any]:
    """``NAME=VALUE``, a number where it is one, a path where one is there."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"An option is written NAME=VALUE; this is none: {text}")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, Path(value) if Path(value).exists() else value


def show(result: Mapping[str, Any]) -> str:
    """Figures as a table, the machine below it."""
    rows = [
        [
            str(figure["name"]),
            _number(figure["value"]),
            str(figure.get("unit", "")),
            str(figure.get("target") or ""),
            ("ok" if figure.get("ok") else "MISSED") if figure.get("target") else "",
        ]
        for figure in result["figures"]
    ]
    machine = ", ".join(f"{key}: {value}" for key, value in result.get("machine", {}).items())
    return table(["figure", "value", "unit", "target", ""], rows) + (f"\n\n{machine}" if machine else "")


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
