"""Large grids in blocks of windows: each block is a task that any process can run, and that gives the same bits.

Dask and zarr are an extra: they are imported when a cluster or a store is used, not before.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, cast
from uuid import uuid4

import numpy as np
from jaxtyping import Float, UInt8

from . import answers, checkpoint, tiling
from .answers import AnswersByRows, FilledRows
from .decoding import NUMBERS, Decoder, Fills, default_decoder, pick_most_likely, pick_sample
from .files.paths import write_json
from .predictor import Predictor, Size, given_evidence
from .puzzles import Likelihoods, Puzzles, Stream
from .shapes import OneGrid
from .sweeping import ROWS_AT_ONCE, EvidenceIn, Sweep
from .tiling import Tile, Tiling
from .words import HIDDEN, InputError, __version__

WINDOWS_OF_A_BLOCK = 8  # along each of its sides
PUZZLE_CHUNK = 512
MOST_TASKS = 20_000  # that the scheduler knows of at once: about 100 MB
RETRIES = 3
SECONDS_TO_CONNECT = 10
MARKERS_AT_ONCE = 2**14  # of 2 KiB each
Place = tuple[int, int]  # of a block among blocks
Box = tuple[slice, slice]


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
    def shape(self) -> tuple[int, int]:
        """Of the array of all windows, in whole blocks: row, and column + row."""
        rows, columns = map(len, self.tiles.spans)
        return -(-rows // self.side) * self.side, -(-(rows + columns - 1) // self.side) * self.side

    def __contains__(self, place: Place) -> bool:
        return 0 <= place[0] < self.shape[0] // self.side and next(self._indices(place), None) is not None

    def __iter__(self) -> Iterator[Place]:
        down, across = (length // self.side for length in self.shape)
        for level in range(down + across - 1):
            yield from (place for i in range(min(level + 1, down)) if (place := (i, level - i)) in self)

    def _indices(self, place: Place) -> Iterator[tuple[int, int]]:
        """Row and column + row of each window."""
        rows, columns = map(len, self.tiles.spans)
        for row in range(place[0] * self.side, min((place[0] + 1) * self.side, rows)):
            for skewed in range(place[1] * self.side, (place[1] + 1) * self.side):
                if row <= skewed < row + columns:
                    yield row, skewed

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
        i, j = (self.side * number for number in place)
        found = [
            Window(row + skewed, (row - i, skewed - j), self.tiles.tile(row, skewed - row))
            for row, skewed in self._indices(place)
        ]
        return sorted(found, key=lambda window: (window.wave, window.inside))

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
        """Find the part of the grid that a block sees.

        Parameters
        ----------
        place
            Of the block.

        Returns
        -------
        tuple of slice
            Rows and columns.
        """
        return around([window.tile for window in self.windows(place)])

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
        down, across = (
            [n for n, (_, core) in enumerate(spans) if core[0] < part.stop and part.start < core[1]]
            for spans, part in zip(self.tiles.spans, box, strict=True)
        )
        return sorted({(row // self.side, (row + column) // self.side) for row in down for column in across})

    def around_overlapping(self, parts: Sequence[Box]) -> Box:
        """Find the part of the grid that the marginals of other parts depend on.

        Parameters
        ----------
        parts
            Rows and columns of each.

        Returns
        -------
        tuple of slice
            Rows and columns.
        """
        return around(self.overlapping_in(parts))

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
        down, across = (
            {
                (part.start, part.stop): [
                    number
                    for number, (window, _) in enumerate(spans)
                    if window[0] < part.stop and part.start < window[1]
                ]
                for part in {(part.start, part.stop): part for part in sides}.values()
            }
            for spans, sides in zip(self.overlapping.spans, zip(*parts, strict=True), strict=True)
        )
        meeting = {
            (row, column)
            for rows, columns in parts
            for row in down[rows.start, rows.stop]
            for column in across[columns.start, columns.stop]
        }
        return [self.overlapping.tile(row, column) for row, column in sorted(meeting)]


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
    rows, columns = (
        slice(min(part.start for part in side), max(part.stop for part in side)) for side in (down, across)
    )
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
    decoder
        Which cells come first; None for the default.
    kind
        As in `answers.fill`, but not "typical".
    samples
        Their number.
    is_open
        Whether all cells are hidden, so that the fill is a sample.
    allowed
        The symbols that hidden cells may have; None for all.

    Examples
    --------
    >>> Question(Blocks((300, 300), (64, 64)), (0, 1), None, "likely", 2).lanes
    [-1, 0, 1]
    """

    blocks: Blocks
    stream: Stream
    decoder: Decoder | None
    kind: answers.Kind
    samples: int
    is_open: bool = False
    allowed: tuple[bool, ...] | None = None

    @property
    def lanes(self) -> list[int]:
        """The fills to make: -1 is the most likely one, the others are samples."""
        return [*([-1] if self.kind == "likely" else []), *range(self.samples)]

    def evidence(self, box: Box) -> Float[np.ndarray, "height width symbol"] | None:
        """Give the evidence in a part of the grid.

        Parameters
        ----------
        box
            Rows and columns.

        Returns
        -------
        array or None
            As `Likelihoods.of_window` gives it.
        """
        if self.allowed is None:
            return None
        allowed = np.array(self.allowed)
        rows, columns = (part.stop - part.start for part in box)
        return Likelihoods.of_window(np.broadcast_to(allowed, (rows, columns, len(allowed))), np.s_[:, :])

    def settled(self, puzzle: OneGrid, box: Box) -> OneGrid:
        """Show the cells that evidence leaves a single symbol.

        Parameters
        ----------
        puzzle
            A part of it, HIDDEN where hidden.
        box
            Which part.

        Returns
        -------
        array
            With fewer hidden cells.
        """
        evidence = self.evidence(box)
        cells = puzzle.astype(np.int64)
        if evidence is None:
            return cells
        settled = Puzzles(cells[None], evidence=Likelihoods(evidence)).settled()
        return np.where(settled.hidden[0], HIDDEN, settled.cells[0])


Cores = UInt8[np.ndarray, "side side core_height core_width"]


def fill_block(
    predictor: Predictor, question: Question, place: Place, lane: int, puzzle: OneGrid, needed: Mapping[Place, Cores]
) -> tuple[Cores, Float[np.ndarray, "side side 4"]]:
    """Fill the windows of one block.

    Parameters
    ----------
    predictor
        What predicts the hidden cells.
    question
        What is asked.
    place
        Of the block.
    lane
        Which fill.
    puzzle
        The part of the puzzle that is `around` the windows of the block.
    needed
        What this returned for the blocks that it needs.

    Returns
    -------
    cores
        The cells of each core.
    numbers
        The `NUMBERS` that each window adds.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> class OfWindows:
    ...     window, n_symbols, marginals = (4, 4), 2, posterior(squares(4, 4, 2, 3)).marginals
    >>> question = Question(Blocks((4, 9), (4, 4), 3), (0,), None, "likely", 0)
    >>> puzzle = np.full((4, 9), -1)[question.blocks.box((0, 0))]
    >>> cores, numbers = fill_block(OfWindows(), question, (0, 0), -1, puzzle, {})
    >>> cores.shape, numbers.shape
    ((3, 3, 4, 3), (3, 3, 4))
    """
    blocks, windows = question.blocks, question.blocks.windows(place)
    box = around([window.tile for window in windows])
    cells = question.settled(puzzle, box)[None]
    is_sample = lane >= 0 or question.is_open
    evidence = cast(EvidenceIn | None, None if question.allowed is None else lambda _, box: question.evidence(box))
    sweep = Sweep(
        predictor,
        cells,
        cells == HIDDEN,
        [(*question.stream, max(0, lane))],
        question.decoder or default_decoder(predictor),
        pick_sample if is_sample else pick_most_likely,
        evidence,
    )
    sweep.top, sweep.left = box[0].start, box[1].start
    earlier = sorted(
        ((window, decided[window.inside]) for other, decided in needed.items() for window in blocks.windows(other)),
        key=lambda pair: pair[0].wave,
        reverse=True,
    )
    numbers = dict[int, np.ndarray]()
    for wave, together in groupby(windows, key=lambda window: window.wave):
        while earlier and earlier[-1][0].wave < wave:  # a window sees no cell that row by row would come after it
            window, decided = earlier.pop()
            if all(
                core.start < part.stop and part.start < core.stop
                for core, part in zip(window.tile.core, box, strict=True)
            ):
                sweep.show(window.tile, decided.astype(np.int64))
        numbers |= {id(tile): added for tile, added in sweep.decide([window.tile for window in together])}
    cores = np.zeros((blocks.side, blocks.side, *blocks.core), np.uint8)
    added = np.zeros((blocks.side, blocks.side, len(NUMBERS)))
    for window in windows:
        core = sweep.cells[0][window.tile.below(sweep.top, sweep.left).core]
        cores[window.inside][: core.shape[0], : core.shape[1]] = core
        added[window.inside] = numbers.get(id(window.tile), 0)
    return cores, added


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
    >>> question = Question(Blocks((4, 9), (4, 4), 3), (0,), None, "likely", 0)
    >>> everything = np.full((4, 9), -1)
    >>> marginals_in(OfWindows(), question, [np.s_[0:1, 0:1]], lambda box: everything[box])[0].shape
    (1, 1, 2)
    """
    tiles = question.blocks.overlapping_in(parts)
    box = around(tiles)
    top, left = box[0].start, box[1].start
    cells = question.settled(read(box), box)[None]
    here = [tile.below(top, left) for tile in tiles]
    every = tiling.blended(predictor, cells, cells == HIDDEN, here, question.blocks.window)[0]
    found = []
    for rows, columns in parts:
        wanted = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        marginals, evidence = every[wanted], question.evidence((rows, columns))
        if evidence is not None:
            is_hidden = (cells[0][wanted] == HIDDEN)[..., None]
            marginals = np.where(is_hidden, given_evidence(marginals, evidence), marginals)
        found.append(marginals)
    return found


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
    >>> question = Question(Blocks((300, 300), (64, 64), 3), (0,), None, "likely", 0)
    >>> Store(Path("store"), question).marker((0, 1), -1).name
    '-1.0.1.npy'
    """

    folder: Path
    question: Question
    _bands: dict[str, Any] = field(default_factory=dict)

    def array(self, name: str, mode: str = "r+") -> Any:
        """Open an array.

        Parameters
        ----------
        name
            "puzzle", "cells", "uncertainty" or "percent".
        mode
            As zarr takes it.

        Returns
        -------
        zarr.Array
            On disk.
        """
        import zarr

        return zarr.open_array(self.folder / name, mode=mode)  # type: ignore[arg-type]

    def create(self, n_symbols: int) -> None:
        """Make the arrays of the answers, empty.

        Parameters
        ----------
        n_symbols
            How many percentages a cell has; 0 for none.
        """
        import zarr

        blocks, lanes = self.question.blocks, len(self.question.lanes)
        side, core = blocks.side, blocks.core
        for name, first, chunk, dtype in (
            ("cells", lanes, 1, np.uint8),
            ("uncertainty", 2, 2, np.float32),
            ("percent", n_symbols, n_symbols, np.uint8),
        ):
            if first:
                shape, chunks = (first, *blocks.shape, *core), (chunk, side, side, *core)
                zarr.create_array(self.folder / name, shape=shape, chunks=chunks, dtype=dtype, overwrite=True)
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
        side = self.question.blocks.side
        return slice(place[0] * side, (place[0] + 1) * side), slice(place[1] * side, (place[1] + 1) * side)

    def run(self, predictor: Predictor, place: Place, lane: int) -> None:
        """Fill a block, unless it is done already.

        Parameters
        ----------
        predictor
            The model.
        place, lane
            Of the block, and which fill.
        """
        if self.marker(place, lane).exists():
            return
        question, cells = self.question, self.array("cells")
        number, puzzle = question.lanes.index(lane), self.array("puzzle")
        windows = question.blocks.windows(place)
        needed = {other: cells[number, *self.chunk(other)] for other in question.blocks.needed(place)}
        read = lambda box: puzzle[box]  # noqa: E731
        box = around([window.tile for window in windows])
        cores, numbers = fill_block(predictor, question, place, lane, read(box), needed)
        cells[number, *self.chunk(place)] = cores
        if number == 0:  # the first fill brings the probabilities along
            self._write_marginals(predictor, place, windows, cores if lane < 0 else None, read)
        partial = self.marker(place, lane).with_suffix(f".{uuid4().hex}")
        with partial.open("wb") as file:
            np.save(file, numbers)
        os.replace(partial, self.marker(place, lane))

    def _write_marginals(
        self, predictor: Predictor, place: Place, windows: Sequence[Window], fill: Cores | None, read: Any
    ) -> None:
        blocks = self.question.blocks
        parts = [window.tile.core for window in windows]
        uncertainty = np.zeros((2, blocks.side, blocks.side, *blocks.core), np.float32)
        percent = np.zeros((predictor.n_symbols, *uncertainty.shape[1:]), np.uint8)
        for window, marginals in zip(windows, marginals_in(predictor, self.question, parts, read), strict=True):
            height, width, _ = marginals.shape
            here = *window.inside, slice(height), slice(width)
            of_fill = None if fill is None else fill[here].astype(np.int64)
            nothing = np.zeros((height, width), np.int64)
            rows = answers.rows_of(0, nothing, of_fill, nothing[None][:0], marginals)
            uncertainty[:, *here] = rows.probability, rows.entropy
            percent[:, *here] = np.rint(100 * np.moveaxis(marginals, -1, 0))
        self.array("uncertainty")[:, *self.chunk(place)] = uncertainty
        if (self.folder / "percent").exists():
            self.array("percent")[:, *self.chunk(place)] = percent

    def left(self) -> list[tuple[Place, int]]:
        """List what is not done yet.

        Returns
        -------
        list
            Places of blocks and fills, each after what it needs.
        """
        done = {path.name for path in (self.folder / "done").iterdir()}
        every = ((place, lane) for place in self.question.blocks for lane in self.question.lanes)
        return [one for one in every if self.marker(*one).name not in done]

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
        down, across = self.question.blocks.tiles.spans
        parts = []
        for row, (_, (first, end)) in enumerate(down):
            if first < stop and start < end:
                rows = slice(max(0, start - first), min(stop, end) - first)
                cores = self._band(name, row)[:, :, rows]
                widths = (right - left for _, (left, right) in across)
                parts.append(np.concatenate([cores[:, n, :, :width] for n, width in enumerate(widths)], axis=-1))
        return np.concatenate(parts, axis=1)

    def _band(self, name: str, row: int) -> np.ndarray:
        """The cores of a row of windows, read together with those of its blocks."""
        side, columns = self.question.blocks.side, len(self.question.blocks.tiles.spans[1])
        i = row // side
        if self._bands.get(name, (None, None))[0] != i:
            self._bands[name] = i, self.array(name)[:, i * side : (i + 1) * side, i * side : (i + 1) * side + columns]
        return self._bands[name][1][:, row % side, row % side : row % side + columns]

    def numbers(self) -> Float[np.ndarray, "fill 4"]:
        """Add up the numbers of all windows in the order in which one process does, since rounding depends on it.

        Returns
        -------
        array
            The `NUMBERS` of each fill.
        """
        side, tiles = self.question.blocks.side, self.question.blocks.tiles
        total = np.zeros((len(self.question.lanes), len(NUMBERS)))
        down, across = map(len, tiles.spans)
        for number, lane in enumerate(self.question.lanes):
            load = lru_cache(MARKERS_AT_ONCE)(lambda i, j, lane=lane: np.load(self.marker((i, j), lane)))
            for first in range(0, down, ROWS_AT_ONCE):
                rows = range(first, min(first + ROWS_AT_ONCE, down))
                for wave in range(2 * (len(rows) - 1) + across):
                    for row in rows:
                        if 0 <= (column := wave - 2 * (row - first)) < across:
                            skewed = column + row
                            of_block = load(row // side, skewed // side)
                            total[number] += of_block[row % side, skewed % side]
        return total


Runner = Callable[[Store, Sequence[tuple[Place, int]]], Iterator[None]]  # runs blocks, and yields once for each


class AnswersByBlocks(AnswersByRows):
    """The answers to one grid larger than the window, computed in blocks: those of `AnswersByRows`, to the bit.

    Parameters
    ----------
    predictor, read_rows, size, samples, seed, decoder, kind
        As in `AnswersByRows`; there is no kind "typical".
    allowed
        The symbols that hidden cells may have; None for all.
    folder
        The store. What is done there already is not done again.
    identity
        What the answers depend on; a store of other answers is begun anew.
    run
        Runs the blocks that are left, in this process or on a cluster.
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
    >>> asked = lambda start, stop: puzzle[start:stop], (9, 10), 0, 0, None, "likely", None
    >>> answers = AnswersByBlocks(OfWindows(), *asked, Path("store"), {}, run_here(OfWindows()))
    >>> [rows.fill.shape for rows in answers], answers.hidden_cells
    ([(9, 10)], 77)
    """

    def __init__(
        self,
        predictor: Predictor,
        read_rows: answers.ReadRows,
        size: Size,
        samples: int,
        seed: int,
        decoder: Decoder | None,
        kind: answers.Kind,
        allowed: tuple[bool, ...] | None,
        folder: Path,
        identity: Mapping[str, Any],
        run: Runner,
        watch: Callable[[float], None] = lambda share: None,
        percent: bool = False,
        side: int | None = None,
    ):
        super().__init__(predictor, read_rows, size, samples, seed, decoder, kind)
        if kind == "typical":
            raise InputError("the most typical sample is not searched in blocks: leave out --typical, or --dask")
        self.allowed, self.folder, self.run, self.watch = allowed, folder, run, watch
        self.identity, self.percent = {**identity, "kept": percent}, percent
        self.blocks = Blocks(size, predictor.window or size, side or WINDOWS_OF_A_BLOCK)

    def _swept(self) -> Iterator[FilledRows]:
        store = self._opened()
        question, n_cells = store.question, self.size[0] * self.size[1]
        self.warnings = answers.warnings_of(self.hidden_cells, n_cells)
        left, total = store.left(), len(list(self.blocks)) * len(question.lanes)
        for done, _ in enumerate(self.run(store, left), start=1 + total - len(left)):
            self.watch(done / total)
        yield from self._rows(store)
        totals = store.numbers()
        of_fill = Fills(np.zeros((1, 1, 1, 1), np.int64), *totals[:1].T.reshape(len(NUMBERS), 1, 1))
        passes = totals[question.lanes.index(0) :, NUMBERS.index("passes")] if self.n_samples else totals[:1, 1]
        self.passes = float(passes.mean())
        if self.kind == "likely":
            self.log_prob_bits = float(of_fill.log_prob_bits[0, 0])
            if not question.is_open and not of_fill.is_typical.all():
                self.warnings.append(answers.not_typical(float(of_fill.excess_bits[0, 0])))

    def _rows(self, store: Store) -> Iterator[FilledRows]:
        """In the ranges in which `AnswersByRows` gives them, so that files that are written by them are equal, too."""
        down, at_once = self.blocks.tiles.spans[0], answers.MARGINALS_AT_ONCE * self.blocks.window[0]
        n_fills = len(store.question.lanes) - self.n_samples
        for first in range(0, len(down), ROWS_AT_ONCE):
            end = down[min(first + ROWS_AT_ONCE, len(down)) - 1][1][1]
            for start in range(down[first][1][0], end, at_once):
                stop = min(start + at_once, end)
                cells = store.rows("cells", start, stop).astype(np.int64)
                uncertainty = store.rows("uncertainty", start, stop).astype(np.float64)
                marginals = (
                    store.rows("percent", start, stop) / 100 if self.percent else np.zeros((1, *cells.shape[1:]))
                )
                probability, entropy = uncertainty
                yield FilledRows(
                    start,
                    self.read_rows(start, stop) == HIDDEN,
                    cells[0] if n_fills else None,
                    cells[n_fills:],
                    probability,
                    entropy,
                    np.moveaxis(marginals, 0, -1),
                )

    def _opened(self) -> Store:
        """The store, in which the puzzle is; a store of other answers, or one that was not begun, is begun anew."""
        note = self.folder / "question.json"
        kept: Any = json.loads(note.read_text()) if note.exists() else None
        if kept is not None and kept["identity"] == self.identity and kept["side"] != self.blocks.side:
            had = f"{self.folder} has chunks of {kept['side']} by {kept['side']} windows, not {self.blocks.side}"
            raise InputError(f"{had}: remove it, or use the version of gridcloze that began it")
        is_begun = kept is not None and kept["identity"] == self.identity
        if not is_begun:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            begun: Any = {"identity": self.identity, "side": self.blocks.side, "stream": self._copied()}
            begun["hidden"] = self.hidden_cells
        else:
            begun = kept
        self.hidden_cells = begun["hidden"]
        is_open = begun["hidden"] == self.size[0] * self.size[1]
        of_answers = self.decoder, self.kind, self.n_samples, is_open, self.allowed
        store = Store(self.folder, Question(self.blocks, tuple(begun["stream"]), *of_answers))
        if not is_begun:
            store.create(self.predictor.n_symbols if self.percent else 0)
            write_json(note, begun)
        return store

    def _copied(self) -> list[int]:
        """Copy the puzzle into the store, and name its random streams on the way."""
        import zarr

        chunks = tuple(min(PUZZLE_CHUNK, length) for length in self.size)
        puzzle = zarr.create_array(self.folder / "puzzle", shape=self.size, chunks=chunks, dtype=np.int16)
        for start in range(0, self.size[0], PUZZLE_CHUNK):
            stop = min(start + PUZZLE_CHUNK, self.size[0])
            puzzle[start:stop] = self.read_rows(start, stop).astype(np.int16)
        return list(self.stream())


def run_here(predictor: Any) -> Runner:
    """Run blocks one after the other in this process.

    Parameters
    ----------
    predictor
        The model.

    Returns
    -------
    function
        For `AnswersByBlocks`.

    Examples
    --------
    >>> callable(run_here(None))
    True
    """

    def run(store: Store, left: Sequence[tuple[Place, int]]) -> Iterator[None]:
        for place, lane in left:
            yield store.run(predictor, place, lane)

    return run


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

    Examples
    --------
    >>> ModelOnDisk(Path("none.safetensors"), "5eed").load()
    Traceback (most recent call last):
    gridcloze.words.InputError: none.safetensors: no such file; make a model with: gridcloze train ...
    """

    path: Path
    model_hash: str

    def load(self) -> checkpoint.TrainedPredictor:
        """Read the model, once in a process.

        Returns
        -------
        TrainedPredictor
            The model.

        Raises
        ------
        InputError
            When there is no such file, or another model in it.
        """
        predictor = _loaded(self.path)
        if predictor.header.hash != self.model_hash:
            raise InputError(f"{self.path} is another model there; copy the one that you fill with")
        return predictor


@lru_cache(1)
def _loaded(path: Path) -> checkpoint.TrainedPredictor:
    return checkpoint.load(path)


def _run_block(store: Store, model: ModelOnDisk, place: Place, lane: int, *needed: None) -> None:
    store.run(model.load(), place, lane)


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
        except TimeoutError:
            raise InputError("the scheduler has no workers: start some, with: dask worker ADDRESS") from None
        try:
            lines = self.client.run(_why_not, self.model, __version__)
        except ModuleNotFoundError as error:
            raise InputError(f"a worker lacks {error.name}: install gridcloze there, too") from None
        for address, line in lines.items():
            if line:
                raise InputError(f"worker {address}: {line}")

    def run(self, store: Store, left: Sequence[tuple[Place, int]]) -> Iterator[None]:
        """Run blocks, each when those that it needs are done; see `Runner`.

        Parameters
        ----------
        store
            Where they are.
        left
            The blocks that are not done, in an order in which they could be.

        Yields
        ------
        None
            For each that is done.
        """
        blocks = store.question.blocks
        tasks = (
            ((place, lane), _run_block, (store, self.model, place, lane), [(o, lane) for o in blocks.needed(place)])
            for place, lane in left
        )
        yield from (None for _ in self.results(tasks))

    def results(
        self,
        tasks: Iterator[tuple[Any, Callable[..., Any], tuple[Any, ...], Sequence[Any]]],
        most: int = MOST_TASKS,
    ) -> Iterator[Any]:
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

        job, names, futures, coming = uuid4().hex[:8], {}, {}, as_completed([], with_results=False)

        def submit() -> None:
            while len(futures) < most and (task := next(tasks, None)) is not None:
                name, call, arguments, needed = task
                waited = [futures[other] for other in needed if other in futures]
                key, options = f"gridcloze-{job}-{len(names)}", {"pure": False, "retries": RETRIES}
                futures[name] = self.client.submit(call, *arguments, *waited, key=key, **options)
                names[key] = name
                coming.add(futures[name])

        submit()
        try:
            for future in coming:
                name = names[future.key]
                if future.status != "finished":
                    raise _failed(name, future)
                yield name, future.result()
                del futures[name]
                submit()
        finally:
            with suppress(Exception):  # of a scheduler that is gone
                self.client.cancel(list(futures.values()), force=True)


def _failed(name: Any, future: Any) -> InputError:
    if future.status in ("cancelled", "lost"):
        return InputError("the scheduler is gone: start it again; the same command goes on with what is not finished")
    error = future.exception()
    line = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return InputError(f"{name} failed {RETRIES + 1} times ({' '.join(line.split())[:300]}); the same command goes on")


def _why_not(model: ModelOnDisk, version: str) -> str:
    """Why a worker cannot take part, or nothing."""
    if version != __version__:
        return f"it has gridcloze {__version__}, and you have {version}: install the same"
    try:
        model.load()
    except InputError as error:
        return str(error)
    return ""


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
    with ExitStack() as stack:
        from dask import config
        from distributed import Client, LocalCluster

        if kind == "local":
            if not number.isdecimal() or int(number) == 0:
                raise InputError(f"--dask {address}: give a number of processes, as in local:4")
            stack.enter_context(config.set({"distributed.scheduler.allowed-failures": 100}))
            options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
            local = stack.enter_context(LocalCluster(n_workers=int(number), **options))
            client = stack.enter_context(Client(local))
        else:
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
