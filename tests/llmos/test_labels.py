from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmos.labels import Confidentiality, Integrity, Labels, is_private_source, join_labels

LABELS = st.builds(
    Labels,
    st.frozensets(
        st.sampled_from(["user", "model", "system", "file:/a", "url:https://b", "memory:1", "private"])
    ),
    st.sampled_from(Integrity),
    st.sampled_from(Confidentiality),
)


def test_a_private_file_is_still_told_apart_when_it_is_joined_with_the_models_words() -> None:
    answer = Labels(frozenset({"user", "model"}))
    file = Labels(frozenset({"file:/notes.txt"}))
    assert is_private_source(file) and not is_private_source(answer)
    assert is_private_source(join_labels([answer, file]))
    assert not is_private_source(join_labels([answer, answer]))


@given(st.lists(LABELS, min_size=1, max_size=5))
def test_joining_never_weakens_a_label(parts: list[Labels]) -> None:
    whole = join_labels(parts)
    assert whole.tainted == any(one.tainted for one in parts)
    assert whole.private == any(one.private for one in parts)
    assert all(one.origins <= whole.origins for one in parts)
    if any(is_private_source(one) for one in parts):
        assert is_private_source(whole)
