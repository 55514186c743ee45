"""Families of models by the way they write tool calls, found by their chat template."""

from __future__ import annotations

from llmos.kernel.families.base import Family
from llmos.kernel.families.deepseek import DeepSeek, DeepSeekR1
from llmos.kernel.families.gemma import Gemma
from llmos.kernel.families.gpt_oss import GptOss
from llmos.kernel.families.hermes import Hermes
from llmos.kernel.families.lfm2 import Lfm2
from llmos.kernel.families.llama3 import Llama3
from llmos.kernel.families.mistral import Mistral, MistralJson
from llmos.kernel.families.xml import MiniCpm, QwenXml

_HERMES = Hermes()

#: Tried in this order.
FAMILIES: tuple[Family, ...] = (
    GptOss(),
    Gemma(),
    DeepSeek(),
    DeepSeekR1(),
    Mistral(),
    MistralJson(),
    Lfm2(),
    QwenXml(),
    MiniCpm(),
    _HERMES,
    Llama3(),
)


def family_of(template: str) -> Family:
    """The family that a chat template belongs to; Hermes when none is recognised."""
    return next((family for family in FAMILIES if family.detect(template)), _HERMES)


def family_named(name: str) -> Family:
    """A family by its name; Hermes for an unknown one."""
    return next((family for family in FAMILIES if family.name == name), _HERMES)
