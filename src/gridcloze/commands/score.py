"""`gridcloze score`: how good a model is on held-out grids."""

from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, Protocol, TypedDict, TypeVar, cast, runtime_checkable

import numpy as np
from jaxtyping import Int
from rich import box
from rich.console import Console
from rich.table import Table

from .. import checkpoint, filling, scoring
from ..baselines import NeighbourTable
from ..checkpoint import TrainedPredictor
from ..decoding import ONE_AT_A_TIME
from ..files import maps
from ..files.arrays import is_stack
from ..files.grids import read_examples, read_images
from ..files.paths import is_folder, refuse_replacing
from ..files.sides import read_sides
from ..lookup import Lookup
from ..predictor import Predictor, entropy_bits
from ..priors.hiding import conditions, evaluation_hiding
from ..priors.known import posterior
from ..priors.posterior import ExactPosterior, KnownPrior
from ..puzzles import Puzzles
from ..shapes import AnySizeGrid, Cells, Hidden, Marginals, Samples
from ..side import Side, SidedPredictor, of_rows, with_side
from ..words import HIDDEN, InputError, finite_or_none
from .shared import (
    TrainingRecord,
    check_pictures,
    check_prior,
    files_in,
    read_any,
    tell,
)
from .toy import prior_file, read_prior

OPEN_PUZZLE_BITS = 8.0  # the marginal entropies of the puzzle that is sampled many times add up to about this
OPEN_PUZZLE_SAMPLES = 1000
MOST_WINDOWS = 512  # of larger grids
Each = TypeVar("Each")
MOST_GRIDS, MOST_CELLS = 200, 2**18  # of a condition
MOST_LEARNED = 2**21  # cells of the examples that baselines learn from
ALL_SIDES = "all together"
SAMPLED = ("model", "exact", "lookup")
CALIBRATION_KEYS = ("expected_calibration_error", "top_label_calibration_error", "brier")
LABELS = {  # short enough for six predictors in 80 columns
    "bits_per_hidden_cell": "bits per cell",
    "error": "cells wrong",
    "determined_error": "determined wrong",
    "grids_all_determined_right": "grids all correct",
    "expected_calibration_error": "calibration, all",
    "top_label_calibration_error": "calibration, top",
    "brier": "Brier score",
    "legal_one_at_a_time": "legal, one by one",
}


class _Scores(TypedDict):
    """Scores of one predictor; which of them there are depends on what is known of the grids.

    Attributes
    ----------
    bits_per_hidden_cell
        Cross-entropy: the mean of -log2 of the probability of the true symbol, in bits per hidden cell; null, as every
        score, if no true symbol is known or it is infinite.
    error
        Share of hidden cells whose most likely symbol is wrong, 0 to 1.
    excess_bits
        Mean Kullback-Leibler divergence from the exact posterior, in bits per hidden cell; needs the prior.
    determined_error
        Share of the cells that the exact posterior determines whose most likely symbol is wrong, 0 to 1, null if there
        are none; needs the prior.
    grids_all_determined_right
        Share of grids in which every determined cell is predicted correctly, 0 to 1, null if there are none; needs the
        prior.
    expected_calibration_error
        Mean distance between predicted probabilities of all symbols and observed frequencies, 0 to 1; small if there
        are many symbols, since most probabilities are then near 0.
    top_label_calibration_error
        The same of the most likely symbol of each cell: how far confidence is from the share that is right (Guo et al.
        2017), 0 to 1.
    brier
        Mean squared distance of the predicted distribution from the true symbol, 0 to 2.
    legal_samples
        Share of joint samples that are grids of the prior and agree with the visible cells, 0 to 1; needs the prior.
    legal_one_at_a_time
        The same for samples that reveal one random cell in each forward pass; only of the model, needs the prior.
    total_variation
        Total variation between many samples of one uncertain puzzle and its exact posterior, 0 to 1; needs the prior.
    """

    bits_per_hidden_cell: float | None
    error: float
    excess_bits: NotRequired[float | None]
    determined_error: NotRequired[float | None]
    grids_all_determined_right: NotRequired[float | None]
    expected_calibration_error: float
    top_label_calibration_error: float
    brier: float
    legal_samples: NotRequired[float]
    legal_one_at_a_time: NotRequired[float]
    total_variation: NotRequired[float]


class _Calibration(TypedDict):
    """How well the probabilities of one predictor are calibrated.

    Attributes
    ----------
    expected_calibration_error, top_label_calibration_error
        As in `scores`.
    brier
        As in `scores`.
    by_symbol
        Expected calibration error of the probabilities of each symbol, 0 to 1.
    by_hidden_fraction
        Expected calibration error by the share of hidden cells in a grid, in quarters such as 0.25…0.5; quarters
        without grids are missing.
    """

    expected_calibration_error: float
    top_label_calibration_error: float
    brier: float
    by_symbol: list[float | None]
    by_hidden_fraction: dict[str, float]


class _ConditionScores(TypedDict):
    """Scores of one predictor under one condition.

    Attributes
    ----------
    bits_per_hidden_cell, error
        As in `scores`; null if no hidden cell is known.
    """

    bits_per_hidden_cell: float | None
    error: float | None


class _Condition(TypedDict):
    """What was hidden under one condition, and how well it was predicted.

    Attributes
    ----------
    grids
        Number of grids.
    hidden_cells
        Number of hidden cells that were scored, in all grids together.
    scores
        Scores by predictor: model, exact, lookup, nearest cell and neighbour table, as in `scores`.
    """

    grids: int
    hidden_cells: int
    scores: dict[str, _ConditionScores]


class _Symbol(TypedDict):
    """How well one symbol is predicted by the model.

    Attributes
    ----------
    name
        Its name in the palette, or its class code, colour or character.
    share
        Its share among the hidden cells, 0 to 1.
    recall
        Share of its hidden cells that are predicted to have it (producer's accuracy), 0 to 1; null if it has none.
    precision
        Share of the hidden cells predicted to have it that do (user's accuracy), 0 to 1; null if there are none.
    expected_calibration_error
        Expected calibration error of its probabilities, 0 to 1.
    """

    name: str
    share: float
    recall: float | None
    precision: float | None
    expected_calibration_error: float


class _SideWorth(TypedDict):
    """What a side map is worth.

    Attributes
    ----------
    name
        Of the side map; "all together" for all.
    bits_per_hidden_cell
        How many bits more a hidden cell costs when it is made unknown.
    standard_error
        Of these bits, from the differences between grids.
    """

    name: str
    bits_per_hidden_cell: float
    standard_error: float


class ScoreReport(TypedDict):
    """What `gridcloze score` measured.

    Attributes
    ----------
    model
        Hash of the model: SHA-256, in hexadecimal digits.
    training
        Record of the training.
    seed
        Seed of the random numbers.
    grids
        Number of held-out grids, or of windows of larger ones.
    hidden_fraction
        Share of all cells that were hidden, 0 to 1.
    scores
        Scores by predictor, with the usual mix of hidden cells: model, uncalibrated (the model without its
        temperatures), exact (if the prior is known) and, if examples are given, lookup, nearest cell and neighbour
        table.
    calibration
        Calibration by predictor.
    conditions
        Scores by what is hidden: single cells, squares, all but a share of the cells, halves, and the usual mix.
    symbols
        How well the model predicts each symbol, with the usual mix of hidden cells.
    side
        What each side map is worth, and all together, on the usual mix; for a model that has such.

    Examples
    --------
    >>> sorted(ScoreReport.__required_keys__)
    ['calibration', 'conditions', 'grids', 'hidden_fraction', 'model', 'scores', 'seed', 'symbols', 'training']
    """

    model: str
    training: TrainingRecord
    seed: int
    grids: int
    hidden_fraction: float
    scores: dict[str, _Scores]
    calibration: dict[str, _Calibration]
    conditions: dict[str, _Condition]
    symbols: list[_Symbol]
    side: NotRequired[list[_SideWorth]]


@runtime_checkable
class _Sampler(Protocol):
    """A Predictor with joint samples of its own."""

    def sample(self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator) -> Samples: ...


def score(
    model_path: Path,
    held_out: Path,
    examples: Path | None,
    prior_path: Path | None,
    sampled_grids: int,
    seed: int,
    picture: Path | None = None,
    dark: bool = False,
    overwrite: bool = False,
    hide_unseen: bool = False,
    side: Sequence[str] = (),
) -> ScoreReport:
    """Hide cells of held-out grids and score the predicted distributions of these cells.

    Parameters
    ----------
    model_path
        A model file.
    held_out
        Whole grids that the model has not seen: a folder, or a stack in an array file. For a model that learned from
        windows also maps, and other grids of any sizes: they are cut into windows side by side, of which those with a
        known cell count, 512 of them at most.
    examples
        Grids for baselines to learn from, usually those that the model was trained on; for a model of windows of any
        sizes. None for no baselines.
    prior_path
        The prior.json of the held-out grids; None for the one next to them, if there is one.
    sampled_grids
        Number of grids that one joint sample each is taken of, if the prior is known.
    seed
        Seed of the random numbers.
    picture
        A .png or .svg file for reliability curves.
    dark
        Whether the picture has a dark background.
    overwrite
        Whether an older picture of gridcloze is replaced.
    hide_unseen
        Whether a map may have more than 1% of cells of classes that the model never saw, which count as unknown.
    side
        Side maps, as `named_sides` takes them; ["none"] for unknown ones.

    Returns
    -------
    ScoreReport
        Every score of the model, and of what it is compared with.

    Raises
    ------
    InputError
        If a file cannot be read or the picture written, the examples or the prior have another size than the held-out
        grids, or no known cell was hidden.

    Examples
    --------
    >>> from gridcloze import priors
    >>> from gridcloze.commands.toy import toy
    >>> from gridcloze.commands.train import Source, train
    >>> from gridcloze.training import Budget
    >>> written = toy(priors.squares(4, 4, 2, 3), Path("examples"), n=20, n_puzzles=0, seed=0, scale=1)
    >>> trained = train(Source(Path("examples")), Path("model.safetensors"), Budget(steps=1), seed=0, depth=1)
    >>> report = score(Path("model.safetensors"), Path("examples"), None, None, sampled_grids=0, seed=0)
    >>> list(report["scores"])
    ['model', 'uncalibrated', 'exact']
    """
    refuse_replacing([picture], files_in(model_path, held_out, examples, prior_path), overwrite)
    model = checkpoint.load(model_path)
    check_pictures(picture)
    cells, maps_of = _grids_of_one_size(held_out, model, hide_unseen, side)
    bound = with_side(model, maps_of)
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(seed)) | (cells < 0)
    if not (hidden & (cells >= 0)).any():
        raise InputError(f"{held_out}: none of the cells that were hidden is known, so there is nothing to score")
    prior = read_prior(prior_path or prior_file(held_out), required=prior_path is not None)
    if prior is not None:
        check_prior(prior, prior_path or prior_file(held_out), cells.shape[1:], model.n_symbols)
    predictors = _predictors(model, maps_of, prior) | _baselines(examples, model, held_out, cells, hide_unseen)
    marginals = {name: predictor.marginals(cells, hidden) for name, predictor in predictors.items()}
    calibration = {name: scoring.calibration(of_one, cells, hidden) for name, of_one in marginals.items()}
    scores = {
        name: scoring.score(of_one, cells, hidden, marginals.get("exact"))
        | {key: calibration[name][key] for key in CALIBRATION_KEYS}
        for name, of_one in marginals.items()
    }
    if picture is not None:
        _draw_reliability(picture, marginals, cells, hidden, dark)
    if prior is not None and sampled_grids:
        _score_samples(scores, predictors, prior, cells[:sampled_grids], hidden[:sampled_grids], seed)
    report: ScoreReport = {
        "model": model.header.hash,
        "training": cast(TrainingRecord, model.header.training),
        "seed": seed,
        "grids": len(cells),
        "hidden_fraction": float(hidden.mean()),
        "scores": cast(dict[str, _Scores], finite_or_none(scores)),
        "calibration": cast(dict[str, _Calibration], finite_or_none(calibration)),
        "conditions": _by_condition(_compared(predictors), cells, seed)
        | {"usual mix": _condition(_compared(marginals), cells, hidden)},
        "symbols": _by_symbol(model, marginals["model"], cells, hidden),
    }
    if isinstance(bound, SidedPredictor):
        report["side"] = _worth(model, bound, cells, hidden)
    return report


def _worth(model: TrainedPredictor, bound: SidedPredictor, cells: Cells, hidden: Hidden) -> list[_SideWorth]:
    names = [*(channel.name for channel in model.side), ALL_SIDES]
    pairs = zip(names, scoring.side_worth(bound, cells, hidden), strict=True)
    return [{"name": name, "bits_per_hidden_cell": bits, "standard_error": error} for name, (bits, error) in pairs]


def _compared(every: dict[str, Each]) -> dict[str, Each]:
    """Those that are compared by condition."""
    return {name: one for name, one in every.items() if name != "uncalibrated"}


def _by_condition(predictors: dict[str, Predictor], cells: Cells, seed: int) -> dict[str, _Condition]:
    """Scores of some of the grids with named parts of them hidden."""
    chosen = _evenly(len(cells), min(MOST_GRIDS, max(1, MOST_CELLS // cells[0].size)))
    some, predictors = cells[chosen], {name: of_rows(one, chosen.tolist()) for name, one in predictors.items()}
    result = {}
    for number, (name, hide) in enumerate(conditions(*cells.shape[1:]).items()):
        hidden = hide(some.shape, np.random.default_rng([seed, number])) | (some < 0)
        marginals = {name: one.marginals(some, hidden) for name, one in predictors.items()}
        result[name] = _condition(marginals, some, hidden)
    return result


def _condition(marginals: dict[str, Marginals], cells: Cells, hidden: Hidden) -> _Condition:
    scores = {
        name: {
            "bits_per_hidden_cell": scoring.bits_per_hidden_cell(one, cells, hidden),
            "error": scoring.error(one, cells, hidden),
        }
        for name, one in marginals.items()
    }
    n_hidden = int((hidden & (cells >= 0)).sum())
    return {"grids": len(cells), "hidden_cells": n_hidden, "scores": finite_or_none(scores)}


def _by_symbol(model: TrainedPredictor, marginals: Marginals, cells: Cells, hidden: Hidden) -> list[_Symbol]:
    scores = finite_or_none(scoring.by_symbol(marginals, cells, hidden))
    label = model.header.palette.label
    return [cast(_Symbol, {"name": label(symbol), **one}) for symbol, one in enumerate(scores)]


def _evenly(n: int, most: int) -> Int[np.ndarray, " chosen"]:
    """The indices of at most so many of n, spread evenly."""
    return np.unique(np.linspace(0, n - 1, most).round().astype(int))


def _grids_of_one_size(
    path: Path, model: TrainedPredictor, hide_unseen: bool, given: Sequence[str]
) -> tuple[Cells, Side | None]:
    """Grids as they are or, for a model with windows, windows of maps and of grids that are large or differ in size."""
    images, is_set = _images(path, model, hide_unseen)
    found = read_sides(given, path, images, model.side)
    maps_of = found and found[0]
    is_one_size = len({image.shape for image in images}) == 1
    if model.window is not None and not (is_set and is_one_size):
        if maps_of is None:
            return _windows_of(images, model.size), None
        layers = [np.concatenate([one[..., None], side], axis=-1) for one, side in zip(images, maps_of, strict=True)]
        windows = _windows_of(layers, model.size)
        return windows[..., 0].astype(np.int64), windows[..., 1:]
    if not is_one_size:
        raise InputError(f"{path}: the maps differ in size; only a model that learned from windows can score them")
    return np.stack(images), None if maps_of is None else np.stack(maps_of)


def _images(path: Path, model: TrainedPredictor, hide_unseen: bool) -> tuple[list[AnySizeGrid], bool]:
    """The grids of a folder or stack, or one or several maps or single grids; and whether they are a set of grids."""
    tiles = maps.map_files(path) if is_folder(path) else [path] if maps.is_map(path) else []
    is_set = not tiles and (is_folder(path) or is_stack(path))
    if is_set and model.window is None:
        return list(read_examples(path, model.header.palette, model.size)[0]), True
    if is_set:
        return read_images(path, model.header.palette)[0], True
    return [read_any(one, model, "auto", hide_unseen=hide_unseen).cells for one in tiles or [path]], False


def _windows_of(images: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Windows side by side that have a known cell, some of them if there are many; side maps lie behind the cells."""
    height, width = size
    windows = []
    for image in images:
        down, across = image.shape[0] // height, image.shape[1] // width
        inside, layers = image[: down * height, : across * width], image.shape[2:]
        side_by_side = inside.reshape(down, height, across, width, *layers).swapaxes(1, 2)
        cells = side_by_side[..., 0] if layers else side_by_side
        windows.append(side_by_side[(cells >= 0).any(axis=(2, 3))])
    every = np.concatenate(windows)
    if not len(every):
        raise InputError(f"no window of {height} by {width} cells has a known cell; give larger grids")
    return every[_evenly(len(every), MOST_WINDOWS)]


def _baselines(
    path: Path | None, model: TrainedPredictor, held_out: Path, cells: Cells, hide_unseen: bool
) -> dict[str, Predictor]:
    """What is learned from the examples: a memory of whole grids, and tables from grids of any size."""
    if path is None:
        return {}
    images, _ = _images(path, model, hide_unseen)
    table = NeighbourTable(_padded(images), model.n_symbols)
    tables: dict[str, Predictor] = {"nearest cell": table.nearest, "neighbour table": table}
    if any(image.shape != cells.shape[1:] for image in images):
        if model.window is None:
            raise InputError(f"{path} has grids of another size than {held_out}: a lookup cannot compare them")
        images = list(_windows_of(images, cells.shape[1:]))
    whole = [grid for grid in images if (grid >= 0).all()]
    if not whole:
        tell(f"{path}: every grid has unknown cells, so there is no lookup to compare with")
        return tables
    return {"lookup": Lookup(np.stack(whole), model.n_symbols), **tables}


def _padded(images: Sequence[AnySizeGrid]) -> Cells:
    """Some of the images in one stack, with unknown cells below and to the right of smaller ones."""
    height, width = map(max, zip(*(image.shape for image in images), strict=True))
    some = _evenly(len(images), max(1, MOST_LEARNED // (height * width)))
    stack = np.full((len(some), min(height, max(1, MOST_LEARNED // width)), width), HIDDEN)
    for place, number in zip(stack, some, strict=True):
        image = images[number][: len(place)]
        place[: image.shape[0], : image.shape[1]] = image
    return stack


def _predictors(model: TrainedPredictor, side: Side | None, prior: KnownPrior | None) -> dict[str, Predictor]:
    exact = {} if prior is None else {"exact": posterior(prior)}
    return {"model": with_side(model, side), "uncalibrated": with_side(model.uncalibrated(), side), **exact}


def _draw_reliability(path: Path, marginals: dict[str, Marginals], cells: Cells, hidden: Hidden, dark: bool) -> None:
    from ..pictures import write_reliability

    curves = {
        f"{name}, top symbol": scoring.top_label_reliability(one, cells, hidden)
        for name, one in marginals.items()
        if name in ("model", "uncalibrated", "exact")
    }
    of_all = {"model, all symbols": scoring.reliability(marginals["model"], cells, hidden)}
    write_reliability(path, curves | of_all, dark)


def _score_samples(
    scores: dict[str, dict[str, float]],
    predictors: dict[str, Predictor],
    prior: KnownPrior,
    cells: Cells,
    hidden: Hidden,
    seed: int,
) -> None:
    """Add the share of samples that are legal grids, and how far many samples of one puzzle are from its posterior."""
    exact = cast(ExactPosterior, predictors["exact"])
    entropies = entropy_bits(exact.marginals(cells, hidden)).sum(axis=(1, 2))
    one = int(np.abs(entropies - OPEN_PUZZLE_BITS).argmin())
    for name, predictor in predictors.items():
        if name not in SAMPLED:
            continue
        samples = _sample(of_rows(predictor, range(len(cells))), cells, hidden, 1, seed)
        scores[name]["legal_samples"] = scoring.legal_fraction(samples, cells, hidden, prior)
        if name == "model":
            some = of_rows(predictor, range(len(cells)))
            slowly = filling.sample(some, Puzzles(cells, hidden), 1, seed, ONE_AT_A_TIME).cells
            scores[name]["legal_one_at_a_time"] = scoring.legal_fraction(slowly, cells, hidden, prior)
        many = _sample(
            of_rows(predictor, [one]), cells[one : one + 1], hidden[one : one + 1], OPEN_PUZZLE_SAMPLES, seed
        )[0]
        scores[name]["total_variation"] = scoring.total_variation(many, exact, cells[one], hidden[one])


def _sample(predictor: Predictor, cells: Cells, hidden: Hidden, n: int, seed: int) -> Samples:
    """Joint samples: by a predictor's own method if it has one, otherwise by the default decoder."""
    if isinstance(predictor, _Sampler):
        return predictor.sample(cells, hidden, n, np.random.default_rng(seed))
    return filling.sample(predictor, Puzzles(cells, hidden), n, seed).cells


def print_scores(report: ScoreReport) -> None:
    """Print tables: scores by predictor, bits and errors by condition, and how well each symbol is predicted.

    Parameters
    ----------
    report
        What `score` returns.

    Examples
    --------
    >>> scores = {"model": {"error": 0.25}, "exact": {"error": 0.125}}
    >>> single = {"hidden_cells": 9, "scores": {"model": {"bits_per_hidden_cell": 0.5, "error": 0.25}}}
    >>> water = {"name": "water", "share": 1.0, "recall": 0.75, "precision": 1.0, "expected_calibration_error": 0.0625}
    >>> report = {"grids": 8, "hidden_fraction": 0.5, "scores": scores}
    >>> print_scores(report | {"conditions": {"single cells": single}, "symbols": [water]})
       8 grids, usual mix: 50% of the cells hidden
    ...
      cells wrong   0.2500   0.1250
    ...
      single cells        9   0.5000
    ...
      single cells        9   0.2500
    ...
      water    1.0000   0.7500      1.0000        0.0625
    """
    scores = cast(dict[str, dict[str, float | None]], report["scores"])
    keys = dict.fromkeys(key for of_one in scores.values() for key in of_one)
    title = f"{report['grids']} grids, usual mix: {report['hidden_fraction']:.0%} of the cells hidden"
    rows = [
        [LABELS.get(key, key.replace("_", " ")), *(of_one.get(key, "") for of_one in scores.values())] for key in keys
    ]
    _print_table(title, ["", *scores], rows)
    of_conditions = report["conditions"].items()
    names = list(next(iter(report["conditions"].values()))["scores"])
    for key, title in (("bits_per_hidden_cell", "bits per hidden cell"), ("error", "share of hidden cells wrong")):
        rows = [
            [name, str(one["hidden_cells"]), *(one["scores"][predictor][key] for predictor in names)]
            for name, one in of_conditions
        ]
        _print_table(title, ["what is hidden", "cells", *names], rows)
    if "side" in report:
        worth = [[one["name"], one["bits_per_hidden_cell"], one["standard_error"]] for one in report["side"]]
        title = "what each side map is worth, in bits per hidden cell"
        _print_table(title, ["side map", "worth", "standard error"], worth)
    rows = [cast(list[float | str | None], list(one.values())) for one in report["symbols"]]
    _print_table(
        "symbols predicted by the model, usual mix", ["symbol", "share", "recall", "precision", "calibration"], rows
    )


def _print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[float | str | None]]) -> None:
    """A table of at most 80 columns: the first holds words, the others figures."""
    table = Table(title=title, box=box.SIMPLE, collapse_padding=True)
    table.add_column(columns[0])
    for name in columns[1:]:
        table.add_column(name.replace(" ", "\n"), justify="right")
    for row in rows:
        table.add_row(*map(_figure, row))
    Console().print(table)


def _figure(number: float | str | None) -> str:
    return "–" if number is None else number if isinstance(number, str) else f"{number:.4f}"
