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
SCALE_NOTE = "gridcloze:scale"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"


def read_image(path: Path) -> Image.Image:
    data = path.read_bytes()
    if not data.startswith(PNG_START):
        raise InputError("this is not a PNG picture, whatever its suffix says")
    width, height, bits_per_channel = (int.from_bytes(data[i:j]) for i, j in ((16, 20), (20, 24), (24, 25)))
    if width * height > MAX_PIXELS:  # before Pillow reserves memory for them
        raise InputError(f"{height} by {width} pixels are more than {MAX_PIXELS}; cut the picture into smaller ones")
    if bits_per_channel == 16:
        raise InputError("mode with 16 bits a channel is not supported; save the picture with 8")
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
    return np.asarray(image.convert("RGBA")).view(">u4")[..., 0].astype(np.uint32)


def table_of(image: Image.Image) -> tuple[int, ...] | None:
    """Packed PLTE and tRNS of an indexed picture: the colours of one that has each index once."""
    if image.mode != "P":
        return None
    n_colours, largest = len(image.getpalette() or ()) // 3, np.asarray(image).max()
    if largest >= n_colours:
        raise InputError(f"this PNG is damaged (index {largest} in a palette of {n_colours} colours)")
    ramp = image.crop((0, 0, n_colours, 1))
    ramp.putdata(range(n_colours))
    return tuple(pixel_colours(ramp)[0].tolist())


def find_scale(pictures: Sequence[Shaped[np.ndarray, "_height _width"]], candidates: Iterable[int] = ()) -> int:
    """The first candidate that suits all pictures, otherwise the largest scale that does; 1 if nothing changes.

    That is the greatest common divisor of the sides and of the positions of all changes of colour. One picture can be
    ambiguous: a square on even positions could be a drawing of half the size. Several together seldom are.
    """
    for scale in candidates:
        with suppress(InputError):
            for pixels in pictures:
                shrink(pixels, scale)
            return scale
    sides = {side for pixels in pictures for side in pixels.shape}
    changes = {int(place) for pixels in pictures for lines in (pixels, pixels.T) for place in _changes(lines)}
    return int(np.gcd.reduce([*sides, *changes])) if changes else 1


def _changes(lines: Shaped[np.ndarray, "line place"]) -> Int[np.ndarray, " change"]:
    """The lines that differ from the one before."""
    return np.flatnonzero((lines[1:] != lines[:-1]).any(axis=1)) + 1


def scale_for_size(pixels: Codes, size: tuple[int, ...]) -> int:
    """The scale at which a picture has that size; 0 if there is none."""
    scale = pixels.shape[0] // max(1, size[0])
    return scale if pixels.shape == (scale * size[0], scale * size[1]) else 0


def enlarge(cells: np.ndarray, scale: int) -> np.ndarray:
    return cells.repeat(scale, axis=-2).repeat(scale, axis=-1)


def shrink(pixels: np.ndarray, scale: int) -> np.ndarray:
    """The inverse of `enlarge`; InputError names the first pixel that differs from the others of its cell."""
    height, width = pixels.shape[-2:]
    if scale < 1 or height % scale or width % scale:
        raise InputError(f"{height} by {width} pixels cannot be cut into cells of {scale} by {scale}")
    cells = pixels[..., ::scale, ::scale]
    odd = pixels != enlarge(cells, scale)
    refuse_first(odd, lambda pixel: f"this pixel differs from the others of its cell of {scale} by {scale} pixels")
    return cells


def plain_image(colours: Codes, mode: str, transparent_key: Any = None) -> Image.Image:
    """In the given mode if that can express all the colours, otherwise in the next one that can."""
    rgba = Image.fromarray(np.ascontiguousarray(colours, ">u4").view(np.uint8).reshape(*colours.shape, 4))
    for candidate in PLAIN_MODES[PLAIN_MODES.index(mode) :]:
        image = rgba.convert(candidate, dither=Image.Dither.NONE)
        if transparent_key is not None and candidate == mode:
            image.info["transparency"] = transparent_key
        if np.array_equal(pixel_colours(image), colours):
            return image
    raise AssertionError("RGBA expresses every colour")


def indexed_image(indices: Codes, table: Sequence[int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8))
    bands = np.array([unpacked(colour) for colour in table], np.uint8)
    image.putpalette(bands[:, :3].tobytes())
    if (bands[:, 3] < 255).any():
        image.info["transparency"] = bands[:, 3].tobytes()
    return image
