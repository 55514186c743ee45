"""A fault of the face itself: one line that names the cause, the log has the rest, the chat goes on."""

from __future__ import annotations

import logging

import pytest
from textual.worker import WorkerFailed

from llmos.tui.app import LlmosApp
from tests.helpers.face import face, screen_text, talk, wait_until
from tests.helpers.fake_session import FakeBackend


@pytest.mark.parametrize("in_a_worker", [False, True])
async def test_the_cause_is_named_and_the_chat_goes_on(
    in_a_worker: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # A command that ran before in this process may have kept the program's log from the root logger.
    monkeypatch.setattr(logging.getLogger("llmos"), "propagate", True)
    async with face(FakeBackend()) as (pilot, screen):
        cause = ModuleNotFoundError("No module named 'x\x1b[31my'\nsecond line")
        with monkeypatch.context() as patched:
            patched.setattr(LlmosApp, "is_headless", False)
            patched.delenv("LLMOS_DEBUG", raising=False)
            pilot.app._handle_exception(WorkerFailed(cause) if in_a_worker else cause)
        await wait_until(
            pilot, lambda: "Something went wrong (ModuleNotFoundError: No module" in screen_text(pilot)
        )
        shown = screen_text(pilot)
        assert "second line" not in shown and "\x1b" not in shown
        assert caplog.records[-1].exc_info is not None and caplog.records[-1].exc_info[1] is cause
        await talk(pilot, screen, "Hello")
