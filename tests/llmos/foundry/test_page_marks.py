"""Labels of pages: every word of a page carries its number, and nothing else does."""

import random
import re
from typing import Any

import pytest

from llmos.foundry.render import Renderer, conversation_pieces
from llmos.foundry.tasks import pages
from llmos.foundry.tasks.base import Split
from tests.helpers.require import require


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    require("tokenizers")
    from llmos.foundry.plain_text import generated_document
    from llmos.foundry.tokenizer import train_tokenizer

    draw = random.Random(1)
    return Renderer(train_tokenizer([generated_document(draw) for _ in range(300)], 700))


def _labelled(renderer: Renderer, seed: int, make: Any) -> tuple[Any, list[tuple[str, int, int]]]:
    from llmos.foundry.page_marks import PageTokens, page_labels

    made = make(random.Random(seed), Split.TRAIN)
    ids, mask = renderer.ids(conversation_pieces(made))
    in_page, cited = page_labels(ids, mask, PageTokens.of(renderer.tokenizer))
    texts = [renderer.tokenizer.decode([i]) for i in ids]
    return made, list(zip(texts, in_page, cited, strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_each_page_carries_its_number_and_the_question_none(renderer: Renderer, seed: int) -> None:
    made, labelled = _labelled(renderer, seed, pages.several_questions)
    for number, page in enumerate(re.split(r"\n\n(?=\[)", made.turns[0].content), start=1):
        *_, question = page.rpartition("\n\n")
        shown = (
            page.removesuffix(f"\n\n{question}")
            if number == len(made.turns[0].content.split("\n\n")) - 1
            else page
        )
        text = "".join(t for t, p, _ in labelled if p == number - 1)
        assert text.strip() == shown.strip()


@pytest.mark.parametrize("seed", range(12))
def test_the_end_of_an_answer_carries_the_page_it_cites(renderer: Renderer, seed: int) -> None:
    from llmos.foundry.page_marks import ANSWER_TAIL

    made, labelled = _labelled(renderer, seed, pages.several_questions)
    cited = [int(m) for t in made.turns[1::2] for m in re.findall(r"\[(\d)\]$", t.content)]
    runs: list[int] = []
    before = -1
    for place, (text, _, page) in enumerate(labelled):
        if page >= 0 and before < 0:
            runs.append(page + 1)
        if page >= 0 and labelled[place + 1][2] < 0:
            assert text.endswith("[") and labelled[place + 1][0] == str(page + 1)
        before = page
    assert runs == cited
    assert sum(p >= 0 for _, _, p in labelled) <= ANSWER_TAIL * len(cited)


def test_an_answer_without_pages_has_no_labels(renderer: Renderer) -> None:
    from llmos.foundry.tasks import help

    _, labelled = _labelled(renderer, 1, help.ask_help)
    assert all(p == c == -1 for _, p, c in labelled)
