"""`gridcloze info`: what a model file records about itself."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from .. import checkpoint
from ..curve import Curve
from ..files.paths import refuse_replacing
from ..words import InputError
from .shared import TrainingRecord, check_pictures


class _Sizes(TypedDict):
    """Sizes of a network.

    Attributes
    ----------
    height, width
        Size of the grids or windows that it was trained on, in cells.
    n_symbols
        Number of symbols.
    patch
        Side of a patch in cells.
    depth
        Number of layers.
    embedding_size
        Length of the vector of a patch.
    heads
        Number of attention heads in a layer.
    channels
        Length of the vector of a cell on the path from cell to cell; 0 in models of version 0.2.
    side
        Numbers that the side maps give for each cell; not there if there are none.
    """

    height: int
    width: int
    n_symbols: int
    patch: int
    depth: int
    embedding_size: int
    heads: int
    channels: int
    side: NotRequired[int]


class _Temperatures(TypedDict):
    """How a model is calibrated: a temperature for each of some distances, with straight lines between.

    Attributes
    ----------
    distances
        Of hidden cells from the nearest visible one, in ascending order; those that touch are at distance 1.
    hidden_fractions
        Instead of distances, in models of version 0.2: shares of hidden cells, 0 to 1, in ascending order.
    temperatures
        By what logits are divided at each.
    """

    distances: NotRequired[list[float]]
    hidden_fractions: NotRequired[list[float]]
    temperatures: list[float]


class _SideMap(TypedDict):
    """A side map of a model.

    Attributes
    ----------
    name
        By which it is checked.
    classes
        The values in the examples; empty for a map of numbers.
    mean, deviation
        Mean and standard deviation in the examples, of a map of numbers.
    """

    name: str
    classes: list[float]
    mean: float
    deviation: float


class InfoReport(TypedDict):
    """What a model file records about itself.

    Attributes
    ----------
    path
        The model file.
    model
        Hash of the model: SHA-256, in hexadecimal digits.
    config
        Sizes of the network.
    palette
        Colour of each symbol, as #rrggbbaa.
    characters
        Character of each symbol in text files.
    scale
        Side of a cell in the pictures it was trained on, in pixels.
    training
        Record of the training.
    calibration
        Temperatures from held-out grids.
    values
        Class code of each symbol; missing if they are 0, 1, 2, …
    side
        The side maps of the model, in order; not there if it has none.

    Examples
    --------
    >>> sorted(InfoReport.__required_keys__)
    ['calibration', 'characters', 'config', 'model', 'palette', 'path', 'scale', 'training']
    """

    path: str
    model: str
    config: _Sizes
    palette: list[str]
    characters: str
    scale: int
    training: TrainingRecord
    calibration: _Temperatures
    values: NotRequired[list[int]]
    side: NotRequired[list[_SideMap]]


def info(model_path: Path, picture: Path | None = None, dark: bool = False, overwrite: bool = False) -> InfoReport:
    """Report what a model file records about itself.

    Parameters
    ----------
    model_path
        A model file that `train` or `export` wrote.
    picture
        A .png or .svg file to write, with the curve of the training.
    dark
        Draw on a dark ground.
    overwrite
        Whether an older picture of gridcloze may be replaced.

    Returns
    -------
    InfoReport
        Sizes, palette, training and calibration.

    Raises
    ------
    InputError
        If it is no model file, it has no curve to draw, or the picture cannot be written.

    Examples
    --------
    >>> from gridcloze import priors
    >>> from gridcloze.commands.toy import toy
    >>> from gridcloze.commands.train import Source, train
    >>> from gridcloze.training import Budget
    >>> written = toy(priors.squares(4, 4, 2, 3), Path("examples"), n=20, n_puzzles=0, seed=0, scale=1)
    >>> trained = train(Source(Path("examples")), Path("model.safetensors"), Budget(steps=1), seed=0, depth=1)
    >>> report = info(Path("model.safetensors"))
    >>> report["palette"], report["config"]["depth"], report["training"]["grids"]
    (['#000000ff', '#ffffffff'], 1, 20)
    """
    refuse_replacing([picture], [model_path], overwrite)
    header = checkpoint.read_header(model_path)
    check_pictures(picture)
    if picture is not None:
        from ..pictures import write_curve

        curve = Curve.from_json(header.training.get("curve") or Curve().to_json())
        if curve.best is None:
            raise InputError(f"{model_path}: no curve of its training is recorded, as models of 0.3 and later have it")
        write_curve(picture, curve, dark)
    side = [cast(_SideMap, asdict(channel) | {"classes": list(channel.classes)}) for channel in header.side]
    report: InfoReport = {
        "path": str(model_path),
        "model": header.hash,
        "config": cast(_Sizes, header.config),
        "palette": ["#{:02x}{:02x}{:02x}{:02x}".format(*colour) for colour in header.palette.colours],
        "characters": header.palette.characters,
        "scale": header.scale,
        "training": cast(TrainingRecord, header.training),
        "calibration": cast(_Temperatures, header.calibration.to_json()),
    }
    if header.palette.values:
        report["values"] = list(header.palette.values)
    if side:
        report["side"] = side
    return report


def print_info(report: InfoReport) -> None:
    """Print a line for each key of the report.

    Parameters
    ----------
    report
        What `info` returns.

    Examples
    --------
    >>> print_info({"path": "model.onnx", "palette": ["#000000ff", "#ffffffff"], "config": {"depth": 6, "patch": 2}})
    path: model.onnx
    palette: #000000ff, #ffffffff
    config: depth 6, patch 2
    """
    for key, value in cast(dict[str, Any], report).items():
        print(f"{key}: {_in_words([_side_in_words(one) for one in value] if key == 'side' else value)}")
    if curve := report.get("training", {}).get("curve"):
        print(f"curve: {Curve.from_json(curve).sparkline}")


def _side_in_words(side: _SideMap) -> str:
    if side["classes"]:
        return f"{side['name']} (classes {' '.join(f'{one:g}' for one in side['classes'])})"
    return f"{side['name']} (numbers, mean {side['mean']:.4g}, deviation {side['deviation']:.4g})"


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        told = {key: inside for key, inside in value.items() if key != "curve"}  # which has a line of its own
        return ", ".join(f"{key.replace('_', ' ')} {_in_words(inside)}" for key, inside in told.items())
    return ", ".join(map(_in_words, value)) if isinstance(value, list) else str(value)
