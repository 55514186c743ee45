"""``llmos serve --mcp`` with the protocol's own client in another process's place."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmos.guard.guard import Guard
from llmos.serve.mcp_server import ToolDesk
from llmos.settings import folders
from llmos.types import EffectClass, ToolSpec
from tests.helpers.fake_plugins import FakePlugins
from tests.helpers.require import require

SHOUT = '''
from llmos.plugins import Tool, hookimpl
from llmos.types import EffectClass

def shout(text: str) -> dict:
    """Shouts."""
    print("this must not reach the wire")
    return {"loud": text.upper()}

def scribble(text: str) -> str:
    """Writes a file."""
    raise AssertionError("it must not run")

def note(text: str) -> str:
    """Remembers."""
    return f"noted {text}"

def visit(url: str) -> str:
    """Opens an address."""
    raise AssertionError("it must not run")

@hookimpl
def llmos_tools(host):
    return [
        Tool(shout), Tool(scribble, effect=EffectClass.WRITE), Tool(note, effect=EffectClass.MEMORY),
        Tool(visit, effect=EffectClass.NETWORK),
    ]
'''


@pytest.fixture
def _plugin() -> Path:
    where = folders().make()
    where.plugins.mkdir(parents=True)
    path = where.plugins / "shout.py"
    path.write_text(SHOUT)
    return path


async def test_tools_are_listed_called_and_refused(_plugin: Path) -> None:
    require("mcp")
    from mcp import Client, StdioServerParameters

    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "llmos.cli.main", "serve", "--mcp"],
        env={"LLMOS_HOME": os.environ["LLMOS_HOME"], "LLMOS_OFFLINE": "1"},
        cwd=Path(__file__).resolve().parents[3],
    )
    async with Client(server, read_timeout_seconds=60) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"shout", "scribble"} <= set(tools)
        assert tools["shout"].input_schema["required"] == ["text"]
        good = await client.call_tool("shout", {"text": "hey"})
        assert not good.is_error and good.structured_content == {"loud": "HEY"}
        wrong = await client.call_tool("shout", {})
        assert wrong.is_error and "text" in wrong.content[0].text
        refused = await client.call_tool("scribble", {"text": "x"})
        assert refused.is_error and "refused" in refused.content[0].text
        # Written files are asked about in every window: the flag would not help.
        assert "Nobody can be asked here." in refused.content[0].text
        assert "--trust-client" not in refused.content[0].text
        noted = await client.call_tool("note", {"text": "x"})
        assert noted.is_error and "--trust-client" in noted.content[0].text
        fetched = await client.call_tool("visit", {"url": "https://example.org/"})
        assert fetched.is_error and "offline" in fetched.content[0].text


SPECS = {
    effect: ToolSpec(effect.value, "", {"type": "object"}, effect, plugin="own") for effect in EffectClass
} | {"code": ToolSpec("code", "", {"type": "object"}, EffectClass.EXECUTE, plugin="own", contained=True)}


@pytest.mark.parametrize(
    ("trusted", "allowed"),
    [(False, {"pure", "read"}), (True, {"pure", "read", "network", "memory", "code"})],
)
async def test_what_a_client_may_call(trusted: bool, allowed: set[str]) -> None:
    plugins = FakePlugins(
        specs=list(SPECS.values()), functions={spec.name: lambda **_: "done" for spec in SPECS.values()}
    )
    session: Any = SimpleNamespace(guard=Guard(offline=lambda: False), plugins=plugins)
    desk = ToolDesk(session, trust_client=trusted)
    results = {spec.name: await desk.call(spec.name, {}) for spec in SPECS.values()}
    assert {name for name, result in results.items() if result.ok} == allowed
    assert {call.name for call in plugins.calls} == allowed
    # No address is opened, whoever asks: nobody typed one here.
    opened = await desk.call("network", {"url": "https://example.org/"})
    assert not opened.ok and "type it" in opened.text
