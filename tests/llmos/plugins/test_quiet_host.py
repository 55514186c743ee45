"""KV state, quiet time and eviction through ``host``, in process and over the pipe."""

from __future__ import annotations

import pytest

from llmos.plugins import KvState
from llmos.plugins.conformance.fakes import FakeServices
from llmos.plugins.contributions import ToolContext
from llmos.plugins.manager import PluginManager
from llmos.settings import Folders, Settings
from llmos.types import ToolCall
from tests.llmos.plugins.conftest import MakePlugin

MANIFEST = """
hooks = ["llmos_start", "llmos_tools"]
[needs]
model = true
files = "{files}"
[[tools]]
name = "look"
description = "Looks."
[tools.parameters]
type = "object"
"""
CODE = '''
from llmos.plugins import Tool, hookimpl

@hookimpl
def llmos_start(host):
    globals()["host"] = host

def look() -> str:
    """Looks."""
    text = host.generate("hi", while_quiet=True).text
    parts = [text, host.jobs.quiet_seconds(), host.model_parameters]
    try:
        parts += [host.kv_state("c"), host.evict_page("c", "p")]
    except Exception as error:
        parts.append(str(error))
    return repr(parts)

@hookimpl
def llmos_tools(host):
    return [Tool(look)]
'''


class Services(FakeServices):
    """Holds a chat's state."""

    async def kv_state(self, chat_id: str) -> KvState:
        return KvState(12, 96, 2048, 16_384, 100, 5.0)

    async def evict_page(self, chat_id: str, page_id: str) -> bool:
        return True


@pytest.mark.parametrize(("distribution", "files"), [("llmos-ram", "none"), ("far", "read"), ("far", "none")])
async def test_what_a_plugin_sees_of_the_kernel_and_of_quiet(
    distribution: str, files: str, home: Folders, make_plugin: MakePlugin
) -> None:
    make_plugin("near", manifest=MANIFEST.format(files=files), code=CODE, distribution=distribution)
    plugins = PluginManager(Settings(), home, Services())
    await plugins.prepare()
    result = await plugins.call_tool(ToolCall("look", {}), ToolContext())
    start = "['A fake answer.', 60.0, 3000000, "
    if distribution == "far" and files == "none":
        assert result.text.startswith(start) and "chats are private" in result.text
    else:
        assert result.text == f"{start}{KvState(12, 96, 2048, 16_384, 100, 5.0)!r}, True]"
    await plugins.close()
