"""``llmos serve --mcp`` with the protocol's own client in another process's place."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from llmos.settings import folders
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

@hookimpl
def llmos_tools(host):
    return [Tool(shout), Tool(scribble, effect=EffectClass.WRITE)]
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
