"""GSLIB text, also called GeoEAS: a title, the number of variables, their names, and a line of numbers for each cell.

The first cell is that of the south-west corner, and the numbers go east first. The format does not say how many cells
are in a row; by convention the title does, as "250 250 1", or in brackets as "strebelle (250x250x1)".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from ..words import InputError

MISSING = (-99.0, -999.0, -9999.0, -99999.0, -997799.0, -9966699.0)  # -997799 and -9966699 are of SGeMS
SIZE = re.compile(r"(?<![\d.])(\d+)(?:\s*[x×,]\s*|\s+)(\d+)(?:(?:\s*[x×,]\s*|\s+)(\d+))?(?![\d.])")
GRID_LIKE = "write its size into the title, as 'nx ny nz' (columns, rows and 1)"


@dataclass(frozen=True)
class Table:
    r"""Hold the grids of a file with all that is written back as it was.

    Parameters
    ----------
    lines
        Of the file, with their ends.
    first
        Which line has the first cell.
    names
        Of the variables.
    values
        The grids (variable, height, width), north up; NaN where a number is missing.
    missing
        What stands for a missing number.

    Examples
    --------
    >>> table = read(b"2 1 1\n1\nfacies\n3\n-99\n")
    >>> table.names, table.values.tolist()
    (('facies',), [[[3.0, nan]]])
    """

    lines: tuple[str, ...]
    first: int
    names: tuple[str, ...]
    values: Float[np.ndarray, "variable height width"]
    missing: str

    def with_grid(
        self, values: Shaped[np.ndarray, "height width"], more: Mapping[str, Shaped[np.ndarray, "height width"]]
    ) -> bytes:
        r"""Write other values of the only variable, and more variables; each number that stays is as it was.

        Parameters
        ----------
        values
            Of the only variable, NaN where missing.
        more
            Grids by their names.

        Returns
        -------
        bytes
            Of the file.

        Examples
        --------
        >>> read(b"2 1 1\n1\nfacies\n3.0\n-99\n").with_grid(np.array([[3, 4]]), {})
        b'2 1 1\n1\nfacies\n3.0\n4\n'
        """
        (before,), lines = self.values, list(self.lines)
        columns = [_in_order(grid) for grid in more.values()]
        of_cells = zip(_in_order(before), _in_order(values), strict=True)
        for number, (old, new) in enumerate(of_cells, start=self.first):
            line, end = _without_end(lines[number])
            is_same = old == new or (np.isnan(old) and np.isnan(new))
            text = line if is_same else line.replace(line.strip(), self._text(new))
            others = [self._text(column[number - self.first]) for column in columns]
            lines[number] = " ".join([text, *others]) + end
        if more:
            line, end = _without_end(lines[1])
            lines[1] = line.replace(line.split()[0], str(1 + len(more)), 1) + end
            lines[self.first : self.first] = [name + (end or "\n") for name in more]
        return "".join(lines).encode("latin-1")

    def _text(self, value: float) -> str:
        return self.missing if np.isnan(value) else f"{value:.6g}" if value % 1 else str(int(value))


def read(content: bytes) -> Table:
    r"""Read a file.

    Parameters
    ----------
    content
        Its bytes.

    Returns
    -------
    Table
        Its grids.

    Raises
    ------
    InputError
        When it is none, is not a flat grid, or does not say its size.

    Examples
    --------
    >>> read(b"facies (1x2x1)\n1\nfacies\n0\n1\n").values.tolist()
    [[[1.0], [0.0]]]
    """
    lines = content.decode("latin-1").splitlines(keepends=True)
    while lines and not lines[-1].strip():
        lines.pop()
    count = lines[1].split()[:1] if len(lines) > 1 else []
    if not count or not count[0].isdigit() or not int(count[0]):
        raise InputError("this is no GSLIB file: its second line is not the number of variables")
    first = 2 + int(count[0])
    names = tuple(line.strip() for line in lines[2:first])
    numbers = _numbers(lines[first:], first, len(names))
    height, width = _size(lines[0], len(numbers))
    is_missing = np.isin(numbers, MISSING)
    found = numbers[is_missing]
    values = np.where(is_missing, np.nan, numbers).T.reshape(len(names), height, width)[:, ::-1]
    return Table(tuple(lines), first, names, values, f"{found[0]:.0f}" if found.size else "-99")


def _numbers(lines: Sequence[str], first: int, n: int) -> Float[np.ndarray, "cell variable"]:
    rows = [line.split() for line in lines]
    for number, row in enumerate(rows, start=first + 1):
        if len(row) != n:
            raise InputError(f"line {number} has {len(row)} numbers, and the file {n} variables")
    try:
        return np.array(rows, dtype=np.float64).reshape(len(rows), n)
    except ValueError as error:
        raise InputError(f"a cell is no number: {error}") from None


def _size(title: str, n_cells: int) -> tuple[int, int]:
    """Height and width by the title."""
    sizes = [tuple(int(side or 1) for side in found.groups()) for found in SIZE.finditer(title)]
    for width, height, depth in sizes:
        if width * height * depth == n_cells and n_cells:
            if depth != 1:
                raise InputError(f"it has {depth} layers ({width}x{height}x{depth}), and only flat grids can be read")
            return height, width
    if sizes:
        width, height, depth = sizes[0]
        raise InputError(f"its title says {width}x{height}x{depth} cells, and it has {n_cells}: {GRID_LIKE}")
    raise InputError(f"its title does not say how many of its {n_cells} cells are in a row: {GRID_LIKE}")


def _in_order(grid: Shaped[np.ndarray, "height width"]) -> Float[np.ndarray, "cell"]:
    return np.asarray(grid[::-1], dtype=np.float64).ravel()


def _without_end(line: str) -> tuple[str, str]:
    bare = line.rstrip("\r\n")
    return bare, line[len(bare) :]
