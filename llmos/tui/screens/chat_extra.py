"""First-run lines, find in the chat, side panel, settings of the chat, templates, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import work

from llmos.errors import UserError
from llmos.tui.screens.chat_base import ChatBase

if TYPE_CHECKING:
    from llmos.tui.widgets.welcome import Welcome


#: What the bundled model does well.
STARTERS = (
    "What can you do?",
    "How were you built?",
    "What is a token?",
)


class ExtraActions(ChatBase):
    """The parts of the chat screen that come when they are asked for."""

    _found: int = -1

    # First run

    async def refresh_welcome(self) -> None:
        """One line on the model and three starters, while the chat is empty."""
        from llmos.tui.widgets.welcome import Welcome

        if self.chat_id or self.transcript.blocks or self.turn is not None:
            return
        about = self.face.backend.about_model() if self.face.backend is not None else ""
        line = self.face.clean(about) or "The model is being loaded; you can type already."
        if existing := self.query(Welcome):
            existing.first().set_about(line)
        else:
            await self.transcript.mount(Welcome(line, STARTERS))

    def remove_welcome(self) -> None:
        """Take the first-run lines away."""
        self.query("Welcome").remove()

    def on_welcome_chosen(self, event: Welcome.Chosen) -> None:
        """A starter is sent."""
        event.stop()
        self.prompt.focus()
        self.send(event.text)

    # Find

    @work(group="find-bar")
    async def action_find(self) -> None:
        """Open the search field above the prompt."""
        await self._show_find("")

    async def slash_find(self, rest: str) -> None:
        """``/find WORDS``."""
        await self._show_find(rest)
        if rest:
            self.find_next(rest)

    async def _show_find(self, text: str) -> None:
        from textual.widgets import Input

        from llmos.tui.widgets.find_bar import FindBar

        if not self.query(FindBar):
            await self.query_one("#center").mount(FindBar(), before="#prompt")
        field = self.query_one("#find-input", Input)
        field.value = text
        field.focus()
        self._found = -1
        self.set_hint("Enter next, Esc leaves")

    def hide_find(self) -> None:
        """Leave the search in the chat."""
        self.query("FindBar").remove()
        self._unmark()
        if self.turn is None:
            self.set_hint("")

    def _unmark(self) -> None:
        for block in self.transcript.query(".-found"):
            block.remove_class("-found")

    def find_next(self, text: str) -> None:
        """Go to the next block above that holds a text, from the end; around at the top."""
        wanted = text.casefold()
        blocks = self.transcript.blocks
        hits = [place for place, block in enumerate(blocks) if wanted and wanted in block.text.casefold()]
        self._unmark()
        if not hits:
            self.face.tell(f"{text!r} is not in what is shown of this chat; Ctrl+R searches all chats.")
            return
        earlier = [place for place in hits if self._found < 0 or place < self._found]
        self._found = (earlier or hits)[-1]
        block = blocks[self._found]
        block.add_class("-found")
        block.scroll_visible(animate=False)
        self.set_hint(f"{hits.index(self._found) + 1} of {len(hits)}   Enter next, Esc leaves")

    # Side panel

    def toggle_side_panel(self) -> None:
        """Show or hide the side panel; it is built when it is first shown."""
        offers = self.face.backend.panels() if self.face.backend is not None else ()
        panels = [offer for offer in offers if offer.place == "side"]
        if not panels:
            self.face.tell("No plugin brings a side panel.")
            return
        if existing := self.query("SidePanel"):
            side = existing.first()
            side.display = not side.display
            return
        from llmos.tui.widgets.side import SidePanel

        side = SidePanel(panels, id="side")
        side.set_class(self.has_class("-narrow"), "-overlay")
        self.query_one("#main").mount(side)

    # Settings of this chat

    @work(group="chat-settings")
    async def action_system_prompt(self) -> None:
        """Edit the system prompt of this chat."""
        from llmos.tui.screens.ask import AskText

        store = await self.store()
        chat_id = await self.stored_chat()
        present = (await store.run(store.chat_settings, chat_id)).get("system_prompt", "")
        text = await self.app.push_screen_wait(AskText("System prompt of this chat; empty: default", present))
        if text is not None:
            await store.run(store.set_chat_setting, chat_id, "system_prompt", text.strip() or None)
            self.face.tell("The system prompt holds from the next message on.")

    async def slash_system(self, rest: str) -> None:
        """``/system TEXT``."""
        if not rest:
            self.action_system_prompt()
            return
        store = await self.store()
        await store.run(store.set_chat_setting, await self.stored_chat(), "system_prompt", rest)
        self.face.tell("The system prompt holds from the next message on.")

    @work(group="chat-settings")
    async def action_sampling(self) -> None:
        """Choose a sampling setting of this chat and change it."""
        from llmos.tui.screens.picker import Pick, Picker

        store = await self.store()
        chat_id = await self.stored_chat()
        present = await store.run(store.chat_settings, chat_id)
        picks = [
            Pick(name, name.replace("_", " "), f"{present.get(name, 'default')}  ({text})")
            for name, (_, text) in SAMPLING.items()
        ]
        name = await self.app.push_screen_wait(Picker("Sampling of this chat", picks))
        if name is None:
            return
        value = await self.answer_for(
            f"{name} ({SAMPLING[name][1]}); empty: default", str(present.get(name, ""))
        )
        if value is not None:
            await self._set_sampling(name, value)

    async def slash_set(self, rest: str) -> None:
        """``/set temperature 0.2``."""
        name, _, value = rest.partition(" ")
        if not name:
            self.action_sampling()
            return
        await self._set_sampling(name.replace("-", "_"), value)

    async def _set_sampling(self, name: str, value: str) -> None:
        if name not in SAMPLING:
            self.face.tell(
                f"No sampling setting is called {name!r}; there are {', '.join(SAMPLING)}.", "warning"
            )
            return
        try:
            number = SAMPLING[name][0](value.strip()) if value.strip() else None
        except ValueError:
            self.face.tell(f"{name} must be a number, not {value!r}.", "warning")
            return
        store = await self.store()
        await store.run(store.set_chat_setting, await self.stored_chat(), name, number)
        self.face.tell(f"{name} is {'the default' if number is None else number} from the next answer on.")

    @work(group="chat-settings")
    async def action_pick_persona(self) -> None:
        """Choose an expert for this chat."""
        from llmos.tui.screens.picker import Pick, Picker

        backend = await self.face.ready()
        clean = self.face.clean
        personas = await backend.personas()
        if not personas:
            self.face.tell("No plugin brings experts.")
            return
        picks = [
            Pick("", "None"),
            *(Pick(one.name, clean(one.name), clean(one.description)) for one in personas),
        ]
        name = await self.app.push_screen_wait(Picker("Expert for this chat", picks))
        if name is not None:
            store = backend.store
            await store.run(store.set_chat_setting, await self.stored_chat(), "persona", name or None)
            self.face.tell(f"{name or 'No expert'} from the next message on.")

    def slash_persona(self, rest: str) -> None:
        """``/persona``."""
        self.action_pick_persona()

    async def action_effort(self) -> None:
        """The next effort in the row, by the reasoning plugin's own command."""
        await self.run_slash("/think next")

    # Templates and editor

    @work(group="template")
    async def action_pick_template(self) -> None:
        """Insert a prompt template; its variables are asked for."""
        from llmos.tui.screens.picker import Pick, Picker
        from llmos.tui.templates import fill, find_templates, variables

        templates = find_templates()
        if not templates:
            self.face.tell("No templates: put .md files with {{variables}} into the folder config/templates.")
            return
        picks = [Pick(name, name, text.strip().split("\n")[0][:60]) for name, text in templates.items()]
        name = await self.app.push_screen_wait(Picker("Prompt template", picks))
        if name is None:
            return
        values: dict[str, str] = {}
        for variable in variables(templates[name]):
            value = await self.answer_for(variable)
            if value is None:
                return
            values[variable] = value
        self.prompt.insert(fill(templates[name], values))
        self.prompt.focus()

    def slash_template(self, rest: str) -> None:
        """``/template``."""
        self.action_pick_template()

    def on_prompt_editor_wanted(self) -> None:
        """Write the prompt in $EDITOR."""
        from llmos.tui.editor import edit_text

        try:
            text = edit_text(self.app, self.prompt.full_text)
        except UserError as error:
            self.face.tell(str(error), "error")
            return
        self.prompt.set_text(text)

    # Fork, export, import

    async def action_fork_chat(self) -> None:
        """Copy this chat into a new one and open it."""
        if not self.chat_id:
            self.face.tell("There is nothing to copy yet.")
            return
        backend = await self.face.ready()
        try:
            new_chat = await backend.fork(self.chat_id)
        except UserError as error:
            self.face.tell(str(error), "error")
            return
        await self.open_chat(new_chat)
        await self.refresh_list()
        self.face.tell("This is the copy; the first chat stays as it was.")

    async def slash_fork(self, rest: str) -> None:
        """``/fork``."""
        await self.action_fork_chat()

    @work(group="export")
    async def action_export_chat(self) -> None:
        """Export this chat to a file whose ending says the format."""
        path = await self.answer_for("Export to (.md, .json, .html)", str(Path.cwd() / "chat.md"))
        if path:
            await self._export(path)

    async def slash_export(self, rest: str) -> None:
        """``/export FILE``."""
        if rest:
            await self._export(rest)
        else:
            self.action_export_chat()

    async def _export(self, path: str) -> None:
        from llmos.tui.transfer import write_chat

        if not self.chat_id:
            self.face.tell("There is nothing to export yet.")
            return
        store = await self.store()
        target = Path(path).expanduser()
        try:
            await store.run(write_chat, store, self.chat_id, target)
        except UserError as error:
            self.face.tell(str(error), "error")
            return
        self.face.tell(f"Exported to {target}.")

    @work(group="import")
    async def action_import_chats(self) -> None:
        """Import chats of ChatGPT or Open WebUI."""
        path = await self.answer_for("Import from (conversations.json or .zip)")
        if path:
            await self._import(path)

    async def slash_import(self, rest: str) -> None:
        """``/import FILE``."""
        if rest:
            await self._import(rest)
        else:
            self.action_import_chats()

    async def _import(self, path: str) -> None:
        from llmos.tui.transfer import read_chats

        store = await self.store()
        try:
            report = await store.run(read_chats, store, Path(path).expanduser())
        except UserError as error:
            self.face.tell(str(error), "error")
            return
        await self.refresh_list()
        self.face.tell(self.face.clean(report))


#: Sampling settings of a chat: how a value is read, and a word on it.
SAMPLING: dict[str, tuple[type[float] | type[int], str]] = {
    "temperature": (float, "0 always takes the likeliest token"),
    "top_k": (int, "draw among this many likeliest; 0: all"),
    "top_p": (float, "draw among tokens that make up this share"),
    "min_p": (float, "leave out tokens below this share of the likeliest"),
    "repeat_penalty": (float, "1: none"),
    "max_tokens": (int, "most tokens of an answer"),
    "seed": (int, "the same seed gives the same answer"),
}
