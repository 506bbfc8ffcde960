"""Names of files: which kind each is, whether it can be read or written, and how it is written whole or not at all."""

import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from ..words import AnyPath, InputError, about

ZARR = ".zarr"  # a folder on disk, and here as one file
WRITTEN_ARRAYS = (".npy", ".npz")
PICTURES, TEXTS, ARRAYS, MAPS = (".png",), (".txt",), (*WRITTEN_ARRAYS, ZARR), (".tif", ".tiff")
DOCUMENTS = (".dat", ".gslib", ".eas", ".vti", ".tmj", ".csv")  # which hold more than a grid
SIGNATURE = "gridcloze"  # stands in every file that may be replaced with --overwrite
FLUSHED_AT_ONCE = 16
GRID_NOTE = "gridcloze:scale"  # of a picture of a grid, which people paint over: it is then theirs
SIGNED_BYTES = 2**20  # at either end of a file, within which its writer is named
SUFFIXES = PICTURES + TEXTS + ARRAYS + DOCUMENTS  # what `grids` reads; `maps` reads MAPS


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
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{path}: this is a pipe or a device, but a file is needed (- reads one grid from a pipe)")
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
        PICTURES, TEXTS, ARRAYS, DOCUMENTS or MAPS: all suffixes of that kind.

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
    return next(kind for kind in (PICTURES, TEXTS, ARRAYS, DOCUMENTS, MAPS) if suffix in kind)


def read_bytes(path: Path, most: int) -> bytes:
    """Read a whole file whose size is bounded.

    Parameters
    ----------
    path
        The file.
    most
        How many bytes it may have.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    InputError
        When it is no plain file, cannot be read or has more bytes.

    Examples
    --------
    >>> _ = Path("note.txt").write_text("text")
    >>> read_bytes(Path("note.txt"), most=3)
    Traceback (most recent call last):
    gridcloze.words.InputError: this file has more than the 3 bytes that are supported here
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError("this file cannot be read (it is no plain file)")
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"this file cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(content) > most:
        raise InputError(f"this file has more than the {most} bytes that are supported here")
    return content


@contextmanager
def atomic_write(path: AnyPath) -> Iterator[Path]:
    """Write a file whole or not at all.

    Parameters
    ----------
    path
        The file to write; missing folders are made. Of a link, the file that it leads to.

    Yields
    ------
    Path
        Another path of the same name, in a folder of its own next to `path`, to write to. When the `with` statement
        ends, it is flushed to disk and replaces `path`; after an error it is removed, and an older file at `path`
        stays. What a killed process leaves behind is removed by `remove_leftovers`.

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
    path = Path(os.path.realpath(path))
    check_writable(path)
    with made_folder(path.parent), scratch_folder(path.parent) as folder:
        yield folder / path.name
        put_in_place(folder, path.parent)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for files that are not finished.

    Parameters
    ----------
    parent
        The folder in which the files will be.

    Yields
    ------
    Path
        A new folder there, which is gone when the `with` statement ends. What a killed process leaves of it is removed
        by `remove_leftovers`.

    Examples
    --------
    >>> with scratch_folder(Path(".")) as folder:
    ...     folder.is_dir()
    True
    >>> folder.exists()
    False
    """
    while True:
        folder = parent / f"{OWN}{uuid.uuid4().hex}"
        folder.mkdir()
        with suppress(FileNotFoundError, _LockedError), _lock(folder):
            if folder.exists():  # and was not taken for a leftover before it was locked
                try:
                    yield folder
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                return


def put_in_place(scratch: Path, folder: Path) -> None:
    """Give finished files their names, once all of them are on disk.

    Parameters
    ----------
    scratch
        A folder that `scratch_folder` made.
    folder
        Where its files belong; files that are there are replaced. Those that end in .json come first, the others by
        their names.

    Examples
    --------
    >>> with scratch_folder(Path(".")) as folder:
    ...     _ = (folder / "a.txt").write_text("done")
    ...     put_in_place(folder, Path("."))
    >>> Path("a.txt").read_text()
    'done'
    """
    mode = scratch.stat().st_mode & 0o666  # that of the umask: some libraries let nobody else read
    files = sorted(scratch.iterdir(), key=lambda path: (path.suffix != ".json", path.name))
    for path in files:
        path.chmod(mode)
    with ThreadPoolExecutor(FLUSHED_AT_ONCE) as threads:  # the disk writes together what is waited for together
        list(threads.map(_flush, files))
    for path in files:
        os.replace(path, folder / path.name)
    _flush(folder)


def _flush(path: Path) -> None:
    """Wait until a file or folder is on disk, where the system can say so."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # of file systems that cannot
            raise
    finally:
        os.close(descriptor)


# One process at a time

LOCK_SECONDS = (0.02, 0.05, 0.1)  # how long to wait for a process that only looks for leftovers
RESUMABLE = ".partial"  # how names end of what the next run goes on with
OWN = ".gridcloze-"  # how names begin of files and folders that are gone when a process has ended well


@contextmanager
def only_one(path: AnyPath) -> Iterator[None]:
    """Let no other process write the same results meanwhile.

    Parameters
    ----------
    path
        The folder of the results, which exists; or one file that will be written.

    Yields
    ------
    None
        Nothing; other processes are kept out until the `with` statement ends, however it ends.

    Raises
    ------
    InputError
        When another process is writing there.

    Examples
    --------
    >>> with only_one("model.safetensors"):
    ...     with only_one("model.safetensors"):
    ...         pass
    Traceback (most recent call last):
    gridcloze.words.InputError: ...model.safetensors: another run is writing here; wait until it has ended, ...
    """
    path = Path(os.path.realpath(path))
    is_folder = path.is_dir()
    if not is_folder:
        check_writable(path)
    lock = path if is_folder else path.with_name(f"{OWN}{crc32(os.fsencode(path.name)):08x}.lock")
    with ExitStack() as stack:
        stack.enter_context(made_folder(lock.parent))
        for seconds in (*LOCK_SECONDS, 0.0):
            try:
                if not is_folder:
                    lock.touch()
                stack.enter_context(_lock(lock))
                if lock.exists():  # and was not removed in between by the process that had it
                    break
            except (FileNotFoundError, _LockedError):
                time.sleep(seconds)
        else:
            raise InputError(f"{path}: another run is writing here; wait until it has ended, or choose another name")
        if not is_folder:
            stack.callback(lock.unlink, missing_ok=True)
        yield


class _LockedError(Exception):
    """Another process has the lock."""


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder, which the system takes back from a process that dies."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock  # of Unix
    except ImportError:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise _LockedError from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left of files that they were writing, unless a next run goes on with it.

    Parameters
    ----------
    folder
        The folder of their results.

    Examples
    --------
    >>> Path("results/.gridcloze-of-a-killed-process").mkdir(parents=True)
    >>> remove_leftovers(Path("results"))
    >>> list(Path("results").iterdir())
    []
    """
    for path in folder.glob(f"{OWN}*"):
        if path.suffix == RESUMABLE:
            continue
        with suppress(_LockedError, OSError), _lock(path):  # a process that lives has the lock
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


# Files that are somebody's


def refuse_replacing(
    outputs: Sequence[Path | None], inputs: Sequence[AnyPath | None] = (), overwrite: bool = False
) -> None:
    """Refuse, before any work, to replace what is not to be replaced.

    Parameters
    ----------
    outputs
        Files that will be written; None for one that is not wanted.
    inputs
        What will be read; None for what is not given.
    overwrite
        Whether files that gridcloze wrote may be replaced; those of others never are.

    Raises
    ------
    InputError
        When an output is an input, also through links, or another output; or when there is such a file already.

    Examples
    --------
    >>> refuse_replacing([Path("look.png")], [Path("grid.png")])
    >>> refuse_replacing([Path("grid.png")], [Path("grid.png")])
    Traceback (most recent call last):
    gridcloze.words.InputError: grid.png is an input, grid.png, and would be replaced; choose another name
    """
    wanted = [path for path in outputs if path is not None]
    for number, output in enumerate(wanted):
        for path in inputs:
            if path is not None and _is_within(output, Path(path)):
                raise InputError(f"{output} is an input, {path}, and would be replaced; choose another name")
        if any(_is_same(output, other) for other in wanted[:number]):
            raise InputError(f"{output} is the name of two results; choose another name for one of them")
        if not os.path.lexists(output) or os.path.isdir(output):  # of a folder `check_writable` speaks
            continue
        if not overwrite:
            raise InputError(f"{output} is there already; choose another name, or replace it with --overwrite")
        if not os.path.isfile(output) or not is_signed(output, besides=GRID_NOTE):
            raise InputError(f"{output} was not written by gridcloze and is not replaced; choose another name")


def _is_same(one: Path, other: Path) -> bool:
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def _is_within(output: Path, path: Path) -> bool:
    """Whether a file is another one, or lies in a folder that is an array."""
    is_array = os.path.isdir(path) and not is_folder(path)
    return _is_same(output, path) or (
        is_array and Path(os.path.realpath(path)) in Path(os.path.realpath(output)).parents
    )


def is_signed(path: Path, besides: str = "") -> bool:
    """Tell whether a file says that gridcloze wrote it, as its models, pictures and reports do.

    Parameters
    ----------
    path
        Any file.
    besides
        A text that does not count, although the name stands in it.

    Returns
    -------
    bool
        True if the name stands near its begin or end.

    Examples
    --------
    >>> _ = Path("mine.txt").write_text("my notes")
    >>> is_signed(Path("mine.txt"))
    False
    """
    with path.open("rb") as file:
        begin = file.read(SIGNED_BYTES)
        file.seek(max(0, file.seek(0, os.SEEK_END) - SIGNED_BYTES))
        ends = begin + file.read()
    return SIGNATURE.encode() in (ends.replace(besides.encode(), b"") if besides else ends)


def check_writable(path: AnyPath) -> None:
    """Check before a long computation that its result can be written.

    Parameters
    ----------
    path
        The file that will be written; missing folders will be made.

    Raises
    ------
    InputError
        When `path` is a folder, or its own folder cannot be made or written to.

    Examples
    --------
    >>> check_writable("results/filled.npz")
    >>> check_writable(".")
    Traceback (most recent call last):
    gridcloze.words.InputError: .: cannot be written, it is a folder
    """
    if os.path.isdir(path):
        raise InputError(f"{path}: cannot be written, it is a folder")
    nearest = next(folder for folder in Path(path).absolute().parents if os.path.lexists(folder))
    if not nearest.is_dir():
        raise InputError(f"{path}: cannot be written, {nearest} is no folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{path}: cannot be written, no permission for its folder")


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder for results, and remove it again if none has come into it.

    Parameters
    ----------
    folder
        The folder, which may be there already; missing ones above it are made, too.

    Yields
    ------
    None
        Nothing; an empty folder that was made is gone when the `with` statement ends.

    Raises
    ------
    InputError
        When it cannot be made or written to.

    Examples
    --------
    >>> with made_folder(Path("results/today")):
    ...     Path("results/today").is_dir()
    True
    >>> Path("results").exists()
    False
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a folder for results is needed, and this is a file")
    check_writable(folder / "result")
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for each in missing:
            with suppress(OSError):  # something is in it
                each.rmdir()


def as_json(content: Any) -> str:
    """Write what JSON can hold, indented, with a last line break.

    Parameters
    ----------
    content
        Dictionaries, lists, texts, finite numbers, bools and None.

    Returns
    -------
    str
        The text of a file.

    Raises
    ------
    ValueError
        For NaN and infinity, which JSON lacks.

    Examples
    --------
    >>> print(as_json({"hidden_cells": 7}), end="")
    {
     "hidden_cells": 7
    }
    """
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def write_json(path: AnyPath, content: Any) -> None:
    """Write what JSON can hold to a file, indented, whole or not at all.

    Parameters
    ----------
    path
        The file to write; missing folders are made.
    content
        Dictionaries, lists, texts, finite numbers, bools and None.

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
        partial.write_text(as_json(content))
