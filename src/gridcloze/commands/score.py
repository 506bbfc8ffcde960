"""`gridcloze score`: how good a model is on held-out grids."""

from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from .. import checkpoint, filling, scoring
from ..decoding import ONE_AT_A_TIME
from ..files.grids import read_examples
from ..lookup import Lookup
from ..predictor import Predictor, entropy_bits
from ..priors.hiding import evaluation_hiding
from ..priors.known import posterior
from ..priors.posterior import ExactPosterior, KnownPrior
from ..puzzles import Puzzles
from ..shapes import Cells, Hidden, Samples
from ..words import InputError
from .shared import Report, check_pictures
from .toy import law_file, read_law

OPEN_PUZZLE_BITS = 8.0  # the marginal entropies of the puzzle that is drawn many times add up to about this
OPEN_PUZZLE_SAMPLES = 1000


@runtime_checkable
class Sampler(Protocol):
    """A Predictor with joint draws of its own."""

    def sample(self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator) -> Samples: ...


def score(
    model_path: Path,
    held_out: Path,
    examples: Path | None,
    prior_file: Path | None,
    samples: int,
    seed: int,
    picture: Path | None = None,
    dark: bool = False,
) -> Report:
    """Hide cells of held-out grids under the test law, and hold what is said of them against what was there.

    Beside the model stand the exact answer, if the law of the grids is known, and a lookup among `examples`, if
    they are given. The first `samples` grids are also drawn, once each.
    """
    predictor = checkpoint.load(model_path)
    check_pictures(picture)
    palette = predictor.header.palette
    cells = read_examples(held_out, palette)[0]
    generator = np.random.default_rng(seed)
    hidden = evaluation_hiding(cells.shape, generator) | (cells < 0)
    prior = read_law(prior_file or law_file(held_out), required=prior_file is not None)
    predictors: dict[str, Predictor] = {"model": predictor, "uncalibrated": predictor.uncalibrated()}
    if prior is not None:
        predictors["exact"] = posterior(prior)
    if examples is not None:
        remembered = read_examples(examples, palette)[0]
        if remembered.shape[1:] != cells.shape[1:]:
            raise InputError(f"{examples} has grids of another size than {held_out}: a lookup cannot compare them")
        predictors["lookup"] = Lookup(remembered, palette.n_symbols)
    marginals = {name: one.marginals(cells, hidden) for name, one in predictors.items()}
    scores: dict[str, dict[str, float]] = {
        name: scoring.score(law, cells, hidden, marginals.get("exact")) for name, law in marginals.items()
    }
    calibration = {name: scoring.calibration(law, cells, hidden) for name, law in marginals.items()}
    for name, line in scores.items():
        line |= {key: calibration[name][key] for key in ("expected_calibration_error", "brier")}
    if picture is not None:
        from ..pictures import write_reliability

        curves = {name: scoring.reliability(law, cells, hidden) for name, law in marginals.items()}
        write_reliability(picture, curves, dark)
    if prior is not None and samples:
        _score_samples(scores, predictors, prior, cells[:samples], hidden[:samples], seed)
    return {
        "model": predictor.header.hash,
        "training": predictor.header.training,
        "seed": seed,
        "grids": len(cells),
        "hidden_fraction": float(hidden.mean()),
        "scores": scores,
        "calibration": calibration,
    }


def print_scores(report: Report) -> None:
    """A table on stdout: a line for each score, a column for each who answered."""
    scores = report["scores"]
    table = Table(title=f"{report['grids']} grids, {report['hidden_fraction']:.0%} of the cells hidden", box=box.SIMPLE)
    table.add_column("")
    for name in scores:
        table.add_column(name, justify="right")
    for score in dict.fromkeys(score for line in scores.values() for score in line):
        figures = (f"{line[score]:.4f}" if score in line else "" for line in scores.values())
        table.add_row(score.replace("_", " "), *figures)
    Console().print(table)


def _score_samples(
    scores: dict[str, dict[str, float]],
    predictors: dict[str, Predictor],
    prior: KnownPrior,
    cells: Cells,
    hidden: Hidden,
    seed: int,
) -> None:
    """Add the share of draws that are legal grids, and for one puzzle how far many draws are from the exact law."""
    exact = cast(ExactPosterior, predictors["exact"])
    entropies = entropy_bits(exact.marginals(cells, hidden)).sum(axis=(1, 2))
    one = int(np.abs(entropies - OPEN_PUZZLE_BITS).argmin())
    for name, predictor in predictors.items():
        if name == "uncalibrated":
            continue
        drawn = _draw(predictor, cells, hidden, 1, seed)
        scores[name]["legal_samples"] = scoring.legal_fraction(drawn, cells, hidden, prior)
        if name == "model":
            slowly = filling.sample(predictor, Puzzles(cells, hidden), 1, seed, ONE_AT_A_TIME).cells
            scores[name]["legal_one_at_a_time"] = scoring.legal_fraction(slowly, cells, hidden, prior)
        many = _draw(predictor, cells[one : one + 1], hidden[one : one + 1], OPEN_PUZZLE_SAMPLES, seed)[0]
        scores[name]["total_variation"] = scoring.total_variation(many, exact, cells[one], hidden[one])


def _draw(predictor: Predictor, cells: Cells, hidden: Hidden, n: int, seed: int) -> Samples:
    """Joint draws: by a predictor's own method if it has one, or by the default decoder."""
    if isinstance(predictor, Sampler):
        return predictor.sample(cells, hidden, n, np.random.default_rng(seed))
    return filling.sample(predictor, Puzzles(cells, hidden), n, seed).cells
