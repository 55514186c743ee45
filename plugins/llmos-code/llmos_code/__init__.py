"""Runs the model's and the user's Python in a sandbox, or not at all."""
