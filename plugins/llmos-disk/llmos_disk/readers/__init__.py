"""Readers: bytes of a file in, blocks of text out. ``read`` picks one by name and content."""

from llmos_disk.readers.dispatch import BINARY, ISOLATED, READERS, kind_of, read

__all__ = ["BINARY", "ISOLATED", "READERS", "kind_of", "read"]
