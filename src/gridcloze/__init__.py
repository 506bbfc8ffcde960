"""Learn from example grids, fill the hidden cells of new ones, and check the probabilities."""

from typing import Any

__version__ = "0.1.0"

HIDDEN = -1
"""Stands for a hidden cell in integer arrays at the API's edge."""


def load(path: Any) -> Any:
    """The Predictor in a model file; see `gridcloze.checkpoint.load` for what it raises."""
    from .checkpoint import load as load_model  # torch is slow to import: only who loads a model waits for it

    return load_model(path)


__all__ = ["HIDDEN", "__version__", "load"]
