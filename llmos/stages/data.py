"""Data: the funnel of the bundled model's text, and the same funnel on a folder of the user's."""

from __future__ import annotations

import asyncio
import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmos.plugins.contributions import Element
from llmos.stages.frame import (
    Control,
    Part,
    StageBase,
    StageContext,
    StageFigure,
    State,
    cited,
    recorded,
)
from llmos.types import UserError

_SOURCE = "record: funnel"
#: Bytes of a user's folder that are run through the funnel at most.
_MOST_BYTES = 50_000_000
_PROSE = (
    "The ferry leaves the old harbour at seven in the morning and comes back before the sun goes down. "
    "In summer it carries people who want to see the seals on the sandbanks, and in winter mostly letters, "
    "flour and a few islanders who have been to the doctor. The captain knows every stone of the channel, "
    "because his mother steered the same boat and took him along when he was small. When the fog comes in, "
    "he stops the engine, listens to the bell on the pier, and only then goes on.\n"
)
#: Good prose, the same once more, another language, a menu, and almost nothing.
_SAMPLE = (
    _PROSE,
    _PROSE,
    "Die Fähre verlässt den alten Hafen um sieben Uhr morgens und kommt zurück, bevor die Sonne untergeht. "
    "Im Sommer fährt sie Gäste zu den Seehunden, im Winter vor allem Briefe und Mehl.\n",
    "Home | About | Login | Cart | Search | Menu | Next | Back | Share | Top\n" * 8,
    "ok\n",
)


def funnel_rows(stages: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Rows of the funnel's table: stage, documents in and out, share kept, reasons."""
    rows = []
    for stage in stages:
        reasons = ", ".join(f"{name} {count:,}" for name, count in stage["reasons"].items())
        if stage.get("idle"):
            reasons = "nothing to do on this text"
        kept = stage["documents_out"] / stage["documents_in"] if stage["documents_in"] else 1.0
        rows.append(
            [stage["name"], f"{stage['documents_in']:,}", f"{stage['documents_out']:,}", f"{kept:.2%}", reasons]
        )
    return rows


def run_folder(folder: Path, context: StageContext) -> dict[str, Any]:
    """The real funnel on a folder: its report, and which documents dropped out by which rule.

    Args:
        folder: text, Markdown, HTML or JSON lines.
        context: progress and cancelling.

    Raises:
        UserError: no folder, no text in it, or the funnel's libraries are not installed.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; name one with text files.")
    for needed in ("py3langid", "trafilatura"):
        if importlib.util.find_spec(needed) is None:
            raise UserError(f"The funnel needs {needed}, which is not installed: pip install {needed}.")
    from llmos.foundry.funnel.funnel import Funnel
    from llmos.foundry.funnel.sources import read_folder

    class Watched(Funnel):
        """Notes what drops out."""

        dropped: list[list[str]]

        def _keep(self, name: str, text: str, reason: str | None) -> bool:
            if reason is not None and len(self.dropped) < 200:
                self.dropped.append([name, reason, " ".join(text[:80].split())])
            return super()._keep(name, text, reason)

    funnel = Watched()
    funnel.dropped = []
    try:
        for kept, _ in enumerate(funnel.run(read_folder(folder, _MOST_BYTES)), 1):
            if kept % 50 == 0:
                context.progress(kept, 0, "documents kept")
            if context.cancelled():
                break
    except OSError as error:
        raise UserError(f"The funnel cannot read {folder}: {error}.") from error
    report = funnel.report()
    if not report["stages"][0]["documents_in"]:
        raise UserError(f"There is no text in {folder}: .txt, .md, .html and .jsonl files are read.")
    return {**report, "dropped": funnel.dropped, "folder": str(folder)}


class DataStage(StageBase):
    """From raw text to what the model is trained on."""

    id = "data"
    title = "Data"
    sentences = (
        "A model is what it read: raw text goes through a funnel of filters; most of a web crawl drops out.",
        "Block lists, extraction, language, quality rules, duplicates, private data, in this order; quality "
        "and variety count for more than size.",
        "Below are the counts of the bundled model's text; name a folder and the same filters run on it.",
    )
    question = "What data is a language model trained on?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """A folder, and a button that runs the funnel on it."""
        return (
            Control("folder", "text", "Your folder", "", key="t"),
            Control("run", "button", "Run the funnel on it", key="r"),
            Control("sample", "button", "On a sample", key="s"),
        )

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """Documents in and out, and the scale of others."""
        out: list[StageFigure] = []
        if context.record is not None:
            report = context.record.funnel()
            first, last = report["stages"][0], report["stages"][-1]
            out += [
                recorded("Documents in", first["documents_in"], _SOURCE, "documents"),
                recorded("Documents out", last["documents_out"], _SOURCE, "documents"),
                recorded("Bytes in", first["bytes_in"], _SOURCE, "bytes"),
                recorded("Bytes out", last["bytes_out"], _SOURCE, "bytes"),
                recorded(
                    "Private data redacted",
                    sum(report["redacted"].values()),
                    _SOURCE,
                    "places",
                    "addresses and numbers; such filters do not find every name",
                ),
            ]
        return [
            *out,
            cited("Common Crawl, one crawl", "2.7 billion pages", "Common Crawl (2024)", "",
                  "one crawl of many since 2007, not the archive"),
            cited("FineWeb", "15 trillion tokens, 44 TB", "Penedo et al. 2024 (2406.17557)", "",
                  "its authors' own figure; 44 TB fit on some ten consumer drives"),
            cited("Language filter of FineWeb", "English at 65 % or more", "Penedo et al. 2024 (2406.17557)"),
        ]  # fmt: skip

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """The recorded funnel, and the user's own when it was run."""
        parts: list[Part] = []
        if state.get("report"):
            parts += self._own(state["report"])
        if context.record is not None:
            report = context.record.funnel()
            columns = ["filter", "in", "out", "kept", "what dropped out and why"]
            table = {"columns": columns, "rows": funnel_rows(report["stages"]), "keys": []}
            parts.append(Part(Element("table", table, "Funnel of the bundled model"), "recorded", _SOURCE))
            sources = report["sources"]
            bars = {"labels": list(sources), "values": [one["bytes_out"] / 1e6 for one in sources.values()]}
            parts.append(Part(Element("bars", bars, "Text by source, MB"), "recorded", _SOURCE))
            scale = {
                "labels": ["this model", "FineWeb"],
                "values": [report["stages"][-1]["bytes_out"] / 1e12, 44.0],
            }
            parts.append(
                Part(Element("bars", scale, "Beside FineWeb, TB"), "cited", "Penedo et al. 2024 (2406.17557)")
            )
        else:
            parts.append(Part(Element("text", {"markdown": "The build record is not installed."}), "recorded"))
        return parts

    def _own(self, report: dict[str, Any]) -> list[Part]:
        columns = ["filter", "in", "out", "kept", "what dropped out and why"]
        table = {"columns": columns, "rows": funnel_rows(report["stages"]), "keys": []}
        dropped = {"columns": ["filter", "rule", "begins with"], "rows": report["dropped"], "keys": []}
        return [
            Part(Element("table", table, f"Funnel of {report['folder']}"), "live", "the funnel, now"),
            Part(Element("table", dropped, "Documents that dropped out"), "live", "the funnel, now"),
        ]

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Run the funnel on the user's folder or on a sample, on a thread."""
        if action == "sample":
            with tempfile.TemporaryDirectory(prefix="llmos-sample-") as name:
                for number, text in enumerate(_SAMPLE):
                    (Path(name) / f"{number}.txt").write_text(text, encoding="utf-8")
                report = await asyncio.to_thread(run_folder, Path(name), context)
            return {**state, "report": {**report, "folder": "five sample texts"}}
        if action != "run":
            return state
        folder = Path(str(state.get("folder", "")).strip() or ".").expanduser()
        return {**state, "report": await asyncio.to_thread(run_folder, folder, context)}
