"""Large grids in blocks of windows: each block is a task that any process can run, and that gives the same bits.

Dask and zarr are an extra: they are imported when a cluster or a store is used, not before.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import groupby, islice, product
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, NamedTuple, cast
from uuid import uuid4
from zlib import crc32

import numpy as np
from jaxtyping import Float, UInt8

from . import answers, checkpoint, tiling
from .answers import AnswersByRows, FilledRows
from .decoding import NUMBERS, Decoder, Fills, default_decoder, pick_most_likely, pick_sample
from .files.paths import write_json
from .memory import keep_freed_memory
from .predictor import Predictor, Size, given_evidence
from .puzzles import Stream
from .shapes import OneGrid
from .sweeping import ROWS_AT_ONCE, EvidenceIn, Sweep
from .tiling import Span, Tile, Tiling
from .words import HIDDEN, InputError, __version__

WINDOWS_OF_A_BLOCK = 8  # along each of its sides
# Few windows of a block can be filled at the same time: of a single sample, forward passes have room for more. Of few
# blocks, a task for each sample keeps more workers busy.
SAMPLES_OF_A_TASK, MANY_BLOCKS = 4, 32
PUZZLE_CHUNK = 512
MOST_TASKS = 20_000  # that the scheduler knows of at once: about 180 MB
MOST_TASKS_WITH_DATA = 128
RETRIES = 3
GONE = "the scheduler is gone: start it again; the same command goes on with what is not finished"
SECONDS_TO_CONNECT = 10
MARKERS_AT_ONCE = 2**14  # of 2 KiB each
Place = tuple[int, int]  # of a block among blocks
Box = tuple[slice, slice]
Lanes = tuple[int, ...]  # of fills: -1 is the most likely one, the others are samples
Cores = UInt8[np.ndarray, "lane side side core_height core_width"]


class Window(NamedTuple):
    """A window of a block: its tile, where in the block it is, and when its turn is.

    Parameters
    ----------
    wave
        Windows are filled wave after wave.
    inside
        Row and column in the block.
    tile
        Of the whole grid.

    Examples
    --------
    >>> Blocks((300, 300), (64, 64), 3).windows((0, 0))[1].inside
    (0, 1)
    """

    wave: int
    inside: Place
    tile: Tile


@dataclass(frozen=True)
class Blocks:
    """Blocks of windows that depend on each other in no circle.

    A window sees what was decided in those on its left, above, and above to the right. So square blocks of windows
    would wait for each other in a circle. In these, each row of windows stands one window further to the left than the
    row above: block (i, j) has the windows of rows i·side … and of columns j·side - row …, and needs those on its left,
    above, and above to the left.

    Parameters
    ----------
    size
        Of the grid, in cells.
    window
        Of the predictor.
    side
        Windows along each side of a block, 3 or more.

    Examples
    --------
    >>> blocks = Blocks((300, 300), (64, 64), 3)
    >>> list(blocks)
    [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]
    >>> blocks.needed((1, 2))
    [(1, 1), (0, 2), (0, 1)]
    """

    size: Size
    window: Size
    side: int = WINDOWS_OF_A_BLOCK

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what follows from the sizes: every task has its blocks."""
        return Blocks, (self.size, self.window, self.side)

    @cached_property
    def tiles(self) -> Tiling:
        """The windows and their cores."""
        return Tiling(*self.size, self.window)

    @cached_property
    def overlapping(self) -> Tiling:
        """The windows of marginals."""
        return Tiling(*self.size, self.window, tiling.HALF_OVERLAPPING)

    @property
    def core(self) -> Size:
        """The largest height and width of a core."""
        height, width = (max(stop - start for _, (start, stop) in spans) for spans in self.tiles.spans)
        return height, width

    @property
    def shape(self) -> Size:
        """Blocks down, and across."""
        rows, columns = map(len, self.tiles.spans)
        return -(-rows // self.side), -(-(rows + columns - 1) // self.side)

    def __contains__(self, place: Place) -> bool:
        (i, j), (rows, columns) = place, map(len, self.tiles.spans)
        return 0 <= i < self.shape[0] and i <= j and j * self.side < min((i + 1) * self.side, rows) - 1 + columns

    def __iter__(self) -> Iterator[Place]:
        down, across = self.shape
        for level in range(down + across - 1):
            yield from (place for i in range(min(level + 1, down)) if (place := (i, level - i)) in self)

    def windows(self, place: Place) -> list[Window]:
        """List the windows of a block.

        Parameters
        ----------
        place
            Of the block.

        Returns
        -------
        list of Window
            In the order of their waves.
        """
        (rows, columns), (top, left) = map(len, self.tiles.spans), (self.side * number for number in place)
        return sorted(
            Window(row + skewed, (row - top, skewed - left), self.tiles.tile(row, skewed - row))
            for row in range(top, min(top + self.side, rows))
            for skewed in range(max(left, row), min(left + self.side, row + columns))
        )

    def needed(self, place: Place) -> list[Place]:
        """List the blocks that must be filled before one.

        Parameters
        ----------
        place
            Of the block.

        Returns
        -------
        list
            Their places.
        """
        i, j = place
        return [other for other in ((i, j - 1), (i - 1, j), (i - 1, j - 1)) if other in self]

    def box(self, place: Place) -> Box:
        """Find the part of the grid that holds a block and those that it needs.

        Parameters
        ----------
        place
            Of the block.

        Returns
        -------
        tuple of slice
            Rows and columns.
        """
        return around([window.tile for one in (place, *self.needed(place)) for window in self.windows(one)])

    def meeting(self, box: Box) -> list[Place]:
        """List the blocks that hold cells of a part of the grid.

        Parameters
        ----------
        box
            Rows and columns.

        Returns
        -------
        list
            Their places.
        """
        cores = ([core for _, core in spans] for spans in self.tiles.spans)
        found = product(*map(_meeting, cores, box))
        return sorted({(row // self.side, (row + column) // self.side) for row, column in found})

    def overlapping_in(self, parts: Sequence[Box]) -> list[Tile]:
        """List the windows of marginals that meet some parts of the grid.

        Parameters
        ----------
        parts
            Rows and columns of each.

        Returns
        -------
        list of Tile
            Row by row.
        """
        windows = [[window for window, _ in spans] for spans in self.overlapping.spans]
        found = {place for box in parts for place in product(*map(_meeting, windows, box))}
        return [self.overlapping.tile(*place) for place in sorted(found)]


def _meeting(spans: Sequence[Span], part: slice) -> list[int]:
    return [number for number, (start, stop) in enumerate(spans) if start < part.stop and part.start < stop]


def _extent(cells: Box) -> Box:
    rows, columns = (slice(part.stop - part.start) for part in cells)
    return rows, columns


def around(tiles: Sequence[Tile]) -> Box:
    """Find the part of a grid that holds some windows.

    Parameters
    ----------
    tiles
        Whose windows they are.

    Returns
    -------
    tuple of slice
        Rows and columns.

    Examples
    --------
    >>> tiles = Tiling(20, 9, (9, 9))
    >>> around([tiles.tile(0, 0), tiles.tile(1, 0)])
    (slice(0, 16, None), slice(0, 9, None))
    """
    down, across = zip(*(tile.window for tile in tiles), strict=True)
    rows, columns = (slice(min(one.start for one in axis), max(one.stop for one in axis)) for axis in (down, across))
    return rows, columns


@dataclass(frozen=True)
class Question:
    """What is asked of a grid, the same for all of its blocks, and small enough to send.

    Parameters
    ----------
    blocks
        Of the grid.
    stream
        The beginning of the names of its random streams.
    lanes
        The fills to make: -1 is the most likely one, the others are samples.
    decoder
        Which cells come first; None for the default.
    is_open
        Whether all cells are hidden, so that the fill is a sample.
    allowed
        1 for each symbol that hidden cells may have, otherwise 0; None for all.

    Examples
    --------
    >>> Question(Blocks((300, 300), (64, 64)), (0, 1), range(-1, 2)).evidence(np.s_[0:9, 0:9]) is None
    True
    """

    blocks: Blocks
    stream: Stream
    lanes: Sequence[int]
    decoder: Decoder | None = None
    is_open: bool = False
    allowed: tuple[float, ...] | None = None

    @property
    def together(self) -> list[Lanes]:
        """The fills that one task makes: the most likely one, or a few samples."""
        n = SAMPLES_OF_A_TASK if len(list(self.blocks)) >= MANY_BLOCKS else 1
        samples = [lane for lane in self.lanes if lane >= 0]
        some = (tuple(samples[first : first + n]) for first in range(0, len(samples), n))
        return [*((lane,) for lane in self.lanes if lane < 0), *some]

    def evidence(self, box: Box) -> Float[np.ndarray, "height width symbol"] | None:
        """Give the evidence in a part of the grid.

        Parameters
        ----------
        box
            Rows and columns.

        Returns
        -------
        array or None
            As `Likelihoods` holds it.
        """
        if self.allowed is None:
            return None
        rows, columns = (part.stop - part.start for part in box)
        return np.broadcast_to(np.array(self.allowed, float), (rows, columns, len(self.allowed)))

    def cells(self, puzzle: OneGrid) -> OneGrid:
        """Show the hidden cells, if they may have a single symbol.

        Parameters
        ----------
        puzzle
            A part of it, HIDDEN where hidden.

        Returns
        -------
        array
            The same, or with no hidden cells.
        """
        only = self.allowed.index(1) if self.allowed is not None and sum(self.allowed) == 1 else HIDDEN
        return np.where(puzzle == HIDDEN, only, puzzle).astype(np.int64)


def fill_block(
    predictor: Predictor,
    question: Question,
    place: Place,
    lanes: Sequence[int],
    puzzle: OneGrid,
    needed: Mapping[Place, Cores],
) -> tuple[Cores, Float[np.ndarray, "lane side side 4"]]:
    """Fill the windows of one block.

    Parameters
    ----------
    predictor
        What predicts the hidden cells.
    question
        What is asked.
    place
        Of the block.
    lanes
        Which fills: some samples, or the most likely one. Each is the same whatever is filled with it.
    puzzle
        The part of the puzzle in the box of the block.
    needed
        The cores that this returned for the blocks that it needs.

    Returns
    -------
    cores
        The cells of each core, for each fill.
    numbers
        The `NUMBERS` that each window adds.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> class OfWindows:
    ...     window, n_symbols, marginals = (4, 4), 2, posterior(squares(4, 4, 2, 3)).marginals
    >>> question = Question(Blocks((4, 9), (4, 4), 3), (0,), [-1])
    >>> puzzle = np.full((4, 9), -1)[question.blocks.box((0, 0))]
    >>> cores, numbers = fill_block(OfWindows(), question, (0, 0), [-1], puzzle, {})
    >>> cores.shape, numbers.shape
    ((1, 3, 3, 4, 3), (1, 3, 3, 4))
    """
    blocks, n = question.blocks, len(lanes)
    cells = np.repeat(question.cells(puzzle)[None], n, axis=0)
    streams = [(*question.stream, max(0, lane)) for lane in lanes]
    decoder, pick = question.decoder or default_decoder(predictor), pick_most_likely
    if lanes[0] >= 0 or question.is_open:
        pick = pick_sample
    evidence = cast(EvidenceIn | None, None if question.allowed is None else lambda _, box: question.evidence(box))
    sweep = Sweep(predictor, cells, cells == HIDDEN, streams, decoder, pick, evidence)
    sweep.top, sweep.left = (part.start for part in blocks.box(place))
    windows, numbers = blocks.windows(place), np.zeros((n, blocks.side, blocks.side, len(NUMBERS)))
    earlier = [(window, cores) for other, cores in needed.items() for window in blocks.windows(other)]
    for wave, together in groupby(windows, key=lambda window: window.wave):
        for window, decided in earlier:
            if window.wave < wave:  # a window sees no cell that row by row would come after it
                core = window.tile.below(sweep.top, sweep.left).core
                sweep.cells[:, *core] = decided[:, *window.inside, *_extent(core)]
                sweep.hidden[:, *core] = False
        inside = {id(window.tile): window for window in together}
        for number, tile, added in sweep.decide([window.tile for window in inside.values()]):
            numbers[number, *inside[id(tile)].inside] = added
    cores = np.zeros((n, blocks.side, blocks.side, *blocks.core), np.uint8)
    for window in windows:
        core = window.tile.below(sweep.top, sweep.left).core
        cores[:, *window.inside, *_extent(core)] = sweep.cells[:, *core]
    return cores, numbers


def marginals_in(
    predictor: Predictor, question: Question, parts: Sequence[Box], read: Callable[[Box], OneGrid]
) -> list[Float[np.ndarray, "_height _width symbol"]]:
    """Predict the cells of some parts of a grid that are near each other.

    Parameters
    ----------
    predictor
        What predicts them.
    question
        What is asked.
    parts
        Rows and columns of each.
    read
        Reads a part of the puzzle.

    Returns
    -------
    list of array
        The probability of each symbol at each cell, for each part.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> class OfWindows:
    ...     window, n_symbols, marginals = (4, 4), 2, posterior(squares(4, 4, 2, 3)).marginals
    >>> question = Question(Blocks((4, 9), (4, 4), 3), (0,), [-1])
    >>> everything = np.full((4, 9), -1)
    >>> marginals_in(OfWindows(), question, [np.s_[0:1, 0:1]], lambda box: everything[box])[0].shape
    (1, 1, 2)
    """
    tiles = question.blocks.overlapping_in(parts)
    box = around(tiles)
    corner = box[0].start, box[1].start
    cells, evidence = question.cells(read(box))[None], question.evidence(box)
    here = [tile.below(*corner) for tile in tiles]
    marginals = tiling.blended(predictor, cells, cells == HIDDEN, here, question.blocks.window)[0]
    if evidence is not None:
        marginals = np.where((cells[0] == HIDDEN)[..., None], given_evidence(marginals, evidence), marginals)
    return [marginals[Tile(part, part).below(*corner).core] for part in parts]


# The store


@dataclass(frozen=True, eq=False)
class Store:
    """What is known so far of the answers to a grid: arrays of zarr, and a marker for each block that is done.

    A block is one chunk of each array, which one task writes as a whole, before its marker: what a killed process wrote
    has no marker, and is written anew.

    Parameters
    ----------
    folder
        Where the store is, on a disk that all workers see.
    question
        What is asked.

    Examples
    --------
    >>> question = Question(Blocks((300, 300), (64, 64), 3), (0,), [-1])
    >>> Store(Path("store"), question).marker((0, 1), -1).name
    '-1.0.1.npy'
    """

    folder: Path
    question: Question
    _bands: dict[str, Any] = field(default_factory=dict)

    def array(self, name: str) -> Any:
        """Open an array.

        Parameters
        ----------
        name
            "puzzle", "cells" or "marginals".

        Returns
        -------
        zarr.Array
            On disk.
        """
        import zarr

        return zarr.open_array(self.folder / name, mode="r+")

    def create(self, n_bands: int) -> None:
        """Make the arrays of the answers, empty; what a run left keeps what is in it.

        Parameters
        ----------
        n_bands
            How many numbers of each cell are kept: its probability and its entropy, and that of each symbol in percent.

        Raises
        ------
        InputError
            When what a run left has other chunks, which tasks would share.
        """
        import zarr

        blocks, side = self.question.blocks, self.question.blocks.side
        windows = [side * length for length in blocks.shape]
        for name, n, n_of_chunk, dtype in (
            ("cells", len(self.question.lanes), 1, np.uint8),
            ("marginals", n_bands, n_bands, np.float32),
        ):
            shape, chunks = (n, *windows, *blocks.core), (n_of_chunk, side, side, *blocks.core)
            if not (self.folder / name).exists():
                zarr.create_array(self.folder / name, shape=shape, chunks=chunks, dtype=dtype)
            if (self.array(name).shape, self.array(name).chunks) != (shape, chunks):
                raise InputError(f"{self.folder / name} has other chunks than blocks have: remove {self.folder.parent}")
        (self.folder / "done").mkdir(exist_ok=True)

    def marker(self, place: Place, lane: int) -> Path:
        """Name the file that says that a block is done, and holds its numbers.

        Parameters
        ----------
        place, lane
            Of the block, and which fill.

        Returns
        -------
        Path
            The file, which need not exist.
        """
        return self.folder / "done" / f"{lane}.{place[0]}.{place[1]}.npy"

    def chunk(self, place: Place) -> Box:
        """Find a block in the arrays.

        Parameters
        ----------
        place
            Of the block.

        Returns
        -------
        tuple of slice
            Along the axes of windows.
        """
        rows, columns = (slice(n * self.question.blocks.side, (n + 1) * self.question.blocks.side) for n in place)
        return rows, columns

    def run(self, predictor: Predictor, place: Place, lanes: Sequence[int], *needed: None) -> None:
        """Fill a block, unless it is done already.

        Parameters
        ----------
        predictor
            The model.
        place, lanes
            Of the block, and which fills.
        *needed
            What is done before; not used.
        """
        lanes = [lane for lane in lanes if not self.marker(place, lane).exists()]
        if not lanes:
            return
        question, cells, puzzle = self.question, self.array("cells"), self.array("puzzle")
        blocks, numbers = question.blocks, [question.lanes.index(lane) for lane in lanes]
        filled = {
            other: np.stack([cells[number, *self.chunk(other)] for number in numbers]) for other in blocks.needed(place)
        }
        cores, added = fill_block(predictor, question, place, lanes, puzzle[blocks.box(place)], filled)
        for number, of_lane in zip(numbers, cores, strict=True):
            cells[number, *self.chunk(place)] = of_lane
        if numbers[0] == 0:  # the first fill brings the probabilities along
            bands = np.zeros((self.array("marginals").shape[0], *cores.shape[1:]), np.float32)
            windows = blocks.windows(place)
            found = marginals_in(predictor, question, [window.tile.core for window in windows], lambda box: puzzle[box])
            for (_, inside, tile), marginals in zip(windows, found, strict=True):
                here = *inside, *_extent(tile.core)
                fill = cores[0, *here].astype(np.int64) if lanes[0] < 0 else None
                bands[:, *here] = _bands_of(marginals, fill)[: len(bands)]
            self.array("marginals")[:, *self.chunk(place)] = bands
        for lane, of_lane in zip(lanes, added, strict=True):
            partial = self.marker(place, lane).with_suffix(f".{uuid4().hex}")
            with partial.open("wb") as file:
                np.save(file, of_lane)
            os.replace(partial, self.marker(place, lane))

    def left(self) -> list[tuple[Place, Lanes]]:
        """List what is not done yet.

        Returns
        -------
        list
            Places of blocks and fills, each after what it needs.
        """
        done = {path.name for path in (self.folder / "done").iterdir()}
        every = product(self.question.blocks, self.question.together)
        return [
            (place, lanes) for place, lanes in every if any(self.marker(place, lane).name not in done for lane in lanes)
        ]

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Read rows of cells.

        Parameters
        ----------
        name
            Of the array.
        start, stop
            The first row, and the one after the last.

        Returns
        -------
        array
            Fills or bands, rows and columns.
        """
        side, (down, across) = self.question.blocks.side, self.question.blocks.tiles.spans
        parts = []
        for row in _meeting([core for _, core in down], slice(start, stop)):
            i, (_, (first, end)) = row // side, down[row]
            if self._bands.get(name, (None, None))[0] != i:  # one row of blocks is in memory
                skewed = slice(i * side, (i + 1) * side + len(across))
                self._bands[name] = i, self.array(name)[:, i * side : (i + 1) * side, skewed]
            cores = self._bands[name][1][:, row % side, row % side :, max(start - first, 0) : min(stop, end) - first]
            cores = [cores[:, n, :, : right - left] for n, (_, (left, right)) in enumerate(across)]
            parts.append(np.concatenate(cores, axis=-1))
        return np.concatenate(parts, axis=1)

    def numbers(self) -> Float[np.ndarray, "fill 4"]:
        """Add up the numbers of all windows in the order in which one process does, since rounding depends on it.

        Returns
        -------
        array
            The `NUMBERS` of each fill.
        """
        side, (down, across) = self.question.blocks.side, map(len, self.question.blocks.tiles.spans)
        load = lru_cache(MARKERS_AT_ONCE)(lambda *place_and_lane: np.load(self.marker(*place_and_lane)))
        total = np.zeros((len(self.question.lanes), len(NUMBERS)))
        for first in range(0, down, ROWS_AT_ONCE):
            part = product(range(first, min(first + ROWS_AT_ONCE, down)), range(across))
            for row, column in sorted(part, key=lambda one: (2 * one[0] + one[1], one)):  # wave after wave
                place = row // side, (row + column) // side
                for number, lane in enumerate(self.question.lanes):
                    total[number] += load(place, lane)[row % side, (row + column) % side]
        return total


def _bands_of(marginals: np.ndarray, fill: np.ndarray | None) -> np.ndarray:
    """What is kept of marginals: probability, entropy, and percent."""
    nothing = np.zeros(marginals.shape[:2], np.int64)
    rows = answers.rows_of(0, nothing, fill, nothing[None][:0], marginals)
    return np.stack([rows.probability, rows.entropy, *np.rint(100 * np.moveaxis(marginals, -1, 0))])


Runner = Callable[[Store, Sequence[tuple[Place, Lanes]]], Iterable[Any]]  # runs blocks, and yields once for each


class AnswersByBlocks(AnswersByRows):
    """The answers to one grid larger than the window, computed in blocks: those of `AnswersByRows`, to the bit.

    Parameters
    ----------
    *of_rows
        What `AnswersByRows` takes up to the kind, which is not "typical".
    folder
        Where the store is. What is done there already is not done again.
    identity
        What the answers depend on; a store of other answers is begun anew.
    allowed
        As in `Question`.
    run
        Runs the blocks that are left on a cluster; by default in this process.
    watch
        Called with the share of blocks that are done.
    percent
        Whether marginals are kept, in whole percent.
    side
        Windows along each side of a block.

    Examples
    --------
    >>> from gridcloze.priors import Ising, posterior
    >>> class OfWindows:
    ...     window, n_symbols, marginals = (4, 4), 2, posterior(Ising(4, 4)).marginals
    >>> puzzle = np.where(np.arange(90).reshape(9, 10) % 7, -1, 0)
    >>> answers = AnswersByBlocks(OfWindows(), lambda start, stop: puzzle[start:stop], (9, 10), folder=Path("store"))
    >>> [rows.fill.shape for rows in answers], answers.hidden_cells
    ([(9, 10)], 77)
    """

    def __init__(
        self,
        *of_rows: Any,
        folder: Path,
        identity: Mapping[str, Any] | None = None,
        allowed: tuple[float, ...] | None = None,
        run: Runner | None = None,
        watch: Callable[[float], None] = lambda share: None,
        percent: bool = False,
        side: int = WINDOWS_OF_A_BLOCK,
    ):
        super().__init__(*of_rows)
        self.allowed, self.percent, self.watch = allowed, percent, watch
        self.identity = {**(identity or {}), "percent": percent, "windows of a block": side}
        # a folder of its own: a worker may still be busy with a block of a run that has ended and asked something else
        self.folder = folder / f"{crc32(json.dumps(self.identity).encode()):08x}"
        self.run = run or (lambda store, left: (store.run(self.predictor, *one) for one in left))
        self.blocks = Blocks(self.size, self.predictor.window or self.size, side)
        self.n_fills = int(self.kind == "likely")

    def _swept(self) -> Iterator[FilledRows]:
        store = self._opened()
        question, n_cells = store.question, self.size[0] * self.size[1]
        self.warnings = answers.warnings_of(self.hidden_cells, n_cells)
        left, total = store.left(), len(list(self.blocks)) * len(question.together)
        for done, _ in enumerate(self.run(store, left), start=1 + total - len(left)):
            self.watch(done / total)
        yield from self._rows(store)
        totals = store.numbers()
        self.passes = float((totals[self.n_fills :] if self.n_samples else totals)[:, NUMBERS.index("passes")].mean())
        if self.kind == "likely":
            fill = Fills(np.zeros((1, 1, 1, 1), np.int64), *totals[:1].T[..., None])
            self.log_prob_bits = float(fill.log_prob_bits[0, 0])
            if not question.is_open and not fill.is_typical.all():
                self.warnings.append(answers.not_typical(float(fill.excess_bits[0, 0])))

    def _rows(self, store: Store) -> Iterator[FilledRows]:
        """In the ranges in which `AnswersByRows` gives them, so that files that are written by them are equal, too."""
        cores, at_once = (
            [core for _, core in self.blocks.tiles.spans[0]],
            answers.MARGINALS_AT_ONCE * self.blocks.window[0],
        )
        for some in (cores[first : first + ROWS_AT_ONCE] for first in range(0, len(cores), ROWS_AT_ONCE)):
            for start in range(some[0][0], some[-1][1], at_once):
                stop = min(start + at_once, some[-1][1])
                hidden, cells = self.read_rows(start, stop) == HIDDEN, store.rows("cells", start, stop).astype(np.int64)
                probability, entropy, *percent = store.rows("marginals", start, stop).astype(np.float64)
                marginals = np.stack(percent or [probability], axis=-1) / 100
                fill = cells[0] if self.n_fills else None
                yield FilledRows(start, hidden, fill, cells[self.n_fills :], probability, entropy, marginals)

    def _opened(self) -> Store:
        """The store, in which the puzzle is; a store of other answers, or one that was not begun, is begun anew."""
        note = self.folder / "question.json"
        begun: Any = json.loads(note.read_text()) if note.exists() else {}
        is_begun = begun.get("identity") == self.identity
        if not is_begun:
            shutil.rmtree(self.folder.parent, ignore_errors=True)
            self.folder.mkdir(parents=True)
            begun = {"stream": self._copied(), "hidden": self.hidden_cells, "identity": self.identity}
        self.hidden_cells = begun["hidden"]
        lanes, is_open = range(-self.n_fills, self.n_samples), begun["hidden"] == self.size[0] * self.size[1]
        question = Question(self.blocks, tuple(begun["stream"]), lanes, self.decoder, is_open, self.allowed)
        store = Store(self.folder, question)
        store.create(2 + self.predictor.n_symbols * self.percent)
        write_json(note, begun)
        return store

    def _copied(self) -> Stream:
        """Copy the puzzle into the store, and name its random streams on the way."""
        import zarr

        chunks = tuple(min(PUZZLE_CHUNK, length) for length in self.size)
        puzzle = zarr.create_array(self.folder / "puzzle", shape=self.size, chunks=chunks, dtype=np.int16)
        for start in range(0, self.size[0], PUZZLE_CHUNK):
            rows = slice(start, min(start + PUZZLE_CHUNK, self.size[0]))
            puzzle[rows] = self.read_rows(rows.start, rows.stop).astype(np.int16)
        return self.stream()


# The cluster


@dataclass(frozen=True)
class ModelOnDisk:
    """A model that each worker reads from its own disk.

    Parameters
    ----------
    path
        Absolute.
    model_hash
        Of what it must be.
    version
        Of the gridcloze that reads it.

    Examples
    --------
    >>> ModelOnDisk(Path("none.safetensors"), "5eed").load()
    Traceback (most recent call last):
    gridcloze.words.InputError: none.safetensors: no such file; make a model with: gridcloze train ...
    """

    path: Path
    model_hash: str
    version: str = __version__

    def load(self) -> checkpoint.TrainedPredictor:
        """Read the model, once in a process.

        Returns
        -------
        TrainedPredictor
            The model.

        Raises
        ------
        InputError
            When there is no such file, or another model in it, or this is another version of gridcloze.
        """
        if self.version != __version__:
            raise InputError(f"it has gridcloze {__version__}, and you have {self.version}: install the same")
        predictor = _loaded(self.path)
        if predictor.header.hash != self.model_hash:
            raise InputError(f"{self.path} is another model there; copy the one that you fill with")
        return predictor


@lru_cache(1)
def _loaded(path: Path) -> checkpoint.TrainedPredictor:
    keep_freed_memory()  # workers of Dask give it back at once, which doubles the time of a forward pass (LOG.md)
    predictor = checkpoint.load(path)
    predictor.base.in_one_thread = True
    predictor.base.start_thread()
    return predictor


def _run_block(store: Store, model: ModelOnDisk, *of_block: Any) -> None:
    store.run(model.load(), *of_block)


def _why_not(model: ModelOnDisk) -> str:
    """Why a worker cannot take part, or nothing."""
    try:
        model.load()
    except InputError as error:
        return str(error)
    return ""


@dataclass(frozen=True, eq=False)
class Cluster:
    """Workers of Dask that run tasks.

    Parameters
    ----------
    client
        Of the scheduler.
    model
        What they fill with.

    Examples
    --------
    >>> Cluster(None, ModelOnDisk(Path("model.safetensors"), "5eed")).model.path.name
    'model.safetensors'
    """

    client: Any
    model: ModelOnDisk

    def check(self) -> None:
        """Refuse workers that would answer otherwise.

        Raises
        ------
        InputError
            When there are none, or one has another version of gridcloze, or not the model.
        """
        from distributed import TimeoutError

        try:
            self.client.wait_for_workers(1, timeout=SECONDS_TO_CONNECT)
            lines = self.client.run(_why_not, self.model)
        except TimeoutError:
            raise InputError("the scheduler has no workers: start some, with: dask worker ADDRESS") from None
        except ModuleNotFoundError as error:
            raise InputError(f"a worker lacks {error.name}: install gridcloze there, too") from None
        for address, line in lines.items():
            if line:
                raise InputError(f"worker {address}: {line}")

    def run(self, store: Store, left: Sequence[tuple[Place, Lanes]]) -> Iterator[Any]:
        """Run blocks, each when those that it needs are done; see `Runner`.

        Parameters
        ----------
        store
            Where they are.
        left
            The blocks that are not done, in an order in which they could be.

        Returns
        -------
        iterator
            Gives something for each that is done.
        """
        blocks = store.question.blocks
        return self.results(
            (
                _name_of(place, lanes),
                _run_block,
                (store, self.model, place, lanes),
                [_name_of(one, lanes) for one in blocks.needed(place)],
            )
            for place, lanes in left
        )

    def each(self, call: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Call a function with each of some items.

        Parameters
        ----------
        call
            The function.
        items
            What it is called with; some are on their way at once.

        Yields
        ------
        Any
            What it returned, in the order of the items.
        """
        early, wanted = dict[int, Any](), 0
        tasks = ((number, call, (item,), ()) for number, item in enumerate(items))
        for number, result in self.results(tasks, MOST_TASKS_WITH_DATA):
            early[number] = result
            while wanted in early:
                yield early.pop(wanted)
                wanted += 1

    def results(
        self, tasks: Iterator[tuple[Any, Callable[..., Any], tuple[Any, ...], Sequence[Any]]], most: int = MOST_TASKS
    ) -> Iterator[tuple[Any, Any]]:
        """Run tasks.

        Parameters
        ----------
        tasks
            Of each a name, a function, its arguments, and the names of earlier tasks that it waits for.
        most
            Tasks that the scheduler has at once.

        Yields
        ------
        tuple
            Name and result, as they are done.

        Raises
        ------
        InputError
            When a task failed again and again, or the scheduler is gone.
        """
        from distributed import as_completed

        futures, names, coming = {}, {}, as_completed([], self.client.loop)
        try:
            while True:
                for name, call, arguments, needed in islice(tasks, most - len(futures)):
                    waited = [futures[other] for other in needed if other in futures]
                    futures[name] = self.client.submit(call, *arguments, *waited, pure=False, retries=RETRIES)
                    names[futures[name].key] = name
                    coming.add(futures[name])
                if not futures:
                    return
                future = next(coming)
                name = names.pop(future.key)
                if future.status != "finished":
                    raise _failed(name, future)
                try:
                    result = future.result()
                except OSError:
                    raise InputError(GONE) from None
                yield name, result
                del futures[name]
        finally:
            with suppress(Exception):  # of a scheduler that is gone
                self.client.cancel(list(futures.values()), force=True)


def _name_of(place: Place, lanes: Lanes) -> str:
    samples = f"sample {lanes[0]}" if len(lanes) == 1 else f"samples {lanes[0]} to {lanes[-1]}"
    return f"block {place} of {'the fill' if lanes[0] < 0 else samples}"


def _failed(name: Any, future: Any) -> InputError:
    if future.status in ("cancelled", "lost"):
        return InputError(GONE)
    error = future.exception()
    line = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    what = name if isinstance(name, str) else f"group {name} of grids"
    return InputError(f"{what} failed {RETRIES + 1} times ({' '.join(line.split())[:300]}); the same command goes on")


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C, which the terminal sends to all processes, from the threads and processes that begin here.

    This process hears of it when they have begun, and ends them; they would print where they are.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    resource_tracker.ensure_running()  # the thread that starts it lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def cluster(address: str, model: ModelOnDisk) -> Iterator[Cluster]:
    """Connect to a scheduler of Dask, or start workers on this machine.

    Parameters
    ----------
    address
        "local:N" for N processes of one thread each; otherwise where the scheduler is, as in "tcp://host:8786".
    model
        What to fill with.

    Yields
    ------
    Cluster
        Whose workers were checked; what was started here ends with the `with` statement.

    Raises
    ------
    InputError
        When there is no scheduler, or a worker does not fit.

    Examples
    --------
    >>> with cluster("local:none", ModelOnDisk(Path("model.safetensors"), "5eed")):
    ...     pass
    Traceback (most recent call last):
    gridcloze.words.InputError: --dask local:none: give a number of processes, as in local:4
    """
    kind, _, number = address.partition(":")
    if kind == "local" and not (number.isdecimal() and int(number)):
        raise InputError(f"--dask {address}: give a number of processes, as in local:4")
    from dask import config
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        if kind == "local":
            stack.enter_context(config.set({"distributed.scheduler.allowed-failures": 100}))
            options: Any = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
            with _without_interrupts():
                local: Any = stack.enter_context(LocalCluster(n_workers=int(number), **options))
            address = local.scheduler_address
        try:
            client = stack.enter_context(Client(address, timeout=SECONDS_TO_CONNECT))
        except (OSError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
            raise InputError(
                f"--dask {address}: no scheduler answers there ({why}); start one: dask scheduler"
            ) from None
        found = Cluster(client, model)
        found.check()
        yield found
