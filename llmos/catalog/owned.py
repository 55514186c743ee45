"""Models that lie on this machine already, in whichever program's cache; used in place.

Nothing here writes: Ollama prunes what it does not know, LM Studio and huggingface own theirs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmos.catalog.hub import cache_folder, quantisation_of
from llmos.settings import folders


@dataclass(frozen=True, slots=True)
class OwnedModel:
    """A GGUF file on this machine.

    Attributes:
        name: what ``--model`` takes.
        path: the file to load.
        bytes: its size.
        origin: ``bundled``, ``llmos``, ``huggingface``, ``ollama``, ``lm studio``.
        quantisation: from its name, may be empty.
    """

    name: str
    path: Path
    bytes: int
    origin: str
    quantisation: str = ""

    @property
    def removable(self) -> bool:
        """Only what LLMOS or the hub's cache holds is removed by ``llmos models rm``."""
        return self.origin in ("llmos", "huggingface")


def models_folder() -> Path:
    """Folder for the user's own GGUF files and imports."""
    return folders().data / "models"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_model(path: Path) -> bool:
    name = path.name.lower()
    if not name.endswith(".gguf") or "mmproj" in name or "-lora" in name:
        return False
    return "-of-" not in name or "-00001-of-" in name


def own_models() -> Iterator[OwnedModel]:
    """GGUF files in LLMOS's own folder."""
    folder = models_folder()
    for path in sorted(folder.rglob("*.gguf")) if folder.is_dir() else []:
        if _is_model(path):
            yield OwnedModel(path.stem, path, _size(path), "llmos", quantisation_of(path.name))


def hub_models() -> Iterator[OwnedModel]:
    """GGUF files in the hub's cache, as ``org/repo:quantisation``."""
    root = cache_folder()
    for repository in sorted(root.glob("models--*--*")) if root.is_dir() else []:
        name = "/".join(repository.name.split("--")[1:])
        seen: set[str] = set()
        snapshots = sorted(
            (repository / "snapshots").glob("*"), key=lambda one: one.stat().st_mtime, reverse=True
        )
        for path in (file for snapshot in snapshots for file in sorted(snapshot.rglob("*.gguf"))):
            if _is_model(path) and path.name not in seen and path.exists():
                seen.add(path.name)
                kind = quantisation_of(path.name)
                yield OwnedModel(
                    f"{name}:{kind}" if kind else f"{name}:{path.name}", path, _size(path), "huggingface", kind
                )


def ollama_models() -> Iterator[OwnedModel]:
    """Models of Ollama: manifests name blobs, which are GGUF files without the ending."""
    root = Path(os.environ.get("OLLAMA_MODELS") or Path.home() / ".ollama" / "models")
    manifests = root / "manifests"
    for manifest in sorted(manifests.rglob("*")) if manifests.is_dir() else []:
        if not manifest.is_file():
            continue
        try:
            layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
            digest = next(one["digest"] for one in layers if one["mediaType"].endswith("image.model"))
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            continue
        blob = root / "blobs" / str(digest).replace(":", "-")
        if blob.exists():
            parts = manifest.relative_to(manifests).parts
            family = "/".join(part for part in parts[1:-1] if part != "library")
            yield OwnedModel(f"{family}:{parts[-1]}", blob, _size(blob), "ollama")


def lm_studio_models() -> Iterator[OwnedModel]:
    """Models of LM Studio: ``org/repo/file.gguf`` below its folder."""
    for root in (Path.home() / ".lmstudio" / "models", Path.home() / ".cache" / "lm-studio" / "models"):
        for path in sorted(root.rglob("*.gguf")) if root.is_dir() else []:
            if _is_model(path):
                yield OwnedModel(
                    path.relative_to(root).as_posix(),
                    path,
                    _size(path),
                    "lm studio",
                    quantisation_of(path.name),
                )


def bundled_models() -> Iterator[OwnedModel]:
    """Chat models that come with the program."""
    from llmos.kernel.locate import bundled_models as listed

    for model in listed():
        if model.selectable:
            yield OwnedModel(
                model.name, model.path, _size(model.path), "bundled", quantisation_of(model.path.name)
            )


def owned_models() -> list[OwnedModel]:
    """Everything that can be loaded without a download; one entry a file."""
    seen: set[Path] = set()
    out: list[OwnedModel] = []
    for source in (bundled_models, own_models, hub_models, ollama_models, lm_studio_models):
        for model in source():
            real = model.path.resolve()
            if real not in seen:
                seen.add(real)
                out.append(model)
    return out


def find_owned(name: str) -> OwnedModel | None:
    """The owned model of that name; a hub name without quantisation takes the first one."""
    folded = name.casefold()
    models = owned_models()
    for model in models:
        if model.name.casefold() == folded or str(model.path) == name:
            return model
    return next((model for model in models if model.name.casefold().split(":")[0] == folded), None)
