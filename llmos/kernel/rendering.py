"""Rendering under a deadline: foreign templates run in a process of their own that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from typing import Any

from llmos.formats import CHAT_TEMPLATE
from llmos.kernel.frames import BrokenPipe, pack, read_frame_async
from llmos.kernel.library import child_environment
from llmos.kernel.protocol import KernelError
from llmos.kernel.templates import PLAIN_TEMPLATE, render_patiently

#: Templates of this program itself; they need no other process.
OWN_TEMPLATES = frozenset({CHAT_TEMPLATE, PLAIN_TEMPLATE})


#: Seconds that the process may take to start, on a machine that is very busy.
_START = 60.0


class Renderer:
    """Renders templates; one request at a time.

    Args:
        deadline: seconds after which a rendering is killed.
    """

    def __init__(self, deadline: float = 5.0) -> None:
        self._deadline = deadline
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def render(self, template: str, values: Mapping[str, Any]) -> str:
        """Text of the chat.

        Raises:
            KernelError: the template is broken, refuses the chat, or runs past the deadline.
        """
        if template in OWN_TEMPLATES:
            return render_patiently(template, values)
        async with self._lock:
            process = await self._started()  # its start is not the template's time
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(pack({"template": template, "values": dict(values)}))
                answer, _ = await asyncio.wait_for(read_frame_async(process.stdout), self._deadline)
            except TimeoutError as error:
                await self.close()
                raise KernelError(
                    f"The model's chat template was still running after {self._deadline:g} s and was stopped; "
                    "use a model with a sound template."
                ) from error
            except (BrokenPipe, ConnectionError) as error:
                await self.close()
                raise KernelError("The model's chat template took too much memory and was stopped.") from error
            except BaseException:
                await self.close()  # an answer may still be under way: the next reader must not get it
                raise
        if "error" in answer:
            raise KernelError(str(answer["error"]))
        return str(answer["text"])

    async def warm(self, template: str) -> None:
        """Start the process ahead of time if this template will need it; says nothing if it cannot."""
        if template not in OWN_TEMPLATES:
            async with self._lock:
                with contextlib.suppress(KernelError):
                    await self._started()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "llmos.kernel.render_process",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=child_environment(),
                start_new_session=True,
            )
            self._process = process
            assert process.stdout is not None
            await asyncio.wait_for(read_frame_async(process.stdout), _START)
        except (OSError, BrokenPipe, TimeoutError) as error:
            await self.close()
            raise KernelError("The process that renders chat templates cannot be started.") from error
        except BaseException:
            await self.close()
            raise
        return process

    async def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            with contextlib.suppress(asyncio.CancelledError):
                await process.wait()
