from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import pytest

from llmos.bench.random_gguf import write_random_gguf
from llmos.catalog import hub, owned, remote_header
from llmos.catalog.entries import bundled_catalog, load_catalog
from llmos.catalog.fit import fit_entry, fit_header, recommend
from llmos.catalog.machine import Machine, free_disk, measure_bandwidth, this_machine
from llmos.kernel.gguf_header import read_header
from llmos.types import UserError
from tests.helpers.hub_stub import HubStub

GIB = 1 << 30


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_gguf(tmp_path_factory.mktemp("gguf") / "Tiny-Q8_0.gguf", quantisation="Q8_0")


def test_the_bundled_catalogue_is_valid_and_says_what_is_unverified() -> None:
    catalog = load_catalog()
    assert len(catalog.models) >= 20
    assert len({entry.name for entry in catalog.models}) == len(catalog.models)
    assert {True, False} == {entry.verified for entry in catalog.models}
    assert bundled_catalog().exists()


def test_search_by_words_task_and_size() -> None:
    catalog = load_catalog()
    small = catalog.search("qwen", task="vision", largest=3_000_000_000)
    assert small and all("qwen" in entry.name and entry.bytes <= 3_000_000_000 for entry in small)
    assert [entry.bytes for entry in small] == sorted(entry.bytes for entry in small)
    assert catalog.search("no such model") == []
    assert catalog.find("QWEN3.5-2B") is catalog.find("unsloth/Qwen3.5-2B-GGUF")


@pytest.mark.parametrize(
    "text", ["", "version = 2", "not toml [", 'version = 1\ncollected = "x"\n[[models]]\nname = 1']
)
def test_a_broken_catalogue_is_told_in_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(text)
    with pytest.raises(UserError, match="catalogue") as error:
        load_catalog(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("free", "verdict"), [(64 * GIB, "fits"), (2 * GIB, "smaller context"), (1 * GIB, "too large")]
)
def test_verdicts_follow_the_memory(free: int, verdict: str) -> None:
    entry = load_catalog().find("qwen3.5-2b")
    assert entry is not None
    fit = fit_entry(entry, Machine(free, free, 4), context=65_536)
    assert fit.verdict == verdict
    assert not fit.exact
    assert (fit.largest_context == 0) is (verdict == "too large")


def test_a_header_gives_exact_figures_and_a_context_that_fits(tiny: Path) -> None:
    header = read_header(tiny)
    fit = fit_header(header, Machine(8 * GIB, 8 * GIB, 2, 10e9))
    assert fit.exact and fit.verdict == "fits"
    assert 0.9 * tiny.stat().st_size < fit.weights <= tiny.stat().st_size
    wider = fit_header(header, Machine(8 * GIB, 8 * GIB, 2, 10e9), context=2 * fit.context)
    assert wider.kv == 2 * fit.kv
    assert wider.tokens_per_second < fit.tokens_per_second
    assert fit_header(header, Machine(8 * GIB, 8 * GIB, 2), kv_type="q8_0").kv < fit.kv


def test_the_recommendation_grows_with_the_machine() -> None:
    models = load_catalog().models
    sizes = []
    for gib in (2, 8, 32):
        entry = recommend(models, Machine(gib * GIB, gib * GIB, 4))
        assert entry is not None
        sizes.append(entry.bytes)
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    assert recommend(models, Machine(GIB // 2, GIB // 2, 1)) is None


def test_a_slow_machine_gets_a_model_that_it_can_run() -> None:
    models = load_catalog().models
    fast = recommend(models, Machine(64 * GIB, 64 * GIB, 8, 400e9))
    slow = recommend(models, Machine(64 * GIB, 64 * GIB, 8, 12e9))
    assert fast is not None and slow is not None
    assert slow.bytes * slow.active_share < fast.bytes


def test_this_machine_is_measured() -> None:
    machine = this_machine()
    assert 0 < machine.available <= machine.total
    assert machine.cores >= 1
    assert measure_bandwidth(16, 1) > 1e8
    assert free_disk(Path("/nonexistent/below")) > 0


def test_models_of_other_programs_are_found_in_place(home: Path, tiny: Path) -> None:
    data = tiny.read_bytes()
    snapshot = home / "hf" / "hub" / "models--org--Tiny-GGUF" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "Tiny-Q4_K_M.gguf").write_bytes(data)
    (snapshot / "mmproj-F16.gguf").write_bytes(data)
    ollama = home / ".ollama" / "models"
    manifest = ollama / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "latest"
    manifest.parent.mkdir(parents=True)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:aa"}
    manifest.write_text(json.dumps({"layers": [layer]}))
    (ollama / "blobs").mkdir()
    (ollama / "blobs" / "sha256-aa").write_bytes(data)
    (manifest.parent / "broken").write_text("{")
    studio = home / ".lmstudio" / "models" / "org" / "repo"
    studio.mkdir(parents=True)
    (studio / "Big-Q8_0-00001-of-00002.gguf").write_bytes(data)
    (studio / "Big-Q8_0-00002-of-00002.gguf").write_bytes(data)
    own = owned.models_folder()
    own.mkdir(parents=True)
    (own / "Mine-Q4_0.gguf").write_bytes(data)
    found = {model.origin: model for model in owned.owned_models() if model.origin != "bundled"}
    assert {origin: model.name for origin, model in found.items()} == {
        "huggingface": "org/Tiny-GGUF:Q4_K_M",
        "ollama": "tiny:latest",
        "lm studio": "org/repo/Big-Q8_0-00001-of-00002.gguf",
        "llmos": "Mine-Q4_0",
    }
    assert read_header(found["ollama"].path).parameters > 0
    assert owned.find_owned("tiny:latest") == found["ollama"]
    assert owned.find_owned("org/tiny-gguf") == found["huggingface"]
    assert owned.find_owned("nothing") is None
    assert [model.origin for model in found.values() if model.removable] == ["llmos", "huggingface"]


def test_a_remote_header_is_read_without_fetching_the_file(home: Path, tiny: Path) -> None:
    body = tiny.read_bytes() + bytes(20_000_000)
    with HubStub({"org/T-GGUF": {"T-Q4_K_M.gguf": body}}) as stub:
        os.environ["HF_ENDPOINT"] = stub.url
        model = hub.look_up("org/T-GGUF")
        with httpx.Client() as client:
            header = remote_header.remote_header(model, client=client)
        assert header.parameters == read_header(tiny).parameters
        asked = [wanted for path, wanted in stub.requests if "resolve" in path]
        assert len(asked) == 1 and asked[0].startswith("bytes=0-")
        stub.ranges = False
        with httpx.Client() as client, pytest.raises(UserError, match="cannot be reached"):
            remote_header.remote_header(model, client=client)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a/Qwen3.5-2B-Q4_K_M.gguf", "Q4_K_M"),
        ("X-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("x-bf16-00001-of-00003.gguf", "BF16"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("plain.gguf", ""),
    ],
)
def test_quantisation_is_read_from_the_name(name: str, kind: str) -> None:
    assert hub.quantisation_of(name) == kind
