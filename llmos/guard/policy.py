"""The policy: one table of rules, read from the top; the first rule that fits decides.

A rule says for which sinks it holds, under which circumstance, and what happens then. Nothing
here looks at what the model says, only at facts that the program itself knows. A call that no
rule fits is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Sink(StrEnum):
    """Where a call's text ends up: what can be harmed by it."""

    COMPUTE = "compute"  # nowhere: the result alone
    READ = "read"  # the user's files and memories are read
    SEARCH = "search query"  # words that leave the machine
    FETCH = "URL fetch"  # an address that is requested
    CODE = "contained code"  # code in the sandbox: no network, writes a scratch folder only
    EXECUTE = "execute"  # any other program or code
    MEMORY = "memory write"  # read again in later chats
    WRITE = "file write"
    CLIPBOARD = "clipboard"
    INSTALL = "install"  # changes the program itself
    LINK = "link shown"  # an address that the user may click


NETWORK = frozenset({Sink.SEARCH, Sink.FETCH})
EFFECTS = frozenset(Sink) - {Sink.COMPUTE, Sink.READ, Sink.LINK}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a call is decided.

    Attributes:
        tainted: untrusted text is in the window.
        private: private text is in the window (what the user typed is private too).
        private_sources: private text of files, pages or tools, not only the user's words and memories.
        addresses_known: every address in the call stands verbatim in what the user typed or in a
            result list (true when there is none).
        offline: the offline switch is on.
        named: this exact call was approved beforehand (a flag, a job's list).
        approved: this exact call was approved before, in circumstances at least as bad.
    """

    tainted: bool = False
    private: bool = False
    private_sources: bool = False
    addresses_known: bool = True
    offline: bool = False
    named: bool = False
    approved: bool = False


Verdict = Literal["allow", "ask", "deny"]
Scope = Literal["once", "chat", "always"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the policy.

    Attributes:
        id: short name that a decision carries.
        sinks: what the rule is about.
        when: the circumstance in words; ``test`` is the same in code.
        test: whether the circumstance holds.
        verdict: run, ask the user, or refuse.
        scopes: what the user may answer to a question, besides no.
        reason: shown to the user; ``{origins}`` names where untrusted text came from, ``{sink}`` the sink.
    """

    id: str
    sinks: frozenset[Sink]
    when: str
    test: Callable[[Facts], bool]
    verdict: Verdict
    reason: str
    scopes: tuple[Scope, ...] = ()


def _always(facts: Facts) -> bool:
    return True


RULES: tuple[Rule, ...] = (
    Rule(
        "offline",
        NETWORK,
        "the offline switch is on",
        lambda facts: facts.offline,
        "deny",
        "The program is set to offline; nothing may leave this machine.",
    ),
    Rule(
        "address-not-given",
        NETWORK,
        "an address in the call was neither typed by the user nor in a result list",
        lambda facts: not facts.addresses_known and not facts.named,
        "deny",
        "The address is neither one that you typed nor one from a result list; type it to have it opened.",
    ),
    Rule(
        "named-beforehand",
        EFFECTS,
        "this exact call was approved beforehand",
        lambda facts: facts.named,
        "allow",
        "This exact call was approved beforehand.",
    ),
    Rule(
        "harmless",
        frozenset({Sink.COMPUTE, Sink.READ}),
        "always",
        _always,
        "allow",
        "It changes nothing and sends nothing.",
    ),
    Rule(
        "approved-before",
        EFFECTS,
        "the user approved this exact call for the chat or for ever, with the same or more untrusted sources",
        lambda facts: facts.approved,
        "allow",
        "You approved this exact call before.",
    ),
    Rule(
        "install",
        frozenset({Sink.INSTALL}),
        "always",
        _always,
        "ask",
        "It changes the program itself.{taint}",
        ("once",),
    ),
    Rule(
        "tainted-private-network",
        NETWORK,
        "untrusted and private text are in the window together",
        lambda facts: facts.tainted and facts.private,
        "ask",
        "Private text and text from {origins} are in the window together: the call could carry the one "
        "away at the other's wish.",
        ("once",),
    ),
    Rule(
        "tainted-network",
        NETWORK,
        "untrusted text is in the window",
        lambda facts: facts.tainted,
        "ask",
        "Text from {origins} is in the window and may have asked for this.",
        ("once", "chat"),
    ),
    Rule(
        "tainted-effect",
        EFFECTS - NETWORK,
        "untrusted text is in the window",
        lambda facts: facts.tainted,
        "ask",
        "Text from {origins} is in the window and may have asked for this {sink}.",
        ("once", "chat"),
    ),
    Rule(
        "private-network",
        NETWORK,
        "private text of files, pages or tools is in the window",
        lambda facts: facts.private_sources,
        "ask",
        "Private text is in the window and could leave this machine with the call.",
        ("once", "chat", "always"),
    ),
    Rule(
        "effect",
        frozenset({Sink.WRITE, Sink.CLIPBOARD, Sink.EXECUTE}),
        "always",
        _always,
        "ask",
        "It has an effect outside the program ({sink}).",
        ("once", "chat", "always"),
    ),
    Rule(
        "trusted-window",
        frozenset({Sink.SEARCH, Sink.FETCH, Sink.CODE, Sink.MEMORY}),
        "only trusted text is in the window",
        lambda facts: not facts.tainted,
        "allow",
        "Only trusted text is in the window.",
    ),
    Rule(
        "link-not-given",
        frozenset({Sink.LINK}),
        "untrusted text is in the window and the address is new",
        lambda facts: facts.tainted and not facts.addresses_known,
        "deny",
        "The address was made up while text from {origins} was in the window; it is shown whole and does "
        "not open at a click.",
    ),
    Rule(
        "link",
        frozenset({Sink.LINK}),
        "always",
        _always,
        "allow",
        "The address is shown whole.",
    ),
)

#: What holds when no rule fits: refusal.
NO_RULE = Rule("no-rule", frozenset(Sink), "no rule fits", _always, "deny", "No rule of the policy allows it.")


def judge(sink: Sink, facts: Facts) -> Rule:
    """The first rule that fits a sink under the given facts; refusal when none does."""
    for rule in RULES:
        if sink in rule.sinks and rule.test(facts):
            return rule
    return NO_RULE


def rules_table() -> str:
    """The policy as a Markdown table, for the documentation and ``llmos bench security``."""
    lines = ["| rule | sinks | when | then | may be answered |", "|---|---|---|---|---|"]
    for rule in (*RULES, NO_RULE):
        if rule.sinks == frozenset(Sink):
            sinks = "all"
        elif rule.sinks == EFFECTS:
            sinks = "everything with an effect"
        else:
            sinks = ", ".join(sink.value for sink in Sink if sink in rule.sinks)
        answers = ", ".join(rule.scopes) + (", no" if rule.scopes else "")
        lines.append(f"| `{rule.id}` | {sinks} | {rule.when} | {rule.verdict} | {answers} |")
    return "\n".join(lines)
