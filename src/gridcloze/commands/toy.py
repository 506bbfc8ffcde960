"""`gridcloze toy`: example grids of a toy prior, and puzzles."""

import re
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np

from ..files.arrays import write_stack
from ..files.grids import Grid, save_grid
from ..files.notes import Form, check_note, number, one_of, parse_note, text, whole
from ..files.palettes import Palette
from ..files.paths import (
    ARRAYS,
    MAPS,
    SUFFIXES,
    WRITTEN_ARRAYS,
    check_writable,
    is_signed,
    kind_of,
    made_folder,
    only_one,
    put_in_place,
    read_bytes,
    remove_leftovers,
    scratch_folder,
    write_json,
)
from ..files.png import MAX_PIXELS
from ..memory import refuse_beyond_memory
from ..priors.hiding import evaluation_hiding
from ..priors.known import Toy, make_toy
from ..priors.posterior import KnownPrior
from ..shapes import Cells
from ..words import HIDDEN, InputError, about

CELLS = whole(0, 2**31)
SPEC: Form = {  # what prior.json holds
    "name": text(),
    "height?": CELLS,
    "width?": CELLS,
    "smallest?": CELLS,
    "largest?": one_of(None, CELLS),
    "outline?": one_of(False, True),
    "inverted?": one_of(False, True),
    "largest_period?": CELLS,
    "coupling?": number(-10, 10),
    "field?": number(-10, 10),
}

MOST_NOTE_BYTES = 2**16
FOLDERS = ("", "truth", "puzzles")
NUMBERED = re.compile(r"\d{5,}\.png")


class ToyReport(TypedDict):
    """What `gridcloze toy` wrote.

    Attributes
    ----------
    path
        Folder or file of the grids.
    grids
        Number of example grids.
    prior
        Name, height and width (cells) of the prior, and its own options: what prior.json holds.

    Examples
    --------
    >>> ToyReport(path="grids.npy", grids=5, prior={"name": "mirror", "height": 3, "width": 3})["grids"]
    5
    """

    path: str
    grids: int
    prior: dict[str, Any]


def toy(prior: Toy, out: Path, n: int, n_puzzles: int, seed: int, scale: int, overwrite: bool = False) -> ToyReport:
    """Write example grids of a toy prior, a note of which prior it is, and puzzles.

    Parameters
    ----------
    prior
        Where the grids come from.
    out
        A new or empty folder for PNG files, or one .npy or .npz file for a stack.
    n
        Number of example grids.
    n_puzzles
        Number of puzzles in the folder `puzzles` of `out`, with their true grids in `truth`; none next to a stack.
    seed
        Seed of the random numbers.
    scale
        Side of a cell in pixels, in PNG files.
    overwrite
        Whether to replace an older toy. All of its grids are removed, and no others.

    Returns
    -------
    ToyReport
        What was written.

    Raises
    ------
    InputError
        If a number is negative, there are no grids, or pictures would be too large to be read; or if `out` cannot be
        written, or holds other grids or an older toy that is not to be replaced.

    Examples
    --------
    >>> from gridcloze import priors
    >>> report = toy(priors.squares(4, 4, 2, 3), Path("examples"), n=3, n_puzzles=1, seed=0, scale=8)
    >>> sorted(path.name for path in Path("examples").iterdir())
    ['00000.png', '00001.png', '00002.png', 'prior.json', 'puzzles', 'truth']
    """
    if n < 1 or n_puzzles < 0:
        raise InputError("the number of grids must be 1 or more, the number of puzzles 0 or more")
    n_cells, is_stack = prior.height * prior.width, out.suffix in ARRAYS
    n_bytes = 2 * max(n, n_puzzles) * n_cells * np.dtype(np.int64).itemsize
    refuse_beyond_memory(n_bytes, f"to make {n} grids of {prior.height} by {prior.width} cells")
    if is_stack:
        kind_of(out, WRITTEN_ARRAYS)
    if not is_stack and n_cells * scale**2 > MAX_PIXELS:
        raise InputError(
            f"pictures of {n_cells * scale**2} pixels are more than {MAX_PIXELS}: choose a smaller --scale"
        )
    check_writable(out if is_stack else prior_file(out))
    folder = prior_file(out).parent
    with made_folder(folder), only_one(out):
        remove_leftovers(folder)
        old = older_toy(out, overwrite)
        generator = np.random.default_rng(seed)
        cells = prior.sample(n, generator)
        for path in old:
            path.unlink()
        if is_stack:  # the prior comes first, as it says whose the stack is
            write_json(prior_file(out), prior.spec)
            write_stack(out, cells)
        else:
            _write_grids(out, cells, scale)
            truth = prior.sample(n_puzzles, generator)
            hidden = evaluation_hiding(truth.shape, generator)
            _write_grids(out / "truth", truth, scale)
            _write_grids(out / "puzzles", np.where(hidden, HIDDEN, truth), scale)
            write_json(prior_file(out), prior.spec)
    return {"path": str(out), "grids": n, "prior": cast(dict[str, Any], prior.spec)}


def older_toy(out: Path, overwrite: bool) -> list[Path]:
    """Find the files of an older toy that a new one would replace.

    Parameters
    ----------
    out
        Where the new one will be: a folder, or a stack in an array file.
    overwrite
        Whether an older toy may be replaced.

    Returns
    -------
    list of Path
        The grids and the prior.json of the older toy.

    Raises
    ------
    InputError
        If there are grids that no toy wrote, or an older toy that is not to be replaced.

    Examples
    --------
    >>> np.save("grids.npy", np.zeros((3, 4, 4), int))
    >>> older_toy(Path("grids.npy"), overwrite=True)
    Traceback (most recent call last):
    gridcloze.words.InputError: grids.npy is not of a toy, and toys do not mix with other grids: choose another name
    """
    prior = prior_file(out)
    is_toy = read_prior(prior, required=False) is not None
    if out.suffix in ARRAYS:
        grids = [out] if out.exists() else []
        foreign = [] if is_toy else grids
    else:
        files = [path for name in FOLDERS if (out / name).is_dir() for path in sorted((out / name).iterdir())]
        grids = [path for path in files if path.suffix.lower() in SUFFIXES + MAPS and not path.name.startswith(".")]
        foreign = [path for path in grids if not (NUMBERED.fullmatch(path.name) and is_signed(path))]
    if foreign:
        raise InputError(f"{foreign[0]} is not of a toy, and toys do not mix with other grids: choose another name")
    old = [*grids, *([prior] if is_toy else [])]
    if old and not overwrite:
        raise InputError(f"{old[0]} is there already: choose another name, or replace the older toy with --overwrite")
    return old


def _write_grids(folder: Path, cells: Cells, scale: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder) as scratch:
        for index, grid in enumerate(cells):
            save_grid(scratch / f"{index:05d}.png", Grid.from_cells(grid, Palette.default(2), scale))
        put_in_place(scratch, folder)


def prior_file(examples: Path) -> Path:
    """Name the file that says which prior example grids come from.

    Parameters
    ----------
    examples
        A folder of grids, or a stack in an array file.

    Returns
    -------
    Path
        The file; it exists if `toy` wrote the grids.

    Examples
    --------
    >>> prior_file(Path("grids.npy")).name, prior_file(Path("examples")).name
    ('grids.prior.json', 'prior.json')
    """
    return examples.with_suffix(".prior.json") if examples.suffix in ARRAYS else examples / "prior.json"


def read_prior(path: Path, required: bool) -> KnownPrior | None:
    """Read which prior grids come from.

    Parameters
    ----------
    path
        A prior.json that `toy` wrote.
    required
        Whether the file must exist.

    Returns
    -------
    KnownPrior or None
        The prior; None if there is no such file.

    Raises
    ------
    InputError
        If the file names no toy prior, or is missing although it is required.

    Examples
    --------
    >>> _ = Path("prior.json").write_text('{"name": "mirror", "height": 3, "width": 4}')
    >>> read_prior(Path("prior.json"), required=True).width
    4
    """
    if not path.is_file():
        if required:
            raise InputError(f"{path}: no such file; it must be a prior.json that `gridcloze toy` wrote")
        return None
    with about(path):
        spec = parse_note(read_bytes(path, MOST_NOTE_BYTES))
        check_note(spec, SPEC)
        try:
            return make_toy(**spec)
        except TypeError as error:  # an option that this prior lacks, or a null that is not for it
            raise InputError(f"names no toy prior ({error})") from None
