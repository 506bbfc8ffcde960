"""Tables of numbers in text: a row of cells in each line, with commas, semicolons, tabs or spaces between them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

import numpy as np
from jaxtyping import Float, Shaped

from ..words import InputError

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|nan|\?", re.IGNORECASE)
HIDDEN_ENTRIES = ("", "?", "-1")  # and nan


@dataclass(frozen=True)
class Table:
    r"""Hold a grid of numbers with the text that is written back as it was.

    Parameters
    ----------
    lines
        Of the text: entries and what is between them, by turns.
    end
        What comes after the last line.
    values
        The one grid (1, height, width), NaN where hidden.

    Examples
    --------
    >>> read(b"11,21\n41,-1\n").values.tolist()
    [[[11.0, 21.0], [41.0, nan]]]
    """

    lines: tuple[list[str], ...]
    end: str
    values: Float[np.ndarray, "one height width"]

    def with_grid(
        self, values: Shaped[np.ndarray, "height width"], more: Mapping[str, Shaped[np.ndarray, "height width"]]
    ) -> bytes:
        r"""Write other values; each number that stays is as it was, and others as that number is elsewhere in the text.

        Parameters
        ----------
        values
            The grid, NaN where hidden.
        more
            Has no room in a table.

        Returns
        -------
        bytes
            Of the file.

        Examples
        --------
        >>> read(b"3.0, 4\n ?, 3\n").with_grid(np.array([[3, 4], [4, 3]]), {})
        b'3.0, 4\n 4, 3\n'
        """
        entries = (entry.strip() for line in self.lines for entry in line[::2])
        written = dict(zip(self.values.ravel().tolist(), entries, strict=True))
        hidden = next((written[value] for value in written if isnan(value)), "-1")
        pieces = [list(line) for line in self.lines]
        for row, column in np.argwhere(~((values == self.values[0]) | np.isnan(values) & np.isnan(self.values[0]))):
            new, before = float(values[row, column]), pieces[row][2 * column]
            text = hidden if isnan(new) else written.get(new, f"{new:.0f}")
            pieces[row][2 * column] = before.replace(before.strip(), text) if before.strip() else text + before
        return ("\n".join(map("".join, pieces)) + self.end).encode()


def read(content: bytes) -> Table:
    r"""Read a file.

    Parameters
    ----------
    content
        Its bytes.

    Returns
    -------
    Table
        Its grid.

    Raises
    ------
    InputError
        When it is no table of numbers.

    Examples
    --------
    >>> read(b"1 2\n3\n")
    Traceback (most recent call last):
    gridcloze.words.InputError: line 2 has 1 entries, line 1 has 2; all lines need the same number
    """
    try:
        whole = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("this is not text in UTF-8") from None
    text = whole.rstrip("\r\n ")
    separator = next((one for one in (";", ",", "\t") if one in text.partition("\n")[0]), r"(?<=\S)[ \t]+(?=\S)")
    lines = [re.split(f"({separator})", line) for line in text.split("\n")]
    rows = [[_number(entry.strip(), number) for entry in line[::2]] for number, line in enumerate(lines, start=1)]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            line = f"line {number} has {len(row)} entries, line 1 has {len(rows[0])}"
            raise InputError(f"{line}; all lines need the same number")
    return Table(tuple(lines), whole[len(text) :], np.array([rows]))


def _number(entry: str, line: int) -> float:
    if entry in HIDDEN_ENTRIES or entry.lower() == "nan":
        return np.nan
    if not NUMBER.fullmatch(entry):
        raise InputError(f"line {line}: {entry[:100]!r} is no number")
    if float(entry) < 0:
        raise InputError(f"line {line}: {entry} is no class code: these are 0 or more, and -1, ? and nan hide")
    return float(entry)
