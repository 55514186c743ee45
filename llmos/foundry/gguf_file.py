"""Writes a model as a GGUF file that llama.cpp loads, and a LoRA as its adapter file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.formats import CHAT_TEMPLATE, END_OF_TEXT, SPECIAL_TOKENS, TURN_END
from llmos.foundry.config import ModelConfig
from llmos.foundry.tokenizer import GGUF_PRE, Tokenizer

if TYPE_CHECKING:
    import numpy as np

#: Quantisations on offer; matrices only, gains stay f32.
QUANTISATIONS = ("F32", "Q8_0", "Q4_0")

_PARTS = {
    "attn_norm": "attn_norm",
    "attn.q": "attn_q",
    "attn.k": "attn_k",
    "attn.v": "attn_v",
    "attn.o": "attn_output",
    "ffn_norm": "ffn_norm",
    "ffn.gate": "ffn_gate",
    "ffn.up": "ffn_up",
    "ffn.down": "ffn_down",
}


def gguf_name(name: str) -> str:
    """llama.cpp's name of a weight of ``llmos.foundry.model.Llama``.

    Raises:
        KeyError: the model has no such weight.
    """
    if name == "embed.weight":
        return "token_embd.weight"
    if name == "norm.weight":
        return "output_norm.weight"
    _, layer, *part = name.removesuffix(".weight").split(".")
    return f"blk.{layer}.{_PARTS['.'.join(part)]}.weight"


def write_gguf(
    path: Path,
    config: ModelConfig,
    weights: Mapping[str, np.ndarray[Any, Any]],
    tokenizer: Tokenizer,
    *,
    name: str,
    quantisation: str = "Q8_0",
    chat: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model file.

    Args:
        path: where to; replaced in one step when complete.
        config: the model's shape.
        weights: float32 arrays by the PyTorch model's names.
        tokenizer: its tokenizer; vocabulary and merges go into the file.
        name: ``general.name``.
        quantisation: one of ``QUANTISATIONS``.
        chat: store the chat template and end turns at ``<|im_end|>``; else end at the end of text.
        metadata: further ``general.*`` strings.

    Raises:
        ValueError: the quantisation is unknown.
    """
    import gguf
    import numpy as np

    if quantisation not in QUANTISATIONS:
        raise ValueError(f"no quantisation '{quantisation}': choose one of {', '.join(QUANTISATIONS)}")
    draft = path.with_suffix(".part")
    writer = gguf.GGUFWriter(draft, "llama")
    writer.add_name(name)
    for key, value in (metadata or {}).items():
        writer.add_string(f"general.{key}", value)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.ffn)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_dimension_count(config.head_size)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_vocab_size(config.vocab_size)
    file_types = gguf.LlamaFileType
    writer.add_file_type(
        {"F32": file_types.ALL_F32, "Q8_0": file_types.MOSTLY_Q8_0, "Q4_0": file_types.MOSTLY_Q4_0}[
            quantisation
        ]
    )
    _add_vocabulary(writer, tokenizer, chat)
    for weight_name, weight in weights.items():
        data = np.ascontiguousarray(weight, dtype=np.float32)
        if data.ndim == 2 and quantisation != "F32":
            kind = gguf.GGMLQuantizationType[quantisation]
            writer.add_tensor(gguf_name(weight_name), gguf.quants.quantize(data, kind), raw_dtype=kind)
        else:
            writer.add_tensor(gguf_name(weight_name), data)
    _finish(writer, draft, path)


def _add_vocabulary(writer: Any, tokenizer: Tokenizer, chat: bool) -> None:
    import gguf

    special = set(SPECIAL_TOKENS)
    tokens = tokenizer.tokens()
    kinds = [gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(GGUF_PRE)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{left} {right}" for left, right in tokenizer.merges()])
    end_of_text = tokenizer.special[END_OF_TEXT]
    writer.add_bos_token_id(end_of_text)
    writer.add_add_bos_token(False)
    writer.add_pad_token_id(end_of_text)
    writer.add_eos_token_id(tokenizer.special[TURN_END] if chat else end_of_text)
    if chat:
        writer.add_eot_token_id(tokenizer.special[TURN_END])
        writer.add_chat_template(CHAT_TEMPLATE)


def write_lora(
    path: Path,
    pairs: Mapping[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]],
    *,
    alpha: float,
    name: str,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write an adapter file for ``llama_adapter_lora_init``.

    Args:
        path: where to.
        pairs: by the PyTorch weight's name, ``A`` (rank, inputs) and ``B`` (outputs, rank).
        alpha: scale; the adapter adds ``alpha / rank * B @ A``.
        name: ``general.name``.
        metadata: further ``general.*`` strings.
    """
    import gguf
    import numpy as np

    draft = path.with_suffix(".part")
    writer = gguf.GGUFWriter(draft, "llama")
    writer.add_name(name)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for key, value in (metadata or {}).items():
        writer.add_string(f"general.{key}", value)
    for weight_name, (a, b) in pairs.items():
        target = gguf_name(weight_name)
        writer.add_tensor(f"{target}.lora_a", np.ascontiguousarray(a, dtype=np.float32))
        writer.add_tensor(f"{target}.lora_b", np.ascontiguousarray(b, dtype=np.float32))
    _finish(writer, draft, path)


def _finish(writer: Any, draft: Path, path: Path) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    draft.replace(path)
