"""The tour: one thing to do on each of the twelve panels, and where the user has come to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FILE = "tour.json"


@dataclass(frozen=True, slots=True)
class Step:
    """One stop.

    Attributes:
        stage: the panel.
        before: what will be done.
        after: what to look at then.
        action: button that is pressed; empty when only values are set.
        values: values of controls that are set before it.
        bundled: whether it uses the bundled model's files or record, whatever model is loaded.
    """

    stage: str
    before: str
    after: str
    action: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    bundled: bool = False


TOUR: tuple[Step, ...] = (
    Step("data", "What the bundled model has read; now the same filters run on five sample texts.",
         "Each row is a filter: how much came in, what dropped out, and why.", "sample", {}, True),
    Step("tokens", "A text is cut into tokens; ten merges of byte pair encoding follow.",
         "Frequent neighbours have become one token: see the merges, each with its count.", "auto"),
    Step("training", "The loaded model's own blocks and attention; now another layer.",
         "The picture is the second layer's attention: every row sums to one.", "", {"layer": 1}),
    Step("inference", "The odds of the next token; now sixteen are drawn.",
         "The text has grown; move the temperature and see the bars change.", "run"),
    Step("base", "Base and chat model go on from the same words (bundled base model).",
         "The base model continues a text, the chat model answers.", "ask", {}, True),
    Step("sft", "How conversations made an assistant of it (bundled model before and after).",
         "Coloured tokens are those that were learned.", "ask", {}, True),
    Step("rlhf", "Preferences and rewards (bundled model); an answer is scored.",
         "The score is the reward model's, in standard deviations.", "score", {}, True),
    Step("quirks", "One prompt ten times by chance, and ten times with the likeliest token.",
         "By chance the answers differ; the share has its sample size and interval.", "chance"),
    Step("rag", "A made-up colony in four documents; now it is asked about its people.",
         "Compare the odds with passages and without.", "", {"text": "How many colonists live at Ares Base?"}),
    Step("security", "Ten pages with hidden orders are read by the loaded model.",
         "Whether it obeyed or not: below stands what the guard would do with the call.", "inject"),
    Step("pipeline", "What it cost, at a price a CPU hour of your choice: now ten cents.",
         "The cost followed; the frontier's stands beside it.", "", {"cpu": 0.1}, True),
    Step("machine", "The machine as it is now; it is looked at once more.",
         "Enter on a row opens the tab that shows that part.", "again"),
)  # fmt: skip


def text_of(number: int, done: bool) -> str:
    """What the bar says at a step.

    Args:
        number: from 0; at the end of the list the tour is over.
        done: whether the step's thing has been done.
    """
    if number >= len(TOUR):
        return "That was the tour: twelve panels. Enter closes it; `llmos tour` begins anew."
    step = TOUR[number]
    said = step.after if done else step.before
    key = "Enter goes on" if done else "Enter does it"
    return f"Tour {number + 1} of {len(TOUR)}. {said} {key}, Esc leaves."


def load_place(folder: Path) -> int:
    """Where the tour was left; 0 at first and where the note cannot be read."""
    try:
        place = json.loads((folder / _FILE).read_text(encoding="utf-8"))["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return place if isinstance(place, int) and 0 <= place < len(TOUR) else 0


def save_place(folder: Path, place: int) -> None:
    """Note where the tour was left; at its end the next one begins anew.

    Args:
        folder: the user's data folder.
        place: step that comes next.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / _FILE
    partial = target.with_suffix(".part")
    partial.write_text(json.dumps({"step": place if place < len(TOUR) else 0}), encoding="utf-8")
    partial.replace(target)
