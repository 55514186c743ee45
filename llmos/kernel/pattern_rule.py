"""A regular expression of a JSON schema as a GBNF expression for what stands between the quotes.

Only what can be held exactly, or a little narrower, is translated; for everything else the caller
lets any string pass and leaves the pattern to the check of the finished value.
"""

from __future__ import annotations

import string

#: Most repetitions that are written into a grammar; llama.cpp refuses, or dies of, much longer ones.
MOST_REPEATS = 1_000

#: What JSON does not allow raw between quotes.
_NOT_RAW = '"\\\\\\x7F\\x00-\\x1F'
_NAMED = {"d": "0-9", "w": "a-zA-Z0-9_", "s": " "}


class NotTranslated(ValueError):
    """The pattern uses what GBNF cannot say."""


def pattern_expression(pattern: str, char_rule: str) -> str:
    """The expression.

    Args:
        pattern: regular expression, anchored at both ends.
        char_rule: name of the rule for one character of a JSON string.

    Raises:
        NotTranslated: it cannot be said in GBNF.
    """
    if not (pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith("\\$")):
        raise NotTranslated("it is not anchored at both ends")
    reader = _Reader(pattern[1:-1], char_rule)
    expression = reader.sequence()
    if reader.rest():
        raise NotTranslated("alternatives at the top, or a bracket too much")
    return expression or '""'


class _Reader:
    """Recursive descent over one pattern."""

    def __init__(self, text: str, char_rule: str) -> None:
        self._text = text
        self._at = 0
        self._char = char_rule
        self._depth = 0

    def rest(self) -> str:
        return self._text[self._at :]

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise NotTranslated("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _alternatives(self) -> str:
        parts = [self.sequence()]
        while self.rest().startswith("|"):
            self._at += 1
            parts.append(self.sequence())
        return " | ".join(part or '""' for part in parts)

    def sequence(self) -> str:
        parts: list[str] = []
        while self.rest() and self.rest()[0] not in "|)":
            parts.append(self._atom() + self._repeats())
        return " ".join(parts)

    def _atom(self) -> str:
        found = self._next()
        if found == "(":
            return self._group()
        if found == "[":
            return self._class()
        if found == ".":
            return self._char
        if found == "\\":
            named, character = self._escape()
            return f"[{named}]" if named else _quoted(character)
        if found in "*+?{}]^$":
            raise NotTranslated(f"{found} at an odd place")
        return _quoted(found)

    def _group(self) -> str:
        if self.rest().startswith("?:"):
            self._at += 2
        elif self.rest().startswith("?"):
            raise NotTranslated("looking ahead or back, or a named group")
        self._depth += 1
        if self._depth > 20:
            raise NotTranslated("groups nested too deeply")
        inside = self._alternatives()
        self._depth -= 1
        if self._next() != ")":
            raise NotTranslated("a group that does not end")
        return f"({inside})"

    def _escape(self) -> tuple[str, str]:
        """(inside of a class, single character): one of them, after a backslash."""
        found = self._next()
        if found in _NAMED:
            return _NAMED[found], ""
        if found not in string.punctuation:
            raise NotTranslated(f"\\{found}")
        return "", found

    def _class(self) -> str:
        negated = self.rest().startswith("^")
        self._at += negated
        parts: list[str] = []
        while not self.rest().startswith("]"):
            named, first = self._member()
            if named:
                parts.append(named)
            elif self.rest().startswith("-") and not self.rest().startswith("-]"):
                self._at += 1
                also_named, last = self._member()
                if also_named or last < first or (first < '"' < last) or (first < "\\" < last):
                    raise NotTranslated("an odd range")
                parts.append(f"{_in_class(first)}-{_in_class(last)}")
            else:
                parts.append(_in_class(first))
        self._at += 1
        if not parts:
            raise NotTranslated("an empty class")
        return f"[^{''.join(parts)}{_NOT_RAW}]" if negated else f"[{''.join(parts)}]"

    def _member(self) -> tuple[str, str]:
        found = self._next()
        if found == "\\":
            return self._escape()
        return "", found

    def _repeats(self) -> str:
        found = self.rest()[:1]
        if found in ("*", "+", "?"):
            self._at += 1
        elif found == "{":
            end = self.rest().find("}")
            found = self.rest()[: end + 1]
            least, _, most = found[1:-1].partition(",")
            if not least.isdecimal() or not (most == "" or most.isdecimal()):
                raise NotTranslated("an odd number of repetitions")
            if max(int(least), int(most or 0)) > MOST_REPEATS or int(most or least) < int(least):
                raise NotTranslated("too many repetitions")
            self._at += len(found)
        else:
            return ""
        if self.rest()[:1] in ("?", "+", "*", "{") and self.rest():
            raise NotTranslated("a lazy or possessive repetition")
        return found


def _quoted(character: str) -> str:
    if character in '"\\' or not character.isprintable():
        raise NotTranslated("a character that JSON writes otherwise")
    return f'"{character}"'


def _in_class(character: str) -> str:
    if character in '"\\' or not character.isprintable():
        raise NotTranslated("a character that JSON writes otherwise")
    return f"\\x{ord(character):02X}" if character in "[]^-" else character
