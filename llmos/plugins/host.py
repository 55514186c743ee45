"""``host``: the program as one plugin sees it, from its worker threads.

Blocking calls are handed to the program's event loop and waited for; a thread whose call was
abandoned can no longer reach the program.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from llmos.guard.reveal import reveal
from llmos.offline import is_offline
from llmos.plugins.host_api import Generation, Http, Jobs, KvState, Store
from llmos.plugins.jobs import JobBoard, PluginJobs
from llmos.plugins.manifest import Manifest
from llmos.plugins.services import Services
from llmos.plugins.store import PluginStore, StoreFile
from llmos.plugins.workers import abandoned
from llmos.settings import Folders, Settings
from llmos.types import Approval, EffectClass, Labels, Message, Page, SamplingSettings, ToolCall, UserError

T = TypeVar("T")


class Abandoned(BaseException):
    """Ends a plugin's thread that nobody waits for any more, at its next call of ``host``."""


@dataclass(slots=True)
class Ground:
    """What all hosts of one manager share.

    Attributes:
        services: the running program; None outside of one (``llmos plugins check``, tests).
        loop: the program's event loop, once it is known.
        notify: one line to the user.
        tools_changed: a plugin's tools are not what they were.
        settings: the user's settings; each plugin's own are in ``settings.plugins.options``.
    """

    folders: Folders
    services: Services | None
    store: StoreFile
    jobs: JobBoard
    notify: Callable[[str, str], None]
    settings: Settings
    tools_changed: Callable[[str], None] = lambda plugin: None
    loop: asyncio.AbstractEventLoop | None = None


class PluginHost:
    """Implements ``host_api.Host`` for one plugin.

    Args:
        manifest: its manifest; tells what it may use.
        ground: what all hosts share.
    """

    def __init__(self, manifest: Manifest, ground: Ground) -> None:
        """See the class."""
        self._manifest = manifest
        self._ground = ground
        self._http: Http | None = None
        self._store = PluginStore(ground.store, manifest.name)
        self._jobs = PluginJobs(ground.jobs, manifest.name, self._idle, self._quiet)

    # what it is

    @property
    def plugin(self) -> str:
        """Name of this plugin."""
        return self._manifest.name

    @property
    def data_dir(self) -> Path:
        """Folder of this plugin's own data; exists."""
        folder = self._ground.folders.data / "plugins" / self.plugin
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def settings(self) -> Mapping[str, Any]:
        """This plugin's settings, defaults filled in from the manifest's schema."""
        return {
            **self._manifest.default_settings(),
            **self._ground.settings.plugins.options.get(self.plugin, {}),
        }

    @property
    def offline(self) -> bool:
        """True when the network may not be used."""
        services = self._ground.services
        return is_offline() or (services is not None and services.offline)

    @property
    def http(self) -> Http:
        """Network client."""
        if self._http is None:
            from llmos.plugins.http import PluginHttp

            self._http = PluginHttp(
                self.plugin,
                self._manifest.needs.network,
                lambda: self.offline,
                lambda: self.settings.get("allow_hosts", ()),
            )
        return self._http

    @property
    def store(self) -> Store:
        """Small durable store."""
        return self._store

    @property
    def jobs(self) -> Jobs:
        """Background jobs."""
        return self._jobs

    @property
    def model_name(self) -> str:
        """Name of the loaded model, or empty."""
        services = self._ground.services
        return services.model_name if services else ""

    @property
    def context_size(self) -> int:
        """Context window of the loaded model in tokens, 0 when none."""
        services = self._ground.services
        return services.context_size if services else 0

    @property
    def model_parameters(self) -> int:
        """Number of its weights, 0 when none is loaded or it is not known."""
        services = self._ground.services
        return services.model_parameters if services else 0

    # the model

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
        """Generate without tools, in a sequence of its own."""
        return self._wait(
            self._services("generate", model=True).generate(
                prompt,
                system=system,
                max_tokens=max_tokens,
                sampling=sampling,
                grammar=grammar,
                schema=schema,
                background=background,
                while_quiet=while_quiet,
            )
        )

    def stream(
        self, prompt: str | Sequence[Message], *, system: str = "", max_tokens: int = 256
    ) -> Iterator[str]:
        """As ``generate``, yielding text as it comes."""
        source = self._services("stream", model=True).stream(prompt, system=system, max_tokens=max_tokens)
        try:
            while (text := self._wait(_next(source))) is not None:
                yield text
        finally:
            self._wait(_close(source))

    def fork(self, prompt: Sequence[Message], samples: int, *, max_tokens: int = 256) -> list[Generation]:
        """Several answers to one prompt, decoded together from one shared prefix."""
        services = self._services("fork", model=True)
        return self._wait(services.fork(prompt, samples, max_tokens=max_tokens))

    def count_tokens(self, text: str) -> int:
        """Length in the loaded model's tokens (4 characters a token when none is loaded)."""
        services = self._ground.services
        if services is None or not services.model_name:
            return (len(text) + 3) // 4
        return self._wait(services.count_tokens(text))

    def embed(self, texts: Sequence[str], embedder: str = "") -> list[list[float]]:
        """Normalised vectors from the embedder worker, by an earlier embedder where one is named."""
        return self._wait(self._services("embed", model=True).embed(texts, embedder))

    def embedder_id(self) -> str:
        """Name and hash of the embedder; empty when none is available."""
        services = self._ground.services
        return services.embedder_id() if services else ""

    def register_embedder(self, path: Path) -> None:
        """Offer an embedding GGUF as the default one; the user's own setting wins."""
        if self._ground.services is not None:
            self._on_loop(self._ground.services.register_embedder, path)

    # the user

    def approve(self, exact: str, reason: str, *, effect: str = "write", diff: str = "") -> bool:
        """Ask the user about exact bytes; False without a user to ask."""
        services = self._ground.services
        if services is None:
            return False
        call = ToolCall(f"{self.plugin}.{effect}", {"exact": exact})
        why = f"The plugin {self.plugin}: {reveal(reason)}"
        approval = Approval(call, EffectClass(effect), reveal(exact), why, diff=reveal(diff))
        return self._wait(services.approve(approval)) != "deny"

    def notify(self, text: str, level: str = "info") -> None:
        """One line for the user."""
        self._check()
        self._ground.notify(f"{self.plugin}: {text}", level)

    # the chats

    def chat_messages(self, chat_id: str) -> list[Message]:
        """Messages of a chat on its current branch, oldest first."""
        return self._wait(self._services("chat_messages").chat_messages(chat_id))

    def search_chats(self, query: str, limit: int = 20) -> list[Message]:
        """Full-text search over all chats."""
        return self._wait(self._services("search_chats").search_chats(query, limit))

    def window_labels(self, chat_id: str) -> Labels:
        """Joined labels of what is in the window of a chat."""
        return self._on_loop(self._services("window_labels").window_labels, chat_id)

    def window_pages(self, chat_id: str) -> list[Page]:
        """Pages of a chat: those in the window first, then those swapped out."""
        return self._on_loop(self._services("window_pages").window_pages, chat_id)

    def pin_page(self, chat_id: str, page_id: str, pinned: bool) -> None:
        """Pin or unpin a page of a chat; a pinned page is never evicted."""
        self._on_loop(self._services("pin_page").pin_page, chat_id, page_id, pinned)

    def evict_page(self, chat_id: str, page_id: str) -> bool:
        """Take a page out of a chat's window; False when it cannot leave."""
        return self._wait(self._services("evict_page").evict_page(chat_id, page_id))

    def kv_state(self, chat_id: str) -> KvState:
        """Where a chat's KV state is, and what it takes."""
        return self._wait(self._services("kv_state").kv_state(chat_id))

    def tools_changed(self) -> None:
        """``llmos_tools`` is asked again before the next turn."""
        self._check()
        self._ground.tools_changed(self.plugin)

    # the bridge

    def _idle(self) -> bool:
        services = self._ground.services
        return services.idle if services else True

    def _quiet(self) -> float:
        services = self._ground.services
        return services.quiet_seconds if services else 0.0

    def _services(self, what: str, *, model: bool = False) -> Services:
        self._check()
        if model and not self._manifest.needs.model:
            raise UserError(
                f"The plugin {self.plugin} calls host.{what} but its manifest does not declare needs.model; "
                "add `model = true` under [needs]."
            )
        services = self._ground.services
        if services is None:
            raise UserError(f"host.{what} is not available here; it needs a running program.")
        return services

    def _check(self) -> None:
        """Stop threads that were given up."""
        if abandoned():
            raise Abandoned

    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = self._ground.loop
        if loop is None or loop.is_closed():
            raise UserError("The program is not running, so the plugin cannot reach it.")
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return loop
        if running is loop:
            raise UserError("host is called from plugin threads only, not from the program's event loop.")
        return loop

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run on the program's loop and wait; a call that is abandoned meanwhile ends here."""
        try:
            self._check()
            loop = self._loop()
        except BaseException:
            coroutine.close()
            raise
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        while True:
            try:
                return future.result(timeout=0.5)
            except CancelledError:  # what it waited for was cancelled with the program's loop
                raise UserError("The program is closing, so the plugin cannot reach it.") from None
            except TimeoutError:
                if future.done():
                    raise
                if abandoned():
                    future.cancel()
                    raise Abandoned from None

    def _on_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a sync function of the program on its own thread."""

        async def call() -> T:
            return function(*arguments)

        return self._wait(call())


async def _next(source: AsyncIterator[str]) -> str | None:
    try:
        return await anext(source)
    except StopAsyncIteration:
        return None


async def _close(source: AsyncIterator[str]) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
