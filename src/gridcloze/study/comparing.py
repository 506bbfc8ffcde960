"""The BERT beside convolutional networks of the same size, examples and time, and what Bayes says of every window."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from .. import scoring
from ..bert import Bert, BertConfig
from ..files.paths import atomic_write, write_json
from ..networks import NetworkPredictor
from ..predictor import entropy_bits
from ..priors.finite import squares
from ..priors.hiding import evaluation_hiding
from ..priors.known import Toy, posterior
from ..priors.mirror import Mirror
from ..shapes import Cells, Hidden, Marginals
from ..training import Budget, Training
from ..words import InputError, __version__
from .cnn import RIVALS, Cnn, n_parameters, residual, sized
from .fields import field_of
from .windows import WindowLimited

ENOUGH_BITS = 0.01  # a window that lacks no more than this says as much as the whole grid
HELD_OUT = 256
SEED_OF_PUZZLES = 1000
OfCells = Float[np.ndarray, "puzzle height width"]


@dataclass(frozen=True)
class Plan:
    """What is compared: networks by name, each trained `minutes` with each seed, on grids of `side` × `side` cells."""

    side: int
    networks: tuple[str, ...]
    seeds: tuple[int, ...]
    minutes: float
    puzzles: int

    def priors(self) -> dict[str, Toy]:
        side = self.side
        return {"squares": squares(side, side, 3, 3 * side // 4), "mirror": Mirror(side, side)}


RECEPTIVE_FIELDS = (3, 5, 7, 9, 13, 17, 25, 33)
FULL = Plan(16, (*(f"cnn-{field}" for field in RECEPTIVE_FIELDS), *RIVALS, "bert"), (0, 1, 2), 2 / 3, 2000)
QUICK = Plan(8, ("cnn-3", "cnn-5", "cnn-9", "unet", "bert"), (0,), 0.2, 500)


def build(network: str, plan: Plan) -> nn.Module:
    """A network by its name: bert, a name among the `RIVALS`, or cnn- and its receptive field."""
    if network == "bert":
        return Bert(BertConfig(plan.side, plan.side, 2))
    if network in RIVALS:
        return sized(partial(RIVALS[network], 2))
    return sized(partial(residual, 2, int(network.removeprefix("cnn-"))))


@dataclass(frozen=True)
class Puzzles:
    """Grids of a prior with hidden cells, the exact answer, and how far from it the best answer of each window is."""

    prior: Toy
    cells: Cells
    hidden: Hidden
    exact: Marginals
    of_windows: Float[np.ndarray, "radius puzzle height width"]  # divergence in bits, from radius 0 up

    def reach(self) -> Int[np.ndarray, "puzzle height width"]:
        """How far one must look from each cell: the radius of the smallest window that says enough."""
        return (self.of_windows <= ENOUGH_BITS).argmax(axis=0)


def puzzles_of(prior: Toy, n: int, kept: Path) -> Puzzles:
    """`n` puzzles of the test law; what takes long to know of their windows is kept in a file."""
    generator = np.random.default_rng(SEED_OF_PUZZLES)
    cells = prior.sample(n, generator)
    hidden = evaluation_hiding(cells.shape, generator)
    truth = posterior(prior)
    exact = truth.marginals(cells, hidden)
    if not kept.exists():
        of_windows = [
            scoring.divergence_bits(WindowLimited(truth, radius).marginals(cells, hidden), exact).astype(np.float32)
            for radius in range(max(cells.shape[1:]))
        ]
        with atomic_write(kept) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, of_windows=np.array(of_windows))
    with np.load(kept) as file:
        return Puzzles(prior, cells, hidden, exact, file["of_windows"])


def run(plan: Plan, folder: Path, report: Callable[[float, str], None]) -> dict[str, Any]:
    """Train and score all that is not yet in `folder`, and return every number; `report` is told the share done.

    Raises InputError for a folder of another plan or version, and KeyboardInterrupt at Ctrl-C; what is done is kept.
    """
    said = _said(plan, folder)
    jobs = [(prior, network, seed) for prior in plan.priors() for seed in plan.seeds for network in plan.networks]
    puzzles = {name: puzzles_of(prior, plan.puzzles, folder / f"{name}.npz") for name, prior in plan.priors().items()}
    done: dict[str, list[dict[str, Any]]] = {prior: [] for prior in puzzles}
    for number, (prior, network, seed) in enumerate(jobs):
        path = folder / f"{prior}-{network}-{seed}.json"
        if not path.exists():
            news = f"{network} on {prior}, seed {seed}"
            write_json(path, train_and_score(network, plan, puzzles[prior], seed, _part(report, number, jobs, news)))
        done[prior].append(json.loads(path.read_text()))
    return said | {"priors": {name: {**bounds(puzzles[name]), "runs": runs} for name, runs in done.items()}}


def _said(plan: Plan, folder: Path) -> dict[str, Any]:
    """Plan and version, which are noted in the folder; refuses one in which others are."""
    path = folder / "plan.json"
    said = json.loads(json.dumps({"plan": asdict(plan), "version": __version__}))
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, said)
    elif json.loads(path.read_text()) != said:
        raise InputError(f"{folder} holds another comparison or one of another version: choose a new folder")
    return said


def _part(report: Callable[[float, str], None], number: int, jobs: list[Any], news: str) -> Callable[[Any], None]:
    return lambda progress: report((number + min(progress.share, 1.0)) / len(jobs), news)


def train_and_score(
    network: str, plan: Plan, puzzles: Puzzles, seed: int, report: Callable[[Any], None] = lambda progress: None
) -> dict[str, Any]:
    """One network, from its first step to its scores, on grids drawn anew from the prior."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(network, plan)
    held_out = puzzles.prior.sample(HELD_OUT, np.random.default_rng([SEED_OF_PUZZLES, seed]))
    progress = Training(model, puzzles.prior, held_out, Budget(minutes=plan.minutes), seed, report).run()
    if progress.interrupted:
        raise KeyboardInterrupt
    marginals = NetworkPredictor(model).marginals(puzzles.cells, puzzles.hidden)
    said = {
        "network": network,
        "seed": seed,
        "parameters": n_parameters(model),
        "steps": progress.steps,
        "receptive_field": model.receptive_field if isinstance(model, Cnn) else None,
    }
    return said | scores(marginals, puzzles, said["receptive_field"]) | field_of(model, puzzles.cells, puzzles.hidden)


def scores(marginals: Marginals, puzzles: Puzzles, receptive_field: int | None) -> dict[str, Any]:
    """How far from the exact answer, and from the best answer of the window; and by how far one must look."""
    hidden, reach = puzzles.hidden, puzzles.reach()
    divergence = scoring.divergence_bits(marginals, puzzles.exact)
    wrong = scoring.determined_wrong(marginals, puzzles.exact, hidden)
    largest = len(puzzles.of_windows) - 1
    bound = puzzles.of_windows[largest if receptive_field is None else min(receptive_field // 2, largest)]
    over, error = mean_and_error(divergence - bound, hidden)
    return {
        "excess_bits": float(divergence[hidden].mean()),
        "bound_bits": float(bound[hidden].mean()),
        "over_bound_bits": over,
        "over_bound_error": error,
        "right": float(1 - wrong.any(axis=(1, 2)).mean()),
        "excess_bits_by_reach": [_mean(divergence[hidden & (reach == radius)]) for radius in range(largest + 1)],
    }


def bounds(puzzles: Puzzles) -> dict[str, Any]:
    """What each window lacks, in bits per hidden cell, and how many cells need one so large."""
    hidden, reach = puzzles.hidden, puzzles.reach()
    windows = [mean_and_error(divergence, hidden) for divergence in puzzles.of_windows]
    enough = next(radius for radius, (bits, _) in enumerate(windows) if bits <= ENOUGH_BITS)
    return {
        "entropy_bits": float(entropy_bits(puzzles.exact)[hidden].mean()),
        "bound_bits": [bits for bits, _ in windows],  # of receptive fields 1, 3, 5, …
        "bound_error": [error for _, error in windows],
        "enough": 2 * enough + 1,
        "share_by_reach": [float((reach[hidden] == radius).mean()) for radius in range(len(windows))],
    }


def mean_and_error(values: OfCells, hidden: Hidden) -> tuple[float, float]:
    """The mean over hidden cells, and its standard error, as the cells of one puzzle go together."""
    sums, counts = np.where(hidden, values, 0.0).sum(axis=(1, 2)), hidden.sum(axis=(1, 2))
    mean = sums.sum() / counts.sum()
    return float(mean), float(np.sqrt(((sums - mean * counts) ** 2).sum()) / counts.sum())


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
