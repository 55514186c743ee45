"""Addresses: which may be shown and opened, and where names lead."""

from __future__ import annotations

import ipaddress
import socket
import threading
from urllib.parse import parse_qs, urlsplit, urlunsplit

from llmos.offline import forbidden_address
from llmos.types import UserError

MAX_URL = 2_000


def clean_url(text: str, base: str = "") -> str:
    """An http(s) address from a result list in its plain form, or empty when it is none.

    Wrappers that an engine puts around its results are taken off, since they would tell it what
    is opened; fragments, names and passwords are dropped.
    """
    text = text.strip()
    if text.startswith("//"):
        text = "https:" + text
    try:
        pieces = urlsplit(text)
        if pieces.hostname and pieces.hostname.endswith("duckduckgo.com") and pieces.path == "/l/":
            return clean_url(parse_qs(pieces.query).get("uddg", [""])[0])
        host = pieces.hostname or ""
        port = f":{pieces.port}" if pieces.port else ""
    except ValueError:
        return ""
    if pieces.scheme not in ("http", "https") or not host or len(text) > MAX_URL:
        return ""
    if any(character.isspace() or ord(character) < 32 for character in text):
        return ""
    if ":" in host:
        host = f"[{host}]"
    return urlunsplit((pieces.scheme, host + port, pieces.path or "/", pieces.query, ""))


def inside(host: str) -> bool:
    """True for a name or literal address that by itself lies inside this machine or network."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal", ".home.arpa")):
        return True
    try:
        ipaddress.ip_address(name.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return forbidden_address(name.strip("[]"))


def resolve_public(host: str, port: int, timeout: float) -> list[str]:
    """Addresses of a name, all of them public.

    Args:
        host: name or literal address.
        port: for the look-up.
        timeout: seconds; a resolver that does not answer is left behind.

    Raises:
        UserError: no answer, or an address inside this machine or network.
    """
    found: list[str] = []
    problem: list[str] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(str(answer[4][0]) for answer in answers)
        except (OSError, UnicodeError) as error:
            problem.append(str(error))

    thread = threading.Thread(target=look_up, daemon=True, name="web-resolve")
    thread.start()
    thread.join(timeout)
    if not found:
        why = problem[0] if problem else f"no answer within {timeout:g} s"
        raise UserError(f"The name {host} cannot be found ({why}); check the network.")
    for address in found:
        if forbidden_address(address):
            raise UserError(
                f"{host} is the address {address} inside this machine or network, which is never opened."
            )
    return found


def same_site(one: str, other: str) -> bool:
    """True when two hosts share their last two labels (the engines' own names have no deeper suffix)."""
    return one.lower().rstrip(".").split(".")[-2:] == other.lower().rstrip(".").split(".")[-2:]
