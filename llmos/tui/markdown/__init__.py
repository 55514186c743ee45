"""Markdown to lines of styled ``Content``, whole or as it streams in.

``render`` gives a finished text's lines; ``StreamRenderer`` gives the same lines while the text
grows and does little work a chunk, however long the text already is.
"""
