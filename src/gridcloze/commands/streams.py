"""One grid from standard input, and its fill to standard output, under the name `-`."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..words import InputError

STREAM = Path("-")
MOST_BYTES = 2**30  # of one grid
BEGINNINGS = {
    b"\x89PNG": ".png",
    b"\x93NUMPY": ".npy",
    b"PK\x03\x04": ".npz",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"II+\0": ".tif",
    b"MM\0+": ".tif",
}


@contextmanager
def input_files(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Put what standard input holds into a file, if one of the inputs is `-`.

    Parameters
    ----------
    paths
        Inputs of a command.

    Yields
    ------
    list of Path
        The inputs; instead of `-` a file whose suffix is that of its content, which is gone after the `with` statement.

    Raises
    ------
    InputError
        When `-` is not the only input, or standard input is empty or longer than a GiB.

    Examples
    --------
    >>> with input_files([Path("a.png"), Path("b.png")]) as paths:
    ...     [path.name for path in paths]
    ['a.png', 'b.png']
    """
    if STREAM not in paths:
        yield list(paths)
        return
    if len(paths) > 1:
        raise InputError("- stands for one grid on standard input; it cannot be one of several inputs")
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    if not 0 < len(content) <= MOST_BYTES:
        raise InputError("standard input is empty, or longer than a GiB; it must be one grid")
    suffix = next((suffix for begin, suffix in BEGINNINGS.items() if content.startswith(begin)), ".txt")
    with TemporaryDirectory() as folder:
        path = Path(folder, f"stdin{suffix}")
        path.write_bytes(content)
        yield [path]


@contextmanager
def output_folder(out: Path, inputs: Sequence[Path]) -> Iterator[Path]:
    """Make a folder for results, and write the fill of one grid to standard output, if `-` is to be the folder.

    Parameters
    ----------
    out
        A folder, or `-`.
    inputs
        What is filled.

    Yields
    ------
    Path
        The folder, or one that is gone after the `with` statement, when what is filled has been written.

    Raises
    ------
    InputError
        When `-` is given with several inputs, or with a stack, which has no filled file of its own kind.

    Examples
    --------
    >>> with output_folder(Path("results"), []) as folder:
    ...     folder.name
    'results'
    """
    if out != STREAM:
        yield out
        return
    if len(inputs) != 1 or inputs[0].is_dir():
        raise InputError("-o - writes the fill of one grid to standard output; for several name a folder")
    with TemporaryDirectory() as folder:
        yield Path(folder)
        filled = Path(folder, inputs[0].name)
        if not filled.is_file():
            raise InputError(f"{inputs[0].name} has no fill of its own kind for standard output; name a folder")
        with filled.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
