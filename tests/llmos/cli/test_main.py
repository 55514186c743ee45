from __future__ import annotations

import logging
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

import llmos
from llmos.cli import main as program
from llmos.settings import folders
from llmos.types import UserError


def run(*arguments: str) -> int:
    return program.run(program.cli, list(arguments))


def test_every_verb_of_the_table_that_is_there_is_a_command() -> None:
    for verb in program.VERBS:
        if program._exists(verb):
            assert isinstance(program._load(verb), click.Command), verb


def test_help_lists_verbs_without_importing_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for verb in ("ask", "chats", "doctor"):
        assert verb in shown


def test_a_verb_imports_neither_the_face_nor_the_kernels_library_nor_other_verbs() -> None:
    code = (
        "import sys; from llmos.cli import main; main.run(main.cli, ['chats', 'list']); "
        "heavy = [m for m in ('textual', 'llama_cpp', 'numpy', 'huggingface_hub', 'llmos.cli.models') "
        "if m in sys.modules]; print(heavy)"
    )
    folders().make()
    subprocess.run([sys.executable, "-m", "llmos.cli.main", "chats", "list"], check=True)  # makes the store
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.strip() == f"llmos {llmos.__version__}"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("The file\nis gone."), "llmos: The file is gone.\n"),
        (
            ValueError("odd"),
            "llmos: Something went wrong in the program itself (ValueError: odd); details are in ",
        ),
    ],
)
def test_errors_are_one_line_and_exit_code_1(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def broken() -> None:
        raise error

    logging.getLogger("llmos").handlers.clear()  # an earlier test's log file lies in another home
    assert program.run(broken, []) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(line)
    assert shown.count("\n") == 1
    if isinstance(error, ValueError):
        assert "odd" in folders().log_file.read_text()


def test_a_traceback_for_those_who_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise ValueError("odd")

    monkeypatch.setenv("LLMOS_DEBUG", "1")
    with pytest.raises(ValueError, match="odd"):
        program.run(broken, [])


def test_an_unknown_verb_or_option_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nonsense") == 2
    assert "No such command" in capsys.readouterr().err
    assert run("chats", "list", "--nonsense") == 2
    assert "No such option" in capsys.readouterr().err


def test_bad_settings_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    where = folders().make()
    where.settings_file.write_text("[chat]\ntemperature = 99\n")
    assert run("ask", "hi") == 1
    assert "chat.temperature" in capsys.readouterr().err


def test_a_closed_pipe_is_no_traceback() -> None:
    done = subprocess.run(
        f"{sys.executable} -m llmos.cli.main --help | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr


def test_the_console_script_is_this_module() -> None:
    project = tomllib.loads((Path(llmos.__file__).parent.parent / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["llmos"] == "llmos.cli.main:main"
