"""The plugin behind the program's own manager: tool, commands, status, renderer, handed files."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from llmos_code.handed_files import hand_in
from llmos_code.tiers import TIERS

from llmos.plugins import CommandContext, ToolContext
from llmos.plugins.manager import PluginManager
from llmos.settings import Folders, Settings
from llmos.types import EffectClass, ToolCall, UserError

pytestmark = pytest.mark.skipif(
    all(tier.missing() for tier in TIERS), reason="this machine has no sandbox at all"
)


def manager_in(folder: Path, **options: object) -> PluginManager:
    settings = Settings()
    settings.plugins.options["code"] = {**options}
    settings.plugins.disabled = ["web", "disk", "ram", "mcp", "reason"]
    folders = Folders(folder / "config", folder / "data", folder / "cache", folder / "log").make()
    return PluginManager(settings, folders)


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[PluginManager]:
    opened = manager_in(tmp_path)
    yield opened
    await opened.close()


async def test_the_tool_is_offered_without_importing_it(manager: PluginManager) -> None:
    (spec,) = [spec for spec in manager.tools() if spec.name == "python"]
    assert spec.effect is EffectClass.EXECUTE and spec.contained
    assert list(spec.parameters["properties"]) == ["code"]
    assert manager.plugin("code").place is None


async def test_a_call(manager: PluginManager) -> None:
    seen: list[str] = []
    result = await manager.call_tool(
        ToolCall("python", {"code": "print('working')\n37 * 41"}), ToolContext("chat", seen.append)
    )
    assert result.ok and result.text == "working\n1517"
    assert result.data is not None and result.data["value"] == "1517"
    assert "".join(seen) == "working\n"
    assert result.labels.origins == {"tool:python"} and not result.labels.tainted
    drawn = await manager.render("python", result)
    assert drawn is not None and "1517" in drawn[0].data["markdown"]


async def test_the_declared_tool_is_the_real_one(manager: PluginManager) -> None:
    declared = [spec for spec in manager.tools() if spec.plugin == "code"]
    await manager.load("code")
    assert [spec for spec in manager.tools() if spec.plugin == "code"] == declared


async def test_chats_have_sessions_of_their_own(manager: PluginManager) -> None:
    await manager.call_tool(ToolCall("python", {"code": "secret = 5"}), ToolContext("one"))
    other = await manager.call_tool(ToolCall("python", {"code": "secret"}), ToolContext("two"))
    assert not other.ok and "NameError" in other.text
    same = await manager.call_tool(ToolCall("python", {"code": "secret"}), ToolContext("one"))
    assert same.text == "5"


async def test_many_chats_do_not_keep_many_sandboxes(manager: PluginManager) -> None:
    import psutil

    for number in range(7):
        result = await manager.call_tool(ToolCall("python", {"code": "1"}), ToolContext(f"chat {number}"))
        assert result.ok
    guests = [p for p in psutil.Process().children(recursive=True) if "guest.pyc" in " ".join(p.cmdline())]
    # bubblewrap and its interpreter are two processes.
    assert len(guests) <= 2 * 5


async def test_handed_files_mark_the_result(manager: PluginManager, tmp_path: Path) -> None:
    data = tmp_path / "figures.txt"
    data.write_text("3 4 5")
    context = CommandContext("tui", "chat")
    added = await manager.run_command("code add", {"paths": [str(data)]}, context)
    assert added.ok and "files/figures.txt" in added.text
    code = "open('files/figures.txt').read()"
    result = await manager.call_tool(ToolCall("python", {"code": code}), ToolContext("chat"))
    assert result.text == "'3 4 5'"
    assert result.labels.tainted and result.labels.private
    assert f"file:{data}" in result.labels.origins
    assert (await manager.run_command("code reset", {}, context)).ok
    again = await manager.call_tool(ToolCall("python", {"code": code}), ToolContext("chat"))
    assert not again.ok and not again.labels.tainted


async def test_run_commands(manager: PluginManager, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("print('from a file')")
    shown = await manager.run_command("run", {"code": "1 + 1"}, CommandContext("tui", "c"))
    assert shown.ok and "2" in shown.text
    lines: list[str] = []
    shell = CommandContext("cli", write=lines.append)
    run = await manager.run_command("code run", {"script": str(script)}, shell)
    assert run.ok and run.text == "" and lines == ["from a file"]
    assert run.data["output"] == "from a file\n"
    bad = await manager.run_command("code run", {"code": "1/0"}, CommandContext("cli"))
    assert not bad.ok and "ZeroDivisionError" in bad.text
    nothing = await manager.run_command("code run", {}, CommandContext("cli"))
    assert not nothing.ok and "no code to run" in nothing.text
    missing = await manager.run_command("code run", {"script": "/nowhere.py"}, CommandContext("cli"))
    assert not missing.ok and "/nowhere.py" in missing.text
    slow = await manager.run_command(
        "code run", {"code": "while True: pass", "seconds": 0.3}, CommandContext("cli")
    )
    assert not slow.ok and "0.3 seconds" in slow.text


async def test_doctor_and_status_name_the_tier(manager: PluginManager) -> None:
    report = await manager.run_command("code doctor", {}, CommandContext("cli"))
    used = report.data["used"]
    assert report.ok and used in report.text
    assert {row["tier"] for row in report.data["tiers"]} == {tier.name for tier in TIERS}
    assert await manager.view_status("code", "code") == f"code: {used}"


async def test_a_machine_without_a_sandbox_runs_nothing(tmp_path: Path) -> None:
    # sandbox-exec and bubblewrap are never both there.
    absent = next(tier for tier in TIERS if tier.missing())
    manager = manager_in(tmp_path, tier=absent.name)
    try:
        result = await manager.call_tool(ToolCall("python", {"code": "print(1)"}), ToolContext("c"))
        assert not result.ok and result.text.startswith("No code is run") and absent.name in result.text
        doctor = await manager.run_command("code doctor", {}, CommandContext("cli"))
        assert not doctor.ok and doctor.data["used"] == ""
    finally:
        await manager.close()


def test_only_ordinary_files_are_handed_in(tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        hand_in(folder, tmp_path / "missing")
    with pytest.raises(UserError, match="no ordinary file"):
        hand_in(folder, tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UserError, match="no ordinary file"):
            hand_in(folder, tmp_path / "pipe")
    (tmp_path / "a.txt").write_text("one")
    assert hand_in(folder, tmp_path / "a.txt") == "a.txt"
    (tmp_path / "a.txt").write_text("two")
    assert hand_in(folder, tmp_path / "a.txt") == "a.txt"
    assert (folder / "a.txt").read_text() == "two"
    assert (folder / "a.txt").stat().st_mode & 0o222 == 0
