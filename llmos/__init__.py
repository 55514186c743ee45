"""LLMOS: a terminal chat program whose kernel is a local language model."""

__version__ = "0.1.0"
