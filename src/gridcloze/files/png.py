"""PNG pictures: pixels, tables of colours, what else their chunks say, and the scale at which cells are drawn."""

import re
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Integer, Shaped, UInt32
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from ..words import InputError
from .codes import Codes, Flags, refuse_first
from .palettes import unpacked
from .paths import GRID_NOTE, read_bytes

MAX_PIXELS = 64_000_000
MAX_BYTES = 5 * MAX_PIXELS
MAX_CHUNKS = 100_000
PIXELS_AT_ONCE = 2**20
PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA")
GREY_MODES = PLAIN_MODES[:3]
PNG_START = b"\x89PNG\r\n\x1a\n"
INDEXED = 3  # the type of colour of a picture with a table
DECODED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # what pixels depend on; Pillow gets to see no other chunk
COLOUR_SPACE = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"iCCP")  # come back as those do that are marked as safe to copy
SCALE_NOTE = GRID_NOTE  # the text in which a picture notes its scale
NOTE = SCALE_NOTE.encode() + b"\0"
NOTED_SCALE = re.compile(NOTE + rb"(?:\0\0[^\0]*\0[^\0]*\0)?(\d{1,8})")  # in tEXt or iTXt
OTHERS = "other chunks"  # under which `read_image` keeps them

Chunk = tuple[bytes, bytes | memoryview]  # type and data


def read_image(path: Path) -> Image.Image:
    """Read a PNG file, and refuse any that is damaged.

    Parameters
    ----------
    path
        The file, whatever its name.

    Returns
    -------
    PIL.Image.Image
        The picture in its own mode, with all its pixels loaded. What else it says, such as texts and resolution, is
        kept for `write_image` as it is.

    Raises
    ------
    InputError
        When the file is not a PNG, is damaged or truncated, is animated, has 16 bits per channel or more than
        64 million pixels.

    Examples
    --------
    >>> Image.new("L", (3, 2)).save("small.png")
    >>> read_image(Path("small.png")).size
    (3, 2)
    """
    data = memoryview(read_bytes(path, MAX_BYTES))
    if data[: len(PNG_START)] != PNG_START:
        raise InputError("this is not a PNG picture, whatever its suffix says")
    try:
        chunks = list(_chunks_of(data))
        _refuse_header(chunks)
        colour_type = chunks[0][1][9]
        decoded = [chunk for chunk in chunks if chunk[0] in DECODED and (chunk[0] != b"PLTE" or colour_type == INDEXED)]
        image = PngImageFile(BytesIO(PNG_START + b"".join(_framed(chunk) for chunk in decoded)))
        image.load()
    except InputError:
        raise
    except Exception as error:  # Pillow reports damage by many types
        raise InputError(f"this PNG is damaged or truncated ({' '.join(str(error).split())})") from None
    others = [(name, bytes(content)) for name, content in chunks if name not in DECODED]
    noted = [NOTED_SCALE.fullmatch(content) for name, content in others if name in (b"tEXt", b"iTXt")]
    image.info |= {SCALE_NOTE: next((int(match[1]) for match in noted if match), 0), OTHERS: others}
    return image


def _chunks_of(data: memoryview) -> Iterator[Chunk]:
    """All chunks up to the end of the picture, each with the right checksum."""
    place = len(PNG_START)
    for _ in range(MAX_CHUNKS):
        length, name = int.from_bytes(data[place : place + 4]), bytes(data[place + 4 : place + 8])
        content, checksum = data[place + 8 : place + 8 + length], data[place + 8 + length : place + 12 + length]
        if len(checksum) < 4 or not name.isalpha() or int.from_bytes(checksum) != zlib.crc32(content, zlib.crc32(name)):
            raise InputError(f"this PNG is damaged or truncated (at byte {place} of {len(data)})")
        yield name, content
        if name == b"IEND":
            return
        place += 12 + length
    raise InputError(f"this PNG has more than {MAX_CHUNKS} chunks; save it again with another program")


def _framed(chunk: Chunk) -> bytes:
    name, content = chunk
    checksum = zlib.crc32(content, zlib.crc32(name))
    return b"".join((len(content).to_bytes(4), name, content, checksum.to_bytes(4)))


def _refuse_header(chunks: Sequence[Chunk]) -> None:
    """Refuse before Pillow reserves memory; what it decodes is what is checked here."""
    names = [name for name, _ in chunks]
    header = chunks[0][1]
    if names[0] != b"IHDR" or names.count(b"IHDR") > 1 or len(header) != 13 or names.count(b"PLTE") > 1:
        raise InputError("this PNG is damaged (it needs one header, at its start, and one palette at most)")
    width, height, bits_per_channel = (int.from_bytes(header[i:j]) for i, j in ((0, 4), (4, 8), (8, 9)))
    if width * height > MAX_PIXELS:
        raise InputError(f"{height} by {width} pixels are more than {MAX_PIXELS}; cut the picture into smaller ones")
    if not width * height:
        raise InputError(f"this PNG is damaged ({height} by {width} pixels)")
    if bits_per_channel == 16:
        raise InputError("16 bits per channel are not supported; save the picture with 8")
    if b"acTL" in names or b"fdAT" in names:
        raise InputError("this PNG is animated; save the frame to read as a picture of its own")


def write_image(path: Path, image: Image.Image, scale: int, source: Image.Image | None = None) -> None:
    """Write a picture that notes its scale.

    Parameters
    ----------
    path
        The PNG file.
    image
        The picture.
    scale
        Pixels to the side of a cell.
    source
        The picture that it was made from, as `read_image` returns it: texts, resolution, EXIF data and colour profile
        are copied to the new one as they are.

    Examples
    --------
    >>> write_image(Path("noted.png"), Image.new("L", (4, 4)), 2)
    >>> read_image(Path("noted.png")).info["gridcloze:scale"]
    2
    """
    file = BytesIO()
    image.save(file, format="PNG")
    data = file.getbuffer()
    start = len(PNG_START) + 25  # of what follows the header
    chunks = [(b"tEXt", NOTE + b"%d" % scale)]
    if source is not None:
        is_same_space = (source.mode in GREY_MODES) == (image.mode in GREY_MODES)
        dropped = () if is_same_space else (b"iCCP",)  # a profile is for grey or for colours
        others = [chunk for chunk in source.info.get(OTHERS, ()) if _is_kept(*chunk) and chunk[0] not in dropped]
        others = [chunk for chunk in others if _can_be_opened([chunk])]
        chunks += others if _can_be_opened(others) else []
    path.write_bytes(b"".join([data[:start], *map(_framed, chunks), data[start:]]))


def _is_kept(name: bytes, content: bytes) -> bool:
    """Chunks say by the case of their letters whether they may be copied to a picture that was changed."""
    is_safe = name[:1].islower() and name[3:].islower()
    return (is_safe or name in COLOUR_SPACE) and not content.startswith(NOTE)


def _can_be_opened(chunks: Sequence[Chunk]) -> bool:
    """Whether Pillow takes chunks: they may be damaged, or unpack to more than a program should."""
    image = BytesIO()
    Image.new("L", (1, 1)).save(image, format="PNG")
    data = image.getvalue()
    start = len(PNG_START) + 25
    try:
        PngImageFile(BytesIO(b"".join([data[:start], *map(_framed, chunks), data[start:]]))).load()
    except Exception:  # of many types
        return False
    return True


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
    colours = np.empty((image.height, image.width), np.uint32)
    rows = max(1, PIXELS_AT_ONCE // image.width)
    for start in range(0, image.height, rows):
        part = image.crop((0, start, image.width, min(start + rows, image.height)))
        colours[start : start + rows] = np.asarray(part.convert("RGBA")).view(">u4")[..., 0]
    return colours


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


def find_scale(pictures: Sequence[Shaped[np.ndarray, "_height _width"]]) -> int:
    """Find how many pixels the side of a cell has in pictures that are drawn alike.

    Parameters
    ----------
    pictures
        The pixels of each.

    Returns
    -------
    int
        The largest scale that fits all; 1 if no picture has two colours.

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
    sides = {side for pixels in pictures for side in pixels.shape}
    changes = {int(line) for pixels in pictures for lines in (pixels, pixels.T) for line in _changes(lines)}
    return int(np.gcd.reduce([*sides, *changes])) if changes else 1


def _changes(lines: Shaped[np.ndarray, "line position"]) -> Int[np.ndarray, " change"]:
    """The lines that differ from the one before."""
    return np.flatnonzero((lines[1:] != lines[:-1]).any(axis=1)) + 1


def fits(pixels: Codes, hidden: Flags, scale: int) -> bool:
    """Tell whether a picture looks as if its cells had a size.

    Parameters
    ----------
    pixels, hidden, scale
        As in `shrink`.

    Returns
    -------
    bool
        Whether the visible pixels of each cell are alike, also if others of it are hidden, and no more cells are hidden
        in part than none of. So single known pixels, far apart, are not taken for what is left of large cells.

    Examples
    --------
    >>> pixels = enlarge(np.array([[0, 1]]), 4)
    >>> [scale for scale in range(1, 9) if fits(pixels, pixels < 0, scale)]
    [1, 2, 4]
    """
    height, width = pixels.shape
    if scale < 1 or height % scale or width % scale:
        return False
    in_blocks = (height // scale, scale, width // scale, scale)
    largest = np.iinfo(pixels.dtype).max
    lowest = np.where(hidden, largest, pixels).reshape(in_blocks).min(axis=(1, 3))
    alike = lowest >= np.where(hidden, 0, pixels).reshape(in_blocks).max(axis=(1, 3))
    n_hidden = hidden.reshape(in_blocks).sum(axis=(1, 3))
    in_part = (n_hidden > 0) & (n_hidden < scale**2)
    return bool(alike.all()) and int(in_part.sum()) <= int((n_hidden == 0).sum())


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


def shrink(
    pixels: Integer[np.ndarray, "height width"], hidden: Bool[np.ndarray, "height width"], scale: int
) -> tuple[Integer[np.ndarray, "row column"], Bool[np.ndarray, "row column"]]:
    """Read the cells that `enlarge` drew.

    Parameters
    ----------
    pixels
        A picture (height, width).
    hidden
        Which of its pixels are hidden: they may lie anywhere, as in a picture that was painted over by hand.
    scale
        Pixels to the side of a cell.

    Returns
    -------
    cells
        One entry for each cell.
    hidden
        Which cells are hidden: those with a hidden pixel.

    Raises
    ------
    InputError
        When the scale does not divide the sides, or a pixel differs from the others of its cell although none of these
        is hidden; names the pixel.

    Examples
    --------
    >>> pixels = np.array([[0, 0, 1, 5], [0, 0, 1, 1]])
    >>> shrink(pixels, pixels == 5, 2)
    (array([[0, 1]]), array([[False,  True]]))
    """
    height, width = pixels.shape
    if scale < 1 or height % scale or width % scale:
        raise InputError(f"{height} by {width} pixels cannot be cut into cells of {scale} by {scale}")
    cells = pixels[::scale, ::scale]
    in_blocks = (height // scale, scale, width // scale, scale)
    hidden_cells = np.asarray(hidden.reshape(in_blocks).any(axis=(1, 3)))
    odd = (pixels.reshape(in_blocks) != cells[:, None, :, None]) & ~hidden_cells[:, None, :, None]
    place = f"the others of its cell of {scale} by {scale} pixels"
    refuse_first(odd.reshape(height, width), lambda pixel: f"this pixel differs from {place}")
    return cells, hidden_cells


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
