"""doctor, bench, plain mode, plugins' verbs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from llmos.bench.random_gguf import write_random_gguf
from llmos.cli import bench, doctor, plugin_verbs
from llmos.cli import main as program
from llmos.plugins.contributions import CommandContext, CommandResult
from llmos.plugins.manifest import CommandEntry
from llmos.settings import folders
from llmos.types import UserError


def run(*arguments: str) -> int:
    return program.run(program.cli, list(arguments))


# -- doctor ----------------------------------------------------------------------------------------


def test_the_doctor_names_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    path = write_random_gguf(tmp_path / "m.gguf")
    monkeypatch.setenv("LLMOS_MODEL__NAME", str(path))
    assert run("doctor", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["missing"] == []
    assert data["python"]["version"] == sys.version.split()[0]
    assert data["llama_cpp"]["loads"]
    assert data["llama_cpp"]["build"]
    assert data["model"]["path"] == str(path)
    assert data["model"]["threads"] >= 1
    assert data["model"]["tokens_per_second"] > 0
    assert data["folders"]["data"] == str(folders().data)
    assert data["memory"]["total_bytes"] > 0
    assert data["cpu"]["usable_cores"] >= 1
    assert run("doctor", "--no-load") == 0
    assert "Everything that is needed is there." in capsys.readouterr().out


def test_the_doctor_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("LLMOS_MODEL__NAME", "/nowhere.gguf")
    folders().make().store_file.write_bytes(b"broken" * 1_000)
    assert run("doctor", "--json", "--no-load") == 1
    missing = json.loads(capsys.readouterr().out)["missing"]
    assert any("/nowhere.gguf" in one for one in missing)
    assert any("set aside" in one for one in missing)


def test_a_part_that_fails_does_not_end_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(report: doctor.Report) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(doctor, "_cpu", broken)
    report = doctor.examine(load=False)
    assert any("cpu could not be examined (RuntimeError: odd)" in one for one in report.missing)
    assert report.facts["python"]


# -- bench -----------------------------------------------------------------------------------------


@pytest.fixture
def fake_bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("fake_bench_module")
    module.calls = []  # type: ignore[attr-defined]

    def measure(model: str = "", quick: bool = False, size: int = 1) -> dict[str, Any]:
        module.calls.append((model, quick, size))  # type: ignore[attr-defined]
        figures = [
            {"name": "speed", "value": 12.3456, "unit": "tokens/s", "target": ">= 10", "ok": True},
            {"name": "misses", "value": size, "unit": "", "target": "<= 1", "ok": size <= 1},
        ]
        return {"figures": figures, "machine": {"cores": 2}}

    module.run = measure  # type: ignore[attr-defined]
    module.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec("fake_bench_module", None)
    monkeypatch.setitem(sys.modules, "fake_bench_module", module)
    monkeypatch.setitem(bench.BENCHMARKS, "fake", ("fake_bench_module:run", "A fake."))
    return module


def test_a_benchmark_as_table_and_json(fake_bench: ModuleType, capsys: Any) -> None:
    assert run("bench", "fake", "--model", "m", "--quick") == 0
    shown = capsys.readouterr().out
    assert "12.35" in shown
    assert "cores: 2" in shown
    assert run("bench", "fake", "--json", "-o", "size=3") == 1
    data = json.loads(capsys.readouterr().out)
    assert [figure["ok"] for figure in data["figures"]] == [True, False]
    assert set(data) == {"figures", "machine"}
    assert fake_bench.calls == [("m", True, 1), ("", False, 3)]


def test_benchmarks_are_listed_and_unknown_ones_refused(fake_bench: ModuleType, capsys: Any) -> None:
    assert run("bench") == 0
    assert "fake" in capsys.readouterr().out
    assert run("bench", "nonsense") == 1
    assert "There is no benchmark nonsense" in capsys.readouterr().err
    assert run("bench", "fake", "-o", "colour=red") == 1
    assert "does not take colour" in capsys.readouterr().err


# -- plain mode ------------------------------------------------------------------------------------


def test_plain_mode_reads_lines_and_answers_each(tmp_path: Path) -> None:
    path = write_random_gguf(tmp_path / "m.gguf")
    (folders().make().settings_file).write_text("[chat]\nmax_tokens = 8\ntool_rounds = 0\n")
    done = subprocess.run(
        [sys.executable, "-m", "llmos.cli.main", "--safe-mode", "--model", str(path), "--plain"],
        input="Hello\n\n/help\n/new\nAgain\n/quit\nnever read\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "/new begins a chat" in done.stderr
    from llmos.conversation.store import Store

    store = Store(folders().store_file)
    firsts = [store.branch(chat.id)[0].content for chat in store.list_chats()]
    assert sorted(firsts) == ["Again", "Hello"]


# -- plugins' verbs --------------------------------------------------------------------------------


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Three commands of a plugin; returns the calls."""
    calls: list[tuple[str, dict[str, Any]]] = []
    entries = [
        CommandEntry.model_validate(one)
        for one in (
            {"name": "disk add", "help": "Add.", "parameters": [
                {"name": "paths", "many": True, "required": True, "kind": "path"},
                {"name": "trust", "kind": "flag"},
                {"name": "max_size", "option": True, "kind": "int", "default": 5},
            ]},
            {"name": "disk list", "help": "List."},
            {"name": "greet", "help": "Greet.", "parameters": [{"name": "who", "default": "you"}]},
        )
    ]  # fmt: skip

    async def run_command(name: str, arguments: dict[str, Any], context: CommandContext) -> CommandResult:
        calls.append((name, arguments))
        context.write("progress")
        return CommandResult(f"ran {name} \x1b[31m", {"n": 1}, ok=name != "disk list")

    class Session:
        plugins = type("P", (), {"run_command": staticmethod(run_command)})

    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def session(**_: Any) -> Any:
        yield Session

    monkeypatch.setattr(plugin_verbs, "_entries", lambda: entries)
    monkeypatch.setattr("llmos.cli.app_context.cli_session", session)
    return calls


def test_plugins_commands_are_verbs(commands: list[Any], capsys: Any) -> None:
    assert run("disk", "add", "a", "b", "--trust", "--max-size", "9") == 0
    assert capsys.readouterr().out == "progress\nran disk add \n"
    assert run("greet", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"n": 1}
    assert run("disk", "list") == 1
    assert commands == [
        ("disk add", {"paths": ["a", "b"], "trust": True, "max_size": 9}),
        ("greet", {"who": "you"}),
        ("disk list", {}),
    ]
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert "Commands of plugins" in shown
    assert "greet" in shown


def test_safe_mode_offers_none(commands: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("LLMOS_SAFE_MODE", "1")
    assert plugin_verbs._entries() == []


def test_a_missing_part_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(program.VERBS, "ghost", ("llmos.cli.ghost:ghost", "x"))
    with pytest.raises(UserError, match="not in this version"):
        program._load("ghost")
