"""Completion in the prompt and slash commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import work

from llmos.errors import UserError
from llmos.tui.screens.chat_base import ChatBase

if TYPE_CHECKING:
    from llmos.tui.backend import CommandOffer
    from llmos.tui.widgets.completion import Candidate
    from llmos.tui.widgets.prompt import Prompt


class CompletionActions(ChatBase):
    """Slash commands and mentions."""

    async def attachments(self, text: str) -> Mapping[str, Any] | None:
        """Files and chats that the text names by ``@``."""
        if "@" not in text:
            return None
        import asyncio

        from llmos.tui.mentions import mentioned_chats, mentioned_files

        options: dict[str, Any] = {}
        if files := await asyncio.to_thread(mentioned_files, text):
            options["files"] = files
        store = await self.store()
        for title in mentioned_chats(text):
            found = await store.run(partial(store.list_chats, limit=20, title=title))
            others = [chat for chat in found if chat.id != self.chat_id]
            others.sort(key=lambda chat: self.face.clean(chat.title) != title)
            options.setdefault("chats", []).extend(chat.id for chat in others[:1])
        return options or None

    async def on_prompt_completion_wanted(self, event: Prompt.CompletionWanted) -> None:
        """Show what fits the word before the cursor."""
        from llmos.tui.widgets.completion import best

        event.stop()
        if not self.filled:
            return
        word = event.word
        candidates: list[Candidate] = []
        if word.startswith("/") and event.at_start:
            candidates = best(word, self._slash_candidates())
            if any(candidate.value == word for candidate in candidates):
                candidates = []
        elif word.startswith("@"):
            candidates = await self._mention_candidates(word)
        self.completion.show(word, candidates)
        self.prompt.completing = bool(candidates)

    def on_prompt_completion_key(self, event: Prompt.CompletionKey) -> None:
        """Keys while completions are shown."""
        event.stop()
        if event.key in ("up", "down"):
            self.completion.move(-1 if event.key == "up" else 1)
            return
        chosen = self.completion.chosen
        if event.key in ("tab", "enter") and chosen is not None:
            end = "" if chosen.value.endswith("/") and chosen.value.startswith("@") else " "
            self.prompt.complete(self.completion.word, chosen.value + end)
        self.completion.hide()
        self.prompt.completing = False

    def _slash_candidates(self) -> list[Candidate]:
        from llmos.tui.commands import COMMANDS
        from llmos.tui.widgets.completion import Candidate

        own = [
            Candidate(f"/{command.name}", f"{command.argument}  {command.help}".strip()) for command in COMMANDS
        ]
        return [
            *own,
            *(Candidate(f"/{one.name}", self.face.clean(one.help)) for one in self._plugin_commands()),
        ]

    def _plugin_commands(self) -> list[CommandOffer]:
        backend = self.face.backend
        return list(backend.commands()) if backend is not None else []

    async def _mention_candidates(self, word: str) -> list[Candidate]:
        import asyncio

        from llmos.tui.mentions import file_candidates
        from llmos.tui.widgets.completion import Candidate

        found = await asyncio.to_thread(file_candidates, word)
        if len(word) > 1 and self.face.backend is not None and "/" not in word:
            store = self.face.backend.store
            chats = await store.run(lambda: store.list_chats(limit=5, title=word[1:]))
            found += [Candidate(f'@"chat:{self.face.clean(chat.title)}"', "chat") for chat in chats]
        return found

    # Slash commands

    async def run_slash(self, text: str) -> bool:
        """Run a slash command; False when the text is none."""
        import inspect

        call = self.slash_call(text)
        if call is None:
            return False
        result = call()
        if inspect.isawaitable(result):
            await result
        return True

    def slash_call(self, text: str) -> Callable[[], Any] | None:
        """What a slash command does; None when the text is none."""
        from llmos.tui.commands import find_command

        if not text.startswith("/"):
            return None
        name, _, rest = text[1:].partition(" ")
        # The longest name first: "/web search x" is not "/web" with a query that begins so.
        for one in sorted(self._plugin_commands(), key=lambda one: -len(one.name)):
            after = text[1 + len(one.name) :]
            if text[1:].startswith(one.name) and not after[:1].strip():
                return partial(self._run_plugin_command, one, after.strip())
        command = find_command(name)
        if command is not None:
            return partial(getattr(self, command.call), rest.strip())
        if "/" in name or not name.isidentifier():
            return None  # A path, not a command.
        return partial(self.face.tell, f"No command is called /{name}; type / to see them all.", "warning")

    @work(group="command")
    async def _run_plugin_command(self, command: CommandOffer, rest: str) -> None:
        """Run a command of a plugin; its text comes into the transcript."""
        backend = await self.face.ready()
        written: list[str] = []
        try:
            arguments = parse_arguments(command, rest)
            self.face.tell(f"/{command.name} …")
            result = await backend.run_command(command.name, arguments, self.chat_id, written.append)
        except UserError as error:
            await self.add_notice(self.face.clean(str(error)), "error")
            return
        whole = self.face.clean("\n".join([*written, result.text]).strip())
        if whole:
            self.remove_welcome()
            await self.add_text(whole)
        if result.prompt:
            self.send(result.prompt)

    async def slash_help(self, rest: str) -> None:
        """``/help QUESTION``."""
        from llmos.tui.screens.help import open_handbook

        if rest:
            await open_handbook(self.face, rest)
        else:
            self.face.action_context_help()

    async def slash_new(self, rest: str) -> None:
        """``/new``."""
        await self.run_action("screen.new_chat")

    def slash_rename(self, rest: str) -> None:
        """``/rename TITLE``."""
        self.rename(self.chat_id, rest)

    async def slash_delete(self, rest: str) -> None:
        """``/delete``."""
        await self.run_action("screen.delete_chat")

    async def slash_undelete(self, rest: str) -> None:
        """``/undelete``."""
        await self.run_action("screen.undelete_chat")

    def slash_model(self, rest: str) -> None:
        """``/model NAME``."""
        if rest:
            self.face.run_worker(self.face.load_model(rest), group="load")
        else:
            self.face.action_pick_model()

    def slash_theme(self, rest: str) -> None:
        """``/theme NAME``."""
        from llmos.tui.choices import set_theme

        if rest:
            set_theme(self.face, rest)
        else:
            self.face.action_pick_theme()

    async def slash_copy(self, rest: str) -> None:
        """``/copy chat|answer|code``."""
        name = {"answer": "copy_answer", "code": "copy_code"}.get(rest, "copy_chat")
        await self.run_action(f"screen.{name}")

    async def slash_search(self, rest: str) -> None:
        """``/search``."""
        await self.run_action("screen.search_chats")

    async def slash_pin(self, rest: str) -> None:
        """``/pin``."""
        await self.run_action("screen.pin_chat")

    async def slash_tags(self, rest: str) -> None:
        """``/tags WORDS``."""
        if rest and self.chat_id:
            store = await self.store()
            await store.run(store.tag_chat, self.chat_id, rest.replace(",", " ").replace("#", " ").split())
            await self.refresh_list()
        else:
            await self.run_action("screen.tag_chat")

    async def slash_retry(self, rest: str) -> None:
        """``/retry``."""
        blocks = self.transcript.blocks
        if blocks:
            self.transcript.place_cursor(blocks[-1])
            await self.run_action("screen.block('regenerate')")

    async def slash_keys(self, rest: str) -> None:
        """``/keys``."""
        from llmos.tui.actions import keys_document
        from llmos.tui.screens.reader import Reader

        await self.app.push_screen(Reader("Keys", keys_document(), markdown=True))

    async def slash_quit(self, rest: str) -> None:
        """``/quit``."""
        await self.face.action_quit()


def parse_arguments(command: CommandOffer, rest: str) -> dict[str, Any]:
    """Arguments of a plugin's command from what was typed after its name.

    Raises:
        UserError: a quotation is open, an argument is missing or has the wrong form.
    """
    import shlex

    if len(command.parameters) == 1 and rest:
        (only,) = command.parameters
        if only.kind == "text" and not only.option and not only.many:
            return {only.name: rest}  # code, a question: quotation marks and lines are part of it
    try:
        words = shlex.split(rest)
    except ValueError as error:
        said = [one for one in command.parameters if not one.option]
        words = rest.split() if said and said[-1].kind == "text" and not said[-1].many else []
        if not words:  # in a sentence it is an apostrophe
            raise UserError(f"/{command.name}: a quotation mark is missing its partner.") from error
    values: dict[str, Any] = {}
    options = {
        parameter.name.replace("_", "-"): parameter for parameter in command.parameters if parameter.option
    }
    plain: list[str] = []
    while words:
        word = words.pop(0)
        option = options.get(word.removeprefix("--")) if word.startswith("--") else None
        if option is None:
            plain.append(word)
        elif option.kind == "flag":
            values[option.name] = True
        elif words:
            values[option.name] = _converted(command, option.name, option.kind, words.pop(0))
        else:
            raise UserError(f"/{command.name}: --{option.name} needs a value.")
    positional = [parameter for parameter in command.parameters if not parameter.option]
    for place, parameter in enumerate(positional):
        last = place == len(positional) - 1
        if parameter.many:
            values[parameter.name] = tuple(plain)
            plain = []
        elif plain:
            word = " ".join(plain) if last and parameter.kind == "text" else plain[0]
            plain = [] if last and parameter.kind == "text" else plain[1:]
            values[parameter.name] = _converted(command, parameter.name, parameter.kind, word)
        elif parameter.required:
            raise UserError(f"/{command.name} needs {parameter.name}: {parameter.help or 'see /help'}")
    if plain:
        raise UserError(f"/{command.name} does not know what to do with {plain[0]!r}.")
    for parameter in command.parameters:
        values.setdefault(parameter.name, False if parameter.kind == "flag" else parameter.default)
    return values


def _converted(command: CommandOffer, name: str, kind: str, word: str) -> Any:
    try:
        return int(word) if kind == "int" else float(word) if kind == "float" else word
    except ValueError as error:
        raise UserError(f"/{command.name}: {name} must be a number, not {word!r}.") from error
