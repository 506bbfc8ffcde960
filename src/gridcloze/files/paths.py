"""Names of files and what they hold; how files are written whole or not at all."""

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..words import AnyPath, InputError, about

ZARR = ".zarr"  # a folder on disk, and here as one file
WRITTEN_ARRAYS = (".npy", ".npz")
PICTURES, TEXTS, ARRAYS, MAPS = (".png",), (".txt",), (*WRITTEN_ARRAYS, ZARR), (".tif", ".tiff")
SUFFIXES = PICTURES + TEXTS + ARRAYS  # `maps` reads the MAPS


def is_folder(path: AnyPath) -> bool:
    """Whether files are in it; the folder of a zarr array counts as one file."""
    return os.path.isdir(path) and Path(path).suffix.lower() != ZARR


@contextmanager
def readable(path: AnyPath, suffixes: Sequence[str] = SUFFIXES) -> Iterator[Path]:
    """Gives the path of a file that can be read, and puts it before what is wrong with the content."""
    path = Path(path)
    if is_folder(path):
        raise InputError(f"{path}: this is a folder, and a file is needed")
    if not os.path.isfile(path) and not os.path.isdir(path):
        raise InputError(f"{path}: no such file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read this file")
    kind_of(path, suffixes)
    with about(path):
        yield path


def kind_of(path: Path, suffixes: Sequence[str] = SUFFIXES) -> tuple[str, ...]:
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise InputError(f"{path}: suffix {suffix!r} is not supported here; use {', '.join(suffixes)}")
    return next(kind for kind in (PICTURES, TEXTS, ARRAYS, MAPS) if suffix in kind)


@contextmanager
def atomic_write(path: AnyPath) -> Iterator[Path]:
    """Gives a path beside `path` to write to, which takes its place on success and is removed on any failure."""
    path = Path(path)
    check_writable(path)
    partial = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path: AnyPath) -> None:
    """Makes the folder that `path` is to be in; InputError at once where it could not be written."""
    path = Path(path)
    if os.path.isdir(path):
        raise InputError(f"{path}: cannot be written, it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written, its folder cannot be made ({error.strerror})") from None
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{path}: cannot be written, no permission for its folder")


def write_json(path: AnyPath, content: Any) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
