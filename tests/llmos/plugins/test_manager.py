from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from llmos.plugins.contributions import CommandContext, ToolContext, Turn
from llmos.plugins.faults import LIMIT
from llmos.plugins.manager import PluginManager
from llmos.settings import Folders, Settings
from llmos.types import Message, Page, ToolCall
from tests.llmos.plugins.conftest import MakePlugin

GOOD = '''
from llmos.plugins import Command, CommandResult, Element, Panel, StatusItem, Tool, hookimpl
from llmos.types import Page

def add(a: int, b: int = 2) -> int:
    """Adds two numbers.

    Args:
        a: the first.
        b: the second.
    """
    return a + b

@hookimpl
def llmos_tools(host):
    return [Tool(add)]

@hookimpl
def llmos_context(host, turn):
    return [Page("from good: " + turn.user.content, tokens=5), Page("too long", tokens=900)]

@hookimpl
def llmos_commands(host):
    return [Command("good say", lambda context, word: CommandResult(word.upper(), {"word": word}), "Says it.")]

@hookimpl
def llmos_panels(host):
    view = lambda: [Element("text", {"markdown": "hello"})]
    return [Panel("main", "Good", view, act=lambda action, value: f"{action} {value}")]

@hookimpl
def llmos_status(host):
    return [StatusItem("s", lambda: "fine\\n  here")]

@hookimpl
def llmos_evict(host, window, need):
    return [page.id for page in reversed(window)] + ["unknown"]
'''
GOOD_MANIFEST = """
hooks = ["llmos_tools", "llmos_context", "llmos_commands", "llmos_panels", "llmos_status", "llmos_evict"]
[[tools]]
name = "add"
description = "Adds two numbers."
[tools.parameters]
type = "object"
required = ["a"]
[tools.parameters.properties.a]
type = "integer"
[[commands]]
name = "good say"
help = "Says it."
[[commands.parameters]]
name = "word"
required = true
[[panels]]
id = "main"
title = "Good"
[[status]]
id = "s"
"""


def turn(text: str = "hi", budget: int = 100) -> Turn:
    return Turn("chat", Message("user", text), budget=budget)


def manager(home: Folders, **options: object) -> tuple[PluginManager, list[str]]:
    notes: list[str] = []
    made = PluginManager(Settings(), home, notify=lambda text, level: notes.append(text), **options)
    return made, notes


async def test_everything_is_offered_from_the_manifest_without_an_import(
    home: Folders, make_plugin: MakePlugin
) -> None:
    make_plugin("good", manifest=GOOD_MANIFEST, code=GOOD)
    plugins, _ = manager(home)
    assert [spec.name for spec in plugins.tools()] == ["add"]
    assert plugins.tools()[0].plugin == "good"
    assert [entry.name for _, entry in plugins.commands()] == ["good say"]
    assert [(plugin, entry.title) for plugin, entry in plugins.panels()] == [("good", "Good")]
    await plugins.prepare()
    assert "llmos_good" not in sys.modules
    assert plugins.plugin("good").state == "ready"
    result = await plugins.call_tool(ToolCall("add", {"a": 3}), ToolContext())
    assert (result.ok, result.text) == (True, "5")
    assert "llmos_good.plugin" in sys.modules
    assert plugins.plugin("good").state == "loaded"
    await plugins.close()


async def test_hooks_commands_panels_and_status_work(home: Folders, make_plugin: MakePlugin) -> None:
    make_plugin("good", manifest=GOOD_MANIFEST, code=GOOD)
    plugins, notes = manager(home)
    pages = await plugins.context(turn("hello"))
    assert [page.text for page in pages] == ["from good: hello"], "the page over the budget stays out"
    done = await plugins.run_command("good say", {"word": "yes"}, CommandContext())
    assert (done.text, done.data, done.ok) == ("YES", {"word": "yes"}, True)
    elements = await plugins.view_panel("good", "main")
    assert elements[0].data == {"markdown": "hello"}
    assert await plugins.act_panel("good", "main", "go", 3) == "go 3"
    assert await plugins.view_status("good", "s") == "fine here"
    window = [Page("a", id="a"), Page("b", id="b", pinned=True), Page("c", id="c")]
    assert await plugins.evict(window, 10) == ["c", "a"], "neither pinned nor unknown pages"
    assert notes == []
    await plugins.close()


async def test_wrong_arguments_are_told_to_the_model_and_are_no_fault(
    home: Folders, make_plugin: MakePlugin
) -> None:
    make_plugin("good", manifest=GOOD_MANIFEST, code=GOOD)
    plugins, _ = manager(home)
    for arguments in ({}, {"a": "x"}, {"a": 1, "c": 2}):
        result = await plugins.call_tool(ToolCall("add", arguments), ToolContext())
        assert not result.ok and "add cannot be called so" in result.text
    assert plugins.faults("good") == ()
    unknown = await plugins.call_tool(ToolCall("sub", {}), ToolContext())
    assert not unknown.ok and "add" in unknown.text
    await plugins.close()


BAD = {
    "exception": "raise RuntimeError('broken inside')",
    "exit": "import sys; sys.exit(3)",
    "keyboard": "raise KeyboardInterrupt",
    "cancelled": "import asyncio; raise asyncio.CancelledError",
    "wrong type": "return 'just text'",
    "wrong items": "return [1, 2]",
    "generator that fails": "return (1 / 0 for _ in range(3))",
    "stop iteration": "raise StopIteration",
    "hang": "import time; time.sleep(60)",
}


@pytest.mark.parametrize("fault", sorted(BAD))
async def test_a_faulty_hook_costs_nothing_but_itself(
    home: Folders, make_plugin: MakePlugin, fault: str
) -> None:
    make_plugin("good", manifest=GOOD_MANIFEST, code=GOOD)
    make_plugin(
        "bad",
        manifest='hooks = ["llmos_context"]\n[deadlines]\nllmos_context = 0.2\n',
        code=f"""
        from llmos.plugins import hookimpl

        @hookimpl
        def llmos_context(host, turn):
            {BAD[fault]}
        """,
        distribution="llmos-web",
    )
    plugins, notes = manager(home)
    for _ in range(LIMIT + 2):
        pages = await plugins.context(turn("on"))
        assert [page.text for page in pages] == ["from good: on"]
    bad = plugins.plugin("bad")
    assert bad.state == "set aside"
    assert len(plugins.faults("bad")) == LIMIT
    assert len(notes) == LIMIT and all("bad" in note for note in notes)
    await plugins.enable("bad")
    assert plugins.plugin("bad").state == "ready" and plugins.faults("bad") == ()
    await plugins.close()


@pytest.mark.parametrize(
    "code", ["import a_module_that_is_not_there", "this is no python", "import sys; sys.exit(1)", "1 / 0"]
)
async def test_a_plugin_that_cannot_be_imported_is_set_aside_at_once(
    home: Folders, make_plugin: MakePlugin, code: str
) -> None:
    make_plugin("bad", manifest='hooks = ["llmos_context"]', code=code)
    plugins, notes = manager(home)
    assert await plugins.context(turn()) == []
    assert plugins.plugin("bad").state == "set aside"
    assert len(notes) == 1 and "loading" in notes[0]
    assert await plugins.context(turn()) == []
    assert len(notes) == 1
    await plugins.close()


async def test_a_hanging_tool_is_given_up_and_a_polite_one_returns_what_it_has(
    home: Folders, make_plugin: MakePlugin
) -> None:
    make_plugin(
        "slow",
        manifest='hooks = ["llmos_tools"]',
        code='''
        import time
        from llmos.plugins import Tool, ToolContext, hookimpl

        def deaf() -> str:
            """Never listens."""
            time.sleep(30)
            return "late"

        def polite(context: ToolContext) -> str:
            """Listens."""
            count = 0
            while not context.cancelled():
                count += 1
                context.progress(f"step {count}")
                time.sleep(0.02)
            return "partial"

        @hookimpl
        def llmos_tools(host):
            return [Tool(deaf, time_limit=0.2), Tool(polite, time_limit=0.2)]
        ''',
    )
    plugins, _ = manager(home)
    await plugins.prepare()
    assert {spec.name for spec in plugins.tools()} == {"deaf", "polite"}
    steps: list[str] = []
    polite = await plugins.call_tool(ToolCall("polite", {}), ToolContext(progress=steps.append))
    assert (polite.text, polite.ok) == ("partial", True) and steps[0] == "step 1"
    assert plugins.faults("slow") == ()
    deaf = await plugins.call_tool(ToolCall("deaf", {}), ToolContext())
    assert not deaf.ok and "longer than 0.2 s" in deaf.text
    assert [fault.kind for fault in plugins.faults("slow")] == ["slow"]
    await plugins.close()


async def test_cancelling_a_call_tells_the_tool_and_returns_at_once(
    home: Folders, make_plugin: MakePlugin
) -> None:
    make_plugin(
        "slow",
        manifest='hooks = ["llmos_tools"]',
        code='''
        import time
        from llmos.plugins import Tool, ToolContext, hookimpl
        seen = []

        def wait(context: ToolContext) -> str:
            """Waits."""
            while not context.cancelled():
                time.sleep(0.01)
            seen.append("stopped")
            return "x"

        @hookimpl
        def llmos_tools(host):
            return [Tool(wait)]
        ''',
    )
    plugins, _ = manager(home)
    await plugins.prepare()
    task = asyncio.create_task(plugins.call_tool(ToolCall("wait", {}), ToolContext()))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)
    assert sys.modules["llmos_slow.plugin"].seen == ["stopped"]
    assert plugins.faults("slow") == ()
    await plugins.close()


async def test_long_results_are_cut_and_can_be_read_on(home: Folders, make_plugin: MakePlugin) -> None:
    make_plugin(
        "long",
        manifest='hooks = ["llmos_tools"]',
        code='''
        from llmos.plugins import Tool, hookimpl

        def lines() -> str:
            """Many lines."""
            return "".join(f"line {number}\\n" for number in range(1000))

        @hookimpl
        def llmos_tools(host):
            return [Tool(lines, result_limit=500)]
        ''',
    )
    plugins, _ = manager(home)
    await plugins.prepare()
    assert [spec.name for spec in plugins.tools()] == ["lines"]
    whole = "".join(f"line {number}\n" for number in range(1000))
    cut = await plugins.call_tool(ToolCall("lines", {}), ToolContext())
    text, _, pointer = cut.text.rpartition("\n[Cut")
    assert whole.startswith(text) and len(text) <= 500 and 'id="r1"' in pointer
    assert [spec.name for spec in plugins.tools()] == ["lines", "read_result"]
    while len(text) < len(whole):
        more = await plugins.call_tool(ToolCall("read_result", {"id": "r1", "start": len(text)}), ToolContext())
        assert more.ok
        text += more.text.rpartition("\n[")[0]
    assert text == whole
    await plugins.close()


async def test_safe_mode_loads_none_and_disabled_ones_stay_off(home: Folders, make_plugin: MakePlugin) -> None:
    make_plugin("good", manifest=GOOD_MANIFEST, code=GOOD)
    plugins, _ = manager(home, safe_mode=True)
    assert plugins.tools() == [] and plugins.commands() == [] and await plugins.context(turn()) == []
    settings = Settings.model_validate({"plugins": {"disabled": ["good"]}})
    off = PluginManager(settings, home)
    assert off.tools() == []
    await off.enable("good")
    assert [spec.name for spec in off.tools()] == ["add"]
    await off.close()


async def test_load_and_unload_without_a_restart(home: Folders, make_plugin: MakePlugin) -> None:
    plugins, _ = manager(home)
    assert plugins.plugins() == []
    package = make_plugin("good", manifest=GOOD_MANIFEST, code=GOOD)
    assert plugins.rescan() == ["good"]
    result = await plugins.call_tool(ToolCall("add", {"a": 1}), ToolContext())
    assert result.text == "3"
    (package / "plugin.py").write_text(GOOD.replace("a + b", "a * b * 100"))
    await plugins.unload("good")
    result = await plugins.call_tool(ToolCall("add", {"a": 1}), ToolContext())
    assert result.text == "200", "the new code runs"
    await plugins.disable("good")
    assert plugins.tools() == []
    await plugins.close()


async def test_what_a_plugin_prints_does_not_reach_the_face(
    home: Folders, make_plugin: MakePlugin, capsys: pytest.CaptureFixture[str]
) -> None:
    make_plugin(
        "loud",
        manifest='hooks = ["llmos_context"]',
        code="""
        import sys
        from llmos.plugins import hookimpl

        @hookimpl
        def llmos_context(host, turn):
            print("NOISE")
            print("NOISE", file=sys.stderr)
            return []
        """,
    )
    plugins, _ = manager(home)
    await plugins.context(turn())
    print("face")
    captured = capsys.readouterr()
    assert "NOISE" not in captured.out + captured.err
    assert "face" in captured.out
    await plugins.close()


async def test_two_tools_of_one_name(home: Folders, make_plugin: MakePlugin) -> None:
    make_plugin("good", manifest=GOOD_MANIFEST, code=GOOD)
    make_plugin("other", manifest=GOOD_MANIFEST, code=GOOD.replace("a + b", "0"), distribution="llmos-web")
    plugins, notes = manager(home)
    assert [spec.plugin for spec in plugins.tools()] == ["good"]
    assert plugins.tools() and len(notes) == 1 and "Two plugins" in notes[0]
    assert (await plugins.call_tool(ToolCall("add", {"a": 1}), ToolContext())).text == "3"
    await plugins.close()


async def test_middleware_is_collected_and_wrong_middleware_is_a_fault(
    home: Folders, make_plugin: MakePlugin
) -> None:
    make_plugin(
        "wrap",
        manifest='hooks = ["llmos_generators"]\norder = 10',
        code="""
        from llmos.plugins import hookimpl

        async def layer(request, next):
            async for event in next(request):
                yield event

        @hookimpl
        def llmos_generators(host):
            return {"layer": layer}
        """,
    )
    make_plugin(
        "wrong",
        manifest='hooks = ["llmos_generators"]',
        code="""
        from llmos.plugins import hookimpl

        @hookimpl
        def llmos_generators(host):
            return ["no dict"]
        """,
        distribution="llmos-web",
    )
    plugins, _ = manager(home)
    await plugins.prepare()
    assert [name for name, _ in plugins.middleware()] == ["wrap"]
    assert [fault.kind for fault in plugins.faults("wrong")] == ["wrong type"]
    await plugins.close()


async def test_turn_done_runs_in_the_background(home: Folders, make_plugin: MakePlugin) -> None:
    make_plugin(
        "after",
        manifest='hooks = ["llmos_turn_done", "llmos_start"]',
        code="""
        import threading
        from llmos.plugins import hookimpl
        gate = threading.Event()

        @hookimpl
        def llmos_start(host):
            global kept
            kept = host

        @hookimpl
        def llmos_turn_done(host, turn):
            gate.wait(10)
            assert host is kept
            host.store.set("answer", turn.answer.content)
        """,
    )
    plugins, _ = manager(home)
    await plugins.turn_done(Turn("chat", Message("user", "q"), answer=Message("assistant", "a")))
    while plugins.plugin("after").state != "loaded":
        await asyncio.sleep(0.01)
    module = sys.modules["llmos_after.plugin"]
    assert isinstance(module.gate, threading.Event)
    module.gate.set()
    await plugins.settle()
    assert module.kept.store.get("answer") == "a"
    assert module.kept.store.keys() == ["answer"]
    await plugins.close()


async def test_marks_that_lie_within_the_answer_come_back_in_its_order(
    home: Folders, make_plugin: MakePlugin
) -> None:
    code = """
from llmos.plugins import hookimpl
from llmos.types import Mark

@hookimpl
def llmos_marks(host, turn):
    return [Mark(4, 6, "is", "Is it?"), Mark(0, 3, "Bad", "There?"), Mark(0, 3, "Sky", "Sure?")]
"""
    make_plugin("doubts", manifest='hooks = ["llmos_marks"]', code=code)
    wrong = code.replace("return [", "return [7, ")
    make_plugin("wrong", manifest='hooks = ["llmos_marks"]', code=wrong, distribution="llmos-web")
    plugins, _ = manager(home)
    given = Turn("chat", Message("user", "?"), Message("assistant", "Sky is blue."))
    marks = await plugins.marks(given)
    assert [(mark.text, mark.note, mark.plugin) for mark in marks] == [
        ("Sky", "Sure?", "doubts"), ("is", "Is it?", "doubts"),
    ]  # fmt: skip
    await plugins.close()
