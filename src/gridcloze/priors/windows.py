"""A prior known by big images: windows of one size, at random positions."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt32

from ..files.palettes import Palette
from ..shapes import AnySizeGrid
from ..side import Side, SideMaps
from ..words import InputError
from .examples import (
    HELD_OUT_FRACTION,
    MOST_HELD_OUT,
    Examples,
    Symmetries,
    alike,
    check_shapes,
    checked_symmetries,
    held_out_last,
    random_symmetry,
    side_record,
)

FEW_IMAGES = 10  # of fewer, blocks of each are held out; of more, some as a whole
MOST_BLOCKS = 9  # of an image
SLACK = 0.1  # by which the known cells of a block may differ from a tenth of all, by n, as a share of these
HELD_OUT_CELLS = 2**20
Block = tuple[slice, slice]  # rows and columns of an image that are held out
WHOLE: Block = (slice(None), slice(None))


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
        Rows and columns of each image that are held out: no window has a cell of them. Nothing is held out if it is
        empty.
    side
        The side maps of the images; windows have the same part of them.

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
        blocks: Sequence[Sequence[Block]] = (),
        side: SideMaps | None = None,
    ):
        if side is not None:
            check_shapes(side, images)
        self.images, self.palette, self.side = images, palette, side
        self.symmetries: Symmetries = checked_symmetries(symmetries)
        self.height, self.width = size
        self.n_symbols = palette.n_symbols
        for number, image in enumerate(images):
            if image.shape[0] < size[0] or image.shape[1] < size[1]:
                raise InputError(
                    f"image {number} of {image.shape[0]} by {image.shape[1]} cells is smaller than a window of "
                    f"{size[0]} by {size[1]}: give larger images, or ask for smaller windows"
                )
        blocks = blocks or [()] * len(images)
        self._positions = [self._positions_in(*each) for each in zip(images, blocks, strict=True)]
        self._ends = np.cumsum([len(positions) for positions in self._positions])
        if not self._ends.size or self._ends[-1] == 0:
            raise InputError("no window of the images has a known cell")

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """See `Prior.sample`."""
        cells = [self.images[number][window] for number, window in self._draw(n, generator)]
        return random_symmetry(np.stack(cells).astype(np.int64), generator, self.symmetries)

    def sample_with_side(
        self, n: int, generator: np.random.Generator
    ) -> tuple[Int[np.ndarray, "n height width"], Side]:
        """See `Examples.sample_with_side`."""
        assert self.side is not None
        drawn = list(self._draw(n, generator))
        cells, side = (
            np.stack([of_image[number][window] for number, window in drawn])
            for of_image in (self.images, self.side.values)
        )
        return alike(cells, side, generator, self.symmetries)

    def _draw(self, n: int, generator: np.random.Generator) -> Iterator[tuple[int, Block]]:
        """Images and windows at random."""
        chosen = generator.integers(0, self._ends[-1], n)
        numbers = np.searchsorted(self._ends, chosen, side="right")
        for number, position in zip(numbers.tolist(), chosen - self._ends[numbers], strict=True):
            row, column = divmod(int(self._positions[number][position]), self._n_positions(self.images[number])[1])
            yield number, (slice(row, row + self.height), slice(column, column + self.width))

    def split(self) -> tuple["Windows", Examples]:
        """Split the images into windows to learn from and windows to score with, which have no cell in common.

        Returns
        -------
        tuple of Windows and Examples
            The windows to learn from, and at most 512 that are held out: from a tenth of ten or more images; of fewer,
            from blocks of each, as many as there are windows in a tenth of it, at most nine. They have a tenth of its
            cells, and lie in different parts of it, along its borders where cells are known there. An image without
            room for a block is both.
        """
        if len(self.images) >= FEW_IMAGES:
            known = np.array([(image >= 0).mean() for image in self.images])
            chosen = held_out_last(known)
            kept = ~chosen if known[~chosen].any() else chosen | True
            learned, held_out = (
                self._of([(n, WHOLE) for n in np.flatnonzero(each).tolist()]) for each in (kept, chosen)
            )
        else:
            blocks = [self._blocks(image) for image in self.images]
            learned = self._of([(n, WHOLE) for n in range(len(self.images))], blocks)
            held_out = self._of([(n, block) for n, of_one in enumerate(blocks) for block in of_one or [WHOLE]])
        n = max(1, min(MOST_HELD_OUT, HELD_OUT_CELLS // (self.height * self.width)))
        if held_out.side is None:
            return learned, Examples(held_out.sample(n, np.random.default_rng(0)), self.palette)
        cells, values = held_out.sample_with_side(n, np.random.default_rng(0))
        return learned, Examples(cells, self.palette, side=replace(held_out.side, values=values))

    @property
    def record(self) -> dict[str, Any]:
        """What a model file says about the data: hash, number of images, symmetries."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(image.tobytes())
        of_images = {"data": digest.hexdigest(), "images": len(self.images), "symmetries": self.symmetries}
        return of_images | side_record(self.side)

    def _positions_in(self, image: AnySizeGrid, blocks: Sequence[Block]) -> UInt32[np.ndarray, " position"]:
        """The positions, counted row by row, of windows with a known cell and without a cell that is held out."""
        allowed = _known_in(image, self.height, self.width) > 0
        for rows, columns in blocks:
            first_row, first_column = max(0, rows.start - self.height + 1), max(0, columns.start - self.width + 1)
            allowed[first_row : rows.stop, first_column : columns.stop] = False
        return np.flatnonzero(allowed).astype(np.uint32)

    def _n_positions(self, image: AnySizeGrid) -> tuple[int, int]:
        return image.shape[0] - self.height + 1, image.shape[1] - self.width + 1

    def _of(self, parts: Sequence[tuple[int, Block]], blocks: Sequence[Sequence[Block]] = ()) -> "Windows":
        """The same of parts of the images."""
        images = [self.images[number][part] for number, part in parts]
        side = self.side and replace(self.side, values=[self.side.values[number][part] for number, part in parts])
        return Windows(images, self.palette, (self.height, self.width), self.symmetries, blocks, side)

    def _blocks(self, image: AnySizeGrid) -> list[Block]:
        """What is held out of an image: as many blocks as leave windows to learn from."""
        wanted = round(HELD_OUT_FRACTION * image.size / (self.height * self.width))
        for n in dict.fromkeys((max(1, min(MOST_BLOCKS, wanted)), 1)):
            blocks = self._some_blocks(image, n)
            if self._positions_in(image, blocks).size and all((image[block] >= 0).any() for block in blocks):
                return blocks
        return []

    def _some_blocks(self, image: AnySizeGrid, n: int) -> list[Block]:
        """Blocks of an n-th of a tenth of the cells, or as large as a window; where cells are unknown, the nearest ones
        with an n-th of a tenth of the known cells.
        """
        (n_rows, n_columns), of_side = image.shape, (HELD_OUT_FRACTION / n) ** 0.5
        tall = min(n_rows, max(self.height, round(of_side * n_rows)))
        wide = min(n_columns, max(self.width, round(of_side * n_columns)))
        is_known, blocks = image >= 0, list[Block]()
        is_whole, target = is_known.all(), HELD_OUT_FRACTION / n * is_known.sum()
        for down, across in _parts(n):
            row, column = round(down * (n_rows - tall)), round(across * (n_columns - wide))
            if not is_whole:
                excess = np.abs(_counted(is_known, tall, wide) - target)
                fit = np.argwhere(excess <= max(excess.min(), SLACK * target))
                row, column = fit[np.abs(fit - (row, column)).sum(axis=1).argmin()].tolist()
            blocks.append((slice(row, row + tall), slice(column, column + wide)))
            is_known[blocks[-1]] = False  # so that the next ones lie elsewhere
        return blocks


def _parts(n: int) -> list[tuple[float, float]]:
    """How far from the top and the left n blocks lie, as shares: diagonals first, so that few are far apart."""
    if n == 1:
        return [(1.0, 1.0)]
    side = math.ceil(math.sqrt(n))
    cells = sorted(np.ndindex(side, side), key=lambda cell: ((cell[1] - cell[0]) % side, cell))
    return [(row / (side - 1), column / (side - 1)) for row, column in cells[:n]]


def _known_in(image: AnySizeGrid, height: int, width: int) -> Int[np.ndarray, "row column"]:
    """The number of known cells in the block of this size at each position."""
    rows, columns = image.shape[0] - height + 1, image.shape[1] - width + 1
    if (image >= 0).all():
        return np.broadcast_to(np.int64(height * width), (rows, columns))
    return _counted(image >= 0, height, width)


def _counted(is_known: Bool[np.ndarray, "height width"], height: int, width: int) -> Int[np.ndarray, "row column"]:
    rows, columns = is_known.shape[0] - height + 1, is_known.shape[1] - width + 1
    known = np.pad(is_known.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    below, above = known[height:], known[:rows]
    return below[:, width:] - below[:, :columns] - above[:, width:] + above[:, :columns]
