"""Tokenizers side by side: against the `tokenizers` library, the loaded model and llama.cpp."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from llmos.foundry.record import BuildRecord, token_bytes
from llmos.kernel.locate import LocalModel, with_role
from llmos.stages.context import Kernels, bundled_record
from llmos.stages.frame import StageContext
from llmos.stages.tokenizers import cut_short, encode, loaded_cut, other_files, words_of
from llmos.stages.tokens import TokensStage
from tests.llmos.stages.conftest import MERGES

LIVE = pytest.mark.asyncio(loop_scope="module")
TEXT = "low lower lowest, it's 3.14 + 42 =  café\n\tnew"


def library(merges: list[list[object]]) -> Tokenizer:
    """The same encoding by the library that trains it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(f"{left}{right}" for left, right, _ in merges)]
    vocabulary = {word: place for place, word in enumerate(dict.fromkeys(words))}
    made = Tokenizer(models.BPE(vocabulary, [(str(left), str(right)) for left, right, _ in merges]))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return made


LIBRARY = library(MERGES)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cn"]), max_size=40))
def test_any_text_is_cut_as_the_library_cuts_it(text: str) -> None:
    ranks = {(token_bytes(str(a)), token_bytes(str(b))): place for place, (a, b, _) in enumerate(MERGES)}
    found = encode(text, ranks)
    assert b"".join(found) == text.encode()
    assert "".join(words_of(text)) == text
    assert found == [token_bytes(one) for one in LIBRARY.encode(text, add_special_tokens=False).tokens]


def test_more_merges_give_fewer_tokens_and_known_ids() -> None:
    merges = [(token_bytes(str(a)), token_bytes(str(b)), 1) for a, b, _ in MERGES]
    none, every = cut_short("low lower", merges, "tiny")
    assert len(none.ids) == 9 and none.ids == tuple(b"low lower") and none.vocabulary == 256
    assert every.pieces == (b"low", b" lower") and every.ids == (257, 260)
    assert every.vocabulary == 262 and every.recorded


@LIVE
async def test_all_recorded_merges_give_the_bundled_models_own_tokens(context: StageContext) -> None:
    record, bundled = bundled_record(), with_role("chat")
    if record is None or bundled is None:
        pytest.skip("the bundled model is not here")
    cuts = cut_short(TEXT, record.merges(), record.name)
    assert cuts[-1].pieces == tuple(await context.kernel.pieces(await context.kernel.tokenize(TEXT)))
    counts = [len(one.ids) for one in cuts]
    assert counts == sorted(counts, reverse=True) and counts[0] == len(TEXT.encode()) > counts[-1]
    assert all(b"".join(one.pieces) == TEXT.encode() for one in cuts)


@LIVE
async def test_tokenizers_of_other_files_stand_beside(
    context: StageContext,
    record: BuildRecord,
    model_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    other, broken = tmp_path / "other.gguf", tmp_path / "broken.gguf"
    other.write_bytes(model_file.read_bytes())
    broken.write_text("no model")
    local = [LocalModel(path.stem, path) for path in (other, broken, model_file)]
    monkeypatch.setattr("llmos.kernel.locate.local_models", lambda: local)
    kernels = Kernels()
    context.record, context.cut_by = record, kernels.cut
    try:
        assert [name for name, _ in await other_files(context)] == ["other", "broken"]  # not the loaded one
        parts = await TokensStage().later(context, {"text": TEXT})
        moved = await TokensStage().later(context, {"text": "low"})
    finally:
        await kernels.close()
    rows = parts[0].element.data["rows"]
    own = await context.kernel.tokenize(TEXT)
    assert [row[3] for row in rows[:2]] == [len(own), len(own)]  # the copy has the same vocabulary
    assert "not" in rows[2][1] or "no " in rows[2][1]
    labels = [cell["label"] for cell in parts[2].element.data["cells"]]
    assert [int(label.rsplit(" ", 1)[1]) for label in labels] == own
    marks = {part.element.title: part.mark for part in parts}
    assert {mark for title, mark in marks.items() if "merge" in title} == {"recorded"}
    assert marks[parts[2].element.title] == "live"
    assert all(a.element.data != b.element.data for a, b in zip(parts, moved, strict=True))


@LIVE
async def test_the_loaded_models_cut_is_its_own(context: StageContext) -> None:
    cut = await loaded_cut(context, TEXT)
    assert list(cut.ids) == await context.kernel.tokenize(TEXT)
    assert b"".join(cut.pieces) == TEXT.encode()
    assert cut.kind == "byte pairs" and cut.vocabulary == context.kernel.model.vocabulary  # type: ignore[union-attr]


@LIVE
async def test_spelling_and_adding_are_tried_with_the_right_result_beside(context: StageContext) -> None:
    panel = TokensStage()
    state = await panel.act(context, panel.first_state(context), "add")
    state = await panel.act(context, state, "add")
    asked, said, right = state["tried"][0]
    numbers = asked.removeprefix("What is ").removesuffix("?").split(" + ")
    assert int(right) == sum(map(int, numbers))
    assert state["tried"][0][0] != state["tried"][1][0]
    assert " | " in said
    spelled = (await panel.act(context, state, "spell"))["tried"][0]
    assert spelled[2] == str("strawberry".count("r"))
