"""What every module needs: the hidden cell, the error for bad input, and the version; loads no NumPy, for --help."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__version__ = "0.2.0"

HIDDEN = -1
"""Marks a hidden cell in integer arrays that enter or leave the package."""

REPORT = "this is a bug of gridcloze: please report it to its authors, with the command and what it printed"
AnyPath = str | Path


class InputError(ValueError):
    """Report bad input in one line: what is wrong, and what to do.

    Commands print the line and exit with status 2.

    Examples
    --------
    >>> from gridcloze.files.palettes import Palette
    >>> Palette.default(300)
    Traceback (most recent call last):
    gridcloze.words.InputError: 300 different symbols; a grid has at most 256 (a photograph is not a grid of symbols)
    """


@contextmanager
def about(name: AnyPath) -> Iterator[None]:
    """Put a file's name in front of errors in what it holds.

    Parameters
    ----------
    name
        The file, as the error should name it.

    Yields
    ------
    None
        Nothing; the body of the `with` statement works on the file's content.

    Raises
    ------
    InputError
        When the body raises one; its line then starts with the name.

    Examples
    --------
    >>> with about("puzzle.png"):
    ...     raise InputError("2 by 4 pixels cannot be cut into cells of 3 by 3")
    Traceback (most recent call last):
    gridcloze.words.InputError: puzzle.png: 2 by 4 pixels cannot be cut into cells of 3 by 3
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def how_to_install(extra: str) -> str:
    """Say how to get an extra; no package index has gridcloze.

    Parameters
    ----------
    extra
        Its name in pyproject.toml.

    Returns
    -------
    str
        What to run, for the end of an error.

    Examples
    --------
    >>> how_to_install("film")
    "run pip install '.[film]' in a clone of gridcloze"
    """
    return f"run pip install '.[{extra}]' in a clone of gridcloze"


def finite_or_none(value: Any) -> Any:
    """Make what a file or a report says fit JSON, which has no NaN and no infinity.

    Parameters
    ----------
    value
        A number, or dictionaries and lists of such.

    Returns
    -------
    Any
        The same with None for numbers that are not finite.

    Examples
    --------
    >>> finite_or_none({"error": 0.25, "bits": float("nan")})
    {'error': 0.25, 'bits': None}
    """
    if isinstance(value, dict):
        return {key: finite_or_none(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
