"""For tests of a plugin: open it with a host that only keeps what it is given.

from llmos.plugins.testing import open_plugin

with open_plugin(folder, data_dir=tmp_path) as plugin:
    assert plugin.tool("my_tool", text="x").ok
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from llmos.plugins.contributions import CommandContext, CommandResult, Element, ToolContext, Turn
from llmos.plugins.host_api import Generation, HttpResponse, KvState
from llmos.plugins.manifest import Manifest, read_single_file
from llmos.plugins.session import PluginSession
from llmos.plugins.sources import look_folder
from llmos.types import SYSTEM_LABELS, Labels, Message, Page, SamplingSettings, ToolResult, UserError


class FakeJob:
    """A job that runs at once, on the caller's thread, when the host starts it."""

    cancelled = False

    def __init__(self) -> None:
        """Nothing done yet."""
        self.steps: list[tuple[float, float, str]] = []

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Kept in ``steps``."""
        self.steps.append((done, total, text))


class FakeHost:
    """A host without a program: values to set, lists to look at; implements ``Host``.

    Attributes:
        answers: texts that ``generate`` gives, the last one again and again.
        replies: what ``http.request`` gives, by address.
        consent: what ``approve`` answers.
        notices: what ``notify`` was told.
        approvals: what ``approve`` was asked.
        messages: what ``chat_messages`` gives.
        pages: what ``window_pages`` gives.
        kv: what ``kv_state`` gives.
        quiet: what ``jobs.quiet_seconds`` gives.
    """

    def __init__(self, manifest: Manifest, data_dir: Path, settings: Mapping[str, Any] | None = None) -> None:
        """``settings`` are laid over the manifest's defaults."""
        self.plugin = manifest.name
        self.data_dir = data_dir
        self.settings: Mapping[str, Any] = {**manifest.default_settings(), **(settings or {})}
        self.offline = False
        self.model_name = "fake"
        self.context_size = 2048
        self.model_parameters = 3_000_000
        self.quiet = 60.0
        self.kv = KvState()
        self.answers: list[str] = ["fake answer"]
        self.replies: dict[str, HttpResponse] = {}
        self.consent = False
        self.notices: list[str] = []
        self.approvals: list[str] = []
        self.messages: list[Message] = []
        self.pages: list[Page] = []
        self._values: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def http(self) -> FakeHost:
        """Answers from ``replies``."""
        return self

    @property
    def store(self) -> FakeHost:
        """Keeps values in memory."""
        return self

    @property
    def jobs(self) -> FakeHost:
        """Runs jobs at once."""
        return self

    def check(self) -> None:
        """Refuses while ``offline`` is true."""
        if self.offline:
            raise UserError("The program is offline.")

    def request(self, method: str, url: str, **options: Any) -> HttpResponse:
        """The reply for that address."""
        self.check()
        if url not in self.replies:
            raise UserError(f"{url} cannot be reached.")
        return self.replies[url]

    def get(self, key: str, default: Any = None) -> Any:
        """The stored value."""
        return self._values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Store a value."""
        with self._lock:
            self._values[key] = value

    def delete(self, key: str) -> None:
        """Forget a value."""
        self._values.pop(key, None)

    def keys(self, prefix: str = "") -> list[str]:
        """Stored keys."""
        return sorted(key for key in self._values if key.startswith(prefix))

    def start(self, name: str, function: Callable[[Any], None]) -> FakeJob:
        """Run the job now."""
        job = FakeJob()
        function(job)
        return job

    def idle(self) -> bool:
        """Always."""
        return True

    def quiet_seconds(self) -> float:
        """``quiet``."""
        return self.quiet

    def generate(
        self,
        prompt: str | Sequence[Message],
        *,
        system: str = "",
        max_tokens: int = 256,
        sampling: SamplingSettings | None = None,
        grammar: str = "",
        schema: Mapping[str, Any] | None = None,
        background: bool = True,
        while_quiet: bool = False,
    ) -> Generation:
        """The next of ``answers``."""
        text = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Generation(text, len(text) // 4 + 1, -0.5, "stop")

    def stream(
        self, prompt: str | Sequence[Message], *, system: str = "", max_tokens: int = 256
    ) -> Iterator[str]:
        """The next of ``answers``, word by word."""
        yield from self.generate(prompt).text.split(" ")

    def fork(self, prompt: Sequence[Message], samples: int, *, max_tokens: int = 256) -> list[Generation]:
        """The next ``samples`` of ``answers``."""
        return [self.generate(prompt) for _ in range(samples)]

    def count_tokens(self, text: str) -> int:
        """Four characters a token."""
        return (len(text) + 3) // 4

    def embed(self, texts: Sequence[str], embedder: str = "") -> list[list[float]]:
        """Letter frequencies, normalised: alike for alike texts."""
        vectors: list[list[float]] = []
        for text in texts:
            counts = [text.lower().count(letter) + 0.01 for letter in "abcdefghijklmnopqrstuvwxyz"]
            length = sum(count * count for count in counts) ** 0.5
            vectors.append([count / length for count in counts])
        return vectors

    def embedder_id(self) -> str:
        """A fixed name."""
        return "fake-letters"

    def register_embedder(self, path: Path) -> None:
        """Nothing to register with."""

    def approve(self, exact: str, reason: str, *, effect: str = "write", diff: str = "") -> bool:
        """Kept in ``approvals``; answers ``consent``."""
        self.approvals.append(exact)
        return self.consent

    def notify(self, text: str, level: str = "info") -> None:
        """Kept in ``notices``."""
        self.notices.append(text)

    def tools_changed(self) -> None:
        """Nothing offers them here."""

    def chat_messages(self, chat_id: str) -> list[Message]:
        """``messages``."""
        return list(self.messages)

    def search_chats(self, query: str, limit: int = 20) -> list[Message]:
        """Those of ``messages`` that hold the words."""
        return [one for one in self.messages if query.lower() in one.content.lower()][:limit]

    def window_labels(self, chat_id: str) -> Labels:
        """Trusted and public."""
        return SYSTEM_LABELS

    def window_pages(self, chat_id: str) -> list[Page]:
        """``pages``."""
        return list(self.pages)

    def pin_page(self, chat_id: str, page_id: str, pinned: bool) -> None:
        """Sets it in ``pages``."""
        for page in self.pages:
            if page.id == page_id:
                page.pinned = pinned

    def evict_page(self, chat_id: str, page_id: str) -> bool:
        """Marks it in ``pages`` as swapped."""
        for page in self.pages:
            if page.id == page_id and page.where == "window" and not page.pinned:
                page.where = "swapped"
                return True
        return False

    def kv_state(self, chat_id: str) -> KvState:
        """``kv``."""
        return self.kv


class OpenPlugin:
    """A plugin that was opened for a test.

    Attributes:
        manifest: its manifest.
        host: what it was given.
        session: its living side, for what the methods below do not cover.
        progress: what tools and commands showed while they ran.
    """

    def __init__(self, manifest: Manifest, host: FakeHost, session: PluginSession) -> None:
        """Made by ``open_plugin``."""
        self.manifest = manifest
        self.host = host
        self.session = session
        self.progress: list[str] = []

    def tool(self, name: str, /, **arguments: Any) -> ToolResult:
        """Run a tool, arguments checked as the program checks them."""
        return self.session.run_tool(name, arguments, ToolContext(progress=self.progress.append))

    def command(self, name: str, /, **arguments: Any) -> CommandResult:
        """Run a command; parameters that are left out have their defaults."""
        entry = next((one for one in self.manifest.commands if one.name == name), None)
        defaults = {one.name: one.default for one in entry.parameters if not one.required} if entry else {}
        context = CommandContext(write=self.progress.append)
        return self.session.run_command(name, {**defaults, **arguments}, context)

    def panel(self, panel: str) -> list[Element]:
        """What a panel shows."""
        return self.session.view_panel(panel)

    def context(self, text: str, budget: int = 1000) -> list[Page]:
        """Pages that it would bring in for a user's text."""
        pages: list[Page] = self.session.call(
            "llmos_context", turn=Turn("test", Message("user", text), budget=budget)
        )
        return pages


@contextmanager
def open_plugin(
    path: Path, *, data_dir: Path | None = None, settings: Mapping[str, Any] | None = None
) -> Iterator[OpenPlugin]:
    """Import a plugin from its folder (or single file) and start it; stopped and forgotten at the end.

    Args:
        path: folder with ``pyproject.toml``, or a ``.py`` file.
        data_dir: its data folder; None makes one that is removed.
        settings: laid over the manifest's defaults.

    Raises:
        UserError: no plugin.
    """
    path = path.resolve()
    with ExitStack() as stack:
        folder = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if path.is_file():
            manifest, module, source, root = read_single_file(path), path.stem, "file", path
        else:
            manifest, module, root = locate_plugin(path)
            source = "package"
            sys.path.insert(0, str(root))
            stack.callback(sys.path.remove, str(root))
        host = FakeHost(manifest, folder, settings)
        session = PluginSession(manifest.name, host, manifest.hooks)
        session.open(module, source, path)
        stack.callback(session.close, True)
        yield OpenPlugin(manifest, host, session)


def locate_plugin(folder: Path) -> tuple[Manifest, str, Path]:
    """Manifest, module and the folder to import from, of a source tree.

    Raises:
        UserError: no plugin.
    """
    import tomllib

    preview = look_folder(folder, str(folder), "folder", False)
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    module = next(iter(project["project"]["entry-points"]["llmos"].values())).partition(":")[0]
    top = module.partition(".")[0]
    root = folder if (folder / top).is_dir() else folder / "src"
    return preview.manifest, module, root
