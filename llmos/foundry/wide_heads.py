"""A copy of a model file whose attention heads are filled up with zeros: the same numbers, sooner.

ggml's loops over a head take 64 numbers at a time where the processor has 512-bit registers, and one
at a time where a head is smaller: with heads of 32 a token of a small model then takes twice as long.
Zeros beside a head's numbers change no product. What depends on the head's size is written down
instead: the scale of the scores, and the base of the rotary frequencies (a power of it keeps each pair's
frequency when there are more pairs). llama.cpp reads a scale of its own for ``granite``, which is the
same network otherwise.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

#: Numbers of a head that ggml takes at a time.
WIDTH = 64

_PLAIN = re.compile(
    r"(token_embd|output_norm|output|blk\.\d+\.(attn_(norm|q|k|v|output)|ffn_(norm|gate|up|down)))\.weight"
)


def helps_here() -> bool:
    """Whether this processor has the long registers; elsewhere the copy is no faster."""
    try:
        return " avx512f " in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def write_wide(model: Path, target: Path) -> bool:
    """Write the copy.

    Args:
        model: a GGUF file.
        target: where to.

    Returns:
        False, and nothing is written, where there is nothing to gain or the file holds something that this
        does not know how to keep (another architecture, scaled rotary frequencies, further tensors).
    """
    import gguf

    reader = gguf.GGUFReader(model)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    if facts.get("general.architecture") != "llama":
        return False
    heads = int(facts["llama.attention.head_count"])
    kv_heads = int(facts.get("llama.attention.head_count_kv", heads))
    size = int(facts["llama.embedding_length"]) // heads
    known = all(_PLAIN.fullmatch(tensor.name) for tensor in reader.tensors)
    special = any(
        "rope.scaling" in name or name.endswith(("key_length", "value_length", "expert_count"))
        for name in facts
    )
    if not known or special or size >= WIDTH or WIDTH % size:
        return False
    if int(facts.get("llama.rope.dimension_count", size)) != size:
        return False
    if any(size % gguf.GGML_QUANT_SIZES[t.tensor_type][0] for t in reader.tensors if "attn_output" in t.name):
        return False  # a block of quantised numbers would belong to two heads
    writer = gguf.GGUFWriter(target, "granite")
    _add_facts(writer, reader, size)
    for tensor in reader.tensors:
        data = _as_bytes(tensor.data)
        if re.search(r"attn_[qkv]\.", tensor.name):
            data = _wider_rows(data, kv_heads if re.search(r"attn_[kv]\.", tensor.name) else heads)
        elif "attn_output" in tensor.name:
            data = _wider_columns(data, heads, WIDTH // size)
        writer.add_tensor(tensor.name, data.view(tensor.data.dtype), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return True


def _add_facts(writer: Any, reader: Any, size: int) -> None:
    import gguf

    changed = {"rope.dimension_count": WIDTH}
    base = reader.get_field("llama.rope.freq_base")
    number = float(base.contents()) if base else 10_000.0
    for name, field in reader.fields.items():
        kind = field.types[0]
        key = name.removeprefix("llama.")
        if name.startswith("GGUF.") or name == "general.architecture" or key == "rope.freq_base":
            continue
        if kind == gguf.GGUFValueType.ARRAY:
            writer.add_key_value(name, field.contents(), kind, sub_type=field.types[-1])
            continue
        prefix = "granite." if name.startswith("llama.") else ""
        writer.add_key_value(prefix + key if prefix else name, changed.get(key, field.contents()), kind)
    floats, whole = gguf.GGUFValueType.FLOAT32, gguf.GGUFValueType.UINT32
    writer.add_key_value("granite.rope.freq_base", number ** (WIDTH / size), floats)
    writer.add_key_value("granite.attention.scale", size**-0.5, floats)
    writer.add_key_value("granite.logit_scale", 1.0, floats)
    writer.add_key_value("granite.attention.key_length", WIDTH, whole)
    writer.add_key_value("granite.attention.value_length", WIDTH, whole)


def _as_bytes(data: Any) -> Any:
    """A tensor as rows of bytes: zeros are zeros in every number format that llama.cpp has blocks of."""
    import numpy as np

    return np.ascontiguousarray(data).view(np.uint8)


def _wider_rows(data: Any, heads: int) -> Any:
    """Rows of zeros behind each head's rows: [rows, bytes] to [heads x WIDTH, bytes]."""
    import numpy as np

    rows, width = data.shape
    wide = np.zeros((heads, WIDTH, width), np.uint8)
    wide[:, : rows // heads] = data.reshape(heads, -1, width)
    return wide.reshape(-1, width)


def _wider_columns(data: Any, heads: int, times: int) -> Any:
    """Columns of zeros behind each head's columns: [rows, bytes] to ``times`` as many bytes."""
    import numpy as np

    rows, width = data.shape
    each = width // heads
    wide = np.zeros((rows, heads, times * each), np.uint8)
    wide[:, :, :each] = data.reshape(rows, heads, each)
    return wide.reshape(rows, -1)
