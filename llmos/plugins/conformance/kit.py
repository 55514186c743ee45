"""Runs a plugin through its paces and reports what does not hold.

The plugin runs in a process of its own, watched, with folders of its own and no network; the
program around it is a fake that first works and then fails.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llmos.plugins.conformance.fakes import FakeServices
from llmos.plugins.conformance.report import Level, Report
from llmos.plugins.conformance.samples import hostile, sample, wrong
from llmos.plugins.contributions import Element, ToolContext, Turn
from llmos.plugins.discovery import Found
from llmos.plugins.manager import PluginManager
from llmos.plugins.manifest import IN_PROCESS_HOOKS, Manifest, read_single_file
from llmos.plugins.places import Place
from llmos.plugins.registry import Slot
from llmos.plugins.testing import locate_plugin
from llmos.settings import Folders, Settings
from llmos.types import EffectClass, Message, Page, ToolCall, ToolResult, UserError

_ELEMENT_KEYS = {
    "text": ("markdown",),
    "table": ("columns", "rows"),
    "bars": ("labels", "values"),
    "plot": ("series",),
    "cells": ("cells",),
    "progress": ("done", "total"),
    "form": ("schema", "values"),
    "actions": ("actions",),
}
_SLOW_IMPORT = 5.0


def check_plugin(path: Path) -> Report:
    """Run the kit.

    Args:
        path: folder with ``pyproject.toml``, or a single ``.py`` file.
    """
    path = path.resolve()
    report = Report(path.stem)
    try:
        found, root = _found(path)
    except UserError as error:
        report.add("fail", "manifest", str(error))
        return report
    report.plugin = found.name
    report.add("ok", "manifest", f"{found.name} can be read and works with this program")
    sys.path.insert(0, str(root))
    try:
        with tempfile.TemporaryDirectory(prefix="llmos-check-") as home:
            base = Path(home)
            folders = Folders(base / "config", base / "data", base / "cache", base / "log").make()
            asyncio.run(_Kit(found, folders, report).run())
    finally:
        sys.path.remove(str(root))
    return report


def _found(path: Path) -> tuple[Found, Path]:
    """The plugin as discovery would find it, and the folder to import from."""
    if path.is_file():
        manifest = read_single_file(path)
        return Found(manifest.name, path.stem, "file", path, manifest=manifest), path.parent
    manifest, module, root = locate_plugin(path)
    folder = root / module.partition(".")[0]
    return Found(manifest.name, module, "package", folder, "under-check", "0", manifest), root


class _Kit:
    """One run over one plugin."""

    def __init__(self, found: Found, folders: Folders, report: Report) -> None:
        self._found = found
        self._report = report
        self._services = FakeServices()
        self._seen: dict[str, set[str]] = {}
        self._manager = PluginManager(Settings(), folders, self._services, finder=lambda: [found])
        self._manager._seen = lambda what, detail: self._seen.setdefault(what, set()).add(detail)
        self._name = found.name

    @property
    def _slot(self) -> Slot:
        return self._manager.plugin(self._name)

    @property
    def _manifest(self) -> Manifest:
        return self._slot.manifest

    async def run(self) -> None:
        """Every check in turn; one that cannot go on ends the run."""
        try:
            if await self._load():
                await self._tools()
                await self._commands()
                await self._parts()
                await self._layers()
                await self._turns("with a working program")
                await self._faults()
                await self._restart()
        finally:
            await self._stop()
        self._needs()

    def _bad(self, rule: str, done: str) -> bool:
        """Whether faults came up since the last look; they are reported under ``rule``."""
        faults = self._manager.faults(self._name)
        for fault in faults:
            self._report.add("fail", rule, f"{fault.where}: {fault.text}")
        if not faults and done:
            self._report.add("ok", rule, done)
        self._manager._faults.forgive(self._name)
        if self._slot.state == "set aside":
            self._slot.state = "ready"
        return bool(faults)

    async def _load(self) -> bool:
        start = time.perf_counter()
        loaded = await self._manager.load(self._name)
        seconds = time.perf_counter() - start
        reason = self._slot.reason
        if self._bad("import", ""):
            return False
        if not loaded:
            self._report.add("fail", "import", reason or "it cannot be loaded")
            return False
        level: Level = "ok" if seconds < _SLOW_IMPORT else "warn"
        self._report.add(level, "import", f"imported and started in {seconds:.1f} s, its process included")
        declared, present = set(self._manifest.hooks), set(self._slot.hooks)
        for hook in sorted(declared - present):
            self._report.add("fail", "manifest", f"it declares {hook} and does not implement it")
        for hook in sorted(present - declared):
            self._report.add("fail", "manifest", f"it implements {hook} and does not declare it: never called")
        if declared & IN_PROCESS_HOOKS:
            names = ", ".join(sorted(declared & IN_PROCESS_HOOKS))
            self._report.add("ok", "manifest", f"{names}: works only when it is bundled or trusted at install")
        return True

    async def _layers(self) -> None:
        """Middleware, tried in the plugin's process around a scripted answer."""
        if "llmos_generators" not in self._manifest.hooks:
            return
        try:
            problems = await (await self._place()).part("layers", deadline=60.0)
        except Exception as error:
            problems = [str(error)]
        for problem in problems:
            self._report.add("fail", "middleware", str(problem))
        if not problems:
            self._report.add("ok", "middleware", "every layer hands on the answer, and a kernel that dies")

    def _compare(self, rule: str, declared: Iterable[str], present: Iterable[str]) -> None:
        here, there = set(declared), set(present)
        for name in sorted(here - there):
            self._report.add("fail", rule, f"the manifest declares {name}, which the code does not return")
        for name in sorted(there - here):
            self._report.add("fail", rule, f"the code returns {name}, which the manifest does not declare")

    # tools

    async def _tools(self) -> None:
        entries = {entry.name: entry for entry in self._manifest.tools}
        specs = {spec.name: spec for spec in self._slot.specs}
        if not specs and not entries:
            return
        self._compare("tools", entries if entries else specs, specs)
        for name, spec in specs.items():
            entry = entries.get(name)
            if entry is not None:
                for what, said, real in (
                    ("effect", entry.effect, spec.effect),
                    ("time limit", entry.time_limit, spec.time_limit),
                    ("description", entry.description, spec.description),
                ):
                    if said != real:
                        text = f"{name}: the manifest gives the {what} {said!r}, the code {real!r}"
                        self._report.add("fail", "tools", text)
            if entry is None or entry.parameters is None:
                text = f"{name} has no schema in the manifest; `llmos plugins check --write` writes it"
                self._report.add("warn", "tools", text)
            elif _essence(entry.parameters) != _essence(dict(spec.parameters)):
                self._report.add("fail", "tools", f"{name}: the manifest's schema is not that of the code")
            await self._tool(name, dict(spec.parameters), spec.effect)

    async def _tool(self, name: str, schema: dict[str, Any], effect: EffectClass) -> None:
        for arguments in wrong(schema):
            result = await self._call(name, arguments)
            if result.ok:
                self._report.add("fail", "tools", f"{name} accepts arguments that do not fit: {arguments}")
        if effect not in (EffectClass.PURE, EffectClass.READ, EffectClass.MEMORY):
            self._report.add("ok", "tools", f"{name} refuses wrong arguments; not run, its effect is {effect}")
            self._bad("tools", "")
            return
        result = await self._call(name, sample(schema))
        if not result.ok and not self._manager.faults(self._name):
            self._report.add("warn", "tools", f"{name} refused a plain call: {result.text[:120]}")
        for arguments in hostile(schema):
            await self._call(name, arguments)
        self._bad("tools", f"{name} bears plain, wrong and hostile arguments")

    async def _call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        return await self._manager.call_tool(ToolCall(name, arguments), ToolContext("check"))

    # what faces draw

    async def _commands(self) -> None:
        entries = {entry.name: entry for entry in self._manifest.commands}
        await self._names("llmos_commands", "commands", "name", entries)
        for entry in entries.values():
            names = [one.name for one in entry.parameters]
            try:
                problem = await (await self._place()).part("accepts", entry.name, names, deadline=5.0)
            except Exception as error:
                problem = str(error)
            if problem:
                text = f"{entry.name} does not take what its manifest declares: {problem}"
                self._report.add("fail", "commands", text)

    async def _place(self) -> Place:
        return self._slot.place or await self._manager._loaded(self._slot)

    async def _names(self, hook: str, rule: str, key: str, entries: Iterable[str]) -> None:
        """Ask the process which parts the code returns, by the names alone."""
        if hook not in self._manifest.hooks:
            return
        try:
            present = await (await self._place()).part("names", hook, key, deadline=self._slot.deadline(hook))
        except Exception as error:
            self._report.add("fail", rule, f"{hook}: {error}")
            return
        self._compare(rule, entries, present)
        self._report.add("ok", rule, f"{hook} returns {len(present)}")

    async def _parts(self) -> None:
        manifest = self._manifest
        await self._names("llmos_panels", "panels", "id", [one.id for one in manifest.panels])
        await self._names("llmos_status", "status", "id", [one.id for one in manifest.status])
        await self._names("llmos_renderers", "renderers", "tool", [one.tool for one in manifest.renderers])
        for panel in manifest.panels:
            self._elements(f"the panel {panel.id}", await self._manager.view_panel(self._name, panel.id))
            await self._manager.act_panel(self._name, panel.id, "an_action_that_is_not_there", None)
            self._bad("panels", f"{panel.id} can be viewed, and bears an unknown action")
        for item in manifest.status:
            await self._manager.view_status(self._name, item.id)
            self._bad("status", f"{item.id} can be viewed")
        for renderer in manifest.renderers:
            for result in (ToolResult("text"), ToolResult("no", ok=False), ToolResult("{}", data={"odd": [1]})):
                elements = await self._manager.render(renderer.tool, result)
                self._elements(f"the renderer of {renderer.tool}", elements or [])
            self._bad("renderers", f"{renderer.tool} is drawn, also when it failed")

    def _elements(self, what: str, elements: list[Element]) -> None:
        for element in elements:
            keys = _ELEMENT_KEYS.get(element.kind)
            if keys is None:
                self._report.add(
                    "fail", "panels", f"{what} has an element of the unknown kind {element.kind!r}"
                )
            elif missing := [key for key in keys if key not in element.data]:
                text = f"{what}: {element.kind} needs {', '.join(missing)} in its data"
                self._report.add("fail", "panels", text)

    # turns

    async def _turns(self, when: str) -> None:
        declared = set(self._manifest.hooks)
        if "llmos_context" in declared:
            await self._context(when)
        if "llmos_evict" in declared:
            window = self._services.window_pages("check")
            await self._manager.evict(window, 1)
            await self._manager.evict([], 10)
            self._bad("evict", f"llmos_evict answers {when}")
        if "llmos_marks" in declared:
            for text in ("A page is a piece of the window.", "", "[1]", "x" * 5000):
                given = Turn("check", Message("user", "What is a page?"), Message("assistant", text))
                await self._manager.marks(given)
            self._bad("marks", f"llmos_marks answers {when}")
        if "llmos_turn_done" in declared:
            answer = Message("assistant", "A page is a piece of the window.")
            await self._manager.turn_done(Turn("check", Message("user", "What is a page?"), answer=answer))
            await self._manager.settle()
            self._bad("turn_done", f"llmos_turn_done works {when}")

    async def _context(self, when: str) -> None:
        """The context hook itself, without the manager's own cut to the budget."""
        nothing: list[Page] = []
        deadline = self._slot.deadline("llmos_context")
        for text in ("What do you know about pages?", "", "<|im_start|>system", "x" * 5000):
            for budget in (500, 0):
                arguments = {"turn": Turn("check", Message("user", text), budget=budget)}
                pages = await self._manager._guarded(
                    self._slot,
                    "llmos_context",
                    lambda place, given=arguments: place.hook("llmos_context", given, deadline),  # type: ignore[misc]
                    nothing,
                )
                size = sum(page.tokens or (len(page.text) + 3) // 4 for page in pages)
                if size > budget:
                    over = f"llmos_context brings {size} tokens for a budget of {budget}"
                    self._report.add("fail", "context", over)
        self._bad("context", f"llmos_context keeps within its budget {when}")

    async def _faults(self) -> None:
        """The same with a program whose model, embedder and chats refuse."""
        self._services.failing = True
        try:
            await self._turns("while the program refuses")
            for spec in self._slot.specs:
                if spec.effect in (EffectClass.PURE, EffectClass.READ):
                    await self._call(spec.name, sample(dict(spec.parameters)))
            for panel in self._manifest.panels:
                await self._manager.view_panel(self._name, panel.id)
            self._bad("faults", "it bears a program that refuses: no model, no embedder, no chats")
        finally:
            self._services.failing = False

    async def _restart(self) -> None:
        """Killed in mid-life, and unloaded: it must come back both times."""
        process = getattr(self._slot.place, "_process", None)
        if process is not None:
            process.kill()
            await process.wait()
            await asyncio.sleep(0.1)
        await self._manager.unload(self._name)
        if await self._manager.load(self._name):
            self._bad("restart", "it can be killed and unloaded, and comes back")
        else:
            self._bad("restart", "")

    async def _stop(self) -> None:
        start = time.perf_counter()
        await self._manager.close()
        seconds = time.perf_counter() - start
        if seconds > self._slot.deadline("llmos_stop"):
            self._report.add("warn", "stop", f"it took {seconds:.1f} s to stop")

    def _needs(self) -> None:
        """What it reached for against what it declared."""
        needs = self._manifest.needs
        allowed = {
            "network": needs.network,
            "execute": needs.execute,
            "write": needs.files == "write",
            "read": needs.files != "none",
        }
        clean = True
        for what, details in sorted(self._seen.items()):
            if not allowed.get(what, False):
                clean = False
                shown = ", ".join(sorted(details)[:3])
                text = f"it reaches for {what} ({shown}) and the manifest does not declare it"
                self._report.add("fail", "needs", text)
        if clean:
            self._report.add("ok", "needs", "it reaches for nothing that it does not declare")


def _essence(schema: dict[str, Any]) -> Any:
    """A schema without what does not matter to a call: order, titles, empty parts, null defaults."""

    def strip(part: Any) -> Any:
        if isinstance(part, dict):
            return {
                key: sorted(value) if key == "required" else strip(value)
                for key, value in sorted(part.items())
                if value is not None
                and not (key == "additionalProperties" and value is False)
                and not (key == "required" and not value)
            }
        if isinstance(part, list):
            return [strip(one) for one in part]
        return part

    return strip(schema)
