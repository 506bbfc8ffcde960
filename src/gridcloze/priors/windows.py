"""A prior known by big images: windows of one size, at random positions."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt32

from ..files.palettes import Palette
from ..shapes import AnySizeGrid
from ..words import InputError
from .examples import MOST_HELD_OUT, Examples, Symmetries, checked_symmetries, random_symmetry

FEW_IMAGES = 10  # of fewer, a corner of each is held out; of more, some as a whole
HELD_OUT_SIDE = 0.316  # of a corner, as a share of the image's: a tenth of its cells
HELD_OUT_CELLS = 2**20
Corner = tuple[int, int]  # the row and the column from which an image is held out


class Windows:
    """A prior known by large images, of which windows of one size are the grids.

    All positions at which a window has a known cell are equally likely.

    Parameters
    ----------
    images
        The images, each of shape (height, width), of any sizes; -1 stands for an unknown cell.
    palette
        How the symbols look; it also says how many there are.
    size
        Height and width of a window, in cells.
    symmetries
        Under which transformations windows are equally likely; see `Examples`.
    corners
        The row and the column of each image from which on it is held out: no window has a cell that is below and right
        of both. None are held out if it is empty.

    Raises
    ------
    InputError
        If an image is smaller than a window, no window has a known cell, or the symmetries are unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.files.palettes import Palette
    >>> from gridcloze.priors import Windows
    >>> image = np.arange(20).reshape(4, 5)
    >>> windows = Windows([image], Palette.default(20), size=(2, 3))
    >>> windows.sample(1, np.random.default_rng(0))
    array([[[11, 12, 13],
            [16, 17, 18]]])
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
        self._positions = [self._positions_in(*each) for each in zip(images, corners, strict=True)]
        self._ends = np.cumsum([len(positions) for positions in self._positions])
        if not self._ends.size or self._ends[-1] == 0:
            raise InputError("no window of the images has a known cell")

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """See `Prior.sample`."""
        chosen = generator.integers(0, self._ends[-1], n)
        numbers = np.searchsorted(self._ends, chosen, side="right")
        cells = np.empty((n, self.height, self.width), dtype=np.int64)
        for index, (number, position) in enumerate(zip(numbers, chosen - self._ends[numbers], strict=True)):
            image = self.images[number]
            row, column = divmod(int(self._positions[number][position]), self._n_positions(image)[1])
            cells[index] = image[row : row + self.height, column : column + self.width]
        return random_symmetry(cells, generator, self.symmetries)

    def split(self) -> tuple["Windows", Examples]:
        """Split the images into windows to learn from and windows to score with, which have no cell in common.

        Returns
        -------
        tuple of Windows and Examples
            The windows to learn from, and at most 512 that are held out: from a tenth of ten or more images; of fewer,
            from the lower right corner of each, which is as large as a tenth of the image or as a window. An image
            without room for that is both.
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

    @property
    def record(self) -> dict[str, Any]:
        """What a model file says about the data: hash, number of images, symmetries."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(image.tobytes())
        return {"data": digest.hexdigest(), "images": len(self.images), "symmetries": self.symmetries}

    def _positions_in(self, image: AnySizeGrid, corner: Corner) -> UInt32[np.ndarray, " position"]:
        """The positions, counted row by row, of windows with a known cell and without a cell that is held out."""
        rows, columns = (np.arange(n) for n in self._n_positions(image))
        outside = (rows[:, None] + self.height <= corner[0]) | (columns + self.width <= corner[1])
        return np.flatnonzero(outside & self._some_known(image)).astype(np.uint32)

    def _n_positions(self, image: AnySizeGrid) -> tuple[int, int]:
        return image.shape[0] - self.height + 1, image.shape[1] - self.width + 1

    def _some_known(self, image: AnySizeGrid) -> Bool[np.ndarray, "row column"]:
        rows, columns = self._n_positions(image)
        if (image >= 0).all():
            return np.ones((rows, columns), dtype=bool)
        known = np.pad((image >= 0).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        below, above = known[self.height :], known[:rows]
        return (below[:, self.width :] - below[:, :columns] - above[:, self.width :] + above[:, :columns]) > 0

    def _of(self, images: Sequence[AnySizeGrid], corners: Sequence[Corner] = ()) -> "Windows":
        return Windows(images, self.palette, (self.height, self.width), self.symmetries, corners)

    def _corner(self, image: AnySizeGrid) -> Corner:
        height, width = image.shape
        row = height - max(self.height, round(HELD_OUT_SIDE * height))
        column = width - max(self.width, round(HELD_OUT_SIDE * width))
        return (row, column) if row >= self.height or column >= self.width else (height, width)
