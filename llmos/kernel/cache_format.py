"""Number formats of the KV cache, and which of them a model gets when nobody names one.

Keys in q8_0 and values in f16, attention without llama.cpp's flash kernel: on a CPU that kernel goes
through the prefix that several sequences share once for each of them, while plain matrix products read
it once for all. Eight answers after a shared prefix of 1,000 tokens take 0.65 of the time at 135M and
0.82 at 1B, one answer 0.87 and 1.05 (measured by turns with one library on one machine).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from llmos.kernel.gguf_header import Header

#: Bytes per value, and ``GGML_TYPE_*``.
_BYTES = {"f16": 2.0, "q8_0": 1.0625}
_NUMBERS = {"f16": 1, "q8_0": 8}

#: Values of a q8_0 block; rows of another width cannot be kept in it.
_BLOCK = 32


@dataclass(frozen=True, slots=True)
class CacheFormat:
    """How a context keeps keys and values.

    Attributes:
        key: format of the keys.
        value: format of the values; without flash attention llama.cpp takes no quantised ones.
        flash_attention: whether attention runs in one fused kernel.
    """

    key: str
    value: str
    flash_attention: bool

    @property
    def types(self) -> tuple[int, int]:
        """``GGML_TYPE_*`` of keys and values."""
        return _NUMBERS[self.key], _NUMBERS[self.value]

    def bytes(self, key_width: int, value_width: int) -> float:
        """Of one token.

        Args:
            key_width: values of its keys over all layers.
            value_width: the same of its values.
        """
        return key_width * _BYTES[self.key] + value_width * _BYTES[self.value]


FORMATS: Mapping[str, CacheFormat] = MappingProxyType(
    {
        "f16": CacheFormat("f16", "f16", True),
        "q8_0": CacheFormat("q8_0", "q8_0", True),
        "q8_0/f16": CacheFormat("q8_0", "f16", False),
    }
)


def keys_fit_blocks(header: Header) -> bool:
    """Whether every head's keys are whole q8_0 blocks, as attention reads them."""
    if header.of_architecture("attention.kv_lora_rank", 0):
        return False  # keys and values in one: what is kept is no key of a head
    heads = header.of_architecture("attention.head_count", 0)
    widest = max([int(one) for one in heads] if isinstance(heads, list) else [int(heads)], default=0)
    size = int(header.of_architecture("embedding_length", 0)) // widest if widest else 0
    return int(header.of_architecture("attention.key_length", size)) % _BLOCK == 0
