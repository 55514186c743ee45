"""A disk with a stand-in embedder (one direction a word), a real Chroma server, and made-up documents."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llmos_disk.decide import stems
from llmos_disk.service import Disk, DiskSettings


class WordEmbedder:
    """Vectors of texts as the sum of one fixed random direction a stem: close when words agree."""

    def __init__(self, name: str = "words:1", width: int = 64) -> None:
        self.name = name
        self.width = width
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.embedded.extend(texts)
        rows = []
        for text in texts:
            total = np.full(self.width, 1e-3)
            for stem in stems(text):
                seed = int.from_bytes(hashlib.sha256((self.name + stem).encode()).digest()[:4], "little")
                total += np.random.default_rng(seed).standard_normal(self.width)
            rows.append(total / np.linalg.norm(total))
        return np.array(rows, dtype=np.float32)


class Embedders:
    """The embedder that is set, and those that were set before."""

    def __init__(self, embedder: WordEmbedder | None) -> None:
        self.set = embedder
        self.all = {embedder.name: embedder} if embedder else {}

    def current(self) -> WordEmbedder | None:
        return self.set

    def named(self, name: str) -> WordEmbedder | None:
        return self.all.get(name)

    def change(self, embedder: WordEmbedder) -> None:
        self.set = embedder
        self.all[embedder.name] = embedder


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder with a few documents."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "garden.md").write_text(
        "# Garden\n\nGeneral words on gardens.\n\n## Tomatoes\n\nTomatoes want water every morning.\n\n"
        "## Beans\n\nBeans climb on poles of two metres.\n"
    )
    (folder / "engine.md").write_text(
        "# Engine\n\n## Oil\n\nChange the oil after 8000 kilometres.\n\n## set_idle_speed\n\n"
        "Call set_idle_speed(700) to set the idle speed.\n"
    )
    (folder / "notes.txt").write_text("The meeting of the chess club is on Thursday.\n")
    return folder


@pytest.fixture
def make_disk(tmp_path: Path, embedder: WordEmbedder) -> Iterator[Callable[..., Disk]]:
    """Opens a disk on the same folder again and again; closes all at the end."""
    opened: list[Disk] = []

    def make(*, embedders: Embedders | None = None, folder: str = "index", **settings: Any) -> Disk:
        notices: list[str] = []
        disk = Disk(
            tmp_path / folder, embedders or Embedders(embedder), DiskSettings(**settings), notices.append
        )
        disk.notices = notices  # type: ignore[attr-defined]
        opened.append(disk)
        return disk

    yield make
    for disk in opened:
        disk.close()


@pytest.fixture
def disk(make_disk: Callable[..., Disk]) -> Disk:
    return make_disk()


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real ``chroma run`` on loopback."""
    port = free_port()
    folder = tmp_path_factory.mktemp("chroma-server")
    program = Path(sys.executable).with_name("chroma")
    process = subprocess.Popen(
        [str(program), "run", "--host", "127.0.0.1", "--port", str(port), "--path", str(folder / "data")],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def make_pdf(pages: Sequence[str]) -> bytes:
    """A PDF with one line of text a page, written by hand."""
    objects: list[bytes] = []
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(b"<< /Type /Catalog /Pages 2 0 R >>")
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, text in enumerate(pages):
        escaped = re.sub(r"([()\\])", r"\\\1", text)
        stream = f"BT /F1 12 Tf 72 700 Td ({escaped}) Tj ET".encode("latin-1")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream")
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n" % number + body + b"\nendobj\n")
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    for offset in offsets:
        out.write(b"%010d 00000 n \n" % offset)
    out.write(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return out.getvalue()


_DOCX_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    'wordprocessingml.document.main+xml"/></Types>'
)
_DOCX_RELS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
    'officeDocument" Target="word/document.xml"/></Relationships>'
)


def make_docx(paragraphs: Sequence[tuple[str, str]], extra: dict[str, bytes] | None = None) -> bytes:
    """A Word document of (style, text) paragraphs."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'
        for style, text in paragraphs
    )
    document = (
        '<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        f"<w:body>{body}</w:body></w:document>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _DOCX_TYPES)
        archive.writestr("_rels/.rels", _DOCX_RELS)
        archive.writestr("word/document.xml", document)
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return out.getvalue()


def make_epub(chapters: Sequence[tuple[str, str]]) -> bytes:
    """A book of (title, text) chapters."""
    items = "".join(
        f'<item id="c{number}" href="c{number}.xhtml" media-type="application/xhtml+xml"/>'
        for number in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{number}"/>' for number in range(len(chapters)))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        )
        archive.writestr(
            "OEBPS/book.opf",
            f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest>'
            f"<spine>{spine}</spine></package>",
        )
        for number, (title, text) in enumerate(chapters):
            archive.writestr(
                f"OEBPS/c{number}.xhtml", f"<html><body><h1>{title}</h1>\n<p>{text}</p></body></html>"
            )
    return out.getvalue()
