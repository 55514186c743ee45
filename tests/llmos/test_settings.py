"""Settings: the file, the environment over it, and what is said of values that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmos.settings import Settings, load_settings
from llmos.types import UserError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def test_no_file_gives_the_defaults(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLMOS_OFFLINE", "LLMOS_CHAT__TEMPERATURE"):
        monkeypatch.delenv(name, raising=False)
    assert load_settings(file).chat == Settings().chat


def test_the_environment_lies_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[chat]\ntemperature = 0.2\ntop_k = 7\n")
    monkeypatch.setenv("LLMOS_CHAT__TEMPERATURE", "0.5")
    monkeypatch.setenv("LLMOS_NO__SUCH", "1")
    chat = load_settings(file).chat
    assert (chat.temperature, chat.top_k) == (0.5, 7)


def test_a_wrong_value_is_named_with_the_place_it_came_from(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('[chat]\ntop_k = "many"\n')
    with pytest.raises(UserError, match=r"The setting chat\.top_k in .*settings\.toml is not valid"):
        load_settings(file)
    file.unlink()
    monkeypatch.setenv("LLMOS_CHAT__TEMPERATURE", "hot")
    with pytest.raises(
        UserError, match=r"chat\.temperature from the environment variable LLMOS_CHAT__TEMPERATURE"
    ):
        load_settings(file)


@pytest.mark.parametrize("content", [b"[chat\n", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_told(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"settings\.toml cannot be read: .*; mend or remove it"):
        load_settings(file)
