"""`gridcloze score`: how good a model is on held-out grids."""

from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, Protocol, TypedDict, cast, runtime_checkable

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from .. import checkpoint, filling, scoring
from ..checkpoint import TrainedPredictor
from ..decoding import ONE_AT_A_TIME
from ..files import maps
from ..files.arrays import is_stack
from ..files.grids import read_examples, read_images
from ..files.paths import is_folder, refuse_replacing
from ..lookup import Lookup
from ..predictor import Predictor, entropy_bits
from ..priors.hiding import evaluation_hiding
from ..priors.known import posterior
from ..priors.posterior import ExactPosterior, KnownPrior
from ..puzzles import Puzzles
from ..shapes import AnySizeGrid, Cells, Hidden, Marginals, Samples
from ..words import InputError, finite_or_none
from .shared import (
    TrainingRecord,
    check_pictures,
    check_prior,
    files_in,
    read_any,
)
from .toy import prior_file, read_prior

OPEN_PUZZLE_BITS = 8.0  # the marginal entropies of the puzzle that is sampled many times add up to about this
OPEN_PUZZLE_SAMPLES = 1000
MOST_WINDOWS = 512  # of larger grids
LABELS = {
    "error": "share of cells wrong",
    "determined_error": "share of determined cells wrong",
    "grids_all_determined_right": "grids with all determined cells correct",
    "brier": "Brier score",
    "legal_one_at_a_time": "legal samples, one cell at a time",
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
        Mean distance between predicted probabilities and observed frequencies, 0 to 1.
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
    brier: float
    legal_samples: NotRequired[float]
    legal_one_at_a_time: NotRequired[float]
    total_variation: NotRequired[float]


class _Calibration(TypedDict):
    """How well the probabilities of one predictor are calibrated.

    Attributes
    ----------
    expected_calibration_error
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
    brier: float
    by_symbol: list[float | None]
    by_hidden_fraction: dict[str, float]


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
        Scores by predictor: model, uncalibrated (the model without its temperatures), exact (if the prior is known)
        and lookup (if examples are given).
    calibration
        Calibration by predictor.

    Examples
    --------
    >>> sorted(ScoreReport.__required_keys__)
    ['calibration', 'grids', 'hidden_fraction', 'model', 'scores', 'seed', 'training']
    """

    model: str
    training: TrainingRecord
    seed: int
    grids: int
    hidden_fraction: float
    scores: dict[str, _Scores]
    calibration: dict[str, _Calibration]


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
        Grids for a lookup to compare with, usually those that the model was trained on; None for no lookup.
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
    cells = _grids_of_one_size(held_out, model, hide_unseen)
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(seed)) | (cells < 0)
    if not (hidden & (cells >= 0)).any():
        raise InputError(f"{held_out}: none of the cells that were hidden is known, so there is nothing to score")
    prior = read_prior(prior_path or prior_file(held_out), required=prior_path is not None)
    if prior is not None:
        check_prior(prior, prior_path or prior_file(held_out), cells.shape[1:], model.n_symbols)
    predictors = _predictors(model, prior, _lookup(examples, model, held_out, cells))
    marginals = {name: predictor.marginals(cells, hidden) for name, predictor in predictors.items()}
    calibration = {name: scoring.calibration(of_one, cells, hidden) for name, of_one in marginals.items()}
    scores = {
        name: scoring.score(of_one, cells, hidden, marginals.get("exact"))
        | {key: calibration[name][key] for key in ("expected_calibration_error", "brier")}
        for name, of_one in marginals.items()
    }
    if picture is not None:
        _draw_reliability(picture, marginals, cells, hidden, dark)
    if prior is not None and sampled_grids:
        _score_samples(scores, predictors, prior, cells[:sampled_grids], hidden[:sampled_grids], seed)
    return {
        "model": model.header.hash,
        "training": cast(TrainingRecord, model.header.training),
        "seed": seed,
        "grids": len(cells),
        "hidden_fraction": float(hidden.mean()),
        "scores": cast(dict[str, _Scores], finite_or_none(scores)),
        "calibration": cast(dict[str, _Calibration], finite_or_none(calibration)),
    }


def _grids_of_one_size(path: Path, model: TrainedPredictor, hide_unseen: bool = False) -> Cells:
    """Grids as they are or, for a model with windows, windows of maps and of grids that are large or differ in size."""
    tiles = maps.map_files(path) if is_folder(path) else [path] if maps.is_map(path) else []
    is_set = not tiles and (is_folder(path) or is_stack(path))
    if is_set and model.window is None:
        return read_examples(path, model.header.palette, model.size)[0]
    if is_set:
        images = read_images(path, model.header.palette)[0]
    else:
        images = [read_any(one, model, "auto", hide_unseen=hide_unseen).cells for one in tiles or [path]]
    is_one_size = len({image.shape for image in images}) == 1
    if model.window is not None and not (is_set and is_one_size):
        return _windows_of(images, model.size)
    if not is_one_size:
        raise InputError(f"{path}: the maps differ in size; only a model that learned from windows can score them")
    return np.stack(images)


def _windows_of(images: Sequence[AnySizeGrid], size: tuple[int, int]) -> Cells:
    """Windows side by side that have a known cell, some of them if there are many."""
    height, width = size
    windows = []
    for image in images:
        down, across = image.shape[0] // height, image.shape[1] // width
        side_by_side = image[: down * height, : across * width].reshape(down, height, across, width).swapaxes(1, 2)
        windows.append(side_by_side[(side_by_side >= 0).any(axis=(2, 3))])
    every = np.concatenate(windows)
    if not len(every):
        raise InputError(f"no window of {height} by {width} cells has a known cell; give larger grids")
    return every[np.unique(np.linspace(0, len(every) - 1, MOST_WINDOWS).round().astype(int))]


def _lookup(examples: Path | None, model: TrainedPredictor, held_out: Path, cells: Cells) -> Lookup | None:
    if examples is None:
        return None
    remembered = _grids_of_one_size(examples, model)
    if remembered.shape[1:] != cells.shape[1:]:
        raise InputError(f"{examples} has grids of another size than {held_out}: a lookup cannot compare them")
    return Lookup(remembered, model.n_symbols)


def _predictors(model: TrainedPredictor, prior: KnownPrior | None, lookup: Lookup | None) -> dict[str, Predictor]:
    exact = None if prior is None else posterior(prior)
    every = {"model": model, "uncalibrated": model.uncalibrated(), "exact": exact, "lookup": lookup}
    return {name: predictor for name, predictor in every.items() if predictor is not None}


def _draw_reliability(path: Path, marginals: dict[str, Marginals], cells: Cells, hidden: Hidden, dark: bool) -> None:
    from ..pictures import write_reliability

    curves = {name: scoring.reliability(of_one, cells, hidden) for name, of_one in marginals.items()}
    write_reliability(path, curves, dark)


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
        if name == "uncalibrated":
            continue
        samples = _sample(predictor, cells, hidden, 1, seed)
        scores[name]["legal_samples"] = scoring.legal_fraction(samples, cells, hidden, prior)
        if name == "model":
            slowly = filling.sample(predictor, Puzzles(cells, hidden), 1, seed, ONE_AT_A_TIME).cells
            scores[name]["legal_one_at_a_time"] = scoring.legal_fraction(slowly, cells, hidden, prior)
        many = _sample(predictor, cells[one : one + 1], hidden[one : one + 1], OPEN_PUZZLE_SAMPLES, seed)[0]
        scores[name]["total_variation"] = scoring.total_variation(many, exact, cells[one], hidden[one])


def _sample(predictor: Predictor, cells: Cells, hidden: Hidden, n: int, seed: int) -> Samples:
    """Joint samples: by a predictor's own method if it has one, otherwise by the default decoder."""
    if isinstance(predictor, _Sampler):
        return predictor.sample(cells, hidden, n, np.random.default_rng(seed))
    return filling.sample(predictor, Puzzles(cells, hidden), n, seed).cells


def print_scores(report: ScoreReport) -> None:
    """Print a table: a line for each score, a column for each predictor.

    Parameters
    ----------
    report
        What `score` returns.

    Examples
    --------
    >>> scores = {"model": {"error": 0.25}, "exact": {"error": 0.125}}
    >>> print_scores({"grids": 8, "hidden_fraction": 0.5, "scores": scores})
            8 grids, 50% of the cells hidden
    ...
      share of cells wrong   0.2500   0.1250
    """
    scores = cast(dict[str, dict[str, float | None]], report["scores"])
    table = Table(title=f"{report['grids']} grids, {report['hidden_fraction']:.0%} of the cells hidden", box=box.SIMPLE)
    table.add_column("")
    for name in scores:
        table.add_column(name, justify="right")
    for key in dict.fromkeys(key for of_one in scores.values() for key in of_one):
        figures = (_figure(of_one.get(key, "")) for of_one in scores.values())
        table.add_row(LABELS.get(key, key.replace("_", " ")), *figures)
    Console().print(table)


def _figure(number: float | str | None) -> str:
    return "–" if number is None else format(number, ".4f" if number != "" else "")
