from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from llmos.settings import Settings, load_settings
from llmos.tui.options import read_options
from llmos.tui.settings_file import write_setting
from llmos.tui.settings_rows import checked, matching, parsed, setting_rows, shown
from llmos.types import UserError
from tests.helpers.face import face, screen_text, talk, wait_until

OWN = """# my settings
[chat]
temperature = 0.3  # cool

[unknown]
kept = true
"""


def test_one_value_changes_and_the_file_stays_the_users_own(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(OWN)
    write_setting(file, "chat", "temperature", 0.9)
    write_setting(file, "face", "theme", "high-contrast")
    write_setting(file, "", "offline", True)
    text = file.read_text()
    assert "# my settings" in text and "# cool" in text
    values = tomllib.loads(text)
    assert values["chat"]["temperature"] == 0.9
    assert values["unknown"] == {"kept": True}
    assert (values["face"]["theme"], values["offline"]) == ("high-contrast", True)
    write_setting(file, "chat", "temperature", None)
    assert "temperature" not in tomllib.loads(file.read_text())["chat"]
    assert [one.name for one in tmp_path.iterdir()] == ["settings.toml"]


def test_a_broken_file_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[chat\n")
    with pytest.raises(UserError, match="cannot be read"):
        write_setting(file, "chat", "temperature", 1.0)
    assert file.read_text() == "[chat\n"
    assert read_options(file).theme == ""


def test_rows_come_from_the_schema_and_the_action_table() -> None:
    rows = {row.id: row for row in setting_rows(Settings(keys={"chat.new": "f12"}))}
    assert rows["chat.temperature"].kind == "float"
    assert rows["model.kv_type"].choices == ("auto", "f16", "q8_0", "q8_0/f16")
    assert rows["plugins.disabled"].kind == "list"
    assert rows["offline"].kind == "flag" and shown(rows["offline"]) == "no"
    assert rows["keys.chat.new"].value == "f12" and shown(rows["keys.chat.new"]) == "F12"
    assert all(row.description for row in rows.values())
    assert [row.id for row in matching(list(rows.values()), "kv cache")] == ["model.kv_type"]


@pytest.mark.parametrize(
    ("row_id", "text", "sentence"),
    [
        ("chat.temperature", "hot", "must be a number"),
        ("chat.temperature", "9", "less than or equal to 5"),
        ("model.kv_type", "f64", "must be one of"),
        ("keys.chat.new", "ctrl+s", "belongs to the terminal"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_a_sentence(row_id: str, text: str, sentence: str) -> None:
    settings = Settings()
    row = next(row for row in setting_rows(settings) if row.id == row_id)
    with pytest.raises(UserError, match=sentence):
        checked(settings, row, parsed(row, text))


async def test_the_screen_searches_changes_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path))
    async with face() as (pilot, screen):
        screen.face.open_tab("settings")
        await wait_until(pilot, lambda: "Search settings" in screen_text(pilot))
        await pilot.press(*"temperature", "enter", "enter")
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) > 1)
        await pilot.press("ctrl+u", *"0.25", "enter")
        await wait_until(pilot, lambda: load_settings().chat.temperature == 0.25)
        await wait_until(pilot, lambda: "0.25" in screen_text(pilot))
        await pilot.press("slash", "ctrl+u", *"chat.new", "enter", "enter")
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) > 1)
        await pilot.press("ctrl+u", *"f12", "enter")
        await wait_until(pilot, lambda: load_settings().keys.get("chat.new") == "f12")
        screen.face.open_tab("chat")
        await wait_until(pilot, lambda: pilot.app.screen is screen)
        await talk(pilot, screen, "hello")
        assert screen.chat_id
        await pilot.press("f12")
        await wait_until(pilot, lambda: screen.chat_id == "")


async def test_a_theme_is_previewed_kept_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path))
    async with face() as (pilot, screen):
        screen.face.action_pick_theme()
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) > 1)
        await pilot.press(*"high-contrast-light")
        await wait_until(pilot, lambda: pilot.app.theme == "high-contrast-light")
        await pilot.press("escape")
        await wait_until(pilot, lambda: pilot.app.theme == "llmos-dark")
        screen.face.action_pick_theme()
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) > 1)
        await pilot.press(*"high-contrast-light", "enter")
        await wait_until(pilot, lambda: load_settings().face.theme == "high-contrast-light")
        assert pilot.app.theme == "high-contrast-light"
