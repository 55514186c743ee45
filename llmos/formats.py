"""What the model and the program agree on: special tokens, chat template, tools, page format.

The program, the foundry's data generator and the tests all read this one module, so that the
model is trained on exactly what the program later sends it. The turns are ChatML, the tool
calls are Hermes/Qwen style: the most common family among open models.
"""

from __future__ import annotations

from collections.abc import Sequence

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
TOOL_CALL_OPEN = "<tool_call>"
TOOL_CALL_CLOSE = "</tool_call>"
TOOL_RESPONSE_OPEN = "<tool_response>"
TOOL_RESPONSE_CLOSE = "</tool_response>"

#: In id order: the tokenizer gives them the ids 0, 1, 2 and so on.
SPECIAL_TOKENS: tuple[str, ...] = (
    END_OF_TEXT,
    TURN_START,
    TURN_END,
    THINK_OPEN,
    THINK_CLOSE,
    TOOL_CALL_OPEN,
    TOOL_CALL_CLOSE,
    TOOL_RESPONSE_OPEN,
    TOOL_RESPONSE_CLOSE,
)

DEFAULT_SYSTEM_PROMPT = "You are LLMOS, a small language model that runs in a terminal."

#: The answer when the pages in the prompt do not hold what was asked.
NOT_IN_PAGES = "The pages do not say."

#: Name and parameters of the tools that the bundled plugins bring. All parameters are strings.
BUNDLED_TOOLS: dict[str, tuple[str, ...]] = {
    "python": ("code",),
    "search_files": ("query",),
    "web_search": ("query",),
    "web_open": ("url",),
    "remember": ("text",),
    "recall": ("query",),
}

#: Jinja template of the bundled model, stored in its GGUF as ``tokenizer.chat_template``.
#: Tools are one line of signatures: a small model's window has no room for JSON schemas.
#: Line breaks behind a block tag are written out, since renderers with ``trim_blocks`` drop them.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == 'system' -%}
<|im_start|>system
{{ message.content }}
{%- if tools and loop.first %}{{ '\\n' }}Tools:{% for tool in tools %} {{ tool.function.name }}({{ tool.function.parameters.properties | join(', ') }}){% endfor %}
{%- endif -%}
<|im_end|>
{% elif message.role == 'tool' -%}
<|im_start|>tool
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.role == 'assistant' -%}
<|im_start|>assistant
{% if message.reasoning_content -%}
<think>
{{ message.reasoning_content }}
</think>
{% endif -%}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}
{%- if message.content or not loop.first %}{{ '\\n' }}{% endif -%}
<tool_call>{"name": {{ call.function.name | tojson }}, "arguments": {{ call.function.arguments | tojson }}}</tool_call>
{%- endfor -%}
<|im_end|>
{% else -%}
<|im_start|>user
{{ message.content }}<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""


def format_page(number: int, origin: str, heading: str, text: str) -> str:
    """One page as it stands in a prompt: ``[n] origin > heading`` on a line, then the text.

    Args:
        number: the mark by which the answer cites the page, from 1.
        origin: file name, address or tool that the text came from.
        heading: headings above the text, joined by `` > ``; may be empty.
        text: the passage itself.
    """
    title = f"{origin} > {heading}" if heading else origin
    return f"[{number}] {title}\n{text.strip()}"


def format_user_turn(question: str, pages: Sequence[str] = ()) -> str:
    """The user's turn: formatted pages first, a blank line between, then the question."""
    return "\n\n".join([*pages, question])
