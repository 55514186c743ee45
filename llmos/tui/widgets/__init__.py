"""Widgets; each does one job and knows nothing of the session."""
