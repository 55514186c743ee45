from __future__ import annotations

import os
import subprocess
import sys

import pytest

from llmos import offline
from llmos.guard.offline import can_forbid_network, no_network_argv
from llmos.types import UserError


@pytest.fixture(autouse=True)
def _switch_back() -> object:
    yield
    offline._switch = None
    offline._told.clear()


def test_the_switch_follows_the_settings_and_can_be_turned() -> None:
    assert not offline.is_offline()
    os.environ["LLMOS_OFFLINE"] = "1"
    assert offline.is_offline()
    offline.set_offline(False)
    assert not offline.is_offline()
    offline.set_offline(None)


def test_settings_that_cannot_be_read_mean_offline() -> None:
    os.environ["LLMOS_OFFLINE"] = "perhaps"
    assert offline.is_offline()


def test_libraries_are_told_and_the_users_own_switch_stays() -> None:
    os.environ.pop("HF_HUB_OFFLINE", None)
    offline.set_offline(True)
    assert os.environ["HF_HUB_OFFLINE"] == "1" and os.environ["HF_HUB_DISABLE_XET"] == "1"
    offline.set_offline(False)
    assert "HF_HUB_OFFLINE" not in os.environ and os.environ["HF_HUB_DISABLE_XET"] == "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    offline.set_offline(True)
    offline.set_offline(False)
    assert os.environ["HF_HUB_OFFLINE"] == "1"


async def test_clients_refuse_at_every_request() -> None:
    offline.set_offline(False)
    client = offline.http_client("The test")
    later = offline.async_http_client("The test")
    offline.set_offline(True)
    with pytest.raises(offline.OfflineError, match="The test needs the network"):
        client.get("http://127.0.0.1:9/")
    with pytest.raises(offline.OfflineError):
        await later.get("http://127.0.0.1:9/")
    with pytest.raises(offline.OfflineError):
        offline.http_client("The test")
    client.close()
    await later.aclose()


async def test_a_server_on_this_machine_may_be_asked_where_that_is_allowed() -> None:
    import httpx

    offline.set_offline(True)
    client = offline.async_http_client("The server", local=True, timeout=2.0)
    with pytest.raises(httpx.ConnectError):
        await client.get("http://127.0.0.1:9/")  # asked, and nobody listens there
    for elsewhere in ("http://192.0.2.1/", "http://localhost.example/", "http://127.0.0.1@192.0.2.1/"):
        with pytest.raises(offline.OfflineError):
            await client.get(elsewhere)
    await client.aclose()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:0001::",
        "not an address",
        "",
    ],
)
def test_addresses_inside_are_forbidden(address: str) -> None:
    assert offline.forbidden_address(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_outside_are_not(address: str) -> None:
    assert not offline.forbidden_address(address)


def test_names_are_resolved_before_they_are_judged() -> None:
    offline.set_offline(False)
    with pytest.raises(UserError, match="inside this machine"):
        offline.checked_addresses("localhost", 80)
    offline.set_offline(True)
    with pytest.raises(offline.OfflineError):
        offline.checked_addresses("localhost", 80)


PROBE = """
import ctypes, socket, threading
libc = ctypes.CDLL(None, use_errno=True)
socket.socket(socket.AF_UNIX).close()
socket.socketpair()[0].close()
opened = [
    (family, kind)
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW)
    if libc.socket(family, kind, 0) >= 0
]
found = []
thread = threading.Thread(target=lambda: found.append(libc.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)))
thread.start(); thread.join()
print(opened, found, libc.syscall(425, 8, 0))
"""


@pytest.mark.skipif(not can_forbid_network() or sys.platform != "linux", reason="no seccomp here")
def test_a_process_without_network_can_open_no_socket_but_a_unix_one() -> None:
    argv = no_network_argv([sys.executable, "-c", PROBE])
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[] [-1] -1", done.stderr
    grandchild = no_network_argv(
        [
            sys.executable,
            "-c",
            "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', "
            "'import socket; socket.socket()'], stderr=subprocess.DEVNULL))",
        ]
    )
    assert subprocess.run(grandchild, timeout=60).returncode == 1


def test_the_filter_says_what_it_cannot_run() -> None:
    if not can_forbid_network():
        pytest.skip("no way to forbid the network here")
    done = subprocess.run(no_network_argv(["/no/such/program"]), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "/no/such/program" in done.stderr


async def test_plain_connections_stay_on_this_machine() -> None:
    import asyncio

    offline.set_offline(True)
    came: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    _, writer = await offline.open_loopback("127.0.0.1", server.sockets[0].getsockname()[1])
    writer.write(b"hello\n")
    await writer.drain()
    while not came:
        await asyncio.sleep(0.01)
    writer.close()
    server.close()
    assert came == [b"hello\n"]
    for elsewhere in ("192.0.2.1", "localhost.example.org", "::2"):
        with pytest.raises(offline.OfflineError, match="not an address of this machine"):
            await offline.open_loopback(elsewhere, 80)
