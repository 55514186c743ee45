"""Which reader takes which file."""

from __future__ import annotations

from collections.abc import Callable

from llmos_disk.blocks import Block, Unreadable
from llmos_disk.readers.encoding import decode, looks_binary

#: Kind of a file by its extension (lower case, with the dot).
EXTENSIONS: dict[str, str] = {
    **dict.fromkeys((".md", ".markdown", ".mdx", ".mkd"), "markdown"),
    **dict.fromkeys((".rst", ".rest"), "rst"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    ".pdf": "pdf",
    ".docx": "docx",
    ".epub": "epub",
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson", ".geojson"), "json"),
    ".ipynb": "notebook",
    **dict.fromkeys((".txt", ".text", ".log", ".org", ".adoc", ".asciidoc", ".tex", ".srt", ".vtt"), "text"),
    **dict.fromkeys((".py", ".pyi", ".pyw"), "python"),
    **dict.fromkeys(
        (
            *(".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".cs", ".java", ".kt", ".kts", ".scala"),
            *(".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".vue", ".svelte", ".go", ".rs", ".swift"),
            *(".rb", ".php", ".pl", ".pm", ".lua", ".r", ".jl", ".hs", ".ml", ".ex", ".exs", ".erl"),
            *(".sh", ".bash", ".zsh", ".fish", ".ps1", ".sql", ".css", ".scss", ".proto", ".zig", ".nim"),
            *(".toml", ".yaml", ".yml", ".ini", ".cfg", ".conf", ".xml", ".gradle", ".cmake", ".mk", ".tf"),
        ),
        "code",
    ),
}

#: Extensions that never hold text; such a file is not even opened.
BINARY: frozenset[str] = frozenset(
    (
        *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".ico", ".tif", ".tiff", ".heic", ".psd"),
        *(".mp3", ".wav", ".ogg", ".flac", ".m4a", ".mp4", ".mkv", ".mov", ".avi", ".webm"),
        *(".zip", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz", ".jar", ".whl", ".iso"),
        *(".exe", ".dll", ".so", ".dylib", ".o", ".a", ".class", ".pyc", ".pyd", ".wasm", ".bin", ".dat"),
        *(".db", ".sqlite", ".sqlite3", ".gguf", ".safetensors", ".pt", ".pth", ".onnx", ".npy", ".npz"),
        *(".parquet", ".feather", ".pkl", ".woff", ".woff2", ".ttf", ".otf", ".eot", ".xls", ".xlsx"),
        *(".ppt", ".pptx", ".doc", ".odt", ".ods", ".key", ".pages", ".dmg", ".apk", ".ipa", ".lock"),
    )
)

#: Kinds whose parsers are large and take hostile input: read in a process of their own.
ISOLATED: frozenset[str] = frozenset({"pdf", "docx", "epub", "html"})


def kind_of(name: str) -> str | None:
    """Kind by file name: a reader's name, ``"binary"``, or None when the content must decide."""
    lowered = name.lower()
    dot = lowered.rfind(".")
    extension = lowered[dot:] if dot > 0 else ""
    if extension in EXTENSIONS:
        return EXTENSIONS[extension]
    if extension in BINARY:
        return "binary"
    return None


def read(data: bytes, kind: str | None, *, max_characters: int = 20_000_000) -> list[Block]:
    """Blocks of a file.

    Args:
        data: the whole file.
        kind: from ``kind_of``; None reads it as text where it looks like text.
        max_characters: most characters of text that are taken from one file.

    Raises:
        Unreadable: with the reason, as the end of a sentence.
    """
    if not data.strip(b"\0 \t\r\n"):
        raise Unreadable("is empty")
    if kind == "binary":
        raise Unreadable("is of a kind that holds no text")
    reader = READERS.get(kind or "text", _text)
    if kind not in ("pdf", "docx", "epub") and looks_binary(data):
        raise Unreadable("is binary, whatever its name says")
    blocks = [block for block in reader(data) if block.text.strip()]
    if not blocks:
        raise Unreadable("holds no text")
    total = sum(len(block.text) for block in blocks)
    if total > max_characters:
        raise Unreadable(f"holds {total:,} characters of text, more than {max_characters:,}")
    return blocks


def _text(data: bytes) -> list[Block]:
    return [Block(decode(data), line=1)]


def _markdown(data: bytes) -> list[Block]:
    from llmos_disk.readers.markup import read_markdown

    return read_markdown(decode(data))


def _rst(data: bytes) -> list[Block]:
    from llmos_disk.readers.markup import read_rst

    return read_rst(decode(data))


def _html(data: bytes) -> list[Block]:
    from llmos_disk.readers.html import read_html

    return read_html(data)


def _pdf(data: bytes) -> list[Block]:
    from llmos_disk.readers.pdf import read_pdf

    return read_pdf(data)


def _docx(data: bytes) -> list[Block]:
    from llmos_disk.readers.archives import read_docx

    return read_docx(data)


def _epub(data: bytes) -> list[Block]:
    from llmos_disk.readers.archives import read_epub

    return read_epub(data)


def _csv(data: bytes) -> list[Block]:
    from llmos_disk.readers.data import read_csv

    return read_csv(decode(data))


def _json(data: bytes) -> list[Block]:
    from llmos_disk.readers.data import read_json

    return read_json(decode(data))


def _notebook(data: bytes) -> list[Block]:
    from llmos_disk.readers.data import read_notebook

    return read_notebook(decode(data))


def _python(data: bytes) -> list[Block]:
    from llmos_disk.readers.code import read_python

    return read_python(decode(data))


def _code(data: bytes) -> list[Block]:
    from llmos_disk.readers.code import read_code

    return read_code(decode(data))


#: Reader of each kind.
READERS: dict[str, Callable[[bytes], list[Block]]] = {
    "text": _text,
    "markdown": _markdown,
    "rst": _rst,
    "html": _html,
    "pdf": _pdf,
    "docx": _docx,
    "epub": _epub,
    "csv": _csv,
    "json": _json,
    "notebook": _notebook,
    "python": _python,
    "code": _code,
}
