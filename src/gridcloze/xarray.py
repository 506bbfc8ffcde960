"""`da.gridcloze` on DataArrays of xarray, once this module is imported: filled with coordinates, attributes and dtype.

xarray and Dask are an extra; a chunked array gives a lazy one, computed in the blocks of `scale`.
"""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray
from dask.delayed import delayed

from . import answers, checkpoint
from .files.arrays import nodata_of
from .files.codes import symbols_of
from .predictor import Predictor, entropy_bits, exceeds_window
from .puzzles import Puzzles, name_of
from .scale import Blocks, Box, Cores, Question, around, fill_block, marginals_in
from .side import Side, as_side
from .tiling import Tile
from .words import HIDDEN, AnyPath, InputError

ROWS_OF_A_BAND = 512  # of a chunked array, that are hashed together


@xarray.register_dataarray_accessor("gridcloze")
class Accessor:
    """Fill a DataArray of two dimensions, such as a band of rioxarray; its values are the classes of the model.

    Hidden is what is NaN or equals `_FillValue`, in the attributes or in the encoding. With `hidden`, only the cells
    that it names are filled; what else has no value stays as it is.

    A model is an `Inpainter`, what `gridcloze.load` returns, or the name of a model file. Answers are those of the
    command `fill` to a GeoTIFF of the same cells.

    Parameters
    ----------
    array
        The DataArray.

    Examples
    --------
    >>> from gridcloze import Inpainter, priors
    >>> grids = priors.squares(5, 5, 2, 4).sample(40, np.random.default_rng(0))
    >>> model = Inpainter(steps=2, depth=1).fit(grids)
    >>> puzzle = xarray.DataArray(np.where(np.eye(5) == 1, np.nan, grids[0]), dims=("y", "x"))
    >>> puzzle.gridcloze.fill(model).dims, puzzle.gridcloze.sample(model, 3).dims
    (('y', 'x'), ('sample', 'y', 'x'))
    """

    def __init__(self, array: xarray.DataArray):
        self.array = array

    def fill(self, model: Any, hidden: Any = None, seed: int = 0, side: Any = None) -> xarray.DataArray:
        """Find the most likely fill.

        Parameters
        ----------
        model
            What fills.
        hidden
            True at the cells to fill; by default those without a value.
        seed
            From which all random numbers follow.
        side
            The side maps of a model that learned with such: a Dataset on the coordinates of this array. The array must
            be in memory then.

        Returns
        -------
        DataArray
            Like this one.

        Raises
        ------
        InputError
            For other than two dimensions, for values that are no classes of the model (of a chunked array these are
            found when it is computed), and for side maps that are missing or lie elsewhere.
        """
        asked = _Asked(self.array, model, hidden, side)
        return asked.like(asked.decoded(asked.fills([-1], seed)[0]))

    def sample(self, model: Any, n: int = 1, hidden: Any = None, seed: int = 0, side: Any = None) -> xarray.DataArray:
        """Draw joint samples.

        Parameters
        ----------
        model, hidden, seed, side
            As in `fill`.
        n
            How many, 1 or more.

        Returns
        -------
        DataArray
            Like this one, with a first dimension "sample".
        """
        asked = _Asked(self.array, model, hidden, side)
        drawn = [asked.decoded(one) for one in asked.fills(range(n), seed)]
        return asked.like(dask.array.stack(drawn), before=("sample",))

    def predict_proba(self, model: Any, hidden: Any = None, side: Any = None) -> xarray.DataArray:
        """Predict the probability of each class at each cell.

        Parameters
        ----------
        model, hidden, side
            As in `fill`.

        Returns
        -------
        DataArray
            With a last dimension "symbol", whose coordinates are the classes.
        """
        asked = _Asked(self.array, model, hidden, side)
        return asked.like(asked.marginals(), after=("symbol",)).assign_coords(symbol=list(asked.values))

    def entropy(self, model: Any, hidden: Any = None, side: Any = None) -> xarray.DataArray:
        """Compute how uncertain each cell is.

        Parameters
        ----------
        model, hidden, side
            As in `fill`.

        Returns
        -------
        DataArray
            The entropy of each cell in bits.
        """
        asked = _Asked(self.array, model, hidden, side)
        return asked.like(asked.marginals().map_blocks(entropy_bits, drop_axis=2, dtype=np.float64))


class _Asked:
    """A DataArray as a puzzle in chunks; one that is in memory has a single chunk, and is answered at once."""

    def __init__(self, array: xarray.DataArray, model: Any, hidden: Any, side: Any):
        self.array, self.predictor, self.values = array, *_model(model)
        if array.ndim != 2:
            line = f"a DataArray with {array.ndim} dimensions {array.dims} is no grid of rows and columns"
            raise InputError(f"{line}: take one of its bands, as in da.isel(band=0)")
        if array.dtype.kind not in "biuf":
            raise InputError(f"values of type {array.dtype} are no classes: they must be whole numbers")
        if hidden is not None and np.shape(hidden) != array.shape:
            raise InputError(f"hidden {np.shape(hidden)} and the DataArray {array.shape} must have the same shape")
        self.data = dask.array.asarray(array.data, chunks=-1)
        given = [self.data]
        if hidden is not None:
            given.append(dask.array.asarray(getattr(hidden, "data", hidden)).rechunk(self.data.chunks))
        nodata = nodata_of(array)
        self.to_fill: Any = dask.array.map_blocks(_to_fill, *given, nodata=nodata, dtype=bool)
        self.puzzle: Any = dask.array.map_blocks(_encoded, *given, nodata=nodata, values=self.values, dtype=np.int16)
        size = int(array.shape[0]), int(array.shape[1])
        self.blocks = Blocks(size, self.predictor.window or size)
        self.side = None if side is None else _side_maps(array, side, self.predictor)
        self.is_small = not exceeds_window(self.predictor, size) or side is not None
        self.model: Any = delayed(self.predictor)

    def like(self, data: Any, before: Sequence[str] = (), after: Sequence[str] = ()) -> xarray.DataArray:
        """A DataArray with the coordinates of this one and, if it has classes, its attributes and encoding."""
        if self.array.chunks is None:
            data = data.compute(scheduler="synchronous")
        made = xarray.DataArray(data, self.array.coords, (*before, *self.array.dims, *after))
        made.name = self.array.name  # or it would be that of a Dask array
        if data.dtype == self.array.dtype and not after:
            made.attrs, made.encoding = dict(self.array.attrs), dict(self.array.encoding)
        return made

    def decoded(self, symbols: Any) -> Any:
        """Symbols as classes, and what is not to be filled as it is."""
        values = np.array(self.values).astype(self.array.dtype)
        classes = symbols.map_blocks(lambda part: values[part], dtype=values.dtype)
        return dask.array.where(self.to_fill, classes, self.data)

    def fills(self, lanes: Sequence[int], seed: int) -> list[Any]:
        """The symbols of each lane of `Question`."""
        if self.is_small:
            fills: Any = delayed(_fills)(self.model, self._piece(np.s_[:, :]), max(0, lanes[-1] + 1), seed, self.side)
            return [self._chunked(lambda box, n=n: fills[n][box], np.int64) for n in range(len(lanes))]
        bands = self.puzzle.rechunk({0: ROWS_OF_A_BAND, 1: -1}).to_delayed().ravel().tolist()
        question = delayed(_question)(self.blocks, [delayed(_packed)(band) for band in bands], lanes, seed)
        return [self._lane(question, lane) for lane in lanes]

    def _lane(self, question: Any, lane: int) -> Any:
        filled: dict[Any, Any] = {}
        for place in self.blocks:
            needed = [(other, filled[other]) for other in self.blocks.needed(place)]
            piece = self._piece(self.blocks.box(place))
            filled[place] = delayed(_cores)(self.model, question, place, lane, piece, needed)

        def part(box: Box) -> Any:
            return delayed(_assembled)(self.blocks, box, [(place, filled[place]) for place in self.blocks.meeting(box)])

        return self._chunked(part, np.int64)

    def marginals(self) -> Any:
        """The probabilities, with a last axis for symbols."""
        if self.is_small:
            whole: Any = delayed(_marginals)(self.model, self._piece(np.s_[:, :]), self.side)
            return self._chunked(lambda box: whole[box], np.float64, self.predictor.n_symbols)
        question = Question(self.blocks, (), ())

        def part(box: Box) -> Any:
            piece = self._piece(around(self.blocks.overlapping_in([box])))
            return delayed(_marginals_in)(self.model, question, box, piece)

        return self._chunked(part, np.float64, self.predictor.n_symbols)

    def _piece(self, box: Box) -> Any:
        """A part of the puzzle, as what a task waits for."""
        return self.puzzle[box].rechunk(-1).to_delayed().item()

    def _chunked(self, part: Callable[[Box], Any], dtype: Any, *last: int) -> Any:
        """An array in the chunks of this one, from a task for each of them."""

        def chunk(down: slice, across: slice) -> Any:
            shape = (down.stop - down.start, across.stop - across.start, *last)
            return dask.array.from_delayed(part((down, across)), shape, dtype)

        down, across = (
            [slice(end - n, end) for n, end in zip(axis, np.cumsum(axis).tolist(), strict=True)]
            for axis in self.puzzle.chunks
        )
        rows = [dask.array.concatenate([chunk(row, column) for column in across], axis=1) for row in down]
        return dask.array.concatenate(rows, axis=0)


def _model(model: Any) -> tuple[Predictor, tuple[int, ...]]:
    """What predicts, and the class of each symbol."""
    if isinstance(model, AnyPath):
        model = checkpoint.load(Path(model))
    if hasattr(model, "predictor_"):
        return model.predictor_, tuple(model.symbols_.tolist())
    return model, model.header.palette.raster_values


def _empty(data: np.ndarray, nodata: Any) -> np.ndarray:
    empty = np.isnan(data) if data.dtype.kind == "f" else np.zeros(data.shape, bool)
    return empty if nodata is None else empty | (data == nodata)


def _to_fill(data: np.ndarray, hidden: Any = None, *, nodata: Any) -> np.ndarray:
    return _empty(data, nodata) if hidden is None else np.asarray(hidden) != 0


def _encoded(data: np.ndarray, hidden: Any = None, *, nodata: Any, values: tuple[int, ...]) -> np.ndarray:
    """Symbols, HIDDEN where hidden; InputError for a visible value that is no class."""
    hides = _empty(data, nodata) | _to_fill(data, hidden, nodata=nodata)
    cells = np.where(hides, HIDDEN, symbols_of(np.where(hides, 0, data), values))
    wrong = (cells == HIDDEN) & ~hides
    if wrong.any():
        found = ", ".join(f"{value:g}" for value in np.unique(data[wrong])[:5])
        raise InputError(f"{found}: no classes of the model, which are {', '.join(map(str, values))}; hide such cells")
    return cells.astype(np.int16)


def _side_maps(array: xarray.DataArray, side: Any, predictor: Predictor) -> Side:
    """The side maps of an array, NaN where they have no value."""
    if not isinstance(side, xarray.Dataset):
        raise InputError("side maps of a DataArray come as a Dataset, with their names and coordinates")
    if array.chunks is not None:
        raise InputError("with side maps an array in chunks is not filled: load it, as in da.load()")
    try:
        _, side = xarray.align(array, side, join="exact")
    except ValueError:
        raise InputError(
            "the side maps lie on other coordinates: put them on those of the array, as with rioxarray's "
            "reproject_match"
        ) from None
    maps = {name: one.transpose(*array.dims) for name, one in side.items()}
    given = {name: np.ma.array(one.values, mask=_empty(one.values, nodata_of(one)))[None] for name, one in maps.items()}
    return as_side(given, getattr(predictor, "side", ()))[1]


def _fills(predictor: Predictor, puzzle: np.ndarray, n: int, seed: int, side: Side | None) -> np.ndarray:
    """The samples, or if there are none the fill, with a first axis."""
    found = answers.fill(predictor, Puzzles(puzzle[None].astype(np.int64), side=side), n, seed)
    return found.samples[0] if n else found.fill


def _marginals(predictor: Predictor, puzzle: np.ndarray, side: Side | None) -> np.ndarray:
    return answers.fill(predictor, Puzzles(puzzle[None].astype(np.int64), side=side)).marginals[0]


def _marginals_in(predictor: Predictor, question: Question, box: Box, puzzle: np.ndarray) -> np.ndarray:
    return marginals_in(predictor, question, [box], lambda _: puzzle)[0]


def _packed(band: np.ndarray) -> tuple[bytes, bool]:
    """Rows of a puzzle in little memory, and whether all of it is hidden: one task reads those of the whole."""
    return zlib.compress(np.ascontiguousarray(band, np.int16).tobytes(), 1), bool((band == HIDDEN).all())


def _question(blocks: Blocks, bands: Sequence[tuple[bytes, bool]], lanes: Sequence[int], seed: int) -> Question:
    name = name_of(*(np.frombuffer(zlib.decompress(band), np.int16) for band, _ in bands))
    return Question(blocks, (seed, *name), lanes, is_open=all(is_open for _, is_open in bands))


def _cores(
    predictor: Predictor, question: Question, place: Any, lane: int, puzzle: np.ndarray, needed: Sequence[Any]
) -> Cores:
    return fill_block(predictor, question, place, [lane], puzzle, dict(needed))[0]


def _assembled(blocks: Blocks, box: Box, filled: Sequence[Any]) -> np.ndarray:
    """A part of a fill, from blocks that hold it."""
    windows = [(window, cores) for place, cores in filled for window in blocks.windows(place)]
    whole = around([window.tile for window, _ in windows])
    corner = whole[0].start, whole[1].start
    cells = np.zeros([side.stop - side.start for side in whole], np.int64)
    for window, cores in windows:
        part = cells[window.tile.below(*corner).core]
        part[:] = cores[0, *window.inside][: len(part), : part.shape[1]]
    return cells[Tile(box, box).below(*corner).core]
