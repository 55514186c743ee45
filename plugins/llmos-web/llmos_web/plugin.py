"""Hooks of the web plugin: ``web_search``, ``web_open``, ``/web`` and ``llmos web …``."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.plugins import Command, Host, Renderer, Tool, ToolContext, hookimpl
from llmos.types import EffectClass, ToolResult, UserError
from llmos_web.commands import commands
from llmos_web.results import labels_of, open_elements, open_result, search_elements, search_result
from llmos_web.web import Web

_webs: dict[int, Web] = {}


def web_of(host: Host) -> Web:
    """Search and pages of this host; made at the first use, so that starting costs nothing."""
    web = _webs.get(id(host))
    if web is None:
        web = _webs[id(host)] = Web(host)
    return web


@hookimpl
def llmos_stop(host: Host) -> None:
    """Close the cache."""
    web = _webs.pop(id(host), None)
    if web is not None:
        web.close()


@hookimpl
def llmos_tools(host: Host) -> Sequence[Tool]:
    """``web_search`` and ``web_open``, as the model knows them."""

    def web_search(query: str, context: ToolContext) -> ToolResult:
        """Search the web and return titles, addresses and snippets.

        Args:
            query: what to look for.
        """
        try:
            return search_result(web_of(host).searcher.search(query, cancelled=context.cancelled))
        except UserError as error:
            return ToolResult(str(error), ok=False, labels=labels_of())

    def web_open(url: str) -> ToolResult:
        """Open an address from a result list and return the page's text.

        Args:
            url: the address, exactly as it was given.
        """
        try:
            return open_result(web_of(host).opener.open(url))
        except UserError as error:
            # The sentence may hold what a server sent (a redirect's address).
            return ToolResult(str(error), ok=False, labels=labels_of(url))

    return [
        Tool(web_search, EffectClass.NETWORK, time_limit=90.0, result_limit=8_000),
        Tool(web_open, EffectClass.NETWORK, time_limit=90.0, result_limit=12_000),
    ]


@hookimpl
def llmos_commands(host: Host) -> Sequence[Command]:
    """``/web`` and ``web …``."""
    return commands(lambda: web_of(host))


@hookimpl
def llmos_renderers(host: Host) -> Sequence[Renderer]:
    """Result lists and pages."""
    return [Renderer("web_search", search_elements), Renderer("web_open", open_elements)]
