"""The protocol that everything which fills a grid follows, and what all of its followers share."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from .shapes import Cells, Hidden, Marginals
from .words import InputError

Size = tuple[int, int]  # height and width, in cells


@runtime_checkable
class Predictor(Protocol):
    """Anything that predicts the distribution of each hidden cell given the visible ones.

    It answers grids of any size that it knows of. With a `window` it was made for grids of that size, and larger ones
    are filled window after window; None if it answers whole grids only.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> predictor = posterior(squares(4, 4, 2, 3))
    >>> isinstance(predictor, Predictor), predictor.n_symbols, predictor.window
    (True, 2, None)
    """

    @property
    def n_symbols(self) -> int:
        """Symbols are 0 … n_symbols-1."""
        ...

    @property
    def window(self) -> Size | None:
        """Height and width of the windows through which larger grids are filled, in cells."""
        ...

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """Predict each hidden cell; two threads may ask at once.

        Parameters
        ----------
        cells
            Symbols; what they hold where `hidden` is True is not looked at.
        hidden
            True where a cell is to be predicted.

        Returns
        -------
        Marginals
            Probabilities that sum to 1 over the last axis; a visible cell has its own symbol with probability 1.
        """
        ...


def exceeds_window(predictor: Predictor, shape: tuple[int, ...]) -> bool:
    """Tell whether grids are larger than the window of a predictor, and so are filled window after window.

    Parameters
    ----------
    predictor
        What fills them.
    shape
        Of an array of grids (…, height, width).

    Returns
    -------
    bool
        False also for a predictor without a window.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> exceeds_window(posterior(squares()), (16, 16))
    False
    """
    window = predictor.window
    return window is not None and (shape[-2] > window[0] or shape[-1] > window[1])


def tokens_of(cells: Cells, hidden: Hidden, n_symbols: int) -> Cells:
    """Give every cell a token: its symbol, or `n_symbols` where it is hidden.

    Parameters
    ----------
    cells, hidden
        As in `Predictor.marginals`.
    n_symbols
        The number of symbols.

    Returns
    -------
    Cells
        Tokens 0 … n_symbols.

    Raises
    ------
    InputError
        For a visible cell that is no symbol.

    Examples
    --------
    >>> tokens_of(np.array([[[1, 0]]]), np.array([[[False, True]]]), 2)
    array([[[1, 2]]])
    """
    tokens = np.where(hidden, n_symbols, cells).astype(np.int64)
    wrong = np.argwhere((tokens < 0) | (tokens > n_symbols) | ((tokens == n_symbols) & ~hidden))
    if len(wrong):
        grid, row, column = wrong[0]
        raise InputError(
            f"cell (row {row}, column {column}) of grid {grid} is {cells[grid, row, column]}: "
            f"a visible cell is a symbol 0…{n_symbols - 1}"
        )
    return tokens


def known_or(probabilities: Marginals, cells: Cells, hidden: Hidden) -> Marginals:
    """Keep the probabilities of hidden cells, and give visible ones certainty of what they show.

    Parameters
    ----------
    probabilities
        Of each symbol at each cell.
    cells, hidden
        As in `Predictor.marginals`.

    Returns
    -------
    Marginals
        What a predictor returns.

    Examples
    --------
    >>> known_or(np.full((1, 1, 2, 2), 0.5), np.array([[[1, 0]]]), np.array([[[False, True]]]))
    array([[[[0. , 1. ],
             [0.5, 0.5]]]])
    """
    n_symbols = probabilities.shape[-1]
    certain = np.eye(n_symbols)[np.where(hidden, 0, cells)]
    return np.where(hidden[..., None], probabilities, certain)


def given_evidence(
    predicted: Float[np.ndarray, "*rows symbol"], evidence: Float[np.ndarray, "*cells symbol"]
) -> Float[np.ndarray, "*rows symbol"]:
    """Multiply the distribution of each cell by the evidence on it.

    Parameters
    ----------
    predicted
        Distributions along the last axis.
    evidence
        Of the same cells, or of those of one grid for all rows.

    Returns
    -------
    array
        Distributions; where the predictor rules out what the evidence allows, all of that is equally likely.

    Examples
    --------
    >>> given_evidence(np.array([[0.2, 0.3, 0.5], [0, 0, 1]]), np.array([1.0, 1.0, 0.0]))
    array([[0.4, 0.6, 0. ],
           [0.5, 0.5, 0. ]])
    """
    weights = predicted * evidence
    weights = np.where(weights.any(axis=-1, keepdims=True), weights, evidence)
    return weights / weights.sum(axis=-1, keepdims=True)


def softmax(logits: Float[np.ndarray, "*grids symbol"]) -> Float[np.ndarray, "*grids symbol"]:
    """Turn logits into probabilities over the last axis.

    Parameters
    ----------
    logits
        Any numbers.

    Returns
    -------
    array
        Of the same shape; its last axis sums to 1.

    Examples
    --------
    >>> softmax(np.log([1.0, 3.0]))
    array([0.25, 0.75])
    """
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def entropy_bits(marginals: Float[np.ndarray, "*grids symbol"]) -> Float[np.ndarray, "*grids"]:
    """Measure how uncertain each cell is.

    Parameters
    ----------
    marginals
        Probabilities of symbols along the last axis.

    Returns
    -------
    array
        The entropy of each cell in bits: 0 where it is determined, log2(n_symbols) where nothing is known.

    Examples
    --------
    >>> entropy_bits(np.array([[0.5, 0.5], [0.25, 0.75]]))
    array([1.  , 0.81])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(marginals > 0, marginals * np.log2(marginals), 0.0).sum(-1)
