"""What array files say of their arrays, and what of it is refused before an array is read."""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np

from ..words import InputError
from .paths import ZARR

ZIP_START, NUMPY_START = b"PK", b"\x93NUMPY"
LONGEST_HEADER, LONGEST_METADATA = 10_000, 2**24  # bytes; NumPy's own limit, and attributes of zarr can be long
MOST_CHUNKS, LEAST_BYTES_OF_A_CHUNK = 100_000, 16
ZARR_TYPES = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))
ZARR_TYPES = (*ZARR_TYPES, "float16", "float32", "float64")
COMPRESSORS = {2: ("blosc", "zstd", "zlib", "gzip", "lz4"), 3: ("blosc", "zstd", "gzip", "crc32c")}


class Header(NamedTuple):
    """Hold what a file says of an array, while nothing else of the array is read.

    Parameters
    ----------
    shape
        Its axes.
    dtype
        Its type: bools, integers or floats.
    stored
        Bytes that it takes in the file.
    load
        Reads it: of an npz file into memory, of others so that parts stay on disk until they are taken.
    chunk
        The shape of the chunks in which it is compressed: the whole of an array in an npz file; empty for npy.

    Examples
    --------
    >>> np.save("grid.npy", np.array([[0, 1]], np.int8))
    >>> header = arrays_in(Path("grid.npy"))["cells"]()
    >>> header.shape, header.dtype, header.load()[0, 1].item()
    ((1, 2), dtype('int8'), 1)
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    stored: int
    load: Callable[[], Any]
    chunk: tuple[int, ...] = ()


def arrays_in(path: Path) -> dict[str, Callable[[], Header]]:
    """List the arrays in a file.

    Parameters
    ----------
    path
        An npy, npz or zarr file.

    Returns
    -------
    dict
        By name, what reads the header of each. The array of an npy file, or of a zarr file without names, is "cells".

    Raises
    ------
    InputError
        Here or from the functions, when the file is damaged, is of another kind than its suffix says, holds what is
        no array of numbers, or asks for more than reading numbers: code, links to other files, unknown codecs.

    Examples
    --------
    >>> np.savez("puzzle.npz", cells=[[0, 1]], hidden=[[True, False]])
    >>> headers = arrays_in(Path("puzzle.npz"))
    >>> {name: header().shape for name, header in headers.items()}
    {'cells': (1, 2), 'hidden': (1, 2)}
    """
    suffix = path.suffix.lower()
    if suffix == ZARR:
        return _zarr_arrays(path)
    if not path.is_file():
        raise InputError("this is not a file of data")
    with path.open("rb") as file:
        start = file.read(len(NUMPY_START))
    if suffix == ".npy" and start.startswith(ZIP_START):
        raise InputError("this is an archive of NumPy; let its name end in .npz")
    if suffix == ".npz" and start == NUMPY_START:
        raise InputError("this is a single array of NumPy; let its name end in .npy")
    return {"cells": lambda: _npy_header(path)} if suffix == ".npy" else _npz_arrays(path)


@contextmanager
def undamaged(what_is_wrong: str = "damaged, or not an array of numbers") -> Iterator[None]:
    """Turn whatever NumPy, zipfile and zarr report of damage into one line, and keep their warnings quiet.

    Parameters
    ----------
    what_is_wrong
        The beginning of the line.

    Yields
    ------
    None
        Nothing; the body of the `with` statement reads a file.

    Raises
    ------
    InputError
        When the body raises anything.

    Examples
    --------
    >>> with undamaged():
    ...     raise KeyError("shape")
    Traceback (most recent call last):
    gridcloze.words.InputError: damaged, or not an array of numbers ('shape')
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, ModuleNotFoundError):  # an extra that is not installed is no damage
        raise
    except MemoryError:
        raise InputError("there is not enough memory to read it, or it is damaged") from None
    except Exception as error:
        detail = "".join(filter(str.isprintable, " ".join(str(error).split())))
        raise InputError(f"{what_is_wrong} ({detail[:200] or type(error).__name__})") from None


# NumPy


def _npy_header(path: Path) -> Header:
    with path.open("rb") as file:
        shape, dtype, start = _header_in(file)
    stored, expected = path.stat().st_size - start, prod(shape) * dtype.itemsize
    if stored < expected:
        raise InputError(f"damaged: its header says {expected} bytes of numbers, and there are {stored}")
    return Header(shape, dtype, stored, lambda: np.lib.format.open_memmap(path, mode="r"))


def _npz_arrays(path: Path) -> dict[str, Callable[[], Header]]:
    with ZipFile(path) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
    return {name: lambda member=member: _npz_header(path, member) for name, member in members.items()}


def _npz_header(path: Path, member: str) -> Header:
    with ZipFile(path) as archive:
        info = archive.getinfo(member)
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # zipfile bounds no other when it decompresses
            raise InputError(f"{member!r} in it is compressed in a way that NumPy does not use; save it by np.savez")
        with archive.open(info) as file:
            shape, dtype, start = _header_in(file)
    expected = start + prod(shape) * dtype.itemsize
    if info.file_size != expected:
        raise InputError(f"damaged: the header of {member!r} says {expected} bytes, and it has {info.file_size}")

    def load() -> np.ndarray:
        with ZipFile(path) as archive, archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    return Header(shape, dtype, min(info.compress_size, path.stat().st_size), load, shape)


def _header_in(file: Any) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and length of a NumPy header; NumPy itself would read one of any length before it looks at it."""
    start = file.read(len(NUMPY_START) + 2)
    if not start.startswith(NUMPY_START) or start[-2] not in (1, 2):
        raise InputError("damaged, or not an array of numbers (no header of NumPy)")
    length = file.read(2 * start[-2])
    n_bytes = int.from_bytes(length, "little")
    if n_bytes > LONGEST_HEADER:
        raise InputError(f"damaged, or not an array of numbers (a header of {n_bytes} bytes)")
    header = BytesIO(start + length + file.read(n_bytes))
    version = np.lib.format.read_magic(header)
    read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(header)
    return _checked_shape(shape), _checked_type(dtype), header.tell()


def _checked_shape(shape: Sequence[Any]) -> tuple[int, ...]:
    if not all(type(length) is int and length >= 0 for length in shape):
        raise InputError(f"damaged: its shape is {tuple(shape)!r:.80}")
    return tuple(shape)


def _checked_type(dtype: np.dtype) -> np.dtype:
    if dtype.kind not in "biuf":
        raise InputError(f"values of type {str(dtype)[:60]} are no numbers, and nothing else is read; save numbers")
    return dtype


# zarr


def _zarr_arrays(folder: Path) -> dict[str, Callable[[], Header]]:
    if not folder.is_dir():
        raise InputError("damaged, or not an array of zarr, which is a folder")
    _sizes_in(folder)
    version, metadata = _metadata_in(folder)
    if _is_array(version, metadata):
        return {"cells": lambda: _zarr_header(folder, "", version, metadata)}
    arrays: dict[str, Callable[[], Header]] = {}
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        of_child = _metadata_in(child, version)
        if _is_array(*of_child):
            arrays[child.name] = lambda name=child.name, of_child=of_child: _zarr_header(folder, name, *of_child)
    return arrays


def _sizes_in(folder: Path) -> list[int]:
    """Sizes of all files, none of which may be a link: it could make a stranger's file of yours a part of the array."""
    folders, sizes = [str(folder)], []
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    sizes.append(entry.stat(follow_symlinks=False).st_size)
                else:
                    name = os.path.relpath(entry.path, folder)
                    raise InputError(f"{name!r} in it is a link, or no file of data; put the file itself there")
    return sizes


def _metadata_in(folder: Path, version: int | None = None) -> tuple[int, dict[str, Any]]:
    """The version of zarr and the metadata; consolidated metadata is never read, for it may say something else."""
    for name, its_version in (("zarr.json", 3), (".zarray", 2), (".zgroup", 2)):
        path = folder / name
        if version in (None, its_version) and path.is_file():
            if path.stat().st_size > LONGEST_METADATA:
                raise InputError(f"damaged: {name} in it has {path.stat().st_size} bytes")
            metadata = json.loads(path.read_bytes())
            if not isinstance(metadata, dict) or metadata.get("zarr_format") != its_version:
                raise InputError(f"damaged: {name} in it is no metadata of zarr {its_version}")
            return its_version, metadata
    if version is None:
        raise InputError("damaged, or not an array of zarr (no zarr.json, .zarray or .zgroup in it)")
    return version, {}


def _is_array(version: int, metadata: dict[str, Any]) -> bool:
    return metadata.get("node_type") == "array" if version == 3 else "shape" in metadata


def _zarr_header(folder: Path, name: str, version: int, metadata: dict[str, Any]) -> Header:
    if version == 3:
        grid, data_type = metadata["chunk_grid"], metadata["data_type"]
        if grid["name"] != "regular" or metadata.get("storage_transformers"):
            raise InputError("its chunks are stored in a way that is not read here; save them as a regular grid")
        if data_type not in ZARR_TYPES:
            raise InputError(f"values of type {data_type!r:.60} are no numbers, and nothing else is read; save numbers")
        dtype, chunk = np.dtype(data_type), _checked_shape(grid["configuration"]["chunk_shape"])
        smallest = _checked_shape(_check_codecs(metadata["codecs"]) or chunk)
    else:
        dtype, chunk = np.dtype(str(metadata["dtype"])), _checked_shape(metadata["chunks"])
        smallest = chunk
        _check_names([codec["id"] for codec in metadata.get("filters") or ()], ("shuffle",))
        if metadata.get("compressor") is not None:
            _check_names([metadata["compressor"]["id"]], COMPRESSORS[2])
    shape, sizes = _checked_shape(metadata["shape"]), _sizes_in(folder / name)
    if not len(shape) == len(chunk) == len(smallest) or 0 in chunk or 0 in smallest:
        raise InputError(f"damaged: chunks of {chunk} do not fit its shape {shape}")
    n_chunks = prod(-(-length // side) for length, side in zip(shape, smallest, strict=True))
    if n_chunks > MOST_CHUNKS and n_chunks * LEAST_BYTES_OF_A_CHUNK > sum(sizes):
        raise InputError(f"its metadata says {n_chunks} chunks, and its files have {sum(sizes)} bytes; save it anew")
    dtype = _checked_type(dtype)
    if max(sizes) > 2 * prod(chunk) * dtype.itemsize + LONGEST_METADATA:
        raise InputError(f"damaged: a file in it has {max(sizes)} bytes, more than a chunk of {chunk} can have")

    def load() -> Any:
        from .chunks import ChunkedArray  # zarr is an extra

        return ChunkedArray.open(folder, name, version)

    return Header(shape, dtype, sum(sizes), load, chunk)


def _check_codecs(codecs: list[Any]) -> list[int] | None:
    """Refuse all codecs of zarr 3 but those whose decoded size is known; return the shape of the chunks in a shard."""
    names = [codec["name"] for codec in codecs]
    if names == ["sharding_indexed"]:
        inside = codecs[0]["configuration"]
        _check_names([codec["name"] for codec in inside.get("index_codecs", ())], ("bytes", "crc32c"))
        if _check_codecs(inside["codecs"]):
            raise InputError("its shards hold shards; save it with one level of them")
        return inside["chunk_shape"]
    _check_names(names, ("bytes", "transpose", *COMPRESSORS[3]))
    if sum(name in COMPRESSORS[3] for name in names) > 1:
        raise InputError(f"its chunks are compressed more than once ({', '.join(names)}); save it with one compressor")
    return None


def _check_names(names: list[Any], known: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"codec {unknown[0]!r:.60} is not read here; save it with one of {', '.join(COMPRESSORS[2][:4])}"
        )
