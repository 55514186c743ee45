"""Who may ask: a bearer token, and Host and Origin checks against pages of other sites."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one server; what they do not allow is refused.

    Attributes:
        token: bearer token; empty asks for none, which ``serve`` allows on loopback only.
        hosts: names under which the server may be reached; guards against DNS rebinding.
        origins: pages of other sites that may ask from a browser.
    """

    token: str
    hosts: frozenset[str] = _LOCAL
    origins: frozenset[str] = field(default_factory=frozenset)

    def refusal(self, host: str, origin: str, authorization: str) -> tuple[int, str] | None:
        """(status, sentence) when a request is refused, None when it may pass.

        Args:
            host: the header ``Host``.
            origin: the header ``Origin``, empty where there is none.
            authorization: the header ``Authorization``.
        """
        if hostname(host) not in self.hosts:
            return (
                403,
                f"This server does not answer to the name {hostname(host)!r}; start it with --host-name.",
            )
        if origin and not self._origin_allowed(origin):
            return 403, "Pages of other sites may not use this server; allow one with --origin."
        if self.token:
            given = authorization.removeprefix("Bearer ").strip()
            if not hmac.compare_digest(given.encode(), self.token.encode()):
                return 401, "A token is needed: send the header Authorization: Bearer TOKEN."
        return None

    def _origin_allowed(self, origin: str) -> bool:
        if origin in self.origins:
            return True
        # The server's own pages: same name; the port is the browser's business.
        return origin != "null" and hostname(urlsplit(origin).netloc) in self.hosts and not self.origins


def hostname(host: str) -> str:
    """The name in a ``Host`` header, without port and brackets, lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def new_token() -> str:
    """A random token of 43 letters."""
    return secrets.token_urlsafe(32)


def is_loopback(address: str) -> bool:
    """Whether a listening address is reachable from this machine alone."""
    return hostname(address if ":" not in address or address.startswith("[") else f"[{address}]") in _LOCAL


def with_hosts(hosts: Iterable[str]) -> frozenset[str]:
    """Allowed names: loopback's and further ones."""
    return _LOCAL | {hostname(host) for host in hosts}
