from __future__ import annotations

from pathlib import Path

import pytest

from llmos.plugins.describe import lines_of, needs_of
from llmos.plugins.discovery import discover, find
from llmos.plugins.index import persona_file, read_index
from llmos.plugins.manifest import Manifest, parse_manifest, read_single_file
from llmos.settings import Folders
from llmos.types import UserError
from tests.llmos.plugins.conftest import MakePlugin


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "not valid TOML"),
        ("", "at name"),
        ('name = "Has Space"', "at name"),
        ('name = "a"\nhoks = []', "at hoks"),
        ('name = "a"\nhooks = ["llmos_magic"]', "there is no hook llmos_magic"),
        ('name = "a"\napi = "soon"', "not a version range"),
        ('name = "a"\n[needs]\nfiles = "all"', "at needs.files"),
        ('name = "a"\n[[tools]]\nname = "t"', "hooks must name llmos_tools"),
        ('name = "a"\nhooks = ["llmos_panels"]\n[[panels]]\nid = "x"', "at panels.0.title"),
        ('name = "a"\n[deadlines]\nllmos_context = 900', "0 to 60 seconds"),
        ('name = "a"\n[deadlines]\nact_wildly = 5', "0 to 60 seconds"),
        ('name = "a"\n[settings]\ntype = "string"', "JSON schema of an object"),
        ('name = "a"\nhooks = ["llmos_commands"]\n[[commands]]\nname = "a b c"\nhelp = "x"', "commands.0.name"),
    ],
)
def test_a_wrong_manifest_is_told_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_manifest(text, "here.toml")
    message = str(caught.value)
    assert words in message and "here.toml" in message and "\n" not in message


def test_a_single_file_with_and_without_a_block(tmp_path: Path) -> None:
    path = tmp_path / "My Tool.py"
    path.write_text('"""Counts."""\n\ndef llmos_tools(host):\n    return []\n\ndef llmos_helper():\n    pass\n')
    manifest = read_single_file(path)
    assert (manifest.name, manifest.summary, manifest.hooks) == ("my-tool", "Counts.", ("llmos_tools",))
    path.write_text('# /// llmos-plugin\n# name = "other"\n#\n# [needs]\n# network = true\n# ///\nimport os\n')
    manifest = read_single_file(path)
    assert (manifest.name, manifest.needs.network, manifest.hooks) == ("other", True, ())
    for bad, words in (
        ("def (", "cannot be read"),
        ("# /// llmos-plugin\n# name = \n# ///\n", "not valid TOML"),
        ('# /// llmos-plugin\n# nmae = "x"\n# ///\n', "at nmae"),
        ("\x00", "cannot be read"),
    ):
        path.write_text(bad)
        with pytest.raises(UserError, match=words):
            read_single_file(path)


def test_discovery_imports_nothing_and_names_what_is_broken(
    home: Folders, make_plugin: MakePlugin, site: Path
) -> None:
    make_plugin("good", manifest='summary = "Good."', code="raise SystemExit('imported')")
    make_plugin("future", manifest='api = ">=7"', code="", distribution="llmos-web")
    package = make_plugin("lost", manifest="", code="", distribution="llmos-code")
    (package / "llmos-plugin.toml").unlink()
    misnamed = make_plugin("misnamed", manifest="", code="", distribution="llmos-disk")
    (misnamed / "llmos-plugin.toml").write_text('name = "else"')
    home.plugins.mkdir(parents=True)
    (home.plugins / "single.py").write_text('"""Single."""\n')
    (home.plugins / "good.py").write_text('"""Wants a name that is taken."""\n')
    (home.plugins / "broken.py").write_text("def (")
    (home.plugins / "_hidden.py").write_text("def (")
    found = {one.name: one for one in discover(home)}
    assert set(found) == {"broken", "future", "good", "lost", "misnamed", "single"}
    assert found["good"].error == "" and found["good"].bundled and found["good"].source == "package"
    assert "hook surface" in found["future"].error
    assert "cannot be read" in found["lost"].error
    assert "'else'" in found["misnamed"].error
    assert found["single"].source == "file" and not found["single"].bundled
    assert find(home, "good").version == "1.0"
    with pytest.raises(UserError, match="no plugin 'absent'"):
        find(home, "absent")


def test_a_package_that_calls_itself_bundled_by_its_plugin_name_is_not(
    home: Folders, make_plugin: MakePlugin
) -> None:
    make_plugin("ram", manifest="", code="", distribution="evil")
    assert not find(home, "ram").bundled


def test_words_on_a_manifest() -> None:
    manifest = Manifest.model_validate(
        {
            "name": "x",
            "summary": "Does.",
            "hooks": ["llmos_tools", "llmos_generators", "llmos_context"],
            "needs": {"network": True, "files": "write"},
            "tools": [{"name": "t", "effect": "network", "description": "Sends."}],
        }
    )
    assert needs_of(manifest) == ["reads and writes your files", "uses the network"]
    inside, outside = lines_of(manifest, trusted=True), lines_of(manifest, trusted=False, version="2")
    assert any("its word only" in line for line in inside)
    assert any("never called: llmos_generators" in line for line in outside)
    assert any("Tool t (network): Sends." in line for line in outside) and "x 2" in outside[0]


def test_the_index_and_its_personas(tmp_path: Path) -> None:
    known = read_index()
    personas = [one for one in known if one.kind == "persona"]
    assert {one.name for one in known if one.kind == "plugin"} == {
        "disk",
        "ram",
        "web",
        "code",
        "reason",
        "mcp",
    }
    assert len(personas) >= 5
    for one in personas:
        assert one.manifest is not None
        path = tmp_path / f"{one.name}.py"
        path.write_text(persona_file(one.manifest))
        assert read_single_file(path) == one.manifest
    own = tmp_path / "index.toml"
    own.write_text('[[plugin]]\nname = "mine"\nsummary = "Mine."\nsource = "./mine"\n')
    assert [one.name for one in read_index(str(own))] == ["mine"]
    for bad, words in (("[", "not valid TOML"), ('[[plugin]]\nname = "x"', "summary"), ("[[persona]]", "name")):
        own.write_text(bad)
        with pytest.raises(UserError, match=words):
            read_index(str(own))
    with pytest.raises(UserError, match="cannot be read"):
        read_index(str(tmp_path / "absent.toml"))
