"""Writes GGUF files with random weights: true shapes to measure speed on, tiny ones to test with.

Speed does not depend on what the weights say, and not every machine can fetch a model from a
hub. The vocabulary is byte-level with LLMOS's special tokens, so such a file can be chatted with.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llmos.formats import CHAT_TEMPLATE, SPECIAL_TOKENS

Quantisation = Literal["F32", "F16", "Q8_0", "Q4_0"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of a Llama-architecture model.

    Attributes:
        vocabulary: tokens; at least the bytes and special tokens are written.
        tied: whether the output matrix is the embedding matrix.
    """

    name: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    context: int = 2048
    tied: bool = True

    @property
    def parameters(self) -> int:
        """Number of weights, about."""
        head = self.width // self.heads
        attention = 2 * self.width * self.width + 2 * self.width * head * self.kv_heads
        layer = attention + 3 * self.width * self.feed_forward
        return self.layers * layer + self.vocabulary * self.width * (1 if self.tied else 2)


#: For tests: loads in milliseconds.
TINY = Shape("tiny", 64, 2, 2, 1, 128, 512, tied=False)
#: The shapes of well-known models of these sizes.
M15 = Shape("15M", 288, 6, 6, 6, 768, 32_000, 4096)
M135 = Shape("135M", 576, 30, 9, 3, 1536, 49_152, 8192)
B1 = Shape("1B", 2048, 16, 32, 8, 8192, 128_256, 8192)


def byte_letters() -> list[str]:
    """The printable letter that stands for each byte in a byte-level vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    spare = itertools.count(256)
    return [letters[byte] if byte in letters else chr(next(spare)) for byte in range(256)]


def vocabulary(size: int) -> tuple[list[str], list[int], list[str]]:
    """(tokens, token types, merges) of a byte-level vocabulary of at least the needed size."""
    letters = byte_letters()
    tokens = [*SPECIAL_TOKENS, *letters]
    types = [3] * len(SPECIAL_TOKENS) + [1] * len(letters)  # control, normal
    space = letters[32]
    merges: list[str] = []
    common = ["e", "t", "a", "o", "i", "n", "s", "r", "h", "l", "d", "u"]
    pairs = [(space, one) for one in common] + list(itertools.product(common, common))
    for first, second in pairs:
        if len(tokens) >= size:
            break
        tokens.append(first + second)
        types.append(1)
        merges.append(f"{first} {second}")
    known = set(tokens)
    for first, second, third in itertools.product(letters[33:256], letters[33:256], letters[33:256]):
        if len(tokens) >= size:
            break
        token = first + second + third
        if token not in known:
            tokens.append(token)
            types.append(1)
    return tokens, types, merges or [f"{space} {common[0]}"]


def write_random_gguf(
    path: Path,
    shape: Shape = TINY,
    *,
    quantisation: Quantisation = "F32",
    seed: int = 0,
    template: str = CHAT_TEMPLATE,
    poison: bool = False,
) -> Path:
    """Write a model with random weights.

    Args:
        path: file to write; its folder must exist.
        shape: dimensions.
        quantisation: number format of the matrices.
        seed: of the weights.
        template: chat template; empty writes none.
        poison: put NaN into one matrix (a damaged file that still loads).

    Returns:
        The path.
    """
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter

    random = np.random.default_rng(seed)
    tokens, types, merges = vocabulary(shape.vocabulary)
    head = shape.width // shape.heads
    writer = GGUFWriter(str(path), "llama")
    writer.add_name(f"random-{shape.name}")
    writer.add_vocab_size(len(tokens))
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    if template:
        writer.add_chat_template(template)

    def matrix(name: str, rows: int, columns: int, gain: float = 1.0) -> None:
        deviation = gain / columns**0.5
        if quantisation in ("F32", "F16"):
            data: Any = random.standard_normal((rows, columns), np.float32) * np.float32(deviation)
            if poison and name.endswith("ffn_down.weight"):
                data[0, 0] = np.nan
            writer.add_tensor(name, data.astype(np.float16) if quantisation == "F16" else data)
            return
        blocks = _random_blocks(random, rows * columns // 32, deviation, quantisation)
        kind = GGMLQuantizationType[quantisation]
        writer.add_tensor(name, blocks.reshape(rows, -1), raw_dtype=kind)

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(shape.width, np.float32))

    matrix("token_embd.weight", len(tokens), shape.width, 3.0)
    for layer in range(shape.layers):
        start = f"blk.{layer}"
        ones(f"{start}.attn_norm.weight")
        matrix(f"{start}.attn_q.weight", shape.width, shape.width)
        matrix(f"{start}.attn_k.weight", head * shape.kv_heads, shape.width)
        matrix(f"{start}.attn_v.weight", head * shape.kv_heads, shape.width)
        matrix(f"{start}.attn_output.weight", shape.width, shape.width)
        ones(f"{start}.ffn_norm.weight")
        matrix(f"{start}.ffn_gate.weight", shape.feed_forward, shape.width)
        matrix(f"{start}.ffn_up.weight", shape.feed_forward, shape.width)
        matrix(f"{start}.ffn_down.weight", shape.width, shape.feed_forward)
    ones("output_norm.weight")
    if not shape.tied:
        matrix("output.weight", len(tokens), shape.width, 3.0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_random_lora(
    path: Path, shape: Shape = TINY, *, rank: int = 4, seed: int = 0, gain: float = 1.0
) -> Path:
    """Write a LoRA adapter with random weights over the output projections of a random model's layers.

    Args:
        path: file to write.
        shape: dimensions of the model that it is for.
        rank: of the two factors.
        seed: of the weights.
        gain: standard deviation of the change, against the model's own.

    Returns:
        The path.
    """
    import numpy as np
    from gguf import GGUFWriter

    random = np.random.default_rng(seed)
    writer = GGUFWriter(str(path), "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    for layer in range(shape.layers):
        name = f"blk.{layer}.ffn_down.weight"
        down = random.standard_normal((rank, shape.feed_forward), np.float32) / shape.feed_forward**0.5
        up = random.standard_normal((shape.width, rank), np.float32) * np.float32(gain)
        writer.add_tensor(f"{name}.lora_a", down)
        writer.add_tensor(f"{name}.lora_b", up)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_random_bert(path: Path, *, width: int = 64, layers: int = 2, seed: int = 0) -> Path:
    """Write an encoder with random weights and word pieces: what embedding models look like.

    Args:
        path: file to write.
        width: of the vectors; heads have 32.
        layers: number of layers.
        seed: of the weights.

    Returns:
        The path.
    """
    import numpy as np
    from gguf import GGUFWriter, PoolingType

    random = np.random.default_rng(seed)
    letters = [chr(one) for one in range(97, 123)] + list("0123456789.,!?")
    # A word begins with the mark; its further pieces have none (llama.cpp's form of "##").
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *("\u2581" + one for one in letters), *letters]
    feed = 2 * width
    writer = GGUFWriter(str(path), "bert")
    writer.add_name("random-bert")
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(feed)
    writer.add_block_count(layers)
    writer.add_head_count(width // 32)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.MEAN)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 2, 3, 3] + [1] * (len(tokens) - 4))
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_sep_token_id(3)

    def weight(name: str, *shape: int) -> None:
        data = random.standard_normal(shape, np.float32) / np.float32(shape[-1] ** 0.5)
        writer.add_tensor(name, data)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(width, np.float32))

    weight("token_embd.weight", len(tokens), width)
    weight("token_types.weight", 2, width)
    weight("position_embd.weight", 512, width)
    norm("token_embd_norm")
    for layer in range(layers):
        start = f"blk.{layer}"
        for name, rows, columns in (
            ("attn_q", width, width),
            ("attn_k", width, width),
            ("attn_v", width, width),
            ("attn_output", width, width),
            ("ffn_up", feed, width),
            ("ffn_down", width, feed),
        ):
            weight(f"{start}.{name}.weight", rows, columns)
            weight(f"{start}.{name}.bias", rows)
        norm(f"{start}.attn_output_norm")
        norm(f"{start}.layer_output_norm")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _random_blocks(random: Any, count: int, deviation: float, quantisation: Quantisation) -> Any:
    """Blocks of 32 weights in llama.cpp's layout: a float16 scale, then the numbers."""
    import numpy as np

    size = 32 if quantisation == "Q8_0" else 16
    sample = min(count, 1 << 16)  # one stretch of noise, repeated: quicker, and as fast to compute with
    blocks = np.empty((sample, 2 + size), np.uint8)
    spread = 73.0 if quantisation == "Q8_0" else 4.6  # standard deviation of the stored numbers
    blocks[:, :2] = np.frombuffer(np.float16(deviation / spread).tobytes(), np.uint8)
    blocks[:, 2:] = random.integers(0, 256, (sample, size), np.uint8)
    repeated = np.resize(blocks, (count, 2 + size)) if count > sample else blocks
    return np.ascontiguousarray(repeated)
