"""Plugins: hook specifications, host, manager, manifest, installer and the conformance kit."""

from llmos.plugins.contributions import (
    Command,
    CommandContext,
    CommandResult,
    Element,
    ModelOffer,
    Panel,
    Parameter,
    Persona,
    Renderer,
    StatusItem,
    Tool,
    ToolContext,
    Turn,
)
from llmos.plugins.hookspecs import HOOK_API, Middleware, Next, hookimpl
from llmos.plugins.host_api import Generation, Host, HttpResponse, Job, KvState

__all__ = [
    "HOOK_API",
    "Command",
    "CommandContext",
    "CommandResult",
    "Element",
    "Generation",
    "Host",
    "HttpResponse",
    "Job",
    "KvState",
    "Middleware",
    "ModelOffer",
    "Next",
    "Panel",
    "Parameter",
    "Persona",
    "Renderer",
    "StatusItem",
    "Tool",
    "ToolContext",
    "Turn",
    "hookimpl",
]
