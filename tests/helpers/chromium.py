"""A headless Chromium driven over its DevTools protocol, enough to type and look."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
    "--window-size=1200,700",
]  # fmt: skip


class Chromium:
    """One page; use as an async context manager."""

    async def __aenter__(self) -> Chromium:
        self._folder = tempfile.mkdtemp(prefix="chromium-")
        self._process = await asyncio.create_subprocess_exec(
            "chromium", *_FLAGS, f"--user-data-dir={self._folder}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        port_file = Path(self._folder) / "DevToolsActivePort"
        for _ in range(600):
            if port_file.exists() and port_file.read_text().strip():
                break
            await asyncio.sleep(0.1)
        port = port_file.read_text().split()[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json") as answer:
            pages = await answer.json()
        page = next(one for one in pages if one["type"] == "page")
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        self._numbers = itertools.count(1)
        self.requests: list[str] = []
        await self.ask("Network.enable")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()
        self._process.kill()
        await self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools command and its result; addresses of requests are noted on the way."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive(timeout=60)).data)
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            if message.get("id") == number:
                return dict(message.get("result", {}))

    async def go(self, url: str) -> None:
        """Open an address."""
        await self.ask("Page.enable")
        await self.ask("Page.navigate", url=url)

    async def run(self, code: str) -> Any:
        """Value of a JavaScript expression in the page."""
        result = await self.ask("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        return result.get("result", {}).get("value")

    async def type(self, text: str) -> None:
        """Keys, one by one; a newline is Enter."""
        for letter in text:
            if letter == "\n":
                key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            else:
                key = {"key": letter, "text": letter}
            await self.ask("Input.dispatchKeyEvent", type="keyDown", **key)
            await self.ask("Input.dispatchKeyEvent", type="keyUp", **{**key, "text": ""})

    async def screenshot(self, path: Path) -> None:
        """Save what is seen as PNG."""
        data = (await self.ask("Page.captureScreenshot", format="png"))["data"]
        path.write_bytes(base64.b64decode(data))
