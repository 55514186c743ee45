"""Searches through the real ddgs and its native client, against a stand-in for the engines."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from llmos_web.results import search_result
from llmos_web.search import Searcher
from llmos_web.web import Web

from llmos.types import UserError
from tests.plugins.web.conftest import HostMaker
from tests.plugins.web.servers import (
    Engines,
    Site,
    drip,
    duckduckgo_page,
    endless,
    mojeek_page,
    reply,
    silent,
)

Searching = Callable[..., Web]
DUCK, MOJEEK = "html.duckduckgo.com", "www.mojeek.com"
GOOD = duckduckgo_page(
    ("The moon", "https://moon.example/facts", "The moon is 384400 km away."),
    ("Tides", "https://sea.example/tides?x=1", "The moon makes the tides."),
)
OTHER = mojeek_page(("Moon (other)", "https://other.example/moon", "From the other engine."))
LOCKED = (
    "<html><body><div class='anomaly-modal__title'>Unfortunately, bots use DuckDuckGo too.</div></body></html>"
)


def test_results(searching: Searching, engines: Engines) -> None:
    engines.answers[DUCK] = reply(GOOD)
    outcome = searching().searcher.search("how far is the moon")
    assert outcome.note == "" and outcome.found.engine == "duckduckgo"
    assert [(hit.title, hit.url) for hit in outcome.found.hits] == [
        ("The moon", "https://moon.example/facts"),
        ("Tides", "https://sea.example/tides?x=1"),
    ]
    assert outcome.found.hits[0].snippet == "The moon is 384400 km away."
    (request,) = engines.requests
    assert request.method == "POST" and b"q=how+far+is+the+moon" in request.body
    assert engines.connects == [f"{DUCK}:443"]


def test_the_tools_result_is_labelled_and_cites(searching: Searching, engines: Engines) -> None:
    engines.answers[DUCK] = reply(GOOD)
    result = search_result(searching().searcher.search("moon"))
    assert result.labels.tainted and not result.labels.private
    assert result.urls == ("https://moon.example/facts", "https://sea.example/tides?x=1")
    assert [page.source for page in result.pages] == ["moon.example", "sea.example"]
    assert all(page.labels.tainted and not page.labels.private for page in result.pages)
    assert result.pages[0].labels.origins == {"url:https://moon.example/facts"}
    assert "https://moon.example/facts" in result.text


def test_a_repeated_search_asks_nobody(searching: Searching, engines: Engines) -> None:
    engines.answers[DUCK] = reply(GOOD)
    web = searching()
    first = web.searcher.search("moon")
    assert web.searcher.search("  MOON ").found.hits == first.found.hits
    assert len(engines.requests) == 1
    assert len(web.searcher.search("moon", 1).found.hits) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(LOCKED, 202), "blocked"),
        (reply(LOCKED, 200), "blocked"),
        (reply("<html>Forbidden</html>", 403), "blocked"),
        (reply("slow down", 429, Retry_After="7200"), "busy"),
        (reply("oops", 503), "odd"),
        (reply("", 200), "odd"),
        (reply(b"\x00\x01\x02 no page at all", 200), "odd"),
        (reply("", 302, Location="https://moon.example/elsewhere"), "odd"),
        (reply("", 302, Location=f"https://{DUCK}/html/"), "odd"),
        (reply("", 302, Location=f"http://{DUCK}/html/"), "odd"),
        (endless(), "odd"),
        (endless(encoding="gzip", chunk=gzip.compress(b"x" * 50_000_000)), "odd"),
    ],
    ids=[
        "captcha",
        "captcha-200",
        "forbidden",
        "busy",
        "down",
        "empty",
        "rubbish",
        "elsewhere",
        "loop",
        "no-tls",
        "gigabyte",
        "bomb",
    ],
)  # fmt: skip
def test_a_failing_engine_is_left_alone_and_the_next_one_asked(
    searching: Searching, engines: Engines, answer: object, kind: str
) -> None:
    engines.answers.update({DUCK: answer, MOJEEK: reply(OTHER)})  # type: ignore[dict-item]
    web = searching()
    started = time.monotonic()
    outcome = web.searcher.search("moon")
    assert time.monotonic() - started < 5
    assert outcome.found.engine == "mojeek" and outcome.found.hits[0].url == "https://other.example/moon"
    until = web.pauses.until("duckduckgo")
    assert until > time.time() + 30
    assert web.host.store.get("pause:duckduckgo")["kind"] == kind
    before = sum(request.host == DUCK for request in engines.requests)
    web.searcher.search("something else")
    assert sum(request.host == DUCK for request in engines.requests) == before
    if kind == "busy":
        assert until > time.time() + 7000


@pytest.mark.parametrize("answer", [silent(), drip()], ids=["silent", "drip"])
def test_slow_engines_are_cut_off(searching: Searching, engines: Engines, answer: object) -> None:
    engines.answers.update({DUCK: answer, MOJEEK: reply(OTHER)})  # type: ignore[dict-item]
    web = searching(timeout=1.0)
    started = time.monotonic()
    assert web.searcher.search("moon").found.engine == "mojeek"
    assert time.monotonic() - started < 4
    assert web.pauses.until("duckduckgo") > 0


def test_no_results_is_an_answer(searching: Searching, engines: Engines) -> None:
    engines.answers["*"] = reply("<!DOCTYPE html><html><body>No results.</body></html>")
    web = searching()
    outcome = web.searcher.search("qwertzuiop")
    assert outcome.found.hits == () and web.pauses.until("duckduckgo") == 0
    assert "No results" in search_result(outcome).text


def test_all_failing_is_one_sentence(searching: Searching, engines: Engines) -> None:
    engines.answers["*"] = reply("", 503)
    web = searching()
    with pytest.raises(UserError) as caught:
        web.searcher.search("moon")
    text = str(caught.value)
    assert "duckduckgo" in text and "mojeek" in text and "\n" not in text
    asked = len(engines.requests)
    with pytest.raises(UserError, match="paused until"):
        web.searcher.search("moon")
    assert len(engines.requests) == asked


def test_pauses_grow_and_end(searching: Searching, engines: Engines) -> None:
    web = searching()
    web.pauses.failed("duckduckgo", "slow")
    first = web.pauses.until("duckduckgo")
    web.pauses.failed("duckduckgo", "slow")
    assert web.pauses.until("duckduckgo") - time.time() > 1.8 * (first - time.time())
    for _ in range(50):
        web.pauses.failed("duckduckgo", "slow")
    assert web.pauses.until("duckduckgo") - time.time() <= 6 * 3600
    web.pauses.answered("duckduckgo")
    assert web.pauses.until("duckduckgo") == 0
    web.pauses.failed("duckduckgo", "unreachable")
    assert web.pauses.until("duckduckgo") == 0


def test_addresses_of_results_are_plain_and_public(searching: Searching, engines: Engines) -> None:
    engines.answers[DUCK] = reply(
        duckduckgo_page(
            ("wrapped", "//duckduckgo.com/l/?uddg=https%3A%2F%2Fa.example%2Fpage%3Fq%3D1&rut=x", "s"),
            ("program", "javascript:alert(1)", "s"),
            ("file", "file:///etc/passwd", "s"),
            ("inside", "http://192.168.1.1/admin", "s"),
            ("inside by name", "http://localhost:8080/", "s"),
            ("cloud", "http://169.254.169.254/latest/meta-data", "s"),
            ("password", "https://user:pass@b.example/", "s"),
            ("twice", "https://b.example/", "s"),
        )
    )
    outcome = searching(results=20).searcher.search("moon")
    assert [hit.url for hit in outcome.found.hits] == ["https://a.example/page?q=1", "https://b.example/"]


def test_offline_uses_the_cache_with_its_date(
    searching: Searching, engines: Engines, make_host: HostMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.answers[DUCK] = reply(GOOD)
    searching().searcher.search("moon")
    monkeypatch.setenv("LLMOS_OFFLINE", "1")
    away = Web(make_host())
    later = time.time() + 30 * 86_400
    away.cache._now = lambda: later
    outcome = away.searcher.search("moon")
    assert "offline" in outcome.note and time.strftime("%Y-%m-%d") in outcome.note
    assert len(outcome.found.hits) == 2
    with pytest.raises(UserError, match=r"offline.*no earlier results"):
        away.searcher.search("the sun")
    assert len(engines.requests) == 1
    away.close()


def test_an_engine_whose_name_leads_inside_is_not_asked(
    make_host: HostMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a proxy the name is looked up here; an answer inside the network ends it."""
    import socket

    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: answer)
    web = Web(make_host(engines=["duckduckgo"]))
    with pytest.raises(UserError, match="inside this machine"):
        web.searcher.search("moon")
    web.close()


def test_a_proxy_that_is_not_there_is_told(make_host: HostMaker) -> None:
    web = Web(make_host(proxy="http://127.0.0.1:9", engines=["duckduckgo"]))
    started = time.monotonic()
    with pytest.raises(UserError, match="cannot be"):
        web.searcher.search("moon")
    assert time.monotonic() - started < 4
    web.close()


def test_a_certificate_that_is_not_trusted_is_refused(
    make_host: HostMaker, engines: Engines, tmp_path: Path
) -> None:
    engines.answers[DUCK] = reply(GOOD)
    web = Web(make_host(proxy=engines.url, engines=["duckduckgo"]))
    with pytest.raises(UserError):
        web.searcher.search("moon")
    assert engines.requests == []
    web.close()


@pytest.mark.parametrize("query", ["", "   ", "x" * 401])
def test_bad_queries(web: Web, query: str) -> None:
    with pytest.raises(UserError):
        web.searcher.search(query)


def test_a_stopped_search_stops(searching: Searching, engines: Engines) -> None:
    engines.answers["*"] = reply("", 503)
    with pytest.raises(UserError, match="stopped"):
        searching().searcher.search("moon", cancelled=lambda: bool(engines.requests))
    assert len(engines.requests) == 1


class TestSearxng:
    ROWS = (
        b'{"results": [{"title": "Moon", "url": "https://moon.example/", "content": "far"},'
        b'{"title": "in", "url": "http://10.0.0.1/", "content": ""}, {"url": null}]}'
    )

    def search(self, make_host: HostMaker, site: Site, **options: object) -> tuple[Searcher, Web]:
        web = Web(make_host(searxng=site.url + "/", allow_hosts=[site.netloc], **options))
        return web.searcher, web

    def test_results(self, make_host: HostMaker, site: Site) -> None:
        site.pages["*"] = reply(self.ROWS, kind="application/json")
        searcher, web = self.search(make_host, site)
        outcome = searcher.search("the moon")
        assert [hit.url for hit in outcome.found.hits] == ["https://moon.example/"]
        assert outcome.found.engine == "searxng"
        assert site.requests[0].path.startswith("/search?q=the+moon&format=json")
        web.close()

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (reply("no", 403), "search.formats"),
            (reply("no", 500), "status 500"),
            (reply("<html>"), "no result list"),
            (reply('{"results": 5}'), "no result list"),
            (reply("[" * 100_000), "no result list"),
        ],
    )
    def test_failures(self, make_host: HostMaker, site: Site, answer: object, said: str) -> None:
        site.pages["*"] = answer  # type: ignore[assignment]
        searcher, web = self.search(make_host, site)
        with pytest.raises(UserError, match=said):
            searcher.search("moon")
        web.close()

    def test_a_local_one_must_be_allowed(self, make_host: HostMaker, site: Site) -> None:
        web = Web(make_host(searxng=site.url))
        with pytest.raises(UserError, match="inside this machine"):
            web.searcher.search("moon")
        assert site.requests == []
        web.close()
