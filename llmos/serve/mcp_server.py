"""``llmos serve --mcp``: this program's own tools for other programs, over MCP on stdio.

The one who calls is another program, perhaps driven by text from anywhere: its calls are decided as
with untrusted text in the window, and since nobody can be asked, what would need approval is refused.
``trust_client`` treats them as the user's own instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmos import __version__
from llmos.guard.api import Decision, WindowState
from llmos.plugins.contributions import ToolContext
from llmos.types import (
    USER_LABELS,
    Confidentiality,
    Integrity,
    Labels,
    Page,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserError,
)

if TYPE_CHECKING:
    from llmos.conversation.session import Session

CLIENT = Labels(frozenset({"mcp-client"}), Integrity.UNTRUSTED, Confidentiality.PRIVATE)


class ToolDesk:
    """Lists and runs the tools of a session for a client.

    Args:
        session: the running session; its plugins bring the tools.
        trust_client: decide its calls as the user's own.
    """

    def __init__(self, session: Session, *, trust_client: bool = False) -> None:
        self._session = session
        self._window = _window(USER_LABELS if trust_client else CLIENT)

    async def tools(self) -> list[Any]:
        """The tools on offer, as the SDK's own objects."""
        from mcp.types import Tool

        await self._plugins.prepare()
        return [
            Tool(name=spec.name, description=spec.description, input_schema=dict(spec.parameters))
            for spec in self._plugins.tools()
        ]

    @property
    def _plugins(self) -> Any:
        return self._session.plugins

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run one call if the policy lets it; a refusal says why."""
        await self._plugins.prepare()
        spec = next((one for one in self._plugins.tools() if one.name == name), None)
        if spec is None:
            return ToolResult(f"There is no tool {name}.", ok=False)
        call = ToolCall(name, arguments)
        decision = self._session.guard.decide(call, spec, self._window)
        if decision.verdict != "allow":
            return ToolResult(f"{name} was refused: {self._why(call, spec, decision)}", ok=False)
        result: ToolResult = await self._plugins.call_tool(call, ToolContext("mcp-client"))
        return self._session.guard.label_result(spec, result, self._window)

    def _why(self, call: ToolCall, spec: ToolSpec, decision: Decision) -> str:
        """Why a call does not run, and what would let it, where something would."""
        why = decision.reason
        if decision.verdict == "ask":
            why += " Nobody can be asked here."
        if self._session.guard.decide(call, spec, _window(USER_LABELS)).verdict == "allow":
            why += " `llmos serve --mcp --trust-client` decides such calls as the user's own."
        return why


def _window(labels: Labels) -> WindowState:
    """A window that holds nothing but the call; a question of the policy is a refusal here."""
    return WindowState("mcp-client", pages=[Page("A call of another program.", labels=labels)])


def make_server(desk: ToolDesk) -> Any:
    """The SDK's server over a desk."""
    from mcp.server import Server
    from mcp.types import CallToolResult, ListToolsResult, TextContent

    async def list_tools(context: Any, parameters: Any) -> ListToolsResult:
        return ListToolsResult(tools=await desk.tools())

    async def call_tool(context: Any, parameters: Any) -> CallToolResult:
        result = await desk.call(parameters.name, dict(parameters.arguments or {}))
        structured = dict(result.data) if result.ok and result.data else None
        return CallToolResult(
            content=[TextContent(text=result.text)], structured_content=structured, is_error=not result.ok
        )

    return Server("llmos", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


async def serve_stdio(trust_client: bool = False) -> None:
    """Serve this process's stdin and stdout until the client goes away.

    Raises:
        UserError: the SDK is not installed.
    """
    try:
        from mcp.server.stdio import stdio_server
    except ImportError as error:
        raise UserError("The MCP server needs the package llmos-mcp: pip install llmos-mcp.") from error
    from llmos.conversation.session import open_session

    async with open_session(face="serve") as session:
        server = make_server(ToolDesk(session, trust_client=trust_client))
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())
