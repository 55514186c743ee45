"""Short forms used by the kernel's tests."""

from __future__ import annotations

from llmos.kernel.client import KernelClient
from llmos.kernel.protocol import Chunk, Finished, GenerateEvent, GenerateRequest, Prefilled
from llmos.types import SamplingSettings

GREEDY = SamplingSettings(temperature=0)


class Answer:
    """Everything a generation gave."""

    def __init__(self, events: list[GenerateEvent]) -> None:
        self.events = events
        self.chunks = [event for event in events if isinstance(event, Chunk)]
        self.prefilled = [event for event in events if isinstance(event, Prefilled)]
        self.finished = [event for event in events if isinstance(event, Finished)]

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def tokens(self) -> list[int]:
        return [token for chunk in self.chunks for token in chunk.tokens]

    @property
    def end(self) -> Finished:
        return self.finished[-1]


async def answer(kernel: KernelClient, request: GenerateRequest) -> Answer:
    return Answer([event async for event in kernel.generate(request)])
