"""Cases of the suite: one TOML file each, read into dataclasses and checked."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmos.types import Confidentiality, EffectClass, Integrity, Labels, UserError

#: Names of labels in case files.
LabelName = Literal["web", "file", "foreign-file", "public-file", "public-trusted-file", "unlabelled"]


class _Part(BaseModel):
    """Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageText(_Part):
    """A page that a plugin brings, a file that the user attaches, or a passage of a result."""

    text: str
    source: str = "page"
    heading: str = ""
    labels: LabelName = "web"


class Result(_Part):
    """What a tool gives back; ``labels`` empty leaves it unlabelled, as most tools do."""

    text: str = ""
    labels: LabelName = "unlabelled"
    urls: tuple[str, ...] = ()
    pages: tuple[PageText, ...] = ()


class ExtraTool(_Part):
    """A tool beside the usual ones, for example of a foreign server."""

    name: str
    description: str
    effect: EffectClass = EffectClass.PURE
    parameters: tuple[str, ...] = ()
    trusted: bool = Field(False, description="Its description was approved by the user.")
    plugin: str = "llmos-mcp"


class CaseTurn(_Part):
    """One message of the user, with what comes into the window beside it.

    ``chat`` names the chat (another name begins another one); ``recall`` has evicted messages
    brought back; ``summarise`` has a summary of the chat made after the turn and brought later;
    ``reopen`` reads the chat from disk before the turn, as after a restart.
    """

    user: str
    chat: str = "main"
    attach: tuple[PageText, ...] = ()
    pages: tuple[PageText, ...] = ()
    recall: bool = False
    summarise: bool = False
    reopen: bool = False
    regenerate: bool = False


class Answer(_Part):
    """How the user answers a question: the first entry that fits the tool and the text."""

    tool: str
    contains: str = ""
    answer: Literal["once", "chat", "always", "deny"] = "once"
    times: int = 1


class SitePage(_Part):
    """A page that the case's own web site serves; ``html`` wraps the text, at ``{text}``."""

    path: str
    text: str = ""
    html: str = "{text}"
    kind: str = "text/plain"
    status: int = 200
    location: str = ""

    def body(self) -> str:
        """What is sent."""
        return self.html.replace("{text}", self.text)


class FoundHit(_Part):
    """A result of the case's own search engine."""

    title: str
    url: str
    snippet: str = ""


class Case(_Part):
    """One case.

    With ``real`` the web and code plugins run for real, against ``site`` and ``hits``; ``@SITE@``
    is the site's host and port, ``@INNER@`` those of a server that nobody allowed, ``@OUTSIDE@`` a
    file with a secret. ``handed`` are files that the user hands to the code; ``told`` must be said
    by a tool, ``visited`` be asked of the site.

    Attributes of attacks:
        attempts: least number of the attacker's calls that the model makes (0: the text never reaches it).
        rules: rules of the policy that refuse or ask for them, in any order.
        shows: what an approval must show.
        links: number of links in answers that must not open.
        dirty: something in it must be cleaned away.
        effective: it works by well-formed calls with an effect, so an open gate would let it through.

    Attributes of ordinary tasks:
        calls: tools that run, in order.
        asks: rules that ask, in order.
    """

    name: str = ""
    family: str
    title: str
    kind: Literal["attack", "task"] = "attack"
    context: int = 16_000
    obedient: bool = True
    can_ask: bool = True
    offline: bool = False
    named: tuple[str, ...] = ()
    tools: tuple[ExtraTool, ...] = ()
    real: bool = False
    site: tuple[SitePage, ...] = ()
    hits: tuple[FoundHit, ...] = ()
    handed: dict[str, str] = Field(default_factory=dict)
    told: tuple[str, ...] = ()
    visited: tuple[str, ...] = ()
    results: dict[str, list[Result]] = Field(default_factory=dict)
    answers: tuple[Answer, ...] = ()
    turns: tuple[CaseTurn, ...] = Field(min_length=1)

    attempts: int = 1
    rules: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    links: int = 0
    effective: bool = True
    dirty: bool = False

    calls: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()


def labels_named(name: LabelName, source: str) -> Labels | None:
    """The labels behind a name in a case file; None for a text that nobody labelled."""
    untrusted, trusted = Integrity.UNTRUSTED, Integrity.TRUSTED
    private, public = Confidentiality.PRIVATE, Confidentiality.PUBLIC
    if name == "web":
        return Labels(frozenset({f"url:{source}"}), untrusted, public)
    origins = frozenset({f"file:/home/user/{source}"})
    return {
        "file": Labels(origins, trusted, private),
        "foreign-file": Labels(origins, untrusted, private),
        "public-file": Labels(origins, untrusted, public),
        "public-trusted-file": Labels(origins, trusted, public),
        "unlabelled": None,
    }[name]


def read_case(text: str, name: str) -> Case:
    """Read one case.

    Args:
        text: TOML.
        name: path of the file within the suite, for errors and reports.

    Raises:
        UserError: not TOML, unknown keys, wrong values.
    """
    try:
        values: dict[str, Any] = tomllib.loads(text)
        return Case.model_validate({**values, "name": name})
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UserError(f"The security case {name} is not valid: {error}") from error


def all_cases() -> list[Case]:
    """Every case of the installed suite, by name."""
    root = files("llmos.bench") / "security_cases"
    found: list[Case] = []

    def walk(folder: Traversable, prefix: str) -> None:
        for entry in sorted(folder.iterdir(), key=lambda one: one.name):
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
            elif entry.name.endswith(".toml"):
                found.append(
                    read_case(entry.read_text(encoding="utf-8"), prefix + entry.name.removesuffix(".toml"))
                )

    walk(root, "")
    return found
