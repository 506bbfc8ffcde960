"""Fills grids of any size: window after window, each seeing what those before it decided, in time linear in cells."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from . import tiling
from .decoding import NUMBERS, Decoder, Fills, Pick, Rows, pick_sample
from .evidence import reveal_evidence
from .predictor import Predictor, Size
from .puzzles import Stream
from .shapes import Cells, Hidden, Marginals, OneGrid
from .side import in_windows
from .tiling import Tile, Tiling
from .words import HIDDEN

ROWS_AT_ONCE = 32  # rows of windows that are in memory

ReadRows = Callable[[int, int], Int[np.ndarray, "rows width"]]  # from row … to row …, HIDDEN where cells are hidden
EvidenceIn = Callable[[int, tuple[slice, slice]], Float[np.ndarray, "height width symbol"]]  # on a fill, in a window


class Sweep:
    """Fills on their way, all of one size; of a grid too large for memory only a part, from `top` and `left` on.

    Parameters
    ----------
    predictor
        What predicts the hidden cells, through its window.
    cells, hidden
        A puzzle for each fill.
    streams
        The random stream of each fill.
    decoder
        Which cells of a window come first, and how many in a pass.
    pick
        What they get, as in `Rows.run`.
    evidence
        Called with the number of a fill and a window of the whole grid; returns the evidence on its cells.

    Examples
    --------
    >>> from gridcloze.decoding import DEFAULT_DECODER, pick_sample
    >>> from gridcloze.priors import posterior, squares
    >>> cells = np.full((1, 4, 4), -1)
    >>> sweep = Sweep(posterior(squares(4, 4, 2, 3)), cells, cells < 0, [(0,)], DEFAULT_DECODER, pick_sample)
    >>> sweep.run()
    >>> int(sweep.hidden.sum())
    0
    """

    def __init__(
        self,
        predictor: Predictor,
        cells: Cells,
        hidden: Hidden,
        streams: Sequence[Stream],
        decoder: Decoder,
        pick: Pick,
        evidence: EvidenceIn | None = None,
    ):
        self.predictor, self.cells, self.hidden, self.streams = predictor, cells.copy(), hidden.copy(), streams
        self.decoder, self.pick, self.evidence, self.top, self.left = decoder, pick, evidence, 0, 0
        self.passes = np.zeros(len(cells), dtype=np.int64)
        self.log_prob_bits, self.excess_bits, self.variance = np.zeros((3, len(cells)))

    def run(self) -> None:
        """Fill whole grids."""
        height, width = self.cells.shape[1:]
        tiles = Tiling(height, width, self.predictor.window or (height, width))
        for wave in tiles.waves(tiles.rows):
            self.decide(wave)

    def fills(self, shape: tuple[int, int]) -> Fills:
        """Give what was filled.

        Parameters
        ----------
        shape
            Puzzles, and samples of each.

        Returns
        -------
        Fills
            With these first axes.
        """
        return Fills.of_shape(shape, self.cells, self)

    def go_on(self, top: int, below: OneGrid) -> None:
        """Forget the rows above, and add some below.

        Parameters
        ----------
        top
            The first row that is kept.
        below
            The next rows of the puzzle, HIDDEN where cells are hidden.
        """
        new = np.broadcast_to(below, (len(self.cells), *below.shape))
        self.cells = np.concatenate([self.cells[:, top - self.top :], new], axis=1)
        self.hidden = np.concatenate([self.hidden[:, top - self.top :], new == HIDDEN], axis=1)
        self.top = top

    def decide(self, wave: list[Tile]) -> list[tuple[int, Tile, np.ndarray]]:
        """Fill the cores of tiles that do not see each other's.

        Parameters
        ----------
        wave
            The tiles, as `Tiling.waves` gives them.

        Returns
        -------
        list
            The number of a fill, a tile that had hidden cells there, and the `NUMBERS` that this adds to the fill.
        """
        tiles = [(tile, tile.below(self.top, self.left)) for tile in wave]
        open_tiles = [
            (lane, *each) for each in tiles for lane in range(len(self.cells)) if self.hidden[lane][each[1].core].any()
        ]
        if not open_tiles:
            return []
        cells, hidden = (
            np.stack([array[lane][here.window] for lane, _, here in open_tiles]) for array in (self.cells, self.hidden)
        )
        cells, hidden = tiling.padded(cells, hidden, self.predictor.window or cells.shape[1:])
        wanted = np.zeros_like(hidden)
        for number, (_, tile, _) in enumerate(open_tiles):
            wanted[number][tile.core_in_window] = True
        streams = [(*self.streams[lane], tile.core[0].start, tile.core[1].start) for lane, tile, _ in open_tiles]
        size = cells.shape[1:]
        predictor = in_windows(self.predictor, [(lane, tile.window) for lane, tile, _ in open_tiles], size)
        rows = Rows(predictor, cells, hidden, streams, wanted, self._evidence_on(open_tiles, size))
        if self.evidence is not None and self.pick is pick_sample:
            reveal_evidence(rows, self.decoder)
        rows.run(self.decoder, self.pick)
        decided = rows.fills((len(open_tiles), 1)).cells[:, 0]
        for number, (lane, tile, here) in enumerate(open_tiles):
            self.cells[lane][here.core] = decided[number][tile.core_in_window]
            self.hidden[lane][here.core] = False
            for name in NUMBERS:
                getattr(self, name)[lane] += getattr(rows, name)[number]
        added = np.stack([getattr(rows, name) for name in NUMBERS], axis=-1)
        return [(lane, tile, added[number]) for number, (lane, tile, _) in enumerate(open_tiles)]

    def _evidence_on(self, open_tiles: list[tuple[int, Tile, Tile]], size: Size) -> Marginals | None:
        """What is observed in the windows of tiles; nothing where a window is larger than the grid."""
        if self.evidence is None:
            return None
        values = np.ones((len(open_tiles), *size, self.predictor.n_symbols))
        for number, (lane, tile, _) in enumerate(open_tiles):
            in_window = self.evidence(lane, tile.window)
            values[number, : in_window.shape[0], : in_window.shape[1]] = in_window
        return values


def sweep_by_rows(sweeps: Sequence[Sweep], read_rows: ReadRows, size: Size, window: Size) -> Iterator[tuple[int, int]]:
    """Fill one grid by several sweeps at once, in memory that does not grow with its height.

    Parameters
    ----------
    sweeps
        Each with no rows yet; while a range of rows is given out they hold it, from `top` on.
    read_rows
        Reads rows of the puzzle.
    size
        Of the grid.
    window
        Of the predictor.

    Yields
    ------
    tuple
        The first row that is filled now, and the one after the last; all ranges follow each other.

    Examples
    --------
    >>> from gridcloze.decoding import DEFAULT_DECODER, pick_sample
    >>> from gridcloze.priors import posterior, squares
    >>> puzzle, nothing = np.full((4, 4), -1), np.zeros((1, 0, 4), int)
    >>> sweep = Sweep(posterior(squares(4, 4, 2, 3)), nothing, nothing < 0, [(0,)], DEFAULT_DECODER, pick_sample)
    >>> list(sweep_by_rows([sweep], lambda start, stop: puzzle[start:stop], (4, 4), (4, 4)))
    [(0, 4)]
    """
    tiles, read = Tiling(*size, window), 0
    for first in range(0, len(tiles.rows), ROWS_AT_ONCE):
        rows = tiles.rows[first : first + ROWS_AT_ONCE]
        top, end = rows[0][0].window[0].start, rows[-1][0].window[0].stop
        below, read = read_rows(read, end).astype(np.int64), end
        for sweep in sweeps:
            sweep.go_on(top, below)
            for wave in tiles.waves(rows):
                sweep.decide(wave)
        yield rows[0][0].core[0].start, rows[-1][0].core[0].stop
