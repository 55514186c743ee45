"""The offline switch and the only makers of network clients.

Patching sockets would prove nothing (several libraries open them natively), so every client is
made here, or by ``host.http``, and asks the switch at each request; libraries that have a switch
of their own are told through the environment before they are imported.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmos.types import UserError

if TYPE_CHECKING:
    import asyncio

    import httpx

#: Switches of libraries that would go to the network by themselves.
_ALWAYS = {
    "HF_HUB_DISABLE_XET": "1",  # hf-xet opens sockets of its own, past every client made here
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ANONYMIZED_TELEMETRY": "False",  # Chroma
    "DO_NOT_TRACK": "1",
}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_switch: bool | None = None
_told: set[str] = set()


class OfflineError(UserError):
    """The network was asked for while the program is offline."""


def set_offline(value: bool | None) -> None:
    """Turn the switch for this process and the ones that it starts.

    Args:
        value: True is offline; None goes back to the settings file.
    """
    global _switch
    _switch = value
    if value is not None:
        os.environ["LLMOS_OFFLINE"] = "1" if value else "0"
    apply_environment()


def is_offline() -> bool:
    """Whether the network may not be used; true also when the settings cannot be read."""
    if _switch is not None:
        return _switch
    from llmos.settings import load_settings

    try:
        return load_settings().offline
    except UserError:
        return True


def apply_environment() -> None:
    """Tell libraries with switches of their own; call before they are imported."""
    for name, value in _ALWAYS.items():
        os.environ.setdefault(name, value)
    for name, value in _OFFLINE.items():
        if is_offline():
            if name not in os.environ:
                _told.add(name)
            os.environ[name] = value
        elif name in _told:  # what the user set there stays
            os.environ.pop(name, None)
            _told.discard(name)


def require_online(purpose: str) -> None:
    """Refuse in one sentence while offline.

    Args:
        purpose: what wanted the network, as the subject of the sentence.

    Raises:
        OfflineError: the switch is on.
    """
    if is_offline():
        raise OfflineError(
            f"{purpose} needs the network, but the program is offline; "
            "turn that off with `offline = false` in the settings or LLMOS_OFFLINE=0."
        )


def forbidden_address(address: str) -> bool:
    """Whether a text from elsewhere may not point there: loopback, private, link-local and the like.

    Args:
        address: numeric IPv4 or IPv6 address; what is not one counts as forbidden.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    return not all(one.is_global and not one.is_multicast for one in _faces(ip))


def _faces(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The address, or what an IPv6 address carries inside and leads to."""
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if ip.ipv4_mapped is not None:
        return [ip.ipv4_mapped]
    inside: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    if ip.sixtofour is not None:
        inside.append(ip.sixtofour)
    if ip.teredo is not None:
        inside.extend(ip.teredo)
    if ip in _NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
    return [ip, *inside]


def checked_addresses(host: str, port: int) -> list[str]:
    """Resolve a name and refuse it when any of its addresses lies inside the machine or its network.

    Connect to one of the returned addresses, not to the name: it may resolve differently later.

    Args:
        host: name or numeric address.
        port: port number.

    Raises:
        UserError: offline, unknown name, or a forbidden address.
    """
    require_online(f"Opening {host}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UserError(f"The address {host} cannot be found ({error}); check its spelling.") from error
    numbers = [str(entry[4][0]) for entry in found]
    for number in numbers:
        if forbidden_address(number):
            raise UserError(
                f"The address {host} leads to {number}, inside this machine or its network; it is not opened."
            )
    return numbers


#: Hosts of this machine itself.
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


def http_client(purpose: str, *, local: bool = False, **options: Any) -> httpx.Client:
    """A synchronous client that asks the switch at every request, redirects included.

    Args:
        purpose: what it is for, in the error while offline.
        local: servers on this machine itself may be asked while offline.
        options: of ``httpx.Client``; event hooks are added to, not replaced.

    Raises:
        OfflineError: the switch is on now (and at each request, when it is turned later).
    """
    import httpx

    if not local:
        require_online(purpose)

    def check(request: httpx.Request) -> None:
        if not (local and request.url.host in _HERE):
            require_online(purpose)

    return httpx.Client(**_with_hook(options, check))


def async_http_client(purpose: str, *, local: bool = False, **options: Any) -> httpx.AsyncClient:
    """As ``http_client``, for coroutines."""
    import httpx

    if not local:
        require_online(purpose)

    async def check(request: httpx.Request) -> None:
        if not (local and request.url.host in _HERE):
            require_online(purpose)

    return httpx.AsyncClient(**_with_hook(options, check))


def _with_hook(options: Mapping[str, Any], check: Any) -> dict[str, Any]:
    hooks = {name: list(each) for name, each in dict(options.get("event_hooks") or {}).items()}
    hooks["request"] = [check, *hooks.get("request", [])]
    return {**options, "event_hooks": hooks}


async def open_loopback(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A plain connection to a server on this machine; it is open offline too, for nothing leaves.

    Args:
        host: an address of the loopback; names are not resolved.
        port: of the server.

    Raises:
        OfflineError: the address is not this machine's own.
        OSError: nothing listens there.
    """
    import asyncio

    try:
        inside = ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise OfflineError(f"'{host}' is not an address of this machine: only 127.0.0.1 and the like are.")
    return await asyncio.open_connection(host, port)
