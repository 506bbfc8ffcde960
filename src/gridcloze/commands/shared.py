"""What several commands share: the console, progress, pictures to be written."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

Report = dict[str, Any]
console = Console(stderr=True)


@contextlib.contextmanager
def display(title: str) -> Iterator[Callable[[float, str], None]]:
    """A bar on a terminal, elsewhere a line for each tenth of the way; to be told the share that is done, and news."""
    if not console.is_terminal:
        yield _line_each_tenth()
        return
    columns = (BarColumn(), "{task.percentage:3.0f} %", TimeRemainingColumn(), TextColumn("{task.fields[news]}"))
    with ProgressBar(TextColumn("{task.description}"), *columns, console=console) as bar:
        task = bar.add_task(title, total=1.0, news="")
        yield lambda share, news: bar.update(task, completed=share, news=news)


def _line_each_tenth() -> Callable[[float, str], None]:
    shown, began, first = 0, time.monotonic(), -1.0

    def report(share: float, news: str) -> None:
        nonlocal shown, first
        first = share if first < 0 else first  # a resumed run starts in the middle
        if int(10 * share) > shown:
            shown = int(10 * share)
            left = ""
            if share > first:
                seconds = (time.monotonic() - began) * max(1 - share, 0) / (share - first)
                left = f"{seconds:.0f} s left, "
            console.print(f"{share:4.0%}, {left}{news}", highlight=False)

    return report


def check_pictures(*paths: Path | None) -> None:
    for path in filter(None, paths):
        from ..pictures import check_picture  # slow to import, and few ask for a picture

        check_picture(path)


def or_none(number: float) -> float | None:
    """JSON has no NaN."""
    return float(number) if np.isfinite(number) else None


def figure(number: float | None, form: str) -> str:
    return "–" if number is None else format(number, form)
