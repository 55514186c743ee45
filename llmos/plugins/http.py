"""``host.http``: the only network client of a plugin.

It refuses when the program is offline, when the manifest does not declare the network, and for
addresses inside the machine or the local network: names are resolved first and the connection is
made to the address that was checked, at every redirect again.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from llmos.offline import checked_addresses, http_client
from llmos.plugins.host_api import HttpResponse
from llmos.types import UserError

if TYPE_CHECKING:
    import ssl

    import httpx

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

#: ``end``: when the request of this thread must be over, by the monotonic clock.
_request = threading.local()


class PluginHttp:
    """Implements ``host_api.Http`` for one plugin.

    Args:
        plugin: its name, for errors.
        declared: whether the manifest declares the network.
        is_offline: asked at every request.
        allowed: ``host`` or ``host:port`` that the user's own settings name though they are local.
    """

    def __init__(
        self,
        plugin: str,
        declared: bool,
        is_offline: Callable[[], bool],
        allowed: Callable[[], Iterable[str]] = lambda: (),
    ) -> None:
        """See the class."""
        self._plugin = plugin
        self._declared = declared
        self._is_offline = is_offline
        self._allowed = allowed
        self._client: httpx.Client | None = None

    def check(self) -> None:
        """Raise the same error as ``request`` would when the network may not be used at all."""
        if not self._declared:
            raise UserError(
                f"The plugin {self._plugin} uses the network but its manifest does not declare it; "
                "add `network = true` under [needs]."
            )
        if self._is_offline():
            raise UserError(
                f"The plugin {self._plugin} cannot use the network: the program is offline "
                "(setting `offline`, --offline or LLMOS_OFFLINE)."
            )

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float = 10.0,
        max_bytes: int = 5_000_000,
        follow_redirects: bool = True,
    ) -> HttpResponse:
        """One request; ``timeout`` holds for the whole of it, redirects included."""
        import httpx

        self.check()
        end = time.monotonic() + timeout
        sent = dict(headers or {})
        for _ in range(_MAX_REDIRECTS + 1):
            _check_scheme(url)
            left = end - time.monotonic()
            if left <= 0:
                raise UserError(f"{_short(url)} did not answer within {timeout:g} s; try again later.")
            try:
                response, target = self._once(method, url, sent, content, max_bytes, end)
            except httpx.TimeoutException as error:
                raise UserError(
                    f"{_short(url)} did not answer within {timeout:g} s; try again later."
                ) from error
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                raise UserError(f"{_short(url)} cannot be reached: {error or type(error).__name__}.") from error
            if not (follow_redirects and target):
                return response
            if response.status == 303 or (response.status in (301, 302) and method == "POST"):
                method, content = "GET", None
            if urlsplit(target).netloc != urlsplit(url).netloc:
                sent = {k: v for k, v in sent.items() if k.lower() not in ("authorization", "cookie")}
            url = target
        raise UserError(f"{_short(url)} redirects more than {_MAX_REDIRECTS} times.")

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        max_bytes: int,
        end: float,
    ) -> tuple[HttpResponse, str]:
        """One request without redirects, and where it redirects to."""
        if self._client is None:
            self._client = _client(self._plugin, self._allowed)
        _request.end = end
        parts: list[bytes] = []
        size = 0
        with contextlib.closing(self._send(self._client, method, url, headers, content, end)) as answer:
            location = answer.headers.get("location", "") if answer.status_code in _REDIRECTS else ""
            if not location:
                # Decoded bytes are counted, so that a small compressed body cannot unfold without end.
                # As it arrives, not in blocks of a size: a body that drips would fill none in time.
                for part in answer.iter_bytes():
                    size += len(part)
                    if size > max_bytes:
                        raise UserError(f"{_short(url)} is larger than {max_bytes:,} bytes.")
                    if time.monotonic() > end:
                        raise UserError(f"{_short(url)} is too slow; try again later.")
                    parts.append(part)
            response = HttpResponse(answer.status_code, dict(answer.headers), b"".join(parts), url)
            return response, urljoin(url, location) if location else ""

    @staticmethod
    def _send(
        client: httpx.Client,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        end: float,
    ) -> httpx.Response:
        """The answer, its body still to be read.

        A server may close a connection that was kept just as the next request goes out. One that
        only reads is then sent again, once (RFC 9112, 9.3.1).
        """
        import httpx

        def send() -> httpx.Response:
            left = max(0.001, end - time.monotonic())
            request = client.build_request(method, url, headers=headers, content=content, timeout=left)
            return client.send(request, stream=True)

        try:
            return send()
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            if method not in ("GET", "HEAD"):
                raise
            return send()


def _check_scheme(url: str) -> None:
    try:
        pieces = urlsplit(url)
        known = pieces.scheme in ("http", "https") and bool(pieces.hostname)
    except ValueError:
        known = False
    if not known:
        raise UserError(f"{_short(url)} is not an http or https address.")


def _short(url: str) -> str:
    return url if len(url) <= 120 else url[:117] + "…"


def _client(plugin: str, allowed: Callable[[], Iterable[str]]) -> httpx.Client:
    """A client whose connections go only to addresses that were checked."""
    import httpcore
    import httpx

    class Timed(httpcore.NetworkStream):
        """A connection whose waits together end with the request (httpx limits each one alone)."""

        def __init__(self, stream: httpcore.NetworkStream) -> None:
            self._stream = stream

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            left = _request.end - time.monotonic()
            if left <= 0:
                raise httpcore.ReadTimeout("the time of the whole request is up")
            return self._stream.read(max_bytes, left if timeout is None else min(timeout, left))

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._stream.write(buffer, timeout)

        def close(self) -> None:
            self._stream.close()

        def start_tls(
            self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
        ) -> httpcore.NetworkStream:
            return Timed(self._stream.start_tls(ssl_context, server_hostname, timeout))

        def get_extra_info(self, info: str) -> Any:
            return self._stream.get_extra_info(info)

    class Checked(httpcore.SyncBackend):
        """Resolves, checks, then connects to what was checked (so a second answer changes nothing)."""

        def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Any = None,
        ) -> httpcore.NetworkStream:
            for address in resolve(host, port, set(allowed())):
                return Timed(super().connect_tcp(address, port, timeout, local_address, socket_options))
            raise httpcore.ConnectError(f"{host} has no address")

    transport = httpx.HTTPTransport(trust_env=False, retries=0)
    # httpx has no public way to hand a network backend to its pool.
    transport._pool._network_backend = Checked()
    client = http_client(
        f"The plugin {plugin}",
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        headers={"User-Agent": "llmos (local assistant)"},
    )
    # No server gets to recognise the user at the next request.
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return client


def resolve(host: str, port: int, allowed: set[str]) -> list[str]:
    """Addresses of a name, all of them checked, but for hosts that the user's settings name.

    Raises:
        UserError: one of them lies inside the machine or the local network.
    """
    if host in allowed or f"{host}:{port}" in allowed:
        return [str(answer[4][0]) for answer in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    return checked_addresses(host, port)
