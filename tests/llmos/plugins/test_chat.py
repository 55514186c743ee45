"""Whole turns with real plugins: a tool of a new plugin is used, and bad ones cost the chat nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmos.conversation.session import open_session
from llmos.plugins.conformance.kit import _found
from llmos.plugins.discovery import Found
from llmos.plugins.manager import PluginManager
from llmos.plugins.scaffold import new_plugin
from llmos.settings import Folders, Settings
from llmos.types import Event, Notice, ToolDone, TurnDone, UserError
from tests.helpers.fake_kernel import FakeKernel
from tests.llmos.plugins.conftest import MakePlugin


async def talk(
    home: Folders, kernel: FakeKernel, found: list[Found] | None = None, turns: int = 1
) -> tuple[list[Event], list[str], PluginManager]:
    """Turns of one chat with the plugins that are found; events, notices and the manager."""
    events: list[Event] = []
    notices: list[str] = []
    async with open_session(Settings(), face="test", where=home, kernel=kernel) as session:
        finder = (lambda: found) if found is not None else None
        plugins = PluginManager(Settings(), home, session.services, finder=finder)
        session.plugins = plugins
        session.on_notice(lambda notice: notices.append(notice.text))
        conversation = session.conversation()
        for _ in range(turns):
            async for event in conversation.send("Count the words: one two three"):
                events.append(event)
    return events, notices, plugins


async def test_the_model_uses_a_tool_of_a_new_plugin(
    home: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_plugin("demo", tmp_path)
    found, root = _found(tmp_path / "demo")
    monkeypatch.syspath_prepend(str(root))
    call = json.dumps({"name": "demo_count", "arguments": {"text": "one two three"}})
    kernel = FakeKernel([f"<tool_call>{call}</tool_call>", "Three words."])
    events, notices, plugins = await talk(home, kernel, [found])
    assert plugins.plugin("demo").isolated, "not installed by trust, so in its own process"
    (done,) = [event for event in events if isinstance(event, ToolDone)]
    assert done.result.ok, done.result.text
    assert json.loads(done.result.text) == {"words": 3, "letters": 11}
    assert done.result.labels.tainted
    last = events[-1]
    assert isinstance(last, TurnDone) and last.message.content == "Three words."
    assert notices == []


BODIES = {
    "raise": "raise RuntimeError('on purpose')",
    "exit": "raise SystemExit",
    "wrong": "return 7",
    "hang": "import time; time.sleep(30)",
    "print": "print('noise'); return []",
}


@pytest.mark.parametrize("kind", sorted(BODIES))
@pytest.mark.parametrize("hook", ["llmos_context", "llmos_turn_done", "llmos_evict"])
async def test_a_bad_plugin_costs_the_chat_nothing(
    home: Folders, make_plugin: MakePlugin, kind: str, hook: str
) -> None:
    arguments = "window, need" if hook == "llmos_evict" else "turn"
    make_plugin(
        "bad",
        manifest=f'hooks = ["{hook}"]\n[deadlines]\n{hook} = 0.1\n',
        code=f"""
        from llmos.plugins import hookimpl

        @hookimpl
        def {hook}(host, {arguments}):
            {BODIES[kind]}
        """,
    )
    events, notices, _ = await talk(home, FakeKernel(["First.", "Second."], context=160), turns=2)
    answers = [event.message for event in events if isinstance(event, TurnDone)]
    assert [(one.content, one.status) for one in answers] == [("First.", "complete"), ("Second.", "complete")]
    told = [one for one in notices if "The plugin bad failed" in one]
    told += [event.text for event in events if isinstance(event, Notice) and "plugin bad" in event.text]
    met = hook != "llmos_evict"  # nothing had to leave the window
    # What a turn_done returns is of no interest, so nothing is wrong with it.
    harmless = kind == "print" or (hook == "llmos_turn_done" and kind == "wrong")
    assert bool(told) == (met and not harmless)


async def test_middleware_that_fails_is_named_and_the_answer_comes(
    home: Folders, make_plugin: MakePlugin
) -> None:
    make_plugin(
        "layer",
        manifest='hooks = ["llmos_generators"]',
        code="""
        from llmos.plugins import hookimpl

        async def broken(request, next):
            raise RuntimeError("on purpose")
            yield

        @hookimpl
        def llmos_generators(host):
            return {"broken": broken}
        """,
    )
    events, notices, plugins = await talk(home, FakeKernel(["Yes."]))
    last = events[-1]
    assert isinstance(last, TurnDone) and last.message.content == "Yes."
    assert len(plugins.faults("layer")) == 1
    assert any("layer" in text for text in notices)


async def test_what_the_lock_file_lists_and_is_gone_is_told(home: Folders) -> None:
    (home.data / "plugins.lock.toml").write_text('[gone]\ndistribution = "llmos-gone"\n')
    _, notices, _ = await talk(home, FakeKernel(["Yes."]), [])
    assert any("missing: gone" in text and "--restore" in text for text in notices)


PERSONA = """
[[tools]]
name = "near_one"
[tools.parameters]
type = "object"
[[tools]]
name = "near_two"
[tools.parameters]
type = "object"
[[personas]]
name = "Translator"
system_prompt = "Translate into French."
tools = ["near_two"]
sampling = { temperature = 0.125 }
"""


async def test_a_persona_sets_prompt_tools_and_sampling(home: Folders, make_plugin: MakePlugin) -> None:
    make_plugin("near", manifest='hooks = ["llmos_tools"]\n' + PERSONA, code="")
    kernel = FakeKernel(["Oui.", "Yes.", "Oui."])
    async with open_session(Settings(), face="test", where=home, kernel=kernel) as session:
        session.plugins = PluginManager(Settings(), home, session.services)
        conversation = session.conversation()
        async for _ in conversation.send("Hello.", options={"persona": "translator"}):
            pass
        assert "Translate into French." in kernel.prompts[0]
        assert "near_two" in kernel.prompts[0] and "near_one" not in kernel.prompts[0]
        assert kernel.requests[0].sampling.temperature == 0.125
        async for _ in conversation.send("Hello."):
            pass
        assert "Translate" not in kernel.prompts[-1] and "near_one" in kernel.prompts[-1]
        session.store.set_chat_setting(conversation.chat_id, "persona", "Translator")
        session.store.set_chat_setting(conversation.chat_id, "system_prompt", "The chat's own.")
        async for _ in conversation.send("Hello."):
            pass
        assert "The chat's own." in kernel.prompts[-1] and "near_one" not in kernel.prompts[-1]
        with pytest.raises(UserError, match="Translator"):
            async for _ in conversation.send("Hello.", options={"persona": "nobody"}):
                pass
