"""Hooks of the code plugin: the tool ``python``, ``/run`` and ``llmos code …``, the status."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.plugins import Command, Host, Renderer, StatusItem, Tool, ToolContext, hookimpl
from llmos.types import EffectClass, ToolResult
from llmos_code.commands import commands
from llmos_code.limits import Limits
from llmos_code.results import elements, save_images, tool_result
from llmos_code.runner import Runner
from llmos_code.tiers import Tiers

_runners: dict[int, Runner] = {}


def runner_of(host: Host) -> Runner:
    """The runner of this host; made at its first use, so that starting costs nothing."""
    runner = _runners.get(id(host))
    if runner is None:
        settings = host.settings
        limits = Limits(
            seconds=float(settings.get("seconds", 20)),
            memory_mb=int(settings.get("memory_mb", 1024)),
            disk_mb=int(settings.get("disk_mb", 64)),
        )
        tiers = Tiers(str(settings.get("tier", "auto")))
        runner = _runners[id(host)] = Runner(host.data_dir, limits, tiers)
    return runner


@hookimpl
def llmos_stop(host: Host) -> None:
    """End every sandbox."""
    runner = _runners.pop(id(host), None)
    if runner is not None:
        runner.close()


@hookimpl
def llmos_tools(host: Host) -> Sequence[Tool]:
    """``python``, as the model knows it."""

    def python(code: str, context: ToolContext) -> ToolResult:
        """Run Python code in a sandbox and return what it prints and the value of its last line.

        Args:
            code: Python source; variables are kept between calls.
        """
        runner = runner_of(host)
        result = runner.run(code, context.chat_id, progress=context.progress, cancelled=context.cancelled)
        images = save_images(host.data_dir / "images", result.images)
        return tool_result(result, images, runner.sources(context.chat_id))

    return [Tool(python, EffectClass.EXECUTE, time_limit=620.0, result_limit=8_000, contained=True)]


@hookimpl
def llmos_commands(host: Host) -> Sequence[Command]:
    """``/run`` and ``code …``."""
    return commands(host, lambda: runner_of(host))


@hookimpl
def llmos_status(host: Host) -> Sequence[StatusItem]:
    """The sandbox in use."""
    return [StatusItem("code", lambda: runner_of(host).status(), refresh=5.0)]


@hookimpl
def llmos_renderers(host: Host) -> Sequence[Renderer]:
    """Output, tables and images of a run."""
    return [Renderer("python", elements)]
