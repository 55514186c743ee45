"""What a hub repository holds: files, sizes, checksums, the commit. No weights are moved here.

huggingface-hub speaks the API and knows the user's token and cache folder; every failure becomes
one sentence. ``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` and ``HF_HOME`` are honoured at each call.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos import offline
from llmos.types import UserError

_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_REFERENCE = re.compile(r"^([\w.-]+/[\w.-]+)(?::([\w.-]+))?$")
_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file to fetch; ``sha256`` is empty for small files that the hub keeps in git."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class HubModel:
    """A quantisation of a repository: one file, or the parts of a split one, at one commit."""

    repository: str
    commit: str
    quantisation: str
    files: tuple[HubFile, ...]
    gated: bool = False
    licence: str = ""

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class HubHit:
    """A repository found by search."""

    repository: str
    downloads: int
    licence: str


def endpoint() -> str:
    """The hub's address, ``HF_ENDPOINT`` before the default."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def is_offline() -> bool:
    """True when the offline switch or the hub's own variable forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on") or offline.is_offline()


def check_online() -> None:
    """Refuse when offline.

    Raises:
        UserError: the network is switched off.
    """
    offline.apply_environment()  # before the hub's library is imported
    if is_offline():
        raise UserError(
            "This needs the network, and it is switched off (HF_HUB_OFFLINE or the offline switch); "
            "`llmos models list` shows what is on this machine."
        )


def token() -> str | None:
    """The user's hub token, if any."""
    from huggingface_hub import get_token

    return get_token()


def cache_folder() -> Path:
    """The hub's cache folder, which llama.cpp shares."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"])
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "huggingface"
    )
    return Path(home) / "hub"


def parse_reference(text: str) -> tuple[str, str]:
    """``org/repo[:quantisation]`` as (repository, quantisation or empty).

    Raises:
        UserError: not of that form.
    """
    match = _REFERENCE.match(text.removeprefix("hf.co/").removeprefix("https://huggingface.co/").strip("/"))
    if not match:
        raise UserError(
            f"{text!r} is no model: name one of `llmos models search`, org/repo[:quantisation] or a file."
        )
    return match[1], match[2] or ""


def quantisation_of(name: str) -> str:
    """The quantisation that a file name carries, upper case, or empty."""
    stem = _SPLIT.sub("", name.rsplit("/", 1)[-1]).removesuffix(".gguf")
    match = re.search(r"((?:UD-)?(?:I?Q\d\w*|BF16|F16|F32|MXFP4\w*|KQuant-\w+|TQ\d_\d))$", stem, re.IGNORECASE)
    return match[1].upper() if match else ""


def explain(error: Exception, what: str) -> UserError:
    """A failure of the hub as one sentence."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return UserError(
            f"The hub does not give out {what} without permission: accept its licence at "
            f"{endpoint()}/{what.split(':')[0]}, "
            "then set HF_TOKEN to a token of that account."
        )
    if status == 404:
        return UserError(f"The hub has no {what}; check the name with `llmos models search`.")
    if status == 429:
        return UserError(
            f"The hub asks to slow down (429) for {what}; wait a minute and pull again: it resumes."
        )
    if status is not None and status >= 500:
        return UserError(f"The hub has a fault of its own ({status}) for {what}; pull again later: it resumes.")
    return UserError(
        f"The hub at {endpoint()} cannot be reached for {what} ({type(error).__name__}); check the network."
    )


def _api(client_check: Callable[[], None]) -> Any:
    client_check()
    from huggingface_hub import HfApi
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity(logging.CRITICAL)  # what goes wrong is told in one sentence of our own

    return HfApi(endpoint=endpoint())


def look_up(reference: str, pattern: str = "", *, client_check: Callable[[], None] = check_online) -> HubModel:
    """Files of one quantisation of a repository.

    Args:
        reference: ``org/repo[:quantisation]``; without one Q4_K_M is taken where there is one.
        pattern: file pattern from the catalogue; wins over the quantisation.
        client_check: raises when the network may not be used.

    Raises:
        UserError: offline, no such repository, gated, no GGUF file, or no such quantisation.
    """
    repository, quantisation = parse_reference(reference)
    api = _api(client_check)
    try:
        info = api.model_info(repository, files_metadata=True, timeout=_TIMEOUT, token=token() or False)
    except Exception as error:
        raise explain(error, repository) from error
    found: dict[str, HubFile] = {}
    for sibling in info.siblings or []:
        if sibling.rfilename.endswith(".gguf"):
            lfs = sibling.lfs or {}
            sha = lfs.get("sha256", "") if isinstance(lfs, dict) else getattr(lfs, "sha256", "")
            found[sibling.rfilename] = HubFile(sibling.rfilename, int(sibling.size or 0), sha or "")
    models = {name: file for name, file in found.items() if "mmproj" not in name.lower()}
    if not models:
        raise UserError(f"{repository} has no GGUF file; look for a repository whose name ends in -GGUF.")
    chosen = _choose(sorted(models), quantisation, pattern)
    if not chosen:
        known = sorted({quantisation_of(name) or name for name in models})
        raise UserError(f"{repository} has no {quantisation or pattern}; it has {', '.join(known)}.")
    card = info.card_data
    licence = str(card.get("license", "") if card else "")
    return HubModel(
        repository,
        str(info.sha),
        quantisation_of(chosen[0]) or quantisation,
        tuple(models[name] for name in chosen),
        bool(info.gated),
        licence,
    )


def _choose(names: Sequence[str], quantisation: str, pattern: str) -> list[str]:
    matching: list[str] = []
    if pattern and not quantisation:
        matching = [name for name in names if fnmatch.fnmatch(name, pattern)]
    wanted = quantisation.upper()
    if not matching and wanted:
        matching = [name for name in names if quantisation_of(name) == wanted or name == quantisation]
    if not matching and not wanted and not pattern:
        for preferred in ("Q4_K_M", "Q4_K_S", "Q4_0", "Q5_K_M", "Q8_0", ""):
            matching = [name for name in names if not preferred or quantisation_of(name) == preferred]
            if matching:
                break
    if not matching:
        return []
    first = matching[0]
    split = _SPLIT.search(first)
    if not split:
        return [first]
    stem = first[: split.start()]
    return [f"{stem}-{number:05d}-of-{split[2]}.gguf" for number in range(1, int(split[2]) + 1)]


def search(query: str, limit: int = 20, *, client_check: Callable[[], None] = check_online) -> list[HubHit]:
    """GGUF repositories on the hub that match, most downloaded first.

    Raises:
        UserError: offline or the hub does not answer.
    """
    api = _api(client_check)
    try:
        return [
            HubHit(
                found.id,
                int(found.downloads or 0),
                next((tag[8:] for tag in found.tags or [] if tag.startswith("license:")), ""),
            )
            for found in api.list_models(search=query, filter="gguf", sort="downloads", limit=limit)
        ]
    except Exception as error:
        raise explain(error, f"the search for {query!r}") from error


def file_url(model: HubModel, file: HubFile) -> str:
    """Address of a file at its commit."""
    from urllib.parse import quote

    return f"{endpoint()}/{model.repository}/resolve/{model.commit}/{quote(file.name)}"
