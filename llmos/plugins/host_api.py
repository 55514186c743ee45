"""``host``: the only way back into the program for a plugin.

Methods block and are called from the plugin's worker thread (or over a pipe from its process);
none may be called from the program's event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llmos.plugins.program import Program
from llmos.types import Message, SamplingSettings


@dataclass(frozen=True, slots=True)
class Generation:
    """Result of ``host.generate``."""

    text: str
    completion_tokens: int
    mean_logprob: float
    stop_reason: str


@dataclass(frozen=True, slots=True)
class KvState:
    """Where the KV state of a chat is, and what it takes; zeros where the kernel cannot say.

    Attributes:
        tokens: tokens of the chat that the kernel's cache holds now.
        bytes: memory that they take there.
        capacity_tokens: tokens that the whole cache holds, for all chats together.
        capacity_bytes: memory of the whole cache, taken when the model was loaded.
        saved_bytes: size of the state on disk, of a chat that was left; 0 when there is none.
        saved_at: when it was written, seconds since the epoch.
    """

    tokens: int = 0
    bytes: int = 0
    capacity_tokens: int = 0
    capacity_bytes: int = 0
    saved_bytes: int = 0
    saved_at: float = 0.0


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What ``host.http`` gives back; ``url`` is the address after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Job(Protocol):
    """A background job: it shows progress and can be stopped."""

    @property
    def cancelled(self) -> bool:
        """True when the user stopped it; the job must look and return."""
        ...

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Show how far it is."""
        ...


class Http(Protocol):
    """The only network client: refuses when offline or when the manifest declares no network."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float = 10.0,
        max_bytes: int = 5_000_000,
        follow_redirects: bool = True,
    ) -> HttpResponse:
        """One request.

        Raises:
            llmos.types.UserError: offline, not declared, a forbidden address, too large, too slow.
        """
        ...

    def check(self) -> None:
        """Raise the same error as ``request`` would when the network may not be used at all."""
        ...


class Store(Protocol):
    """Small durable key-value store of the plugin; values are JSON-able."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or ``default``."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Store a value; committed when it returns."""
        ...

    def delete(self, key: str) -> None:
        """Forget a key; no error when it is not there."""
        ...

    def keys(self, prefix: str = "") -> list[str]:
        """Keys that begin with ``prefix``, sorted."""
        ...


class Jobs(Protocol):
    """Background jobs of the plugin."""

    def start(self, name: str, function: Callable[[Job], None]) -> Job:
        """Run ``function(job)`` on a thread of its own; listed in the face, can be stopped there."""
        ...

    def idle(self) -> bool:
        """True when nobody waits for an answer: a good time for background work."""
        ...

    def quiet_seconds(self) -> float:
        """Seconds since somebody typed or an answer was being made; 0 while one is."""
        ...


class Host(Program, Protocol):
    """The program, as a plugin sees it."""

    @property
    def plugin(self) -> str:
        """Name of this plugin."""
        ...

    @property
    def data_dir(self) -> Path:
        """Folder of this plugin's own data; exists."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """This plugin's settings, defaults filled in from the manifest's schema."""
        ...

    @property
    def http(self) -> Http:
        """Network client."""
        ...

    @property
    def store(self) -> Store:
        """Small durable store."""
        ...

    @property
    def jobs(self) -> Jobs:
        """Background jobs."""
        ...

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
        """Generate without tools, in a sequence of its own.

        With ``schema`` the text is JSON that a grammar keeps to the schema. With ``while_quiet``
        the person's next message ends it at once.

        Raises:
            llmos.types.UserError: it cannot be done, or (``while_quiet``) the person is back.
        """
        ...

    def stream(
        self, prompt: str | Sequence[Message], *, system: str = "", max_tokens: int = 256
    ) -> Iterator[str]:
        """As ``generate``, yielding text as it comes."""
        ...

    def fork(self, prompt: Sequence[Message], samples: int, *, max_tokens: int = 256) -> list[Generation]:
        """Several answers to one prompt, decoded together from one shared prefix."""
        ...

    def count_tokens(self, text: str) -> int:
        """Length in the loaded model's tokens (an estimate of 4 characters a token when none is loaded)."""
        ...

    def embed(self, texts: Sequence[str], embedder: str = "") -> list[list[float]]:
        """Normalised vectors from the embedder worker.

        Args:
            texts: what to embed.
            embedder: an earlier ``embedder_id`` whose model still serves stored vectors; empty takes
                the one that is set now.

        Raises:
            llmos.types.UserError: there is no embedder, or the earlier one is gone.
        """
        ...

    def approve(self, exact: str, reason: str, *, effect: str = "write", diff: str = "") -> bool:
        """Ask the user about exact bytes; False without a user to ask."""
        ...

    def chat_messages(self, chat_id: str) -> list[Message]:
        """Messages of a chat on its current branch, oldest first."""
        ...

    def search_chats(self, query: str, limit: int = 20) -> list[Message]:
        """Full-text search over all chats."""
        ...

    def evict_page(self, chat_id: str, page_id: str) -> bool:
        """Take a page out of a chat's window; False when it is pinned, not there, or of the turn going on."""
        ...

    def kv_state(self, chat_id: str) -> KvState:
        """Where a chat's KV state is, and what it takes."""
        ...

    def tools_changed(self) -> None:
        """Say that ``llmos_tools`` would return something else now; it is asked again before the next turn."""
        ...
