"""``host`` in a plugin's own process: the same methods, answered by the program over the pipe."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmos.plugins import wire
from llmos.plugins.host_api import Generation, HttpResponse, KvState
from llmos.types import Labels, Message, Page, SamplingSettings, UserError


class Pipe:
    """Frames both ways; calls of the program run on threads, calls to it wait for their answer."""

    def __init__(self, connection: socket.socket) -> None:
        """``connection`` is one end of a socket pair."""
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._lock = threading.Lock()
        self._answers: dict[int, tuple[threading.Event, list[dict[str, Any]]]] = {}
        self._number = 0

    def send(self, message: Mapping[str, Any]) -> None:
        """One frame; from any thread."""
        self.write(wire.pack(message))

    def write(self, data: bytes) -> None:
        """A frame that is packed already."""
        with self._lock:
            self._connection.sendall(data)

    def read(self) -> dict[str, Any] | None:
        """The next frame; None when the program is gone."""
        header = self._stream.read(wire.HEADER_SIZE)
        if len(header) < wire.HEADER_SIZE:
            return None
        body = self._stream.read(wire.frame_length(header))
        return wire.unpack(body)

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of the real host and wait.

        Raises:
            UserError: what the host raised.
        """
        event = threading.Event()
        with self._lock:
            self._number += 1
            number = self._number
            self._answers[number] = (event, [])
        self.send({"kind": "host", "id": number, "method": method, "args": list(arguments), "named": named})
        event.wait()
        answer = self._answers.pop(number)[1][0]
        if "error" in answer:
            raise UserError(str(answer["error"]))
        return answer.get("value")

    def answered(self, message: dict[str, Any]) -> None:
        """Hand an answer of the program to the thread that waits for it."""
        waiting = self._answers.get(message["id"])
        if waiting is not None:
            waiting[1].append(message)
            waiting[0].set()


class RemoteJob:
    """A job of this process, listed by the program; implements ``host_api.Job``."""

    def __init__(self, pipe: Pipe, job_id: str) -> None:
        """Made by ``RemoteHost.start``."""
        self.id = job_id
        self._pipe = pipe
        self._stop = threading.Event()

    @property
    def cancelled(self) -> bool:
        """True when the user stopped it."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Called when the program says so."""
        self._stop.set()

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Show how far it is."""
        self._pipe.send(
            {"kind": "job", "job": self.id, "done": float(done), "total": float(total), "text": str(text)}
        )


class RemoteHost:
    """``host`` over the pipe; implements ``host_api.Host``, ``Http``, ``Store`` and ``Jobs``."""

    def __init__(self, pipe: Pipe, plugin: str, data_dir: Path) -> None:
        """``data_dir`` exists."""
        self._pipe = pipe
        self.plugin = plugin
        self.data_dir = data_dir
        self.running: dict[str, RemoteJob] = {}

    # properties of the program

    @property
    def settings(self) -> Mapping[str, Any]:
        """This plugin's settings."""
        value: Mapping[str, Any] = self._pipe.ask("settings")
        return value

    @property
    def offline(self) -> bool:
        """True when the network may not be used."""
        return bool(self._pipe.ask("offline"))

    @property
    def model_name(self) -> str:
        """Name of the loaded model."""
        return str(self._pipe.ask("model_name"))

    @property
    def context_size(self) -> int:
        """Its context window in tokens."""
        return int(self._pipe.ask("context_size"))

    @property
    def model_parameters(self) -> int:
        """Number of its weights."""
        return int(self._pipe.ask("model_parameters"))

    @property
    def http(self) -> RemoteHost:
        """Network client: requests are made by the program, under its rules."""
        return self

    @property
    def store(self) -> RemoteHost:
        """Small durable store."""
        return self

    @property
    def jobs(self) -> RemoteHost:
        """Background jobs."""
        return self

    # Http

    def check(self) -> None:
        """Raise when the network may not be used."""
        self._pipe.ask("http.check")

    def request(self, method: str, url: str, **named: Any) -> HttpResponse:
        """One request."""
        response: HttpResponse = self._pipe.ask("http.request", method, url, **named)
        return response

    # Store

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or ``default``."""
        return self._pipe.ask("store.get", key, default)

    def set(self, key: str, value: Any) -> None:
        """Store a value."""
        self._pipe.ask("store.set", key, value)

    def delete(self, key: str) -> None:
        """Forget a key."""
        self._pipe.ask("store.delete", key)

    def keys(self, prefix: str = "") -> list[str]:
        """Keys that begin with ``prefix``."""
        return list(self._pipe.ask("store.keys", prefix))

    # Jobs

    def start(self, name: str, function: Callable[[Any], None]) -> RemoteJob:
        """Run ``function(job)`` on a thread of this process."""
        job = RemoteJob(self._pipe, str(self._pipe.ask("jobs.adopt", name)))
        self.running[job.id] = job
        threading.Thread(target=self._run_job, args=(job, function), daemon=True).start()
        return job

    def _run_job(self, job: RemoteJob, function: Callable[[Any], None]) -> None:
        error = ""
        try:
            function(job)
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}"
        self.running.pop(job.id, None)
        self._pipe.send({"kind": "job_end", "job": job.id, "error": error, "stopped": job.cancelled})

    def idle(self) -> bool:
        """True when nobody waits for an answer."""
        return bool(self._pipe.ask("jobs.idle"))

    def quiet_seconds(self) -> float:
        """Seconds since somebody typed or an answer was being made."""
        return float(self._pipe.ask("jobs.quiet_seconds"))

    # the model, the user, the chats

    def generate(
        self,
        prompt: str | Sequence[Message],
        *,
        system: str = "",
        max_tokens: int = 256,
        sampling: SamplingSettings | None = None,
        grammar: str = "",
        schema: Mapping[str, Any] | None = None,
        background: bool = True,
        while_quiet: bool = False,
    ) -> Generation:
        """Generate without tools."""
        answer: Generation = self._pipe.ask(
            "generate",
            prompt,
            system=system,
            max_tokens=max_tokens,
            sampling=sampling,
            grammar=grammar,
            schema=schema,
            background=background,
            while_quiet=while_quiet,
        )
        return answer

    def stream(
        self, prompt: str | Sequence[Message], *, system: str = "", max_tokens: int = 256
    ) -> Iterator[str]:
        """As ``generate``; over the pipe the text comes in one piece."""
        yield self.generate(prompt, system=system, max_tokens=max_tokens, background=False).text

    def fork(self, prompt: Sequence[Message], samples: int, *, max_tokens: int = 256) -> list[Generation]:
        """Several answers to one prompt."""
        return list(self._pipe.ask("fork", prompt, samples, max_tokens=max_tokens))

    def count_tokens(self, text: str) -> int:
        """Length in tokens."""
        return int(self._pipe.ask("count_tokens", text))

    def embed(self, texts: Sequence[str], embedder: str = "") -> list[list[float]]:
        """Normalised vectors."""
        return list(self._pipe.ask("embed", list(texts), embedder))

    def embedder_id(self) -> str:
        """Name and hash of the embedder."""
        return str(self._pipe.ask("embedder_id"))

    def register_embedder(self, path: Path) -> None:
        """Refused: a foreign process may not choose what the program loads."""
        raise UserError("A plugin in its own process cannot register an embedder; it must be trusted.")

    def approve(self, exact: str, reason: str, *, effect: str = "write", diff: str = "") -> bool:
        """Ask the user about exact bytes."""
        return bool(self._pipe.ask("approve", exact, reason, effect=effect, diff=diff))

    def notify(self, text: str, level: str = "info") -> None:
        """One line for the user."""
        self._pipe.ask("notify", text, level)

    def tools_changed(self) -> None:
        """``llmos_tools`` is asked again before the next turn."""
        self._pipe.ask("tools_changed")

    def chat_messages(self, chat_id: str) -> list[Message]:
        """Messages of a chat."""
        return list(self._pipe.ask("chat_messages", chat_id))

    def search_chats(self, query: str, limit: int = 20) -> list[Message]:
        """Full-text search over all chats."""
        return list(self._pipe.ask("search_chats", query, limit))

    def window_labels(self, chat_id: str) -> Labels:
        """Joined labels of a chat's window."""
        labels: Labels = self._pipe.ask("window_labels", chat_id)
        return labels

    def window_pages(self, chat_id: str) -> list[Page]:
        """Pages of a chat."""
        return list(self._pipe.ask("window_pages", chat_id))

    def pin_page(self, chat_id: str, page_id: str, pinned: bool) -> None:
        """Pin or unpin a page."""
        self._pipe.ask("pin_page", chat_id, page_id, pinned)

    def evict_page(self, chat_id: str, page_id: str) -> bool:
        """Take a page out of a chat's window."""
        return bool(self._pipe.ask("evict_page", chat_id, page_id))

    def kv_state(self, chat_id: str) -> KvState:
        """Where a chat's KV state is."""
        state: KvState = self._pipe.ask("kv_state", chat_id)
        return state
