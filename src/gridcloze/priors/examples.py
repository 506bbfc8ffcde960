"""A prior known by examples only."""

import hashlib
from typing import Any, Literal, cast, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from ..files.palettes import Palette
from ..words import InputError

HELD_OUT_FRACTION = 0.1
FEW_HELD_OUT = 4  # of few examples a third, up to so many: a tenth of ten grids cannot tell what was learned by heart
LEAST_KNOWN = 0.5  # of what is held out, as a share of how much is known on average
MOST_HELD_OUT = 512
Symmetries = Literal["none", "across", "along", "mirrors", "turns", "all"]  # under which grids are equally likely


class Examples:
    """A prior known by example grids.

    Parameters
    ----------
    cells
        The examples, of shape (example, height, width); -1 stands for an unknown cell.
    palette
        How the symbols look; it also says how many there are.
    symmetries
        Under which transformations grids are equally likely: "none", "across" (mirrored left to right), "along"
        (mirrored top to bottom), "mirrors" (both), "turns" (turned by 90 degrees; by 180 if the grids are not square)
        or "all" (mirrors and turns). Each sample is transformed at random.

    Raises
    ------
    InputError
        If there is no example, or `symmetries` is another word.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.files.palettes import Palette
    >>> from gridcloze.priors import Examples
    >>> corner = np.array([[[1, 0, 0], [0, 0, 0]]])
    >>> examples = Examples(corner, Palette.default(2), symmetries="mirrors")
    >>> examples.sample(2, np.random.default_rng(1))
    array([[[0, 0, 0],
            [1, 0, 0]],
           [[1, 0, 0],
            [0, 0, 0]]])
    """

    def __init__(
        self, cells: Int[np.ndarray, "example height width"], palette: Palette, symmetries: Symmetries = "none"
    ):
        if cells.size == 0:
            raise InputError("there are no example grids")
        self.cells, self.palette = cells, palette
        self.symmetries: Symmetries = checked_symmetries(symmetries)
        self.height, self.width = cells.shape[1:]
        self.n_symbols = palette.n_symbols

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """See `Prior.sample`. Examples are drawn with replacement."""
        return random_symmetry(self.cells[generator.integers(0, len(self.cells), n)], generator, self.symmetries)

    def split(self) -> tuple["Examples", "Examples"]:
        """Split the examples into those to learn from and those to score with.

        Returns
        -------
        tuple of Examples
            The examples to learn from, and the last tenth, at most 512, held out, of fewer than 40 the last third, at
            most four; if these have few known cells, the last of those that have enough. A single example is both.
        """
        held_out = held_out_last((self.cells >= 0).mean(axis=(1, 2)), FEW_HELD_OUT, MOST_HELD_OUT)
        first = int(held_out.argmax())
        if held_out[first:].all():  # as slices, which are no copies
            learned, scored = self.cells[: max(first, 1)], self.cells[first:]
        else:
            learned, scored = self.cells[~held_out], self.cells[held_out]
        if (learned < 0).all():
            learned = self.cells
        return Examples(learned, self.palette, self.symmetries), Examples(scored, self.palette)

    @property
    def record(self) -> dict[str, Any]:
        """What a model file says about the data: hash, number of grids, symmetries."""
        digest = hashlib.sha256(self.cells.tobytes()).hexdigest()
        return {"data": digest, "grids": len(self.cells), "symmetries": self.symmetries}


def held_out_last(
    known: Float[np.ndarray, " example"], few: int = 1, most: int | None = None
) -> Bool[np.ndarray, " example"]:
    """Choose which examples are held out: the last tenth, of which enough must be known.

    Parameters
    ----------
    known
        The share of known cells of each example.
    few
        Up to how many may be more than a tenth, but no more than a third.
    most
        How many are held out at most.

    Returns
    -------
    ndarray of bool
        True for the last tenth, or if it has less than half as many known cells as all have on average, for the last
        tenth of the examples that have at least as many.

    Examples
    --------
    >>> held_out_last(np.array([1.0, 1.0, 1.0, 0.0]))
    array([False, False,  True, False])
    """
    enough = known >= LEAST_KNOWN * known.mean()
    held_out = _last(np.ones(len(known), bool), few, most)
    return held_out if known[held_out].mean() >= LEAST_KNOWN * known.mean() else _last(enough, few, most)


def _last(among: Bool[np.ndarray, " example"], few: int, most: int | None) -> Bool[np.ndarray, " example"]:
    n = int(among.sum())
    n = max(int(HELD_OUT_FRACTION * n), min(n // 3, few), 1)
    held_out = np.zeros(len(among), dtype=bool)
    held_out[np.flatnonzero(among)[-min(n, most or n) :]] = True
    return held_out


def checked_symmetries(symmetries: str) -> Symmetries:
    """Check the name of symmetries.

    Parameters
    ----------
    symmetries
        The name.

    Returns
    -------
    Symmetries
        The same name.

    Raises
    ------
    InputError
        If there are no symmetries of that name.

    Examples
    --------
    >>> checked_symmetries("some")
    Traceback (most recent call last):
    ...
    gridcloze.words.InputError: symmetries must be one of none, across, along, mirrors, turns, all, not 'some'
    """
    if symmetries not in get_args(Symmetries):
        raise InputError(f"symmetries must be one of {', '.join(get_args(Symmetries))}, not {symmetries!r}")
    return cast(Symmetries, symmetries)


def random_symmetry(
    cells: Int[np.ndarray, "n height width"], generator: np.random.Generator, symmetries: Symmetries
) -> Int[np.ndarray, "n height width"]:
    """Transform each grid by a symmetry of its frame, drawn uniformly.

    Parameters
    ----------
    cells
        The grids; they are not changed.
    generator
        The source of all random numbers.
    symmetries
        "none" leaves the grids as they are; "across" and "along" draw one of two transformations, "mirrors" one of
        four, "turns" one of four, or of two if the grids are not square, and "all" one of eight, or of four.

    Returns
    -------
    ndarray
        The transformed grids.

    Examples
    --------
    >>> grid = np.array([[[1, 0, 0], [0, 0, 0]]])
    >>> random_symmetry(grid, np.random.default_rng(0), "all")
    array([[[0, 0, 0],
            [1, 0, 0]]])
    """
    if symmetries == "none":
        return cells
    cells = cells.copy()
    across, along, transposed = generator.random((3, len(cells))) < 0.5
    transposed &= symmetries in ("turns", "all") and cells.shape[1] == cells.shape[2]
    across &= symmetries != "along"
    along &= symmetries != "across"
    if symmetries == "turns":
        along = across ^ transposed  # two mirrors are a turn by 180 degrees, a transposition and a mirror one by 90
    cells[across] = cells[across, :, ::-1]
    cells[along] = cells[along, ::-1]
    if transposed.any():
        cells[transposed] = cells[transposed].swapaxes(1, 2)
    return cells
