"""What PNG pictures say besides their pixels, and those that say what is not so."""

import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from gridcloze.files import png
from gridcloze.files.grids import Grid, read_examples, read_images
from gridcloze.files.palettes import Palette
from gridcloze.words import InputError
from test_grids import MODE_COLOURS, image_in, picture, raw_png, read_back, refused, written

KEPT = [
    (b"tEXt", b"Source\0sheet 12"),
    (b"zTXt", b"Author\0\0" + zlib.compress(b"A. Nonymous")),
    (b"iTXt", "Title\0\0\0de\0Titel\0Größe".encode()),
    (b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
    (b"gAMA", struct.pack(">I", 45455)),
    (b"cHRM", struct.pack(">8I", *range(8))),
    (b"iCCP", b"some\0\0" + zlib.compress(b"no real profile")),
    (b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
    (b"prVt", b"of another program"),
]


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place < len(data):
        length = int.from_bytes(data[place : place + 4])
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def framed(chunks) -> bytes:
    parts = [struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks]
    return b"".join(parts)


def with_chunks(data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """The picture with more chunks after its header."""
    return data[:33] + framed(chunks) + data[33:]


@pytest.mark.parametrize("mode", list(MODE_COLOURS))
def test_chunks_come_back(mode):
    """Texts, resolution, gamma, profile, EXIF data and what programs mark as safe to copy are written as they came."""
    dropped = [(b"tIME", b"\7\xd0\1\1\0\0\0"), (b"unKN", b"of the pixels as they were")]
    grid = read_back(with_chunks(picture(mode, np.array([[0, 1], [1, 0]])), *KEPT, *dropped), ".png")
    for cells in (grid.cells, 1 - grid.cells):
        data = written(grid.with_cells(cells), ".png")
        assert [chunk for chunk in chunks_of(data) if chunk[0] in dict([*KEPT, *dropped])][1:] == KEPT
        image = image_in(data)
        assert image.info["Source"] == "sheet 12"
        assert image.info["gridcloze:scale"] == "1"
        assert image.getexif()[0x0112] == 6


def test_profile_of_grey_does_not_become_one_of_colours():
    """A picture that had to become a coloured one loses the profile, which is of grey alone; nothing else."""
    palette = Palette(((0, 0, 0, 255), (7, 7, 7, 255), (255, 0, 0, 255)), "abc")
    grid = read_back(with_chunks(picture("L", np.array([[0, 1]])), *KEPT), ".png", palette)
    after = dict(chunks_of(written(grid.with_cells(np.array([[0, 2]])), ".png")))
    assert b"iCCP" not in after
    assert after[b"gAMA"] == dict(KEPT)[b"gAMA"]


def test_notes_do_not_pile_up():
    """A picture that is read and written again and again has one note, also if another program rewrote the note."""
    data = written(Grid.from_cells(np.array([[0, 1]]), scale=3), ".png")
    for _ in range(3):
        data = written(read_back(data, ".png"), ".png")
        assert data.count(b"gridcloze:scale") == 1
    rewritten = with_chunks(picture("L", np.array([[0, 1]]), 4), (b"iTXt", b"gridcloze:scale\0\0\0\0\0" + b"2"))
    assert read_back(rewritten, ".png").scale == 2
    assert written(read_back(rewritten, ".png"), ".png").count(b"gridcloze:scale") == 1


def test_several_frames_are_refused():
    """An animated picture is refused, for all but the first frame would be lost."""
    file, frames = BytesIO(), [Image.fromarray(np.array([[value, 0]], np.uint8)) for value in (0, 255)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    refused("this PNG is animated", read_back, file.getvalue(), ".png")


def test_indices_of_one_colour_are_no_classes(tmp_path):
    """To learn from, two indices of one colour are refused, also in two files, unless a palette says what they are."""
    for name, choices in (("a.png", [[0, 1]]), ("b.png", [[1, 1]])):
        (tmp_path / name).write_bytes(picture("P", np.array(choices)))
    assert read_examples(tmp_path)[1].n_symbols == 2, "index 2 is not used"
    (tmp_path / "c.png").write_bytes(picture("P", np.array([[1, 2]])))
    line = r"indices 0 and 2 of its palette \(PLTE\) show the same colour; give two classes two colours, or"
    for read in (read_examples, read_images):
        refused(f"c.png: {line}", read, tmp_path)
    both = tmp_path / "both.png"
    both.write_bytes(picture("P", np.array([[0, 1, 2]])))
    refused(f"both.png: {line}", read_images, both)
    palette = Palette(((5, 5, 5, 255), (200, 0, 0, 255)), "ab")
    assert read_images(both, palette)[0][0].tolist() == [[0, 1, 0]]


# Hostile pictures


def read_or_refused(data: bytes) -> None:
    """Any other exception is a fault."""
    line = ""
    try:
        read_back(data, ".png")
    except InputError as error:
        line = str(error)
    assert "\n" not in line


def test_the_header_that_is_checked_is_the_one_that_is_decoded():
    """A second header, and one that is not the first chunk, are refused; what nobody reads is never decompressed."""
    header, small = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0), picture("L", np.array([[0, 1]]))
    refused("it needs one header, at its start", read_back, with_chunks(small, (b"IHDR", header)), ".png")
    moved = small[:8] + framed([(b"tEXt", b"a\0b")]) + small[8:]
    refused("it needs one header, at its start", read_back, moved, ".png")
    refused("one palette at most", read_back, with_chunks(small, (b"PLTE", b"abc"), (b"PLTE", b"abc")), ".png")
    refused("0 by 5 pixels", read_back, raw_png(5, 0, 8, 0, b""), ".png")
    bomb = zlib.compress(bytes(2**26), 9)
    bombs = [(b"zTXt", b"a\0\0" + bomb), (b"iCCP", b"a\0\0" + bomb), (b"iTXt", b"a\0\1\0\0\0" + bomb)]
    grid = read_back(with_chunks(small, *bombs), ".png")
    assert grid.cells.tolist() == [[0, 1]]
    assert len(written(grid, ".png")) < 2**18
    refused("more than 100000 chunks", read_back, with_chunks(small, *[(b"prVt", b"")] * 100_000), ".png")


@settings(max_examples=300, deadline=None)
@given(some.data(), some.sampled_from(list(MODE_COLOURS)))
def test_chunks_in_any_order_and_of_any_content(data, mode):
    """A picture whose checksums are right is read, or refused in one line, whatever its chunks are; nothing warns."""
    small = picture(mode, np.arange(len(MODE_COLOURS[mode]))[None])
    names = some.sampled_from([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"tEXt", b"iCCP", b"IEND"])
    chunks = chunks_of(small)
    for chunk in data.draw(some.lists(some.tuples(names, some.binary(max_size=20)), max_size=4)):
        chunks.insert(data.draw(some.integers(0, len(chunks))), chunk)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_or_refused(small[:8] + framed(chunks))


@settings(max_examples=300, deadline=None)
@given(some.binary(min_size=13, max_size=13), some.binary(max_size=60), some.binary(max_size=12))
def test_any_header_and_pixels(header, pixels, table):
    """Any header with any compressed content is read or refused in one line."""
    small = bytes([0, 0, 0, 2, 0, 0, 0, 2, *header[8:]])
    for first in (header, small):
        chunks = [(b"IHDR", first), (b"PLTE", table), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
        read_or_refused(b"\x89PNG\r\n\x1a\n" + framed(chunks))


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
@pytest.mark.parametrize("size", [2**20, 2**20 + 1])
def test_text_that_no_program_unpacks_does_not_come_back(tmp_path, name, size):
    """A filled picture can be opened: a compressed text or profile of more than a MiB is left out."""
    packed = zlib.compress(bytes(size))
    content = {b"zTXt": b"key\0\0", b"iCCP": b"key\0\0", b"iTXt": b"key\0\1\0en\0key\0"}[name] + packed
    image = Image.new("RGB", (4, 4))
    image.info[png.OTHERS] = [(name, content)]
    png.write_image(tmp_path / "a.png", Image.new("RGB", (4, 4)), 2, image)
    assert (name in (tmp_path / "a.png").read_bytes()) == (size == 2**20)
    Image.open(tmp_path / "a.png").load()


def test_a_damaged_note_does_not_come_back(tmp_path):
    """A resolution of three bytes would make the filled picture one that cannot be opened."""
    image = Image.new("RGB", (4, 4))
    image.info[png.OTHERS] = [(b"pHYs", b"abc"), (b"tEXt", b"key\0text")]
    png.write_image(tmp_path / "a.png", Image.new("RGB", (4, 4)), 2, image)
    assert Image.open(tmp_path / "a.png").text["key"] == "text"
    assert b"pHYs" not in (tmp_path / "a.png").read_bytes()
