"""A prior known by examples only."""

import hashlib
from typing import Any, Literal, cast, get_args

import numpy as np
from jaxtyping import Int

from ..files.palettes import Palette
from ..words import InputError

HELD_OUT_FRACTION = 0.1
MOST_HELD_OUT = 512
Symmetries = Literal["none", "mirrors", "all"]  # under which grids are as likely: mirrored, or turned and mirrored


class Examples:
    """A prior known by example grids (example, height, width), in which -1 stands for an unknown cell.

    Each that is drawn is brought under one of the `symmetries` at random. Raises InputError if there is no example, and
    for symmetries that there are none of.
    """

    def __init__(
        self, cells: Int[np.ndarray, "example height width"], palette: Palette, symmetries: Symmetries = "none"
    ):
        if cells.size == 0:
            raise InputError("there are no example grids")
        self.cells, self.palette = cells, palette
        self.symmetries: Symmetries = checked_symmetries(symmetries)
        self.height, self.width = cells.shape[1:]
        self.n_symbols = palette.n_symbols

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """`n` examples, drawn with replacement."""
        return turned(self.cells[generator.integers(0, len(self.cells), n)], generator, self.symmetries)

    def split(self) -> tuple["Examples", "Examples"]:
        """The examples to learn from, and the last few, held out to score with; a single example is both."""
        held_out = min(max(int(HELD_OUT_FRACTION * len(self.cells)), 1), MOST_HELD_OUT)
        learned = max(len(self.cells) - held_out, 1)
        parts = self.cells[:learned], self.cells[-held_out:]
        return Examples(parts[0], self.palette, self.symmetries), Examples(parts[1], self.palette)

    @property
    def record(self) -> dict[str, Any]:
        """What a model file says of the data."""
        digest = hashlib.sha256(self.cells.tobytes()).hexdigest()
        return {"data": digest, "grids": len(self.cells), "symmetries": self.symmetries}


def checked_symmetries(symmetries: str) -> Symmetries:
    """Raises InputError for a word that names none."""
    if symmetries not in get_args(Symmetries):
        raise InputError(f"symmetries are {', '.join(get_args(Symmetries))}, not {symmetries!r}")
    return cast(Symmetries, symmetries)


def turned(
    cells: Int[np.ndarray, "n height width"], generator: np.random.Generator, symmetries: Symmetries
) -> Int[np.ndarray, "n height width"]:
    """Each grid under a symmetry of its frame, drawn uniformly: of eight, or of four for mirrors and for no square."""
    if symmetries == "none":
        return cells
    cells = cells.copy()
    across, down, over = generator.random((3, len(cells))) < 0.5
    cells[across] = cells[across, :, ::-1]
    cells[down] = cells[down, ::-1]
    if symmetries == "all" and cells.shape[1] == cells.shape[2]:
        cells[over] = cells[over].swapaxes(1, 2)
    return cells
