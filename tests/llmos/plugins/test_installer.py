from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from llmos.plugins.scaffold import new_plugin
from llmos.plugins.sources import kind_of
from llmos.types import UserError
from tests.helpers.wheels import Environment, Ran, make_wheel, plugin_wheel

LIST = ("plugins", "list", "--json")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("environment") / "env")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "home"


def rows(ran: Ran) -> dict[str, dict[str, object]]:
    assert ran.code == 0, ran.err
    return {row["name"]: row for row in json.loads(ran.out)["plugins"] if not row.get("bundled")}


def files_of(home: Path, word: str) -> list[Path]:
    return [path for path in home.rglob("*") if word in path.name]


def test_a_new_plugin_from_its_folder_and_nothing_left_of_it(
    environment: Environment, place: Path, tmp_path: Path
) -> None:
    before = environment.state()
    new_plugin("demo", tmp_path)
    install, listed, said, kept, wrong, off, disabled, gone, after = environment.llmos(
        ("plugins", "install", tmp_path / "demo"),
        LIST,
        ("demo", "count", "two", "words", "--json"),
        ("plugins", "set", "demo", "keep=3"),
        ("plugins", "set", "demo", "keep=1000"),
        ("plugins", "disable", "demo"),
        LIST,
        ("plugins", "uninstall", "demo"),
        LIST,
        home=place,
    )
    assert install.code == 0, install.err
    assert "process of its own" in install.out
    assert "Needs: nothing" in install.err, "the manifest is shown before"
    row = rows(listed)["demo"]
    assert (row["state"], row["runs"], row["tools"]) == ("ready", "own process", ["demo_count"])
    assert json.loads(said.out) == {"words": 2, "letters": 8}, said.err
    assert "keep = 3" in kept.out
    assert wrong.code == 1 and "between 1 and 100" in wrong.err
    assert off.code == 0 and rows(disabled)["demo"]["state"] == "disabled"
    assert gone.code == 0, gone.err
    assert environment.state() == before
    assert "demo" not in rows(after)
    assert files_of(place, "demo") == []
    for file in ("config/settings.toml", "data/plugins.lock.toml"):
        assert "demo" not in (place / file).read_text()


def test_a_failed_install_changes_nothing(environment: Environment, place: Path, tmp_path: Path) -> None:
    before = environment.state()
    wheels = tmp_path / "wheels"
    bad = tmp_path / "bad.whl"
    bad.write_bytes(b"no zip")
    make_wheel(wheels, "click", "6.7", files={"click/__init__.py": ""})
    cases = [
        (
            plugin_wheel(wheels, "needy", requires=["a-package-that-is-not-there"]),
            "a-package-that-is-not-there",
        ),
        (plugin_wheel(wheels, "clash", requires=["click<7"]), "depends on click<7"),
        (
            plugin_wheel(wheels, "broken", manifest='name = "broken"\nhooks = ["llmos_nothing"]\n'),
            "llmos_nothing",
        ),
        (plugin_wheel(wheels, "future", manifest='name = "future"\napi = ">=9"\n'), "hook surface"),
        (plugin_wheel(wheels, "ram"), "comes with the program"),
        (bad, "not a wheel"),
        (tmp_path / "absent.whl", "not a wheel"),
    ]
    commands = [("plugins", "install", wheel, "--wheels", wheels) for wheel, _ in cases]
    *ran, listed = environment.llmos(*commands, LIST, home=place)
    for (wheel, word), one in zip(cases, ran, strict=True):
        assert one.code == 1, wheel
        last = one.err.strip().splitlines()[-1]
        assert word in last and "Traceback" not in one.err, one.err
    assert environment.state() == before
    assert rows(listed) == {}
    assert not (place / "data/plugins.installing.json").exists()


def test_wheels_with_dependencies_upgrade_and_restore_without_network(
    environment: Environment, place: Path, tmp_path: Path
) -> None:
    before = environment.state()
    wheels, newer = tmp_path / "wheels", tmp_path / "newer"
    for folder in (wheels, newer):
        make_wheel(folder, "helper-of-tick", files={"helper_of_tick.py": "value = 1\n"})
    plugin_wheel(wheels, "tick", requires=["helper-of-tick"])
    plugin_wheel(newer, "tick", "2.0", requires=["helper-of-tick"])
    first, said, listed, second, after = environment.llmos(
        ("plugins", "install", "llmos-tick", "--trust", "--wheels", wheels),
        ("tick",),
        LIST,
        ("plugins", "upgrade", "tick", "--wheels", newer),
        LIST,
        home=place,
    )
    assert first.code == 0, first.err
    assert "its word only" in first.err, "advisory permissions are told"
    assert said.out.strip() == "version 1.0"
    assert rows(listed)["tick"]["runs"] == "in the program"
    assert "1.0 → 2.0" in second.out, second.err
    assert rows(after)["tick"]["version"] == "2.0"

    # An upgrade of the program makes its environment anew: what was installed there is gone.
    for path in environment.site.iterdir():
        if path.name != "base.pth":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    lost, back, again, said, gone = environment.llmos(
        LIST,
        ("plugins", "upgrade", "--restore", "--wheels", newer),
        LIST,
        ("tick",),
        ("plugins", "uninstall", "tick"),
        home=place,
    )
    assert rows(lost)["tick"]["state"] == "missing"
    assert back.code == 0 and "is back" in back.out, back.err
    row = rows(again)["tick"]
    assert (row["version"], row["runs"]) == ("2.0", "in the program")
    assert said.out.strip() == "version 2.0"
    assert "helper-of-tick" in gone.out, gone.err
    assert environment.state() == before


def test_editable_folders_and_git(environment: Environment, place: Path, tmp_path: Path) -> None:
    before = environment.state()
    new_plugin("demo", tmp_path)
    folder = tmp_path / "demo"
    author = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for step in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(folder), *step], check=True)
    (done,) = environment.llmos(("plugins", "install", "--editable", folder), home=place)
    assert done.code == 0, done.err
    code = folder / "llmos_demo" / "plugin.py"
    code.write_text(code.read_text().replace("{result['words']} words", "{result['words']} WORDS"))
    said, gone, git, lock, end = environment.llmos(
        ("demo", "count", "a", "b"),
        ("plugins", "uninstall", "demo"),
        ("plugins", "install", f"git+file://{folder}"),
        ("plugins", "show", "demo"),
        ("plugins", "uninstall", "demo"),
        home=place,
    )
    assert "2 WORDS" in said.out, "an editable plugin follows its source"
    assert gone.code == 0 and folder.is_dir(), "the user's own folder stays"
    assert git.code == 0, git.err
    assert "Tool demo_count (pure)" in lock.out
    assert end.code == 0 and environment.state() == before


def test_single_files_and_personas(environment: Environment, place: Path, tmp_path: Path) -> None:
    single = tmp_path / "shout.py"
    single.write_text(
        '# /// llmos-plugin\n# summary = "Shouts."\n# [[commands]]\n# name = "shout"\n# help = "Shouts."\n'
        '# [[commands.parameters]]\n# name = "text"\n# ///\n'
        "from llmos.plugins import Command, hookimpl\n\n@hookimpl\ndef llmos_commands(host):\n"
        '    return [Command("shout", lambda context, text: text.upper(), "Shouts.")]\n'
    )
    done, said, gone, persona, listed, shown, end = environment.llmos(
        ("plugins", "install", single),
        ("shout", "hey"),
        ("plugins", "uninstall", "shout"),
        ("plugins", "install", "teacher"),
        LIST,
        ("plugins", "show", "persona-teacher"),
        ("plugins", "uninstall", "persona-teacher"),
        home=place,
    )
    assert done.code == 0, done.err
    assert said.out.strip() == "HEY"
    assert gone.code == 0 and files_of(place, "shout") == []
    assert persona.code == 0, persona.err
    assert rows(listed)["persona-teacher"]["state"] == "ready"
    assert "Persona Teacher" in shown.out
    assert end.code == 0 and files_of(place, "teacher") == []


def test_an_install_that_was_killed_is_cleaned_up(
    environment: Environment, place: Path, tmp_path: Path
) -> None:
    before = environment.state()
    wheels = tmp_path / "wheels"
    (first,) = environment.llmos(("plugins", "install", plugin_wheel(wheels, "tick")), home=place)
    assert first.code == 0, first.err
    # As it looks when the program dies after pip and before the lock file.
    (place / "data/plugins.lock.toml").unlink()
    (place / "data/plugins.installing.json").write_text('["llmos-tick", "never-came-to-be"]')
    second, listed, gone = environment.llmos(
        ("plugins", "install", plugin_wheel(wheels, "tock")), LIST, ("plugins", "uninstall", "tock"), home=place
    )
    assert second.code == 0, second.err
    assert set(rows(listed)) == {"tock"}
    assert gone.code == 0 and environment.state() == before


def test_offline_and_bundled_are_told_in_words(environment: Environment, place: Path) -> None:
    name, address, ram, disk, absent = environment.llmos(
        ("plugins", "install", "some-plugin"),
        ("plugins", "install", "git+https://example.org/x.git"),
        ("plugins", "install", "ram"),
        ("plugins", "install", "llmos-disk"),
        ("plugins", "uninstall", "not-there"),
        home=place,
    )
    for one, word in (
        (name, "offline"),
        (address, "offline"),
        (ram, "comes with the program"),
        (disk, "comes with the program"),
        (absent, "no plugin"),
    ):
        assert one.code == 1 and word in one.err, one.err


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("llmos-x", "name"),
        ("llmos-x==1.2", "name"),
        ("llmos_x[extra]>=1", "name"),
        ("dist/x-1-py3-none-any.whl", "wheel"),
        ("git+https://example.org/x", "git"),
        ("https://example.org/x.git", "git"),
        ("git@example.org:x/y.git", "git"),
    ],
)
def test_kinds_of_sources(source: str, kind: str) -> None:
    assert kind_of(source) == kind


@pytest.mark.parametrize("source", ["", "-x", "/no/such/folder", "x.py", "a b", "https://example.org/x.zip"])
def test_what_is_no_source_is_told(source: str) -> None:
    with pytest.raises(UserError, match="no plugin that can be installed"):
        kind_of(source)
