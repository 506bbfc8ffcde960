"""`gridcloze models`: the models that come with gridcloze, and puzzles to try them on."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..checkpoint import load
from ..words import InputError

MODELS = {  # what each fills, and what its symbols are
    "channels": ("sand channels in a background, of any size", ["background", "channel"]),
    "digits": ("handwritten digits", ["background", "ink"]),
    "squares": ("one white square on black, whose exact posterior is known", ["black", "white"]),
}
MISSING = "the models lie in the folder models of a clone of gridcloze, and there is none here: run this in a clone"


class ModelsReport(TypedDict):
    """A model that comes with gridcloze.

    Attributes
    ----------
    name
        Its name.
    fills
        What it fills, in words.
    height, width
        Size of its grids or, if it fills grids of any size, of its windows, in cells.
    symbols
        Names of the symbols, in order.
    file
        Path of the ONNX file, which needs no torch.
    bytes
        Size of that file.
    puzzles
        Paths of puzzles to try it on.

    Examples
    --------
    >>> "puzzles" in ModelsReport.__required_keys__
    True
    """

    name: str
    fills: str
    height: int
    width: int
    symbols: list[str]
    file: str
    bytes: int
    puzzles: list[str]


def models() -> list[ModelsReport]:
    """List the models that come with gridcloze.

    Returns
    -------
    list of ModelsReport
        In alphabetical order.

    Raises
    ------
    InputError
        If this is no clone of gridcloze, and gridcloze was not installed from one that is still there.

    Examples
    --------
    >>> [(model["name"], len(model["puzzles"])) for model in models()]
    [('channels', 2), ('digits', 2), ('squares', 2)]
    """
    folder = next((place for place in _places() if (place / "squares.onnx").is_file()), None)
    if folder is None:
        raise InputError(MISSING)
    return [_report_on(folder, name) for name in MODELS]


def _places() -> list[Path]:
    """Where the models may lie: here, or in the clone that gridcloze was installed from (PEP 610)."""
    try:
        origin = json.loads(distribution("gridcloze").read_text("direct_url.json") or "{}").get("url", "")
    except PackageNotFoundError:
        origin = ""
    return [Path("models"), Path(url2pathname(urlsplit(origin).path)) / "models"]


def _report_on(folder: Path, name: str) -> ModelsReport:
    (fills, symbols), file = MODELS[name], folder / f"{name}.onnx"
    height, width = load(file).size
    puzzles = [str(path) for path in sorted((folder / "puzzles").glob(f"{name}-*.png"))]
    size = {"height": height, "width": width, "bytes": file.stat().st_size}
    return ModelsReport(name=name, fills=fills, symbols=symbols, file=str(file), puzzles=puzzles, **size)


def print_models(reports: list[ModelsReport]) -> None:
    """Print a paragraph for each model, with a command that fills its puzzles.

    Parameters
    ----------
    reports
        What `models` returns.

    Examples
    --------
    >>> report = {"name": "digits", "fills": "handwritten digits", "height": 28, "width": 28, "bytes": 2_200_000}
    >>> more = {"symbols": ["background", "ink"], "file": "m/digits.onnx", "puzzles": ["m/a.png", "m/b.png"]}
    >>> print_models([report | more])
    digits: handwritten digits
      28 by 28 cells of background or ink, 2.1 MiB
      gridcloze fill m/digits.onnx m/a.png m/b.png -o filled-digits --samples 4
    """
    for report in reports:
        size = f"{report['height']} by {report['width']} cells of {' or '.join(report['symbols'])}"
        options = f"-o filled-{report['name']} --samples 4"
        print(f"{report['name']}: {report['fills']}")
        print(f"  {size}, {report['bytes'] / 2**20:.1f} MiB")
        print(f"  gridcloze fill {report['file']} {' '.join(report['puzzles'])} {options}")
