"""Array files from strangers, and what people have in arrays: read right, or refused in one line before it is read."""

import gzip
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib

import numcodecs
import numpy as np
import pytest
import zarr

from gridcloze.files import arrays as files_arrays
from gridcloze.files.arrays import is_stack, open_stack, read_array, stacked
from gridcloze.files.codes import cells_from_array, refuse_spins, symbols_from_values
from gridcloze.files.grids import Grid, read_evidence, read_examples, read_flags, read_grid, read_images, write_grid
from gridcloze.files.palettes import Palette
from gridcloze.words import HIDDEN, InputError

COVER = Palette(Palette.default(4).colours, "abcd", values=(11, 21, 41, 395))
ONE_TO_THREE = Palette(Palette.default(3).colours, "abc", values=(1, 2, 3))
READERS = {
    "grid": read_grid,
    "examples": read_examples,
    "images": read_images,
    "stack": lambda path: open_stack(path, Palette.default(2)).read(slice(0, 1)),
    "flags": lambda path: read_flags(path)[...],
    "evidence": lambda path: read_evidence(path, Palette.default(2), (4, 8)),
}


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def refused(message, function, *arguments):
    """The call raises InputError with one line that has the message in it."""
    with pytest.raises(InputError, match=message) as caught:
        function(*arguments)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def refused_by_all(message, path):
    """Every reader refuses the file; those that need other axes may say that instead."""
    for reader in READERS.values():
        refused(f"{message}|which is needed here|does not fit", reader, path)
    refused(message, lambda: read_array(path)[...])


# Files of NumPy


def npy(shape="(4, 8)", content=b"", descr="'|i1'", version=1, length=None, header=None):
    """An npy file with any header."""
    header = header or f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"
    length = len(header) if length is None else length
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack("<H" if version == 1 else "<I", length)
        + header.encode()
        + content
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy("(1000000, 1000000)"), "its header says 1000000000000 bytes of numbers, and there are 0"),
        (npy("(4294967296, 4294967296)"), "its header says"),
        (npy("(-1, 2)", bytes(2)), r"its shape is \(-1, 2\)"),
        (npy("(0, 20, 20)"), r"shape \(0, 20, 20\) has no cells"),
        (npy(f"({'1,' * 100})", bytes(1)), "maximum supported dimension"),
        (npy(f"({'9' * 5000}, 1)"), "damaged"),
        (npy(length=2**32 - 1, version=2), "a header of 4294967295 bytes"),
        (npy(length=65535), "a header of 65535 bytes"),
        (npy(version=9), "no header of NumPy"),
        (npy(header="(" * 999), "damaged"),
        (npy(header="-" * 9000 + "1"), "damaged"),
        (npy(header="{'a':" * 199), "damaged"),
        (npy("(1, 1)", pickle.dumps(0), "'|O'"), "values of type object are no numbers"),
        (npy("(1, 1)", bytes(4), "[('a', '<i4')]"), "are no numbers"),
        (npy("(1, 1)", b"", "'|V0'"), "are no numbers"),
        (npy("(1, 1)", bytes(4), "'<U1'"), "values of type <U1 are no numbers"),
        (npy("(1, 1)", bytes(8), "'<M8[s]'"), "are no numbers"),
        (npy("(1, 1)", bytes(8), "'<c8'"), "values of type complex64 are no numbers"),
        (npy("(1, 1)", bytes(8), r"'\x1b[31m'"), "damaged"),
        (pickle.dumps([1]), "no header of NumPy"),
        (b"PK\3\4 and so on", "let its name end in .npz"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hostile_npy(folder, content, message):
    """Headers that claim too much, or other things than numbers, are refused; what they claim is never allocated."""
    (folder / "a.npy").write_bytes(content)
    refused_by_all(message, folder / "a.npy")


def npz(path, *members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("cells.npy", npy("(1000000, 1000000)"))], "says 1000000000082 bytes, and it has 82"),
        ([("cells.npy", npy("(2, 2)", bytes(10**6)))], "says 74 bytes, and it has 1000070"),
        ([("hidden.npy", npy("(1000000, 4)")), ("cells.npy", npy("(1, 2)", b"\0\1"))], "header of 'hidden.npy'"),
        ([("readme.txt", "hello")], "it holds no array of numbers"),
        ([], "it holds no array of numbers"),
        ([("cells.npy", b"\x80\x04.")], "no header of NumPy"),
        ([("cells.npy", b"PK\5\6" + bytes(18))], "no header of NumPy"),
        ([("cells.npy", npy("(1, 1)", pickle.dumps(0), "'|O'"))], "are no numbers"),
        ([(f"a{number}\n.npy", b"") for number in range(99)], r"'a12\\n'\] and others; name one of them 'cells'"),
    ],
)
def test_hostile_npz(folder, members, message):
    """So are members of archives: their header, size and name are compared before anything is decompressed."""
    refused_by_all(message, npz(folder / "a.npz", *members))


def test_small_archives_of_large_arrays(folder, monkeypatch):
    """An archive with far more cells than bytes is refused by its header if that is much, and otherwise read."""
    np.savez_compressed(folder / "empty.npz", cells=np.full((50, 100, 100), -1, np.int8))
    assert open_stack(folder / "empty.npz", Palette.default(2)).read(slice(0, 2)).shape == (2, 100, 100)
    monkeypatch.setattr(files_arrays, "NONSENSE_BYTES", 2**20)
    refused_by_all(r"it claims shape \(50, 100, 100\) and has 0.\d KiB", folder / "empty.npz")


def test_arrays_beyond_memory(folder, monkeypatch):
    """What memory cannot hold is refused by the header; what is read by parts needs memory for these."""
    np.save(folder / "a.npy", np.zeros((6400, 10, 10), np.int8))
    monkeypatch.setattr("gridcloze.memory.memory_bytes", lambda: 10**7)
    assert open_stack(folder / "a.npy", Palette.default(2)).read(slice(0, 64)).shape == (64, 10, 10)
    refused("a.npy: reading an array of shape .* needs 19.5 MiB of memory", read_examples, folder / "a.npy")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_in_npz(folder, method):
    """What zipfile decompresses without a bound is refused; NumPy writes none of it."""
    refused_by_all("save it by np.savez", npz(folder / "a.npz", ("cells.npy", npy(content=bytes(32))), method=method))


def test_lies_in_the_directory_of_an_archive(folder):
    """Sizes, flags and methods that the directory of an archive gets wrong are damage, in one line."""
    whole = npz(folder / "whole.npz", ("cells.npy", npy(content=bytes(32)))).read_bytes()
    entry = whole.rindex(b"PK\1\2")
    for offset, value in ((24, b"\xff\xff\xff\x7f"), (8, b"\1\0"), (10, b"\x63\0"), (42, b"\xff\xff\xff\x7f")):
        at = entry + offset
        (folder / "lie.npz").write_bytes(whole[:at] + value + whole[at + len(value) :])
        refused_by_all("damaged|save it by np.savez", folder / "lie.npz")


def test_arrays_without_axes(folder):
    """A single number and a row are no grid."""
    for array in (np.int8(1), np.zeros(3)):
        np.save(folder / "a.npy", array)
        refused("neither a grid|is not", cells_from_array, np.asarray(array))
        refused(r"shape \(.*\) is not \(height width\)", read_grid, folder / "a.npy")


def test_names_that_lie(folder):
    """An npy file named .npz and the reverse say how to name them; devices and pipes are no files of data."""
    np.save(folder / "a.npy", [[0, 1]])
    (folder / "a.npy").rename(folder / "a.npz")
    refused_by_all("let its name end in .npy", folder / "a.npz")
    os.mkfifo(folder / "pipe.npy")
    refused_by_all("this is a pipe or a device|not a file of data", folder / "pipe.npy")
    (folder / "zero.npy").symlink_to("/dev/zero")
    refused_by_all("this is a pipe or a device|not a file of data", folder / "zero.npy")


# zarr


META_3 = {
    "zarr_format": 3, "node_type": "array", "shape": [4, 8], "data_type": "int8", "fill_value": 0, "attributes": {},
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 8]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 0, "checksum": False}}],
}  # fmt: skip
META_2 = {
    "zarr_format": 2, "shape": [4, 8], "chunks": [4, 8], "dtype": "|i1", "compressor": None, "fill_value": 0,
    "order": "C", "filters": None,
}  # fmt: skip


def zarr_of(path, chunk=None, version=3, **changes):
    """A zarr array with any metadata and one chunk."""
    path.mkdir()
    meta = (META_3 if version == 3 else META_2) | changes
    (path / ("zarr.json" if version == 3 else ".zarray")).write_text(json.dumps(meta))
    if chunk is not None:
        (path / "c" / "0").mkdir(parents=True)
        (path / ("c/0/0" if version == 3 else "0.0")).write_bytes(chunk)
    return path


def regular(*shape):
    return {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shape)}}}


def sharded(codecs, *shape):
    inside = {"chunk_shape": list(shape), "codecs": codecs, "index_codecs": [{"name": "bytes"}, {"name": "crc32c"}]}
    return [{"name": "sharding_indexed", "configuration": inside}]


class Runs:
    """Code in a pickle, which makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("filters", [[{"id": "pickle"}], [{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 5}]])
def test_zarr_runs_no_code(folder, filters):
    """A chunk that is a pickle is not even read, and no package of zarr is loaded before that is sure."""
    chunk = pickle.dumps(Runs(str(folder / "mark")))
    path = zarr_of(folder / "a.zarr", chunk, 2, dtype="|O", fill_value="", filters=filters)
    refused_by_all("codec '[a-z0-9-]*' is not read here", path)
    script = (
        f"import sys; from gridcloze.files.grids import read_grid\ntry: read_grid({str(path)!r})\n"
        "except ValueError: sys.exit('zarr' in sys.modules or 'numcodecs' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    assert not (folder / "mark").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *[({"filters": [{"id": name}]}, "is not read here") for name in ("json2", "msgpack2", "vlen-array", "astype")],
        *[({"compressor": {"id": name}}, "is not read here") for name in ("pickle", "bz2", "lzma", "unknown", ["x"])],
        *[({"dtype": name}, "are no numbers") for name in ("|O", "|S5", "<U4", "<M8[s]", "i4,i4", "|V5", "<c8")],
        *[({"dtype": name}, "damaged") for name in ([["a", "<i4"]], None, 5)],
        *[({"filters": name}, "damaged") for name in (5, {"id": "x"}, ["shuffle"])],
        *[({"shape": shape}, "damaged") for shape in ([-4, 8], [4.0, 8], [4], "ab", None, [True, 8])],
        ({"chunks": [0, 8]}, "do not fit its shape"),
        ({"zarr_format": 3}, "no metadata of zarr 2"),
        ({"order": "Q"}, "damaged"),
        ({"dimension_separator": "../"}, "damaged"),
        ({"fill_value": 10**30}, "damaged"),
    ],
)
def test_hostile_metadata_of_zarr_2(folder, changes, message):
    """Other codecs, types and shapes than those of grids are refused by the metadata."""
    refused_by_all(message, zarr_of(folder / "a.zarr", bytes(32), 2, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *[({"data_type": name}, "are no numbers") for name in ("string", "complex64", "r16", None, ["int8"], {})],
        *[({"codecs": [{"name": "bytes"}, {"name": name}]}, "not read here") for name in ("numcodecs.pickle", "x", 5)],
        ({"codecs": [{"name": "vlen-utf8"}]}, "not read here"),
        ({"codecs": [{"name": "bytes"}, {"name": "gzip"}, {"name": "zstd"}]}, "compressed more than once"),
        ({"codecs": sharded([{"name": "pickle"}], 4, 4)}, "not read here"),
        ({"codecs": sharded(sharded([{"name": "bytes"}], 4, 4), 4, 4)}, "its shards hold shards"),
        ({"codecs": sharded([{"name": "bytes"}], 4)}, "do not fit its shape"),
        ({"codecs": []}, "damaged"),
        ({"codecs": ["bytes"]}, "damaged"),
        ({"storage_transformers": [{"name": "x"}]}, "as a regular grid"),
        ({"chunk_grid": {"name": "rectilinear", "configuration": {}}}, "as a regular grid"),
        ({"chunk_grid": {"name": "regular"}}, "damaged"),
        ({"shape": [10**6, 10**6], **regular(10**4, 10**4)}, r"it claims shape \(1000000, 1000000\) in chunks of"),
        ({**regular(10**6, 10**5)}, r"in chunks of \(1000000, 100000\) and has 0.\d KiB"),
        ({"shape": [10**4, 10**4], **regular(1, 1)}, "says 100000000 chunks, and its files have"),
        (
            {"shape": [10**4, 10**4], **regular(10**4, 10**4), "codecs": sharded([{"name": "bytes"}], 1, 1)},
            "says 10000",
        ),
        ({"chunk_key_encoding": {"name": "evil"}}, "damaged"),
        ({"fill_value": "x"}, "damaged"),
        ({"extra": {"must_understand": True}}, "damaged"),
    ],
)
def test_hostile_metadata_of_zarr_3(folder, changes, message):
    """So they are in the newer format, with its extensions, shards and claims of any number of cells or chunks."""
    refused_by_all(message, zarr_of(folder / "a.zarr", bytes(32), **changes))


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 10_000, "null", "[]", "", "\xff\xfe"])
def test_metadata_that_is_none(folder, text):
    """JSON that is deep, long, of other things or no JSON is refused."""
    (folder / "a.zarr").mkdir()
    (folder / "a.zarr" / "zarr.json").write_text(text)
    refused_by_all("damaged", folder / "a.zarr")


def unsized_zstd(n_blocks):
    """A frame that does not say how long its content is: blocks of 128 KiB of zeros."""
    blocks = [struct.pack("<I", (number == n_blocks - 1) | 2 | 2**17 << 3)[:3] + b"\0" for number in range(n_blocks)]
    return b"\x28\xb5\x2f\xfd\0\x38" + b"".join(blocks)


LARGE = bytes(2**24)
ZSTD, BLOSC, LZ4 = numcodecs.Zstd().encode(LARGE), numcodecs.Blosc().encode(LARGE), numcodecs.LZ4().encode(LARGE)


@pytest.mark.parametrize(
    ("codec", "chunk"),
    [
        ("zlib", zlib.compress(LARGE)),
        ("gzip", gzip.compress(LARGE)),
        ("gzip", gzip.compress(bytes(32)) + gzip.compress(LARGE)),
        ("blosc", BLOSC),
        ("lz4", LZ4),
        ("lz4", struct.pack("<i", -5) + b"abc"),
        ("zstd", ZSTD),
        ("zstd", numcodecs.Zstd().encode(bytes(32)) + ZSTD),
        ("zstd", unsized_zstd(128)),
    ],
)
def test_chunks_that_decode_to_more(folder, codec, chunk):
    """A chunk of few bytes that decodes to more than the metadata says is damage, and is not decoded."""
    path = zarr_of(folder / "a.zarr", chunk, 2, compressor={"id": codec})
    refused_by_all("damaged", path)
    if codec == "zstd":
        refused_by_all("damaged", zarr_of(folder / "b.zarr", chunk))
        index = struct.pack("<QQQQ", 0, len(chunk), 2**64 - 1, 2**64 - 1)
        index = bytes(numcodecs.checksum32.CRC32C(location="end").encode(index))
        refused_by_all("damaged", zarr_of(folder / "c.zarr", chunk + index, codecs=sharded(META_3["codecs"], 4, 4)))


def test_a_chunk_that_is_longer_than_a_chunk(folder):
    """A file that is sparse on disk and 64 GiB long is not read."""
    path = zarr_of(folder / "a.zarr", bytes(32), codecs=[{"name": "bytes"}])
    os.truncate(path / "c/0/0", 2**36)
    refused_by_all("more than a chunk", path)


def test_links_in_zarr(folder):
    """A chunk, a folder or metadata that is a link would make a file elsewhere part of the array: it is refused."""
    whole = zarr_of(folder / "whole.zarr", numcodecs.Zstd().encode(bytes(32)))
    assert read_grid(whole).cells.shape == (4, 8)
    for name in ("c/0/0", "c/0", "c", "zarr.json"):
        shutil.copytree(whole, copy := folder / "copy.zarr")
        shutil.move(copy / name, folder / "elsewhere")
        (copy / name).symlink_to(folder / "elsewhere")
        refused_by_all(f"{name!r} in it is a link", copy)
        shutil.rmtree(copy)
        (folder / "elsewhere").rename(folder / name.replace("/", "-"))
    os.mkfifo(whole / ".zattrs")
    refused_by_all("'.zattrs' in it is a link, or no file of data", whole)


def test_consolidated_metadata_is_not_used(folder):
    """What a group says of its arrays in one place is not read: each array's own metadata counts, and is judged."""
    zarr.create_group(folder / "g.zarr", zarr_format=2).create_array("cells", data=np.eye(2, dtype=np.int8))
    zarr.consolidate_metadata(folder / "g.zarr", zarr_format=2)
    consolidated = json.loads((folder / "g.zarr/.zmetadata").read_text())
    consolidated["metadata"]["cells/.zarray"] |= {"dtype": "|O", "filters": [{"id": "pickle"}]}
    (folder / "g.zarr/.zmetadata").write_text(json.dumps(consolidated))
    assert read_grid(folder / "g.zarr").cells.tolist() == [[1, 0], [0, 1]]
    meta = json.loads((folder / "g.zarr/cells/.zarray").read_text())
    (folder / "g.zarr/cells/.zarray").write_text(json.dumps(meta | {"filters": [{"id": "pickle"}]}))
    refused_by_all("codec 'pickle' is not read here", folder / "g.zarr")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compressors": zarr.codecs.BloscCodec()},
        {"compressors": zarr.codecs.GzipCodec()},
        {"compressors": None},
        {"compressors": zarr.codecs.Crc32cCodec()},
        {"filters": zarr.codecs.TransposeCodec(order=(2, 1, 0))},
        {"shards": (4, 6, 6)},
        {"zarr_format": 2},
        *[{"zarr_format": 2, "compressors": codec} for codec in (numcodecs.Blosc(), numcodecs.Zlib(), numcodecs.LZ4())],
        {"zarr_format": 2, "filters": numcodecs.Shuffle(4), "compressors": numcodecs.GZip()},
    ],
)
def test_what_zarr_writes_is_read(folder, options):
    """Arrays in all codecs that are allowed, in shards and with chunks that the shape does not fill, come back."""
    cells = np.random.default_rng(0).integers(-1, 5, (7, 6, 6)).astype(np.int32)
    zarr.create_array(folder / "a.zarr", data=cells, chunks=(2, 3, 6), **options)
    assert is_stack(folder / "a.zarr")
    assert np.array_equal(read_examples(folder / "a.zarr")[0], cells)
    assert np.array_equal(open_stack(folder / "a.zarr", Palette.default(5)).read(slice(3, 5)), cells[3:5])


def test_hidden_in_parts(folder):
    """`hidden` may be of bools or integers; it is read with the part that it hides, from any kind of file."""
    cells, hidden = np.ones((9, 2, 3), np.int8), np.arange(54).reshape(9, 2, 3) % 2
    np.savez(folder / "a.npz", cells=cells, hidden=hidden)
    group = zarr.create_group(folder / "a.zarr")
    group.create_array("cells", data=cells, chunks=(1, 2, 3))
    group.create_array("hidden", data=hidden, chunks=(1, 2, 3))
    for name in ("a.npz", "a.zarr"):
        part = open_stack(folder / name, Palette.default(2)).read(slice(2, 4))
        assert np.array_equal(part, np.where(hidden, HIDDEN, cells)[2:4])
    (folder / "a.zarr/hidden/c/8/0/0").write_bytes(b"damage")
    assert open_stack(folder / "a.zarr", Palette.default(2)).read(slice(0, 8)).shape == (8, 2, 3)
    for wrong in (np.zeros((9, 2, 3)), np.zeros((9, 3, 2), bool), np.zeros((9, 2, 3), complex)):
        np.savez(folder / "b.npz", cells=cells, hidden=wrong)
        refused("'hidden' must be an array of bool|are no numbers", read_examples, folder / "b.npz")
    np.savez(folder / "only.npz", hidden=np.array([[True, False]]))
    assert read_flags(folder / "only.npz")[...].tolist() == [[True, False]]


def test_own_results_are_input(folder):
    """Of the arrays that `fill` writes, the fill is what is read."""
    fill = np.array([[0, 1]], np.int16)
    arrays = {"samples": fill[None], "fill": fill, "marginals": np.ones((1, 2, 2)), "log_prob_bits": np.float64(-1)}
    np.savez(folder / "grid.npz", **arrays)
    np.savez(folder / "stack.npz", **{name: np.asarray(array)[None] for name, array in arrays.items()})
    assert read_grid(folder / "grid.npz").cells.tolist() == fill.tolist()
    assert read_examples(folder / "stack.npz")[0].tolist() == [fill.tolist()]
    assert [is_stack(folder / name) for name in ("grid.npz", "stack.npz")] == [False, True]


# What people have in arrays


BIG_ENDIAN, READ_ONLY = np.array([[0, 1, 2]], ">i4"), np.array([[0, 1, 2]], np.uint64)
READ_ONLY.setflags(write=False)


@pytest.mark.parametrize(
    "array",
    [
        BIG_ENDIAN,
        READ_ONLY,
        np.asfortranarray(np.array([[0, 1, 2]], np.int8)),
        np.array([[0, 1, 2]], ">f8"),
        np.array([[0, 1, 2]], np.float16),
        np.array([[0, 1, 2]], np.longdouble),
        np.array([[9, 0, 9, 1, 9, 2]])[:, 1::2],
    ],
    ids=lambda array: str(array.dtype),
)
def test_numbers_of_all_kinds(folder, array):
    """Byte order, layout, width and masks that hide nothing make no difference, in memory and in a file."""
    np.save(folder / "a.npy", array)
    for cells in (cells_from_array(array), read_grid(folder / "a.npy").cells):
        assert (type(cells), cells.dtype, cells.tolist()) == (np.ndarray, np.int64, [[0, 1, 2]])


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [
        (2**64 - 1, np.uint64, "1.844674407e\\+19"),
        (2**63, np.uint64, "9.223372037e\\+18"),
        (-np.inf, float, "-inf"),
        (1e300, float, "1e\\+300"),
        (0.5, np.float16, "0.5"),
        (-2, np.int8, "-2"),
        (256, int, "256"),
        (-1.5, float, "-1.5"),
    ],
)
def test_numbers_that_are_no_symbols(value, dtype, said):
    """What is no symbol is named with its cell, without a warning."""
    refused(f"^row 0, column 1 .*: {said} is not a symbol", cells_from_array, np.array([[0, value]], dtype))


def test_masks_in_lists():
    """Masks of arrays, and masked numbers, in lists of any depth stay masks."""
    masked = np.ma.array([[0, 1]], mask=[[False, True]])
    for grids in ([masked, np.array([[1, 1]])], ([[1, 1]], masked)):
        assert np.ma.getmaskarray(stacked(grids)).sum() == 1
        assert sorted(cells_from_array(stacked(grids)).ravel().tolist()) == [-1, 0, 1, 1]
    assert cells_from_array(stacked([[0, np.ma.masked], [1, 1]])).tolist() == [[0, -1], [1, 1]]
    assert stacked(masked) is masked
    assert type(stacked([[0, 1]])) is np.ndarray
    refused("no numbers in grids of one size", stacked, [np.zeros((2, 2)), np.zeros((3, 3))])
    refused("no numbers in grids of one size", stacked, [masked, np.zeros((3, 3))])


@pytest.mark.parametrize("cells", [[[1, -1]], [[-1, 0]], [[[2, -1]], [[2, 2]]]])
def test_spins_are_refused(folder, cells):
    """Examples of -1 and one other number teach nothing: -1 may be a class, which the error says."""
    refused("which stands for hidden cells; if -1 is a class, write 0 and 1", refuse_spins, np.array(cells))
    np.save(folder / "a.npy", np.atleast_3d(cells))
    refused("if -1 is a class, write 0 and 1", read_images, folder / "a.npy")


@pytest.mark.parametrize("cells", [[[1, 1]], [[-1, -1]], [[0, 1, -1, -1, -1]]])
def test_no_spins(cells):
    """Other examples are not refused: whole ones, those of which nothing is known, and any with two symbols."""
    refuse_spins(np.array(cells))


def test_spins_in_a_folder(folder):
    """It is all examples together that need two symbols; a puzzle needs none."""
    for name, cells in (("a", [[1, -1]]), ("b", [[-1, 1]])):
        np.save(folder / f"{name}.npy", cells)
    refused("if -1 is a class, write 0 and 1", read_examples, folder)
    assert read_grid(folder / "a.npy", Palette.default(2)).cells.tolist() == [[1, -1]]
    np.save(folder / "c.npy", [[0, 1]])
    assert len(read_examples(folder)[0]) == 3


# Values of a palette


def test_values_of_a_palette(folder):
    """An array may have the values of a palette or symbols, alone, in a stack too; it is written as it came."""
    for values, cells in (([[11, 395, -1]], [[0, 3, -1]]), ([[0, 3, -1]], [[0, 3, -1]]), ([[41.0, np.nan]], [[2, -1]])):
        np.save(folder / "a.npy", values)
        grid = read_grid(folder / "a.npy", COVER)
        assert grid.cells.tolist() == cells
        write_grid(folder / "b.npy", grid)
        assert np.array_equal(np.load(folder / "b.npy"), np.nan_to_num(np.array(values), nan=-1))
    stack = np.array([[[11, -1]], [[-1, -1]], [[21, 395]]])
    np.save(folder / "stack.npy", stack)
    assert read_examples(folder / "stack.npy", COVER)[0].tolist() == [[[0, -1]], [[-1, -1]], [[1, 3]]]
    opened = open_stack(folder / "stack.npy", COVER)
    assert opened.in_values
    assert opened.read(slice(2, 3)).tolist() == [[[1, 3]]]
    np.save(folder / "stack.npy", [[[0, 3]]])
    assert not open_stack(folder / "stack.npy", COVER).in_values


def test_values_and_symbols_are_not_mixed():
    """A number that is no value, among values, is named; so is one that no palette knows."""
    refused("row 0, column 1 .*: 1 is no value of the palette", symbols_from_values, np.array([[11, 1]]), COVER)
    refused("row 0, column 1 .*: 99 is no value", symbols_from_values, np.array([[11, 99]]), COVER)
    refused("row 0, column 0 .*: 999 is not a symbol", symbols_from_values, np.array([[999, 1]]), COVER)


def test_values_that_are_symbols_of_others():
    """With values 1, 2, 3 the numbers 1 and 2 are symbols, as always; a 3 shows that values were meant."""
    assert symbols_from_values(np.array([[1, 2, -1]]), ONE_TO_THREE)[0].tolist() == [[1, 2, -1]]
    refused("write symbols instead of values", symbols_from_values, np.array([[1, 3]]), ONE_TO_THREE)
    zero_based = Palette(Palette.default(3).colours, "abc", values=(0, 10, 20))
    for array in ([[0, 10, 20]], [[0, 1, 2]]):
        assert symbols_from_values(np.array(array), zero_based)[0].tolist() == [[0, 1, 2]]


def test_wide_values_are_written(folder):
    """Values beyond 16 bits are written whole."""
    palette = Palette(Palette.default(2).colours, "ab", values=(-7, 10**12))
    write_grid(folder / "a.npy", Grid(np.array([[0, 1, -1]]), palette, in_values=True))
    assert np.load(folder / "a.npy").tolist() == [[-7, 10**12, -1]]
    assert read_grid(folder / "a.npy", palette).cells.tolist() == [[0, 1, -1]]
