"""A real host, a real site and the engines' stand-in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llmos_web.web import Web

from llmos.plugins.host import Ground, PluginHost
from llmos.plugins.jobs import JobBoard
from llmos.plugins.manifest import read_manifest
from llmos.plugins.store import StoreFile
from llmos.settings import Folders, Settings
from tests.plugins.web.servers import Engines, Site, make_certificates

HostMaker = Callable[..., PluginHost]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def engines(certificates: tuple[Path, Path, Path]) -> Iterator[Engines]:
    server = Engines(certificates[1], certificates[2])
    yield server
    server.close()


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    yield server
    server.close()


@pytest.fixture
def inner() -> Iterator[Site]:
    """A server of the local network that nobody allowed."""
    server = Site()
    yield server
    server.close()


@pytest.fixture
def make_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostMaker:
    """The program's own host for the web plugin, with settings."""
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path))
    monkeypatch.setenv("LLMOS_OFFLINE", "0")

    def make(**options: Any) -> PluginHost:
        folders = Folders(tmp_path / "config", tmp_path / "data", tmp_path / "cache", tmp_path / "log").make()
        settings = Settings()
        settings.plugins.options["web"] = {"timeout": 2.0, **options}
        ground = Ground(
            folders=folders,
            services=None,
            store=StoreFile(folders.data / "plugins.db"),
            jobs=JobBoard(lambda plugin, where, error: None),
            notify=lambda text, level: None,
            settings=settings,
        )
        import llmos_web

        manifest = read_manifest(Path(llmos_web.__file__).with_name("llmos-plugin.toml"))
        return PluginHost(manifest, ground)

    return make


@pytest.fixture
def web(make_host: HostMaker, site: Site) -> Iterator[Web]:
    """The plugin, allowed to open the site."""
    opened = Web(make_host(allow_hosts=[site.netloc]))
    yield opened
    opened.close()


@pytest.fixture
def searching(
    make_host: HostMaker, engines: Engines, certificates: tuple[Path, Path, Path]
) -> Iterator[Callable[..., Web]]:
    """The plugin with its engines behind the proxy; settings can be given."""
    opened: list[Web] = []

    def make(**options: Any) -> Web:
        host = make_host(
            **{
                "proxy": engines.url,
                "ca_file": str(certificates[0]),
                "engines": ["duckduckgo", "mojeek"],
                **options,
            }
        )
        opened.append(Web(host))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
