"""A hub on loopback that speaks what huggingface-hub and the fetcher really ask for."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubStub:
    """Serve repositories from memory; ``fault`` may answer a file request in its own way."""

    def __init__(self, repositories: dict[str, dict[str, bytes]], *, gated: bool = False) -> None:
        self.repositories = repositories
        self.gated = gated
        self.fault: Callable[[BaseHTTPRequestHandler, bytes], bool] | None = None
        self.ranges = True
        self.requests: list[tuple[str, str]] = []
        self.wrong_sha = False
        self.block = 1 << 16
        self.pace = 0.0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                stub.requests.append((self.path, self.headers.get("Range", "")))
                try:
                    stub._answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> HubStub:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _json(self, handler: BaseHTTPRequestHandler, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlparse(handler.path)
        if url.path == "/api/models":
            words = parse_qs(url.query).get("search", [""])[0].lower()
            self._json(
                handler,
                [
                    {
                        "_id": name,
                        "id": name,
                        "modelId": name,
                        "downloads": 7,
                        "tags": ["gguf", "license:apache-2.0"],
                    }
                    for name in self.repositories
                    if words in name.lower()
                ],
            )
            return
        parts = url.path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            name = "/".join(parts[2:4])
            if name not in self.repositories:
                self._json(handler, {"error": "Repository not found"}, 404)
                return
            self._json(handler, self._info(name))
            return
        name = "/".join(parts[:2])
        file = "/".join(parts[4:])
        body = self.repositories.get(name, {}).get(file)
        if body is None:
            self._json(handler, {"error": "Entry not found"}, 404)
        elif not (self.fault and self.fault(handler, body)):
            self._send(handler, body)

    def _info(self, name: str) -> dict[str, object]:
        siblings = []
        for file, body in self.repositories[name].items():
            sha = "0" * 64 if self.wrong_sha else hashlib.sha256(body).hexdigest()
            lfs = {"sha256": sha, "size": len(body), "pointerSize": 134}
            siblings.append({"rfilename": file, "size": len(body), "blobId": "x", "lfs": lfs})
        return {
            "_id": name,
            "id": name,
            "modelId": name,
            "sha": COMMIT,
            "gated": "manual" if self.gated else False,
            "private": False,
            "downloads": 7,
            "likes": 0,
            "tags": ["gguf"],
            "cardData": {"license": "apache-2.0"},
            "siblings": siblings,
        }

    def _send(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        wanted = handler.headers.get("Range", "")
        start, end = 0, len(body)
        if wanted and self.ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), (int(last) + 1 if last else len(body))
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Type", "application/octet-stream")
        handler.send_header("Content-Length", str(end - start))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        for place in range(start, end, self.block):
            handler.wfile.write(body[place : min(end, place + self.block)])
            if self.pace:
                time.sleep(self.pace)
