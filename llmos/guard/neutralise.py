"""Template tokens inside data, made harmless as text; see ``llmos.kernel.neutralise``."""

from __future__ import annotations

from llmos.kernel.neutralise import has_template_tokens, neutralise

__all__ = ["has_template_tokens", "neutralise"]
