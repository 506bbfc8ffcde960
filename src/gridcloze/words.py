"""What every room says: the hidden cell, an error of the input, and the version. It loads no NumPy, for --help."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__version__ = "0.1.0"

HIDDEN = -1
"""Stands for a hidden cell in integer arrays at the API's edge."""

AnyPath = str | Path


class InputError(ValueError):
    """A bad input; its one line says what is wrong and what to do."""


@contextmanager
def about(name: AnyPath) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
