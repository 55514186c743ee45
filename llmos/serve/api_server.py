"""The server: routes, errors in OpenAI's form, streams that free their slot when a client goes."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from llmos.kernel.protocol import Kernel, KernelDied
from llmos.serve.access import Access
from llmos.serve.answers import Answering
from llmos.serve.requests import ApiError, prepare_chat, prepare_text
from llmos.serve.schema import ChatRequest, EmbeddingRequest, TextRequest
from llmos.serve.slots import Slots
from llmos.types import UserError

_log = logging.getLogger(__name__)
_MOST_BODY = 32 << 20
_Body = TypeVar("_Body", bound=BaseModel)

Embed = Callable[[list[str]], Awaitable[list[list[float]]]]


class AccessMiddleware:
    """Refuses what ``Access`` refuses, before anything is read."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._access.refusal(
            headers.get("host", ""), headers.get("origin", ""), headers.get("authorization", "")
        )
        if refused is None:
            await self._app(scope, receive, send)
            return
        status, words = refused
        kind = "authentication_error" if status == 401 else "permission_error"
        await JSONResponse(ApiError(status, words, kind).body(), status)(scope, receive, send)


class ApiServer:
    """Handlers of the routes.

    Args:
        kernel: loaded.
        slots: how many requests decode together.
        embed: turns texts into vectors; None where there is no embedding model.
    """

    def __init__(self, kernel: Kernel, slots: int, embed: Embed | None = None) -> None:
        self.kernel = kernel
        self.slots = Slots(slots)
        self._embed = embed

    def app(self, access: Access) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/v1/models/{name:path}", self.models),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/completions", self.text, methods=["POST"]),
                Route("/v1/embeddings", self.embeddings, methods=["POST"]),
                Route("/health", self.health),
            ],
            middleware=[Middleware(AccessMiddleware, access=access)],
            exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _fault},
        )

    async def health(self, request: Request) -> Response:
        """Alive, and how busy."""
        return JSONResponse({"status": "ok", "free_slots": self.slots.free})

    async def models(self, request: Request) -> Response:
        """The loaded model."""
        model = self.kernel.model
        name = model.name if model else ""
        wanted = request.path_params.get("name")
        entry = {"id": name, "object": "model", "created": 0, "owned_by": "llmos",
                 "context_window": model.context if model else 0}  # fmt: skip
        if wanted is None:
            return JSONResponse({"object": "list", "data": [entry]})
        if wanted != name:
            raise ApiError(404, f"The model {wanted!r} is not loaded; this server has {name!r}.", param="model")
        return JSONResponse(entry)

    async def chat(self, request: Request) -> Response:
        """Chat completions."""
        body = await _read(request, ChatRequest)
        prepared = await _asking(prepare_chat(self.kernel, body))
        answering = Answering(self.kernel, self.slots, prepared, chat=True)
        return await self._answer(request, answering, body.stream, _wants_usage(body))

    async def text(self, request: Request) -> Response:
        """Text completions."""
        body = await _read(request, TextRequest)
        prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
        if len(prompts) != 1:
            raise ApiError(400, "Send one prompt a request.", param="prompt")
        prepared = await _asking(prepare_text(self.kernel, body, prompts[0]))
        answering = Answering(self.kernel, self.slots, prepared, chat=False)
        return await self._answer(request, answering, body.stream, _wants_usage(body))

    async def _answer(self, request: Request, answering: Answering, stream: bool, with_usage: bool) -> Response:
        if stream:
            return StreamingResponse(
                _sse(answering.stream(with_usage=with_usage)), media_type="text/event-stream"
            )
        work = asyncio.ensure_future(_asking(answering.whole()))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ApiError(499, "The client went away.")
            return JSONResponse(work.result())
        finally:
            # A client that went away must free its slot now, not at the end of its answer.
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def embeddings(self, request: Request) -> Response:
        """Embeddings."""
        body = await _read(request, EmbeddingRequest)
        texts = [body.input] if isinstance(body.input, str) else body.input
        if not texts or len(texts) > 2048:
            raise ApiError(400, "Send between 1 and 2,048 texts.", param="input")
        if self._embed is None:
            raise ApiError(
                400, "No embedding model is loaded; start the server with --embedder.", param="model"
            )
        vectors = await _asking(self._embed(texts))
        data = [
            {"object": "embedding", "index": place, "embedding": _encoded(vector, body.encoding_format)}
            for place, vector in enumerate(vectors)
        ]
        tokens = sum(len(text) // 4 + 1 for text in texts)
        used = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": data, "model": body.model or "embedder", "usage": used})


def _encoded(vector: list[float], form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return vector


def _wants_usage(body: ChatRequest | TextRequest) -> bool:
    return bool(body.stream_options and body.stream_options.include_usage)


async def _disconnected(request: Request) -> None:
    """Wait for it; the body was read, so that nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _read(request: Request, kind: type[_Body]) -> _Body:
    """The body, checked.

    Raises:
        ApiError: too large, no JSON, or a field that does not fit.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _MOST_BODY:
            raise ApiError(413, f"The request is larger than {_MOST_BODY >> 20} MiB.")
        parts.append(part)
    try:
        value = json.loads(b"".join(parts))
    except (ValueError, RecursionError):
        raise ApiError(400, "The body is no JSON.") from None
    if not isinstance(value, dict):
        raise ApiError(400, "The body must be a JSON object.")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{where}: {first['msg']}", param=where) from None


_T = TypeVar("_T")


async def _asking(work: Awaitable[_T]) -> _T:
    """Faults of the kernel as API errors."""
    try:
        return await work
    except KernelDied as error:
        raise ApiError(503, str(error), "server_error") from error
    except UserError as error:
        raise ApiError(400, str(error)) from error


async def _sse(chunks: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """Server-sent events; an error in mid-stream is an event too."""
    try:
        async with aclosing(chunks):  # type: ignore[type-var]
            async for chunk in chunks:
                yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()
    except UserError as error:
        kind = "server_error" if isinstance(error, KernelDied) else "invalid_request_error"
        yield f"data: {json.dumps(ApiError(400, str(error), kind).body(), ensure_ascii=False)}\n\n".encode()
    yield b"data: [DONE]\n\n"


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), error.status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: f"There is no {request.url.path}.", 405: f"{request.method} is not allowed here."}
    return JSONResponse(
        ApiError(error.status_code, words.get(error.status_code, error.detail)).body(), error.status_code
    )


async def _fault(request: Request, error: Exception) -> Response:
    _log.error("a request failed", exc_info=error)
    return JSONResponse(ApiError(500, "The server has a fault; its log says more.", "server_error").body(), 500)
