"""Plugins: start-up with many of them, what a hook call costs, and chats that go on beside bad ones."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from llmos.bench.figures import Figure, figure
from llmos.plugins.discovery import Found, discover
from llmos.plugins.manager import PluginManager
from llmos.settings import Folders, Settings
from llmos.types import TurnDone

MANY = 30

#: Fault to the body of a context hook; those that only an own process survives come second.
INSIDE = {
    "import error": "",
    "exception": "raise RuntimeError('on purpose')",
    "hang": "time.sleep(3600)",
    "sys.exit": "sys.exit(1)",
    "wrong type": "return {'not': 'a list'}",
    "slowness": "time.sleep(0.4); return []",
    "printing": "print('x' * 100_000); return []",
}
OUTSIDE = {
    "memory hog": "held = [bytearray(1 << 24) for _ in range(10_000)]; return []",
    "os._exit": "os._exit(1)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "busy GIL": "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
}
#: What the program makes of each fault.
MEETS = {
    "import error": "import",
    "exception": "exception",
    "hang": "slow",
    "sys.exit": "exit",
    "wrong type": "wrong type",
    "slowness": "slow",
    "memory hog": "exception",
    "os._exit": "died",
    "segfault": "died",
    "busy GIL": "slow",
}

_MANIFEST = """
name = "{name}"
summary = "One of many."
hooks = ["llmos_tools", "llmos_context", "llmos_commands", "llmos_panels", "llmos_evict"]
memory_mb = 256
[deadlines]
llmos_context = {deadline}
[[tools]]
name = "{name}_tool"
description = "Says its name."
[tools.parameters]
type = "object"
[[commands]]
name = "{name} say"
help = "Says its name."
[[panels]]
id = "main"
title = "{name}"
[settings]
type = "object"
[settings.properties.loud]
type = "boolean"
default = false
"""

_CODE = """
import os, sys, time
{top}
from llmos.plugins import hookimpl
from llmos.types import Page

@hookimpl
def llmos_evict(host, window, need):
    return []

@hookimpl
def llmos_context(host, turn):
    {body}
"""


def make_plugin(
    site: Path,
    name: str,
    body: str = "return []",
    *,
    top: str = "",
    distribution: str = "",
    deadline: float = 3.0,
) -> None:
    """Lay an installed plugin into a folder, as pip would.

    Args:
        site: the folder, on ``sys.path``.
        name: plugin name.
        body: of its context hook.
        top: a line at the module's top.
        distribution: package name; one of the bundled ones runs inside the program.
        deadline: of its context hook, in seconds.
    """
    package = site / f"bench_{name}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "llmos-plugin.toml").write_text(_MANIFEST.format(name=name, deadline=deadline))
    (package / "plugin.py").write_text(_CODE.format(top=top, body=body))
    info = site / f"bench_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution or 'bench-' + name}\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(f"[llmos]\n{name} = bench_{name}.plugin\n")


def finder(site: Path, folders: Folders) -> Callable[[], list[Found]]:
    """Finds the plugins of one folder, by the code that finds the user's."""
    return lambda: discover(folders, [str(site)])


# start-up

_START = textwrap.dedent(
    """
    import asyncio, sys
    from llmos.conversation.session import open_session
    from llmos.plugins.discovery import discover
    from llmos.plugins.manager import PluginManager
    from llmos.settings import folders, load_settings
    async def main():
        where, settings = folders().make(), load_settings()
        plugins = PluginManager(settings, where, finder=lambda: discover(where, [sys.argv[1]]))
        async with open_session(settings, face="cli", where=where, plugins=plugins):
            await plugins.prepare()
            plugins.tools(), plugins.commands(), plugins.panels(), plugins.status_items()
            assert len(plugins.plugins()) == int(sys.argv[2]), len(plugins.plugins())
            assert not [name for name in sys.modules if name.startswith("bench_")]
    asyncio.run(main())
    """
)


def _cpu_of_start(site: Path, home: Path, count: int) -> float:
    """CPU seconds of a process that opens the program and asks for everything that plugins offer."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {
        **os.environ,
        "LLMOS_HOME": str(home),
        "PYTHONPATH": f"{site}:{os.environ.get('PYTHONPATH', '')}",
    }
    subprocess.run([sys.executable, "-c", _START, str(site), str(count)], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def start_up(work: Path, repeats: int) -> list[Figure]:
    """CPU time of a start with ``MANY`` plugins against one with none, in turn, medians."""
    none, many = work / "none", work / "many"
    none.mkdir()
    for number in range(MANY):
        make_plugin(many, f"plugin{number}")
    times: dict[str, list[float]] = {"none": [], "many": []}
    for attempt in range(repeats + 1):
        pair = {
            "none": _cpu_of_start(none, work / "home", 0),
            "many": _cpu_of_start(many, work / "home", MANY),
        }
        if attempt:  # the first pair compiles
            for name, seconds in pair.items():
                times[name].append(seconds)
    ratio = median(times["many"]) / median(times["none"])
    return [
        figure("start-up without plugins, CPU", 1000 * median(times["none"]), "ms"),
        figure(f"start-up with {MANY} plugins / none, CPU", ratio, "ratio", "<=", 1.3),
    ]


# calls


async def _call_times(work: Path, where: Folders, distribution: str, calls: int) -> float:
    """Median seconds of a hook call that does nothing."""
    site = work / f"calls-{distribution}"
    make_plugin(site, "idle", distribution=distribution)
    sys.path.insert(0, str(site))
    manager = PluginManager(Settings(), where, finder=finder(site, where))
    try:
        assert await manager.load("idle"), manager.plugin("idle").reason
        times: list[float] = []
        for _ in range(calls):
            start = time.perf_counter()
            order = await manager.evict([], 1)
            times.append(time.perf_counter() - start)
            assert order == []
        return median(times)
    finally:
        await manager.close()
        sys.path.remove(str(site))
        for name in [one for one in sys.modules if one.startswith("bench_idle")]:
            del sys.modules[name]


# chats beside bad plugins


async def _chats(work: Path, where: Folders, kind: str, count: int, model: str) -> int:
    """How many of ``count`` chats with a real model end with an answer beside a bad plugin."""
    from llmos.conversation.session import open_session

    name = "bad" + "".join(letter for letter in kind.lower() if letter.isalpha())
    site = work / name
    body = INSIDE.get(kind) or OUTSIDE.get(kind) or "return []"
    top = "import a_module_that_is_not_there" if kind == "import error" else ""
    distribution = "llmos-reason" if kind in INSIDE else "somebody-else"
    quick_limit = 0.2 if kind in ("hang", "slowness") else 1.0 if kind == "busy GIL" else 10.0
    make_plugin(site, name, body, top=top, distribution=distribution, deadline=quick_limit)
    sys.path.insert(0, str(site))
    gone_on = 0
    logging.getLogger("llmos.plugins").setLevel(logging.CRITICAL)  # the faults are on purpose
    try:
        async with open_session(Settings(), face="test", where=where) as session:
            plugins = PluginManager(Settings(), where, session.services, finder=finder(site, where))
            session.plugins = plugins
            await session.load_model(model)
            for _ in range(count):
                await plugins.enable(name)  # so that every chat meets it
                conversation = session.conversation()
                async for event in conversation.send("Hello.", options={"max_tokens": 4}):
                    if isinstance(event, TurnDone) and event.message.status == "complete":
                        gone_on += 1
                met = [fault.kind for fault in plugins.faults(name)]
                # Past sixteen hung calls the next one is refused before it is made.
                met = ["slow" if one == "crowded" else one for one in met]
                if met != ([] if kind == "printing" else [MEETS[kind]]):
                    raise AssertionError(f"{kind}: the plugin was met with {met}")
                await session.leave(conversation.chat_id)
    finally:
        sys.path.remove(str(site))
    return gone_on


def run(
    *,
    quick: bool = False,
    model: str = "",
    chats: int | str = "",
    only: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> list[Figure]:
    """Measure.

    Args:
        quick: fewer repetitions, 5 chats a fault.
        model: that the chats run on; empty takes the bundled one.
        chats: chats a fault, over the default of 100; 0 for none.
        only: ``start``, ``calls`` or ``faults``: that part alone.
        say: takes a progress line.
    """
    figures: list[Figure] = []
    count = int(chats) if str(chats) else 5 if quick else 100
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as folder:
        work = Path(folder)
        where = Folders(work / "config", work / "data", work / "cache", work / "log").make()
        if only in ("", "start"):
            say("start-up")
            figures += start_up(work, 5 if quick else 11)
        if only in ("", "calls"):
            calls = 1000 if quick else 5000
            for label, distribution, unit, scale, limit in (
                ("hook call in process", "llmos-ram", "µs", 1e6, 50.0),
                ("hook call out of process", "somebody-else", "ms", 1e3, 1.0),
            ):
                say(label)
                seconds = asyncio.run(_call_times(work, where, distribution, calls))
                figures.append(figure(f"{label}, median", scale * seconds, unit, "<=", limit))
        if only in ("", "faults") and count:
            for kind in (*INSIDE, *OUTSIDE):
                say(f"{count} chats beside {kind}")
                done = asyncio.run(_chats(work, where, kind, count, model))
                figures.append(figure(f"chats that go on beside {kind}", done, f"of {count}", ">=", count))
    return figures
