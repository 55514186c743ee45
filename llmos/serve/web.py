"""The terminal face in a browser, over textual-serve: one program a visitor, a token in front.

textual-serve has no authentication and its page loads fonts from the web; so the page is our own,
and nothing is served before the token was shown and the Host and Origin headers were checked.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from textual_serve.server import Server

from llmos.serve.access import Access

_COOKIE = "llmos_token"


class WebFace(Server):
    """A page with a terminal that runs ``llmos``.

    Args:
        access: token, names and origins.
        host: address to listen on.
        port: port to listen on; 0 finds a free one.
        arguments: further arguments of ``llmos``.
        most: visitors at a time; each one has a kernel of its own.
    """

    def __init__(
        self, access: Access, host: str, port: int, arguments: tuple[str, ...] = (), most: int = 4
    ) -> None:
        command = shlex.join([sys.executable, "-m", "llmos.cli.main", *arguments])
        super().__init__(command, host=host, port=port, title="LLMOS", public_url="")
        self.templates_path = Path(__file__).parent / "templates"
        self._access = access
        self._most = most
        self._visitors = 0

    def initialize_logging(self) -> None:
        """The program's own log is enough."""

    async def on_startup(self, app: web.Application) -> None:
        """No banner: the command line says where the page is."""

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard())
        return app

    async def application(self) -> web.Application:
        """The aiohttp application, with the guard in front."""
        return await self._make_app()

    def _guard(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            given = request.query.get("token") or request.cookies.get(_COOKIE, "")
            refused = self._access.refusal(
                request.headers.get("Host", ""), request.headers.get("Origin", ""), f"Bearer {given}"
            )
            if refused is not None:
                status, words = refused
                if status == 401:
                    words = "Open the whole address that `llmos serve --web` printed, with its token."
                return web.Response(status=status, text=words)
            if request.path == "/" and "token" in request.query:
                # The token leaves the address bar and the history; from here on the cookie carries it.
                answer = web.HTTPFound("/")
                answer.set_cookie(_COOKIE, given, httponly=True, samesite="Strict")
                raise answer
            return await handler(request)

        return guard

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """The page; addresses are those by which the visitor came."""
        import aiohttp_jinja2

        secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
        name = request.headers.get("Host", "")
        size = request.query.get("fontsize", "16")
        values = {
            "font_size": int(size) if size.isdigit() and 6 <= int(size) <= 60 else 16,
            "app_websocket_url": f"{'wss' if secure else 'ws'}://{name}/ws",
            "config": {"static": {"url": "/static/"}},
            "application": {"name": self.title},
        }
        answer = aiohttp_jinja2.render_template("app_index.html", request, values)
        answer.headers["Content-Security-Policy"] = (
            "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
            f"img-src 'self' data:; font-src 'self'; connect-src 'self' ws://{name} wss://{name}; "
            "frame-ancestors 'none'"
        )
        return answer

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One visitor's program."""
        if not request.headers.get("Origin"):
            raise web.HTTPForbidden(text="A browser is needed here.")
        if self._visitors >= self._most:
            raise web.HTTPServiceUnavailable(text="All places are taken; try again later.")
        self._visitors += 1
        try:
            line: web.WebSocketResponse = await super().handle_websocket(request)
            return line
        finally:
            self._visitors -= 1


async def serve_web(face: WebFace, started: Callable[[int], None]) -> None:
    """Serve until cancelled; ``started`` is told the port."""
    import asyncio

    runner = web.AppRunner(await face.application())
    await runner.setup()
    try:
        await web.TCPSite(runner, face.host, face.port).start()
        started(int(runner.addresses[0][1]) if runner.addresses else face.port)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
