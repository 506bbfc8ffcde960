"""What is asked: grids with hidden cells, what else was observed of them, and the random streams of their fills."""

import copy
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from .predictor import Size
from .shapes import Cells, Evidence, Hidden, Marginals
from .words import HIDDEN, InputError

Stream = tuple[int, ...]  # what a stream of random numbers is seeded with


class Puzzles:
    """Grids of one size with hidden cells and evidence, checked once, when they are made.

    Every function that fills takes them; the checks are not repeated on the way.

    Parameters
    ----------
    cells
        Symbols (batch, height, width). Where a cell is hidden anything may stand, such as the truth that a
        log-probability is asked of.
    hidden
        True where a cell is hidden. By default where `cells` has -1.
    evidence
        What was observed of hidden cells, (batch, height, width, symbol): bools that say which symbols are allowed, or
        for each symbol the probability of what was observed if the cell has it. `Likelihoods`, which are checked
        already, go for all grids.
    side
        The side maps of the grids, (batch, height, width, channel), NaN where unknown.

    Raises
    ------
    InputError
        If shapes do not fit each other, or evidence is no probability or leaves a hidden cell no symbol.

    Examples
    --------
    >>> puzzles = Puzzles(np.array([[[0, -1], [1, 1]]]))
    >>> len(puzzles), puzzles.size, puzzles.hidden.tolist()
    (1, (2, 2), [[[False, True], [False, False]]])
    """

    def __init__(
        self,
        cells: Cells,
        hidden: Hidden | None = None,
        evidence: "Evidence | Likelihoods | None" = None,
        side: Any = None,
    ):
        self.side = side
        if side is not None and side.shape[:-1] != cells.shape:
            raise InputError(f"side maps {side.shape} and cells {cells.shape} must be of the same grids")
        self.cells, self.hidden = cells, cells == HIDDEN if hidden is None else hidden
        if self.hidden.shape != cells.shape:
            raise InputError(f"cells {cells.shape} and hidden {self.hidden.shape} must have the same shape")
        if isinstance(evidence, Likelihoods):
            self.evidence: Marginals | None = evidence.at(self.hidden)
        elif evidence is not None:
            self.evidence = checked_evidence(evidence, self.hidden, evidence.shape[-1])
        else:
            self.evidence = None

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def size(self) -> Size:
        """Height and width of the grids, in cells."""
        return self.cells.shape[1], self.cells.shape[2]

    def with_hidden(self, further: Hidden) -> "Puzzles":
        """Hide further cells; the random streams stay those of the puzzles as they were asked.

        Parameters
        ----------
        further
            True at the cells to hide, (batch, height, width).

        Returns
        -------
        Puzzles
            Others with the same cells and evidence.
        """
        self.names  # noqa: B018, before the cells that they are made from change
        puzzles = copy.copy(self)
        puzzles.hidden = self.hidden | further
        return puzzles

    def settled(self) -> "Puzzles":
        """Show the cells that evidence leaves a single symbol: conditioning on these is exact.

        Returns
        -------
        Puzzles
            Others with the same random streams; without evidence if none is left on hidden cells.

        Examples
        --------
        >>> allowed = np.array([[[[False, True], [True, True]]]])
        >>> puzzles = Puzzles(np.array([[[-1, -1]]]), evidence=allowed).settled()
        >>> puzzles.cells.tolist(), puzzles.hidden.tolist(), puzzles.evidence is None
        ([[[1, -1]]], [[[False, True]]], True)
        """
        if self.evidence is None:
            return self
        single = self.hidden & ((self.evidence > 0).sum(axis=-1) == 1)
        self.names  # noqa: B018, before the cells that they are made from change
        puzzles = copy.copy(self)
        puzzles.cells = np.where(single, self.evidence.argmax(axis=-1), self.cells)
        puzzles.hidden = self.hidden & ~single
        puzzles.evidence = Likelihoods(self.evidence).at(puzzles.hidden)
        if (puzzles.evidence == 1).all():
            puzzles.evidence = None
        return puzzles

    def only(self, which: Shaped[np.ndarray, "batch"]) -> "Puzzles":
        """Leave nothing to fill in some of the puzzles.

        Parameters
        ----------
        which
            True for those that stay as they are.

        Returns
        -------
        Puzzles
            As many, with the same random streams.
        """
        self.names  # noqa: B018, before the cells that they are made from change
        puzzles = copy.copy(self)
        puzzles.hidden = self.hidden & which[:, None, None]
        return puzzles

    @cached_property
    def names(self) -> list[Stream]:
        """Numbers that stand for each puzzle; equal puzzles have the same, alone, in a folder or in a stack."""
        return [name_of(grid) for grid in np.where(self.hidden, HIDDEN, self.cells).astype(np.int16)]

    def streams(self, n: int, seed: int, first: int = 0) -> list[Stream]:
        """Name the random streams of some samples of every puzzle.

        Parameters
        ----------
        n
            Samples of each puzzle.
        seed
            From which all random numbers follow.
        first
            The number of the first of these samples.

        Returns
        -------
        list
            A seed for `numpy.random.default_rng` for each sample, puzzle by puzzle.
        """
        return [(seed, *name, first + sample) for name in self.names for sample in range(n)]


@dataclass(frozen=True, eq=False)
class Likelihoods:
    """Evidence that is checked, for any number of grids of one size.

    Parameters
    ----------
    values
        The probability of what was observed of each cell under each symbol, the largest of a cell 1: for all grids
        alike, or with a leading axis of grids.

    Examples
    --------
    >>> allowed = np.array([[[True, False], [True, True]]])
    >>> Likelihoods.checked(allowed, np.array([[True, True]])).values
    array([[[1., 0.],
            [1., 1.]]])
    """

    values: Float[np.ndarray, "*grids height width symbol"]

    @classmethod
    def checked(
        cls, evidence: Shaped[np.ndarray, "height width symbol"], hidden: Shaped[np.ndarray, "height width"]
    ) -> "Likelihoods":
        """Check evidence that is the same for several grids.

        Parameters
        ----------
        evidence
            As `Puzzles` takes it, without the axis of grids.
        hidden
            True where the cell is hidden in any of the grids.

        Returns
        -------
        Likelihoods
            For `Puzzles` that hide no other cells.

        Raises
        ------
        InputError
            As `Puzzles`.
        """
        return cls(checked_evidence(evidence[None], hidden[None], evidence.shape[-1])[0])

    @staticmethod
    def of_window(
        evidence: Shaped[np.ndarray, "height width symbol"], window: tuple[slice, slice]
    ) -> Float[np.ndarray, "rows columns symbol"]:
        """Give the evidence in a part of a grid, of which the hidden cells were checked.

        Parameters
        ----------
        evidence
            As `Puzzles` takes it, without the axis of grids.
        window
            Rows and columns.

        Returns
        -------
        array
            As `values`; 1 where nothing is allowed, which visible cells alone may be.
        """
        values = evidence[window].astype(np.float64)
        largest = values.max(axis=-1, keepdims=True)
        return np.where(largest > 0, values, 1.0) / np.where(largest > 0, largest, 1.0)

    def at(self, hidden: Hidden) -> Marginals:
        """Give evidence for each grid: 1 at visible cells.

        Parameters
        ----------
        hidden
            Of the grids.

        Returns
        -------
        Marginals
            What `checked_evidence` returns.
        """
        return np.where(hidden[..., None], self.values, 1.0)


def checked_evidence(evidence: Evidence, hidden: Hidden, n_symbols: int) -> Marginals:
    """Check what was observed of each cell.

    Parameters
    ----------
    evidence
        As `Puzzles` takes it.
    hidden
        True where a cell is hidden; evidence of visible cells is not looked at.
    n_symbols
        The number of symbols.

    Returns
    -------
    Marginals
        The probability of the observation under each symbol, scaled to a largest value of 1 at each cell, which changes
        no posterior; 1 at visible cells.

    Raises
    ------
    InputError
        For another shape, for what is no probability, and for a hidden cell that is left no symbol.

    Examples
    --------
    >>> checked_evidence(np.array([[[[0.1, 0.2]]]]), np.array([[[True]]]), 2)
    array([[[[0.5, 1. ]]]])
    """
    expected = (*hidden.shape, n_symbols)
    if evidence.shape != expected or evidence.dtype.kind not in "biuf":
        raise InputError(
            f"evidence {evidence.dtype}{evidence.shape} does not fit: it must be numbers or bools {expected}"
        )
    values = np.where(hidden[..., None], evidence.astype(np.float64), 1.0)
    improper = np.asarray(~((values >= 0) & (values <= 1)).all(-1))
    _refuse_at(improper, "its evidence is no probability: each number must be 0 … 1")
    largest = values.max(-1, keepdims=True)
    _refuse_at(np.equal(largest[..., 0], 0), "its evidence allows no symbol: leave it at least one")
    return values / largest


def _refuse_at(wrong: Hidden, why: str) -> None:
    if wrong.any():
        grid, row, column = np.argwhere(wrong)[0]
        raise InputError(f"cell (row {row}, column {column}) of grid {grid}: {why}")


def name_of(*rows: np.ndarray) -> Stream:
    """Hash a puzzle into numbers that stand for it, the same wherever and with whatever it is filled.

    Parameters
    ----------
    *rows
        Its cells as int16, HIDDEN where hidden: the whole grid, or parts of its rows one after the other.

    Returns
    -------
    tuple
        Numbers that seed its random streams.

    Examples
    --------
    >>> cells = np.arange(6, dtype=np.int16).reshape(3, 2)
    >>> name_of(cells) == name_of(cells[:1], cells[1:])
    True
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in rows:
        digest.update(np.ascontiguousarray(part).data)
    return (*np.frombuffer(digest.digest(), np.uint32).tolist(), 0)  # the 0 keeps the streams of version 0.1
