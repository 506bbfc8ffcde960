"""PNG pictures: pixels, tables of colours, and the scale at which cells are drawn."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped, UInt32
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from ..words import InputError
from .codes import Codes, refuse_first
from .palettes import unpacked

MAX_PIXELS = 64_000_000
PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA")
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"


def read_image(path: Path) -> Image.Image:
    """Read a PNG file, and refuse any that is damaged.

    Parameters
    ----------
    path
        The file, whatever its name.

    Returns
    -------
    PIL.Image.Image
        The picture in its own mode, with all its pixels loaded.

    Raises
    ------
    InputError
        When the file is not a PNG, is damaged or truncated, has 16 bits per channel or more than 64 million pixels.

    Examples
    --------
    >>> Image.new("L", (3, 2)).save("small.png")
    >>> read_image(Path("small.png")).size
    (3, 2)
    """
    data = path.read_bytes()
    if not data.startswith(PNG_START):
        raise InputError("this is not a PNG picture, whatever its suffix says")
    width, height, bits_per_channel = (int.from_bytes(data[i:j]) for i, j in ((16, 20), (20, 24), (24, 25)))
    if width * height > MAX_PIXELS:  # before Pillow reserves memory for them
        raise InputError(f"{height} by {width} pixels are more than {MAX_PIXELS}; cut the picture into smaller ones")
    if bits_per_channel == 16:
        raise InputError("16 bits per channel are not supported; save the picture with 8")
    try:
        PngImageFile(BytesIO(data)).verify()  # the checksums, at which `load` does not look
        image = PngImageFile(BytesIO(data))
        image.load()
    except Exception as error:  # Pillow reports damage by many types
        raise InputError(f"this PNG is damaged or truncated ({error})") from None
    if PNG_END not in data:
        raise InputError("this PNG is damaged or truncated (its end is missing)")
    return image


def pixel_colours(image: Image.Image) -> UInt32[np.ndarray, "height width"]:
    """Read the colour of each pixel.

    Parameters
    ----------
    image
        A picture of any mode.

    Returns
    -------
    array of uint32
        Colours packed as 0xRRGGBBAA.

    Examples
    --------
    >>> [[hex(colour) for colour in row] for row in pixel_colours(Image.new("RGB", (2, 1), (230, 159, 0)))]
    [['0xe69f00ff', '0xe69f00ff']]
    """
    return np.asarray(image.convert("RGBA")).view(">u4")[..., 0].astype(np.uint32)


def table_of(image: Image.Image) -> tuple[int, ...] | None:
    """Read the colour table of an indexed picture (PLTE and tRNS).

    Parameters
    ----------
    image
        A picture of any mode.

    Returns
    -------
    tuple of int, or None
        The packed colour of each index; None if the picture is not indexed.

    Raises
    ------
    InputError
        When a pixel has an index that the table lacks.

    Examples
    --------
    >>> image = indexed_image(np.array([[0, 1]]), [0xE69F00FF, 0x56B4E900])
    >>> [hex(colour) for colour in table_of(image)]
    ['0xe69f00ff', '0x56b4e900']
    """
    if image.mode != "P":
        return None
    n_colours, largest = len(image.getpalette() or ()) // 3, np.asarray(image).max()
    if largest >= n_colours:
        raise InputError(f"this PNG is damaged (index {largest} in a palette of {n_colours} colours)")
    ramp = image.crop((0, 0, n_colours, 1))
    ramp.putdata(range(n_colours))
    return tuple(pixel_colours(ramp)[0].tolist())


# Scale

SCALE_NOTE = "gridcloze:scale"  # the text chunk in which a picture notes it


def find_scale(pictures: Sequence[Shaped[np.ndarray, "_height _width"]], candidates: Iterable[int] = ()) -> int:
    """Find how many pixels the side of a cell has in pictures that are drawn alike.

    Parameters
    ----------
    pictures
        The pixels of each.
    candidates
        Scales to try first; the first that fits all pictures wins.

    Returns
    -------
    int
        The first candidate that fits, otherwise the largest scale that does; 1 if no picture has two colours.

    Notes
    -----
    The largest scale is the greatest common divisor of all sides and of the positions of all changes of colour. A
    single picture can be ambiguous: a square on even positions could be a drawing of half the size. Several together
    rarely are.

    Examples
    --------
    >>> find_scale([enlarge(np.array([[0, 1, 1], [1, 0, 1]]), 8)])
    8
    """
    for scale in candidates:
        with suppress(InputError):
            for pixels in pictures:
                shrink(pixels, scale)
            return scale
    sides = {side for pixels in pictures for side in pixels.shape}
    changes = {int(line) for pixels in pictures for lines in (pixels, pixels.T) for line in _changes(lines)}
    return int(np.gcd.reduce([*sides, *changes])) if changes else 1


def _changes(lines: Shaped[np.ndarray, "line position"]) -> Int[np.ndarray, " change"]:
    """The lines that differ from the one before."""
    return np.flatnonzero((lines[1:] != lines[:-1]).any(axis=1)) + 1


def scale_for_size(pixels: Codes, size: tuple[int, ...]) -> int:
    """Find the scale at which a picture has a given number of cells.

    Parameters
    ----------
    pixels
        The picture (height, width).
    size
        Height and width in cells.

    Returns
    -------
    int
        Pixels to the side of a cell; 0 if the picture cannot be divided so.

    Examples
    --------
    >>> scale_for_size(np.zeros((32, 48), int), (4, 6)), scale_for_size(np.zeros((32, 48), int), (5, 5))
    (8, 0)
    """
    scale = pixels.shape[0] // max(1, size[0])
    return scale if pixels.shape == (scale * size[0], scale * size[1]) else 0


def enlarge(cells: np.ndarray, scale: int) -> np.ndarray:
    """Draw each cell as a square of pixels.

    Parameters
    ----------
    cells
        An array whose last two axes are height and width.
    scale
        Pixels to the side of a cell.

    Returns
    -------
    array
        The pixels; `shrink` is the inverse.

    Examples
    --------
    >>> enlarge(np.array([[0, 1]]), 2)
    array([[0, 0, 1, 1],
           [0, 0, 1, 1]])
    """
    return cells.repeat(scale, axis=-2).repeat(scale, axis=-1)


def shrink(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Read the cells that `enlarge` drew.

    Parameters
    ----------
    pixels
        An array whose last two axes are height and width.
    scale
        Pixels to the side of a cell.

    Returns
    -------
    array
        One entry for each cell.

    Raises
    ------
    InputError
        When the scale does not divide the sides, or a pixel differs from the others of its cell; names the pixel.

    Examples
    --------
    >>> shrink(np.array([[0, 0, 1, 1], [0, 0, 1, 1]]), 2)
    array([[0, 1]])
    """
    height, width = pixels.shape[-2:]
    if scale < 1 or height % scale or width % scale:
        raise InputError(f"{height} by {width} pixels cannot be cut into cells of {scale} by {scale}")
    cells = pixels[..., ::scale, ::scale]
    odd = pixels != enlarge(cells, scale)
    refuse_first(odd, lambda pixel: f"this pixel differs from the others of its cell of {scale} by {scale} pixels")
    return cells


# Drawing


def plain_image(colours: Codes, mode: str, transparent_key: Any = None) -> Image.Image:
    """Make a picture without a colour table.

    Parameters
    ----------
    colours
        Packed colours (height, width).
    mode
        The mode of Pillow to try first: "1", "L", "LA", "RGB" or "RGBA".
    transparent_key
        The colour that is transparent in this mode although the mode has no alpha; None for none.

    Returns
    -------
    PIL.Image.Image
        In the given mode or, where that cannot express all the colours, the next one that can.

    Examples
    --------
    >>> plain_image(np.array([[0x000000FF, 0x777777FF]]), "L").mode
    'L'
    >>> plain_image(np.array([[0x000000FF, 0xE69F00FF]]), "L").mode
    'RGB'
    """
    rgba = Image.fromarray(np.ascontiguousarray(colours, ">u4").view(np.uint8).reshape(*colours.shape, 4))
    for candidate in PLAIN_MODES[PLAIN_MODES.index(mode) :]:
        image = rgba.convert(candidate, dither=Image.Dither.NONE)
        if transparent_key is not None and candidate == mode:
            image.info["transparency"] = transparent_key
        if np.array_equal(pixel_colours(image), colours):
            return image
    raise AssertionError("RGBA expresses every colour")


def indexed_image(indices: Codes, table: Sequence[int]) -> Image.Image:
    """Make a picture with a colour table.

    Parameters
    ----------
    indices
        Of the colour of each pixel (height, width), in the table.
    table
        At most 256 packed colours.

    Returns
    -------
    PIL.Image.Image
        In mode "P", with a tRNS chunk if a colour has alpha.

    Examples
    --------
    >>> indexed_image(np.array([[0, 1, 1]]), [0x000000FF, 0xE69F00FF]).getpixel((2, 0))
    1
    """
    image = Image.fromarray(indices.astype(np.uint8))
    channels = np.array([unpacked(colour) for colour in table], np.uint8)
    image.putpalette(channels[:, :3].tobytes())
    if (channels[:, 3] < 255).any():
        image.info["transparency"] = channels[:, 3].tobytes()
    return image
