"""The documentation says what the policy says; no network client is made past the switch."""

from __future__ import annotations

import ast
from pathlib import Path

from llmos.guard.policy import rules_table

ROOT = Path(__file__).parents[2]


def test_the_table_of_rules_is_the_policy() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    start = text.index("<!-- rules: made from llmos/guard/policy.py -->")
    shown = text[start : text.index("<!-- end of rules -->")].partition("\n")[2].strip()
    assert shown == rules_table()


#: Calls that open connections, as they are written in source.
_CLIENTS = {
    "httpx.Client",
    "httpx.AsyncClient",
    "httpx.get",
    "httpx.post",
    "httpx.stream",
    "httpx.request",
    "requests.get",
    "requests.post",
    "requests.Session",
    "urllib.request.urlopen",
    "request.urlopen",
    "urlopen",
    "socket.create_connection",
    "http.client.HTTPSConnection",
    "http.client.HTTPConnection",
    "aiohttp.ClientSession",
    "asyncio.open_connection",
}


def _given_a_socket(call: ast.Call) -> bool:
    """``open_connection(sock=…)`` opens nothing: it only wraps a pair of Unix sockets."""
    return not call.args and any(one.arg == "sock" for one in call.keywords)


def clients_in(source: str) -> list[str]:
    return [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _CLIENTS and not _given_a_socket(node)
    ]


def test_network_clients_are_made_in_one_place() -> None:
    found: dict[str, list[str]] = {}
    for folder in ("llmos", "plugins"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if "/tests/" in name or name == "llmos/offline.py" or "template" in name:
                continue
            if clients := clients_in(path.read_text(encoding="utf-8")):
                found[name] = clients
    assert found == {}


def test_the_search_finds_clients() -> None:
    assert clients_in("import httpx\nhttpx.Client()\n") == ["httpx.Client"]
