"""Screens, each with one style sheet beside it."""
