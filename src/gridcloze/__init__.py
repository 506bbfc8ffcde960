"""Learn from example grids, fill the hidden cells of new ones, and check the probabilities."""

from typing import TYPE_CHECKING, Any

from .words import HIDDEN, AnyPath, InputError, __version__

if TYPE_CHECKING:
    from .checkpoint import TrainedPredictor
    from .inpainter import Inpainter


def load(path: AnyPath) -> "TrainedPredictor":
    """Read the Predictor in a model file.

    Parameters
    ----------
    path
        What `gridcloze train`, `gridcloze export` or `Inpainter.save` wrote.

    Returns
    -------
    TrainedPredictor
        What `gridcloze.answers`, `gridcloze.filling`, `gridcloze.checking` and `gridcloze.scoring` take.

    Raises
    ------
    InputError
        As `gridcloze.checkpoint.load`.

    Examples
    --------
    >>> load("missing.safetensors")
    Traceback (most recent call last):
    gridcloze.words.InputError: missing.safetensors: ...
    """
    from .checkpoint import load as load_model  # torch is slow to import: only who loads a model waits for it

    return load_model(path)


def __getattr__(name: str) -> Any:
    if name == "Inpainter":
        from .inpainter import Inpainter  # scikit-learn and torch are slow to import

        return Inpainter
    raise AttributeError(f"module 'gridcloze' has no attribute {name!r}")


__all__ = ["HIDDEN", "Inpainter", "InputError", "__version__", "load"]
