"""A prior known by examples only."""

import numpy as np
from jaxtyping import Int

from ..grids import AnyPath, InputError, Palette, read_examples

HELD_OUT_FRACTION = 0.1
MOST_HELD_OUT = 512


class Examples:
    """A prior known by example grids (example, height, width), in which -1 stands for an unknown cell.

    Raises InputError if there is no example.
    """

    def __init__(self, cells: Int[np.ndarray, "example height width"], palette: Palette):
        if cells.size == 0:
            raise InputError("there are no example grids")
        self.cells, self.palette = cells, palette
        self.height, self.width = cells.shape[1:]
        self.n_symbols = palette.n_symbols

    @classmethod
    def read(cls, path: AnyPath, palette: Palette | None = None) -> "Examples":
        """The examples in a file or folder; see `gridcloze.grids.read_examples` for formats and errors."""
        cells, palette, _ = read_examples(path, palette)
        return cls(cells, palette)

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """`n` examples, drawn with replacement."""
        return self.cells[generator.integers(0, len(self.cells), n)]

    def split(self) -> tuple["Examples", "Examples"]:
        """The examples to learn from, and the last few, held out to score with; a single example is both."""
        held_out = min(max(int(HELD_OUT_FRACTION * len(self.cells)), 1), MOST_HELD_OUT)
        learned = max(len(self.cells) - held_out, 1)
        return Examples(self.cells[:learned], self.palette), Examples(self.cells[-held_out:], self.palette)
