"""``llmos serve`` from the command line: what it refuses, in one sentence."""

from __future__ import annotations

import socket

import pytest

from llmos.cli.main import cli, run


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert run(cli, ["serve", "--port", str(port)]) == 1
    told = capsys.readouterr().err.strip()
    assert told.startswith(f"llmos: The server cannot listen on 127.0.0.1:{port} (") and "\n" not in told


@pytest.mark.parametrize("arguments", [("--host", "0.0.0.0", "--no-token"), ("--host", "no such host.invalid")])
def test_an_address_that_cannot_be_had(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["serve", *arguments]) == 1
    told = capsys.readouterr().err.strip()
    assert told.startswith("llmos: ") and "\n" not in told


def test_a_shape_that_the_benchmark_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["bench", "serve", "-o", "shapes=17M"]) == 1
    assert "There is no shape 17M; there are: tiny, 15M, 135M, none." in capsys.readouterr().err
