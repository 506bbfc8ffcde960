"""The one fill behind every door: visible cells are kept, and doubted where they contradict the rest."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from . import checking, filling, tiling
from .decoding import Decoder, Fills, Pick, default_decoder, pick_most_likely, pick_sample
from .predictor import Predictor, Size, entropy_bits, exceeds_window, given_evidence, known_or
from .puzzles import Likelihoods, Puzzles, Stream, name_of
from .shapes import Bits, Cells, Hidden, Marginals, OneHidden, Samples
from .side import SidedPredictor, with_side
from .sweeping import ReadRows, Sweep, sweep_by_rows
from .tiling import Tiling
from .words import HIDDEN, InputError

MARGINALS_AT_ONCE = 4  # windows above each other whose marginals are in memory
CELLS_AT_ONCE = 2**20  # that are read at once to name a puzzle

PLACES = 5  # of cells, that a warning names
CHOSEN_AMONG = 8  # samples, for the most typical one, if none were asked for

NOTHING_HIDDEN = "no cell is hidden: nothing to fill, returned as it came"
EVERYTHING_HIDDEN = "every cell is hidden: the fill is a sample of the prior"
NOT_TYPICAL = (
    "the most likely grid is not typical ({:.0f} bits more probable than samples): look at samples, or fill with the "
    "most typical one (--typical)"
)

NOTHING_TO_REFINE = (
    "refine draws samples again, and the most likely fill is no sample: ask for samples, or for the most typical fill"
)

Kind = Literal["likely", "typical", "none"]
EvidenceInWindow = Callable[[tuple[slice, slice]], Float[np.ndarray, "height width symbol"]]


def fill(
    predictor: Predictor,
    puzzles: Puzzles,
    samples: int = 0,
    seed: int = 0,
    decoder: Decoder | None = None,
    kind: Kind = "likely",
) -> "Answers":
    """Fill the hidden cells of puzzles: what the command `fill`, `Inpainter` and maps all call.

    Parameters
    ----------
    predictor
        A model, or an exact posterior.
    puzzles
        Grids with hidden cells, and evidence if there is some.
    samples
        Joint samples of each puzzle; the most likely fill is the same whatever their number.
    seed
        From which all random numbers follow.
    decoder
        Which cells come first, and how many in a forward pass. By default that of `default_decoder`; `refining` makes
        one that refines the samples.
    kind
        What the fill is: "likely" for the most likely grid; "none" for no fill; "typical" for the sample that is
        expected to differ from another one in the fewest cells, of the samples asked for or, if there are none, of
        eight.

    Returns
    -------
    Answers
        Each part is computed when it is first looked at.

    Raises
    ------
    InputError
        For another kind, and if there is no sample to refine.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> puzzles = Puzzles(np.array([[[0, -1, -1], [-1, -1, -1], [-1, 1, -1]]]))
    >>> answers = fill(posterior(squares(3, 3, 2, 3)), puzzles, samples=2)
    >>> answers.fill[0].tolist(), answers.samples.shape
    ([[0, 0, 0], [0, 1, 1], [0, 1, 1]], (1, 2, 3, 3))
    """
    return Answers(predictor, puzzles, samples, seed, decoder, kind)


T = TypeVar("T")


class _Once(Generic[T]):
    """A cached property without the lock that `functools.cached_property` of Python 3.11 shares between all objects.

    With it, answers that several threads compute would wait for each other.
    """

    def __init__(self, compute: Callable[[Any], T]):
        self.compute, self.name, self.__doc__ = compute, compute.__name__, compute.__doc__

    def __get__(self, answers: Any, owner: type) -> T:
        answers.__dict__[self.name] = value = self.compute(answers)  # which hides the property from now on
        return value


class Answers:
    """Fills, samples and probabilities of some puzzles; each part is computed when it is first looked at.

    Visible cells that the others all but rule out are treated as if they were hidden, kept in every result, and named
    in `warnings`. In windows of textures rare cells are no errors, so a predictor with a window believes all cells.

    Parameters
    ----------
    predictor, puzzles, samples, seed, decoder, kind
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
        kind: Kind = "likely",
    ):
        self.predictor, self.puzzles, self.n_samples = predictor, puzzles, samples
        self.seed, self.decoder = seed, decoder
        self.kind = checked_kind(kind, samples, decoder.refine if decoder else 0)
        self._sampled: Fills | None = None

    @_Once
    def contradicting(self) -> Hidden:
        """The visible cells that contradict the others of their grid."""
        if self.predictor.window is not None:
            return np.zeros_like(self.puzzles.hidden)
        return checking.contradicting(self.predictor, self.puzzles)

    @_Once
    def _believed(self) -> Puzzles:
        """The puzzles without what contradicts the rest."""
        return self.puzzles.with_hidden(self.contradicting)

    @_Once
    def _chosen(self) -> Fills:
        """The fill of each puzzle."""
        if self.kind == "none":
            raise InputError("no fill was asked for: choose samples, or another kind")
        if self.kind == "typical":
            among = self.first_samples(self.n_samples or CHOSEN_AMONG)
            return among.of(np.asarray(disagreement(among.cells, self.marginals, self.puzzles.hidden).argmin(axis=1)))
        believed = self._believed
        is_open = np.asarray(believed.hidden.all(axis=(1, 2)))
        likely = filling.most_likely(self.predictor, believed.only(~is_open), self.seed, self.decoder)
        if is_open.any():  # the most likely grid of a prior is no answer to "show me one"
            samples = self.first_samples(1) if self.n_samples else None
            one = samples or filling.sample(self.predictor, believed.only(is_open), 1, self.seed, self.decoder)
            likely = likely.joined(one).of(is_open.astype(np.int64))
        return likely

    @property
    def fill(self) -> Cells:
        """The most likely grid found, or the most typical sample; of a puzzle with every cell hidden, a sample."""
        return np.where(self.puzzles.hidden, self._chosen.cells[:, 0], self.puzzles.cells)

    @property
    def log_prob_bits(self) -> Bits:
        """The log-probability (base 2) of what was filled in; of the most likely grid with the evidence on it.

        NaN for a refined sample.
        """
        return self._chosen.log_prob_bits[:, 0]

    @property
    def samples(self) -> Samples:
        """The joint samples that were asked for."""
        cells = self.first_samples(self.n_samples).cells
        return np.where(self.puzzles.hidden[:, None], cells, self.puzzles.cells[:, None])

    @_Once
    def marginals(self) -> Marginals:
        """The probability of each symbol at each cell; a visible cell has its own with probability 1."""
        marginals = filling.marginals(self.predictor, self._believed, self.seed)
        return known_or(marginals, self.puzzles.cells, self.puzzles.hidden)

    @property
    def passes(self) -> Float[np.ndarray, "batch"]:
        """Forward passes for a sample, on average; if none was asked for, for the fill."""
        passes = (self.first_samples(self.n_samples) if self.n_samples else self._chosen).passes
        return passes.mean(axis=1)

    @property
    def contradictions(self) -> list[str]:
        """A line on the cells of each puzzle that contradict the others, or nothing."""
        return [_contradiction(cells) for cells in self.contradicting]

    @property
    def warnings(self) -> list[list[str]]:
        """What there is to say about each puzzle."""
        further = [self.contradictions]
        if self.kind == "likely":
            excess = np.where(self._chosen.is_typical, 0, self._chosen.excess_bits)[:, 0]
            is_open = self.puzzles.hidden.all(axis=(1, 2))
            further.append([not_typical(bits) for bits in np.where(is_open, 0, excess)])
        lines = zip(self.puzzles.hidden, *further, strict=True)
        return [warnings_of(int(hidden.sum()), hidden.size, *others) for hidden, *others in lines]

    def first_samples(self, n: int) -> Fills:
        """Draw samples with their log-probabilities; where cells were visible they may hold anything.

        A sample is the same whatever is drawn with it, so only those that are missing are drawn.

        Parameters
        ----------
        n
            How many of each puzzle.

        Returns
        -------
        Fills
            Samples 0 … n-1.
        """
        first = 0 if self._sampled is None else self._sampled.cells.shape[1]
        if self._sampled is None or n > first:
            new = filling.sample(self.predictor, self._believed, n - first, self.seed, self.decoder, first)
            self._sampled = new if self._sampled is None else self._sampled.joined(new)
        return self._sampled.first(n)


def checked_kind(kind: str, samples: int = 0, refine: int = 0) -> Kind:
    """Check what a fill is to be.

    Parameters
    ----------
    kind, samples
        As in `fill`.
    refine
        As `Decoder.refine`.

    Returns
    -------
    str
        The same.

    Raises
    ------
    InputError
        For another kind, and if there is no sample to refine.

    Examples
    --------
    >>> checked_kind("typical")
    'typical'
    """
    if kind not in get_args(Kind):
        raise InputError(f"a fill of kind {kind!r} is unknown; the kinds are {', '.join(get_args(Kind))}")
    if refine and kind == "likely" and not samples:
        raise InputError(NOTHING_TO_REFINE)
    return cast(Kind, kind)


def disagreement(samples: Samples, marginals: Marginals, hidden: Hidden) -> Float[np.ndarray, "batch n"]:
    """Count the hidden cells in which each sample is expected to differ from another one.

    Parameters
    ----------
    samples
        Of each puzzle.
    marginals
        The probability of each symbol at each cell.
    hidden
        The cells that count.

    Returns
    -------
    array
        For each sample; the least has the least Bayes risk among the samples, under Hamming's distance.

    Examples
    --------
    >>> samples = np.array([[[[0, 1]], [[1, 1]]]])
    >>> disagreement(samples, np.array([[[[0.9, 0.1], [0.5, 0.5]]]]), np.array([[[True, True]]]))
    array([[0.6, 1.4]])
    """
    agreement = np.stack(
        [np.take_along_axis(marginals, cells[..., None], axis=-1)[..., 0] for cells in samples.swapaxes(0, 1)], axis=1
    )
    return np.where(hidden[:, None], 1 - agreement, 0).sum(axis=(2, 3))


def warnings_of(hidden_cells: int, cells: int, *others: str) -> list[str]:
    """List what there is to say about a puzzle.

    Parameters
    ----------
    hidden_cells, cells
        How many of its cells are hidden, and how many it has.
    *others
        Further lines; empty ones are left out.

    Returns
    -------
    list of str
        The lines.

    Examples
    --------
    >>> warnings_of(9, 9, "")
    ['every cell is hidden: the fill is a sample of the prior']
    """
    extent = {0: NOTHING_HIDDEN, cells: EVERYTHING_HIDDEN}.get(hidden_cells, "")
    return [line for line in (extent, *others) if line]


def not_typical(excess_bits: float) -> str:
    """Warn of a most likely grid that is more probable than samples are.

    Parameters
    ----------
    excess_bits
        As in `Fills`; 0 for a typical grid.

    Returns
    -------
    str
        A line, or nothing.

    Examples
    --------
    >>> not_typical(0.0)
    ''
    """
    return NOT_TYPICAL.format(excess_bits) if excess_bits > 0 else ""


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
        As in `Answers`, without the axis of grids; None for no fill.
    probability
        Of what was filled in, given the visible cells; 1 at visible ones. Without a fill, of the most probable symbol.
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
    fill: Int[np.ndarray, "rows width"] | None
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
    samples, seed, decoder, kind
        As in `fill`.
    evidence
        Called with a window of the grid, as ranges of rows and columns; returns the evidence on its cells, as `Puzzles`
        holds it.
    side
        Gives the side maps in a window of the grid, `side[rows, columns]` with two ranges: an array, or something that
        reads them.

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
        kind: Kind = "likely",
        evidence: EvidenceInWindow | None = None,
        side: Any = None,
    ):
        self.side = side
        self.predictor, self.read_rows, self.size = predictor, read_rows, size
        self.n_samples, self.seed, self.decoder = samples, seed, decoder
        self.kind: Kind = checked_kind(kind, samples, decoder.refine if decoder else 0)
        self.evidence = evidence
        self.hidden_cells, self.warnings, self.log_prob_bits, self.passes = 0, list[str](), 0.0, 0.0

    def __iter__(self) -> Iterator[FilledRows]:
        return self._swept() if exceeds_window(self.predictor, self.size) else self._whole()

    def _whole(self) -> Iterator[FilledRows]:
        cells = self.read_rows(0, self.size[0])[None].astype(np.int64)
        everywhere = slice(0, self.size[0]), slice(0, self.size[1])
        evidence = Likelihoods(self.evidence(everywhere)) if self.evidence else None
        side = None if self.side is None else self.side[everywhere][None]
        puzzles = Puzzles(cells, evidence=evidence, side=side)
        answers = fill(self.predictor, puzzles, self.n_samples, self.seed, self.decoder, self.kind)
        self.hidden_cells, self.warnings = int(answers.puzzles.hidden.sum()), answers.warnings[0]
        fills = answers.fill[0] if self.kind != "none" else None
        yield rows_of(0, cells[0], fills, answers.samples[0], answers.marginals[0])
        self.passes = float(answers.passes[0])
        if self.kind != "none":
            self.log_prob_bits = float(answers.log_prob_bits[0])

    def _swept(self) -> Iterator[FilledRows]:
        stream = self.stream()
        is_open = self.hidden_cells == self.size[0] * self.size[1]
        self.warnings = warnings_of(self.hidden_cells, self.size[0] * self.size[1])
        sampled = self._sweep(stream, range(self.n_samples), pick_sample)
        chosen, lane = sampled, 0  # the sweep whose fill is the answer, and which of its fills
        if self.kind == "typical":
            lane = self._most_typical(stream)
            chosen = sampled if self.n_samples else self._sweep(stream, [lane], pick_sample)
            lane *= chosen is sampled
        elif self.kind == "likely":
            chosen = self._sweep(stream, [0], pick_sample if is_open else pick_most_likely)
        for start, cells, marginals, rows in self._marginals_along([sampled, chosen][: 1 + (chosen is not sampled)]):
            fills = chosen.cells[lane, rows].copy() if self.kind != "none" else None
            yield rows_of(start, cells, fills, sampled.cells[:, rows].copy(), marginals)
        passes = sampled.passes if self.n_samples else chosen.passes
        self.passes = float(passes.mean()) if len(passes) else 0.0
        if self.kind != "none":
            self.log_prob_bits = float(chosen.log_prob_bits[lane])
        if self.kind == "likely" and not is_open and not chosen.fills((1, 1)).is_typical.all():
            self.warnings.append(not_typical(float(chosen.excess_bits[0])))

    def _sweep(self, stream: Stream, samples: Sequence[int], pick: Pick) -> Sweep:
        nothing = np.empty((len(samples), 0, self.size[1]), dtype=np.int64)
        decoder, evidence = self.decoder or default_decoder(self.predictor), self.evidence
        streams = [(*stream, sample) for sample in samples]
        of_fill = None if evidence is None else lambda _, window: evidence(window)
        return Sweep(self._bound(self.side), nothing, nothing == HIDDEN, streams, decoder, pick, of_fill)

    def _bound(self, side: Any) -> Predictor:
        """The predictor with side maps of the grid, or of some rows of it."""
        if side is None:
            return with_side(self.predictor, None)
        return SidedPredictor(self.predictor, [side], np.zeros(1, dtype=np.int64))

    def _most_typical(self, stream: Stream) -> int:
        """The number of the most typical sample, for which all are drawn once more than they are written."""
        sampled = self._sweep(stream, range(self.n_samples or CHOSEN_AMONG), pick_sample)
        total = np.zeros(len(sampled.streams))
        for _, cells, marginals, rows in self._marginals_along([sampled]):
            samples = sampled.cells[:, rows]
            total += disagreement(samples[None], marginals[None], (cells == HIDDEN)[None])[0]
        return int(total.argmin())

    def _marginals_along(
        self, sweeps: Sequence[Sweep]
    ) -> Iterator[tuple[int, Int[np.ndarray, "rows width"], Float[np.ndarray, "rows width symbol"], slice]]:
        """Rows of the puzzle and marginals while sweeps fill them: with the first one, and where sweeps have them."""
        window = self.predictor.window or self.size
        overlapping, first_sweep = Tiling(*self.size, window, tiling.HALF_OVERLAPPING), sweeps[0]
        for start, stop in sweep_by_rows(sweeps, self._read_settled, self.size, window):
            for first in range(start, stop, MARGINALS_AT_ONCE * window[0]):
                rows = slice(first, min(first + MARGINALS_AT_ONCE * window[0], stop))
                cells, marginals = self._cells_and_marginals(overlapping, rows)
                yield first, cells, marginals, slice(rows.start - first_sweep.top, rows.stop - first_sweep.top)

    def _read_settled(self, start: int, stop: int) -> Int[np.ndarray, "rows width"]:
        """Rows of the puzzle with the cells that evidence leaves a single symbol."""
        cells = self.read_rows(start, stop).astype(np.int64)
        if self.evidence is None:
            return cells
        evidence = Likelihoods(self.evidence((slice(start, stop), slice(0, self.size[1]))))
        settled = Puzzles(cells[None], evidence=evidence).settled()
        return np.where(settled.hidden[0], HIDDEN, settled.cells[0])

    def stream(self) -> Stream:
        """Give the beginning of the names of all random streams, from the grid; counts its hidden cells on the way.

        Returns
        -------
        tuple
            As `Puzzles.streams` gives it, without the number of a sample.
        """
        height, width = self.size
        at_once = max(1, CELLS_AT_ONCE // width)

        def parts() -> Iterator[np.ndarray]:
            for start in range(0, height, at_once):
                cells = self.read_rows(start, min(start + at_once, height))
                self.hidden_cells += int((cells == HIDDEN).sum())
                yield cells.astype(np.int16)

        return self.seed, *name_of(*parts())

    def _cells_and_marginals(
        self, tiles: Tiling, rows: slice
    ) -> tuple[Int[np.ndarray, "rows width"], Float[np.ndarray, "rows width symbol"]]:
        """Some rows of the puzzle, and their marginals, for which rows around them are read again."""
        down = [row[0].window[0] for row in tiles.rows]
        seen = [number for number, window in enumerate(down) if window.start < rows.stop and rows.start < window.stop]
        top, end = down[seen[0]].start, down[seen[-1]].stop
        cells = self._read_settled(top, end)[None]
        below_top = [tile.below(top) for number in seen for tile in tiles.rows[number]]
        side = None if self.side is None else self.side[slice(top, end), slice(0, self.size[1])]
        marginals = tiling.blended(self._bound(side), cells, cells == HIDDEN, below_top, tiles.size)[0]
        wanted = slice(rows.start - top, rows.stop - top)
        cells, marginals = cells[0, wanted], marginals[wanted]
        if self.evidence is not None:
            given = given_evidence(marginals, self.evidence((rows, slice(0, self.size[1]))))
            marginals = np.where((cells == HIDDEN)[..., None], given, marginals)
            cells = self.read_rows(rows.start, rows.stop).astype(np.int64)
        return cells, marginals


def rows_of(
    start: int, cells: np.ndarray, fill: np.ndarray | None, samples: np.ndarray, marginals: np.ndarray
) -> FilledRows:
    """Put the answers to some rows together.

    Parameters
    ----------
    start
        The first of these rows.
    cells
        Of the puzzle, HIDDEN where hidden.
    fill, samples, marginals
        As in `FilledRows`.

    Returns
    -------
    FilledRows
        With the probability of what was filled in, and the entropy.

    Examples
    --------
    >>> cell = np.zeros((1, 1), int)
    >>> rows_of(0, cell - 1, cell, cell[:0, None], np.array([[[0.5, 0.5]]])).entropy
    array([[1.]])
    """
    most = marginals.argmax(axis=-1) if fill is None else fill
    probability = np.take_along_axis(marginals, most[..., None], axis=-1)[..., 0]
    return FilledRows(start, cells == HIDDEN, fill, samples, probability, entropy_bits(marginals), marginals)
