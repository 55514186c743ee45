"""DOCX and EPUB: zip archives, checked for bombs before anything is unpacked."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from urllib.parse import unquote
from xml.etree import ElementTree

from llmos_disk.blocks import Block, Unreadable
from llmos_disk.readers.html import read_html

#: Most bytes that an archive may unpack to, and most times its own size.
MAX_UNPACKED = 200 * 1024 * 1024
MAX_RATIO = 150
_MAX_ENTRIES = 10_000
_SMALL = 10 * 1024 * 1024


def _open(data: bytes) -> zipfile.ZipFile:
    """The archive, once its directory says that it is harmless."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Unreadable("is a broken archive") from error
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    if len(entries) > _MAX_ENTRIES:
        raise Unreadable(f"holds {len(entries):,} parts, more than {_MAX_ENTRIES:,}")
    if total > MAX_UNPACKED or (total > _SMALL and total > MAX_RATIO * max(len(data), 1)):
        raise Unreadable(f"would unpack to {total / 1e6:,.0f} MB (a zip bomb)")
    if any(entry.flag_bits & 1 for entry in entries):
        raise Unreadable("is encrypted")
    return archive


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    """One part; never more than the directory promised."""
    try:
        entry = archive.getinfo(name)
        with archive.open(entry) as stream:
            data = stream.read(entry.file_size + 1)
    except KeyError as error:
        raise Unreadable(f"lacks its part {name}") from error
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise Unreadable("is a broken archive") from error
    except Exception as error:  # zlib.error has no public base class
        raise Unreadable("is a broken archive") from error
    if len(data) > entry.file_size:
        raise Unreadable("holds more than its directory says")
    return data


def _xml(data: bytes) -> ElementTree.Element:
    if b"<!ENTITY" in data or b"<!DOCTYPE" in data[:2048]:
        raise Unreadable("declares XML entities, which are not read")
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise Unreadable("holds broken XML") from error


def read_docx(data: bytes) -> list[Block]:
    """Blocks of a Word document, by its own headings.

    Raises:
        Unreadable: no Word document, broken, or a zip bomb.
    """
    archive = _open(data)
    if "word/document.xml" not in archive.namelist():
        raise Unreadable("is no Word document, whatever its name says")
    _xml(_part(archive, "word/document.xml"))
    import mammoth

    try:
        html = mammoth.convert_to_html(io.BytesIO(data), ignore_empty_paragraphs=True).value
    except Exception as error:  # mammoth raises plain KeyError and the like on broken documents
        raise Unreadable(f"is a broken Word document ({type(error).__name__})") from error
    html = re.sub(r'<img [^>]*src="data:[^"]*"[^>]*>', "", html)
    return read_html(html, lines=False)


def read_epub(data: bytes) -> list[Block]:
    """Blocks of a book in reading order; ``part`` names the chapter's file.

    Raises:
        Unreadable: no EPUB, broken, or a zip bomb.
    """
    archive = _open(data)
    names = set(archive.namelist())
    container = _xml(_part(archive, "META-INF/container.xml"))
    root = next((item.get("full-path") for item in container.iter() if item.tag.endswith("rootfile")), None)
    if not root:
        raise Unreadable("is no EPUB, whatever its name says")
    package = _xml(_part(archive, root))
    items = {
        item.get("id", ""): item.get("href", "")
        for item in package.iter()
        if item.tag.endswith("}item") or item.tag == "item"
    }
    spine = [
        items.get(item.get("idref", ""), "")
        for item in package.iter()
        if item.tag.endswith("}itemref") or item.tag == "itemref"
    ]
    blocks: list[Block] = []
    for href in spine:
        name = posixpath.normpath(posixpath.join(posixpath.dirname(root), unquote(href.split("#")[0])))
        if href and name in names:
            blocks.extend(read_html(_part(archive, name), part=posixpath.basename(name)))
    return blocks
