"""What several commands share: the record of a training, progress on the console, grids of any kind, and checks."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from ..checkpoint import TrainedPredictor
from ..files import maps
from ..files.arrays import is_stack, open_stack
from ..files.codes import MARKERS
from ..files.grids import Grid, read_grid
from ..files.paths import is_folder
from ..predictor import Predictor
from ..priors.posterior import KnownPrior
from ..words import AnyPath, InputError

MOST_CELLS = 2**18  # of a grid whose cells are looked at one by one
QUICK = 10**6  # cells that are predicted in seconds
ANNOUNCED_SECONDS = 60
SECONDS_UNTOLD = 20  # at most, before a command says for the first time how long it will take

console = Console(stderr=True)


class _Curve(TypedDict):
    """Scores of a training on its way, an entry for each.

    Attributes
    ----------
    steps
        Number of steps so far.
    training
        Bits per hidden cell of training grids; null before the first step.
    held_out
        Bits per hidden cell of held-out grids.
    dropout
        Share of each half of a layer that was dropped, 0 to 1.
    """

    steps: list[int]
    training: list[float | None]
    held_out: list[float]
    dropout: list[float]


class TrainingRecord(TypedDict):
    """What a model file records about its training.

    Attributes
    ----------
    examples
        What was understood of the examples, in a line; missing in models of older versions.
    data
        SHA-256 of the cells of all examples, in hexadecimal digits.
    grids
        Number of example grids; missing if it learned from windows.
    images
        Number of big grids that windows were taken from; missing if it learned from whole grids.
    symmetries
        Symmetries under which grids are equally likely: none, across, along, mirrors, turns or all.
    seed
        Seed of the random numbers.
    minutes
        Length of the training in minutes as it was given; null if it was given in steps, or not at all.
    open
        Whether no length was given, so that it ended by itself; missing in models of older versions.
    steps
        Number of training steps that were done.
    seconds
        Time that the steps took, in seconds.
    interrupted
        Whether Ctrl-C ended the training early.
    held_out_bits_per_hidden_cell
        Cross-entropy of held-out grids by the weights that were kept, in bits per hidden cell.
    verdict
        What the training came to, in a line: learned well, longer would help, too few examples; missing in models of
        older versions.
    curve
        Scores on the way; missing in models of older versions.
    parent
        Hash of the model whose weights it started from; missing if there is none.
    resolution
        Height, width and unit of a pixel of the map; missing if it learned from no map.
    side_data
        SHA-256 of the side maps, for a training with such.
    version
        Version of gridcloze that trained the model.

    Examples
    --------
    >>> sorted(TrainingRecord.__optional_keys__)
    ['curve', 'examples', 'grids', 'images', 'open', 'parent', 'resolution', 'side_data', 'verdict']
    """

    examples: NotRequired[str]
    data: str
    grids: NotRequired[int]
    images: NotRequired[int]
    symmetries: str
    seed: int
    minutes: float | None
    open: NotRequired[bool]
    steps: int
    seconds: float
    interrupted: bool
    held_out_bits_per_hidden_cell: float
    verdict: NotRequired[str]
    curve: NotRequired[_Curve]
    parent: NotRequired[str]
    resolution: NotRequired[list[float | str]]
    side_data: NotRequired[str]
    version: str


@contextlib.contextmanager
def display(title: str) -> Iterator[Callable[[float, str], None]]:
    """Show the progress of a command on stderr: a bar on a terminal, otherwise a line soon and one for each tenth.

    Parameters
    ----------
    title
        What is in progress.

    Yields
    ------
    function
        To be called with the share that is done, 0 to 1, and a message.

    Examples
    --------
    >>> with display("filling") as show:
    ...     show(0.5, "1 of 2 grids")
    """
    if not console.is_terminal:
        yield _line_each_tenth()
        return
    columns = (BarColumn(), "{task.percentage:3.0f} %", TimeRemainingColumn(), TextColumn("{task.fields[message]}"))
    with ProgressBar(TextColumn("{task.description}"), *columns, console=console) as bar:
        task = bar.add_task(title, total=1.0, message="")
        yield lambda share, message: bar.update(task, completed=share, message=message)


def tell(line: str) -> None:
    """Print a line of news on stderr, above the bar of `display`.

    Parameters
    ----------
    line
        What happens.

    Examples
    --------
    >>> tell("calibrating")
    """
    console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _line_each_tenth() -> Callable[[float, str], None]:
    tenths, began, first_share, is_told = 0, time.monotonic(), -1.0, False

    def report(share: float, message: str) -> None:
        nonlocal tenths, first_share, is_told
        first_share = share if first_share < 0 else first_share  # a resumed run starts in the middle
        is_slow = not is_told and time.monotonic() - began > SECONDS_UNTOLD
        if int(10 * share) > tenths or is_slow:
            tenths, is_told = int(10 * share), True
            left = ""
            if share > first_share:
                seconds = (time.monotonic() - began) * max(1 - share, 0) / (share - first_share)
                left = f"{seconds:.0f} s left, "
            console.print(f"{share:4.0%}, {left}{message}", highlight=False)

    return report


def read_puzzle(predictor: TrainedPredictor, path: Path, scale: int | None = None, hidden: AnyPath = "auto") -> Grid:
    """Read a grid for a model.

    Parameters
    ----------
    predictor
        The model, which knows the palette and the size and scale of its examples.
    path, scale, hidden
        As `files.grids.read_grid` takes them.

    Returns
    -------
    Grid
        Its `note` is a line to show, if it is not empty.

    Raises
    ------
    InputError
        When the file cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import Inpainter, checkpoint
    >>> Inpainter(steps=1, depth=1).fit(np.eye(4, dtype=int)[None].repeat(20, axis=0)).save("model.safetensors")
    >>> np.save("puzzle.npy", np.array([[1, -1, 0, 0]]))
    >>> read_puzzle(checkpoint.load("model.safetensors"), Path("puzzle.npy")).cells
    array([[ 1, -1,  0,  0]])
    """
    header = predictor.header
    return read_grid(
        path, header.palette, predictor.size, scale, hidden, model_scale=header.scale, windows=header.windows
    )


def check_pictures(*paths: Path | None) -> None:
    """Check, before any work is done, that pictures can be written.

    Parameters
    ----------
    *paths
        Files to be written; None for a picture that is not wanted.

    Raises
    ------
    InputError
        If a name does not end in .png or .svg, or its folder cannot be written to.

    Examples
    --------
    >>> check_pictures(Path("grid.pdf"), None)
    Traceback (most recent call last):
    gridcloze.words.InputError: grid.pdf: the name of a picture ends in ...
    """
    for path in filter(None, paths):
        from ..pictures import check_picture  # slow to import, and few commands draw

        check_picture(path)


def read_any(
    path: Path,
    predictor: TrainedPredictor,
    hidden: str,
    scale: int | None = None,
    hide_unseen: bool = False,
    most_cells: int | None = None,
) -> Grid:
    """Read one grid of any kind, a map too, with the symbols of a model.

    Parameters
    ----------
    path
        A picture, text, array or GeoTIFF.
    predictor
        The model.
    hidden
        How hidden cells are marked, as `files.grids.read_grid` takes it; of a map "auto" or a second file.
    scale
        Pixels to the side of a cell in a picture; by default it is found.
    hide_unseen
        Whether a map may have any number of cells of classes that the model never saw; by default 1% of the visible
        ones. They count as hidden, and a line on stderr says how many there are.
    most_cells
        Of a grid, for work that looks at each of them; None for any number.

    Returns
    -------
    Grid
        Its cells.

    Raises
    ------
    InputError
        When the file cannot be read, does not fit the model, or has several grids or too many cells.

    Examples
    --------
    >>> from dataclasses import asdict
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.checkpoint import Header
    >>> from gridcloze.files.palettes import Palette
    >>> from gridcloze.networks import NetworkPredictor
    >>> config = BertConfig(height=4, width=4, n_symbols=2, depth=1)
    >>> model = TrainedPredictor(NetworkPredictor(Bert(config)), Header(asdict(config), Palette.default(2)))
    >>> np.save("grids.npy", np.zeros((5, 4, 4), int))
    >>> read_any(Path("grids.npy"), model, "auto")
    Traceback (most recent call last):
    gridcloze.words.InputError: grids.npy has 5 grids, and one is needed here: np.save one of them
    """
    palette = predictor.header.palette
    if maps.is_map(path):
        _refuse_large(path, maps.map_size(path), most_cells)
        found = maps.read_map(path, palette, hidden, 1.0 if hide_unseen else maps.FEW)
        trained = predictor.header.training.get("resolution")
        warning = maps.resolution_warning(maps.Resolution(*trained) if trained else None, found.resolution)
        for line in filter(None, (warning, maps.unseen_warning(found.unseen))):
            tell(f"{path.name}: {line}")
        return Grid(found.cells.astype(np.int64), palette)
    if hide_unseen:
        raise InputError(f"{path}: --hide-unseen is for maps (GeoTIFF)")
    if not is_folder(path) and is_stack(path):
        n = len(open_stack(path, palette))
        raise InputError(f"{path} has {n} grid{'s' * (n != 1)}, and one is needed here: np.save one of them")
    grid = read_puzzle(predictor, path, scale, hidden)
    if grid.note:
        tell(f"{path.name}: {grid.note}")
    _refuse_large(path, grid.cells.shape, most_cells)
    return grid


def _refuse_large(path: Path, size: tuple[int, int], most_cells: int | None) -> None:
    if most_cells is not None and size[0] * size[1] > most_cells:
        cut = "gdal_translate -srcwin COLUMN ROW WIDTH HEIGHT" if maps.is_map(path) else "or crop it"
        many = f"{size[0]} by {size[1]} cells, each of which would be looked at"
        raise InputError(f"{path} has {many}; cut out at most {most_cells**0.5:.0f} by {most_cells**0.5:.0f} ({cut})")


def files_in(*paths: AnyPath | None) -> list[Path]:
    """List the files that a command reads, so that it writes over none of them.

    Parameters
    ----------
    *paths
        Files and folders of files; None, and names of markers of hidden cells, are passed over.

    Returns
    -------
    list
        The files, and those in the folders.

    Examples
    --------
    >>> files_in(Path("grid.png"), "auto", None)
    [...Path('grid.png')]
    """
    named = [Path(path) for path in paths if path is not None and str(path) not in MARKERS]
    return [file for path in named for file in (sorted(path.iterdir()) if is_folder(path) else [path])]


def announce_work(path: Path, predictor: Predictor, grid: Grid, n_queries: int) -> None:
    """Say on stderr before work of more than a minute how long it takes, by the time of a short try.

    Parameters
    ----------
    path
        Where the grid was read.
    predictor
        What answers.
    grid
        The grid.
    n_queries
        How often about the whole grid will be predicted.

    Examples
    --------
    >>> from gridcloze.priors import posterior, squares
    >>> announce_work(Path("cover.tif"), posterior(squares(4, 4, 2, 3)), Grid.from_cells(np.zeros((4, 4), int)), 100)
    """
    height, width = grid.cells.shape
    if n_queries * grid.cells.size > QUICK:
        n, began = max(1, QUICK // 100 // grid.cells.size), time.monotonic()
        predictor.marginals(grid.cells[None].repeat(n, axis=0), grid.hidden[None].repeat(n, axis=0))
        seconds = (time.monotonic() - began) * n_queries / n
        if seconds > ANNOUNCED_SECONDS:
            tell(f"{path.name}: {height} by {width} cells take about {time_in_words(seconds)}; Ctrl-C stops")


def time_in_words(seconds: float) -> str:
    """Write a long time for people.

    Parameters
    ----------
    seconds
        Of a minute or more.

    Returns
    -------
    str
        In minutes or hours.

    Examples
    --------
    >>> time_in_words(100.0), time_in_words(10_000.0)
    ('2 minutes', '3 hours')
    """
    minutes = seconds / 60
    return f"{minutes / 60:.0f} hours" if minutes > 90 else f"{math.ceil(minutes)} minutes"


def check_prior(prior: KnownPrior, path: AnyPath, size: tuple[int, ...], n_symbols: int) -> None:
    """Check that a prior is one of grids like these.

    Parameters
    ----------
    prior
        The prior.
    path
        Its file.
    size
        Height and width of the grids.
    n_symbols
        Their symbols.

    Raises
    ------
    InputError
        When sizes or numbers of symbols differ.

    Examples
    --------
    >>> from gridcloze.priors import squares
    >>> check_prior(squares(4, 4, 2, 3), "prior.json", (5, 5), 2)
    Traceback (most recent call last):
    gridcloze.words.InputError: prior.json is of grids of 4 by 4 cells with 2 symbols; these have 5 by 5 with 2
    """
    if ((prior.height, prior.width), prior.n_symbols) != (tuple(size), n_symbols):
        of_prior = f"grids of {prior.height} by {prior.width} cells with {prior.n_symbols} symbols"
        raise InputError(f"{path} is of {of_prior}; these have {size[0]} by {size[1]} with {n_symbols}")
