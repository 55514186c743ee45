from __future__ import annotations

import pytest

from llmos.plugins import settings_file
from llmos.plugins.installer import Installer
from llmos.plugins.lock import Locked, read_lock
from llmos.plugins.manager import PluginManager
from llmos.settings import Folders, Settings, load_settings
from llmos.types import UserError
from tests.llmos.plugins.conftest import MakePlugin


def test_the_lock_file_comes_back_as_it_was_written(home: Folders) -> None:
    lock = read_lock(home)
    assert lock.entries == {}
    entry = Locked("demo", "llmos-demo", "1.0", "/x/demo", True, True, "ab", ("helper",))
    lock.entries["demo"] = entry
    lock.entries["one-file"] = Locked("one-file")
    lock.write()
    again = read_lock(home)
    assert again.entries == lock.entries
    assert again.trusted("demo", "llmos-demo")
    assert not again.trusted("demo", "another-package"), "trust is in the package, not in its name"
    assert not again.trusted("one-file", "") and not again.trusted("absent", "")


@pytest.mark.parametrize("text", ["[", "\x00", "name = 1\n[demo]\nunknown = 1\nversion = '2'"])
def test_a_broken_lock_file_stops_nothing(home: Folders, make_plugin: MakePlugin, text: str) -> None:
    (home.data / "plugins.lock.toml").write_text(text)
    make_plugin("far", manifest="", code="", distribution="somebody-else")
    notes: list[str] = []
    plugins = PluginManager(Settings(), home, notify=lambda line, level: notes.append(line))
    assert plugins.plugin("far").isolated, "without a lock file nothing is trusted"
    if "demo" in text:
        assert read_lock(home).entries["demo"].version == "2" and notes == []
    else:
        assert len(notes) == 1 and "cannot be read" in notes[0]


def test_two_installs_at_one_time(home: Folders) -> None:
    installer = Installer(home)
    with installer._alone(), pytest.raises(UserError, match="Another llmos"):
        Installer(home).uninstall("x")
    with pytest.raises(UserError, match="no plugin 'x'"):
        installer.uninstall("x")


def test_edits_of_the_settings_keep_the_rest(home: Folders) -> None:
    home.settings_file.write_text("# mine\noffline = true  # stays\n\n[plugins]\n# those\ndisabled = ['b']\n")
    settings_file.set_disabled(home, "a", True)
    settings_file.set_options(home, "a", {"depth": 3, "names": ["x"]})
    text = home.settings_file.read_text()
    assert "# mine" in text and "# stays" in text and "# those" in text
    settings = load_settings()
    assert settings.offline and settings.plugins.disabled == ["a", "b"]
    assert settings.plugins.options == {"a": {"depth": 3, "names": ["x"]}}
    settings_file.set_disabled(home, "b", False)
    settings_file.forget_plugin(home, "a")
    settings = load_settings()
    assert settings.plugins.disabled == [] and settings.plugins.options == {}
    home.settings_file.write_text("[")
    with pytest.raises(UserError, match="cannot be read"):
        settings_file.set_disabled(home, "a", True)
    assert home.settings_file.read_text() == "["


SCHEMA = {
    "type": "object",
    "properties": {
        "depth": {"type": "integer", "minimum": 1, "maximum": 9},
        "rate": {"type": "number"},
        "loud": {"type": "boolean"},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "names": {"type": "array"},
    },
}


def test_values_become_what_the_schema_says() -> None:
    given = {"depth": "3", "rate": "0.5", "loud": "yes", "mode": "b", "names": "x, y"}
    expected = {"depth": 3, "rate": 0.5, "loud": True, "mode": "b", "names": ["x", "y"]}
    assert settings_file.check_options(SCHEMA, given) == expected
    assert settings_file.check_options(SCHEMA, expected) == expected
    for wrong, words in (
        ({"depth": "10"}, "between 1 and 9"),
        ({"depth": "x"}, "type integer"),
        ({"loud": "perhaps"}, "type boolean"),
        ({"mode": "c"}, "one of a, b"),
        ({"other": 1}, "no setting other"),
    ):
        with pytest.raises(UserError, match=words):
            settings_file.check_options(SCHEMA, wrong)
