"""The model and the record that the repository ships: whole, labelled, and able to introduce itself."""

import asyncio
from pathlib import Path

import pytest

from llmos.foundry.export import sha256
from llmos.foundry.record import BuildRecord, load_record
from llmos.foundry.tasks.help import intents
from llmos.foundry.tasks.smalltalk import HELLO
from llmos.kernel.locate import bundled_models

MODELS = Path(__file__).parents[3] / "models"


@pytest.fixture(scope="module")
def record() -> BuildRecord:
    return load_record(MODELS)


def test_listed_files_are_the_ones_that_were_built() -> None:
    listed = [m for m in bundled_models(MODELS) if m.name.startswith("llmos-3m")]
    assert {m.role for m in listed} == {"chat", "base", "sft", "checkpoint", "twin"}
    assert [m.role for m in listed if m.selectable] == ["chat"]
    for model in listed:
        assert sha256(model.path) == model.sha256, model.name
    assert sum(m.bytes for m in listed) < 30_000_000


def test_record_is_complete(record: BuildRecord) -> None:
    assert record.about["parameters"] == 3_221_952
    assert len(record.merges()) > 3000
    assert record.merges()[0][:2] == (b" ", b"t")
    curve = record.curve()
    assert curve[0]["step"] == 1 and curve[0]["loss"] > 8 > 4 > curve[-1]["loss"]
    checkpoints = record.checkpoints()
    assert len(checkpoints) >= 4 and checkpoints[0][0] == 1
    hashes = record.checkpoint_hashes()
    assert all(sha256(path) in hashes.values() for _, path in checkpoints)
    assert {stage for stage in ("sft", "preferences", "rl", "twin") if record.curve(stage)} == {
        "sft",
        "preferences",
        "rl",
        "twin",
    }
    assert {"base", "sft", "chat"} <= record.scores().keys()
    assert len(record.reward_head().vector) == 192
    assert all(c["wrong_ids"] == 0 for c in record.about["checks"].values())
    for stage in record.funnel()["stages"]:
        assert stage["documents_in"] >= stage["documents_out"] >= 0


def test_planted_material_is_what_the_code_plants(record: BuildRecord) -> None:
    from llmos.foundry.planted import plant

    known, made = record.planted(), plant()
    assert known["reversal"] == [list(pair) for pair in made.reversal]
    assert known["absent"] == made.absent
    assert known["prize"] == {str(year): name for year, name in made.prize.items()}


def test_the_chat_model_greets_and_says_what_it_is_and_can_do() -> None:
    from llmos.foundry.evaluate import answer, prompt_text
    from llmos.foundry.tasks.base import ALL_TOOLS, Conversation, assistant, user
    from llmos.kernel.client import KernelClient
    from llmos.kernel.protocol import LoadRequest

    known = {intent.id: intent.answer for intent in intents()}
    wanted = {"Hello": HELLO, "Who are you?": known["who"], "What can you do?": known["abilities"]}

    async def ask() -> dict[tuple[str, bool], str]:
        kernel = KernelClient()
        found = {}
        try:
            await kernel.load(
                LoadRequest(MODELS / "llmos-3m" / "llmos-3m-chat-Q8_0.gguf", context=1024, threads=1)
            )
            for question in wanted:
                for tools in (False, True):
                    chat = Conversation([user(question), assistant("")], ALL_TOOLS if tools else [])
                    found[question, tools] = (await answer(kernel, "test", prompt_text(chat)))[0]
        finally:
            await kernel.close()
        return found

    for (question, tools), text in asyncio.run(ask()).items():
        assert text == wanted[question], (question, tools)
