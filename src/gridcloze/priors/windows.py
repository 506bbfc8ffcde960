"""A prior known by big images: windows of one size, at random places."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt32

from ..files.palettes import Palette
from ..shapes import AnySizeGrid
from ..words import InputError
from .examples import MOST_HELD_OUT, Examples, Symmetries, checked_symmetries, random_symmetry

FEW_IMAGES = 10  # below, a corner of each is held out, and above, some as a whole
HELD_OUT_SIDE = 0.316  # of a corner, as a share of the image's: a tenth of its cells
HELD_OUT_CELLS = 2**20
Corner = tuple[int, int]  # the row and the column from which on an image is held out


class Windows:
    """Windows of `size` (height, width) of images, uniform over places; -1 stands for an unknown cell.

    Each is brought under one of the `symmetries` at random. Raises InputError for an image smaller than a window, if no
    window has a known cell, and for symmetries that there are none of.
    """

    def __init__(
        self,
        images: Sequence[AnySizeGrid],
        palette: Palette,
        size: tuple[int, int],
        symmetries: Symmetries = "none",
        corners: Sequence[Corner] = (),
    ):
        self.images, self.palette = images, palette
        self.symmetries: Symmetries = checked_symmetries(symmetries)
        self.height, self.width = size
        self.n_symbols = palette.n_symbols
        for number, image in enumerate(images):
            if image.shape[0] < size[0] or image.shape[1] < size[1]:
                raise InputError(
                    f"image {number} of {image.shape[0]} by {image.shape[1]} cells is smaller than a window of "
                    f"{size[0]} by {size[1]}: give larger images, or ask for smaller windows"
                )
        corners = corners or [image.shape for image in images]
        self.places = [self._places(*each) for each in zip(images, corners, strict=True)]
        self.ends = np.cumsum([len(places) for places in self.places])
        if not self.ends.size or self.ends[-1] == 0:
            raise InputError("no window of the images has a known cell in it")

    def _places(self, image: AnySizeGrid, corner: Corner) -> UInt32[np.ndarray, " place"]:
        """The first cells of windows, counted row by row, that have known cells and none of the corner held out."""
        rows, columns = (np.arange(n) for n in self._room(image))
        outside = (rows[:, None] + self.height <= corner[0]) | (columns + self.width <= corner[1])
        return np.flatnonzero(outside & self._some_known(image)).astype(np.uint32)

    def _room(self, image: AnySizeGrid) -> tuple[int, int]:
        return image.shape[0] - self.height + 1, image.shape[1] - self.width + 1

    def _some_known(self, image: AnySizeGrid) -> Bool[np.ndarray, "row column"]:
        rows, columns = self._room(image)
        if (image >= 0).all():
            return np.ones((rows, columns), dtype=bool)
        known = np.pad((image >= 0).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        below, above = known[self.height :], known[:rows]
        return (below[:, self.width :] - below[:, :columns] - above[:, self.width :] + above[:, :columns]) > 0

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """`n` windows."""
        chosen = generator.integers(0, self.ends[-1], n)
        numbers = np.searchsorted(self.ends, chosen, side="right")
        cells = np.empty((n, self.height, self.width), dtype=np.int64)
        for index, (number, place) in enumerate(zip(numbers, chosen - self.ends[numbers], strict=True)):
            image = self.images[number]
            row, column = divmod(int(self.places[number][place]), self._room(image)[1])
            cells[index] = image[row : row + self.height, column : column + self.width]
        return random_symmetry(cells, generator, self.symmetries)

    def split(self) -> tuple["Windows", Examples]:
        """The windows to learn from, and some that have no cell in common with them, held out to score with.

        Of many images a tenth is held out, of few the last corner of each, with a tenth of its cells or as large as a
        window; where there is no room for that beside windows, the image is both.
        """
        if len(self.images) >= FEW_IMAGES:
            n = len(self.images) - max(1, len(self.images) // FEW_IMAGES)
            learned, held_out = self._of(self.images[:n]), self._of(self.images[n:])
        else:
            corners = [self._corner(image) for image in self.images]
            learned = self._of(self.images, corners)
            apart = [image[row:, column:] for image, (row, column) in zip(self.images, corners, strict=True)]
            held_out = self._of([part if part.size else image for part, image in zip(apart, self.images, strict=True)])
        n = max(1, min(MOST_HELD_OUT, HELD_OUT_CELLS // (self.height * self.width)))
        return learned, Examples(held_out.sample(n, np.random.default_rng(0)), self.palette)

    def _of(self, images: Sequence[AnySizeGrid], corners: Sequence[Corner] = ()) -> "Windows":
        return Windows(images, self.palette, (self.height, self.width), self.symmetries, corners)

    def _corner(self, image: AnySizeGrid) -> Corner:
        height, width = image.shape
        row = height - max(self.height, round(HELD_OUT_SIDE * height))
        column = width - max(self.width, round(HELD_OUT_SIDE * width))
        return (row, column) if row >= self.height or column >= self.width else (height, width)

    @property
    def record(self) -> dict[str, Any]:
        """What a model file says of the data."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(image.tobytes())
        return {"data": digest.hexdigest(), "images": len(self.images), "symmetries": self.symmetries}
