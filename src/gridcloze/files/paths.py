"""Names of files: which kind each is, whether it can be read or written, and how it is written whole or not at all."""

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
SUFFIXES = PICTURES + TEXTS + ARRAYS  # what `grids` reads; `maps` reads MAPS


def is_folder(path: AnyPath) -> bool:
    """Tell whether a path is a folder of files; a zarr array is a folder on disk, but counts as one file.

    Parameters
    ----------
    path
        A path, which need not exist.

    Returns
    -------
    bool
        True for a folder whose name does not end in .zarr.

    Examples
    --------
    >>> is_folder("."), is_folder("examples.npy")
    (True, False)
    """
    return os.path.isdir(path) and Path(path).suffix.lower() != ZARR


@contextmanager
def readable(path: AnyPath, suffixes: Sequence[str] = SUFFIXES) -> Iterator[Path]:
    """Check that a file can be read, and name it in front of errors in what it holds.

    Parameters
    ----------
    path
        The file.
    suffixes
        The suffixes that fit here; by default those of all grids.

    Yields
    ------
    Path
        The same path, of a file that is there.

    Raises
    ------
    InputError
        When the file is missing, is a folder, may not be read or has another suffix; or when the body of the `with`
        statement raises one.

    Examples
    --------
    >>> with readable("puzzle.png") as path:
    ...     print(path.stat().st_size)
    Traceback (most recent call last):
    gridcloze.words.InputError: puzzle.png: no such file
    """
    path = Path(path)
    if is_folder(path):
        raise InputError(f"{path}: this is a folder, but a file is needed")
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read this file")
    kind_of(path, suffixes)
    with about(path):
        yield path


def kind_of(path: Path, suffixes: Sequence[str] = SUFFIXES) -> tuple[str, ...]:
    """Tell which kind of file a name stands for.

    Parameters
    ----------
    path
        A file name; the file need not exist.
    suffixes
        The suffixes that fit here; by default those of all grids.

    Returns
    -------
    tuple of str
        PICTURES, TEXTS, ARRAYS or MAPS: all suffixes of that kind.

    Raises
    ------
    InputError
        When the suffix is none of `suffixes`.

    Examples
    --------
    >>> kind_of(Path("Examples.NPZ"))
    ('.npy', '.npz', '.zarr')
    """
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise InputError(f"{path}: suffix {suffix!r} is not supported here; use {', '.join(suffixes)}")
    return next(kind for kind in (PICTURES, TEXTS, ARRAYS, MAPS) if suffix in kind)


@contextmanager
def atomic_write(path: AnyPath) -> Iterator[Path]:
    """Write a file whole or not at all.

    Parameters
    ----------
    path
        The file to write; missing folders are made.

    Yields
    ------
    Path
        Another path in the same folder, to write to. When the `with` statement ends it replaces `path`; after an error
        it is removed, and an older file at `path` stays.

    Raises
    ------
    InputError
        When nothing could be written there; see `check_writable`.

    Examples
    --------
    >>> with atomic_write("results/note.txt") as partial:
    ...     written = partial.write_text("done")
    >>> Path("results/note.txt").read_text()
    'done'
    """
    path = Path(path)
    check_writable(path)
    partial = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path: AnyPath) -> None:
    """Check before a long computation that its result can be written, and make the folder for it.

    Parameters
    ----------
    path
        The file that will be written.

    Raises
    ------
    InputError
        When `path` is a folder, or its own folder cannot be made or written to.

    Examples
    --------
    >>> check_writable("results/filled.npz")
    >>> is_folder("results")
    True
    >>> check_writable("results")
    Traceback (most recent call last):
    gridcloze.words.InputError: results: cannot be written, it is a folder
    """
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
    """Write what JSON can hold to a file, indented, whole or not at all.

    Parameters
    ----------
    path
        The file to write; missing folders are made.
    content
        Dictionaries, lists, texts, numbers, bools and None.

    Raises
    ------
    InputError
        When nothing could be written there; see `check_writable`.

    Examples
    --------
    >>> write_json("report.json", {"hidden_cells": 7})
    >>> print(Path("report.json").read_text(), end="")
    {
     "hidden_cells": 7
    }
    """
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")
