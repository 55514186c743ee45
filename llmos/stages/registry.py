"""All stages in their order; a stage's module is imported when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import cast

from llmos.stages.frame import StageBase
from llmos.types import UserError


@dataclass(frozen=True, slots=True)
class StageEntry:
    """Id, title and where the stage's class lies."""

    id: str
    title: str
    target: str


STAGES: tuple[StageEntry, ...] = (
    StageEntry("data", "Data", "llmos.stages.data:DataStage"),
    StageEntry("tokens", "Tokens", "llmos.stages.tokens:TokensStage"),
    StageEntry("training", "Training", "llmos.stages.training:TrainingStage"),
    StageEntry("inference", "Inference", "llmos.stages.inference:InferenceStage"),
    StageEntry("base", "Base model", "llmos.stages.base_model:BaseStage"),
    StageEntry("sft", "SFT", "llmos.stages.sft:SftStage"),
    StageEntry("rlhf", "RLHF", "llmos.stages.rlhf:RlhfStage"),
    StageEntry("quirks", "Quirks", "llmos.stages.quirks:QuirksStage"),
    StageEntry("rag", "RAG", "llmos.stages.rag:RagStage"),
    StageEntry("security", "Security", "llmos.stages.security:SecurityStage"),
    StageEntry("pipeline", "Pipeline", "llmos.stages.pipeline:PipelineStage"),
    StageEntry("machine", "LLM OS", "llmos.stages.machine:MachineStage"),
)


def stage(name: str) -> StageBase:
    """The stage of that id.

    Raises:
        UserError: there is none; the sentence lists them.
    """
    for entry in STAGES:
        if entry.id == name.casefold():
            module, _, attribute = entry.target.partition(":")
            return cast("StageBase", getattr(import_module(module), attribute)())
    known = ", ".join(entry.id for entry in STAGES)
    raise UserError(f"There is no stage {name!r}; there are {known}.")
