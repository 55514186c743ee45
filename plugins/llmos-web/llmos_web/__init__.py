"""Searches the web, opens results, extracts their text and cites it."""
