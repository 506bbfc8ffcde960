"""What a prior is, and what its exact posterior answers."""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from ..predictor import Predictor, tokens_of
from ..puzzles import checked_evidence
from ..shapes import Bits, Cells, Evidence, Hidden, Marginals, Samples
from ..words import InputError

NUMBERS_AT_ONCE = 2**25  # the numbers in the largest temporary arrays, so that memory stays flat


@runtime_checkable
class Prior(Protocol):
    """A source of example grids, all of one size.

    Attributes
    ----------
    height, width
        The size of a grid, in cells.
    n_symbols
        The number of symbols. A grid holds 0…n_symbols-1, and -1 where a cell is unknown.

    Examples
    --------
    >>> from gridcloze.priors import Prior, squares
    >>> isinstance(squares(4, 4, 2, 3), Prior)
    True
    """

    height: int
    width: int
    n_symbols: int

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """Draw independent grids.

        Parameters
        ----------
        n
            The number of grids.
        generator
            The source of all random numbers.

        Returns
        -------
        ndarray
            The grids, of shape (n, height, width).
        """
        ...


@runtime_checkable
class KnownPrior(Prior, Protocol):
    """A prior that knows the probability of each grid.

    Examples
    --------
    >>> from gridcloze.priors import KnownPrior, Mirror
    >>> isinstance(Mirror(4, 4), KnownPrior)
    True
    """

    def log_prob_bits(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        """Return the log-probability of whole grids.

        Parameters
        ----------
        cells
            Grids without hidden cells.

        Returns
        -------
        ndarray
            log2 P of each grid; -inf for a grid that the prior never draws.
        """
        ...


@runtime_checkable
class ExactPosterior(Predictor, Protocol):
    """A Predictor that is exact, and knows how the hidden cells depend on each other.

    All methods raise ContradictionError if no grid of the prior agrees with the visible cells and the evidence, and
    InputError for grids of another size, visible cells that are no symbols, and malformed evidence.

    Examples
    --------
    A cell and its partner in the mirror are equal; without either, both are a fair coin:

    >>> import numpy as np
    >>> from gridcloze.priors import ExactPosterior, Mirror, posterior
    >>> exact = posterior(Mirror(1, 4))
    >>> isinstance(exact, ExactPosterior)
    True
    >>> cells, hidden = np.array([[[1, 0, 0, 0]]]), np.array([[[False, True, True, True]]])
    >>> exact.marginals(cells, hidden)[0, 0, :, 1]
    array([1. , 0.5, 0.5, 1. ])
    """

    def marginals(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Marginals:
        """Return the exact marginal distribution of each cell.

        Parameters
        ----------
        cells
            The grids. What they hold at hidden cells does not matter.
        hidden
            True where a cell is hidden.
        evidence
            What was observed of hidden cells, with an axis for the symbols: bools that say which symbols are allowed,
            or the probability of the observation under each symbol. None for no evidence.

        Returns
        -------
        ndarray
            P(symbol | visible cells, evidence) for each cell; a visible cell has its own symbol with probability 1.
        """
        ...

    def sample(
        self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator, evidence: Evidence | None = None
    ) -> Samples:
        """Draw whole grids from the joint distribution of the hidden cells given the visible ones.

        Parameters
        ----------
        cells, hidden, evidence
            See `ExactPosterior.marginals`.
        n
            The number of independent samples of each grid.
        generator
            The source of all random numbers.

        Returns
        -------
        ndarray
            Filled grids, of shape (batch, n, height, width).
        """
        ...

    def log_prob_bits(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Bits:
        """Return the log-probability of what the hidden cells hold.

        Parameters
        ----------
        cells
            Grids whose hidden cells hold the symbols in question.
        hidden, evidence
            See `ExactPosterior.marginals`.

        Returns
        -------
        ndarray
            log2 P(hidden cells as in `cells` | visible cells, evidence) of each grid; -inf for what is impossible.
        """
        ...


class ContradictionError(InputError):
    """No grid of the prior agrees with the visible cells and the evidence.

    Parameters
    ----------
    grid
        The index of the grid in the batch, from 0.
    cells
        The number of visible cells in which the nearest grid of the prior differs; 0 if only the evidence excludes it.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors import Mirror, posterior
    >>> posterior(Mirror(1, 2)).marginals(np.array([[[0, 1]]]), np.array([[[False, False]]]))
    Traceback (most recent call last):
    ...
    gridcloze.priors.posterior.ContradictionError: grid 0: no grid of the prior agrees with the visible cells; ...
    """

    def __init__(self, grid: int, cells: int):
        reason = f"the visible cells; the nearest differs in {cells} of them" if cells else "what the evidence allows"
        super().__init__(f"grid {grid}: no grid of the prior agrees with {reason}")
        self.grid, self.cells = grid, cells


def check_query(cells: np.ndarray, hidden: np.ndarray, prior: Prior) -> None:
    """Check that a query fits a prior.

    Parameters
    ----------
    cells, hidden
        The grids, and which of their cells are hidden.
    prior
        The prior whose posterior is asked.

    Raises
    ------
    InputError
        If the shapes are not (batch, height, width) of the prior, or a visible cell holds no symbol of it.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors import Mirror
    >>> check_query(np.zeros((1, 2, 2), int), np.ones((1, 2, 2), bool), Mirror(2, 3))
    Traceback (most recent call last):
    ...
    gridcloze.words.InputError: cells (1, 2, 2) and hidden (1, 2, 2) must both be (batch, 2, 3) here
    """
    if not cells.shape == hidden.shape == (len(cells), prior.height, prior.width):
        raise InputError(
            f"cells {cells.shape} and hidden {hidden.shape} must both be (batch, {prior.height}, {prior.width}) here"
        )
    tokens_of(cells, hidden, prior.n_symbols)  # refuses visible cells that are no symbols


def check_size(height: int, width: int) -> None:
    """Check that a grid has cells.

    Parameters
    ----------
    height, width
        The size of the grid, in cells.

    Raises
    ------
    InputError
        If either is below 1.

    Examples
    --------
    >>> check_size(0, 3)
    Traceback (most recent call last):
    ...
    gridcloze.words.InputError: a grid of 0 by 3 has no cells
    """
    if min(height, width) < 1:
        raise InputError(f"a grid of {height} by {width} has no cells")


def spec_of(name: str, height: int, width: int, **options: Any) -> dict[str, Any]:
    """Return what `make_toy` rebuilds a prior from.

    Parameters
    ----------
    name
        The name of the prior among `TOYS`.
    height, width
        The size of its grids, in cells.
    **options
        Its other parameters.

    Returns
    -------
    dict
        A dictionary that can be written as JSON.

    Examples
    --------
    >>> spec_of("ising", 4, 3, coupling=0.5)
    {'name': 'ising', 'height': 4, 'width': 3, 'coupling': 0.5}
    """
    return {"name": name, "height": height, "width": width, **options}


def is_legal(cells: Int[np.ndarray, "n height width"], n_symbols: int) -> Bool[np.ndarray, " n"]:
    """Tell which grids hold symbols only.

    Parameters
    ----------
    cells
        Whole grids.
    n_symbols
        The number of symbols.

    Returns
    -------
    ndarray of bool
        True for each grid whose cells are all in 0…n_symbols-1.

    Examples
    --------
    >>> is_legal(np.array([[[0, 1]], [[0, -1]], [[2, 1]]]), n_symbols=2)
    array([ True, False, False])
    """
    return np.all((cells >= 0) & (cells < n_symbols), axis=(1, 2))


def one_hot(cells: np.ndarray, n_symbols: int) -> Float[np.ndarray, "*grids height width symbol"]:
    """Return the marginals of cells that are certain.

    Parameters
    ----------
    cells
        Grids, with any number of leading axes.
    n_symbols
        The number of symbols.

    Returns
    -------
    ndarray
        1 at the symbol of each cell and 0 at the others, along a new last axis; all 0 where a cell holds no symbol.

    Examples
    --------
    >>> one_hot(np.array([[0, 2]]), n_symbols=3)
    array([[[1., 0., 0.],
            [0., 0., 1.]]])
    """
    return (cells[..., None] == np.arange(n_symbols)).astype(np.float64)


def likelihood_of(
    evidence: Float[np.ndarray, "#batch height width symbol"], cells: Integer[np.ndarray, "batch height width"]
) -> Float[np.ndarray, "batch height width"]:
    """Look up how probable an observation is under the symbols that grids hold.

    Parameters
    ----------
    evidence
        The probability of what was observed of each cell, under each symbol.
    cells
        The grids.

    Returns
    -------
    ndarray
        The probability of the observation of each cell under its symbol; 0 where a cell holds no symbol.

    Examples
    --------
    >>> likelihood_of(np.array([[[[0.2, 0.9], [0.3, 0.6]]]]), np.array([[[1, 0]]]))
    array([[[0.9, 0.3]]])
    """
    n_symbols = evidence.shape[-1]
    legal = (cells >= 0) & (cells < n_symbols)
    symbols = np.where(legal, cells, 0)[..., None].astype(np.int64)
    shape = (*cells.shape, n_symbols)
    return np.where(legal, np.take_along_axis(np.broadcast_to(evidence, shape), symbols, axis=-1)[..., 0], 0.0)


def observed_bits(cells: Cells, hidden: Hidden, evidence: Evidence | None) -> Bits:
    """Return the log-probability of the evidence under whole grids.

    Parameters
    ----------
    cells
        Grids whose hidden cells are filled.
    hidden, evidence
        See `ExactPosterior.marginals`.

    Returns
    -------
    ndarray
        log2 of the product over the hidden cells of each grid: -inf if the evidence excludes it, 0 without evidence.

    Examples
    --------
    Evidence is scaled so that its largest value is 1, which changes no posterior:

    >>> cells, hidden = np.array([[[1, 0]]]), np.array([[[True, True]]])
    >>> observed_bits(cells, hidden, np.array([[[[0.8, 0.2], [0.3, 0.6]]]]))
    array([-3.])
    """
    if evidence is None:
        return np.zeros(len(cells))
    with np.errstate(divide="ignore"):
        return np.log2(likelihood_of(checked_evidence(evidence, hidden, evidence.shape[-1]), cells)).sum(axis=(1, 2))


def chunks(length: int, size: int) -> Iterator[slice]:
    """Cut a range into slices, so that memory stays flat.

    Parameters
    ----------
    length
        The number of items.
    size
        The items of a slice; less than 1 counts as 1.

    Returns
    -------
    iterator of slice
        Slices that cover 0…length-1 in order; the last may be shorter.

    Examples
    --------
    >>> list(chunks(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size = max(size, 1)
    return (slice(start, min(start + size, length)) for start in range(0, length, size))
