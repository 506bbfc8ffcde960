"""A prior known by examples only."""

import hashlib
from typing import Any, Literal, cast, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ..files.palettes import Palette
from ..side import Side, SideMaps
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
    side
        The side maps of the examples, which are transformed with them.

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
        self,
        cells: Int[np.ndarray, "example height width"],
        palette: Palette,
        symmetries: Symmetries = "none",
        side: SideMaps | None = None,
    ):
        if cells.size == 0:
            raise InputError("there are no example grids")
        if side is not None:
            check_shapes(side, cells)
        self.cells, self.palette, self.side = cells, palette, side
        self.symmetries: Symmetries = checked_symmetries(symmetries)
        self.height, self.width = cells.shape[1:]
        self.n_symbols = palette.n_symbols

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """See `Prior.sample`. Examples are drawn with replacement."""
        return random_symmetry(self.cells[generator.integers(0, len(self.cells), n)], generator, self.symmetries)

    def sample_with_side(
        self, n: int, generator: np.random.Generator
    ) -> tuple[Int[np.ndarray, "n height width"], Side]:
        """Draw grids with their side maps.

        Parameters
        ----------
        n
            How many.
        generator
            The source of all random numbers.

        Returns
        -------
        tuple of ndarray
            The grids, and what `SideMaps.values` holds for each.
        """
        assert self.side is not None
        chosen = generator.integers(0, len(self.cells), n)
        return alike(self.cells[chosen], np.asarray(self.side.some(chosen).values), generator, self.symmetries)

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
            kept, scored = slice(max(first, 1)), slice(first, None)
        else:
            kept, scored = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        if (self.cells[kept] < 0).all():
            kept = slice(None)
        return self._of(kept, self.symmetries), self._of(scored)

    def _of(self, which: Int[np.ndarray, "some"] | slice, symmetries: Symmetries = "none") -> "Examples":
        side = None if self.side is None else self.side.some(which)
        return Examples(self.cells[which], self.palette, symmetries, side)

    @property
    def record(self) -> dict[str, Any]:
        """What a model file says about the data: hash, number of grids, symmetries."""
        digest = hashlib.sha256(self.cells.tobytes()).hexdigest()
        return {"data": digest, "grids": len(self.cells), "symmetries": self.symmetries} | side_record(self.side)


def side_record(side: SideMaps | None) -> dict[str, Any]:
    """Return what a model file says about side maps.

    Parameters
    ----------
    side
        Of examples.

    Returns
    -------
    dict
        The hash of their values, if there are any.

    Examples
    --------
    >>> side_record(None)
    {}
    """
    if side is None:
        return {}
    digest = hashlib.sha256()
    for values in side.values:
        digest.update(np.ascontiguousarray(values).tobytes())
    return {"side_data": digest.hexdigest()}


def check_shapes(side: SideMaps, grids: Any) -> None:
    """Refuse side maps that are not of the size of their grids.

    Parameters
    ----------
    side
        One for each grid.
    grids
        The examples.

    Raises
    ------
    InputError
        If there are more or fewer, or one has another height or width.

    Examples
    --------
    >>> check_shapes(SideMaps.of(np.zeros((1, 2, 2, 1))), np.zeros((1, 2, 3), int))
    Traceback (most recent call last):
    gridcloze.words.InputError: side maps of grid 0 are 2 by 2 cells and the grid 2 by 3: use the same size
    """
    if len(side.values) != len(grids):
        raise InputError(f"there are side maps of {len(side.values)} grids, and {len(grids)} grids")
    for number, (values, grid) in enumerate(zip(side.values, grids, strict=True)):
        if values.shape[:2] != grid.shape:
            sizes = f"{values.shape[0]} by {values.shape[1]} cells and the grid {grid.shape[0]} by {grid.shape[1]}"
            raise InputError(f"side maps of grid {number} are {sizes}: use the same size")


def alike(
    cells: Int[np.ndarray, "n height width"], side: Side, generator: np.random.Generator, symmetries: Symmetries
) -> tuple[Int[np.ndarray, "n height width"], Side]:
    """Transform grids and their side maps at random, both alike.

    Parameters
    ----------
    cells
        The grids.
    side
        Their side maps.
    generator
        The source of all random numbers.
    symmetries
        See `Examples`.

    Returns
    -------
    tuple of ndarray
        The grids and their side maps.

    Examples
    --------
    >>> cells, side = alike(np.eye(2, dtype=int)[None], np.eye(2)[None, ..., None], np.random.default_rng(0), "all")
    >>> (cells == side[..., 0]).all()
    np.True_
    """
    both = random_symmetry(np.concatenate([cells[..., None], side], axis=-1), generator, symmetries)
    return both[..., 0].astype(np.int64), both[..., 1:].astype(np.float32)


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
    cells: Shaped[np.ndarray, "n height width *rest"], generator: np.random.Generator, symmetries: Symmetries
) -> Shaped[np.ndarray, "n height width *rest"]:
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
