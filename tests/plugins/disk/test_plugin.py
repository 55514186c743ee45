"""Hooks, commands and panels as the program calls them, and the whole path offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llmos_disk import plugin
from llmos_disk.commands import commands
from llmos_disk.convert_minilm import FILE_NAME
from llmos_disk.hosted import HostedDisk
from llmos_disk.panels import act, panels, sources, status_line, view

from llmos.plugins import CommandContext, CommandResult, Turn
from llmos.plugins.manifest import MANIFEST_NAME
from llmos.types import Message, Page, UserError

from .conftest import WordEmbedder


class FakeStore(dict[str, Any]):
    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))  # what is stored must be JSON


class FakeHttp:
    def check(self) -> None:
        raise UserError("LLMOS is offline.")


class FakeJob:
    cancelled = False

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Not looked at."""


class FakeJobs:
    def start(self, name: str, function: Any) -> FakeJob:
        job = FakeJob()
        if "Watching" not in name:
            function(job)
        return job


class FakeHost:
    """What the disk asks of the program, with the stand-in embedder."""

    plugin = "disk"

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.data_dir = folder
        folder.mkdir()
        self.settings = settings
        self.store = FakeStore()
        self.http = FakeHttp()
        self.jobs = FakeJobs()
        self.notices: list[str] = []
        self.embedder = WordEmbedder()

    model_parameters = 0

    def embedder_id(self) -> str:
        return self.embedder.name

    def embed(self, texts: list[str], embedder: str = "") -> Any:
        assert embedder == self.embedder.name
        return self.embedder.embed(texts).tolist()

    def register_embedder(self, path: Path) -> None:
        self.registered = path

    def count_tokens(self, text: str) -> int:
        return len(text) // 4 + 1

    def notify(self, text: str, level: str = "info") -> None:
        self.notices.append(text)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    monkeypatch.setattr("llmos_disk.hosted.default_embedder", lambda folder: None)
    host = FakeHost(tmp_path / "data")
    yield host
    plugin.llmos_stop(host)  # type: ignore[arg-type]


def run(host: Any, name: str, face: str = "cli", **arguments: Any) -> CommandResult:
    command = next(one for one in commands(plugin.disk_of(host)) if one.name == name)
    result = command.function(CommandContext(face=face), **arguments)
    assert isinstance(result, CommandResult)
    json.dumps(result.data)  # every command has --json
    return result


def test_the_manifest_declares_what_the_hooks_return(host: Any) -> None:
    import tomllib

    manifest = tomllib.loads(Path(plugin.__file__).with_name(MANIFEST_NAME).read_text())
    made = commands(plugin.disk_of(host))
    declared = {one["name"]: one for one in manifest["commands"]}
    assert list(declared) == [one.name for one in made]
    for one in made:
        assert one.help == declared[one.name]["help"]
        names = [parameter["name"] for parameter in declared[one.name].get("parameters", [])]
        assert names == [parameter.name for parameter in one.parameters]
    assert [one["id"] for one in manifest["panels"]] == [one.id for one in panels(plugin.disk_of(host))]
    hooks = {name for name in vars(plugin) if name.startswith("llmos_")}
    assert hooks == set(manifest["hooks"])


def test_the_embedder_is_offered_once_its_file_is_there(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(HostedDisk, "offer_embedder", lambda self, *, make: asked.append(make))
    assert list(plugin.llmos_models(host)) == [] and asked == [True]
    path = host.data_dir / FILE_NAME
    path.write_bytes(b"GGUF")
    (offer,) = plugin.llmos_models(host)
    assert (offer.source, offer.task) == (str(path), "embedding")


def test_commands_from_add_to_rm(host: Any, docs: Path) -> None:
    assert "No folders" in run(host, "disk list").text and not run(host, "disk list").data["folders"]
    (docs / "broken.pdf").write_bytes(b"no pdf")
    added = run(host, "disk add", paths=[str(docs)])
    assert added.data["indexed"] == 3 and "skipped broken.pdf: it is no PDF" in added.text
    listed = run(host, "disk list").data["folders"][0]
    assert (listed["files"], listed["skipped"], listed["private"], listed["trusted"]) == (3, 1, True, False)
    found = run(host, "disk search", query=["water", "tomatoes"])
    first = found.data["passages"][0]
    assert first["source"] == "garden.md" and first["location"]["line"] == 7 and found.data["dense"]
    texts = run(host, "disk search", query="oil", type="txt").data["passages"]
    assert {one["source"] for one in texts} == {"notes.txt"}
    with pytest.raises(UserError, match="No folder 'nowhere' is in the index"):
        run(host, "disk search", query="oil", folder="nowhere")
    status = run(host, "disk status", skipped=True).data
    assert status["files"] == 3 and status["skipped_files"][0]["path"].endswith("broken.pdf")
    assert run(host, "disk rebuild").data["chunks"] == status["chunks"]
    assert run(host, "disk pause").data["paused"] and "paused" in run(host, "disk status").text
    run(host, "disk resume")
    (docs / "new.md").write_text("new words")
    assert run(host, "disk index").data["indexed"] == 1
    shown = run(host, "disk show", place=f"{docs}/garden.md:7")
    assert ">  7  Tomatoes want water every morning." in shown.text and "   6  " in shown.text
    assert shown.data["line"] == 7
    with pytest.raises(UserError, match="is not in the index"):
        run(host, "disk show", place="/etc/passwd:1")
    assert run(host, "disk rm", folders=["docs"]).data["removed"] == [str(docs)]
    with pytest.raises(UserError, match="No files are indexed"):
        run(host, "disk search", query="oil")


def turn(text: str, **more: Any) -> Turn:
    return Turn("chat", Message("user", text), budget=more.pop("budget", 400), **more)


def test_a_turn_brings_passages_and_says_why(host: Any, docs: Path) -> None:
    assert plugin.llmos_context(host, turn("When do tomatoes want water?")) == ()
    run(host, "disk add", paths=[str(docs)])
    pages = plugin.llmos_context(host, turn("When do tomatoes want water?"))
    assert pages[0].source == "garden.md"
    why = run(host, "disk why")
    assert "garden.md:7" in why.text and "speak to it" in why.text
    assert run(host, "disk show", place="[1]").data["line"] == 7
    assert plugin.llmos_context(host, turn("hello")) == ()
    assert "small talk" in run(host, "disk why").text
    assert plugin.llmos_context(host, turn("tomatoes water", budget=0)) == ()


def test_sentences_without_support_are_told(host: Any, docs: Path) -> None:
    run(host, "disk add", paths=[str(docs)])
    pages = list(plugin.llmos_context(host, turn("When do tomatoes want water?")))
    for number, page in enumerate(pages, start=1):
        page.number = number
    answer = Message("assistant", "Tomatoes want water every morning [1]. Elephants live in Africa today.")
    marks = plugin.llmos_marks(host, turn("When do tomatoes want water?", answer=answer, window=pages))
    assert [mark.text for mark in marks] == ["Elephants live in Africa today."]
    assert answer.content[marks[0].start : marks[0].end] == marks[0].text
    assert plugin.llmos_marks(host, turn("When do tomatoes want water?", answer=answer)) == ()
    kinds = [element.title for element in sources(plugin.disk_of(host))]
    assert kinds == ["", "Passages", "No passage supports"]
    # The passages are still in the window when a sum comes, which no passage has to support.
    assert plugin.llmos_context(host, turn("7 + 8")) == ()
    total = Message("assistant", "7 + 8 = 15")
    assert plugin.llmos_marks(host, turn("7 + 8", answer=total, window=pages)) == ()
    cited = Message("assistant", "Elephants live in Africa today [1].")
    assert plugin.llmos_marks(host, turn("7 + 8", answer=cited, window=pages))


def test_the_tool_returns_numbered_passages_with_joined_labels(host: Any, docs: Path) -> None:
    search = plugin.llmos_tools(host)[0].function
    assert not search("oil", context=None).ok
    run(host, "disk add", paths=[str(docs)])
    result = search("change the oil", context=None)
    assert result.text.startswith("[1] engine.md > Engine > Oil\nChange the oil") and result.labels.tainted
    assert all(isinstance(page, Page) for page in result.pages)
    element = plugin.llmos_renderers(host)[0].view(result)[0]
    assert element.kind == "table" and element.data["rows"][0][1] == "engine.md"


def test_the_screen(host: Any, docs: Path) -> None:
    hosted = plugin.disk_of(host)
    assert [element.kind for element in view(hosted)] == ["text", "form"] and status_line(hosted) == ""
    assert act(hosted, "add", {"path": ""}) == "Name a folder or file first."
    assert "does not exist" in (act(hosted, "add", {"path": "/nowhere/at/all"}) or "")
    assert act(hosted, "add", {"path": str(docs), "public": True}) == "Indexing in the background."
    (docs / "empty.md").write_text("")
    act(hosted, "index", None)
    elements = view(hosted)
    assert [element.title for element in elements] == ["", "Folders", "Skipped (1)", "", "Add"]
    row = elements[1].data["rows"][0]
    assert row[:5] == ["docs", "3", "1", "public", "untrusted"]
    assert act(hosted, "pause", None) == "Indexing is paused." and "paused" in str(view(hosted)[0].data)
    assert act(hosted, "resume", None) == "Indexing goes on."
    assert "passages again" in (act(hosted, "rebuild", None) or "")
    assert act(hosted, "delete", elements[1].data["keys"][0]) == "Forgotten: docs."
    json.dumps([dict(element.data) for element in elements])


def test_a_chroma_server_is_not_asked_when_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmos_disk.hosted.default_embedder", lambda folder: None)
    host: Any = FakeHost(tmp_path / "data", chroma_url="http://127.0.0.1:1")
    with pytest.raises(UserError, match="offline"):
        _ = plugin.disk_of(host).disk


def test_a_wrong_setting_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmos_disk.hosted.default_embedder", lambda folder: None)
    host: Any = FakeHost(tmp_path / "data", passages="many")
    with pytest.raises(UserError, match="setting of the plugin disk is not valid"):
        _ = plugin.disk_of(host).disk
