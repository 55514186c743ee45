from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from llmos.plugins.conformance.fakes import FakeServices
from llmos.plugins.contributions import ToolContext
from llmos.plugins.http import PluginHttp
from llmos.plugins.manager import PluginManager
from llmos.plugins.results import ResultShelf
from llmos.plugins.store import PluginStore, StoreFile
from llmos.plugins.trace import read_trace
from llmos.settings import Folders, Settings
from llmos.types import Labels, ToolCall, ToolResult, UserError
from tests.llmos.plugins.conftest import MakePlugin

CODE = '''
import threading, time
from llmos.plugins import Tool, hookimpl
from llmos.types import Message

@hookimpl
def llmos_start(host):
    globals()["host"] = host

def ask(what: str) -> str:
    """Uses the host."""
    if what == "generate":
        return host.generate("hi", max_tokens=3).text
    if what == "stream":
        return "|".join(host.stream("hi"))
    if what == "fork":
        return str(len(host.fork([Message("user", "hi")], 3)))
    if what == "embed":
        return str(len(host.embed(["a", "b"])))
    if what == "count":
        return str(host.count_tokens("abcdefgh"))
    if what == "chat":
        return host.chat_messages("c")[0].content
    if what == "approve":
        return str(host.approve("rm x", "to tidy up"))
    if what == "notify":
        host.notify("look", "warning")
        return ""
    if what == "http":
        return str(host.http.request("GET", "http://127.0.0.1:1/").status)
    if what == "settings":
        return str(dict(host.settings)) + host.model_name + str(host.context_size)
    if what == "files":
        (host.data_dir / "x").write_text("y")
        return host.data_dir.name
    if what == "job":
        def work(job):
            job.progress(1, 2, "half")
            while not job.cancelled:
                time.sleep(0.01)
        host.jobs.start("work", work)
        return str(host.jobs.idle())
    if what == "bad job":
        host.jobs.start("bad", lambda job: 1 / 0)
        return ""
    return ""

@hookimpl
def llmos_tools(host):
    return [Tool(ask)]
'''
MANIFEST = """
hooks = ["llmos_start", "llmos_tools"]
[needs]
model = true
[settings]
type = "object"
[settings.properties.depth]
type = "integer"
default = 2
"""


async def ask(plugins: PluginManager, what: str) -> ToolResult:
    return await plugins.call_tool(ToolCall("ask", {"what": what}), ToolContext())


async def test_the_host_reaches_the_program_and_back(home: Folders, make_plugin: MakePlugin) -> None:
    make_plugin("near", manifest=MANIFEST, code=CODE)
    services = FakeServices()
    settings = Settings.model_validate({"plugins": {"options": {"near": {"depth": 5}}}})
    plugins = PluginManager(settings, home, services)
    await plugins.prepare()
    for what, expected in {
        "generate": "A fake answer.",
        "stream": "A |fake |answer.",
        "fork": "3",
        "embed": "2",
        "count": "2",
        "chat": "What is a page?",
        "approve": "False",
        "settings": "{'depth': 5}fake-model2048",
        "files": "near",
    }.items():
        result = await ask(plugins, what)
        assert (result.ok, result.text) == (True, expected), what
    assert services.asked[0].exact == "rm x" and "near" in services.asked[0].reason
    await ask(plugins, "notify")
    assert services.notices == ["near: look"]
    refused = await ask(plugins, "http")
    assert not refused.ok and "does not declare it" in refused.text
    services.failing = True
    failed = await ask(plugins, "generate")
    assert not failed.ok and "no model is loaded" in failed.text
    assert plugins.faults("near") == (), "what the program refuses is no fault of the plugin"
    await plugins.close()


async def test_work_that_ends_with_the_program_is_no_fault(home: Folders, make_plugin: MakePlugin) -> None:
    class Closing(FakeServices):
        async def embed(self, texts: Sequence[str], embedder: str = "") -> list[list[float]]:
            raise asyncio.CancelledError

    make_plugin("near", manifest=MANIFEST, code=CODE)
    plugins = PluginManager(Settings(), home, Closing())
    await plugins.prepare()
    result = await ask(plugins, "embed")
    assert not result.ok and "The program is closing" in result.text
    assert plugins.faults("near") == ()
    await plugins.close()


async def test_jobs_are_listed_stopped_and_their_faults_counted(home: Folders, make_plugin: MakePlugin) -> None:
    make_plugin("near", manifest=MANIFEST, code=CODE)
    plugins = PluginManager(Settings(), home, FakeServices())
    await plugins.prepare()
    assert (await ask(plugins, "job")).text == "True"
    (job,) = plugins.jobs.all()
    while not job.text:
        await asyncio.sleep(0.01)
    assert (job.plugin, job.name, job.done, job.total, job.state) == ("near", "work", 1.0, 2.0, "running")
    found = plugins.jobs.find(job.id)
    assert found is job
    job.stop()
    while job.state == "running":
        await asyncio.sleep(0.01)
    assert job.state == "stopped"
    await ask(plugins, "bad job")
    while not plugins.faults("near"):
        await asyncio.sleep(0.01)
    assert "the job bad" in str(plugins.faults("near")[0])
    await plugins.close()


async def test_a_model_that_is_not_declared_is_refused(home: Folders, make_plugin: MakePlugin) -> None:
    make_plugin("near", manifest=MANIFEST.replace("model = true", ""), code=CODE)
    plugins = PluginManager(Settings(), home, FakeServices())
    await plugins.prepare()
    refused = await ask(plugins, "embed")
    assert not refused.ok and "needs.model" in refused.text
    await plugins.close()


async def test_an_abandoned_thread_cannot_reach_the_program(home: Folders, make_plugin: MakePlugin) -> None:
    make_plugin(
        "late",
        manifest='hooks = ["llmos_tools"]',
        code="""
        import time
        from llmos.plugins import Tool, hookimpl
        seen = []

        @hookimpl
        def llmos_tools(host):
            def wait() -> str:
                \"\"\"Waits too long, then wants something.\"\"\"
                time.sleep(1.6)
                seen.append("woke")
                host.notify("too late")
                seen.append("notified")
                return ""
            return [Tool(wait, time_limit=0.2)]
        """,
    )
    services = FakeServices()
    plugins = PluginManager(Settings(), home, services)
    await plugins.prepare()
    result = await plugins.call_tool(ToolCall("wait", {}), ToolContext())
    assert not result.ok
    await asyncio.sleep(1.0)
    assert sys.modules["llmos_late.plugin"].seen == ["woke"]
    assert not any("too late" in note for note in services.notices)
    await plugins.close()


async def test_calls_are_traced(
    home: Folders, make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_TRACE_PLUGINS", "1")
    make_plugin("near", manifest=MANIFEST, code=CODE)
    plugins = PluginManager(Settings(), home, FakeServices())
    await ask(plugins, "count")
    await plugins.prepare()
    await ask(plugins, "count")
    await plugins.close()
    lines = list(read_trace(home))
    assert [line["where"] for line in lines] == ["load", "tool ask"]
    assert lines[1]["result"] == "ToolResult" and lines[1]["ms"] >= 0
    assert "abcdefgh" not in str(lines), "texts are never traced"
    assert list(read_trace(home, "other")) == []


def test_the_store_is_durable_and_apart_for_each_plugin(home: Folders) -> None:
    path = home.data / "plugins.db"
    file = StoreFile(path)
    one, other = PluginStore(file, "one"), PluginStore(file, "other")
    one.set("a_1", {"x": [1, "ä"]})
    one.set("a%2", None)
    one.set("b", 1)
    assert one.get("a_1") == {"x": [1, "ä"]} and one.get("c", 7) == 7
    assert one.keys() == ["a%2", "a_1", "b"] and one.keys("a") == ["a%2", "a_1"] and one.keys("%") == []
    assert other.get("b") is None and other.keys() == []
    one.delete("b")
    one.delete("never")
    file.close()
    again = PluginStore(StoreFile(path), "one")
    assert again.keys() == ["a%2", "a_1"]
    with pytest.raises(UserError, match="no JSON form"):
        one.set("x", object())
    with pytest.raises(UserError, match="larger than 1 MB"):
        one.set("x", "y" * 1_000_001)
    path.write_bytes(b"this is no database" * 100)
    for stale in path.parent.glob("plugins.db-*"):
        stale.unlink()
    with pytest.raises(UserError, match="cannot be used"):
        PluginStore(StoreFile(path), "one").get("a_1")


def test_a_store_that_many_threads_write(home: Folders) -> None:
    file = StoreFile(home.data / "plugins.db")
    store = PluginStore(file, "one")
    threads = [threading.Thread(target=store.set, args=(str(number), number)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, store.keys())) == list(range(30))
    file.close()


def test_cut_results_keep_their_labels() -> None:
    shelf = ResultShelf()
    labels = Labels(frozenset({"url:x"}))
    whole = "".join(f"line {number}\n" for number in range(5000))
    cut = shelf.cut(ToolResult(whole, labels=labels), 1000)
    assert len(cut.text) < 1200 and cut.labels == labels
    read = shelf.read({"id": "r1", "start": 1000})
    assert read.ok and read.text[:100] == whole[1000:1100]
    assert read.labels.tainted and read.labels.private and "url:x" in read.labels.origins
    for wrong in ({}, {"id": "r9", "start": 0}, {"id": "r1", "start": -1}, {"id": "r1", "start": 10**9}):
        assert not shelf.read(wrong).ok
    assert shelf.read({"id": "r1", "start": len(whole) - 3}).text.endswith("[End.]")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://localhost.invalid/x")
            self.end_headers()
        elif self.path.startswith("/round"):
            self.send_response(302)
            self.send_header("Location", "/round")
            self.end_headers()
        elif self.path == "/near":
            self.send_response(301)
            self.send_header("Location", "/page")
            self.end_headers()
        else:
            body = b"x" * (100 if self.path == "/page" else 100_000)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_http_refuses_what_is_local_unless_the_user_named_it(address: str) -> None:
    http = PluginHttp("web", True, lambda: False)
    for url in (
        f"http://{address}/page",
        f"http://localhost:{address.partition(':')[2]}/page",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "http://0x7f000001/",
    ):
        start = time.monotonic()
        with pytest.raises(UserError):
            http.request("GET", url)
        assert time.monotonic() - start < 5
    for url in ("file:///etc/passwd", "ftp://x.example/", "gopher://x", "http://", "//x", ""):
        with pytest.raises(UserError, match="not an http"):
            http.request("GET", url)
    allowed = PluginHttp("web", True, lambda: False, lambda: [address])
    assert allowed.request("GET", f"http://{address}/page").body == b"x" * 100
    followed = allowed.request("GET", f"http://{address}/near")
    assert followed.url.endswith("/page") and followed.status == 200
    assert allowed.request("GET", f"http://{address}/near", follow_redirects=False).status == 301
    for path, words in (
        ("/away", "cannot be|invalid"),
        ("/round", "redirects more"),
        ("/large", "larger than"),
    ):
        with pytest.raises(UserError, match=words):
            allowed.request("GET", f"http://{address}{path}", max_bytes=1000)


def test_http_refuses_offline_and_undeclared() -> None:
    with pytest.raises(UserError, match="does not declare"):
        PluginHttp("web", False, lambda: False).check()
    with pytest.raises(UserError, match="offline"):
        PluginHttp("web", True, lambda: True).request("GET", "https://example.org/")
