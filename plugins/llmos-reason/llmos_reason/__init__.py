"""Reasoning mode for LLMOS: time in, accuracy out."""
