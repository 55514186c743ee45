"""Tools whose effects are recorded instead of done, behind the core's ``Plugins`` protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmos.bench.security_suite.cases import Case, CaseTurn, PageText, Result, labels_named
from llmos.conversation.session import Session
from llmos.plugins.contributions import Persona, ToolContext, Turn
from llmos.plugins.hookspecs import Middleware
from llmos.types import EffectClass, Labels, Mark, Page, ToolCall, ToolResult, ToolSpec, join_labels


def _spec(
    name: str,
    description: str,
    effect: EffectClass,
    *parameters: str,
    plugin: str = "",
    contained: bool = False,
) -> ToolSpec:
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {one: {"type": "string"} for one in parameters},
        "required": list(parameters),
    }
    return ToolSpec(name, description, schema, effect, plugin, contained=contained)


#: What a usual installation offers, and the worst that plugins could add.
TOOLS: tuple[ToolSpec, ...] = (
    _spec("python", "Runs Python.", EffectClass.EXECUTE, "code", plugin="llmos-code", contained=True),
    _spec("shell", "Runs a command on this machine.", EffectClass.EXECUTE, "command"),
    _spec("web_search", "Searches the web.", EffectClass.NETWORK, "query", plugin="llmos-web"),
    _spec("web_open", "Opens an address.", EffectClass.NETWORK, "url", plugin="llmos-web"),
    _spec("send_mail", "Sends a mail.", EffectClass.NETWORK, "to", "text"),
    _spec("search_files", "Searches the user's files.", EffectClass.READ, "query", plugin="llmos-disk"),
    _spec("write_file", "Writes a file.", EffectClass.WRITE, "path", "content"),
    _spec("clipboard_copy", "Puts text on the clipboard.", EffectClass.WRITE, "text"),
    _spec("remember", "Remembers a fact.", EffectClass.MEMORY, "text", plugin="llmos-ram"),
    _spec("recall", "Recalls facts and old messages.", EffectClass.READ, "query", plugin="llmos-ram"),
    _spec("install_plugin", "Installs a plugin.", EffectClass.INSTALL, "name"),
    _spec("calculate", "Calculates.", EffectClass.PURE, "expression"),
)

_HARMLESS = frozenset({EffectClass.PURE, EffectClass.READ})


@dataclass(frozen=True, slots=True)
class Reached:
    """A call that ran."""

    call: ToolCall
    effect: EffectClass
    turn: int
    chat: str

    @property
    def harmless(self) -> bool:
        """Whether it had no effect outside the window."""
        return self.effect in _HARMLESS


class RecordedSinks:
    """Implements ``llmos.conversation.ports.Plugins`` for one case.

    Attributes:
        reached: calls that ran, in order.
        memories: what was remembered, with its labels.
        session: the running session; set by the runner.
        turn: the case's turn that is going on; set by the runner.
    """

    def __init__(self, case: Case) -> None:
        self._results = {name: list(results) for name, results in case.results.items()}
        self._tools = [
            *TOOLS,
            *(
                replace(
                    _spec(tool.name, tool.description, tool.effect, *tool.parameters, plugin=tool.plugin),
                    description_trusted=tool.trusted,
                )
                for tool in case.tools
            ),
        ]
        self.reached: list[Reached] = []
        self.memories: list[tuple[str, Labels]] = []
        self.summaries: list[tuple[str, Labels]] = []
        self.session: Session | None = None
        self.turn: CaseTurn | None = None
        self.number = 0

    # -- what the core calls ---------------------------------------------------------------

    async def prepare(self) -> None:
        """Nothing to load."""

    def tools(self) -> list[ToolSpec]:
        """The usual tools and those of the case."""
        return list(self._tools)

    async def call_tool(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Record the call and give the case's next result."""
        spec = next(tool for tool in self._tools if tool.name == call.name)
        self.reached.append(Reached(call, spec.effect, self.number, context.chat_id))
        if call.name == "remember":
            self.memories.append((str(call.arguments["text"]), self._window_labels(context.chat_id)))
            return ToolResult("Remembered.", labels=self._window_labels(context.chat_id))
        if call.name == "recall" and "recall" not in self._results:
            return self._recalled(context.chat_id)
        waiting = self._results.get(call.name, [])
        result = waiting.pop(0) if len(waiting) > 1 else (waiting[0] if waiting else Result(text="Done."))
        return made_result(result)

    async def context(self, turn: Turn) -> list[Page]:
        """Pages of the case, memories and, where the turn says so, what was evicted."""
        asked = self.turn
        pages = [made_page(page) for page in asked.pages] if asked else []
        pages += [_page(text, "memory", labels, "memory") for text, labels in self.memories]
        pages += [_page(text, "summary", labels, "summary") for text, labels in self.summaries]
        if asked is not None and asked.recall:
            pages += self._evicted(turn.chat_id)
        return pages

    async def evict(self, window: Sequence[Page], need: int) -> list[str] | None:
        """The core's own order."""
        return None

    async def marks(self, turn: Turn) -> list[Mark]:
        """None."""
        return []

    async def turn_done(self, turn: Turn) -> None:
        """Make a summary where the turn says so, of all that was in the window."""
        if self.turn is not None and self.turn.summarise and turn.answer is not None:
            labels = join_labels(page.labels for page in turn.window)
            self.summaries.append(
                ("\n".join(page.text for page in turn.window if page.kind != "system"), labels)
            )

    async def personas(self) -> list[Persona]:
        """None."""
        return []

    def middleware(self) -> list[tuple[str, Middleware]]:
        """None."""
        return []

    def fault(self, plugin: str, error: BaseException) -> None:
        """There is no plugin to blame."""

    # -- recalling -------------------------------------------------------------------------

    def _window_labels(self, chat_id: str) -> Labels:
        assert self.session is not None
        return self.session.services.window_labels(chat_id)

    def _evicted(self, chat_id: str) -> list[Page]:
        assert self.session is not None
        return [
            replace(page, kind="memory", source="recalled", where="window", message_id=page.id)
            for page in self.session.conversation(chat_id).swapped()
        ]

    def _recalled(self, chat_id: str) -> ToolResult:
        pages = [
            *self._evicted(chat_id),
            *(_page(text, "memory", labels, "memory") for text, labels in self.memories),
        ]
        labels = join_labels(page.labels for page in pages)
        return ToolResult(
            "\n".join(page.text for page in pages) or "Nothing.", labels=labels, pages=tuple(pages)
        )


def made_page(text: PageText) -> Page:
    """A page of a case file, labelled or not."""
    labels = labels_named(text.labels, text.source)
    page = Page(text.text, kind="passage", source=text.source, heading=text.heading)
    return replace(page, labels=labels) if labels is not None else page


def made_result(result: Result) -> ToolResult:
    """A tool's result of a case file."""
    labels = labels_named(result.labels, "result")
    made = ToolResult(result.text, urls=result.urls, pages=tuple(made_page(page) for page in result.pages))
    return replace(made, labels=labels) if labels is not None else made


def _page(text: str, kind: str, labels: Labels, source: str) -> Page:
    return Page(text, kind=kind, labels=labels, source=source)  # type: ignore[arg-type]
