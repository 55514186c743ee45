"""The data funnel: from a folder of raw text to clean passages, every loss counted and named.

Nothing here imports torch, so the panels can run it live.
"""
