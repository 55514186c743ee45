"""What a plugin can see of the program without waiting: the part that both sides of the bridge share."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from llmos.types import Labels, Page


class Program(Protocol):
    """Answered at once, alike by the program's services and by a plugin's ``host``."""

    @property
    def offline(self) -> bool:
        """True when the network may not be used."""
        ...

    @property
    def model_name(self) -> str:
        """Name of the loaded model, or empty."""
        ...

    @property
    def context_size(self) -> int:
        """Context window of the loaded model in tokens, 0 when none."""
        ...

    @property
    def model_parameters(self) -> int:
        """Number of weights of the loaded model, 0 when none is loaded or it is not known."""
        ...

    def embedder_id(self) -> str:
        """Name and hash of the embedder, for keys of stored vectors; empty when none is available."""
        ...

    def notify(self, text: str, level: str = "info") -> None:
        """One line for the user."""
        ...

    def window_labels(self, chat_id: str) -> Labels:
        """Joined labels of what is in the window of a chat."""
        ...

    def window_pages(self, chat_id: str) -> list[Page]:
        """Pages of a chat: those in the window first, then those swapped out (``page.where``)."""
        ...

    def pin_page(self, chat_id: str, page_id: str, pinned: bool) -> None:
        """Pin or unpin a page of a chat; a pinned page is never evicted."""
        ...

    def register_embedder(self, path: Path) -> None:
        """Offer an embedding GGUF as the default one; the user's own setting wins."""
        ...
