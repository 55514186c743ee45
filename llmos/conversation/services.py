"""What the program offers to plugins: implements ``llmos.plugins.services.Services``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from llmos.conversation.splitting import Splitter
from llmos.conversation.stored_pages import StoredPages
from llmos.conversation.window import estimate_tokens
from llmos.kernel.protocol import Chunk, Finished, GenerateRequest
from llmos.offline import is_offline
from llmos.plugins.host_api import Generation, KvState
from llmos.types import (
    SYSTEM_LABELS,
    Approval,
    ApprovalAnswer,
    Labels,
    Message,
    Notice,
    Page,
    SamplingSettings,
    TextDelta,
    UserError,
    join_labels,
    new_id,
)

if TYPE_CHECKING:
    from llmos.conversation.conversation import Conversation
    from llmos.conversation.session import Session


class HostServices:
    """The program behind every plugin's ``host``.

    Args:
        session: the running session.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stored = StoredPages(session.store)
        self._loop: asyncio.AbstractEventLoop | None = None
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    # -- state -----------------------------------------------------------------------------

    @property
    def model_name(self) -> str:
        """Name of the loaded model, or empty."""
        model = self._session.kernel.model
        return model.name if model else ""

    @property
    def context_size(self) -> int:
        """Its context window in tokens, 0 when none is loaded."""
        model = self._session.kernel.model
        return model.context if model else 0

    @property
    def model_parameters(self) -> int:
        """Number of its weights, 0 when none is loaded or it is not known."""
        model = self._session.kernel.model
        return model.parameters if model else 0

    @property
    def offline(self) -> bool:
        """True when the network may not be used."""
        return is_offline()

    @property
    def idle(self) -> bool:
        """True when nobody waits for an answer."""
        return not any(one.busy for one in self._session.conversations)

    @property
    def quiet_seconds(self) -> float:
        """Seconds since somebody typed or an answer was being made; 0 while one is."""
        return self._session.quiet.seconds

    # -- generating ------------------------------------------------------------------------

    async def generate(
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
        """Generate without tools in a sequence of its own; ``while_quiet``: until the person sends."""
        if schema is not None and not grammar:
            grammar = await asyncio.to_thread(_grammar_of, schema)

        async def work() -> Generation:
            request = await self._request(
                prompt, system, max_tokens, sampling, grammar=grammar, background=background
            )
            return (await self._collect(request))[0]

        return await (self._session.quiet.run(work()) if while_quiet else work())

    async def stream(
        self, prompt: str | Sequence[Message], *, system: str = "", max_tokens: int = 256
    ) -> AsyncIterator[str]:
        """As ``generate``, yielding visible text as it comes."""
        kernel = self._session.kernel
        request = await self._request(prompt, system, max_tokens, None)
        splitter = Splitter(kernel.parse_answer)
        async for event in kernel.generate(request):
            if isinstance(event, Chunk):
                deltas = splitter.feed(event.text)
            elif isinstance(event, Finished):
                deltas, _ = splitter.finish()
            else:
                continue
            for delta in deltas:
                if isinstance(delta, TextDelta):
                    yield delta.text

    async def fork(self, prompt: Sequence[Message], samples: int, *, max_tokens: int = 256) -> list[Generation]:
        """Several answers decoded together from one shared prefix."""
        return await self._collect(await self._request(prompt, "", max_tokens, None, samples=samples))

    async def _request(
        self,
        prompt: str | Sequence[Message],
        system: str,
        max_tokens: int,
        sampling: SamplingSettings | None,
        *,
        grammar: str = "",
        samples: int = 1,
        background: bool = True,
    ) -> GenerateRequest:
        session = self._session
        if session.kernel.model is None:
            await session.load_model()
        messages = [Message("user", prompt)] if isinstance(prompt, str) else list(prompt)
        if system:
            messages.insert(0, Message("system", system, labels=SYSTEM_LABELS))
        rendered = await session.kernel.render_chat(messages)
        return GenerateRequest(
            prompt=rendered.tokens,
            sequence=f"plugin-{new_id()[:12]}",
            max_tokens=max_tokens,
            sampling=sampling or SamplingSettings(),
            stop=rendered.stop,
            grammar=grammar,
            samples=samples,
            priority="background" if background else "person",
            keep=False,
        )

    async def _collect(self, request: GenerateRequest) -> list[Generation]:
        """Every sample's visible text with its figures."""
        kernel = self._session.kernel
        texts = [""] * request.samples
        ends: list[Finished | None] = [None] * request.samples
        async for event in kernel.generate(request):
            if isinstance(event, Chunk):
                texts[event.sample] += event.text
            elif isinstance(event, Finished):
                ends[event.sample] = event
        made: list[Generation] = []
        for text, end in zip(texts, ends, strict=True):
            visible = text if request.grammar else kernel.parse_answer(text).content
            made.append(
                Generation(
                    visible,
                    end.completion_tokens if end else 0,
                    end.mean_logprob if end else 0.0,
                    end.stop_reason if end else "error",
                )
            )
        return made

    async def count_tokens(self, text: str) -> int:
        """Length in the loaded model's tokens; an estimate when none is loaded."""
        kernel = self._session.kernel
        return len(await kernel.tokenize(text)) if kernel.model else estimate_tokens(text)

    async def embed(self, texts: Sequence[str], embedder: str = "") -> list[list[float]]:
        """Normalised vectors from the embedder worker, by an earlier embedder where one is named."""
        return await self._session.embedder.embed(texts, embedder)

    def embedder_id(self) -> str:
        """Name and hash of the embedder, empty when none is available."""
        return self._session.embedder.id()

    def register_embedder(self, path: Path) -> None:
        """Offer an embedding GGUF as the default one; the user's own setting wins."""
        self._session.embedder.register(path)

    # -- the user --------------------------------------------------------------------------

    async def approve(self, approval: Approval) -> ApprovalAnswer:
        """Ask the user outside of a turn; ``deny`` without a user to ask."""
        approver = self._session.approver
        return await approver(approval) if approver is not None else "deny"

    def notify(self, text: str, level: str = "info") -> None:
        """One line for the user; may be called from any thread."""
        kind = cast(Any, level if level in ("info", "warning", "error") else "info")
        notice = Notice(self._session.guard.clean(text), kind)
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if self._loop is None or running is self._loop:
            self._session.notify(notice)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._session.notify, notice)

    # -- chats -----------------------------------------------------------------------------

    async def chat_messages(self, chat_id: str) -> list[Message]:
        """Messages of a chat on its current branch, oldest first."""
        store = self._session.store
        return await store.run(store.branch, chat_id)

    async def search_chats(self, query: str, limit: int = 20) -> list[Message]:
        """Full-text search over all chats, any of the words, best first."""
        store = self._session.store
        hits = await store.run(store.search, query, limit=limit, any_word=True)
        return [hit.message for hit in hits]

    def window_labels(self, chat_id: str) -> Labels:
        """Joined labels of what is in a chat's window; of a chat that is not open, of all its messages."""
        found = self._open(chat_id)
        if found is not None:
            return found.labels()
        messages = self._session.store.branch(chat_id)
        attached = [page.labels for message in messages for page in message.pages]
        return join_labels([*(message.labels for message in messages), *attached])

    def window_pages(self, chat_id: str) -> list[Page]:
        """Pages of a chat, those in the window first, then those swapped out."""
        found = self._open(chat_id)
        return [*found.window.pages, *found.swapped()] if found is not None else self._stored.pages(chat_id)

    def pin_page(self, chat_id: str, page_id: str, pinned: bool) -> None:
        """Pin or unpin a page of a chat."""
        fresh = self._open(chat_id) is None
        found = self._session.conversation(chat_id)

        async def pin() -> None:
            if fresh:  # else its window is empty, and the page would count as one that left
                await found.open()
            await found.pin_page(page_id, pinned)

        self._session.jobs.start("pin a page", pin())

    async def evict_page(self, chat_id: str, page_id: str) -> bool:
        """Take a page out of a chat's window; False when it cannot leave."""
        found = self._open(chat_id)
        return found is not None and bool(await found.evict_page(page_id))

    async def kv_state(self, chat_id: str) -> KvState:
        """Where a chat's KV state is, and what it takes."""
        kernel = self._session.kernel
        tokens = used = capacity = 0
        found = self._open(chat_id)
        with contextlib.suppress(UserError, TimeoutError):
            if kernel.model is not None:
                capacity = int(kernel.model.memory.get("kv", 0))
                for one in (await asyncio.wait_for(kernel.stats(), 2.0)).sequences:
                    if found is not None and one.name == found.sequence:
                        tokens, used = one.tokens, one.bytes
        saved, at = await asyncio.to_thread(self._session.swap.saved, kernel, chat_id)
        return KvState(tokens, used, self.context_size, capacity, saved, at)

    def _open(self, chat_id: str) -> Conversation | None:
        return next((one for one in self._session.conversations if one.chat_id == chat_id), None)


def _grammar_of(schema: Mapping[str, Any]) -> str:
    """GBNF for a JSON schema; the converter comes with the kernel's library, so it loads on demand."""
    from llmos.kernel.grammar import schema_to_gbnf

    return schema_to_gbnf(schema)
