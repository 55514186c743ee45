"""The guard: decides on every call from the exact bytes, the window's labels and the user's word.

Whatever goes wrong while deciding, the call is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmos.guard import addresses, calls
from llmos.guard.api import Decision, WindowState
from llmos.guard.approvals import ApprovalStore, StoredApproval
from llmos.guard.clean import clean, escape_json
from llmos.guard.labels import (
    PRIVATE_SOURCE,
    UNKNOWN,
    description_labels,
    is_private_source,
    joined,
    kind,
    origin_shown,
    untrusted_origins,
)
from llmos.guard.policy import NETWORK, Facts, Rule, Sink, judge
from llmos.guard.reveal import reveal
from llmos.types import (
    SYSTEM_LABELS,
    USER_LABELS,
    Approval,
    ApprovalAnswer,
    Confidentiality,
    EffectClass,
    Integrity,
    Labels,
    Page,
    ToolCall,
    ToolResult,
    ToolSpec,
)

_log = logging.getLogger(__name__)

#: Plugins that hand on what foreign servers say: their results are trusted only where the plugin
#: says so of a server that the user trusts, descriptions included.
_FOREIGN = frozenset({"llmos-mcp", "mcp"})
#: Characters that a note about the rest of a cut result may take beyond the limit.
_POINTER = 200
#: The program's own plugins, whose reading tools take words and reach no network.
_BUNDLED = frozenset({"disk", "ram", "code", "reason", "llmos-disk", "llmos-ram", "llmos-code", "llmos-reason"})
_SINKS: dict[EffectClass, Sink] = {
    EffectClass.PURE: Sink.COMPUTE,
    EffectClass.READ: Sink.READ,
    EffectClass.NETWORK: Sink.SEARCH,
    EffectClass.MEMORY: Sink.MEMORY,
    EffectClass.WRITE: Sink.WRITE,
    EffectClass.EXECUTE: Sink.EXECUTE,
    EffectClass.INSTALL: Sink.INSTALL,
}


class Guard:
    """Policy, approvals, labels and clean text; implements ``llmos.guard.api.GuardApi``."""

    def __init__(
        self,
        approvals: Path | None = None,
        *,
        offline: Callable[[], bool] | None = None,
    ) -> None:
        """Make a guard.

        Args:
            approvals: database of stored approvals (``folders().data / "approvals.db"``); None
                keeps them in memory only.
            offline: whether the offline switch is on; None asks the program's own switch.
        """
        self.store = ApprovalStore(approvals)
        self._offline = offline

    # -- deciding -----------------------------------------------------------------------------

    def decide(self, call: ToolCall, spec: ToolSpec, window: WindowState) -> Decision:
        """Policy's word on a call; refusal when anything goes wrong."""
        try:
            return self._decide(call, spec, window)
        except Exception:
            _log.exception("the guard failed on a call of %r", spec.name)
            return Decision("deny", "The guard could not decide on this call, so it is refused.", "guard-error")

    def _decide(self, call: ToolCall, spec: ToolSpec, window: WindowState) -> Decision:
        bad = _malformed(call, spec)
        if bad:
            return Decision("deny", bad, "malformed-call")
        try:
            exact_call = calls.canonical(call)
        except (TypeError, ValueError, RecursionError) as error:
            return Decision("deny", f"The arguments are not plain JSON ({error}).", "malformed-call")
        if len(exact_call) > calls.MAX_CALL:
            return Decision("deny", f"The call is longer than {calls.MAX_CALL:,} characters.", "malformed-call")
        found = addresses.addresses_of_call(call.arguments, spec.parameters)
        sink = _sink(spec, found)
        facts, origins = self._facts(window)
        named = exact_call in window.preapproved
        known = sink not in NETWORK or addresses.all_given(
            found.addresses, window.user_texts, window.result_urls
        )
        offline = sink in NETWORK and self.offline
        facts = replace(facts, addresses_known=known, offline=offline, named=named)
        rule = judge(sink, facts)
        if rule.verdict == "ask" and self.store.covers(exact_call, window.chat_id, frozenset(origins)):
            facts = replace(facts, approved=True)
            rule = judge(sink, facts)
        return self._answer(rule, sink, call, spec, window, origins)

    def _answer(
        self,
        rule: Rule,
        sink: Sink,
        call: ToolCall,
        spec: ToolSpec,
        window: WindowState,
        origins: tuple[str, ...],
    ) -> Decision:
        reason = _reason(rule, sink, origins)
        if rule.verdict == "deny":
            return Decision("deny", reason, rule.id)
        if rule.verdict == "allow":
            return Decision("allow", reason, rule.id)
        if not window.face_can_ask:
            return Decision(
                "deny",
                f"{reason} Nobody can be asked here; to allow it, name this exact call: "
                + escape_json(calls.canonical(call)),
                rule.id,
            )
        approval = Approval(
            call=call,
            effect=spec.effect,
            exact=calls.exact_text(call),
            reason=reason,
            tainted_by=origins,
            diff=calls.write_diff(call.arguments) if sink is Sink.WRITE else "",
            scopes=rule.scopes,
        )
        return Decision("ask", reason, rule.id, approval)

    def _facts(self, window: WindowState) -> tuple[Facts, tuple[str, ...]]:
        """Circumstances of a window, and where its untrusted text came from."""
        labels = [page.labels for page in window.pages]
        labels.extend(description_labels(window.tools))
        origins = tuple(origin_shown(one) for one in untrusted_origins(labels))
        private = [one for one in labels if one.confidentiality is Confidentiality.PRIVATE]
        sources = any(is_private_source(one) for one in private)
        return Facts(tainted=bool(origins), private=bool(private), private_sources=sources), origins

    def decide_sink(self, sink: Sink, text: str, window: WindowState) -> Decision:
        """The policy's word on text that reaches a sink without a tool, for example a link shown.

        Args:
            sink: where the text goes.
            text: the exact text.
            window: the chat's window.
        """
        try:
            facts, origins = self._facts(window)
            found = [text.strip()] if sink in (Sink.LINK, Sink.FETCH) else addresses.addresses_in(text)
            known = addresses.all_given(found, window.user_texts, window.result_urls)
            rule = judge(sink, replace(facts, addresses_known=known, offline=sink in NETWORK and self.offline))
            call = ToolCall(sink.name.lower(), {"text": text})
            spec = ToolSpec(sink.name.lower(), "", {}, _EFFECTS[sink])
            return self._answer(rule, sink, call, spec, window, origins)
        except Exception:
            _log.exception("the guard failed on text for %s", sink)
            return Decision("deny", "The guard could not decide on this text, so it is refused.", "guard-error")

    @property
    def offline(self) -> bool:
        """Whether the offline switch is on."""
        if self._offline is not None:
            return self._offline()
        from llmos.guard.offline import is_offline

        return is_offline()

    # -- approvals ----------------------------------------------------------------------------

    def remember(self, approval: Approval, answer: ApprovalAnswer, chat_id: str) -> None:
        """Keep an approval for the chat or for ever, for this exact call only.

        An answer that was not on offer is kept as nothing more than this once.

        Raises:
            UserError: the store cannot be written.
        """
        if answer in ("chat", "always") and answer in approval.scopes:
            if answer == "always" and approval.tainted_by:
                return
            self.store.add(calls.canonical(approval.call), answer, chat_id, approval.tainted_by)

    def approvals(self) -> list[StoredApproval]:
        """Approvals that hold beyond their question, newest first."""
        return self.store.all()

    def revoke(self, number: int) -> bool:
        """Take a stored approval back; False when there is none of that number."""
        return self.store.revoke(number)

    # -- labels -------------------------------------------------------------------------------

    def label_answer(self, window: WindowState) -> Labels:
        """Labels of what the model writes now: joined from all that it reads, origin ``model``."""
        return joined([*(page.labels for page in window.pages), *description_labels(window.tools)], "model")

    def label_result(self, spec: ToolSpec, result: ToolResult, window: WindowState) -> ToolResult:
        """The result with joined labels, its text cleaned and bounded to ``spec.result_limit``."""
        asked = self.label_answer(window)
        own = result.labels
        unlabelled = own == SYSTEM_LABELS
        integrity, confidentiality = own.integrity, own.confidentiality
        opaque = spec.effect is EffectClass.EXECUTE and not spec.contained
        foreign = spec.plugin in _FOREIGN and (unlabelled or not spec.description_trusted)
        if spec.effect is EffectClass.NETWORK or foreign or opaque:
            integrity = Integrity.UNTRUSTED
        if unlabelled and (spec.effect is EffectClass.READ or opaque):
            # What was read is unknown: it may come from anybody and may be anybody's secret.
            integrity, confidentiality = Integrity.UNTRUSTED, Confidentiality.PRIVATE
        own_origins = frozenset[str]() if unlabelled else own.origins
        if integrity is Integrity.UNTRUSTED:
            origins = {f"tool:{spec.name}"} | own_origins
        else:
            via = {f"via:{one.partition(':')[2]}" if kind(one) == "tool" else one for one in own_origins}
            origins = {f"via:{spec.name}"} | via
        if is_private_source(Labels(frozenset(origins), integrity, confidentiality)):
            origins |= {PRIVATE_SOURCE}
        base = Labels(frozenset(origins), integrity, confidentiality).join(asked)
        return replace(
            result,
            text=bound(clean(result.text), spec.result_limit + _POINTER),
            labels=base,
            data=_clean_data(result.data) if result.data is not None else None,
            urls=tuple(url for url in result.urls if clean(url) == url and url.split() == [url]),
            pages=tuple(self._label_page(page, base) for page in result.pages),
        )

    def _label_page(self, page: Page, base: Labels) -> Page:
        return replace(
            page,
            text=clean(page.text),
            heading=_one_line(clean(page.heading)),
            source=_one_line(clean(page.source)),
            labels=base.join(page.labels),
        )

    def label_page(self, page: Page) -> Page:
        """A page that a plugin brings into the window: cleaned, never trusted by mere default.

        A passage, memory or result that carries the labels of the user's own words was not
        labelled at all; it counts as untrusted and private.
        """
        labels = page.labels
        if labels == USER_LABELS and page.kind in ("passage", "tool_result", "summary"):
            labels = Labels(frozenset({UNKNOWN}), Integrity.UNTRUSTED, Confidentiality.PRIVATE)
        return replace(
            page,
            labels=labels,
            text=clean(page.text),
            heading=_one_line(clean(page.heading)),
            source=_one_line(clean(page.source)),
        )

    # -- text ---------------------------------------------------------------------------------

    def clean(self, text: str) -> str:
        """Strip terminal escapes, bidi controls, zero-width and tag characters."""
        return clean(text)

    def reveal(self, text: str) -> str:
        """Make hidden, look-alike and bidi content visible, for approvals."""
        return reveal(text)


_EFFECTS: dict[Sink, EffectClass] = {
    Sink.COMPUTE: EffectClass.PURE,
    Sink.READ: EffectClass.READ,
    Sink.SEARCH: EffectClass.NETWORK,
    Sink.FETCH: EffectClass.NETWORK,
    Sink.CODE: EffectClass.EXECUTE,
    Sink.EXECUTE: EffectClass.EXECUTE,
    Sink.MEMORY: EffectClass.MEMORY,
    Sink.WRITE: EffectClass.WRITE,
    Sink.CLIPBOARD: EffectClass.WRITE,
    Sink.INSTALL: EffectClass.INSTALL,
    Sink.LINK: EffectClass.PURE,
}


def bound(text: str, limit: int) -> str:
    """The text cut to ``limit`` characters, with a note of what was left out."""
    if len(text) <= limit:
        return text
    note = f"\n[… {len(text) - limit:,} more characters were left out]"
    return text[:limit] + note


def _clean_data(value: Any) -> Any:
    """Structured data with every string in it cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): _clean_data(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean_data(part) for part in value]
    return value


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _malformed(call: ToolCall, spec: ToolSpec) -> str:
    """What is wrong with the form of a call; empty when nothing is."""
    if call.name != spec.name:
        return "The call and the tool have different names."
    properties = spec.parameters.get("properties")
    if isinstance(properties, dict) and not spec.parameters.get("additionalProperties", False):
        unknown = sorted(str(name) for name in call.arguments if name not in properties)
        if unknown:
            return f"{reveal(spec.name)} has no parameter {reveal(unknown[0])}."
    missing = [name for name in spec.parameters.get("required", ()) if name not in call.arguments]
    if missing:
        return f"{reveal(spec.name)} needs the parameter {reveal(str(missing[0]))}."
    return ""


def _sink(spec: ToolSpec, found: addresses.Found) -> Sink:
    """Where a call's text ends up; what is not declared is taken from the arguments."""
    if spec.effect is EffectClass.EXECUTE and spec.contained:
        return Sink.CODE
    if spec.effect is EffectClass.WRITE and "clipboard" in spec.name:
        return Sink.CLIPBOARD
    sink = _SINKS[spec.effect]
    if sink is Sink.SEARCH and (found.meant or found.whole):
        return Sink.FETCH
    if sink in (Sink.COMPUTE, Sink.READ):
        # A tool that says that it sends nothing but takes an address is not believed; words that are an
        # address may be looked for by the program's own tools.
        own = spec.plugin in _BUNDLED
        if found.meant or (found.whole and not own):
            return Sink.FETCH
    return sink


def _reason(rule: Rule, sink: Sink, origins: tuple[str, ...]) -> str:
    """The rule's words, with the sources named."""
    names = ", ".join(origins[:3]) + (f" and {len(origins) - 3} more" if len(origins) > 3 else "")
    taint = f" Text from {names} is in the window and may have asked for it." if origins else ""
    return rule.reason.format(origins=names, sink=sink.value, taint=taint)
