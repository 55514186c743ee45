"""The installed plugins of a running program: loaded when first used, called behind a fault boundary."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from llmos.plugins import quiet
from llmos.plugins.discovery import Found, discover
from llmos.plugins.faults import Fault, FaultLog, describe
from llmos.plugins.host import Ground, PluginHost
from llmos.plugins.jobs import JobBoard
from llmos.plugins.lock import read_lock
from llmos.plugins.manifest import IN_PROCESS_HOOKS, Manifest
from llmos.plugins.places import InProcess, Place
from llmos.plugins.services import Services
from llmos.plugins.store import StoreFile
from llmos.plugins.tools import declared_specs
from llmos.plugins.trace import Tracer
from llmos.settings import Folders, Settings
from llmos.types import ToolSpec, UserError

T = TypeVar("T")
State = Literal["ready", "loaded", "disabled", "set aside", "broken"]

#: Seconds that a hook may take; a manifest can ask for another number.
DEADLINES = {
    "llmos_start": 20.0,
    "llmos_stop": 3.0,
    "llmos_context": 3.0,
    "llmos_evict": 1.0,
    "llmos_marks": 1.0,
    "llmos_turn_done": 30.0,
    "view_panel": 2.0,
    "act_panel": 10.0,
    "view_status": 1.0,
    "render": 1.0,
}
_OTHER = 5.0

_log = logging.getLogger("llmos.plugins")


@dataclass(slots=True)
class Slot:
    """One installed plugin and what became of it.

    Attributes:
        found: where it is and its manifest.
        state: ``ready`` is enabled but not imported yet.
        isolated: runs in a process of its own.
        reason: why it is disabled, set aside or broken.
        specs: its tools, from the manifest or as it returned them.
        hooks: those that it implements, once it is loaded.
        stale: it said that its tools changed.
    """

    found: Found
    state: State = "ready"
    isolated: bool = False
    reason: str = ""
    place: Place | None = None
    specs: list[ToolSpec] = field(default_factory=list)
    hooks: tuple[str, ...] = ()
    stale: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.found.name

    @property
    def manifest(self) -> Manifest:
        """Its manifest; an empty one when it has none that can be read."""
        return self.found.manifest or Manifest(name=self.found.name)

    @property
    def usable(self) -> bool:
        """Whether it may be called."""
        return self.state in ("ready", "loaded")

    def declares(self, hook: str) -> bool:
        """Whether a hook is to be called."""
        blocked = self.isolated and hook in IN_PROCESS_HOOKS
        return self.usable and hook in self.manifest.hooks and not blocked

    def deadline(self, where: str) -> float:
        """Seconds that a call may take."""
        return self.manifest.deadlines.get(where, DEADLINES.get(where, _OTHER))


class Registry:
    """Finds, loads, calls and unloads plugins; base of ``PluginManager``.

    Args:
        settings: the user's settings; ``settings.plugins`` says what is off.
        folders: the user's folders.
        services: the running program; None outside of one.
        safe_mode: load none at all.
        notify: where lines to the user go when there are no services.
        finder: finds plugins; None looks at what is installed.
    """

    def __init__(
        self,
        settings: Settings,
        folders: Folders,
        services: Services | None = None,
        *,
        safe_mode: bool = False,
        notify: Callable[[str, str], None] | None = None,
        finder: Callable[[], list[Found]] | None = None,
    ) -> None:
        """See the class. Reads manifests, imports nothing."""
        self._finder = finder or (lambda: discover(folders))
        self.settings = settings
        self.folders = folders
        self.safe_mode = safe_mode
        self._services = services
        self._notify_other = notify
        self._faults = FaultLog(self._notify, self._put_aside)
        self._tracer = Tracer(folders)
        self.jobs = JobBoard(lambda plugin, where, error: self.fault(plugin, error, where))
        self._ground = Ground(
            folders=folders,
            services=services,
            store=StoreFile(folders.data / "plugins.db"),
            jobs=self.jobs,
            notify=self._notify,
            settings=settings,
            tools_changed=self._tools_changed,
        )
        self._closing: set[asyncio.Task[None]] = set()
        self._slots: dict[str, Slot] = {}
        self.rescan()
        self._tell_missing()

    #: Told what plugins in their own processes reach for; only the conformance kit sets it.
    _seen: Callable[[str, str], None] | None = None

    # what is there

    def rescan(self) -> list[str]:
        """Look again at what is installed; returns the names that are new. Loaded ones stay."""
        try:
            lock = read_lock(self.folders)
        except UserError as error:
            self._notify(str(error), "warning")
            lock = None
        before = set(self._slots)
        seen: set[str] = set()
        for found in self._finder():
            seen.add(found.name)
            old = self._slots.get(found.name)
            trusted = found.bundled or (lock is not None and lock.trusted(found.name, found.distribution))
            if old is not None and old.place is not None:
                continue
            slot = Slot(found, isolated=not trusted)
            if old is not None and old.state == "set aside":
                slot.state, slot.reason = old.state, old.reason
            elif found.error or found.manifest is None:
                slot.state, slot.reason = "broken", found.error
            elif self.safe_mode:
                slot.state, slot.reason = "disabled", "safe mode: no plugin is loaded"
            elif found.name in self.settings.plugins.disabled:
                slot.state, slot.reason = "disabled", "disabled in the settings"
            slot.specs = declared_specs(slot.manifest)
            self._slots[found.name] = slot
        for name in before - seen:
            if self._slots[name].place is None:
                del self._slots[name]
        ordered = sorted(
            self._slots.values(), key=lambda slot: (slot.manifest.order, not slot.found.bundled, slot.name)
        )
        self._slots = {slot.name: slot for slot in ordered}
        return sorted(seen - before)

    def _tell_missing(self) -> None:
        """One line when plugins that the user installed are gone, as after an upgrade of the program."""
        if self.safe_mode or self._services is None:
            return
        try:
            entries = read_lock(self.folders).entries
        except UserError:
            return  # told by rescan
        missing = sorted(set(entries) - set(self._slots))
        if missing:
            self._notify(
                f"Plugins that you installed are missing: {', '.join(missing)}; "
                "`llmos plugins upgrade --restore` puts them back.",
                "warning",
            )

    def plugins(self) -> list[Slot]:
        """Every installed plugin, in calling order."""
        return list(self._slots.values())

    def plugin(self, name: str) -> Slot:
        """One installed plugin.

        Raises:
            UserError: there is none of that name.
        """
        slot = self._slots.get(name)
        if slot is None:
            raise UserError(
                f"There is no plugin {name!r}; `llmos plugins list` shows those that are installed."
            )
        return slot

    def faults(self, name: str) -> tuple[Fault, ...]:
        """Faults of a plugin in this run, oldest first."""
        return self._faults.of(name)

    def fault(self, plugin: str, error: BaseException, where: str = "its middleware") -> None:
        """Count a fault that was caught elsewhere (middleware, a job). From any thread."""
        self._faults.add(plugin, where, error)

    def _with(self, hook: str) -> Iterator[Slot]:
        return (slot for slot in list(self._slots.values()) if slot.declares(hook))

    def _tools_changed(self, name: str) -> None:
        slot = self._slots.get(name)
        if slot is not None:
            slot.stale = True

    def _notify(self, text: str, level: str = "info") -> None:
        if self._services is not None:
            self._services.notify(text, level)
        elif self._notify_other is not None:
            self._notify_other(text, level)
        else:
            _log.log(logging.INFO if level == "info" else logging.WARNING, "%s", text)

    # loading

    async def load(self, name: str) -> bool:
        """Import a plugin now, if it is enabled and not imported yet; True when it is loaded."""
        slot = self.plugin(name)
        try:
            await self._loaded(slot)
        except UserError as error:
            self._notify(str(error), "warning")
        except Exception as error:
            _log.debug("load of %s: %s", name, error)  # counted and told by _loaded
        return slot.place is not None

    async def _loaded(self, slot: Slot) -> Place:
        """The plugin's place, opened if need be.

        Raises:
            UserError: it is not enabled, or refuses in words.
            Exception: what its import raised; it is then set aside.
        """
        async with slot.lock:
            if slot.place is not None:  # somebody else loaded it while this one waited
                return slot.place
            if not slot.usable:
                raise UserError(f"The plugin {slot.name} is {slot.state}: {slot.reason or 'see its faults'}.")
            self._ground.loop = asyncio.get_running_loop()
            place = self._make_place(slot)
            start = time.perf_counter()
            error_text = ""
            try:
                slot.hooks = tuple(await place.open(slot.deadline("llmos_start")))
                if slot.declares("llmos_tools"):
                    slot.specs = await place.specs(slot.deadline("llmos_tools"))
            except Exception as error:
                # What fails to load fails every time: no second try until the user puts it back.
                error_text = describe(error)[1]
                slot.state, slot.reason = "set aside", error_text
                await self._close_place(place)
                if isinstance(error, UserError):
                    self._notify(f"The plugin {slot.name} cannot be loaded: {error}", "warning")
                else:
                    self._faults.add(slot.name, "loading", error)
                raise
            finally:
                if self._tracer.on:
                    self._tracer.write(slot.name, "load", time.perf_counter() - start, slot.hooks, error_text)
            slot.place = place
            slot.state = "loaded"
            return place

    def _make_place(self, slot: Slot) -> Place:
        host = PluginHost(slot.manifest, self._ground)
        if slot.isolated:
            from llmos.plugins.process_host import OwnProcess

            place: Place = OwnProcess(slot.found, slot.manifest, host, self._ground, self._seen)
            return place
        quiet.install()
        return InProcess(slot.found, slot.manifest, host)

    async def unload(self, name: str, *, forget: bool = True) -> None:
        """Stop a plugin and let go of it; with ``forget`` the next load imports it anew."""
        slot = self.plugin(name)
        place, slot.place = slot.place, None
        if slot.state == "loaded":
            slot.state = "ready"
        self.jobs.stop_all(name)
        if place is not None:
            await self._close_place(place, slot, forget)

    async def _close_place(self, place: Place, slot: Slot | None = None, forget: bool = False) -> None:
        try:
            await place.close(slot.deadline("llmos_stop") if slot else 1.0, forget)
        except Exception as error:
            _log.warning("a plugin did not stop cleanly: %s", describe(error)[1])

    async def enable(self, name: str) -> None:
        """Put a plugin back that was disabled or set aside; its faults are forgiven."""
        slot = self.plugin(name)
        self._faults.forgive(name)
        if slot.state in ("disabled", "set aside"):
            slot.state, slot.reason = "ready", ""

    async def disable(self, name: str, reason: str = "disabled") -> None:
        """Stop a plugin for this run."""
        await self.unload(name)
        slot = self.plugin(name)
        if slot.state != "broken":
            slot.state, slot.reason = "disabled", reason

    def _put_aside(self, name: str) -> None:
        """Called by the fault log, perhaps from a job's thread."""
        slot = self._slots.get(name)
        if slot is None:
            return
        faults = self._faults.of(name)
        slot.state, slot.reason = "set aside", str(faults[-1]) if faults else "too many faults"
        place, slot.place = slot.place, None
        loop = self._ground.loop
        if place is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._close_later, place)

    def _close_later(self, place: Place) -> None:
        task = asyncio.get_running_loop().create_task(self._close_place(place))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Stop every plugin; for the program's end."""
        self.jobs.stop_all()
        places = [(slot, slot.place) for slot in self._slots.values() if slot.place is not None]
        for slot, _ in places:
            slot.place = None
            if slot.state == "loaded":
                slot.state = "ready"
        await asyncio.gather(*(self._close_place(place, slot) for slot, place in places if place))
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)
        self._ground.store.close()

    # calling

    async def _guarded(self, slot: Slot, where: str, action: Callable[[Place], Awaitable[T]], fallback: T) -> T:
        """Call a plugin; what it does wrong is counted and told, and ``fallback`` comes back."""
        try:
            return await self._traced(slot, where, action)
        except UserError as error:
            if slot.usable:
                self._notify(f"{slot.name}: {error}", "warning")
        except Exception as error:
            if slot.usable:  # a load that failed is counted already
                self._faults.add(slot.name, where, error)
        return fallback

    async def _traced(self, slot: Slot, where: str, action: Callable[[Place], Awaitable[T]]) -> T:
        if not self._tracer.on:
            return await action(slot.place or await self._loaded(slot))
        start = time.perf_counter()
        outcome: Any = None
        problem = ""
        try:
            outcome = await action(slot.place or await self._loaded(slot))
            return outcome  # type: ignore[no-any-return]
        except BaseException as error:
            problem = describe(error)[1]
            raise
        finally:
            self._tracer.write(slot.name, where, time.perf_counter() - start, outcome, problem)
