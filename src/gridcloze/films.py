"""Frames into a GIF, or an MP4."""

import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from .files.paths import atomic_write, check_writable
from .words import InputError

Frames = UInt8[np.ndarray, "n height width 3"]
ENDINGS = (".gif", ".mp4")
LAST_FRAME_SECONDS = 2.0  # in a GIF, so that the end is seen before it starts anew
GIF_COLOURS = 255  # of 256: one says "as in the frame before"
GIF_MOST_FRAMES_PER_SECOND = 50  # browsers slow down what is faster
SAY_COLOURS = "setparams=color_primaries=bt709:color_trc=bt709"  # all of it, or browsers guess, and often wrong
ENCODING = (
    *("-codec:v", "libx264", "-preset", "slow", "-crf", "18"),  # at which hardly a difference is to be seen
    *("-threads", "1"),  # so that the same frames give the same bytes on every machine
    *("-vf", f"{SAY_COLOURS},scale=out_color_matrix=bt709", "-pix_fmt", "yuv420p"),
    *("-movflags", "+faststart"),  # the index first, so that a page plays what is not yet all there
)
NO_ENCODER = "MP4 needs pip install 'gridcloze[film]'; a name that ends in .gif needs nothing more"


def write_film(path: Path, frames: Sequence[np.ndarray], frames_per_second: float) -> None:
    """Writes frames (height, width, 3) of bytes as the suffix says: .gif, which loops, or .mp4 (H.264).

    Frames that are like the one before are one longer frame of a GIF. Raises InputError, and then leaves no file.
    """
    check_film(path)
    write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
    film = _stacked(frames)
    if not 0 < frames_per_second < np.inf:
        raise InputError(f"{frames_per_second} frames per second: a film needs a number above 0")
    with atomic_write(path) as partial:
        write(partial, film, frames_per_second)


def check_film(path: Path) -> None:
    """Raises InputError where no film could be written: another ending, no encoder; and as `check_writable` does."""
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


def _write_gif(path: Path, film: Frames, frames_per_second: float) -> None:
    if frames_per_second > GIF_MOST_FRAMES_PER_SECOND:
        raise InputError(f"a GIF shows at most {GIF_MOST_FRAMES_PER_SECOND} frames per second; MP4 shows more")
    images, palette = _indexed(film)
    images[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=_milliseconds(len(images), frames_per_second),
        loop=0,
        optimize=True,
        palette=palette,
        transparency=len(palette) // 3 - 1,
    )


def _indexed(film: Frames) -> tuple[list[Image.Image], bytes]:
    """Images with one palette (exact if there are few colours), and its bytes: a last entry more, that none uses.

    They are quantised as one picture: with a palette each, the colours would flicker.
    """
    n, height, width, _ = film.shape
    strip = Image.fromarray(film.reshape(n * height, width, 3)).quantize(GIF_COLOURS, dither=Image.Dither.NONE)
    indices = np.asarray(strip).reshape(n, height, width)
    palette = bytes(strip.getpalette() or ())[: 3 * (int(indices.max()) + 1)]
    palette += bytes(3)
    images = [Image.fromarray(frame) for frame in indices]
    for image in images:
        image.putpalette(palette)
    return images, palette


def _milliseconds(n_frames: int, frames_per_second: float) -> list[int]:
    """How long each frame of a GIF is shown: in hundredths of a second, whose rounding does not add up."""
    ends = np.round(np.arange(n_frames + 1) * 100 / frames_per_second)
    return [*(10 * np.diff(ends)).astype(int).tolist()[:-1], round(1000 * LAST_FRAME_SECONDS)]


# MP4


def _write_mp4(path: Path, film: Frames, frames_per_second: float) -> None:
    import imageio_ffmpeg  # an extra

    even = np.pad(film, ((0, 0), (0, film.shape[1] % 2), (0, film.shape[2] % 2), (0, 0)), mode="edge")
    height, width = even.shape[1:3]
    read = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", f"{frames_per_second}")
    command = (imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *read, "-i", "-", *ENCODING, f"file:{path}")
    encoded = subprocess.run(command, input=even.tobytes(), capture_output=True, check=False)
    if encoded.returncode:
        raise InputError(f"the encoder of MP4 failed: {encoded.stderr.decode(errors='replace').strip()[-200:]!r}")
