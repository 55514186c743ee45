"""Security: six attacks with their success rates, and what the guard decides with and without them."""

from __future__ import annotations

from collections.abc import Sequence

from llmos.plugins.contributions import Element
from llmos.stages.attacks import Attack, injection, jailbreak, rulings, suffix_search, twin
from llmos.stages.frame import (
    Control,
    Part,
    StageBase,
    StageContext,
    StageFigure,
    State,
    cited,
    live,
)
from llmos.stages.soft_image import entrance, soft_image
from llmos.stages.statistics import COLUMNS

_TITLES = {
    "inject": "Prompt injection",
    "jailbreak": "Jailbreak",
    "twin": "Poisoned twin",
    "suffix": "Suffix search",
    "patch": "Suffix search after patch",
    "image": "Adversarial picture",
}
_WHY = {
    "inject": "Guard off: the call would run. Guard on: it depends on the window, not on the model; see below.",
    "jailbreak": "Not refused is not obeyed: small models read no base64. Guard on or off, words stay words; "
    "what would follow from them is a call, and calls are judged.",
    "twin": "No reading of weights tells a twin from the sound model. Guard on: its calls are judged like any.",
    "suffix": "The guard makes no model refuse; it holds when the model is wholly on the attacker's side.",
    "patch": "The patch filters the words of known suffixes; the search then draws others: cat and mouse.",
    "image": "Guard off: what it says under a picture's spell would be trusted. Guard on: what came from "
    "outside makes the window untrusted, and calls are judged by that, whatever the model was made to say.",
}
_SHOWN = 6


class SecurityStage(StageBase):
    """Attacks on the loaded model, and the guard beside it."""

    id = "security"
    title = "Security"
    sentences = (
        "A model cannot tell an order from a quotation: hidden text, a role or an odd suffix may turn it.",
        "So the guard trusts no model: it decides on each exact call by what lies in the window.",
        "The attacks run here against the loaded model; nothing that it asks for is carried out.",
    )
    question = "What is prompt injection?"

    def controls(self, context: StageContext) -> Sequence[Control]:
        """A button an attack."""
        return (
            Control("inject", "button", "Injection", key="1"),
            Control("jailbreak", "button", "Jailbreak", key="2"),
            Control("twin", "button", "Twin", key="3"),
            Control("suffix", "button", "Suffix search", key="4"),
            Control("patch", "button", "Patch, again", key="5"),
            Control("image", "button", "Picture", key="6"),
        )

    async def figures(self, context: StageContext) -> list[StageFigure]:
        """The guard's decisions now; success rates come with the attacks."""
        out = [
            live(
                f"Guard: {one.wanted}, window: {one.window}",
                one.decision.verdict,
                "the guard",
                "",
                one.decision.rule,
            )
            for one in rulings()
        ]
        out.append(
            cited("Suffixes found by gradients on open models", "88 % of harmful requests (Vicuna 7B)",
                  "Zou et al. 2023 (2307.15043)", "", "their own benchmark; models since then were patched")
        )  # fmt: skip
        return [
            *out,
            cited("Images that steer a model, by gradients", "arbitrary harmful text from adversarial images",
                  "Carlini et al. 2023 (2306.15447)", "", "models of 2023 that take images; LLMOS takes none"),
            cited("An image that makes a model say a given line", "over 80 % of contexts (LLaVA)",
                  "Bailey et al. 2023 (2309.00236)", "", "white box: the attacker has the weights"),
            cited("One image that undoes refusals", "works on harmful requests that it was not made for",
                  "Qi et al. 2023 (2306.13213)", "", "MiniGPT-4 and others of 2023"),
        ]  # fmt: skip

    async def view(self, context: StageContext, state: State) -> list[Part]:
        """Results so far, the newest first, then the guard's decisions."""
        parts: list[Part] = []
        results: dict[str, Attack] = state.get("results", {})
        for name, attack in reversed(results.items()):
            parts += _result(name, attack)
        rounds = {name: one for name, one in results.items() if name.split()[0] in ("suffix", "patch")}
        if len(rounds) > 1:
            bars = {
                "labels": [_title(name) for name in rounds],
                "values": [one.shares[0].value for one in rounds.values()],
            }
            title = "Cat and mouse: share of requests whose refusal a suffix ended, round by round"
            parts.append(Part(Element("bars", bars, title), "live", context.model_name))
        text = {"markdown": entrance(context)}
        parts.append(Part(Element("text", text, "Where an image would come in"), "live", context.model_name))
        rows = [
            [one.wanted, one.window, "runs", _verdict(one.decision.verdict), one.decision.reason]
            for one in rulings()
        ]
        columns = ["what the call would do", "in the window", "guard off", "guard on", "why"]
        table = {"columns": columns, "rows": rows, "keys": []}
        parts.append(Part(Element("table", table, "What the guard decides"), "live", "the guard, now"))
        return parts

    async def act(self, context: StageContext, state: State, action: str) -> State:
        """Run an attack; stopped early it keeps what it has."""
        results: dict[str, Attack] = state.get("results", {})
        if action == "inject":
            found = await injection(context)
        elif action == "jailbreak":
            found = await jailbreak(context)
        elif action == "twin":
            found = await twin(context)
        elif action in ("suffix", "patch"):
            known = [suffix for one in results.values() for suffix in one.suffixes] if action == "patch" else []
            found = await suffix_search(context, blocked=known)
            if action == "patch":  # every round is kept: the next one is patched against all
                action = f"patch {1 + sum(name.startswith('patch') for name in results)}"
            else:
                results = {name: one for name, one in results.items() if not name.startswith("patch")}
        elif action == "image":
            found = await soft_image(context)
        else:
            return state
        rest = {name: kept for name, kept in results.items() if name != action}
        return {**state, "results": {**rest, action: found}}


def _title(name: str) -> str:
    kind, _, number = name.partition(" ")
    return f"{_TITLES[kind]} {number}".strip()


def _verdict(verdict: str) -> str:
    return {"allow": "runs", "ask": "asks the user", "deny": "refused"}[verdict]


def _result(name: str, attack: Attack) -> list[Part]:
    ended = " (stopped early)" if attack.stopped else ""
    table = {"columns": COLUMNS, "rows": [one.row() for one in attack.shares], "keys": []}
    parts = [
        Part(Element("table", table, f"{_title(name)}{ended}"), "live", attack.model),
        Part(
            Element("text", {"markdown": _WHY[name.split()[0]]}, "With the guard and without"),
            "live",
            "the guard",
        ),
    ]
    if attack.curve:
        x = list(range(len(attack.curve)))
        plot = {"series": [{"name": "line", "x": x, "y": list(attack.curve)}], "x": "step", "y": "nats"}
        title = "Log-probability of the line, step by step"
        parts.append(Part(Element("plot", plot, title), "live", attack.model))
    if attack.examples:
        rows = [[asked, " ".join(said.split()) or "(nothing)"] for asked, said in attack.examples[:_SHOWN]]
        table = {"columns": ["asked", "it said"], "rows": rows, "keys": []}
        parts.append(Part(Element("table", table, f"{_title(name)}: what was said"), "live", attack.model))
    return parts
