"""Generators of training and evaluation conversations, one ability a file, all our own making.

Every generator takes a ``random.Random`` and a split. ``Split.TRAIN`` and the held-out splits never
share an entity, a phrasing or a number pair, whichever of them the split names.
"""
