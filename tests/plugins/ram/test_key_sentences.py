from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from llmos_ram.key_sentences import as_text, key_sentences, statements


def length(text: str) -> int:
    return len(text.split())


SAID = [
    ("user", "My locker code is 4821. How are you?"),
    ("assistant", "The locker code is noted. Anything else?"),
    ("user", "The locker is in the east hall."),
    ("user", "thanks"),
    ("user", "The locker code opens the locker in the hall."),
    ("user", "My aunt paints boats."),
]


def test_questions_small_talk_and_single_words_tell_nothing() -> None:
    assert statements("How are you? Hello. Noted. My cat is called Mia.\nthanks") == ["My cat is called Mia."]
    assert statements("x " * 300) == []
    assert statements("Your cat sleeps. Your dog is called", "assistant") == ["Your cat sleeps."]


def test_the_most_central_sentences_come_in_the_order_in_which_they_were_said() -> None:
    taken = key_sentences(SAID, 16, length)
    texts = [text for _, text in taken]
    assert texts == [text for text in (s for _, t in SAID for s in statements(t)) if text in texts]
    assert any("locker" in text for text in texts)
    assert "My aunt paints boats." not in texts  # far from the centre, and the budget is short


def test_what_two_sentences_say_is_taken_once() -> None:
    said = [("user", "My locker code is 4821."), ("assistant", "Your locker code is 4821 then.")]
    assert len(key_sentences(said, 100, length)) == 1


def test_the_text_says_who_said_what() -> None:
    text = as_text([("user", "I like tea."), ("user", "I like rain."), ("assistant", "Tea is warm.")])
    assert text == "You said: I like tea. I like rain. The model said: Tea is warm."


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), st.text(max_size=120)), max_size=12),
    st.integers(0, 80),
)
def test_every_sentence_was_said_and_all_fit_the_budget(said: list[tuple[str, str]], budget: int) -> None:
    taken = key_sentences(said, budget, length)
    assert sum(length(sentence) for _, sentence in taken) <= budget
    for role, sentence in taken:
        assert any(role == who and sentence in " ".join(text.split()) for who, text in said)
