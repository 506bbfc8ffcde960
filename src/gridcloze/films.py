"""Films: frames become a GIF or an MP4."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from .files.paths import SIGNATURE, atomic_write, check_writable
from .words import InputError, how_to_install

Frames = UInt8[np.ndarray, "n height width 3"]
ENDINGS = (".gif", ".mp4")
NO_ENCODER = f"MP4 needs an encoder: {how_to_install('film')}; a name that ends in .gif needs nothing more"


def write_film(path: Path, frames: Sequence[np.ndarray], frames_per_second: float) -> None:
    """Write frames as a film, whole or not at all.

    Parameters
    ----------
    path
        A .gif file, which loops, or an .mp4 file (H.264), which needs the `film` extra.
    frames
        Red, green and blue bytes (height, width, 3) of each frame, all of one size. In a GIF a frame that equals the
        one before makes that last longer; an MP4 of an odd size repeats the pixels at an edge.
    frames_per_second
        Above 0; in a GIF at most 50.

    Raises
    ------
    InputError
        When the frames or their rate do not fit, or nothing can be written there; there is then no new file.

    Examples
    --------
    >>> write_film(Path("film.gif"), [np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)], 2.0)
    >>> with Image.open("film.gif") as film:
    ...     film.n_frames
    2
    """
    check_film(path)
    write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
    film = _stacked(frames)
    if not 0 < frames_per_second < np.inf:
        raise InputError(f"{frames_per_second} frames per second: a film needs a number above 0")
    with atomic_write(path) as partial:
        write(partial, film, frames_per_second)


def check_film(path: Path) -> None:
    """Check before a long computation that a film can be written, and make the folder for it.

    Parameters
    ----------
    path
        The file that will be written.

    Raises
    ------
    InputError
        When the name does not end in .gif or .mp4, the encoder of MP4 is not installed, or nothing can be written
        there.

    Examples
    --------
    >>> check_film(Path("film.avi"))
    Traceback (most recent call last):
    gridcloze.words.InputError: film.avi: the name of a film ends in .gif or .mp4
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path}: the name of a film ends in {' or '.join(ENDINGS)}")
    if path.suffix.lower() == ".mp4" and find_spec("imageio_ffmpeg") is None:
        raise InputError(NO_ENCODER)
    check_writable(path)


def _stacked(frames: Sequence[np.ndarray]) -> Frames:
    if not len(frames):
        raise InputError("a film needs at least one frame")
    shapes = sorted({frame.shape for frame in frames})
    if len(shapes) > 1:
        raise InputError(f"the frames of a film need one size, and these have {shapes[0]} and {shapes[1]}")
    film = np.stack(frames)
    if film.dtype != np.uint8 or film.ndim != 4 or film.shape[3] != 3 or film.size == 0:
        raise InputError(f"frames of shape {shapes[0]} and type {film.dtype} are not (height, width, 3) of bytes")
    return film


# GIF

LAST_FRAME_SECONDS = 2.0  # so that the end is seen before the film starts again
GIF_COLOURS = 255  # of 256: one means "as in the frame before"
GIF_MOST_FRAMES_PER_SECOND = 50  # browsers slow down what is faster


def _write_gif(path: Path, film: Frames, frames_per_second: float) -> None:
    if frames_per_second > GIF_MOST_FRAMES_PER_SECOND:
        raise InputError(f"a GIF shows at most {GIF_MOST_FRAMES_PER_SECOND} frames per second; MP4 shows more")
    images, palette = _indexed(film)
    timing = {"duration": _milliseconds(len(images), frames_per_second), "loop": 0}
    colours = {"palette": palette, "transparency": len(palette) // 3 - 1}
    images[0].save(
        path,
        "GIF",
        save_all=True,
        append_images=images[1:],
        optimize=True,
        comment=SIGNATURE.encode(),
        **timing,
        **colours,
    )


def _indexed(film: Frames) -> tuple[list[Image.Image], bytes]:
    """Give images with one palette (exact if there are few colours), and its bytes with a last entry that none uses.

    They are quantised as one picture: with a palette each, the colours would flicker.
    """
    n, height, width, _ = film.shape
    strip = Image.fromarray(film.reshape(n * height, width, 3)).quantize(GIF_COLOURS, dither=Image.Dither.NONE)
    indices = np.asarray(strip).reshape(n, height, width)
    palette = bytes(strip.getpalette() or ())[: 3 * (int(indices.max()) + 1)] + bytes(3)
    images = [Image.fromarray(frame) for frame in indices]
    for image in images:
        image.putpalette(palette)
    return images, palette


def _milliseconds(n_frames: int, frames_per_second: float) -> list[int]:
    """How long a GIF shows each frame: in hundredths of a second, whose rounding does not add up."""
    ends = np.round(np.arange(n_frames + 1) * 100 / frames_per_second)
    return [*(10 * np.diff(ends)).astype(int).tolist()[:-1], round(1000 * LAST_FRAME_SECONDS)]


# MP4

FILTERS = "setparams=color_primaries=bt709:color_trc=bt709,scale=out_color_matrix=bt709"  # or browsers guess colours
QUALITY = ["-preset", "slow", "-crf", "18"]  # a difference is hard to see
ONE_THREAD = ["-threads", "1"]  # so that the same frames give the same bytes on every machine
INDEX_FIRST = ["-movflags", "+faststart"]  # so that a page plays the film while it loads
SIGNED = ["-metadata", f"comment={SIGNATURE}"]
ENCODING = ["-vf", FILTERS, *QUALITY, *ONE_THREAD, *INDEX_FIRST, *SIGNED]
ENCODER: dict[str, Any] = {"codec": "libx264", "quality": None, "macro_block_size": 2, "ffmpeg_log_level": "quiet"}


def _write_mp4(path: Path, film: Frames, frames_per_second: float) -> None:
    import imageio_ffmpeg  # an extra

    even = np.pad(film, ((0, 0), (0, film.shape[1] % 2), (0, film.shape[2] % 2), (0, 0)), mode="edge")
    options = ENCODER | {"fps": frames_per_second, "output_params": ENCODING}
    try:
        encoder = imageio_ffmpeg.write_frames(f"file:{path}", even.shape[2:0:-1], **options)
        encoder.send(None)
        for frame in even:
            encoder.send(frame)
        encoder.close()
        n_written, _ = imageio_ffmpeg.count_frames_and_secs(f"file:{path}")  # it reports no failure of the encoder
    except (OSError, RuntimeError):
        n_written = 0
    if n_written != len(film):
        raise InputError("the encoder of MP4 failed; is the disk full? A name that ends in .gif needs no encoder")
