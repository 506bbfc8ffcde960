"""What several commands share: the record of a training, progress on the console, and checks of pictures."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NotRequired, TypedDict

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

console = Console(stderr=True)


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
        Symmetries under which grids are equally likely: none, mirrors or all.
    seed
        Seed of the random numbers.
    minutes
        Length of the training in minutes as it was given; null if it was given in steps.
    steps
        Number of training steps that were done.
    seconds
        Time that the steps took, in seconds.
    interrupted
        Whether Ctrl-C ended the training early.
    held_out_bits_per_hidden_cell
        Cross-entropy of held-out grids when it was last measured, in bits per hidden cell.
    resolution
        Height, width and unit of a pixel of the map; missing if it learned from no map.
    version
        Version of gridcloze that trained the model.

    Examples
    --------
    >>> sorted(TrainingRecord.__optional_keys__)
    ['examples', 'grids', 'images', 'resolution']
    """

    examples: NotRequired[str]
    data: str
    grids: NotRequired[int]
    images: NotRequired[int]
    symmetries: str
    seed: int
    minutes: float | None
    steps: int
    seconds: float
    interrupted: bool
    held_out_bits_per_hidden_cell: float
    resolution: NotRequired[list[float | str]]
    version: str


@contextlib.contextmanager
def display(title: str) -> Iterator[Callable[[float, str], None]]:
    """Show the progress of a command on stderr: a bar on a terminal, otherwise a line for each tenth.

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
    tenths, began, first_share = 0, time.monotonic(), -1.0

    def report(share: float, message: str) -> None:
        nonlocal tenths, first_share
        first_share = share if first_share < 0 else first_share  # a resumed run starts in the middle
        if int(10 * share) > tenths:
            tenths = int(10 * share)
            left = ""
            if share > first_share:
                seconds = (time.monotonic() - began) * max(1 - share, 0) / (share - first_share)
                left = f"{seconds:.0f} s left, "
            console.print(f"{share:4.0%}, {left}{message}", highlight=False)

    return report


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
