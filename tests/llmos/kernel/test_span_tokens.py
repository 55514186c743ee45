"""Names of special tokens in content become tokens of plain text, in both kinds of vocabulary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmos.formats import SPECIAL_TOKENS
from llmos.kernel.engine import Engine
from llmos.kernel.span_tokens import literal_tokens, tokens_of_spans


class BlankFirst:
    """Cuts letter by letter as SentencePiece would: a blank before every text, marks read always."""

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        tokens: list[int] = []
        if text and not text.startswith("<s>"):
            tokens.append(ord(" "))
        while text:
            if text.startswith("<s>"):  # a user-defined token is recognised in any case
                tokens.append(1)
                text = text[3:]
            else:
                tokens.append(ord(text[0]))
                text = text[1:]
        return tokens


def _text(tokens: list[int]) -> str:
    return "".join("<s>" if token == 1 else chr(token) for token in tokens)


def test_no_blank_is_put_into_the_middle() -> None:
    spans = [("<s>Hi ", True), ("<s>", False), (" there", True), ("<s>", True)]
    tokens = tokens_of_spans(BlankFirst(), spans)
    assert _text(tokens) == "<s>Hi <s> there<s>"
    assert tokens.count(1) == 2  # the literal one is no mark


def test_a_literal_name_at_the_beginning() -> None:
    tokens = literal_tokens(BlankFirst(), "<s>")
    assert _text(tokens) == " <s>" and 1 not in tokens


spans = st.lists(
    st.tuples(st.text("ab \n<|>", min_size=1, max_size=6), st.just(True))
    | st.tuples(st.sampled_from(SPECIAL_TOKENS), st.booleans()),
    max_size=6,
)


@given(spans)
def test_on_a_real_vocabulary(engine: Engine, parts: list[tuple[str, bool]]) -> None:
    tokens = tokens_of_spans(engine, parts)
    assert b"".join(engine.piece(token) for token in tokens).decode() == "".join(text for text, _ in parts)
    marks = {engine.tokenize(name, special=True)[0] for name in SPECIAL_TOKENS}
    read = "".join(text if special else "\n" for text, special in parts)
    assert sum(token in marks for token in tokens) == sum(
        token in marks for token in engine.tokenize(read, special=True)
    )
