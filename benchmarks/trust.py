"""Whether probabilities can be trusted: `python benchmarks/trust.py [TASK …]`, after `toys.py squares`.

order-gap    how far two orders disagree about the log-probability of squares
check        precision and recall of `check` on squares with 1 to 3 flipped cells; what `fill` says of whole puzzles
look         the hidden cell that would tell most, against the exact answer
calibration  expected calibration error with no temperature, one, and several: squares, and digits 8×8 held out
threads      whether one and two threads fill alike
bulk         `gridcloze fill` of stacks with 16 samples: grids a second and peak memory

Results are written to benchmarks/results/trust-TASK.json.
"""

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from common import RUNS, Task, main, measured
from gridcloze import checking, checkpoint, filling, scoring
from gridcloze.calibrating import calibrate
from gridcloze.files.arrays import write_stack
from gridcloze.files.palettes import Palette
from gridcloze.learning import learn
from gridcloze.logits import Calibration
from gridcloze.networks import NetworkPredictor
from gridcloze.priors.examples import Examples
from gridcloze.priors.finite import squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.priors.known import posterior
from gridcloze.puzzles import Puzzles
from gridcloze.training import Budget
from gridcloze.words import HIDDEN

PRIOR = squares(16, 16)
MODEL = RUNS / "squares-0" / "model.safetensors"
SEED = 3000


def puzzles(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Fresh squares, and cells to hide by the evaluation mixture."""
    generator = np.random.default_rng(SEED)
    cells = PRIOR.sample(n, generator)
    return cells, evaluation_hiding(cells.shape, generator)


def order_gap() -> dict[str, float]:
    """In bits per hidden cell, over 300 puzzles and 4 orders."""
    cells, hidden = puzzles(300)
    said = filling.log_prob_bits(checkpoint.load(MODEL), Puzzles(cells, hidden), orders=4, seed=SEED)
    exact = posterior(PRIOR).log_prob_bits(cells, hidden)
    per_cell = np.abs(said.bits - exact) / hidden.sum(axis=(1, 2))
    return {
        "mean": float(said.order_gap.mean()),
        "99th_percentile": float(np.percentile(said.order_gap, 99)),
        "mean_distance_from_exact": float(per_cell.mean()),
    }


def check() -> dict[str, Any]:
    """On 100 whole grids for each number of flips, and on 1,000 puzzles without any."""
    predictor, generator = checkpoint.load(MODEL), np.random.default_rng(SEED)
    nothing = np.zeros((16, 16), dtype=bool)
    result: dict[str, Any] = {}
    for flips in (1, 2, 3):
        found = right = 0
        for grid in PRIOR.sample(100, generator):
            wrong = generator.choice(grid.size, flips, replace=False)
            grid.flat[wrong] = 1 - grid.flat[wrong]
            places = [one.row * 16 + one.column for one in checking.surprises(predictor, grid, nothing)]
            found, right = found + len(places), right + len(set(places) & set(wrong.tolist()))
        result[f"{flips} flipped"] = {"precision": right / max(found, 1), "recall": right / (100 * flips)}
    cells, hidden = puzzles(1000)
    accused = checking.contradicting(predictor, Puzzles(cells, hidden))
    result["puzzles_falsely_accused"] = float(accused.any(axis=(1, 2)).mean())
    flip = np.array([generator.choice(np.flatnonzero(~one.ravel())) if not one.all() else -1 for one in hidden])
    some = np.flatnonzero((flip >= 0) & (hidden.mean(axis=(1, 2)) < 0.5))
    wrong = cells[some].reshape(len(some), -1)
    wrong[np.arange(len(some)), flip[some]] ^= 1
    changed = Puzzles(wrong.reshape(-1, 16, 16), hidden[some])
    accused = checking.contradicting(predictor, changed).reshape(len(some), -1)
    result["flip_named_in_puzzles_less_than_half_hidden"] = float(accused[np.arange(len(some)), flip[some]].mean())
    return result


def look() -> dict[str, float]:
    """Over the open puzzles of 100: of what the best cell truly tells, how much the model's choice tells."""
    cells, hidden = puzzles(100)
    exact, predictor = posterior(PRIOR), checkpoint.load(MODEL)
    shares, correlations = [], []
    for grid, grid_hidden in zip(cells[:, None], hidden[:, None], strict=True):
        truth = checking.information_bits(exact, grid, grid_hidden)[0]
        if np.nanmax(truth) < 0.1:
            continue
        said = checking.information_bits(predictor, grid, grid_hidden)[0]
        shares.append(truth.flat[np.nanargmax(said)] / np.nanmax(truth))
        known = ~np.isnan(truth)
        correlations.append(np.corrcoef(truth[known], said[known])[0, 1])
    return {
        "puzzles": len(shares),
        "share_of_best": float(np.mean(shares)),
        "correlation": float(np.mean(correlations)),
    }


def calibration() -> dict[str, Any]:
    """Bits, expected calibration error and Brier score by how many temperatures there are."""
    cells, hidden = puzzles(2000)
    trained = np.load(RUNS / "squares-0" / "train.npy").astype(np.int64)
    model = checkpoint.load(MODEL).base.model
    digits = (load_digits().images >= 8).astype(np.int64)[np.random.default_rng(SEED).permutation(1797)]
    learned = Examples(digits[:1437], Palette.default(2))
    of_digits = learn(learned, Budget(minutes=1.0), seed=0).base.model
    test = digits[1437:].repeat(5, axis=0)
    test_hidden = evaluation_hiding(test.shape, np.random.default_rng(SEED))
    return {
        "squares": _by_temperatures(model, Examples(trained, Palette.default(2)), cells, hidden),
        "digits": _by_temperatures(of_digits, learned, test, test_hidden),
    }


def _by_temperatures(model: Any, examples: Examples, cells: np.ndarray, hidden: np.ndarray) -> dict[str, Any]:
    held_out = examples.split()[1].cells
    result = {}
    for name, found in {
        "none": Calibration(),
        "one": calibrate(model, held_out, most=1),
        "by hidden fraction": calibrate(model, held_out),
    }.items():
        law = NetworkPredictor(model, found).marginals(cells, hidden)
        scores = scoring.calibration(law, cells, hidden)
        result[name] = {
            "temperatures": found.temperatures,
            "bits_per_hidden_cell": scoring.bits_per_hidden_cell(law, cells, hidden),
            **scores,
        }
    return result


def threads() -> dict[str, Any]:
    """Of 200 puzzles with 4 draws each: the share of equal fills, and the largest difference of marginals."""
    cells, hidden = puzzles(200)
    predictor, before = checkpoint.load(MODEL), torch.get_num_threads()
    answers = []
    for count in (1, 2):
        torch.set_num_threads(count)
        samples = filling.sample(predictor, Puzzles(cells, hidden), 4, 0)
        answers.append((samples.cells, predictor.marginals(cells, hidden)))
    torch.set_num_threads(before)
    (one, one_law), (two, two_law) = answers
    return {
        "equal_fills": float((one == two).all(axis=(2, 3)).mean()),
        "largest_difference": float(np.abs(one_law - two_law).max()),
    }


def bulk() -> dict[str, Any]:
    """Seconds and peak memory of the command: 1,000 puzzles, and 10,000 of which less than a tenth is hidden."""
    result = {}
    for name, n, most in (("1000", 1000, 1.0), ("10000 easy", 10_000, 0.1)):
        cells, hidden = puzzles(n)
        hidden &= np.random.default_rng(SEED).random(hidden.shape) < most
        stack, out = RUNS / f"bulk-{n}.npy", RUNS / f"bulk-{n}-out"
        write_stack(stack, np.where(hidden, HIDDEN, cells))
        seconds, peak = measured("fill", MODEL, stack, "-o", out, "--samples", "16", "--overwrite")
        result[name] = {"grids_per_second": n / seconds, "peak_MiB": peak}
    return result


def seeded(task: Task) -> Task:
    return lambda: {"seed": SEED, **task()}


EVERY = (order_gap, check, look, calibration, threads, bulk)
TASKS = {task.__name__.replace("_", "-"): seeded(task) for task in EVERY}

if __name__ == "__main__":
    main(TASKS, __doc__)
