from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmos.plugins import discovery
from llmos.plugins.contributions import CommandContext, ToolContext
from llmos.plugins.manager import PluginManager
from llmos.plugins.testing import OpenPlugin, locate_plugin, open_plugin
from llmos.settings import Settings, folders
from llmos.types import EffectClass, ToolCall, UserError
from tests.helpers.require import require

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "plugins" / "llmos-mcp"
ODD = Path(__file__).with_name("server.py")

Open = Callable[..., OpenPlugin]


@pytest.fixture(autouse=True)
def _sdk() -> None:
    require("mcp")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """``opened(time={…}, odd={…})`` opens the plugin with these servers."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(**servers: dict[str, Any]) -> OpenPlugin:
            (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
            return stack.enter_context(open_plugin(FOLDER, data_dir=tmp_path, settings={"start_seconds": 14}))

        yield make


def odd(**more: Any) -> dict[str, Any]:
    return {"command": sys.executable, "args": [str(ODD)], **more}


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


async def test_a_server_that_is_not_ours_answers_a_call_through_the_whole_manager() -> None:
    require("mcp_server_time")
    program = shutil.which("mcp-server-time", path=str(Path(sys.executable).parent))
    assert program is not None
    where = folders().make()
    home = where.data / "plugins" / "mcp"
    home.mkdir(parents=True)
    entry = {"command": program, "args": ["--local-timezone", "UTC"], "effect": "pure"}
    (home / "mcp.json").write_text(json.dumps({"mcpServers": {"time": entry}}))
    manifest, module, _ = locate_plugin(FOLDER)
    found = discovery.Found("mcp", module, "package", FOLDER, "llmos-mcp", "0", manifest)
    settings = Settings.model_validate({"plugins": {"options": {"mcp": {"start_seconds": 14}}}})
    manager = PluginManager(settings, where, finder=lambda: [found])
    await manager.prepare()
    specs = {spec.name: spec for spec in manager.tools()}
    assert set(specs) == {"time_get_current_time", "time_convert_time"}
    spec = specs["time_convert_time"]
    assert spec.effect is EffectClass.PURE and not spec.description_trusted
    assert set(spec.parameters["required"]) == {"source_timezone", "time", "target_timezone"}
    arguments = {"source_timezone": "Asia/Tokyo", "time": "12:30", "target_timezone": "UTC"}
    result = await manager.call_tool(ToolCall("time_convert_time", arguments), ToolContext())
    assert result.ok, result.text
    assert "03:30" in result.text and "-9" in result.text
    assert result.labels.tainted and "tool:mcp/time" in result.labels.origins
    wrong = await manager.call_tool(
        ToolCall("time_get_current_time", {"timezone": "Nowhere/Never"}), ToolContext()
    )
    assert not wrong.ok
    missing = await manager.call_tool(ToolCall("time_get_current_time", {}), ToolContext())
    assert not missing.ok and "timezone is missing" in missing.text
    listed = await manager.run_command("mcp list", {}, CommandContext())
    assert "time: ready, 2 tools" in listed.text
    assert manager.faults("mcp") == ()
    await manager.close()


def test_without_servers_nothing_is_imported_or_started(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from llmos.plugins.testing import open_plugin\n"
        f"with open_plugin(pathlib.Path({str(FOLDER)!r})) as plugin:\n"
        "    assert plugin.session.call('llmos_tools') == []\n"
        "    plugin.panel('servers'), plugin.session.view_status('servers')\n"
        "sys.exit('mcp' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_what_a_server_says_is_cleaned_cut_and_untrusted(opened: Open) -> None:
    plugin = opened(odd=odd())
    specs = {name: bound.spec for name, bound in plugin.session.tools().items()}
    assert "odd_echo" in specs and "odd_read_resource" in specs
    spec = specs["odd_echo"]
    assert len(spec.description) <= 400
    assert not set("\x1b\u202e\n") & set(spec.description)
    assert spec.effect is EffectClass.EXECUTE and not spec.description_trusted
    answer = plugin.tool("odd_echo", text="hi")
    assert answer.ok and "echo: hi" in answer.text and "\x1b" not in answer.text
    assert answer.labels.tainted and answer.labels.private
    failed = plugin.tool("odd_fail")
    assert not failed.ok and "did not work" in failed.text
    assert plugin.tool("odd_steps").text == "all steps"
    assert [line for line in plugin.progress if "step" in line][-1] == "3/3 step 3"
    assert plugin.host.notices == []
    assert plugin.tool("odd_read_resource", uri="note://today").text == "buy milk"
    assert "note://today" in plugin.command("mcp resources").text
    assert plugin.command("mcp read", server="odd", uri="note://today").text == "buy milk"
    assert "greet(name)" in plugin.command("mcp prompts").text
    shown = plugin.command("mcp prompt", server="odd", name="greet", values=["name=Ada"])
    assert "Say hello to Ada." in shown.text and "not trusted" in shown.text
    assert shown.prompt == "", "an untrusted server's words are never sent as the user's"
    (table, *_) = plugin.panel("servers")
    assert table.data["rows"][0][:3] == ["odd", "ready", 6]
    assert plugin.session.view_status("servers") == "mcp 1/1"


def test_the_users_word_on_a_server_counts(opened: Open) -> None:
    plugin = opened(
        odd=odd(trusted=True, effect="read", effects={"echo": "pure"}, tools=["echo", "connect"], network=False)
    )
    specs = {name: bound.spec for name, bound in plugin.session.tools().items()}
    assert set(specs) == {"odd_echo", "odd_connect", "odd_read_resource"}
    assert specs["odd_echo"].effect is EffectClass.PURE and specs["odd_echo"].description_trusted
    assert specs["odd_connect"].effect is EffectClass.READ
    assert plugin.tool("odd_connect").text == "no network"
    assert not plugin.tool("odd_echo", text="hi").labels.tainted
    sent = plugin.command("mcp prompt", server="odd", name="greet", values=["name=Ada"])
    assert sent.prompt == "Say hello to Ada."


def test_slow_calls_return_and_a_dead_server_is_started_again_or_set_aside(opened: Open) -> None:
    plugin = opened(odd=odd(timeout=5.0), gone={"command": "/no/such/program"})
    assert "odd_die" in plugin.session.tools()
    with pytest.raises(UserError, match=r"in time|[Tt]imed out"):
        plugin.tool("odd_sleep", seconds=30)
    with pytest.raises(UserError, match="stopped"):
        plugin.session.run_tool("odd_sleep", {"seconds": 30}, ToolContext(cancelled=lambda: True))
    with pytest.raises(UserError, match="ended in the middle"):
        plugin.tool("odd_die")

    def state(name: str) -> dict[str, Any]:
        rows = plugin.command("mcp list").data["servers"]
        return next(row for row in rows if row["name"] == name)

    wait_until(lambda: (state("odd")["state"], state("odd")["restarts"]) == ("ready", 1))
    assert plugin.tool("odd_echo", text="again").ok
    wait_until(lambda: state("gone")["state"] == "set aside")
    assert "no program" in state("gone")["reason"]
    wait_until(lambda: any("gone failed 3 times" in note for note in plugin.host.notices))


def test_offline_http_servers_are_not_contacted(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_OFFLINE", "1")
    plugin = opened(far={"url": "http://127.0.0.1:9/mcp"})
    assert plugin.session.tools() == {}
    assert "offline" in plugin.command("mcp list").text


def test_streamable_http(opened: Open) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(ODD), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:

        def listening() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listening)
        plugin = opened(web={"url": f"http://127.0.0.1:{port}/mcp", "tools": ["echo"]})
        specs = {name: bound.spec for name, bound in plugin.session.tools().items()}
        assert specs["web_echo"].effect is EffectClass.NETWORK
        assert "echo: over http" in plugin.tool("web_echo", text="over http").text
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "must hold an object"),
        ('{"mcpServers": {"a b": {"command": "x"}}}', "must be letters"),
        ('{"mcpServers": {"a": {}}}', "either a command or a url"),
        ('{"mcpServers": {"a": {"url": "ftp://x"}}}', "http"),
        ('{"mcpServers": {"a": {"command": "x", "timeout": 0}}}', "timeout"),
        ('{"mcpServers": {"a": {"command": "x", "effect": "magic"}}}', "effect"),
    ],
)
def test_a_bad_file_is_told_in_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mcp.json").write_text(text)
    with open_plugin(FOLDER, data_dir=tmp_path) as plugin, pytest.raises(UserError, match=words):
        plugin.command("mcp list")


def test_add_and_remove_keep_the_rest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text(
        json.dumps({"other": 1, "mcpServers": {"far": {"url": "https://x.example/mcp", "disabled": True}}})
    )
    with open_plugin(FOLDER, data_dir=tmp_path) as plugin:
        added = plugin.command("mcp add", name="odd", target=[sys.executable, str(ODD)], effect="read")
        assert "odd is ready with 6 tools" in added.text
        assert "odd_echo" in plugin.session.tools(refresh=True)
        removed = plugin.command("mcp remove", name="odd")
        assert removed.ok
    values = json.loads(path.read_text())
    assert values == {"other": 1, "mcpServers": {"far": {"url": "https://x.example/mcp", "disabled": True}}}
