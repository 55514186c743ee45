"""Install, remove, upgrade and restore plugins in the program's own environment.

Nothing that is installed already changes: pip is held to the present versions, and what it added
is taken away again when anything fails, also when the program was killed in the middle (a journal
says what was to be added).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from llmos.offline import is_offline
from llmos.plugins import settings_file
from llmos.plugins.discovery import BUNDLED, Found, discover
from llmos.plugins.lock import Lock, Locked, read_lock
from llmos.plugins.pip import build_options, installed, normal, planned, refresh_path, run_pip, satisfied
from llmos.plugins.sources import Preview, look, look_wheel
from llmos.plugins.store import StoreFile
from llmos.settings import Folders
from llmos.types import UserError


class Installer:
    """Changes what is installed; one at a time.

    Args:
        folders: the user's folders.
        wheels: folder with wheels to take everything from, without network.
        say: takes a line about what is being done.
    """

    def __init__(
        self, folders: Folders, *, wheels: Path | None = None, say: Callable[[str], None] = lambda text: None
    ) -> None:
        """See the class."""
        if wheels is not None and not wheels.is_dir():
            raise UserError(f"The wheel folder {wheels} is not there.")
        self._folders = folders
        self._wheels = wheels.resolve() if wheels else None
        self._say = say
        self._kept = folders.data / "plugin-wheels"
        self._journal = folders.data / "plugins.installing.json"

    # looking

    @contextmanager
    def preview(self, source: str, *, editable: bool = False) -> Iterator[Preview]:
        """What a source holds; the downloads last as long as the ``with`` block."""
        with tempfile.TemporaryDirectory(prefix="llmos-plugin-") as work:
            yield look(source, Path(work), editable=editable, wheels=self._wheels)

    def check_free(self, preview: Preview) -> None:
        """That no other package holds the plugin's name.

        Raises:
            UserError: one does.
        """
        for found in discover(self._folders):
            if found.name != preview.manifest.name:
                continue
            same = found.distribution == preview.distribution and (found.source == "file") == (
                preview.kind == "file"
            )
            if not same:
                owner = found.distribution or str(found.path)
                raise UserError(
                    f"The name {found.name} is taken by {owner}; uninstall that first if you want the other."
                )
        if preview.distribution in BUNDLED:
            raise UserError(f"{preview.distribution} comes with the program; upgrade the program instead.")

    # installing

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two programs must not install at one time.

        Raises:
            UserError: another one does.
        """
        import fcntl

        self._folders.data.mkdir(parents=True, exist_ok=True)
        with (self._folders.data / "plugins.busy").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError("Another llmos is installing or removing a plugin; try again later.") from error
            yield

    def install(self, preview: Preview, *, trusted: bool = False) -> Locked:
        """Install what was looked at.

        Args:
            preview: from ``preview``, while its block is open.
            trusted: run it inside the program's process.

        Raises:
            UserError: it failed; nothing has changed.
        """
        with self._alone():
            self.recover()
            self.check_free(preview)
            lock = read_lock(self._folders)
            if preview.kind == "file":
                entry = self._install_file(preview, trusted)
            else:
                entry = self._install_package(preview, trusted, lock)
            lock.entries[entry.name] = entry
            lock.write()
            return entry

    def _install_file(self, preview: Preview, trusted: bool) -> Locked:
        target = self._folders.plugins / preview.path.name
        try:
            self._folders.plugins.mkdir(parents=True, exist_ok=True)
            temporary = target.with_suffix(".new")
            shutil.copyfile(preview.path, temporary)
            os.replace(temporary, target)
        except OSError as error:
            raise UserError(f"{preview.path} cannot be copied to {target}: {error.strerror}.") from error
        return Locked(preview.manifest.name, requirement=preview.requirement, trusted=trusted)

    def _install_package(self, preview: Preview, trusted: bool, lock: Lock) -> Locked:
        before = installed()
        old = before.get(preview.distribution)
        with tempfile.TemporaryDirectory(prefix="llmos-wheel-") as work:
            wheel = preview.path
            if preview.kind in ("folder", "git") and not preview.editable:
                built = self._build(preview, Path(work))
                wheel = built.path
                preview = replace(preview, version=built.version, requires=built.requires)
            constraints = Path(work) / "constraints.txt"
            constraints.write_text(_constraints(before, preview.distribution), encoding="utf-8")
            target = ["--editable", str(preview.path)] if preview.editable else [str(wheel)]
            options = ["--constraint", str(constraints), "--upgrade-strategy", "only-if-needed"]
            if preview.editable:
                options += build_options(preview.build_requires)
            self._say(f"Installing {preview.distribution}")
            if preview.requires is not None and satisfied(preview.requires, before):
                options += ["--no-deps"]  # it comes alone: nothing to resolve
                options += self._where_from() if preview.editable else ["--no-index"]
                options += ["--force-reinstall"] if old == preview.version else []
                plan = [preview.distribution]
            else:
                options += self._where_from()
                plan = planned("install", *options, *target)
            self._journal_write(set(plan) - set(before))
            try:
                run_pip("install", *options, *target)
                refresh_path()
                added = sorted(set(installed()) - set(before))
                self._verify(preview)
            except BaseException:
                self._undo(before, preview.distribution, lock.entries.get(preview.manifest.name))
                raise
            kept = "" if preview.editable else self._keep(wheel)
        self._journal.unlink(missing_ok=True)
        earlier = lock.entries.get(preview.manifest.name)
        return Locked(
            preview.manifest.name,
            preview.distribution,
            installed().get(preview.distribution, preview.version),
            preview.requirement,
            preview.editable,
            trusted,
            kept,
            tuple(sorted({*added, *(earlier.added if earlier else ())} - {preview.distribution})),
        )

    def _where_from(self) -> list[str]:
        """Options that say where dependencies may come from."""
        if self._wheels is not None:
            return ["--no-index", "--find-links", str(self._wheels)]
        return ["--no-index"] if is_offline() else []

    def _build(self, preview: Preview, work: Path) -> Preview:
        """Build the wheel of a source tree, and see that it is what was shown."""
        self._say(f"Building {preview.distribution}")
        options = build_options(preview.build_requires) or self._where_from()
        run_pip("wheel", "--no-deps", *options, "--wheel-dir", str(work), str(preview.path))
        wheel = next(iter(sorted(work.glob("*.whl"))), None)
        if wheel is None:
            raise UserError(f"Building {preview.path} gave no wheel.")
        built = look_wheel(wheel, preview.requirement, preview.kind)
        if built.manifest != preview.manifest:
            raise UserError(
                f"The wheel of {preview.distribution} has another manifest than its source; "
                "it is not installed."
            )
        return built

    def _verify(self, preview: Preview) -> None:
        """The plugin is now found, with the manifest that was shown."""
        found = next((one for one in discover(self._folders) if one.name == preview.manifest.name), None)
        if found is None or found.error or found.manifest != preview.manifest:
            reason = found.error if found else "it is not found"
            raise UserError(f"{preview.distribution} was installed but does not work: {reason}")

    def _keep(self, wheel: Path) -> str:
        """Keep the wheel, so that an upgrade of the program needs no network to restore it."""
        try:
            self._kept.mkdir(parents=True, exist_ok=True)
            target = self._kept / wheel.name
            if wheel.resolve() != target.resolve():
                shutil.copyfile(wheel, target)
            return hashlib.sha256(target.read_bytes()).hexdigest()
        except OSError:
            return ""  # only a convenience

    def _undo(self, before: dict[str, str], distribution: str, entry: Locked | None) -> None:
        """Take away what a failed install added, and put an older version back."""
        added = sorted(set(installed()) - set(before))
        if added:
            run_pip("uninstall", "--yes", *added)
        if entry is not None and installed().get(distribution) != before.get(distribution):
            wheel = self._kept_wheel(entry)
            if wheel is not None:
                run_pip("install", "--no-deps", "--no-index", "--force-reinstall", str(wheel))
        self._journal.unlink(missing_ok=True)
        refresh_path()

    def _journal_write(self, new: set[str]) -> None:
        """What is about to be added, so that ``recover`` takes away that and nothing else."""
        self._folders.data.mkdir(parents=True, exist_ok=True)
        self._journal.write_text(json.dumps(sorted(new)), encoding="utf-8")

    def recover(self) -> list[str]:
        """Take away what an install that was killed had added; returns the names."""
        try:
            new = set(json.loads(self._journal.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return []
        except (OSError, ValueError):
            self._journal.unlink(missing_ok=True)
            return []
        added = sorted(set(installed()) & new)
        if added:
            run_pip("uninstall", "--yes", *added)
        self._journal.unlink(missing_ok=True)
        return added

    def _kept_wheel(self, entry: Locked) -> Path | None:
        """The kept wheel of an entry, if it is the very one that was installed."""
        for path in sorted(self._kept.glob("*.whl")):
            parts = path.name.split("-")
            same = normal(parts[0]) == entry.distribution and parts[1] == entry.version
            if same and hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256:
                return path
        return None

    # removing

    def uninstall(self, name: str, *, keep_data: bool = False) -> list[str]:
        """Remove a plugin and all that came with it; returns what was removed, in words.

        Raises:
            UserError: it is not installed, or comes with the program.
        """
        with self._alone():
            return self._uninstall(name, keep_data)

    def _uninstall(self, name: str, keep_data: bool) -> list[str]:
        self.recover()
        lock = read_lock(self._folders)
        found = next((one for one in discover(self._folders) if one.name == name), None)
        entry = lock.entries.get(name)
        if found is None and entry is None:
            raise UserError(
                f"There is no plugin {name!r}; `llmos plugins list` shows those that are installed."
            )
        if found is not None and found.bundled:
            raise UserError(f"{name} comes with the program; `llmos plugins disable {name}` turns it off.")
        removed: list[str] = []
        if found is not None and found.source == "file" and found.path is not None:
            found.path.unlink(missing_ok=True)
            removed.append(str(found.path))
        else:
            removed += self._remove_packages(found, entry, lock)
        if entry is not None and (wheel := self._kept_wheel(entry)) is not None:
            wheel.unlink()
        if not keep_data:
            removed += self._remove_data(name)
        settings_file.forget_plugin(self._folders, name)
        if entry is not None:
            del lock.entries[name]
            lock.write()
        refresh_path()
        return removed

    def _remove_packages(self, found: Found | None, entry: Locked | None, lock: Lock) -> list[str]:
        distribution = found.distribution if found else entry.distribution if entry else ""
        others = {one for other in lock.entries.values() if other is not entry for one in other.added}
        here = installed()
        wanted = [distribution, *(entry.added if entry else ())]
        names = [one for one in wanted if one in here and one not in others and not _needed(one, wanted)]
        if names:
            self._say(f"Removing {', '.join(names)}")
            run_pip("uninstall", "--yes", *names)
        return names

    def _remove_data(self, name: str) -> list[str]:
        removed: list[str] = []
        data = self._folders.data / "plugins" / name
        if data.is_dir():
            shutil.rmtree(data, ignore_errors=True)
            removed.append(str(data))
        store = StoreFile(self._folders.data / "plugins.db")
        store.forget(name)
        store.close()
        return removed

    # keeping

    def missing(self) -> list[Locked]:
        """What the lock file lists and is not installed, as after an upgrade of the program."""
        here = {found.name for found in discover(self._folders)}
        return [entry for name, entry in sorted(read_lock(self._folders).entries.items()) if name not in here]

    def restore(self) -> list[tuple[str, str]]:
        """Install again what is missing; returns (name, error or empty)."""
        done: list[tuple[str, str]] = []
        for entry in self.missing():
            wheel = self._kept_wheel(entry)
            source = str(wheel) if wheel is not None else entry.requirement
            try:
                with self.preview(source, editable=entry.editable) as preview:
                    again = self.install(replace(preview, requirement=entry.requirement), trusted=entry.trusted)
                done.append((again.name, ""))
            except UserError as error:
                done.append((entry.name, str(error)))
        return done

    def upgrade(self, name: str) -> tuple[str, str]:
        """Install the newest version from where a plugin came; returns old and new version.

        Raises:
            UserError: it was not installed with this command, or the upgrade failed.
        """
        entry = read_lock(self._folders).entries.get(name)
        if entry is None:
            raise UserError(
                f"{name} was not installed with `llmos plugins install`; upgrade it as it was installed."
            )
        source = entry.requirement
        if source.startswith("git+"):
            source = source.rpartition("@")[0]  # without the commit: the newest
        elif not source.startswith(("/", ".")):
            source = source.partition("==")[0]
        with self.preview(source, editable=entry.editable) as preview:
            new = self.install(preview, trusted=entry.trusted)
        return entry.version, new.version


def _constraints(before: dict[str, str], except_for: str) -> str:
    """Hold every installed package to its version."""
    return "".join(f"{name}=={version}\n" for name, version in before.items() if name != except_for)


def _needed(name: str, leaving: list[str]) -> bool:
    """Whether a package that stays requires this one."""
    from importlib.metadata import distributions

    from packaging.requirements import InvalidRequirement, Requirement

    for distribution in distributions():
        owner = normal(distribution.metadata["Name"] or "")
        if owner in leaving:
            continue
        for text in distribution.requires or ():
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            extra_only = requirement.marker is not None and "extra" in str(requirement.marker)
            if normal(requirement.name) == name and not extra_only:
                return True
    return False
