"""Films: what was written is read back with the readers of others."""

import subprocess
import sys
import warnings
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from gridcloze import films
from gridcloze.films import write_film
from gridcloze.words import InputError

COLOURS = np.array([[0, 0, 0], [255, 255, 255], [213, 94, 0], [0, 114, 178]], np.uint8)  # bytes, as a picture has them


def drawn(n=5, height=30, width=40):
    """A film in four flat colours, in which a patch moves on by its width from frame to frame."""
    indices = np.zeros((n, height, width), np.int64)
    indices[:, :, width // 2 :] = 1
    for number, frame in enumerate(indices):
        frame[4:20, 8 * number : 8 * number + 8] = 2 + number % 2
    return list(COLOURS[indices])


def gradient(n=3, height=32, width=48):
    """A film of more colours than a GIF has, in which nothing but one corner changes."""
    rows, columns = np.indices((height, width))
    frame = np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) * 2], axis=-1).astype(np.uint8)
    frames = [frame.copy() for _ in range(n)]
    for number, changed in enumerate(frames):
        changed[:6, :6] = 80 * number
    return frames


def frames_of_gif(path):
    with Image.open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            yield np.asarray(image.convert("RGB")), image.info


def frames_of_mp4(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the reader leaves its pipes open
        reader = imageio_ffmpeg.read_frames(str(path))
        width, height = next(reader)["size"]
        return [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]


def distance(one, other):
    return np.abs(one.astype(int) - other.astype(int))


def test_a_gif_of_few_colours_is_read_back_exactly(tmp_path):
    """A GIF has the frames that were written, every pixel as it was, loops, and holds its last frame."""
    write_film(tmp_path / "film.gif", drawn(), 12.0)
    frames, infos = zip(*[(frame, dict(info)) for frame, info in frames_of_gif(tmp_path / "film.gif")], strict=True)
    assert np.array_equal(frames, drawn())
    assert infos[0]["loop"] == 0
    assert [info["duration"] for info in infos] == [80, 90, 80, 80, 2000]


def test_the_colours_of_a_gif_do_not_flicker(tmp_path):
    """Of a film with many colours, what stays the same stays so to the bit, and nothing is far from what it was."""
    write_film(tmp_path / "film.gif", gradient(), 12.0)
    frames = [frame for frame, _ in frames_of_gif(tmp_path / "film.gif")]
    assert len(frames) == 3
    assert all(np.array_equal(frame[6:], frames[0][6:]) for frame in frames)
    assert all(distance(frame, drawn).mean() < 4 for frame, drawn in zip(frames, gradient(), strict=True))
    assert (tmp_path / "film.gif").read_bytes().count(b",\0\0\0\0\x06\0\x06\0\0") == 2  # the corner alone, no palette


def test_what_stays_the_same_costs_nothing_in_a_gif(tmp_path):
    """A film of noise in which two far corners change takes less than two frames of noise."""
    noise = COLOURS[np.random.default_rng(0).integers(0, 4, (64, 64))]
    frames = [noise.copy() for _ in range(6)]
    for number, frame in enumerate(frames):
        frame[:2, :2] = frame[-2:, -2:] = COLOURS[number % 4]
    write_film(tmp_path / "film.gif", frames, 12.0)
    write_film(tmp_path / "frame.gif", frames[:1], 12.0)
    assert (tmp_path / "film.gif").stat().st_size < 2 * (tmp_path / "frame.gif").stat().st_size


def test_an_mp4_is_read_back(tmp_path):
    """An MP4 has the frames that were written, in order and nearly in their colours, with its index first."""
    write_film(tmp_path / "film.mp4", drawn(), 12.0)
    frames = frames_of_mp4(tmp_path / "film.mp4")
    assert len(frames) == 5
    for frame, written in zip(frames, drawn(), strict=True):
        assert frame.shape == written.shape
        assert np.median(distance(frame, written)) <= 3  # edges of colours blur: of four pixels one has a colour
        assert distance(frame, written).mean() < 6
    written = (tmp_path / "film.mp4").read_bytes()
    assert 0 < written.index(b"moov") < written.index(b"mdat")


def test_an_mp4_has_the_colours_that_were_written(tmp_path):
    """What is of one colour is read back in that colour, but for rounding, and the file says how to show it."""
    written = [np.full((32, 48, 3), colour, np.uint8) for colour in COLOURS]
    write_film(tmp_path / "film.mp4", written, 1.0)
    bt709 = b"colrnclx" + 3 * b"\0\1"  # primaries, transfer and matrix, by the numbers of H.273
    assert bt709 in (tmp_path / "film.mp4").read_bytes()
    assert all(distance(*pair).max() <= 4 for pair in zip(frames_of_mp4(tmp_path / "film.mp4"), written, strict=True))


def test_an_mp4_of_odd_size_grows_by_a_repeated_edge(tmp_path):
    """Frames of 31×41 are padded to 32×42 with what stands at their edge."""
    write_film(tmp_path / "film.mp4", drawn(height=31, width=41), 12.0)
    for frame in frames_of_mp4(tmp_path / "film.mp4"):
        assert frame.shape == (32, 42, 3)
        assert frame[-1, 21:].min() > 245
        assert frame[:, -1].min() > 245
        assert frame[-1, :19].max() < 10


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
def test_the_same_frames_give_the_same_bytes(tmp_path, name):
    """Writing a film twice gives the same bytes."""
    for folder in ("one", "two"):
        write_film(tmp_path / folder / name, drawn(), 12.0)
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
def test_a_film_may_have_one_frame(tmp_path, name):
    """A single frame is a film."""
    write_film(tmp_path / name, drawn(n=1), 12.0)
    read = frames_of_gif if name.endswith("gif") else frames_of_mp4
    assert len(list(read(tmp_path / name))) == 1


@pytest.mark.parametrize(
    ("name", "frames", "frames_per_second", "said"),
    [
        ("film.avi", drawn(), 12.0, r"ends in \.gif or \.mp4"),
        ("film.gif", [], 12.0, "at least one frame"),
        ("film.mp4", [], 12.0, "at least one frame"),
        ("film.gif", drawn()[:1] + drawn(height=31)[:1], 12.0, "need one size"),
        ("film.mp4", drawn()[:1] + drawn(height=31)[:1], 12.0, "need one size"),
        ("film.gif", [frame / 255 for frame in drawn()], 12.0, "of bytes"),
        ("film.gif", [frame[..., 0] for frame in drawn()], 12.0, "of bytes"),
        ("film.gif", drawn(), 0.0, "above 0"),
        ("film.mp4", drawn(), np.nan, "above 0"),
        ("film.gif", drawn(), 60.0, "at most 50"),
    ],
)
def test_bad_films_are_refused(tmp_path, name, frames, frames_per_second, said):
    """What cannot be a film is refused in one line, and leaves no file."""
    with pytest.raises(InputError, match=said) as raised:
        write_film(tmp_path / name, frames, frames_per_second)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_without_an_encoder_mp4_says_what_to_install(tmp_path, monkeypatch):
    """Without imageio-ffmpeg an MP4 is refused with what to install, and leaves no file; a GIF is written."""
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError) as raised:
        write_film(tmp_path / "film.mp4", drawn(), 12.0)
    assert str(raised.value) == films.NO_ENCODER
    assert list(tmp_path.iterdir()) == []
    write_film(tmp_path / "film.gif", drawn(), 12.0)
    assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]


def test_a_film_that_is_not_finished_leaves_the_old_one(tmp_path, monkeypatch):
    """Where writing breaks off half way, the file that was there is still there, and nothing beside it."""
    path = tmp_path / "film.mp4"
    path.write_text("old")
    monkeypatch.setattr(films, "ENCODING", [*films.ENCODING, "-frames:v", "none"])
    with pytest.raises(InputError, match="encoder"):
        write_film(path, drawn(), 12.0)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_film_that_lacks_its_end_is_refused(tmp_path, monkeypatch):
    """The encoder ends without a word where a disk is full; what it left is counted, and is no film."""
    monkeypatch.setattr(films, "ENCODING", [*films.ENCODING, "-frames:v", "3"])
    with pytest.raises(InputError, match="is the disk full"):
        write_film(tmp_path / "film.mp4", drawn(), 12.0)
    assert list(tmp_path.iterdir()) == []


def test_films_need_nothing_heavy():
    """The module loads without torch, matplotlib and the encoder."""
    script = "import sys, gridcloze.films; sys.exit(bool({'torch', 'matplotlib', 'imageio_ffmpeg'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parent).returncode == 0
