"""LLMOS Disk: chat with your own files, with citations. SQLite is the truth, Chroma finds vectors."""

__version__ = "0.1.0"
