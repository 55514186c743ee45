"""``/run`` in the chat and ``llmos code …`` in the shell."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from llmos.plugins import Command, CommandContext, CommandResult, Host, Parameter
from llmos.types import UserError
from llmos_code.limits import SandboxError
from llmos_code.results import data_of, fenced, save_images, text_of
from llmos_code.runner import Runner
from llmos_code.tiers import Tiers

MAX_SCRIPT = 1_000_000
_NAMES = ("auto", "bubblewrap", "landlock", "sandbox-exec", "monty")


def commands(host: Host, runner: Callable[[], Runner]) -> list[Command]:
    """The plugin's commands."""

    def run(
        context: CommandContext,
        code: str = "",
        script: str = "",
        file: Sequence[str] = (),
        seconds: float | None = None,
        tier: str = "",
    ) -> CommandResult:
        """Run code given as text or as a file."""
        source = code or _script(script)
        if not source.strip():
            raise UserError("There is no code to run: give it as text, or a file with --script.")
        if seconds is not None and seconds <= 0:
            raise UserError("--seconds must be more than 0.")
        own = tier and tier != host.settings.get("tier", "auto")
        used = Runner(host.data_dir / "once", runner().limits, Tiers(tier)) if own else runner()
        try:
            if file:
                used.hand_in([Path(path) for path in file], context.chat_id)
            live = _Lines(context.write) if context.face == "cli" else None
            result = used.run(
                source,
                context.chat_id,
                seconds=seconds,
                progress=live,
                cancelled=context.cancelled,
            )
        finally:
            if own:
                used.close()
        images = save_images(host.data_dir / "images", result.images)
        data = data_of(result, images)
        if live is None:
            return CommandResult(fenced(text_of(result, images)), data, result.ok)
        live.close()
        # What was printed is on the screen already.
        text = text_of(replace(result, output=""), images) if result.value or images or result.error else ""
        return CommandResult(text, data, result.ok)

    def add(context: CommandContext, paths: Sequence[str]) -> CommandResult:
        """Hand in copies."""
        names = runner().hand_in([Path(path) for path in paths], context.chat_id)
        return CommandResult(
            "The code can read " + ", ".join(f"`files/{name}`" for name in names) + ".", {"files": names}
        )

    def reset(context: CommandContext) -> CommandResult:
        """Forget variables and files."""
        ended = runner().reset(context.chat_id)
        return CommandResult(
            "The sandbox's variables and files are forgotten." if ended else "There was no sandbox to end.",
            {"ended": ended},
        )

    return [
        Command("run", run, "Run Python in this chat's sandbox.", (_CODE_REQUIRED,), ("tui",)),
        Command("code run", run, "Run Python in the sandbox.", _RUN_PARAMETERS),
        Command(
            "code add",
            add,
            "Hand read-only copies of files to this chat's sandbox.",
            (Parameter("paths", "Files.", "path", required=True, many=True),),
            ("tui",),
        ),
        Command(
            "code reset", reset, "End this chat's sandbox: its variables and files are forgotten.", (), ("tui",)
        ),
        Command(
            "code doctor",
            lambda context: _doctor(runner()),
            "Show which sandboxes this machine has, and which one is used.",
        ),
    ]


_CODE_REQUIRED = Parameter("code", "Python source.", required=True)
_RUN_PARAMETERS = (
    Parameter("code", "Python source; left out, --script must be given."),
    Parameter("script", "Run the code of this file; - reads the standard input.", "path", option=True),
    Parameter("file", "Hand in a read-only copy of this file, as files/NAME.", "path", many=True, option=True),
    Parameter("seconds", "Time limit of this run.", "float", option=True),
    Parameter("tier", "Sandbox to use, instead of the setting's.", "choice", option=True, choices=_NAMES),
)


def _script(path: str) -> str:
    """The code of a file, or of the standard input for ``-``."""
    if not path:
        return ""
    try:
        if path == "-":
            raw = sys.stdin.buffer.read(MAX_SCRIPT + 1)
        else:
            with open(os.path.expanduser(path), "rb") as stream:
                raw = stream.read(MAX_SCRIPT + 1)
    except OSError as error:
        raise UserError(f"The script {path} cannot be read: {error.strerror}.") from error
    if len(raw) > MAX_SCRIPT:
        raise UserError(f"The script {path} is longer than {MAX_SCRIPT} bytes.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"The script {path} is no UTF-8 text.") from error


class _Lines:
    """Shows output line by line as it comes."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._rest = ""

    def __call__(self, text: str) -> None:
        """More output."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._write(line)

    def close(self) -> None:
        """Show what has no end of line."""
        if self._rest:
            self._write(self._rest)


def _doctor(runner: Runner) -> CommandResult:
    """Every tier with what was found, and the one in use."""
    findings = runner.findings()
    try:
        used = runner.chosen().name
        verdict = f"Code runs in {used}."
    except SandboxError as error:
        used, verdict = "", str(error)
    rows = [
        {
            "tier": found.tier.name,
            "title": found.tier.title,
            "holds": not found.problem,
            "problem": found.problem,
        }
        for found in findings
    ]
    lines = [f"- {row['title']}: {row['problem'] or 'holds'}" for row in rows]
    return CommandResult("\n".join([verdict, *lines]), {"used": used, "tiers": rows}, ok=bool(used))
