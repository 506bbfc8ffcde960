"""The one fill behind every door: visible cells are kept, and doubted where they contradict the rest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from . import checking, filling, tiling
from .decoding import Decoder, Fills, default_decoder, pick_most_likely, pick_sample
from .filling import CANDIDATES
from .predictor import Predictor, Size, entropy_bits, exceeds_window, known_or
from .puzzles import Puzzles, name_of
from .shapes import Bits, Cells, Hidden, Marginals, OneHidden, Samples
from .sweeping import ReadRows, Sweep, sweep_by_rows
from .tiling import Tiling
from .words import HIDDEN

MARGINALS_AT_ONCE = 4  # windows above each other whose marginals are in memory
CELLS_AT_ONCE = 2**20  # that are read at once to name a puzzle

PLACES = 5  # of cells, that a warning names

NOTHING_HIDDEN = "no cell is hidden: nothing to fill, returned as it came"
EVERYTHING_HIDDEN = "every cell is hidden: the fill is a sample of the prior"


def fill(
    predictor: Predictor, puzzles: Puzzles, samples: int = 0, seed: int = 0, decoder: Decoder | None = None
) -> "Answers":
    """Fill the hidden cells of puzzles: what the command `fill`, `Inpainter` and maps all call.

    Parameters
    ----------
    predictor
        A model, or an exact posterior.
    puzzles
        Grids with hidden cells, and evidence if there is some.
    samples
        Joint samples of each puzzle; the fill is the same whatever their number.
    seed
        From which all random numbers follow.
    decoder
        Which cells come first, and how many in a forward pass. By default that of `default_decoder`.

    Returns
    -------
    Answers
        Each part is computed when it is first looked at.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> puzzles = Puzzles(np.array([[[0, -1, -1], [-1, -1, -1], [-1, 1, -1]]]))
    >>> answers = fill(posterior(squares(3, 3, 2, 3)), puzzles, samples=2)
    >>> answers.fill[0].tolist(), answers.samples.shape
    ([[0, 0, 0], [0, 1, 1], [0, 1, 1]], (1, 2, 3, 3))
    """
    return Answers(predictor, puzzles, samples, seed, decoder)


class Answers:
    """Fills, samples and probabilities of some puzzles; each part is computed when it is first looked at.

    Visible cells that the others all but rule out are treated as if they were hidden, kept in every result, and named
    in `warnings`. In windows of textures rare cells are no errors, so a predictor with a window believes all cells.

    Parameters
    ----------
    predictor, puzzles, samples, seed, decoder
        As in `fill`.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> Answers(posterior(squares(3, 3, 2, 3)), Puzzles(np.full((1, 3, 3), -1))).warnings
    [['every cell is hidden: the fill is a sample of the prior']]
    """

    def __init__(
        self,
        predictor: Predictor,
        puzzles: Puzzles,
        samples: int = 0,
        seed: int = 0,
        decoder: Decoder | None = None,
    ):
        self.predictor, self.puzzles, self.n_samples = predictor, puzzles, samples
        self.seed, self.decoder = seed, decoder
        self._sampled: Fills | None = None

    @cached_property
    def contradicting(self) -> Hidden:
        """The visible cells that contradict the others of their grid."""
        if self.predictor.window is not None:
            return np.zeros_like(self.puzzles.hidden)
        return checking.contradicting(self.predictor, self.puzzles)

    @cached_property
    def _believed(self) -> Puzzles:
        """The puzzles without what contradicts the rest."""
        return self.puzzles.with_hidden(self.contradicting)

    @cached_property
    def _best(self) -> tuple[Cells, Bits, Float[np.ndarray, "batch"]]:
        """The most likely fill, its log-probability and forward passes."""
        is_open, sweeps = self._believed.hidden.all(axis=(1, 2)), self._exceeds_window
        candidates = None if sweeps else self._samples_from_0_to(CANDIDATES)
        best = filling.most_likely(self.predictor, self._believed, self.seed, self.decoder, candidates)
        cells, bits = best.cells[:, 0].copy(), best.log_prob_bits[:, 0].copy()
        if is_open.any():  # the most likely grid of a prior is no answer to "show me one"
            one = self._samples_from_0_to(1)
            cells[is_open], bits[is_open] = one.cells[is_open, 0], one.log_prob_bits[is_open, 0]
        return cells, bits, best.passes.mean(axis=1)

    @property
    def fill(self) -> Cells:
        """The most likely grid found; of a puzzle with every cell hidden, a sample."""
        return np.where(self.puzzles.hidden, self._best[0], self.puzzles.cells)

    @property
    def log_prob_bits(self) -> Bits:
        """The log-probability (base 2) of what was filled in."""
        return self._best[1]

    @property
    def samples(self) -> Samples:
        """The joint samples that were asked for."""
        cells = self._samples_from_0_to(self.n_samples).cells
        return np.where(self.puzzles.hidden[:, None], cells, self.puzzles.cells[:, None])

    @cached_property
    def marginals(self) -> Marginals:
        """The probability of each symbol at each cell; a visible cell has its own with probability 1."""
        marginals = filling.marginals(self.predictor, self._believed, self.seed)
        return known_or(marginals, self.puzzles.cells, self.puzzles.hidden)

    @property
    def passes(self) -> Float[np.ndarray, "batch"]:
        """Forward passes for a sample, on average; of large grids of which no sample was asked for, for the fill."""
        if self._exceeds_window and not self.n_samples:
            return self._best[2]
        return self._samples_from_0_to(max(self.n_samples, CANDIDATES)).passes.mean(axis=1)

    @property
    def contradictions(self) -> list[str]:
        """A line on the cells of each puzzle that contradict the others, or nothing."""
        return [_contradiction(cells) for cells in self.contradicting]

    @property
    def warnings(self) -> list[list[str]]:
        """What there is to say about each puzzle."""
        lines = zip(self.puzzles.hidden, self.contradictions, strict=True)
        return [_warnings(int(hidden.sum()), hidden.size, contradiction) for hidden, contradiction in lines]

    @property
    def _exceeds_window(self) -> bool:
        return exceeds_window(self.predictor, self.puzzles.cells.shape)

    def _samples_from_0_to(self, n: int) -> Fills:
        """A sample is the same whatever is drawn with it, so only those that are missing are drawn."""
        first = 0 if self._sampled is None else self._sampled.cells.shape[1]
        if self._sampled is None or n > first:
            new = filling.sample(self.predictor, self._believed, n - first, self.seed, self.decoder, first)
            self._sampled = new if self._sampled is None else self._sampled.joined(new)
        return self._sampled.first(n)


def _warnings(hidden_cells: int, cells: int, contradiction: str = "") -> list[str]:
    extent = {0: NOTHING_HIDDEN, cells: EVERYTHING_HIDDEN}.get(hidden_cells, "")
    return [line for line in (extent, contradiction) if line]


def _contradiction(cells: OneHidden) -> str:
    places = in_places(cells)
    if not places:
        return ""
    return f"visible cells contradict the rest, at {places}: kept, and the others filled as if these were hidden"


def in_places(cells: OneHidden) -> str:
    """Say where some cells are.

    Parameters
    ----------
    cells
        True at these cells.

    Returns
    -------
    str
        Row and column of the first five, and how many more there are; nothing if there are none.

    Examples
    --------
    >>> in_places(np.eye(7, dtype=bool)[:3])
    '(row 0, column 0), (row 1, column 1), (row 2, column 2)'
    >>> in_places(np.eye(7, dtype=bool))[-28:]
    '(row 4, column 4) and 2 more'
    """
    found = np.argwhere(cells).tolist()
    more = f" and {len(found) - PLACES} more" if len(found) > PLACES else ""
    return ", ".join(f"(row {row}, column {column})" for row, column in found[:PLACES]) + more


@dataclass(frozen=True)
class FilledRows:
    """Whole rows of the answers to one grid.

    Parameters
    ----------
    start
        The first of these rows.
    hidden
        True where a cell was hidden.
    fill, samples
        As in `Answers`, without the axis of grids.
    probability
        Of what was filled in, given the visible cells; 1 at visible ones.
    entropy
        Of each cell given the visible ones, in bits; 0 at visible ones.
    marginals
        The probability of each symbol at each cell.

    Examples
    --------
    >>> cell = np.zeros((1, 1))
    >>> FilledRows(0, cell > 0, cell.astype(int), np.zeros((0, 1, 1), int), cell + 1, cell, cell[..., None] + 1).start
    0
    """

    start: int
    hidden: Bool[np.ndarray, "rows width"]
    fill: Int[np.ndarray, "rows width"]
    samples: Int[np.ndarray, "sample rows width"]
    probability: Float[np.ndarray, "rows width"]
    entropy: Float[np.ndarray, "rows width"]
    marginals: Float[np.ndarray, "rows width symbol"]


class AnswersByRows:
    """The answers to one grid that need not fit into memory, in rows from above: those of `fill`, to the bit.

    A grid that is not larger than the predictor's window, or any grid of a predictor without one, is read as a whole.

    Parameters
    ----------
    predictor
        What predicts the hidden cells.
    read_rows
        Called with a first row and the one after the last; returns their cells, HIDDEN where hidden.
    size
        Of the grid.
    samples, seed, decoder
        As in `fill`.

    Attributes
    ----------
    hidden_cells
        How many cells are hidden.
    warnings
        As one of `Answers.warnings`; complete when all rows are through, as are the next two.
    log_prob_bits, passes
        As in `Answers`.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> puzzle = np.array([[0, -1, -1], [-1, -1, -1], [-1, 1, -1]])
    >>> answers = AnswersByRows(posterior(squares(3, 3, 2, 3)), lambda start, stop: puzzle[start:stop], (3, 3))
    >>> [rows.fill.tolist() for rows in answers], answers.hidden_cells
    ([[[0, 0, 0], [0, 1, 1], [0, 1, 1]]], 7)
    """

    def __init__(
        self,
        predictor: Predictor,
        read_rows: ReadRows,
        size: Size,
        samples: int = 0,
        seed: int = 0,
        decoder: Decoder | None = None,
    ):
        self.predictor, self.read_rows, self.size = predictor, read_rows, size
        self.n_samples, self.seed, self.decoder = samples, seed, decoder
        self.hidden_cells, self.warnings, self.log_prob_bits, self.passes = 0, list[str](), 0.0, 0.0

    def __iter__(self) -> Iterator[FilledRows]:
        return self._swept() if exceeds_window(self.predictor, self.size) else self._whole()

    def _whole(self) -> Iterator[FilledRows]:
        cells = self.read_rows(0, self.size[0])[None].astype(np.int64)
        answers = fill(self.predictor, Puzzles(cells), self.n_samples, self.seed, self.decoder)
        self.hidden_cells, self.warnings = int(answers.puzzles.hidden.sum()), answers.warnings[0]
        yield _rows_of(0, cells[0], answers.fill[0], answers.samples[0], answers.marginals[0])
        self.log_prob_bits, self.passes = float(answers.log_prob_bits[0]), float(answers.passes[0])

    def _swept(self) -> Iterator[FilledRows]:
        predictor, window = self.predictor, self.predictor.window or self.size
        decoder = self.decoder or default_decoder(predictor)
        stream = (self.seed, *self._name())
        self.warnings = _warnings(self.hidden_cells, self.size[0] * self.size[1])
        is_open = self.hidden_cells == self.size[0] * self.size[1]
        nothing = np.empty((1, 0, self.size[1]), dtype=np.int64)

        def sweep(draws: int, pick: Callable) -> Sweep:
            none = nothing.repeat(draws, axis=0)
            streams = [(*stream, draw) for draw in range(draws)]
            return Sweep(predictor, none, none == HIDDEN, streams, decoder, pick)

        likely = sweep(1, pick_sample if is_open else pick_most_likely)
        sampled, overlapping = sweep(self.n_samples, pick_sample), Tiling(*self.size, window, tiling.HALF_OVERLAPPING)
        for start, stop in sweep_by_rows((likely, sampled), self.read_rows, self.size, window):
            for first in range(start, stop, MARGINALS_AT_ONCE * window[0]):
                rows = slice(first, min(first + MARGINALS_AT_ONCE * window[0], stop))
                cells, marginals = self._cells_and_marginals(overlapping, rows)
                swept = slice(rows.start - likely.top, rows.stop - likely.top)
                yield _rows_of(first, cells, likely.cells[0, swept].copy(), sampled.cells[:, swept].copy(), marginals)
        self.log_prob_bits = float(likely.log_prob_bits[0])
        self.passes = float((sampled if self.n_samples else likely).passes.mean())

    def _name(self) -> tuple[int, ...]:
        """The name that `Puzzles` gives the grid; counts its hidden cells on the way."""
        height, width = self.size
        at_once = max(1, CELLS_AT_ONCE // width)

        def parts() -> Iterator[np.ndarray]:
            for start in range(0, height, at_once):
                cells = self.read_rows(start, min(start + at_once, height))
                self.hidden_cells += int((cells == HIDDEN).sum())
                yield cells.astype(np.int16)

        return name_of(*parts())

    def _cells_and_marginals(
        self, tiles: Tiling, rows: slice
    ) -> tuple[Int[np.ndarray, "rows width"], Float[np.ndarray, "rows width symbol"]]:
        """Some rows of the puzzle, and their marginals, for which rows around them are read again."""
        down = [row[0].window[0] for row in tiles.rows]
        seen = [number for number, window in enumerate(down) if window.start < rows.stop and rows.start < window.stop]
        top = down[seen[0]].start
        cells = self.read_rows(top, down[seen[-1]].stop)[None].astype(np.int64)
        below_top = [tile.below(top) for number in seen for tile in tiles.rows[number]]
        marginals = tiling.blended(self.predictor, cells, cells == HIDDEN, below_top, tiles.size)[0]
        wanted = slice(rows.start - top, rows.stop - top)
        return cells[0, wanted], marginals[wanted]


def _rows_of(start: int, cells: np.ndarray, fill: np.ndarray, samples: np.ndarray, marginals: np.ndarray) -> FilledRows:
    probability = np.take_along_axis(marginals, fill[..., None], axis=-1)[..., 0]
    return FilledRows(start, cells == HIDDEN, fill, samples, probability, entropy_bits(marginals), marginals)
