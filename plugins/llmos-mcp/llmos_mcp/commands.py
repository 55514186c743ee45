"""Commands and the panel of the plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmos.guard.clean import clean
from llmos.plugins import Command, CommandContext, CommandResult, Element
from llmos.types import UserError
from llmos_mcp.config import put_server, read_config
from llmos_mcp.connection import Connection
from llmos_mcp.hub import Hub
from llmos_mcp.offers import contents_text, one_line, tool_name


def _where(connection: Connection) -> str:
    server = connection.server
    return server.url or " ".join([server.command, *server.args])


def _row(connection: Connection) -> dict[str, Any]:
    offers = connection.offers
    return {
        "name": connection.name,
        "state": connection.state,
        "reason": one_line(connection.reason),
        "tools": len(offers.tools),
        "resources": len(offers.resources),
        "prompts": len(offers.prompts),
        "restarts": connection.restarts,
        "trusted": connection.server.trusted,
        "target": _where(connection),
    }


class Commands:
    """What ``/mcp …`` does."""

    def __init__(self, hub: Hub) -> None:
        """``hub`` holds the servers."""
        self._hub = hub

    def all(self) -> list[Command]:
        """Declarations; their parameters are in the manifest."""
        return [
            Command("mcp list", self.servers, "Servers, their state and what they bring."),
            Command("mcp tools", self.tools, "Tools of a server, or of all."),
            Command("mcp add", self.add, "Add a server: a program with its arguments, or an address."),
            Command("mcp remove", self.remove, "Forget a server."),
            Command("mcp restart", self.restart, "Start a server again, also one that was set aside."),
            Command("mcp resources", self.resources, "Resources that servers offer."),
            Command("mcp read", self.read, "Show a resource."),
            Command("mcp prompts", self.prompts, "Prompts that servers offer."),
            Command("mcp prompt", self.prompt, "Fill in a prompt of a server; of a trusted one it is sent."),
        ]

    def _servers(self, server: str = "") -> list[Connection]:
        self._hub.ensure(wait=12.0)
        return [self._hub.connection(server)] if server else list(self._hub.connections.values())

    def servers(self, context: CommandContext) -> CommandResult:
        """Every server with its state."""
        rows = [_row(one) for one in self._servers()]
        if not rows:
            text = f"No MCP server is set up; `mcp add NAME PROGRAM` or {self._hub.config_path} adds one."
            return CommandResult(text, data={"servers": []})
        lines = [
            f"{row['name']}: {row['state']}{' (' + row['reason'] + ')' if row['reason'] else ''}, "
            f"{row['tools']} tools, {row['resources']} resources, {row['prompts']} prompts: {row['target']}"
            for row in rows
        ]
        return CommandResult("\n".join(lines), data={"servers": rows})

    def tools(self, context: CommandContext, server: str = "") -> CommandResult:
        """Tools by their names here."""
        rows = [
            {
                "name": tool_name(one.name, str(tool.name)),
                "effect": one.server.effect_of(str(tool.name)).value,
                "description": one_line(tool.description),
            }
            for one in self._servers(server)
            for tool in one.offers.tools
        ]
        text = "\n".join(f"{row['name']} ({row['effect']}): {row['description']}" for row in rows)
        return CommandResult(text or "There are no tools.", data={"tools": rows})

    def add(
        self, context: CommandContext, name: str, target: Sequence[str], trusted: bool = False, effect: str = ""
    ) -> CommandResult:
        """Write an entry and start it."""
        if target[0].startswith(("http://", "https://")):
            if len(target) > 1:
                raise UserError("An address takes no arguments; headers belong into the file.")
            entry: dict[str, Any] = {"url": target[0]}
        else:
            entry = {"command": target[0], "args": list(target[1:])}
        if trusted:
            entry["trusted"] = True
        if effect:
            entry["effect"] = effect
        if name in read_config(self._hub.config_path):
            raise UserError(f"There is a server {name!r} already; remove it first.")
        put_server(self._hub.config_path, name, entry)
        self._hub.restart(name)
        row = _row(self._hub.connection(name))
        reason = f" ({row['reason']})" if row["reason"] else ""
        return CommandResult(f"{name} is {row['state']}{reason} with {row['tools']} tools.", data=row)

    def remove(self, context: CommandContext, name: str) -> CommandResult:
        """Forget an entry."""
        put_server(self._hub.config_path, name, None)
        self._hub.forget(name)
        return CommandResult(f"{name} is removed.", data={"name": name})

    def restart(self, context: CommandContext, name: str) -> CommandResult:
        """Start again."""
        self._hub.restart(name)
        row = _row(self._hub.connection(name))
        return CommandResult(f"{name} is {row['state']}.", data=row, ok=row["state"] == "ready")

    def resources(self, context: CommandContext, server: str = "") -> CommandResult:
        """Resources by server."""
        rows = [
            {
                "server": one.name,
                "uri": one_line(str(item.uri), 300),
                "name": one_line(item.name, 100),
                "description": one_line(item.description),
            }
            for one in self._servers(server)
            for item in one.offers.resources
        ]
        text = "\n".join(f"{row['server']} {row['uri']}  {row['name']}" for row in rows)
        return CommandResult(text or "There are no resources.", data={"resources": rows})

    def read(self, context: CommandContext, server: str, uri: str) -> CommandResult:
        """A resource, shown to the user; it does not enter the window."""
        text = read_resource(self._hub, self._hub.connection(server), uri)
        return CommandResult(text, data={"text": text})

    def prompts(self, context: CommandContext, server: str = "") -> CommandResult:
        """Prompts by server, with their arguments."""
        rows = [
            {
                "server": one.name,
                "name": one_line(item.name, 100),
                "arguments": [one_line(argument.name, 60) for argument in item.arguments or ()],
                "description": one_line(item.description),
            }
            for one in self._servers(server)
            for item in one.offers.prompts
        ]
        text = "\n".join(
            f"{row['server']} {row['name']}({', '.join(row['arguments'])}): {row['description']}"
            for row in rows
        )
        return CommandResult(text or "There are no prompts.", data={"prompts": rows})

    def prompt(
        self, context: CommandContext, server: str, name: str, values: Sequence[str] = ()
    ) -> CommandResult:
        """A filled-in prompt. An untrusted server's is only shown: sent, it would count as the user's word."""
        arguments: dict[str, str] = {}
        for text in values or ():
            key, mark, value = text.partition("=")
            if not mark:
                raise UserError(f"Arguments are given as KEY=VALUE, not {text!r}.")
            arguments[key] = value
        connection = self._hub.connection(server)
        answer = self._hub.run(
            connection.use(lambda client: client.get_prompt(name, arguments)), connection.server.timeout
        )
        parts = [str(getattr(message.content, "text", "[not text]")) for message in answer.messages]
        filled = clean("\n\n".join(parts))
        if connection.server.trusted:
            return CommandResult("", data={"prompt": filled}, prompt=filled)
        note = "This comes from a server that is not trusted; copy it into a message if you agree with it."
        return CommandResult(f"{filled}\n\n({note})", data={"prompt": filled})

    # the panel

    def view(self) -> list[Element]:
        """Servers as a table, without starting any."""
        rows = [_row(one) for one in list(self._hub.connections.values())]
        table = {
            "columns": ["server", "state", "tools", "resources", "prompts", "restarts", "target"],
            "rows": [
                [
                    row["name"],
                    f"{row['state']}{': ' + row['reason'] if row['reason'] else ''}",
                    row["tools"],
                    row["resources"],
                    row["prompts"],
                    row["restarts"],
                    row["target"],
                ]
                for row in rows
            ],
            "keys": [row["name"] for row in rows],
        }
        help_text = f"Servers of `{self._hub.config_path}`. `/mcp add NAME PROGRAM` adds one."
        return [
            Element("table", table, title="Servers"),
            Element("actions", {"actions": [{"id": "restart", "label": "Restart", "key": "r"}]}),
            Element("text", {"markdown": help_text}),
        ]

    def act(self, action: str, value: Any) -> str | None:
        """``restart`` with a server's name."""
        if action == "restart" and isinstance(value, str) and value:
            self._hub.restart(value)
            return f"{value} is {self._hub.connection(value).state}."
        return None

    def status(self) -> str:
        """How many servers are ready, of all; empty without any."""
        every = list(self._hub.connections.values())
        ready = sum(one.state == "ready" for one in every)
        return f"mcp {ready}/{len(every)}" if every else ""


def read_resource(hub: Hub, connection: Connection, uri: str) -> str:
    """Text of a resource that the server lists or that fits its templates."""
    answer = hub.run(connection.use(lambda client: client.read_resource(uri)), connection.server.timeout)
    return clean("\n".join(contents_text(one) for one in answer.contents))
