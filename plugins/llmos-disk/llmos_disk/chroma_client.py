"""Making a Chroma client, with its traps closed.

``import chromadb`` reads ``./.env`` of the working directory (and can crash on it), phones home
unless told not to, and a second client on the same folder shares a cached engine that never sees
what another process wrote.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmos.types import UserError

_import_lock = threading.Lock()


@contextlib.contextmanager
def _no_dotenv() -> Iterator[None]:
    """While chromadb is imported, settings files of the working directory are not looked at."""
    from pydantic_settings.sources import DotEnvSettingsSource

    original = DotEnvSettingsSource._read_env_files
    DotEnvSettingsSource._read_env_files = lambda self: {}  # type: ignore[method-assign]
    try:
        yield
    finally:
        DotEnvSettingsSource._read_env_files = original  # type: ignore[method-assign]


def import_chroma() -> Any:
    """The module chromadb; 1-2 s the first time.

    Raises:
        UserError: it is not installed or cannot be loaded.
    """
    with _import_lock:
        try:
            with _no_dotenv():
                import chromadb
                from chromadb.config import Settings
        except Exception as error:  # native code, settings and version trouble all surface here
            raise UserError(f"Chroma cannot be loaded ({error}); reinstall llmos-disk.") from error
        Settings.model_config["env_file"] = None
    return chromadb


def local_client(folder: Path) -> Any:
    """A client on a folder of this machine; no network."""
    chromadb = import_chroma()
    from chromadb.config import Settings

    folder.mkdir(parents=True, exist_ok=True)
    return chromadb.PersistentClient(
        path=str(folder), settings=Settings(anonymized_telemetry=False, allow_reset=False)
    )


def server_client(address: str, token: str) -> Any:
    """A client of a Chroma server.

    Args:
        address: ``http://host:port`` or ``https://…``.
        token: sent as a bearer token and as ``X-Chroma-Token``; empty sends none.

    Raises:
        UserError: the address is none, or nobody answers there.
    """
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"The Chroma address {address!r} is not of the form http://host:port.")
    chromadb = import_chroma()
    from chromadb.config import Settings

    headers = {"Authorization": f"Bearer {token}", "X-Chroma-Token": token} if token else {}
    try:
        return chromadb.HttpClient(
            host=parts.hostname,
            port=parts.port or (443 if parts.scheme == "https" else 8000),
            ssl=parts.scheme == "https",
            headers=headers,
            settings=Settings(anonymized_telemetry=False),
        )
    except Exception as error:  # the client raises ValueError, httpx and chromadb errors alike
        raise UserError(
            f"The Chroma server {parts.scheme}://{parts.netloc.rpartition('@')[2]} does not answer ({error}); "
            "start it with `chroma run`, or empty the setting chroma_url to use the local index."
        ) from error


def forget_clients() -> None:
    """Drop Chroma's cached engines, so that the next client reads the folder anew."""
    from chromadb.api.shared_system_client import SharedSystemClient

    SharedSystemClient.clear_system_cache()
