"""Fills grids of any size: window after window, each seeing what those before it decided, in time linear in cells."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from . import filling, tiling
from .filling import Decoder, Fills, Pick, Stream
from .predictor import Predictor, entropy_bits
from .shapes import Cells, Evidence, Hidden
from .tiling import Tile, Tiling
from .words import HIDDEN, InputError

WINDOW_DECODER = Decoder("spread", side_per_symbol=4)  # LOG.md
ROWS_AT_ONCE = 32  # rows of windows that are in memory
LAWS_AT_ONCE = 4  # of windows above each other, whose laws are in memory
ReadRows = Callable[[int, int], Int[np.ndarray, "rows width"]]
Size = tuple[int, int]


def window_of(predictor: Predictor) -> Size | None:
    """The size of the windows that a predictor answers through, if it learned from windows of larger grids."""
    return getattr(predictor, "window", None)


def default_decoder(predictor: Predictor) -> Decoder:
    """Windows of textures have many uncertain cells, far from each other."""
    return WINDOW_DECODER if window_of(predictor) else filling.DECODER


def exceeds_window(predictor: Predictor, shape: tuple[int, ...]) -> bool:
    """Whether grids (…, height, width) are filled window by window."""
    size = window_of(predictor)
    return size is not None and (shape[-2] > size[0] or shape[-1] > size[1])


def sample(
    predictor: Predictor,
    cells: Cells,
    hidden: Hidden,
    n: int = 1,
    seed: int = 0,
    decoder: Decoder | None = None,
    evidence: Evidence | None = None,
) -> Fills:
    """`n` draws of every grid: `filling.sample`, but window by window where grids are larger than a window.

    Then the joint law is that of a predictor that sees, of what is visible or decided, what its windows show, from left
    to right and from top to bottom. There is a stream of random numbers per (seed, grid, sample, window). Raises
    InputError also for evidence on larger grids.
    """
    decoder = decoder or default_decoder(predictor)
    if not exceeds_window(predictor, cells.shape):
        return filling.sample(predictor, cells, hidden, n, seed, decoder, evidence)
    _refuse_evidence(evidence)
    every = [np.repeat(array, n, axis=0) for array in (cells, hidden)]
    streams = filling.streams_of(cells, hidden, n, seed)
    return _swept(predictor, every[0], every[1], streams, decoder, filling.drawn, (len(cells), n))


def most_likely(
    predictor: Predictor,
    cells: Cells,
    hidden: Hidden,
    seed: int = 0,
    decoder: Decoder | None = None,
    evidence: Evidence | None = None,
    draws: Fills | None = None,
) -> Fills:
    """`filling.most_likely`; of grids larger than a window each cell's most likely symbol given what was decided."""
    decoder = decoder or default_decoder(predictor)
    if not exceeds_window(predictor, cells.shape):
        return filling.most_likely(predictor, cells, hidden, filling.CANDIDATES, seed, decoder, evidence, draws)
    _refuse_evidence(evidence)
    streams = filling.streams_of(cells, hidden, 1, seed)
    return _swept(predictor, cells, hidden, streams, decoder, filling.likeliest, (len(cells), 1))


def _refuse_evidence(evidence: Evidence | None) -> None:
    if evidence is not None:
        raise InputError("what is allowed where can be said of grids that are not larger than the windows learned from")


def _swept(
    predictor: Predictor,
    cells: Cells,
    hidden: Hidden,
    streams: list[Stream],
    decoder: Decoder,
    pick: Pick,
    shape: tuple[int, int],
) -> Fills:
    """Fills of so many grids, so many of each."""
    height, width = cells.shape[1:]
    tiling_of_grids = Tiling(height, width, window_of(predictor) or (height, width))
    sweep = _Sweep(predictor, cells.copy(), hidden.copy(), streams, decoder, pick)
    for wave in tiling_of_grids.waves(tiling_of_grids.rows):
        sweep.decide(wave)
    return Fills(
        sweep.cells.reshape(*shape, height, width), sweep.log_prob_bits.reshape(shape), sweep.passes.reshape(shape)
    )


class _Sweep:
    """Fills on their way, all of one size; those of a large grid have only some of its rows, from `top` on."""

    def __init__(
        self, predictor: Predictor, cells: Cells, hidden: Hidden, streams: list[Stream], decoder: Decoder, pick: Pick
    ):
        self.predictor, self.cells, self.hidden, self.streams = predictor, cells, hidden, streams
        self.decoder, self.pick, self.top = decoder, pick, 0
        self.log_prob_bits, self.passes = np.zeros(len(cells)), np.zeros(len(cells), dtype=np.int64)

    def go_on(self, top: int, below: Int[np.ndarray, "rows width"]) -> None:
        """Forget the rows above `top`, and add some below."""
        new = np.broadcast_to(below, (len(self.cells), *below.shape))
        self.cells = np.concatenate([self.cells[:, top - self.top :], new], axis=1)
        self.hidden = np.concatenate([self.hidden[:, top - self.top :], new == HIDDEN], axis=1)
        self.top = top

    def decide(self, wave: list[Tile]) -> None:
        """Fill the cores of tiles that do not see each other's."""
        tiles = [(tile, tile.below(self.top)) for tile in wave]
        asked = [
            (lane, *each) for each in tiles for lane in range(len(self.cells)) if self.hidden[lane][each[1].core].any()
        ]
        if not asked:
            return
        cells, hidden = (
            np.stack([array[lane][here.window] for lane, _, here in asked]) for array in (self.cells, self.hidden)
        )
        cells, hidden = tiling.padded(cells, hidden, window_of(self.predictor) or cells.shape[1:])
        wanted = np.zeros_like(hidden)
        for number, (_, tile, _) in enumerate(asked):
            wanted[number][tile.core_in_window] = True
        streams = [(*self.streams[lane], tile.core[0].start, tile.core[1].start) for lane, tile, _ in asked]
        decided = filling.decide(self.predictor, cells, hidden, wanted, streams, self.decoder, self.pick)
        for number, (lane, tile, here) in enumerate(asked):
            self.cells[lane][here.core] = decided.cells[number, 0][tile.core_in_window]
            self.hidden[lane][here.core] = False
            self.log_prob_bits[lane] += decided.log_prob_bits[number, 0]
            self.passes[lane] += decided.passes[number, 0]


@dataclass(frozen=True)
class Swept:
    """Whole rows of a filled grid, from row `start` on."""

    start: int
    hidden: Bool[np.ndarray, "rows width"]
    fill: Int[np.ndarray, "rows width"]
    samples: Int[np.ndarray, "sample rows width"]
    probability: Float[np.ndarray, "rows width"]  # of what was filled in, given the visible cells; 1 at visible ones
    entropy: Float[np.ndarray, "rows width"]  # of each cell given the visible ones, in bits


def by_rows(
    predictor: Predictor,
    read_rows: ReadRows,
    size: Size,
    n: int,
    seed: int = 0,
    decoder: Decoder | None = None,
) -> Iterator[Swept]:
    """The likely fill and `n` draws of one grid of `size` (height, width), in memory that does not grow with height.

    `read_rows(start, stop)` gives cells, HIDDEN where they are hidden. The result is that of a sweep over the whole.
    """
    decoder = decoder or default_decoder(predictor)
    nothing = np.empty((1 + n, 0, size[1]), dtype=np.int64)
    fill = _Sweep(predictor, nothing[:1], nothing[:1] == HIDDEN, [(seed, 0)], decoder, filling.likeliest)
    drawn = _Sweep(
        predictor, nothing[1:], nothing[1:] == HIDDEN, [(seed, 1, draw) for draw in range(n)], decoder, filling.drawn
    )
    window, read = window_of(predictor) or size, 0
    tiles, overlapping = Tiling(*size, window), Tiling(*size, window, tiling.HALF_OVERLAPPING)
    for first in range(0, len(tiles.rows), ROWS_AT_ONCE):
        part = tiles.rows[first : first + ROWS_AT_ONCE]
        top, end = part[0][0].window[0].start, part[-1][0].window[0].stop
        below, read = read_rows(read, end).astype(np.int64), end
        for sweep in (fill, drawn):
            sweep.go_on(top, below)
            for wave in tiles.waves(part):
                sweep.decide(wave)
        start, stop = part[0][0].core[0].start, part[-1][0].core[0].stop
        for at in range(start, stop, LAWS_AT_ONCE * window[0]):
            rows = slice(at, min(at + LAWS_AT_ONCE * window[0], stop))
            given, law = _given_and_law(predictor, read_rows, overlapping, rows)
            swept = slice(rows.start - top, rows.stop - top)
            filled, draws = fill.cells[0, swept].copy(), drawn.cells[:, swept].copy()
            probability = np.take_along_axis(law, filled[..., None], axis=-1)[..., 0]
            yield Swept(at, given == HIDDEN, filled, draws, probability, entropy_bits(law))


def _given_and_law(
    predictor: Predictor, read_rows: ReadRows, tiles: Tiling, rows: slice
) -> tuple[Int[np.ndarray, "rows width"], Float[np.ndarray, "rows width symbol"]]:
    """The cells of some rows, and their laws given the visible cells, for which rows around them are read again."""
    down = [row[0].window[0] for row in tiles.rows]
    seen = [number for number, window in enumerate(down) if window.start < rows.stop and rows.start < window.stop]
    top = down[seen[0]].start
    given = read_rows(top, down[seen[-1]].stop)[None].astype(np.int64)
    below_top = [tile.below(top) for number in seen for tile in tiles.rows[number]]
    law = tiling.blended(predictor, given, given == HIDDEN, below_top, tiles.size)[0]
    wanted = slice(rows.start - top, rows.stop - top)
    return given[0, wanted], law[wanted]
