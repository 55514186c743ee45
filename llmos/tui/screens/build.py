"""The Build tab: how the model was built, a panel a stage, every figure marked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList, Static
from textual.worker import WorkerError

from llmos.plugins.contributions import Element
from llmos.stages.context import Kernels, make_context
from llmos.stages.frame import Part, StageBase, StageContext, State
from llmos.stages.registry import STAGES, stage
from llmos.stages.tour import TOUR, load_place, save_place, text_of
from llmos.tui.screens.base import TabScreen
from llmos.tui.screens.build_controls import StageControls
from llmos.tui.screens.build_parts import figures_of, prepared, tried, with_mark
from llmos.tui.screens.build_tour import TourBar
from llmos.tui.widgets.panel import PanelView
from llmos.tui.widgets.slider import Slider
from llmos.types import UserError

_NARROW = 100
#: Columns of the list of stages, wide and narrow, with what stands around the panel.
_LIST, _LIST_NARROW = 24, 18


class BuildScreen(TabScreen):
    """A list of stages, the chosen one's sentences, controls and picture."""

    CSS_PATH = "build.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+y", "ask_model", "Ask the model about it"),
        Binding("ctrl+e", "export", "Save as SVG"),
        Binding("ctrl+g", "tour", "Begin the tour, or go on with it"),
        Binding("escape", "stop_or_list", "Stop, or back to the list"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._stage: StageBase | None = None
        self._state: State = {}
        self._stages: dict[str, StageBase] = {}
        self._states: dict[str, State] = {}
        self._kernels = Kernels()
        self._made: StageContext | None = None
        self._stopping = False
        self._working = False
        self._drawing = False
        self._told = False
        # What is drawn below the picture once it is there, and whether the stage has prepared itself.
        self._prepared = False
        self._later: list[Part] = []
        self._figures: list[Part] | None = None
        self._next_picture: Sequence[Element] | None = None
        self._controls_of: StageContext | None = None
        self._tour_place: int | None = None
        self._tour_done = False

    def compose_body(self) -> ComposeResult:
        """List and panel."""
        with Horizontal():
            yield OptionList(
                *[f"{number}. {entry.title}" for number, entry in enumerate(STAGES, 1)], id="stages"
            )
            with Vertical(id="stage"):
                yield TourBar()
                yield Static("", id="sentences", markup=False)
                yield StageControls()
                yield PanelView(self.face.clean, id="picture")

    async def on_mount(self) -> None:
        """Open the first stage."""
        self.query_one("#stages").focus()
        self._fit_width()
        await self.open_stage(STAGES[0].id)
        if self.face.tour:
            self.face.tour = False
            await self.action_tour()

    def on_resize(self, event: events.Resize) -> None:
        """Narrow terminals get a narrower list."""
        self._fit_width()

    def _fit_width(self) -> None:
        self.set_class(self.size.width < _NARROW, "-narrow")

    async def on_unmount(self) -> None:
        """End the further kernels."""
        await self._kernels.close()

    def model_loaded(self) -> None:
        """Another model is loaded: draw anew."""
        self._later, self._figures = [], None
        self._draw()

    def stage_context(self) -> StageContext | None:
        """The context on the session's kernel; None until a model is loaded."""
        session = getattr(self.face.backend, "session", None)
        if session is None or session.kernel.model is None:
            return None
        if self._made is None or self._made.kernel is not session.kernel:
            self._made = make_context(session.kernel, self._kernels, session)
            self._made.cancelled = lambda: self._stopping
            self._made.progress = self._progress
        return self._made

    def _progress(self, done: float, total: float, text: str) -> None:
        self._told = True
        self.face.tell(f"{text} {done:g} of {total:g}  (Esc stops)")

    async def open_stage(self, name: str) -> None:
        """Show a stage."""
        if self._stage is None or self._stage.id != name:
            self._show([Element("text", {"markdown": "…"})])
        if self._stage is not None:
            self._states[self._stage.id] = self._state
        # A panel that is opened again is as it was left, its results with it.
        self._stage = self._stages.get(name) or stage(name)
        self._stages[name] = self._stage
        for place, entry in enumerate(STAGES):
            if entry.id == name:
                self.query_one("#stages", OptionList).highlighted = place
        self.query_one("#sentences", Static).update(" ".join(self._stage.sentences))
        context = self.stage_context()
        self._state = {**self._stage.first_state(context), **self._states.get(name, {})} if context else {}
        self._prepared, self._later, self._figures = False, [], None
        await self._make_controls(self._stage, context)
        self._draw()

    async def _make_controls(self, shown: StageBase, context: StageContext | None) -> None:
        self._controls_of = context
        area = self.query_one(StageControls)
        await area.remove_children()
        if context is None or shown is not self._stage:
            return
        width = self.size.width - (_LIST_NARROW if self.size.width < _NARROW else _LIST)
        await area.show(shown.id, shown.controls(context), self._state, width)

    def _is_shown(self, widget: Widget) -> bool:
        """Whether a control belongs to the stage that is shown; one of the stage before may speak late."""
        return self._stage is not None and widget.has_class(f"of-{self._stage.id}")

    # What the user does.

    @on(OptionList.OptionHighlighted, "#stages")
    async def _chosen(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        # What is highlighted now: an event from before a panel was opened by other means is late.
        now = event.option_list.highlighted
        entry = STAGES[event.option_index if now is None else now]
        if self._stage is None or entry.id != self._stage.id:
            await self.open_stage(entry.id)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if not self._is_shown(event.input):
            return
        self._state[str(event.input.name)] = event.value
        self._draw()

    @on(Slider.Changed)
    def _moved(self, event: Slider.Changed) -> None:
        event.stop()
        if not self._is_shown(event.slider):
            return
        name = str(event.slider.name)
        self._state[name] = event.value
        context = self.stage_context()
        if self._stage is not None and context is not None:
            for control in self._stage.controls(context):
                if control.id == name and control.kind == "choice":
                    self._state[name] = control.choices[int(event.value)]
                    if control.action and not self._working:
                        self._act(control.action)
                        return
        self._draw()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.name:
            event.stop()
            self._act(event.button.name)

    @on(PanelView.Acted)
    def _acted(self, event: PanelView.Acted) -> None:
        """Enter on a row that names a tab opens it."""
        event.stop()
        if isinstance(event.value, str) and event.value.startswith("tab:"):
            self.face.open_tab(event.value.removeprefix("tab:").partition("#")[0])

    def on_key(self, event: events.Key) -> None:
        """Keys of the stage's buttons, unless a text field has the focus."""
        context = self.stage_context()
        if self._stage is None or context is None or isinstance(self.focused, Input):
            return
        for control in self._stage.controls(context):
            if control.key == event.key:
                event.stop()
                if control.kind == "button":
                    self._act(control.id)
                else:
                    self.query_one(StageControls).focus_field(control.id)

    def action_ask_model(self) -> None:
        """Send the stage's question to the chat."""
        if self._stage is None:
            return
        question = self._stage.question
        self.face.open_tab("chat")
        self.face.run_worker(self._ask_in_chat(question))

    async def _ask_in_chat(self, question: str) -> None:
        from llmos.tui.screens.chat import ChatScreen

        for _ in range(50):  # the tab switches in a step of its own
            if isinstance(self.face.screen, ChatScreen):
                self.face.screen.send(question)
                return
            await asyncio.sleep(0.02)

    def action_export(self) -> None:
        """Save what is shown as an SVG picture."""
        from llmos.settings import folders

        name = self._stage.id if self._stage else "panel"
        folder = folders().data / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        path = self.face.save_screenshot(f"{name}.svg", str(folder))
        self.face.tell(f"Saved as {path}.")

    def action_stop_or_list(self) -> None:
        """Stop an experiment, else go back to the list."""
        if self._working:
            self._stopping = True
            self.face.tell("Stopping …")
        elif self._tour_place is not None:
            self._leave_tour()
        else:
            self.query_one("#stages").focus()

    # The tour.

    async def action_tour(self) -> None:
        """Begin the tour, or go on where it was left."""
        from llmos.settings import folders

        await self._visit(load_place(folders().data))

    async def _visit(self, place: int) -> None:
        """Open a step's panel and say what comes."""
        from llmos.settings import folders

        self._tour_place, self._tour_done = place, False
        save_place(folders().data, place)
        bar = self.query_one(TourBar)
        bar.say(text_of(place, False))
        bar.focus()
        if place < len(TOUR):
            await self.open_stage(TOUR[place].stage)

    def _leave_tour(self) -> None:
        self._tour_place = None
        self.query_one(TourBar).say("")
        self.query_one("#stages").focus()

    @on(TourBar.GoOn)
    async def _tour_goes_on(self, event: TourBar.GoOn) -> None:
        event.stop()
        place = self._tour_place
        if place is None or self._working:
            return
        if place >= len(TOUR):
            self._leave_tour()
        elif self._tour_done:
            await self._visit(place + 1)
        else:
            self._do_step(place)

    @work(exclusive=True, group="tour")
    async def _do_step(self, place: int) -> None:
        """Do the step's one thing, then say what to look at."""
        step = TOUR[place]
        if self._stage is None or self._stage.id != step.stage:
            await self.open_stage(step.stage)
        self.set_values(step.values)
        self._draw()
        if step.action:
            self.query_one(TourBar).say(f"Tour {place + 1} of {len(TOUR)}. Working …  Esc stops.")
            await self.act(step.action)
        if self._tour_place == place:
            self._tour_done = True
            self.query_one(TourBar).say(text_of(place, True))

    async def act(self, action: str) -> None:
        """Press a button of the stage and wait until what it began has ended."""
        with contextlib.suppress(WorkerError):  # stopped; what failed has been told
            await self._act(action).wait()

    @property
    def tour_at(self) -> tuple[int, bool] | None:
        """(step of the tour from 0, whether its thing was done); None outside of it."""
        return None if self._tour_place is None else (self._tour_place, self._tour_done)

    @property
    def settled(self) -> bool:
        """Whether nothing more will be drawn until somebody does something."""
        mine = (one for one in self.workers if one.node is self and not one.is_finished)
        waiting = any(one.group in ("draw", "show", "act", "open") for one in mine)
        return self._figures is not None and not self._working and not waiting

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Set controls as if the user had."""
        self._state.update(values)
        self.query_one(StageControls).set_values(values)

    # Drawing; each worker replaces the one before, so typing never waits.

    @work(exclusive=True, group="draw")
    async def _draw(self) -> None:
        shown = self._stage
        context = self.stage_context()
        if shown is None or context is None:
            self._show([Element("text", {"markdown": "No model is loaded: this panel computes with one."})])
            return
        if self._controls_of is not context:  # the model came, or came anew, after the stage was opened
            self.run_worker(self.open_stage(shown.id), group="open")
            return
        state = dict(self._state)
        parts = await tried(shown.view(context, state))
        if shown is not self._stage:
            return
        self._show([with_mark(part) for part in [*parts, *self._later]])
        if self._working:  # the kernel is the experiment's until it ends; its end draws anew
            return
        if not self._prepared:
            self._prepared = True
            if await prepared(shown, context):
                parts = await tried(shown.view(context, state))
        later = await tried(shown.later(context, state))
        if self._figures is None:
            self._figures = await tried(figures_of(shown, context))
        if shown is self._stage:
            self._later = [*later, *self._figures]
            self._show([with_mark(part) for part in [*parts, *self._later]])

    def _show(self, elements: Sequence[Element]) -> None:
        """Have a picture drawn; a drawing that runs is never broken off, only the newest one follows it."""
        self._next_picture = elements
        if not self._drawing:
            self._drawing = True
            self.run_worker(self._show_newest(), group="show")

    async def _show_newest(self) -> None:
        try:
            while self._next_picture is not None:
                elements, self._next_picture = self._next_picture, None
                for picture in self.query("#picture").results(PanelView):  # none while the screen closes
                    await picture.show(elements)
        finally:
            self._drawing = False

    @work(exclusive=True, group="act")
    async def _act(self, action: str) -> None:
        context, shown = self.stage_context(), self._stage
        if context is None or shown is None:
            return
        self._stopping, self._working, self._told = False, True, False
        try:
            state: dict[str, Any] = await shown.act(context, dict(self._state), action)
        except UserError as error:
            self.face.tell(str(error), "error")
            return
        finally:
            self._working = False
        if shown is not self._stage:  # its result waits there
            self._states[shown.id] = state
        if self._told or shown is not self._stage:
            self.face.tell(f"{shown.title}: {'stopped' if self._stopping else 'done'}; see its panel.")
        if shown is not self._stage:
            return
        self._state = state
        self.query_one(StageControls).take_texts(state)
        self._draw()
