"""A prior known by big images: windows of one size, at random positions."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt32

from ..files.palettes import Palette
from ..shapes import AnySizeGrid
from ..words import InputError
from .examples import (
    HELD_OUT_FRACTION,
    LEAST_KNOWN,
    MOST_HELD_OUT,
    Examples,
    Symmetries,
    checked_symmetries,
    held_out_last,
    random_symmetry,
)

FEW_IMAGES = 10  # of fewer, a block of each is held out; of more, some as a whole
HELD_OUT_SIDE = 0.316  # of a block, as a share of the image's: a tenth of its cells
HELD_OUT_CELLS = 2**20
Block = tuple[slice, slice]  # the rows and the columns of an image that are held out
NOTHING: Block = (slice(0, 0), slice(0, 0))


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
    blocks
        The rows and columns of each image that are held out: no window has a cell of them. None are held out if it is
        empty.

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
        blocks: Sequence[Block] = (),
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
        blocks = blocks or [NOTHING] * len(images)
        self._positions = [self._positions_in(*each) for each in zip(images, blocks, strict=True)]
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
            from a block of each, which is as large as a tenth of the image or as a window. That is the lower right
            corner or, if few cells are known there, the block that comes closest to a tenth of the known cells. An
            image without room for that is both.
        """
        if len(self.images) >= FEW_IMAGES:
            known = np.array([(image >= 0).mean() for image in self.images])
            chosen = held_out_last(known)
            kept = ~chosen if known[~chosen].any() else chosen | True
            learned, held_out = (
                self._of([self.images[n] for n in np.flatnonzero(each).tolist()]) for each in (kept, chosen)
            )
        else:
            blocks = [self._block(image) for image in self.images]
            learned = self._of(self.images, blocks)
            apart = [image[block] for image, block in zip(self.images, blocks, strict=True)]
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

    def _positions_in(self, image: AnySizeGrid, block: Block) -> UInt32[np.ndarray, " position"]:
        """The positions, counted row by row, of windows with a known cell and without a cell that is held out."""
        rows, columns = (np.arange(n) for n in self._n_positions(image))
        above_or_below = (rows + self.height <= block[0].start) | (rows >= block[0].stop)
        beside = (columns + self.width <= block[1].start) | (columns >= block[1].stop)
        outside = above_or_below[:, None] | beside
        return np.flatnonzero(outside & (_known_in(image, self.height, self.width) > 0)).astype(np.uint32)

    def _n_positions(self, image: AnySizeGrid) -> tuple[int, int]:
        return image.shape[0] - self.height + 1, image.shape[1] - self.width + 1

    def _of(self, images: Sequence[AnySizeGrid], blocks: Sequence[Block] = ()) -> "Windows":
        return Windows(images, self.palette, (self.height, self.width), self.symmetries, blocks)

    def _block(self, image: AnySizeGrid) -> Block:
        (n_rows, n_columns), sizes = image.shape, (self.height, self.width)
        tall, wide = (max(n, round(HELD_OUT_SIDE * side)) for n, side in zip(sizes, image.shape, strict=True))
        if n_rows - tall < self.height and n_columns - wide < self.width:
            return NOTHING
        row, column = n_rows - tall, n_columns - wide
        block, is_known = (slice(row, n_rows), slice(column, n_columns)), image >= 0
        if is_known[block].mean() < LEAST_KNOWN * is_known.mean():
            excess = np.abs(_known_in(image, tall, wide) - HELD_OUT_FRACTION * is_known.sum())
            row, column = divmod(int(excess.argmin()), excess.shape[1])
            block = slice(row, row + tall), slice(column, column + wide)
        return block if is_known.all() or self._positions_in(image, block).size else NOTHING


def _known_in(image: AnySizeGrid, height: int, width: int) -> Int[np.ndarray, "row column"]:
    """The number of known cells in the block of this size at each position."""
    rows, columns = image.shape[0] - height + 1, image.shape[1] - width + 1
    if (image >= 0).all():
        return np.broadcast_to(np.int64(height * width), (rows, columns))
    known = np.pad((image >= 0).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    below, above = known[height:], known[:rows]
    return below[:, width:] - below[:, :columns] - above[:, width:] + above[:, :columns]
