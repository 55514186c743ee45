"""Queries: what they look for, which files they mean, and how they read in FTS5."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from llmos.types import UserError

_STOP_WORDS = """
a about above after again all also am an and any are as at be because been before being below between
both but by can cannot could das de den der des did die do does doing done down du during each either el
else en et for from further get gets give got had has have having he her here hers him his how i if im in
into is ist it its itself just la las le les let like los make makes many may me might mine mit more most
much must my need needs no nor not of off on once one only or other our ours out over own please que same
shall she should show so some such tell than that the their theirs them then there these they thing this
those through to too un und under une until up us use used uses using very von want was way we were what
when where which while who whom whose why will with within without would y you your yours zu
"""
#: Words that say nothing of what is looked for.
STOP_WORDS = frozenset(_STOP_WORDS.split())

_IDENTIFIER = re.compile(
    r"""(?x)
    [A-Za-z0-9]+ _ [A-Za-z0-9_]* | _[A-Za-z]\w*      # snake_case, CONSTANT_CASE, _private
    | [a-z][a-z0-9]* [A-Z] \w* | [A-Z][a-z0-9]+ [A-Z] \w*   # camelCase, PascalCase
    | [A-Za-z]\w* (?: (?:\.|::|->|\#) [A-Za-z_]\w* )+       # dotted, scoped
    | [A-Za-z_][\w.]* \(\)? [^\s)]* \)?              # call()
    | -{1,2} [a-z][\w-]+                             # --option
    | [A-Z]+ [0-9]{2,} | [A-Z]+ - [0-9]+                 # E404, RFC-1234
    """
)
_TOKEN = re.compile(r"[^\W_]+", re.UNICODE)
_FILTER = re.compile(r"(?:^|(?<=\s))(folder|type|after|before|path|in):(\"[^\"]+\"|\S+)")
_MENTION = re.compile(r"(?:^|(?<=[\s(]))@(\"[^\"]+\"|[^\s,;:!?()]+)")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which files may answer. Empty fields do not restrict.

    Attributes:
        folders: names or paths of added folders.
        paths: files, or folders below the added ones, by path or by the end of it.
        kinds: extensions (``pdf``) or kinds (``markdown``).
        after, before: dates of the files, seconds since the epoch.
    """

    folders: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    after: float = 0.0
    before: float = 0.0

    def merged(self, other: Filter) -> Filter:
        """Both restrictions at once; lists are joined."""
        return Filter(
            self.folders + other.folders,
            self.paths + other.paths,
            self.kinds + other.kinds,
            max(self.after, other.after),
            min(self.before, other.before) if self.before and other.before else self.before or other.before,
        )

    def sql(self) -> tuple[str, list[Any]]:
        """Condition on ``f`` (files) and ``d`` (folders), and its values; empty when nothing restricts."""
        parts: list[str] = []
        values: list[Any] = []
        if self.folders:
            parts.append("(" + " OR ".join("d.name = ? OR d.path = ?" for _ in self.folders) + ")")
            for name in self.folders:
                values += [name.rstrip("/"), name.rstrip("/").encode("utf-8", "surrogateescape")]
        if self.paths:
            ways = []
            for path in self.paths:
                plain = path.strip("/") if not path.startswith("/") else path.rstrip("/")
                raw = plain.encode("utf-8", "surrogateescape")
                if path.startswith("/"):
                    ways.append("f.path = ? OR substr(f.path, 1, ?) = ?")
                    values += [raw, len(raw) + 1, raw + b"/"]
                else:
                    like = plain.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
                    ways.append(
                        "f.relative = ? OR f.relative LIKE ? ESCAPE '\\' OR f.relative LIKE ? ESCAPE '\\' "
                        "OR f.relative LIKE ? ESCAPE '\\' OR d.name = ?"
                    )
                    values += [plain, f"%/{like}", f"{like}/%", f"%/{like}/%", plain]
            parts.append("(" + " OR ".join(ways) + ")")
        if self.kinds:
            ways = []
            for kind in self.kinds:
                ways.append("f.kind = ? OR f.relative LIKE ? ESCAPE '\\'")
                values += [kind, "%." + kind.lstrip(".").replace("%", "").replace("_", "\\_")]
            parts.append("(" + " OR ".join(ways) + ")")
        if self.after:
            parts.append("f.mtime_ns >= ?")
            values.append(int(self.after * 1e9))
        if self.before:
            parts.append("f.mtime_ns < ?")
            values.append(int(self.before * 1e9))
        return " AND ".join(parts), values


@dataclass(frozen=True, slots=True)
class Query:
    """A query taken apart.

    Attributes:
        text: words to look for, without filters and mentions.
        filter: what ``type:pdf`` and the like say.
        mentions: names after ``@``, as written.
        identifier: looks like the name of something in code or configuration.
    """

    text: str
    filter: Filter = Filter()
    mentions: tuple[str, ...] = ()
    identifier: bool = False


def _date(text: str) -> float:
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise UserError(f"{text!r} is no date; write it like 2024-05-31.") from error


def parse(text: str) -> Query:
    """Take a query apart.

    Raises:
        UserError: a date in it is none.
    """
    chosen = Filter()
    for key, raw in _FILTER.findall(text):
        value = raw.strip('"')
        if key in ("folder", "in"):
            chosen = replace(chosen, folders=(*chosen.folders, value))
        elif key == "path":
            chosen = replace(chosen, paths=(*chosen.paths, value))
        elif key == "type":
            chosen = replace(chosen, kinds=(*chosen.kinds, *value.lower().split(",")))
        elif key == "after":
            chosen = replace(chosen, after=_date(value))
        else:
            chosen = replace(chosen, before=_date(value))
    rest = _FILTER.sub(" ", text)
    mentions = tuple(name.strip('"').rstrip(".") for name in _MENTION.findall(rest))
    rest = " ".join(_MENTION.sub(" ", rest).split())
    return Query(rest, chosen, mentions, looks_like_identifier(rest))


def looks_like_identifier(text: str) -> bool:
    """True for short queries that name something: ``fs.readFile``, ``MAX_RETRIES``, ``--no-cache``."""
    words = text.split()
    named = [word for word in words if _IDENTIFIER.fullmatch(word.strip("`'\",?!"))]
    if not named:
        return False
    others = [word for word in words if word not in named and word.lower().strip("?,.!") not in STOP_WORDS]
    return len(others) <= 2 * len(named)


def fts_terms(text: str) -> list[str]:
    """Terms to look for, stop words dropped; empty when nothing is left.

    ``fs.readFile`` is looked for as the two words side by side (a term with a space in it) and, more
    weakly, as each of them.
    """
    terms: dict[str, None] = {}
    for word in text.split():
        parts = _TOKEN.findall(word)
        if len(parts) > 1:
            terms[" ".join(parts)] = None
        for part in parts:
            if part.lower() not in STOP_WORDS and (len(part) > 1 or not part.isascii() or part.isdigit()):
                terms[part] = None
    if not terms:  # nothing but stop words: better those than nothing
        terms = dict.fromkeys(_TOKEN.findall(text))
    return list(terms)[:64]


def fts_expression(terms: Iterable[str]) -> str:
    """Terms as a query for FTS5: each quoted (nothing of it is syntax), joined by OR."""
    return " OR ".join(f'"{term}"' for term in terms)


def terms_of(text: str) -> list[str]:
    """Content words, lower case, stop words dropped."""
    return [word.lower() for word in _TOKEN.findall(text) if word.lower() not in STOP_WORDS]
