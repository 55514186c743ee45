"""A tiny recurrent (Mamba) model with random weights: one that can neither shift nor forget a part."""

from __future__ import annotations

from pathlib import Path

from llmos.bench.random_gguf import vocabulary
from llmos.formats import CHAT_TEMPLATE


def write_random_mamba(path: Path, *, width: int = 64, layers: int = 2, seed: int = 0) -> Path:
    """Write the model; its vocabulary is that of the other random models."""
    import numpy as np
    from gguf import GGUFWriter

    random = np.random.default_rng(seed)
    tokens, types, merges = vocabulary(512)
    inner, state, kernel, rank = 2 * width, 16, 4, width // 16
    writer = GGUFWriter(str(path), "mamba")
    writer.add_name("random-mamba")
    writer.add_vocab_size(len(tokens))
    writer.add_block_count(layers)
    writer.add_context_length(2048)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_ssm_conv_kernel(kernel)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)

    def matrix(name: str, rows: int, columns: int, gain: float = 1.0) -> None:
        data = random.standard_normal((rows, columns), np.float32) * np.float32(gain / columns**0.5)
        writer.add_tensor(name, data)

    matrix("token_embd.weight", len(tokens), width, 3.0)
    for layer in range(layers):
        start = f"blk.{layer}"
        writer.add_tensor(f"{start}.attn_norm.weight", np.ones(width, np.float32))
        matrix(f"{start}.ssm_in.weight", 2 * inner, width)
        matrix(f"{start}.ssm_conv1d.weight", inner, kernel)
        writer.add_tensor(f"{start}.ssm_conv1d.bias", np.zeros(inner, np.float32))
        matrix(f"{start}.ssm_x.weight", rank + 2 * state, inner)
        matrix(f"{start}.ssm_dt.weight", inner, rank)
        writer.add_tensor(f"{start}.ssm_dt.bias", np.zeros(inner, np.float32))
        decay = np.tile(np.arange(1, state + 1, dtype=np.float32), (inner, 1))
        writer.add_tensor(f"{start}.ssm_a", -decay)
        writer.add_tensor(f"{start}.ssm_d", np.ones(inner, np.float32))
        matrix(f"{start}.ssm_out.weight", width, inner)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
