from __future__ import annotations

import asyncio
import os
import sys
from collections import UserList

import pytest

from llmos.plugins.contributions import CommandContext, ToolContext, Turn
from llmos.plugins.manager import PluginManager
from llmos.settings import Folders, Settings
from llmos.types import EffectClass, Labels, Message, Page, ToolCall, ToolResult
from tests.llmos.plugins.conftest import MakePlugin

MANIFEST = """
hooks = ["llmos_start", "llmos_tools", "llmos_context", "llmos_commands", "llmos_panels", "llmos_renderers"]
memory_mb = 300
[[tools]]
name = "act"
description = "Does as it is told."
time_limit = 1.5
[tools.parameters]
type = "object"
required = ["what"]
[tools.parameters.properties.what]
type = "string"
[[commands]]
name = "far say"
help = "Says it."
[[commands.parameters]]
name = "word"
[[panels]]
id = "main"
title = "Far"
[[renderers]]
tool = "act"
"""

CODE = '''
import os
from llmos.plugins import Command, CommandResult, Element, Panel, Renderer, Tool, ToolContext, hookimpl
from llmos.types import Page

def act(what: str, context: ToolContext) -> str:
    """Does as it is told."""
    if what == "pid":
        return str(os.getpid())
    if what == "exit":
        os._exit(7)
    if what == "segfault":
        import ctypes
        ctypes.string_at(0)
    if what == "memory":
        held = [bytearray(1 << 20) for _ in range(4000)]
        return f"held {len(held)}"
    if what == "gil":
        import re
        re.match("(a+)+$", "a" * 40 + "b")
    if what == "socket":
        import socket
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        return "open"
    if what == "print":
        print("NOISE" * 10000)
        os.write(1, b"NOISE" * 100000)
    if what == "raise":
        raise ValueError("told to")
    if what == "sys.exit":
        raise SystemExit(1)
    if what == "wrong":
        return object()
    if what == "progress":
        context.progress("half")
    if what == "secret":
        return repr([key for key in os.environ if "TOKEN" in key])
    if what == "store":
        host.store.set("n", host.store.get("n", 0) + 1)
        return f"{host.store.get('n')} {host.store.keys()} {host.settings} {host.plugin}"
    if what == "break out":
        pipe = host._pipe
        tries = []
        for method in ("_ground.services.generate", "__class__", "register_embedder", "store._file.run",
                       "data_dir", "jobs.start", "http._client", "", "eval"):
            try:
                tries.append(repr(pipe.ask(method, "x")))
            except Exception as error:
                tries.append("refused" if "not open to" in str(error) else repr(error))
        return ",".join(tries)
    if what == "noise":
        host._pipe._connection.sendall(bytes([40, 0, 0, 0]) + b"noise" * 50)
        import time
        time.sleep(1)
    if what == "forge":
        for number in reversed(range(200)):  # later numbers first: none is left for the next call
            host._pipe.send({"kind": "done", "id": number, "value": {"text": "forged"}})
        return "real"
    if what == "chats":
        return str(host.chat_messages("x"))
    return "did " + what

@hookimpl
def llmos_start(host):
    globals()["host"] = host

@hookimpl
def llmos_tools(host):
    return [Tool(act, time_limit=1.5)]

@hookimpl
def llmos_context(host, turn):
    return [Page(f"far: {turn.user.content} {len(turn.messages)} {len(turn.window)}", tokens=3)]

@hookimpl
def llmos_commands(host):
    def say(context, word):
        context.write("working")
        return CommandResult(word.upper(), {"word": word})
    return [Command("far say", say, "Says it.")]

@hookimpl
def llmos_panels(host):
    return [Panel("main", "Far", lambda: [Element("bars", {"labels": ["a"], "values": [1.5], "unit": "x"})])]

@hookimpl
def llmos_renderers(host):
    return [Renderer("act", lambda result: [Element("text", {"markdown": result.text})])]
'''


@pytest.fixture
async def far(home: Folders, make_plugin: MakePlugin) -> object:
    make_plugin("far", manifest=MANIFEST, code=CODE, distribution="somebody-else")
    notes: list[str] = []
    plugins = PluginManager(Settings(), home, notify=lambda text, level: notes.append(text))
    yield plugins
    await plugins.close()


async def act(plugins: PluginManager, what: str, **context: object) -> ToolResult:
    return await plugins.call_tool(ToolCall("act", {"what": what}), ToolContext(**context))


async def test_everything_works_over_the_pipe(far: PluginManager) -> None:
    slot = far.plugin("far")
    assert slot.isolated and slot.state == "ready"
    earlier = UserList([Message("user", str(number)) for number in range(50)])  # as lazy ones are: no list
    turn = Turn("c", Message("user", "hi"), budget=50, messages=earlier, window=[Page("w")])
    pages = await far.context(turn)
    assert [page.text for page in pages] == ["far: hi 0 0"], "it did not ask to read what is private"
    assert pages[0].labels.tainted and "plugin:far" in pages[0].labels.origins, "its word is not believed"
    pid = await act(far, "pid")
    assert pid.ok and int(pid.text) != os.getpid() and pid.labels.tainted
    assert "llmos_far.plugin" not in sys.modules
    lines: list[str] = []
    done = await far.run_command("far say", {"word": "a"}, CommandContext(write=lines.append))
    assert (done.text, done.data, lines) == ("A", {"word": "a"}, ["working"])
    assert (await far.view_panel("far", "main"))[0].data["values"] == [1.5]
    drawn = await far.render("act", ToolResult("x", labels=Labels()))
    assert drawn is not None and drawn[0].data == {"markdown": "x"}
    steps: list[str] = []
    assert (await act(far, "progress", progress=steps.append)).text == "did progress"
    assert steps == ["half"]
    stored = await act(far, "store")
    assert stored.text == "1 ['n'] {} far"
    wrong = await far.call_tool(ToolCall("act", {}), ToolContext())
    assert not wrong.ok and "cannot be called so" in wrong.text
    assert far.faults("far") == ()


@pytest.mark.parametrize(
    ("what", "kind", "word"),
    [
        ("exit", "died", "code 7"),
        ("segfault", "died", "SIGSEGV"),
        ("memory", "exception", "MemoryError"),
        ("gil", "slow", "no answer"),
        ("raise", "exception", "told to"),
        ("sys.exit", "exit", "end"),
        ("wrong", "exception", "TypeError"),
    ],
)
async def test_what_kills_it_kills_nothing_else(far: PluginManager, what: str, kind: str, word: str) -> None:
    result = await act(far, what)
    assert not result.ok
    faults = far.faults("far")
    assert [fault.kind for fault in faults] == [kind]
    assert word in faults[0].text
    assert (await act(far, "again")).text == "did again", "a new process takes over"


async def test_three_deaths_set_it_aside(far: PluginManager) -> None:
    for _ in range(3):
        assert not (await act(far, "exit")).ok
    assert far.plugin("far").state == "set aside"
    assert "There is no tool" in (await act(far, "again")).text
    await far.enable("far")
    assert (await act(far, "again")).ok


async def test_it_has_no_network_that_it_did_not_declare(far: PluginManager) -> None:
    result = await act(far, "socket")
    assert not result.ok and "PermissionError" in result.text


async def test_it_sees_no_secrets_and_no_chats(far: PluginManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "x")
    assert (await act(far, "secret")).text == "[]"
    refused = await act(far, "chats")
    assert not refused.ok and "chats are private" in refused.text
    assert far.faults("far") == ()


async def test_it_cannot_reach_past_the_list_of_calls(far: PluginManager) -> None:
    tries = (await act(far, "break out")).text.split(",")
    assert tries == ["refused"] * 9


async def test_noise_and_forged_answers_harm_only_itself(far: PluginManager) -> None:
    noise = await act(far, "noise")
    assert not noise.ok
    assert far.faults("far")[0].kind == "died"
    forged = await act(far, "forge")
    assert not forged.ok, "an answer that is no result is not taken for one"
    assert far.faults("far")[1].kind == "wrong type"
    assert (await act(far, "again")).text == "did again"


async def test_what_it_prints_stays_there(far: PluginManager, capfd: pytest.CaptureFixture[str]) -> None:
    assert (await act(far, "print")).text == "did print"
    captured = capfd.readouterr()
    assert "NOISE" not in captured.out + captured.err


async def test_a_stopped_call_returns_at_once(far: PluginManager) -> None:
    await act(far, "pid")
    task = asyncio.create_task(act(far, "gil"))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_asks_to_read_sees_the_end_of_the_chat(home: Folders, make_plugin: MakePlugin) -> None:
    manifest = MANIFEST + '[needs]\nfiles = "read"\n'
    make_plugin("far", manifest=manifest, code=CODE, distribution="somebody-else")
    plugins = PluginManager(Settings(), home)
    earlier = [Message("user", str(number)) for number in range(50)]
    turn = Turn("c", Message("user", "hi"), budget=50, messages=earlier, window=[Page("w")])
    assert [page.text for page in await plugins.context(turn)] == ["far: hi 20 1"]
    await plugins.close()


async def test_effects_count_as_the_worst_that_is_declared(home: Folders, make_plugin: MakePlugin) -> None:
    make_plugin("far", manifest=MANIFEST + "[needs]\nnetwork = true\n", code=CODE, distribution="somebody-else")
    plugins = PluginManager(Settings(), home)
    assert [spec.effect for spec in plugins.tools()] == [EffectClass.NETWORK]
    await plugins.close()
