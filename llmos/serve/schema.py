"""What clients may send, checked by pydantic; names as in OpenAI's API reference.

Fields that this server does not know are ignored, as OpenAI's clients expect of compatible servers.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

_MOST_MESSAGES = 10_000
_MOST_CHOICES = 8


class TextPart(BaseModel):
    """A part of a message's content; only text parts can be read."""

    type: str
    text: str = ""


class FunctionCall(BaseModel):
    """Name and JSON text of arguments."""

    name: str
    arguments: str = "{}"


class ToolCallIn(BaseModel):
    """A call in an earlier answer."""

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(BaseModel):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCallIn] | None = None
    tool_call_id: str = ""
    name: str = ""
    reasoning_content: str | None = None

    def text(self) -> str:
        """The content as text.

        Raises:
            ValueError: a part is an image or something else that cannot be read.
        """
        if isinstance(self.content, str) or self.content is None:
            return self.content or ""
        for part in self.content:
            if part.type not in ("text", "input_text"):
                raise ValueError(f"content of type {part.type!r} is not supported, only text is")
        return "".join(part.text for part in self.content)


class FunctionSpec(BaseModel):
    """A function that the model may call."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class ToolIn(BaseModel):
    """A tool; only functions exist."""

    type: Literal["function"] = "function"
    function: FunctionSpec


class JsonSchema(BaseModel):
    """A schema that the answer must follow."""

    name: str = "answer"
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """Free text, any JSON object, or JSON by a schema."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None


class StreamOptions(BaseModel):
    """Whether the last chunk carries the usage."""

    include_usage: bool = False


class Sampled(BaseModel):
    """Fields that chat and text completions share."""

    model: str = ""
    temperature: float | None = Field(None, ge=0, le=5)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    min_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    repeat_penalty: float = Field(1.0, gt=0, le=10)
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    n: int = Field(1, ge=1, le=_MOST_CHOICES)
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    logit_bias: dict[str, float] | None = None

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, list) and len(value) > 16:
            raise ValueError("at most 16 stop texts")
        return value

    @field_validator("n", "stream", "presence_penalty", "frequency_penalty", mode="before")
    @classmethod
    def _null_is_default(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value is None else value

    def stops(self) -> tuple[str, ...]:
        """The texts that end an answer."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(one for one in self.stop if one)


class ChatRequest(Sampled):
    """``POST /v1/chat/completions``."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=_MOST_MESSAGES)
    tools: list[ToolIn] = Field(default_factory=list, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)

    @field_validator("tools", "logprobs", "top_logprobs", mode="before")
    @classmethod
    def _none_is_default(cls, value: Any, info: Any) -> Any:
        defaults: dict[str, Any] = {"tools": [], "logprobs": False, "top_logprobs": 0}
        return defaults[info.field_name] if value is None else value


class TextRequest(Sampled):
    """``POST /v1/completions``."""

    prompt: str | list[str]
    max_tokens: int | None = Field(16, ge=1)
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=20)


class EmbeddingRequest(BaseModel):
    """``POST /v1/embeddings``."""

    input: str | list[str] = Field(...)
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
