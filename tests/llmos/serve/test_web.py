"""The terminal face in a real browser, and the guard in front of it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from llmos.bench.random_gguf import TINY, write_random_gguf
from llmos.kernel.locate import with_role
from llmos.serve.access import Access
from tests.helpers.require import require

pytest.importorskip("textual_serve")
from llmos.serve.web import WebFace, serve_web


@asynccontextmanager
async def serving(model: Path) -> AsyncIterator[str]:
    face = WebFace(Access("secret"), "127.0.0.1", 0, ("--model", str(model)), most=1)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(serve_web(face, port.set_result))
    yield f"http://127.0.0.1:{await port}"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    bundled = with_role("chat")
    return bundled.path if bundled else write_random_gguf(tmp_path / "tiny.gguf", TINY)


async def test_nothing_is_served_without_the_token(model: Path) -> None:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address without a name
    async with serving(model) as url, aiohttp.ClientSession(cookie_jar=jar) as client:
        for path in ("/", "/ws", "/static/js/textual.js", "/download/x"):
            assert (await client.get(url + path)).status == 401
            assert (await client.get(f"{url}{path}?token=wrong")).status == 401
        evil = {"Origin": "https://evil.test"}
        assert (await client.get(f"{url}/ws?token=secret", headers=evil)).status == 403
        assert (await client.get(f"{url}/?token=secret", headers={"Host": "evil.test"})).status == 403
        assert (await client.get(f"{url}/ws?token=secret")).status == 403
        page = await client.get(f"{url}/?token=secret")
        assert page.status == 200 and "token" not in str(page.url)
        text = await page.text()
        assert "http://" not in text.replace(url, "") and "https://" not in text
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]


def answered(home: Path) -> bool:
    """Whether the visitor's message and an answer are stored."""
    database = home / "data" / "chats.db"
    if not database.exists():
        return False
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as store:
            rows = store.execute("SELECT role, content FROM messages").fetchall()
    except sqlite3.Error:
        return False
    return ("user", "hello there") in rows and any(role == "assistant" and text for role, text in rows)


@pytest.mark.timeout(170)
async def test_a_visitor_chats_in_a_real_browser(model: Path, tmp_path: Path) -> None:
    require("chromium")
    from tests.helpers.chromium import Chromium

    async with serving(model) as url, Chromium() as page:
        await page.go(f"{url}/?token=secret")
        for _ in range(300):
            if "-first-byte" in str(await page.run("document.body.className")):
                break
            await asyncio.sleep(0.1)
        home = Path(os.environ["LLMOS_HOME"])
        for _ in range(300):
            if (home / "data" / "chats.db").exists():
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        await page.run("document.querySelector('textarea').focus()")
        await page.type("hello there\n")
        for _ in range(600):
            if answered(home):
                break
            await asyncio.sleep(0.1)
        picture = tmp_path / "browser.png"
        await page.screenshot(picture)
        assert answered(home)
        assert picture.stat().st_size > 5_000
        assert all(address.startswith((url, "data:")) for address in page.requests)
