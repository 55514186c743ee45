from __future__ import annotations

from pathlib import Path

import pytest

from llmos.plugins.conformance import check_plugin, write_schemas
from llmos.plugins.conformance.samples import HOSTILE_TEXTS, hostile, sample, wrong
from llmos.plugins.contributions import Tool
from llmos.plugins.manifest import read_manifest
from llmos.plugins.scaffold import new_plugin
from llmos.plugins.tools import BadArguments, bind_tool, check_arguments


def changed(tmp_path: Path, *edits: tuple[str, str, str]) -> Path:
    """A fresh plugin with some texts replaced: (file, old, new)."""
    new_plugin("demo", tmp_path)
    folder = tmp_path / "demo"
    for file, old, text in edits:
        path = folder / "llmos_demo" / file
        before = path.read_text()
        assert old in before, old
        path.write_text(before.replace(old, text))
    return folder


def failures(folder: Path) -> list[str]:
    return [f"{one.rule}: {one.text}" for one in check_plugin(folder).findings if one.level == "fail"]


def test_a_new_plugin_passes(tmp_path: Path) -> None:
    report = check_plugin(changed(tmp_path))
    assert report.ok, report.findings
    # How long the import takes is a matter of the machine.
    assert {one.level for one in report.findings if one.rule != "import"} == {"ok"}


MANIFEST, CODE = "llmos-plugin.toml", "plugin.py"
BODY = '    result = {"words"'

REACHES = f"""    import socket, subprocess
    try:
        socket.getaddrinfo("localhost", 80)
        socket.socket(socket.AF_INET)
    except OSError:
        pass
    subprocess.run(["true"])
    open("/var/tmp/llmos-check-was-here", "w").close()
{BODY}"""

#: What is changed in the new plugin, and the findings that must come of it.
BROKEN: dict[str, tuple[list[tuple[str, str, str]], list[str]]] = {
    "reaches for what it does not declare, and hides it": (
        [(CODE, BODY, REACHES)],
        ["reaches for network", "reaches for execute", "reaches for write"],
    ),
    "names that do not agree": (
        [
            (MANIFEST, 'name = "demo_count"', 'name = "demo_other"'),
            (MANIFEST, 'id = "counts"', 'id = "other"'),
            (MANIFEST, '"llmos_start", ', '"llmos_evict", '),
        ],
        [
            "declares demo_other",
            "returns demo_count",
            "declares other",
            "returns counts",
            "declares llmos_evict and does not",
            "implements llmos_start and does not",
        ],
    ),
    "things that are not as declared": (
        [
            (MANIFEST, 'required = ["text"]', "required = []"),
            (MANIFEST, 'effect = "pure"', 'effect = "read"'),
            (MANIFEST, "[[panels]]", '[[commands.parameters]]\nname = "more"\n[[panels]]'),
            (CODE, '"columns": ["text", "words", "letters"], ', ""),
        ],
        ["schema is not that of the code", "gives the effect", "more", "needs columns"],
    ),
    "an element of no kind, a tool that fails on odd text": (
        [
            (CODE, 'Element("table", {', 'Element("picture", {'),
            (CODE, BODY, f"    if len(text) > 9999:\n        raise ValueError\n{BODY}"),
        ],
        ["unknown kind 'picture'", "ValueError"],
    ),
    "fails to import": ([(CODE, "_host: Host", "import not_a_module\n_host: Host")], ["not_a_module"]),
    "ends its process": ([(CODE, BODY, f"    import os\n    os._exit(1)\n{BODY}")], ["code 1"]),
}


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_a_broken_promise_is_found(tmp_path: Path, what: str) -> None:
    edits, expected = BROKEN[what]
    found = failures(changed(tmp_path, *edits))
    for text in expected:
        assert any(text in one for one in found), (text, found)


def test_declared_needs_are_allowed(tmp_path: Path) -> None:
    edit = (CODE, BODY, f"    import subprocess\n    subprocess.run(['true'])\n{BODY}")
    assert failures(changed(tmp_path, edit, (MANIFEST, "execute = false", "execute = true"))) == []


def test_a_hook_over_its_budget_and_one_that_cannot_bear_a_dead_kernel(tmp_path: Path) -> None:
    code = """
@hookimpl
def llmos_context(host, turn):
    from llmos.types import Page
    host.generate("x")
    return [Page("word " * 400, tokens=400)]
"""
    folder = changed(
        tmp_path,
        (MANIFEST, '"llmos_start", ', '"llmos_start", "llmos_context", '),
        (MANIFEST, "model = false", "model = true"),
    )
    path = folder / "llmos_demo" / CODE
    path.write_text(path.read_text() + code)
    found = failures(folder)
    assert any("400 tokens for a budget of 0" in text for text in found)


def test_middleware_that_loses_the_answer_is_found(tmp_path: Path) -> None:
    code = """
async def silent(request, next):
    async for event in next(request):
        pass
    yield event


async def good(request, next):
    async for event in next(request):
        yield event


async def endless(request, next):
    while True:
        try:
            async for event in next(request):
                yield event
            return
        except Exception:
            import asyncio
            await asyncio.sleep(60)


@hookimpl
def llmos_generators(host):
    return {"silent": silent, "good": good, "endless": endless}
"""
    folder = changed(tmp_path, (MANIFEST, '"llmos_start", ', '"llmos_start", "llmos_generators", '))
    path = folder / "llmos_demo" / CODE
    path.write_text(path.read_text() + code)
    found = failures(folder)
    assert found == ["middleware: the layer endless hangs when the kernel refuses"]


def test_no_plugin_at_all(tmp_path: Path) -> None:
    report = check_plugin(tmp_path)
    assert not report.ok and "no Python package" in report.findings[0].text


def test_schemas_are_written_into_the_manifest(tmp_path: Path) -> None:
    folder = changed(tmp_path, (CODE, "text: str)", "text: str, limit: int = 3)"))
    assert any("schema" in text for text in failures(folder))
    write_schemas(folder)
    manifest = read_manifest(folder / "llmos_demo" / MANIFEST)
    assert manifest.tools[0].parameters is not None
    assert manifest.tools[0].parameters["properties"]["limit"] == {"default": 3, "type": "integer"}
    assert failures(folder) == []
    assert "# " not in manifest.summary


def test_samples_fit_and_wrong_ones_do_not() -> None:
    def tool(text: str, count: int, mode: list[str], flag: bool = True) -> str:
        """Does."""
        return text

    bound = bind_tool(Tool(tool))
    schema = dict(bound.spec.parameters)
    assert check_arguments(bound, sample(schema))["text"] == "hello"
    assert len(list(hostile(schema))) == len(HOSTILE_TEXTS)
    refused = 0
    for arguments in wrong(schema):
        with pytest.raises(BadArguments):
            check_arguments(bound, arguments)
        refused += 1
    assert refused == 5
