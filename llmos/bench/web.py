"""``llmos bench web``: reading and searching over loopback, from the cache, and with no network at all."""

from __future__ import annotations

import contextlib
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from llmos.bench.figures import Figure, figure, machine
from llmos.types import UserError

_SENTENCE = "The moon is 384,400 kilometres away from the earth on average, a little more than a light second. "


def run(quick: bool = False) -> dict[str, Any]:
    """Measure the web plugin.

    Args:
        quick: fewer repetitions.

    Raises:
        UserError: the web plugin is not installed.
    """
    figures = _loopback(5 if quick else 20)
    without = without_network()
    if without:
        slowest = max(without, key=lambda name: without[name])
        figures.append(figure(f"slowest path with no network ({slowest})", without[slowest], "ms", "<=", 2_000))
    return {"figures": [asdict(one) for one in figures], "machine": machine()}


def open_web(folder: Path, **options: Any) -> Any:
    """The web plugin with a host of its own.

    Args:
        folder: for its data.
        options: settings of the plugin.

    Raises:
        UserError: it is not installed.
    """
    from llmos.plugins.host import Ground, PluginHost
    from llmos.plugins.jobs import JobBoard
    from llmos.plugins.manifest import MANIFEST_NAME, read_manifest
    from llmos.plugins.store import StoreFile
    from llmos.settings import Folders, Settings

    try:
        package = importlib.import_module("llmos_web")
        plugin: Any = importlib.import_module("llmos_web.web")
    except ImportError as error:
        raise UserError("The web plugin is not installed; `pip install llmos-web` brings it.") from error
    folders = Folders(folder / "config", folder / "data", folder / "cache", folder / "log").make()
    settings = Settings()
    settings.plugins.options["web"] = options
    ground = Ground(
        folders=folders,
        services=None,
        store=StoreFile(folders.data / "plugins.db"),
        jobs=JobBoard(lambda plugin, where, error: None),
        notify=lambda text, level: None,
        settings=settings,
    )
    manifest = read_manifest(Path(str(package.__file__)).with_name(MANIFEST_NAME))
    return plugin.Web(PluginHost(manifest, ground))


def _loopback(count: int) -> list[Figure]:
    """Pages and searches from a server on this machine."""
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name, _site() as place:
        web = open_web(Path(name), allow_hosts=[place], searxng=f"http://{place}", timeout=20.0)
        try:
            page = f"http://{place}/page"
            fresh = _median(lambda: web.opener.open(page, fresh=True), count)
            stored = _median(lambda: web.opener.open(page), count)
            queries = iter(range(10_000))
            asked = _median(lambda: web.searcher.search(f"moon {next(queries)}"), count)
            again = _median(lambda: web.searcher.search("moon 1"), count)
        finally:
            web.close()
    return [
        figure("opening a page of 60 kB over loopback, article taken out", fresh, "ms"),
        figure("opening it from the cache", stored, "ms", "<=", 10),
        figure("searching a SearXNG over loopback", asked, "ms"),
        figure("searching again, from the cache", again, "ms", "<=", 10),
    ]


def without_network() -> dict[str, float]:
    """Milliseconds of each path in a network namespace with nothing in it; empty where there is none.

    Raises:
        UserError: a path did something else than say so in a sentence.
    """
    code = "import json; from llmos.bench.web import measure_refusals; print(json.dumps(measure_refusals()))"
    try:
        done = subprocess.run(
            ["unshare", "-rn", sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    if done.returncode != 0:
        if "unshare" in done.stderr:
            return {}
        raise UserError(f"A web path failed without network: {done.stderr.strip().splitlines()[-1:]}")
    times: dict[str, float] = json.loads(done.stdout)
    return times


def measure_refusals() -> dict[str, float]:
    """Milliseconds until each path says that there is no network (run where there is none)."""
    paths: dict[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
        "search": ({}, lambda web: web.searcher.search("moon")),
        "search by proxy": ({"proxy": "http://127.0.0.1:9"}, lambda web: web.searcher.search("moon")),
        "search by SearXNG": ({"searxng": "https://s.example"}, lambda web: web.searcher.search("moon")),
        "open a name": ({}, lambda web: web.opener.open("https://a.example/")),
        "open an address": ({}, lambda web: web.opener.open("http://93.184.216.34/")),
        "open without robots.txt": ({"robots": False}, lambda web: web.opener.open("http://93.184.216.34/")),
    }
    times = {}
    for name, (options, path) in paths.items():
        with tempfile.TemporaryDirectory(prefix="llmos-bench-") as folder:
            web = open_web(Path(folder), **options)
            started = time.perf_counter()
            try:
                path(web)
            except UserError:
                times[name] = round((time.perf_counter() - started) * 1e3, 2)
            finally:
                web.close()
    missing = set(paths) - set(times)
    if missing:
        raise UserError(f"These paths found something without a network: {', '.join(sorted(missing))}.")
    return times


def _median(action: Callable[[], Any], count: int) -> float:
    times = []
    for _ in range(count + 1):
        started = time.perf_counter()
        action()
        times.append((time.perf_counter() - started) * 1e3)
    return round(statistics.median(times[1:]), 3)  # the first one warms


@contextlib.contextmanager
def _site() -> Iterator[str]:
    """A server with one article and a SearXNG; gives host and port."""
    paragraphs = "".join(f"<h2>Part {n}</h2><p>{_SENTENCE * 6}</p>" for n in range(100))
    page = f"<!DOCTYPE html><html><head><title>Moon</title></head><body><article>{paragraphs}</article></body>"
    rows = [{"title": f"Moon {n}", "url": f"https://a.example/{n}", "content": _SENTENCE} for n in range(10)]
    found = json.dumps({"results": rows})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {"/page": (page, "text/html"), "/search": (found, "application/json")}
            body, kind = known.get(self.path.partition("?")[0], ("", "text/plain"))
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
