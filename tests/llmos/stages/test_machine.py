"""The machine's cells against the kernel's own figures, and what they say of plugins and jobs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmos.kernel.protocol import GenerateRequest
from llmos.stages.context import extras_of
from llmos.stages.frame import StageContext
from llmos.stages.machine import MachineStage, cells, gib

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_cells_are_the_kernels_own_figures(context: StageContext) -> None:
    stats = await context.kernel.stats()
    found = {one.part: one.now for one in await cells(context)}
    assert f"{stats.threads} threads" in found["CPU (the forward pass)"]
    assert found["RAM (context window)"].endswith(f"of {stats.context:,} tokens")
    assert context.model_name in found["Kernel (the model)"]
    assert "not loaded here" in found["Experts and tools"]


async def test_cells_move_with_the_machine(context: StageContext) -> None:
    kernel = context.kernel
    before = {one.part: one.now for one in await cells(context)}
    tokens = await kernel.tokenize("one two three", bos=True)
    async for _ in kernel.generate(GenerateRequest(tokens, sequence="kept", max_tokens=4)):
        pass
    after = {one.part: one.now for one in await cells(context)}
    await kernel.drop("kept")
    assert "kept" in after["Processes (KV sequences)"]
    assert before["RAM (context window)"] != after["RAM (context window)"]


async def test_plugins_and_jobs_come_from_the_session(context: StageContext) -> None:
    panel = SimpleNamespace(id="map", title="Memory", place="tab")
    slots = [
        SimpleNamespace(name="ram", state="loaded", specs=[SimpleNamespace(name="recall")]),
        SimpleNamespace(name="other", state="disabled", specs=[]),
    ]
    manager = SimpleNamespace(panels=lambda: [("ram", panel)], plugins=lambda: slots)
    jobs = SimpleNamespace(list=lambda: [SimpleNamespace(name="index")])
    context.extras = extras_of(SimpleNamespace(plugins=manager, jobs=jobs))
    found = {one.part: one for one in await cells(context)}
    assert found["RAM (the window, paged)"].tab == "ram-map"
    assert found["RAM (the window, paged)"].now == "loaded; tools: recall"
    assert found["Plugin other"].tab == "plugins"
    assert found["Background jobs"].now == "index"
    data = (await MachineStage().view(context, {}))[0].element.data
    assert len(set(data["keys"])) == len(data["rows"])


async def test_sizes() -> None:
    assert gib(2.5e9) == "2.50 GB"
    assert gib(4e6) == "4.0 MB"
