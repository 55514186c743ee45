"""The one exception that users see, in a module light enough for the first paint."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend: its text is one clear sentence (what, where, what to do)."""
