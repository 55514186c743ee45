"""The living side of one plugin: its module, imported, behind calls by name.

The same object serves a plugin inside the program (on worker threads) and one in its own process
(behind the pipe): hooks return live functions, and everything that crosses is data.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pluggy

from llmos.plugins import hookspecs
from llmos.plugins.contributions import (
    Command,
    CommandContext,
    CommandResult,
    Element,
    ModelOffer,
    Panel,
    Persona,
    Renderer,
    StatusItem,
    Tool,
    ToolContext,
)
from llmos.plugins.host_api import Host
from llmos.plugins.manifest import HOOK_NAMES
from llmos.plugins.tools import BoundTool, bind_tool, run_tool
from llmos.types import Mark, Page, ToolResult, UserError

T = TypeVar("T")

_ITEMS: dict[str, type] = {
    "llmos_context": Page,
    "llmos_evict": str,
    "llmos_marks": Mark,
    "llmos_tools": Tool,
    "llmos_commands": Command,
    "llmos_panels": Panel,
    "llmos_status": StatusItem,
    "llmos_renderers": Renderer,
    "llmos_models": ModelOffer,
    "llmos_personas": Persona,
}


class WrongType(Exception):
    """A plugin returned something other than its hook promises."""


def import_plugin(module: str, source: str, path: Path | None) -> ModuleType:
    """Import a plugin's module.

    Args:
        module: dotted name, or the file's stem.
        source: ``package`` or ``file``.
        path: the file, for ``file``.
    """
    if source == "package":
        return importlib.import_module(module)
    name = f"llmos_plugin_file_{module}"
    spec = importlib.util.spec_from_file_location(name, path) if path else None
    if spec is None or spec.loader is None:
        raise UserError(f"The plugin file {path} cannot be imported.")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[name]
        raise
    return loaded


class PluginSession:
    """One imported plugin.

    Args:
        name: the plugin's name.
        host: what its hooks are given.
        hooks: those that the manifest declares; others are never called.
    """

    def __init__(self, name: str, host: Host, hooks: Sequence[str]) -> None:
        """See the class."""
        self.name = name
        self.host = host
        self._declared = frozenset(hooks)
        self._hooks: dict[str, Callable[..., Any]] = {}
        self._module: ModuleType | None = None
        self._tools: dict[str, BoundTool] | None = None
        self._parts: dict[str, dict[str, Any]] = {}

    def open(self, module: str, source: str, path: Path | None) -> list[str]:
        """Import, register with pluggy and call ``llmos_start``; returns the hooks found."""
        loaded = import_plugin(module, source, path)
        manager = pluggy.PluginManager("llmos")
        manager.add_hookspecs(hookspecs)
        try:
            manager.register(loaded, self.name)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise UserError(f"The plugin {self.name} implements a hook wrongly: {error}") from error
        found: list[str] = []
        for name in HOOK_NAMES:
            implementations = getattr(manager.hook, name).get_hookimpls()
            if implementations:
                found.append(name)
                if name in self._declared:
                    # pluggy's own call loop, so that plugins may take fewer arguments than the spec.
                    self._hooks[name] = getattr(manager.hook, name)
        self._module = loaded
        if "llmos_start" in self._hooks:
            self._hooks["llmos_start"](host=self.host)
        return found

    def close(self, forget: bool = False) -> None:
        """Call ``llmos_stop``; with ``forget`` also drop its modules, so that the next load imports anew."""
        try:
            if "llmos_stop" in self._hooks:
                self._hooks["llmos_stop"](host=self.host)
        finally:
            if forget and self._module is not None:
                top = self._module.__name__.partition(".")[0]
                for name in [one for one in sys.modules if one == top or one.startswith(f"{top}.")]:
                    del sys.modules[name]
                importlib.invalidate_caches()

    def has(self, hook: str) -> bool:
        """Whether the plugin declares and implements a hook."""
        return hook in self._hooks

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook; a list for those that return sequences, in the type that the hook promises.

        Raises:
            WrongType: it returned something else.
            BaseException: whatever the plugin raises.
        """
        function = self._hooks.get(hook)
        if function is None:
            return None if hook == "llmos_evict" else []
        outcome = function(host=self.host, **arguments)
        if hook == "llmos_evict":
            return None if outcome is None else self._items(hook, outcome)
        # every other hook collects: one list with what this one plugin returned, if anything
        answer = outcome[0] if outcome else None
        if hook in ("llmos_start", "llmos_stop", "llmos_turn_done"):
            return None
        if hook == "llmos_generators":
            return self._middleware(answer)
        return [] if answer is None else self._items(hook, answer)

    def _items(self, hook: str, answer: Any) -> list[Any]:
        if isinstance(answer, (str, bytes, Mapping)) or not hasattr(answer, "__iter__"):
            raise WrongType(f"{hook} returned {type(answer).__name__}, not a list")
        items = list(answer)
        wanted = _ITEMS.get(hook)
        for item in items:
            if wanted is not None and not isinstance(item, wanted):
                raise WrongType(f"{hook} returned a {type(item).__name__} among its {wanted.__name__}s")
        return items

    def _middleware(self, answer: Any) -> dict[str, Any]:
        if answer is None:
            return {}
        if not isinstance(answer, Mapping) or not all(callable(one) for one in answer.values()):
            raise WrongType("llmos_generators must return a dict of name to async function")
        return dict(answer)

    def tools(self, refresh: bool = False) -> dict[str, BoundTool]:
        """The plugin's tools by name, their schemas made once."""
        if self._tools is None or refresh:
            bound = [bind_tool(tool, self.name) for tool in self.call("llmos_tools")]
            self._tools = {one.spec.name: one for one in bound}
        return self._tools

    def run_tool(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """Run one of the plugin's tools on this thread."""
        bound = self.tools().get(name) or self.tools(refresh=True).get(name)
        if bound is None:
            raise WrongType(f"its manifest declares the tool {name}, which llmos_tools does not return")
        return run_tool(bound, arguments, context)

    def parts(self, hook: str, key: str, refresh: bool = False) -> dict[str, Any]:
        """What a hook returned, by one attribute, asked for once."""
        if refresh or hook not in self._parts:
            self._parts[hook] = {getattr(one, key): one for one in self.call(hook)}
        return self._parts[hook]

    def _part(self, hook: str, key: str, value: str, kind: type[T]) -> T:
        part = self.parts(hook, key).get(value) or self.parts(hook, key, refresh=True).get(value)
        if not isinstance(part, kind):
            raise WrongType(f"its manifest declares {value}, which {hook} does not return")
        return part

    def run_command(self, name: str, arguments: Mapping[str, Any], context: CommandContext) -> CommandResult:
        """Run a command on this thread."""
        command = self._part("llmos_commands", "name", name, Command)
        outcome = command.function(context, **arguments)
        if outcome is None:
            return CommandResult()
        if isinstance(outcome, str):
            return CommandResult(outcome)
        if not isinstance(outcome, CommandResult):
            raise WrongType(f"the command {name} returned {type(outcome).__name__}, not text or CommandResult")
        return outcome

    def accepts(self, name: str, parameters: Sequence[str]) -> str:
        """Whether a command's function takes these arguments; says why not."""
        command = self._part("llmos_commands", "name", name, Command)
        try:
            inspect.signature(command.function).bind(None, **dict.fromkeys(parameters))
        except TypeError as error:
            return str(error)
        return ""

    def view_panel(self, panel: str) -> list[Element]:
        """What a panel shows now."""
        return _elements(self._part("llmos_panels", "id", panel, Panel).view(), f"the panel {panel}")

    def act_panel(self, panel: str, action: str, value: Any) -> str | None:
        """Hand an action of the user to a panel; text comes back as a notice."""
        act = self._part("llmos_panels", "id", panel, Panel).act
        outcome = act(action, value) if act is not None else None
        return None if outcome is None else str(outcome)

    def view_status(self, item: str) -> str:
        """Text of a status item."""
        outcome = self._part("llmos_status", "id", item, StatusItem).view()
        if not isinstance(outcome, str):
            raise WrongType(f"the status item {item} returned {type(outcome).__name__}, not text")
        return outcome

    def render(self, tool: str, result: ToolResult) -> list[Element]:
        """How a result of a tool is drawn."""
        return _elements(
            self._part("llmos_renderers", "tool", tool, Renderer).view(result), f"the renderer of {tool}"
        )


def _elements(outcome: Any, what: str) -> list[Element]:
    if isinstance(outcome, (str, bytes)) or not hasattr(outcome, "__iter__"):
        raise WrongType(f"{what} returned {type(outcome).__name__}, not a list of Element")
    items = list(outcome)
    for item in items:
        if not isinstance(item, Element):
            raise WrongType(f"{what} returned a {type(item).__name__} among its Elements")
    return items
