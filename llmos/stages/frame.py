"""What a stage is: sentences, controls, figures with their marks, a view as data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from llmos.kernel.protocol import CutText, Kernel, NotAvailable
from llmos.plugins.contributions import Element
from llmos.types import Message, SamplingSettings, UserError

if TYPE_CHECKING:
    from llmos.foundry.record import BuildRecord

Mark = Literal["live", "recorded", "cited"]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class StageFigure:
    """One number or short text of a panel.

    Attributes:
        name: what it is.
        value: number or text.
        mark: live, recorded or cited.
        source: for recorded the file of the record, for cited the source and its date, for live
            the model that computed it.
        caveat: what to keep in mind, for disputed figures.
    """

    name: str
    value: float | int | str
    mark: Mark
    source: str
    unit: str = ""
    caveat: str = ""

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "mark": self.mark,
            "source": self.source,
            "caveat": self.caveat,
        }

    def in_words(self) -> str:
        """A line of Markdown: name, value, where it is from, caveat."""
        value = f"{self.value:,}" if isinstance(self.value, int) else f"{self.value}"
        unit = f" {self.unit}" if self.unit and self.unit != "$" else ""
        caveat = f"; {self.caveat}" if self.caveat else ""
        sign = "$" if self.unit == "$" else ""
        return f"- {self.name}: **{sign}{_plain(value)}**{unit} ({self.source}{caveat})"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a panel's picture with its mark."""

    element: Element
    mark: Mark
    source: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """Something to do on a panel.

    Attributes:
        id: name of the value in the panel's state.
        kind: a text line, a slider, a choice, or a button.
        label: what it says.
        value: value at first.
        low, high, step: of a slider.
        choices: of a choice.
        key: key that reaches it.
        action: what moving a choice does at once; empty only draws anew.
    """

    id: str
    kind: Literal["text", "slider", "choice", "button"]
    label: str
    value: Any = ""
    low: float = 0.0
    high: float = 1.0
    step: float = 0.1
    choices: tuple[str, ...] = ()
    key: str = ""
    action: str = ""


State = dict[str, Any]


@dataclass(slots=True)
class StageContext:
    """What a stage works with.

    Attributes:
        kernel: the loaded model.
        record: build record of the bundled model; None where it is not installed.
        open_kernel: gives a kernel with another model file loaded (a checkpoint, the base model);
            kept for later calls.
        progress: (done, total, text) of a longer experiment.
        cancelled: True when the user stopped it.
        extras: what else a running session has, see ``llmos.stages.context.extras_of``.
        cut_by: cuts a text by the tokenizer of a file, in a worker of its own; None asks the kernel.
    """

    kernel: Kernel
    record: BuildRecord | None = None
    open_kernel: Callable[[Path, bool], Awaitable[Kernel]] | None = None
    progress: Callable[[float, float, str], None] = lambda done, total, text: None
    cancelled: Callable[[], bool] = lambda: False
    extras: Mapping[str, Any] = field(default_factory=dict)
    cut_by: Callable[[Path, str], Awaitable[CutText]] | None = None

    @property
    def model_name(self) -> str:
        """Name of the loaded model, or empty."""
        return self.kernel.model.name if self.kernel.model else ""

    def need_record(self) -> BuildRecord:
        """The build record.

        Raises:
            UserError: the bundled model's record is not installed.
        """
        if self.record is None:
            raise UserError("The build record of the bundled model is not installed; this panel needs it.")
        return self.record

    async def cut(self, path: Path, text: str) -> CutText:
        """A text cut by the tokenizer of a file.

        Raises:
            UserError: no such file, or it holds no tokenizer.
        """
        return await (self.cut_by or self.kernel.tokenize_with)(path, text)

    async def other(self, path: Path, *, embedding: bool = False) -> Kernel:
        """A kernel with another file loaded.

        Raises:
            UserError: this face cannot load a second model, or the file is missing.
        """
        if self.open_kernel is None:
            raise NotAvailable("A second model cannot be loaded here.")
        return await self.open_kernel(path, embedding)

    async def bundled(self, role: str, *, embedding: bool = False) -> Kernel:
        """A kernel with one of the bundled model's files: ``base``, ``sft`` or ``chat``.

        Raises:
            UserError: that file is not installed.
        """
        from llmos.kernel.locate import with_role

        found = with_role(role)
        if found is None:
            raise UserError(f"The bundled {role} model is not installed; this panel asks it.")
        return await self.other(found.path, embedding=embedding)


class StageBase:
    """One panel: three sentences, controls, figures and a picture.

    Attributes:
        id: name in ``llmos stages NAME``.
        title: what the list shows.
        sentences: what it is, plainly.
        question: what the key "ask the model about it" sends.
    """

    id = ""
    title = ""
    sentences: tuple[str, str, str] = ("", "", "")
    question = ""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Hashable, Any]] = {}

    async def kept(self, name: str, key: Hashable, make: Callable[[], Awaitable[Made]]) -> Made:
        """A part of the picture that is made anew only when what it depends on has changed.

        Args:
            name: of the part.
            key: all that it depends on, the loaded model too.
            make: computes it.
        """
        known = self._kept.get(name)
        if known is None or known[0] != key:
            known = self._kept[name] = (key, await make())
        made: Made = known[1]
        return made

    def controls(self, context: StageContext) -> Sequence[Control]:
        """None by default."""
        return ()

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """None by default."""
        return []

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """Nothing by default."""
        return []

    async def prepare(self, context: StageContext) -> bool:
        """What a panel's opening need not wait for; True when the picture is to be drawn anew after it."""
        return False

    async def later(self, context: StageContext, state: State) -> list[Part]:
        """Parts that take longer than a panel may take to open; they are put below the others."""
        return []

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Nothing happens by default."""
        return state

    def first_state(self, context: StageContext) -> State:
        """Values of the controls at first."""
        return {control.id: control.value for control in self.controls(context) if control.kind != "button"}


def _plain(value: str) -> str:
    """A value that Markdown leaves as it is."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>" else letter for letter in " ".join(value.split()))


def visible(piece: bytes | str) -> str:
    """A token's text with spaces and control characters made visible."""
    text = piece.decode("utf-8", "replace") if isinstance(piece, bytes) else piece
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍")


def live(name: str, value: float | int | str, model: str, unit: str = "", caveat: str = "") -> StageFigure:
    """A figure that the loaded model computed."""
    return StageFigure(name, value, "live", model, unit, caveat)


def recorded(name: str, value: float | int | str, source: str, unit: str = "", caveat: str = "") -> StageFigure:
    """A figure of the build record; ``source`` names its file."""
    return StageFigure(name, value, "recorded", source, unit, caveat)


def cited(name: str, value: float | int | str, source: str, unit: str = "", caveat: str = "") -> StageFigure:
    """A figure from elsewhere, with source and date."""
    return StageFigure(name, value, "cited", source, unit, caveat)


def figure_parts(figures: Sequence[StageFigure]) -> list[Part]:
    """Figures as parts of a picture, those of one mark together."""
    titles: tuple[tuple[Mark, str], ...] = (
        ("live", "Figures computed here"),
        ("recorded", "Figures of the build record"),
        ("cited", "Figures of others"),
    )
    parts = []
    for mark, title in titles:
        lines = [one.in_words() for one in figures if one.mark == mark]
        if lines:
            parts.append(Part(Element("text", {"markdown": "\n".join(lines)}, title), mark))
    return parts


async def complete(
    kernel: Kernel,
    prompt: str,
    most: int = 48,
    sampling: SamplingSettings | None = None,
    stop: Sequence[str] = (),
) -> str:
    """Continue a text as a base model does.

    Args:
        kernel: any kernel.
        prompt: plain text, no template.
        most: tokens.
        sampling: how to draw; None takes the likeliest token each time.
        stop: texts that end it.
    """
    from llmos.kernel.protocol import Chunk, GenerateRequest

    tokens = await kernel.tokenize(prompt, bos=True)
    request = GenerateRequest(
        tokens or [0],
        sequence="stage",
        max_tokens=most,
        sampling=sampling or SamplingSettings(temperature=0.0),
        stop=tuple(stop),
        keep=False,
    )
    return "".join([event.text async for event in kernel.generate(request) if isinstance(event, Chunk)])


async def answer(
    kernel: Kernel, question: str, most: int = 96, sampling: SamplingSettings | None = None, system: str = ""
) -> str:
    """Answer a question as a chat model does, without tools."""
    from llmos.formats import DEFAULT_SYSTEM_PROMPT
    from llmos.kernel.protocol import Chunk, GenerateRequest

    messages = [Message("system", system or DEFAULT_SYSTEM_PROMPT), Message("user", question)]
    rendered = await kernel.render_chat(messages)
    request = GenerateRequest(
        rendered.tokens,
        sequence="stage",
        max_tokens=most,
        sampling=sampling or SamplingSettings(temperature=0.0),
        keep=False,
    )
    raw = "".join([event.text async for event in kernel.generate(request) if isinstance(event, Chunk)])
    parsed = kernel.parse_answer(raw)
    calls = "".join(f"<tool_call>{call.name} {dict(call.arguments)}</tool_call>" for call in parsed.tool_calls)
    return (f"<think>{parsed.thinking}</think> " if parsed.thinking else "") + parsed.content + calls
