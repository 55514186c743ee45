"""The stages of building a model, as facts and experiments without widgets.

Every figure carries a mark: **live** (computed now by the loaded model), **recorded** (from the
build record of the bundled model) or **cited** (source and date). Nothing is illustrative.
"""
