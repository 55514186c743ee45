"""The program without a face: kernel, store, guard, plugins and conversations, put together.

``open_session`` is what the TUI, the CLI and the server start from. It is quick: no model is
loaded and no worker started before somebody needs one.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from llmos.conversation.conversation import Conversation
from llmos.conversation.embedder import Embedder
from llmos.conversation.jobs import Jobs
from llmos.conversation.ports import Plugins
from llmos.conversation.quiet import Quiet
from llmos.conversation.services import HostServices
from llmos.conversation.store import Store
from llmos.conversation.swap import Swap
from llmos.conversation.titles import give_title
from llmos.conversation.turnstile import Turnstile
from llmos.guard.api import GuardApi
from llmos.kernel.protocol import Kernel, LoadRequest, ModelInfo
from llmos.settings import Folders, Settings, folders, load_settings
from llmos.types import Approval, ApprovalAnswer, Message, Notice, UserError, new_id

_log = logging.getLogger(__name__)

Face = Literal["tui", "cli", "serve", "test"]
Approver = Callable[[Approval], Awaitable[ApprovalAnswer]]


class Session:
    """Everything that a face needs; made by ``open_session``.

    Attributes:
        settings: the user's settings.
        folders: the user's folders.
        face: who uses it.
        kernel: the local worker or a remote one; nothing loaded at first.
        store: the chats.
        guard: policy, approvals, clean text.
        plugins: the plugin manager.
        jobs: background work.
        swap: KV states of chats that were left.
        quiet: when nobody types and nobody waits; the face says when somebody types.
        embedder: the second kernel, started when first needed.
        approver: asks the user outside of a turn; None where no user can be asked.
        face_can_ask: whether ``ApprovalNeeded`` will be answered.
        preapproved: calls approved beforehand, in the guard's canonical form.
    """

    def __init__(
        self,
        settings: Settings,
        where: Folders,
        *,
        face: Face,
        kernel: Kernel,
        store: Store,
        guard: GuardApi,
        embedder: Embedder,
    ) -> None:
        self.settings = settings
        self.folders = where
        self.face = face
        self.kernel = kernel
        self.store = store
        self.guard = guard
        self.embedder = embedder
        self.jobs = Jobs()
        self.swap = Swap(where.swap, settings.chat.swap_megabytes, self.notify)
        self.quiet = Quiet(lambda: any(one.busy for one in self.conversations))
        self.services = HostServices(self)
        self.plugins: Plugins
        self.approver: Approver | None = None
        self.face_can_ask = face == "tui"
        self.preapproved: frozenset[str] = frozenset()
        self._conversations: dict[str, Conversation] = {}
        self._restored: set[str] = set()
        self._leaving: set[str] = set()
        self._listeners: list[Callable[[Notice], None]] = []
        self._early: list[Notice] = [Notice(text, "warning") for text in store.notices]
        self._loading: asyncio.Task[ModelInfo] | None = None
        self._deaths_told = 0
        self._swapping = asyncio.Lock()
        self._turnstile = Turnstile(lambda: kernel.model.context if kernel.model else 0)

    # -- notices ---------------------------------------------------------------------------

    def on_notice(self, listener: Callable[[Notice], None]) -> None:
        """Have lines for the user that belong to no turn; those from before come at once."""
        self._listeners.append(listener)
        early, self._early = self._early, []
        for notice in early:
            listener(notice)

    def notify(self, notice: Notice) -> None:
        """Tell the user one line; on the event loop's thread."""
        if not self._listeners:
            self._early.append(notice)
        for listener in list(self._listeners):
            listener(notice)

    def kernel_notice(self, notice: Notice) -> None:
        """A line of the kernel; a death that a turn has told of already is not told twice."""
        if notice.level == "warning" and self._deaths_told:
            self._deaths_told -= 1
            return
        self.notify(notice)

    def _death_told(self) -> None:
        self._deaths_told += 1

    # -- chats -----------------------------------------------------------------------------

    def conversation(self, chat_id: str = "") -> Conversation:
        """A chat to talk in; the same object for the same id.

        Args:
            chat_id: a stored chat; empty begins a new one, stored with its first message.
        """
        chat_id = chat_id or new_id()
        found = self._conversations.get(chat_id)
        if found is None:
            found = Conversation(
                chat_id,
                kernel=self.kernel,
                store=self.store,
                guard=self.guard,
                plugins=self.plugins,
                settings=self.settings.chat,
                ensure_model=self._ensure_model,
                spawn=self._spawn,
                face_can_ask=self.face_can_ask,
                preapproved=self.preapproved,
                after_turn=self._after_turn,
                on_death=self._death_told,
                turnstile=self._turnstile,
            )
            self._conversations[chat_id] = found
        return found

    @property
    def conversations(self) -> list[Conversation]:
        """Conversations that are open in this session."""
        return list(self._conversations.values())

    async def leave(self, chat_id: str) -> None:
        """Close a chat: its KV state goes to disk, its memory is freed.

        A running answer goes on, and the chat is closed after it.
        """
        found = self._conversations.get(chat_id)
        if found is not None and found.busy:
            self._leaving.add(chat_id)
        if found is None or found.busy:
            return
        del self._conversations[chat_id]
        self._restored.discard(chat_id)
        self._leaving.discard(chat_id)
        async with self._swapping:  # nobody may begin a turn in a state that is on its way out
            await self.swap.save(self.kernel, found.sequence, chat_id)

    def _spawn(self, name: str, work: Awaitable[None]) -> None:
        self.jobs.start(name, work)

    async def _after_turn(self, conversation: Conversation, user: Message, answer: Message) -> None:
        """A title, once a chat has its first answer; a chat that was left meanwhile is closed."""
        self.quiet.touch()
        if answer.status == "complete":
            await give_title(
                self.store, self.kernel, conversation.chat_id, user, answer, self.settings.chat.titles
            )
        if conversation.chat_id in self._leaving:
            await self.leave(conversation.chat_id)

    # -- model -----------------------------------------------------------------------------

    async def load_model(self, name: str = "", *, context: int | None = None) -> ModelInfo:
        """Load a model, replacing the present one.

        Args:
            name: name or path; empty takes the one of the settings, else the bundled one.
            context: window in tokens; None takes the one of the settings.

        Raises:
            llmos.types.UserError: no such model, damaged, too large.
        """
        # A turn that comes meanwhile waits for this model, not for another.
        self._loading = asyncio.create_task(self._load(name, context))
        return await asyncio.shield(self._loading)

    async def _load(self, name: str, context: int | None) -> ModelInfo:
        wanted = self.settings.model
        path = Path(name or wanted.name) if wanted.kernel_url else _model_file(name or wanted.name)
        info = await self.kernel.load(
            LoadRequest(
                path=path,
                context=wanted.context if context is None else context,
                threads=wanted.threads,
                gpu_layers=wanted.gpu_layers,
                kv_type=wanted.kv_type,
            )
        )
        self._restored.clear()
        for conversation in self._conversations.values():
            conversation.model_changed()
        if not gc.get_freeze_count():
            gc.freeze()  # the program itself is never garbage: looking through it costs a turn 30 ms
        return info

    async def _ensure_model(self, conversation: Conversation) -> None:
        """Before a turn: a model is loaded, and the chat's saved state is in its sequence."""
        self.quiet.begin()
        if self.kernel.model is None:
            if self._loading is None or self._loading.done():
                self._loading = asyncio.create_task(self._load("", None))
            await asyncio.shield(self._loading)
        chat_id = conversation.chat_id
        self._leaving.discard(chat_id)
        if chat_id not in self._restored:
            async with self._swapping:
                self._restored.add(chat_id)
                await self.swap.restore(self.kernel, conversation.sequence, chat_id)

    async def tidy(self) -> None:
        """Erase what has been in the trash for long, and keep the swap folder within its cap."""
        await self.store.run(self.store.empty_trash)
        await self.store.run(self.swap.trim)

    async def close(self) -> None:
        """Stop answers, let background work finish for a moment, end the workers, close the store."""
        for conversation in self.conversations:
            try:
                await conversation.close()
            except UserError as error:
                _log.error("chat %s was not kept whole: %s", conversation.chat_id, error)
        await self.jobs.close()
        if self.face == "tui":
            for conversation in self._conversations.values():
                await self.swap.save(self.kernel, conversation.sequence, conversation.chat_id)
        close: Any = getattr(self.plugins, "close", None)
        if close is not None:
            await close()
        await self.embedder.close()
        await self.kernel.close()
        self.store.close()


@asynccontextmanager
async def open_session(
    settings: Settings | None = None,
    *,
    face: Face = "cli",
    where: Folders | None = None,
    kernel: Kernel | None = None,
    guard: GuardApi | None = None,
    plugins: Plugins | None = None,
    safe_mode: bool = False,
) -> AsyncIterator[Session]:
    """Open the program's parts for a face, and close them at the end.

    Args:
        settings: the user's; None reads them.
        face: who opens it.
        where: folders; None takes the user's.
        kernel: another kernel instead of the local worker.
        guard: another guard.
        plugins: another plugin manager.
        safe_mode: load no plugin.

    Raises:
        llmos.types.UserError: bad settings, folders that cannot be made.
    """
    settings = settings if settings is not None else load_settings()
    where = (where if where is not None else folders()).make()
    _offline(settings)
    told: list[Callable[[Notice], None]] = []

    def tell(notice: Notice) -> None:
        for listener in told:
            listener(notice)

    session = Session(
        settings,
        where,
        face=face,
        kernel=kernel if kernel is not None else _kernel(settings, where, tell),
        store=Store(where.store_file),
        guard=guard if guard is not None else _guard(where),
        embedder=Embedder(settings, where),
    )
    told.append(session.kernel_notice)
    session.plugins = plugins if plugins is not None else _plugins(session, safe_mode)
    if face == "tui":
        session.jobs.start("tidy up", session.tidy())
    try:
        yield session
    finally:
        await session.close()


def _offline(settings: Settings) -> None:
    """Set the offline switch before anything could open a connection."""
    from llmos.offline import apply_environment, set_offline

    if settings.offline:
        set_offline(True)
    else:
        apply_environment()


def _kernel(settings: Settings, where: Folders, tell: Callable[[Notice], None]) -> Kernel:
    """The local worker's client, or a remote kernel where the settings name a server."""
    if settings.model.kernel_url:
        return _remote(settings.model.kernel_url, offline=settings.offline)
    from llmos.kernel.client import KernelClient

    local: Kernel = KernelClient(where.log / "kernel.log", tell)
    return local


def _remote(url: str, *, offline: bool) -> Kernel:
    """A kernel over an OpenAI-compatible server; offline only on this machine itself.

    Raises:
        UserError: no address, or offline and elsewhere.
    """
    host = urlsplit(url).hostname or ""
    if urlsplit(url).scheme not in ("http", "https") or not host:
        raise UserError(f"{url!r} is no address of a server; it looks like http://host:8080.")
    if offline and host not in ("localhost", "127.0.0.1", "::1"):
        raise UserError(f"The kernel lies on {host}, and the network is switched off; switch it on for that.")
    from llmos.kernel.remote import RemoteKernel

    made: Kernel = RemoteKernel(url)
    return made


def _model_file(name: str) -> Path:
    """The file of a model: LLMOS's own, then what other programs on this machine have."""
    from llmos.catalog.owned import find_owned
    from llmos.kernel import locate

    try:
        return locate.resolve(name).path
    except UserError:
        owned = find_owned(name) if name else None
        if owned is None:
            raise
        return owned.path


def _guard(where: Folders) -> GuardApi:
    from llmos.guard.guard import Guard

    return Guard(approvals_file(where))


def approvals_file(where: Folders) -> Path:
    """Database of approvals that hold beyond their question."""
    return where.data / "approvals.db"


def _plugins(session: Session, safe_mode: bool) -> Plugins:
    from llmos.plugins.manager import PluginManager

    manager: Plugins = PluginManager(session.settings, session.folders, session.services, safe_mode=safe_mode)
    return manager


def with_settings(settings: Settings, **chat: Any) -> Settings:
    """Settings with some chat values changed; None leaves a value as it is."""
    changed = {name: value for name, value in chat.items() if value is not None}
    return settings.model_copy(update={"chat": settings.chat.model_copy(update=changed)})


__all__ = ["Approver", "Face", "Session", "open_session", "with_settings"]
