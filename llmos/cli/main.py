"""The command ``llmos``: the terminal face without a verb, else the verb's own module.

A verb's module is imported only when it is named, so that no command pays for another one.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from llmos import __version__
from llmos.types import UserError

#: verb -> (module:command, help in the list).
VERBS: dict[str, tuple[str, str]] = {
    "approvals": ("llmos.cli.approvals:approvals", "List approvals that hold, and take them back."),
    "ask": ("llmos.cli.ask:ask", "Ask one question and print the answer."),
    "bench": ("llmos.cli.bench:bench", "Measure this program on this machine."),
    "build": ("llmos.cli.build:build", "Build the bundled model from a corpus."),
    "chats": ("llmos.cli.chats:chats", "List, show, search, export and delete chats."),
    "doctor": ("llmos.cli.doctor:doctor", "Say what is there, what is chosen and what is missing."),
    "models": ("llmos.cli.models:models", "Find, fit, fetch and choose models."),
    "plugins": ("llmos.cli.plugins:plugins", "List, install, make and check plugins."),
    "stages": ("llmos.cli.stages:stages", "Show how the model was built, live."),
    "tour": ("llmos.cli.stages:tour", "Walk through how the model was built, a step a panel."),
    "serve": ("llmos.cli.serve:serve", "Serve the model to other programs."),
}


class LazyGroup(click.Group):
    """Verbs from the table; one that is not in it may be a plugin's command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the program's own verbs and of plugins' commands."""
        return sorted({*(name for name in VERBS if _exists(name)), *_plugin_verbs()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb; None when there is none."""
        if cmd_name in VERBS:
            return _load(cmd_name)
        from llmos.cli.plugin_verbs import plugin_command

        return plugin_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing their modules."""
        own = [(name, VERBS[name][1]) for name in sorted(VERBS) if _exists(name)]
        with formatter.section("Commands"):
            formatter.write_dl(own)
        brought = _plugin_verbs()
        if brought:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(sorted(brought.items()))


def _exists(verb: str) -> bool:
    module = VERBS[verb][0].partition(":")[0]
    return importlib.util.find_spec(module) is not None


def _plugin_verbs() -> dict[str, str]:
    """Verbs of plugins with their help; none when plugins cannot be read."""
    from llmos.cli.plugin_verbs import plugin_verbs

    return plugin_verbs()


def _load(verb: str) -> click.Command:
    module, _, name = VERBS[verb][0].partition(":")
    if not _exists(verb):
        raise UserError(f"`llmos {verb}` is not in this version of the program.")
    command: click.Command = getattr(importlib.import_module(module), name)
    return command


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Without a command the chat opens in the terminal.",
)
@click.version_option(__version__, "-V", "--version", message="llmos %(version)s")
@click.option("--model", "-m", default="", help="Name or path of the model to chat with.")
@click.option("--chat", default="", help="Id or title of the chat to open.")
@click.option("--continue", "-c", "go_on", is_flag=True, help="Open the chat used last.")
@click.option("--plain", is_flag=True, help="Line by line, for screen readers and pipes.")
@click.option("--slow", is_flag=True, help="Fewer repaints, for slow connections.")
@click.option("--offline", is_flag=True, help="Refuse every network connection.")
@click.option("--safe-mode", is_flag=True, help="Load no plugin.")
@click.option("--kernel", default="", metavar="URL", help="OpenAI-compatible server to use as the kernel.")
@click.pass_context
def cli(
    ctx: click.Context,
    model: str,
    chat: str,
    go_on: bool,
    plain: bool,
    slow: bool,
    offline: bool,
    safe_mode: bool,
    kernel: str,
) -> None:
    """Chat with a language model that runs on this machine."""
    if offline:
        os.environ["LLMOS_OFFLINE"] = "1"
    if safe_mode:
        os.environ["LLMOS_SAFE_MODE"] = "1"
    if kernel:
        os.environ["LLMOS_MODEL__KERNEL_URL"] = kernel
    if ctx.invoked_subcommand is not None:
        return
    # A browser's terminal is no tty: textual-serve names its driver in the environment.
    browser = bool(os.environ.get("TEXTUAL_DRIVER"))
    if plain or not (browser or (sys.stdin.isatty() and sys.stdout.isatty())):
        from llmos.cli.plain import run_plain

        run_plain(model, chat, go_on)
        return
    from llmos.cli.face import run_tui

    run_tui(model=model, chat=chat, go_on=go_on, slow=slow)


def run(command: Callable[..., Any], arguments: list[str] | None = None) -> int:
    """Run a click command; whatever goes wrong becomes one line and an exit code."""
    from llmos.cli import output

    try:
        result = command(args=arguments, prog_name="llmos", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        output.silence_stdout()
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if os.environ.get("LLMOS_DEBUG"):
            raise
        output.report(error)
        return 1
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(cli))


if __name__ == "__main__":
    main()
