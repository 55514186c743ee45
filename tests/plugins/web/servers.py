"""Real servers on loopback: a site of pages, and a proxy that stands in for the search engines."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ENGINE_HOSTS = (
    "html.duckduckgo.com",
    "duckduckgo.com",
    "www.mojeek.com",
    "search.brave.com",
    "www.startpage.com",
    "search.yahoo.com",
    "en.wikipedia.org",
)


@dataclass
class Request:
    """What a client asked."""

    method: str
    host: str
    path: str
    headers: dict[str, str]
    body: bytes


#: What to send back, piece by piece; a whole HTTP response.
Answer = Callable[[Request], Iterator[bytes]]


def reply(
    body: bytes | str = b"", status: int = 200, kind: str = "text/html; charset=utf-8", **headers: str
) -> Answer:
    """A plain response."""
    data = body.encode() if isinstance(body, str) else body

    def answer(request: Request) -> Iterator[bytes]:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", "Connection: close"]
        if kind:
            lines.append(f"Content-Type: {kind}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        yield ("\r\n".join(lines) + "\r\n\r\n").encode() + data

    return answer


def endless(
    kind: str = "text/html", encoding: str = "", chunk: bytes = b"x" * 65536, total: int = 1 << 30
) -> Answer:
    """A gigabyte (as long as the client reads on)."""

    def answer(request: Request) -> Iterator[bytes]:
        coding = f"Content-Encoding: {encoding}\r\n" if encoding else ""
        yield f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{coding}Content-Length: {total}\r\n\r\n".encode()
        for _ in range(total // len(chunk)):
            yield chunk

    return answer


def silent(seconds: float = 20.0) -> Answer:
    """Never answers (until the server is closed)."""

    def answer(request: Request) -> Iterator[bytes]:
        _closing.wait(seconds)
        yield b""

    return answer


def drip() -> Answer:
    """One byte at a time, for ever."""

    def answer(request: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n<html>"
        while not _closing.wait(0.1):
            yield b"a"

    return answer


_closing = threading.Event()


class Server:
    """Accepts connections; each is answered on a thread by ``handle``."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = int(self._socket.getsockname()[1])
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.netloc}"

    def close(self) -> None:
        self._closed = True
        _closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        _closing.clear()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(20)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            self.handle(connection)

    def handle(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def talk(self, connection: socket.socket, answers: dict[str, Answer], by: str) -> None:
        """Read one request and send the answer."""
        request = read_request(connection)
        if request is None:
            return
        self.requests.append(request)
        key = request.path if by == "path" else request.host
        answer = answers.get(key) or answers.get("*") or reply("not found", 404)
        for piece in answer(request):
            if piece:
                connection.sendall(piece)


def read_request(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return None
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    while len(body) < length:
        body += connection.recv(65536)
    return Request(method, headers.get("host", ""), path, headers, body)


class Site(Server):
    """A web site: path to answer."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {}
        super().__init__()

    def handle(self, connection: socket.socket) -> None:
        self.talk(connection, self.pages, "path")


class HangsUp(Site):
    """Keeps each connection after an answer and ends it in the middle of the next request.

    Args:
        reset: end it with a reset, as a server does that closed before the request came.
    """

    def __init__(self, reset: bool) -> None:
        self._reset = reset
        self.broken: list[Request] = []
        super().__init__()

    def handle(self, connection: socket.socket) -> None:
        self.talk(connection, self.pages, "path")
        again = read_request(connection)
        if again is None:
            return
        self.broken.append(again)
        if self._reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Engines(Server):
    """A CONNECT proxy that is itself at the other end of the tunnel: host to answer."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.answers: dict[str, Answer] = {}
        self.connects: list[str] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._context.set_alpn_protocols(["http/1.1"])
        super().__init__()

    def handle(self, connection: socket.socket) -> None:
        request = read_request(connection)
        if request is None or request.method != "CONNECT":
            return
        self.connects.append(request.path)
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with self._context.wrap_socket(connection, server_side=True) as tunnel:
            self.talk(tunnel, self.answers, "host")


def make_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """A test authority and a certificate for the engines: (authority, certificate, key)."""
    names = ",".join(f"DNS:{host}" for host in ENGINE_HOSTS)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-days", "2")
    openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=engines")
    (folder / "ext").write_text(f"subjectAltName={names}\n")
    openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", "server.pem", "-days", "2", "-extfile", "ext"),
    )
    return folder / "ca.pem", folder / "server.pem", folder / "server.key"


def duckduckgo_page(*results: tuple[str, str, str]) -> str:
    """A page as DuckDuckGo's HTML face makes it."""
    items = "".join(
        f'<div class="result results_links"><div class="links_main links_deep result__body">'
        f'<h2 class="result__title"><a class="result__a" href="{url}">{title}</a></h2>'
        f'<a class="result__snippet" href="{url}">{text}</a></div></div>'
        for title, url, text in results
    )
    return f"<!DOCTYPE html><html><body><div id='links'>{items}</div></body></html>"


def mojeek_page(*results: tuple[str, str, str]) -> str:
    """A page as Mojeek makes it."""
    items = "".join(
        f'<li><h2><a href="{url}">{title}</a></h2><p class="s">{text}</p></li>' for title, url, text in results
    )
    return f"<!DOCTYPE html><html><body><ul class='results-standard'>{items}</ul></body></html>"
