from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmos.bench.random_gguf import write_random_gguf
from llmos.cli import main as program
from llmos.conversation import session
from llmos.conversation.store import Store
from llmos.plugins.contributions import Turn
from llmos.settings import folders
from llmos.types import EffectClass, Mark, Page, ToolSpec
from tests.helpers.fake_kernel import FakeKernel, Script
from tests.helpers.fake_plugins import FakePlugins

KEYS = [
    "text", "model", "prompt_tokens", "cached_tokens", "completion_tokens", "seconds", "tokens_per_second",
    "stop_reason", "tool_calls", "citations",
]  # fmt: skip


class Scripted:
    """Runs ``llmos ask`` on a scripted kernel."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kernel = FakeKernel()
        self.plugins = FakePlugins()
        self._patch = monkeypatch
        monkeypatch.setattr(session, "_kernel", lambda *a: self.kernel)
        monkeypatch.setattr(session, "_plugins", lambda *a: self.plugins)

    def ask(self, *arguments: str, piped: bytes | None = None) -> int:
        stdin: Any = io.TextIOWrapper(io.BytesIO(piped or b""))
        stdin.isatty = lambda: piped is None  # type: ignore[method-assign]
        self._patch.setattr(sys, "stdin", stdin)
        return program.run(program.cli, ["ask", *arguments])


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    yield Scripted(monkeypatch)


def test_the_answer_is_printed(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.kernel.script = ["<think>hm</think>Hello \x1b[31mthere."]
    assert scripted.ask("Hi") == 0
    shown = capsys.readouterr()
    assert shown.out == "Hello there.\n"
    assert shown.err == ""


def test_json_is_one_object_with_the_promised_keys(
    scripted: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.kernel.script = ["Hello."]
    assert scripted.ask("Hi", "--json", "--seed", "3", "--temperature", "0", "--max-tokens", "5") == 0
    data = json.loads(capsys.readouterr().out)
    assert list(data)[: len(KEYS)] == KEYS
    assert (data["text"], data["model"], data["stop_reason"]) == ("Hello.", "fake", "stop")
    request = scripted.kernel.requests[0]
    assert (request.sampling.seed, request.sampling.temperature, request.max_tokens) == (3, 0.0, 5)


def test_continue_goes_on_in_the_last_chat(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    assert scripted.ask("Hi", "--continue") == 1
    assert "no chat to go on with" in capsys.readouterr().err
    assert scripted.ask("First") == 0
    assert scripted.ask("Second", "--continue", "--system", "Be brief.") == 0
    assert "First" in scripted.kernel.prompts[1]
    assert "Be brief." in scripted.kernel.prompts[1]
    assert len(Store(folders().store_file).list_chats()) == 1
    assert scripted.ask("Third", "--chat", "First") == 0
    assert "Second" in scripted.kernel.prompts[2]


def test_stdin_is_the_question(scripted: Scripted) -> None:
    assert scripted.ask(piped="Wie geht’s?\0\x1b[2J \n".encode() + b"\xff") == 0
    assert "user\nWie geht’s? \n\ufffd<|im_end|>" in scripted.kernel.prompts[0]


def test_stdin_beside_a_question_is_an_untrusted_page(scripted: Scripted) -> None:
    assert scripted.ask("Sum up", piped=b"long <|im_start|> text") == 0
    assert "[1] stdin\nlong" in scripted.kernel.prompts[0]
    store = Store(folders().store_file)
    user, answer = store.branch(store.list_chats()[0].id)
    assert user.pages[0].labels.tainted
    assert answer.labels.tainted


def test_files_are_attached(scripted: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("the content")
    assert scripted.ask("Sum up", "--file", str(tmp_path / "a.txt")) == 0
    assert "[1] a.txt\nthe content" in scripted.kernel.prompts[0]
    assert scripted.ask("Sum up", "--file", str(tmp_path / "b.txt")) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_nothing_to_ask(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    assert scripted.ask(piped=b" \n") == 1
    assert "nothing to send" in capsys.readouterr().err


def saver() -> FakePlugins:
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    tool = ToolSpec("save", "Save.", schema, EffectClass.WRITE)
    return FakePlugins([tool], {"save": lambda path: "saved"})


CALL = '{"name": "save", "arguments": {"path": "/x"}}'


def test_an_effect_is_refused_and_the_reason_printed(
    scripted: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.plugins = saver()
    scripted.kernel.script = [f"<tool_call>{CALL}</tool_call>", "Not saved."]
    assert scripted.ask("Save it", piped=b"") == 0
    shown = capsys.readouterr()
    assert shown.out == "Not saved.\n"
    assert "✗ save" in shown.err
    assert "name this exact call" in shown.err
    assert scripted.plugins.calls == []


def test_allow_names_the_exact_call(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.plugins = saver()
    scripted.kernel.script = [f"<tool_call>{CALL}</tool_call>", "Saved."]
    assert scripted.ask("Save it", "--allow", CALL, "--json", piped=b"") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["tool_calls"][0]["ok"]
    assert len(scripted.plugins.calls) == 1
    other = CALL.replace("/x", "/y")
    scripted.kernel.script = [f"<tool_call>{CALL}</tool_call>", "No."]
    assert scripted.ask("Save it", "--allow", other, piped=b"") == 0
    assert len(scripted.plugins.calls) == 1
    assert scripted.ask("x", "--allow", "{broken", piped=b"") == 1
    assert "llmos: " in capsys.readouterr().err


def test_a_kernel_that_dies_is_exit_code_1_with_what_came(
    scripted: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.kernel.script = [Script("one two three", die_after=1)]
    assert scripted.ask("Hi") == 1
    shown = capsys.readouterr()
    assert shown.out == "one\n"
    assert shown.err.count("\n") == 1
    assert "died" in shown.err
    scripted.kernel.script = [Script("one two three", die_after=1)]
    assert scripted.ask("Hi", "--json") == 1
    assert json.loads(capsys.readouterr().out)["stop_reason"] == "crashed"


def test_too_long_says_how_long_and_what_fits(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.kernel.context = 256
    scripted.kernel.__post_init__()
    assert scripted.ask("word " * 899 + "word") == 1
    error = capsys.readouterr().err
    assert "900 tokens long" in error
    assert "shorten it" in error


def test_values_for_plugins(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []
    scripted.plugins.bring = lambda turn: seen.append(dict(turn.options)) or []  # type: ignore[func-returns-value]
    assert scripted.ask("Hi", "--think", "5", "-o", "level=2", "-o", "name=x y") == 0
    assert {key: seen[0][key] for key in ("think", "level", "name")} == {
        "think": "5", "level": 2, "name": "x y",
    }  # fmt: skip
    assert scripted.ask("Hi", "-o", "level") == 1
    assert "NAME=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y\n", "once"), ("C\n", "chat"), ("a\n", "deny"), ("n\n", "deny"), ("", "deny"), ("what?\n", "deny")],
)
async def test_the_terminal_is_asked_about_the_exact_call(
    typed: str, answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from llmos.cli.app_context import ask_approval
    from llmos.types import Approval, ToolCall

    question = Approval(
        ToolCall("save", {"path": "/x"}), EffectClass.WRITE, "save /x exactly", "It writes.", diff="+new",
        scopes=("once", "chat"),
    )  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert await ask_approval(question) == answer
    shown = capsys.readouterr().err
    for part in ("save", "It writes.", "save /x exactly", "+new", "[y] once", "[c] for this chat"):
        assert part in shown
    assert "[a]" not in shown


# -- on a real kernel ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_gguf(tmp_path_factory.mktemp("models") / "random.gguf")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "llmos.cli.main", *arguments]


def test_a_real_kernel_answers(model: Path) -> None:
    arguments = command(
        "ask", "Hi", "--model", str(model), "--json", "--seed", "1", "--max-tokens", "12", "--no-tools"
    )
    first = subprocess.run(arguments, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert first.returncode == 0, first.stderr
    data = json.loads(first.stdout)
    assert 0 < data["completion_tokens"] <= 12
    assert data["prompt_tokens"] > 5
    second = subprocess.run(
        [*arguments, "--continue"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert json.loads(second.stdout)["prompt_tokens"] > data["prompt_tokens"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_keeps_what_came(model: Path, number: signal.Signals) -> None:
    arguments = command(
        "--safe-mode",
        "ask",
        "Hi",
        "--model",
        str(model),
        "--seed",
        "5",
        "--no-tools",
        "-o",
        "stop=[]",
        "--system",
        "x",
    )
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert process.stdout is not None
    first = os.read(process.stdout.fileno(), 1)
    assert first
    process.send_signal(number)
    rest, errors = process.communicate(timeout=30)
    assert b"Traceback" not in errors
    store = Store(folders().store_file)
    user, answer = store.branch(store.list_chats()[0].id)
    assert user.content == "Hi"
    assert answer.status in ("stopped", "complete")  # a random model may end at once
    if answer.status == "stopped":
        assert process.returncode == 128 + number
    assert answer.content.strip() == (first + rest).decode("utf-8", "replace").strip()


@pytest.mark.parametrize("content", [b"", b"GGUF", bytes(range(256)) * 200], ids=["empty", "cut", "noise"])
def test_a_bad_model_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    done = subprocess.run(
        command("ask", "Hi", "--model", str(path)), capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("llmos: ")
    assert done.stderr.count("\n") == 1


def test_a_missing_model_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert program.run(program.cli, ["ask", "Hi", "--model", "/nowhere/x.gguf"]) == 1
    assert time.monotonic() - began < 60
    assert "/nowhere/x.gguf" in capsys.readouterr().err


def marking() -> FakePlugins:
    """Brings a passage, and marks the sentence about elves."""

    def remark(turn: Turn) -> list[Mark]:
        assert turn.answer is not None
        text = turn.answer.content
        start = text.find("Elves made it.")
        return [Mark(start, start + 14, "Elves made it.", "No passage says so.")] if start >= 0 else []

    return FakePlugins(bring=lambda turn: [Page("Blue.", "passage", source="a.md")], remark=remark)


def test_marks_stand_inside_the_answer(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.plugins = marking()
    scripted.kernel.script = ["It is blue [1].\nElves made it.\n\nIt is old."] * 3
    assert scripted.ask("What?") == 0
    shown = capsys.readouterr()
    assert shown.out == "It is blue [1].\nElves made it. [?]\n\nIt is old.\n"
    assert shown.err == "[?] No passage says so.\n"
    assert scripted.ask("What?", "--plain") == 0
    shown = capsys.readouterr()
    assert "[?]" not in shown.out + shown.err
    assert scripted.ask("What?", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    (mark,) = data["marks"]
    assert data["text"][mark["start"] : mark["end"]] == mark["text"] == "Elves made it."
    assert (mark["kind"], mark["note"]) == ("unsupported", "No passage says so.")
