"""Fills grids of any size: window after window, each seeing what those before it decided, in time linear in cells."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from . import filling, tiling
from .filling import Decoder, Fills, Pick, Stream
from .predictor import Cells, Evidence, Hidden, Predictor
from .tiling import Tile, Tiling

DECODER = Decoder("spread", apart_bits=8.0)  # docs/decoders.md
ROWS_AT_ONCE = 16  # rows of windows that are in memory

Lanes = Int[np.ndarray, "lane height width"]
ReadRows = Callable[[int, int], Int[np.ndarray, "rows width"]]


def window_of(predictor: Predictor) -> tuple[int, int] | None:
    """The size of the windows that a predictor answers through, if it learned from windows of larger grids."""
    return getattr(predictor, "window", None)


def sample(
    predictor: Predictor,
    cells: Cells,
    hidden: Hidden,
    n: int = 1,
    seed: int = 0,
    decoder: Decoder | None = None,
    evidence: Evidence | None = None,
) -> Fills:
    """`filling.sample` for grids of any size.

    A predictor that answers through windows fills grids that are larger window by window, from left to right and from
    top to bottom; evidence is for grids that are not larger. Raises InputError.
    """
    size = window_of(predictor)
    if size is None or not _larger(cells, size):
        return filling.sample(predictor, cells, hidden, n, seed, decoder or filling.DECODER, evidence)
    every = [np.repeat(array, n, axis=0) for array in (cells, hidden)]
    sweep = Sweep(predictor, size, every[0], every[1], filling.streams_of(cells, hidden, n, seed), decoder or DECODER)
    sweep.decide(filling.drawn)
    return sweep.fills((len(cells), n))


def _larger(cells: Cells, size: tuple[int, int]) -> bool:
    return cells.shape[1] > size[0] or cells.shape[2] > size[1]


@dataclass
class Sweep:
    """Grids on their way, all of one size, of which rows from `top` on are in memory."""

    predictor: Predictor
    size: tuple[int, int]
    cells: Lanes
    hidden: Bool[np.ndarray, "lane height width"]
    streams: list[Stream]
    decoder: Decoder
    height: int = 0  # of the whole grids, if there are more rows than those in memory
    top: int = 0
    bits: Float[np.ndarray, " lane"] = field(init=False)
    passes: Int[np.ndarray, " lane"] = field(init=False)

    def __post_init__(self) -> None:
        self.cells, self.hidden = self.cells.copy(), self.hidden.copy()
        self.tiling = Tiling(self.height or self.cells.shape[1], self.cells.shape[2], self.size)
        self.bits, self.passes = np.zeros(len(self.cells)), np.zeros(len(self.cells), dtype=np.int64)

    def fills(self, shape: tuple[int, int]) -> Fills:
        grids = self.cells.reshape(*shape, *self.cells.shape[1:])
        return Fills(grids, self.bits.reshape(shape), self.passes.reshape(shape))

    def decide(self, pick: Pick, first: int = 0, last: int | None = None) -> None:
        """Fill the cores of some rows of windows; `pick` says how, see `filling`."""
        for wave in self.tiling.waves(first, last):
            asked = [(lane, tile) for tile in wave for lane in range(len(self.cells)) if self._core(lane, tile).any()]
            if asked:
                self._decide_wave(asked, pick)

    def _core(self, lane: int, tile: Tile) -> Bool[np.ndarray, "row column"]:
        return self.hidden[lane][self._in_memory(tile.core)]

    def _in_memory(self, place: tuple[slice, slice]) -> tuple[slice, slice]:
        return slice(place[0].start - self.top, place[0].stop - self.top), place[1]

    def _decide_wave(self, asked: list[tuple[int, Tile]], pick: Pick) -> None:
        cells, hidden = (
            np.stack([array[lane][self._in_memory(tile.window)] for lane, tile in asked])
            for array in (self.cells, self.hidden)
        )
        cells, hidden = tiling.padded(cells, hidden, self.size)
        wanted = np.zeros_like(hidden)
        for number, (_, tile) in enumerate(asked):
            wanted[number][tile.core_in_window] = True
        streams = [(*self.streams[lane], tile.core[0].start, tile.core[1].start) for lane, tile in asked]
        decided = filling.decide(self.predictor, cells, hidden, wanted, streams, self.decoder, pick)
        for number, (lane, tile) in enumerate(asked):
            place = self._in_memory(tile.core)
            self.cells[lane][place] = decided.cells[number, 0][tile.core_in_window]
            self.hidden[lane][place] = False
            self.bits[lane] += decided.log_prob_bits[number, 0]
            self.passes[lane] += decided.passes[number, 0]
