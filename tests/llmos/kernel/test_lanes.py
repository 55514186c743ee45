"""Stop texts in a stream, and the grammar's trigger."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmos.kernel.engine import Engine
from llmos.kernel.lanes import StopTexts, Trigger


def _stream(parts: list[str], stops: list[str]) -> tuple[str, bool]:
    found = StopTexts(stops)
    shown = ""
    for part in parts:
        text, stopped = found.feed(part)
        shown += text
        if stopped:
            return shown, True
    return shown + found.end(), False


@given(st.lists(st.text("abX", max_size=4)), st.lists(st.text("abX", min_size=1, max_size=3), max_size=3))
def test_text_up_to_the_stop_however_it_is_cut(parts: list[str], stops: list[str]) -> None:
    shown, stopped = _stream(parts, stops)
    whole = "".join(parts)
    places = [whole.find(stop) for stop in stops if stop in whole]
    assert stopped == bool(places)
    if not stopped:
        assert shown == whole
    else:
        # Cut at the first stop that was complete; nothing of a complete stop is ever shown.
        assert whole.startswith(shown)
        assert len(shown) <= max(places)
        assert not any(stop in shown for stop in stops)


@given(st.lists(st.text("abX", max_size=4)))
def test_what_may_begin_a_stop_is_held_back(parts: list[str]) -> None:
    stop = "XXa"
    found = StopTexts([stop])
    shown = fed = ""
    for part in parts:
        text, stopped = found.feed(part)
        shown, fed = shown + text, fed + part
        if stopped:
            return
        held = max(length for length in range(3) if fed.endswith(stop[:length]))
        assert shown == fed[: len(fed) - held]


def test_trigger_inside_a_token(engine: Engine) -> None:
    tokens = engine.tokenize("the other")  # " o" is one token
    assert b" o" in [engine.piece(token) for token in tokens]
    trigger = Trigger(engine, 'root ::= "other" [0-9]', "other")
    grammars = [grammar for token in tokens if (grammar := trigger.feed(token)) is not None]
    assert len(grammars) == 1
    assert grammars[0].allows(engine.tokenize("7")[0])
    assert not grammars[0].allows(engine.tokenize("x")[0])
    grammars[0].close()


def test_trigger_after_long_text(engine: Engine) -> None:
    trigger = Trigger(engine, 'root ::= "<<" "a"', "<<")
    for token in engine.tokenize("some long text " * 50):
        assert trigger.feed(token) is None
    found = [trigger.feed(token) for token in engine.tokenize("<<")]
    assert found[-1] is not None
    found[-1].close()


def test_text_that_breaks_the_grammar_at_once_gives_up(engine: Engine) -> None:
    trigger = Trigger(engine, 'root ::= "!!" "z"', "!!")
    joined = next(token for token in range(engine.vocabulary) if engine.piece(token) == b'!!"')
    assert trigger.feed(joined) is None
