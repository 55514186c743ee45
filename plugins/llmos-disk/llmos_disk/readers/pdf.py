"""PDF: the text of each page."""

from __future__ import annotations

import io
import logging
import re

from llmos_disk.blocks import Block, Unreadable, clean_text

_MAX_PAGES = 5_000


def read_pdf(data: bytes) -> list[Block]:
    """One block a page, with its number.

    Raises:
        Unreadable: encrypted, broken, too long, or nothing but images.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    if b"%PDF" not in data[:1024]:
        raise Unreadable("is no PDF, whatever its name says")
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("is encrypted and needs a password")
        count = len(reader.pages)
        if count > _MAX_PAGES:
            raise Unreadable(f"has {count:,} pages, more than {_MAX_PAGES:,}")
        blocks = []
        for number, page in enumerate(reader.pages, start=1):
            text = _unwrap(clean_text(page.extract_text() or ""))
            if text:
                blocks.append(Block(text, page=number))
    except Unreadable:
        raise
    except DependencyError as error:
        raise Unreadable("is encrypted in a way that cannot be opened here") from error
    except (PyPdfError, RecursionError, MemoryError) as error:
        raise Unreadable(f"is a broken PDF ({_short(error)})") from error
    except Exception as error:  # pypdf lets through whatever its parsing code meets in a broken file
        raise Unreadable(f"is a broken PDF ({type(error).__name__})") from error
    if not blocks:
        raise Unreadable("has no text in it (scanned pages need OCR first)")
    return blocks


def _unwrap(text: str) -> str:
    """Join words that were hyphenated at a line's end."""
    return re.sub(r"(\w)[-\u00ad]\n(?=[a-z])", r"\1", text).strip()


def _short(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error))[:80] or type(error).__name__
