"""The BERT compared with convolutional networks of the same size, examples and time, and with exact bounds."""

import json
import zipfile
import zlib
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
from ..training import Budget, Progress, Training
from ..words import InputError, __version__
from .cnn import RIVALS, Cnn, n_parameters, residual, sized
from .fields import field_of
from .windows import WindowLimited

ENOUGH_BITS = 0.01  # a window that lacks no more than this tells as much as the whole grid
HELD_OUT = 256
SEED_OF_PUZZLES = 1000
OfCells = Float[np.ndarray, "puzzle height width"]


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Parameters
    ----------
    side
        The side of the grids, in cells.
    networks
        Networks by name: "bert", a name among the `RIVALS`, or "cnn-" and the side of the receptive field.
    seeds
        The seeds with which each network is trained.
    minutes
        How long each network is trained.
    puzzles
        The number of puzzles of each prior that are scored.

    Examples
    --------
    >>> from gridcloze.study.comparing import QUICK
    >>> QUICK.networks
    ('cnn-3', 'cnn-5', 'cnn-9', 'unet', 'bert')
    """

    side: int
    networks: tuple[str, ...]
    seeds: tuple[int, ...]
    minutes: float
    puzzles: int

    def priors(self) -> dict[str, Toy]:
        """Make the priors of the comparison.

        Returns
        -------
        dict
            Squares and the mirror, by name.
        """
        side = self.side
        return {"squares": squares(side, side, 3, 3 * side // 4), "mirror": Mirror(side, side)}


RECEPTIVE_FIELDS = (3, 5, 7, 9, 13, 17, 25, 33)
FULL = Plan(16, (*(f"cnn-{field}" for field in RECEPTIVE_FIELDS), *RIVALS, "bert"), (0, 1, 2), 2 / 3, 2000)
QUICK = Plan(8, ("cnn-3", "cnn-5", "cnn-9", "unet", "bert"), (0,), 0.2, 500)


def _build(network: str, plan: Plan) -> nn.Module:
    """A network by its name; see `Plan`."""
    if network == "bert":
        return Bert(BertConfig(plan.side, plan.side, 2, channels=0))  # nothing but attention
    if network in RIVALS:
        return sized(partial(RIVALS[network], 2))
    return sized(partial(residual, 2, int(network.removeprefix("cnn-"))))


@dataclass(frozen=True)
class SolvedPuzzles:
    """Puzzles of a prior with their exact posterior, and how far from it the best answer of each window is.

    Parameters
    ----------
    prior
        The prior.
    cells, hidden
        The grids, and which of their cells are hidden.
    exact
        The exact marginals.
    of_windows
        The divergence of the best answer of each window from the exact marginals, in bits, from radius 0 on.

    Examples
    --------
    >>> from pathlib import Path
    >>> from gridcloze.priors import Mirror
    >>> from gridcloze.study.comparing import puzzles_of
    >>> puzzles = puzzles_of(Mirror(1, 4), 10, Path("mirror.npz"))
    >>> puzzles.of_windows.mean(axis=(1, 2, 3)).round(2)
    array([0.18, 0.15, 0.15, 0.  ], dtype=float32)
    """

    prior: Toy
    cells: Cells
    hidden: Hidden
    exact: Marginals
    of_windows: Float[np.ndarray, "radius puzzle height width"]

    def reach(self) -> Int[np.ndarray, "puzzle height width"]:
        """Return how far one must look from each cell.

        Returns
        -------
        ndarray
            The radius of the smallest window that lacks no more than 0.01 bits.
        """
        return (self.of_windows <= ENOUGH_BITS).argmax(axis=0)


def puzzles_of(prior: Toy, n: int, kept: Path) -> SolvedPuzzles:
    """Make puzzles of a prior, with cells hidden by `evaluation_hiding`.

    Parameters
    ----------
    prior
        The prior.
    n
        The number of puzzles.
    kept
        The npz file in which the answers of windows, which take long, are kept; it is written if it does not exist.

    Returns
    -------
    SolvedPuzzles
        The same puzzles for the same prior and number.

    Raises
    ------
    InputError
        If the file is damaged, or belongs to other puzzles.

    Examples
    --------
    >>> from pathlib import Path
    >>> from gridcloze.priors import squares
    >>> from gridcloze.study.comparing import puzzles_of
    >>> puzzles_of(squares(6, 6, 2, 4), 5, Path("squares.npz")).of_windows.shape
    (6, 5, 6, 6)
    """
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
    try:
        with np.load(kept) as file:
            of_windows = file["of_windows"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(kept) from error
    shape = (max(cells.shape[1:]), *cells.shape)
    if of_windows.shape != shape or of_windows.dtype != np.float32 or not np.isfinite(of_windows).all():
        raise _damaged(kept)
    return SolvedPuzzles(prior, cells, hidden, exact, of_windows)


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged, or of another comparison: remove it, and run the same command again")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    if not isinstance(content, dict):
        raise _damaged(path)
    return content


def run(plan: Plan, folder: Path, report: Callable[[float, str], None]) -> dict[str, Any]:
    """Train and score all networks whose scores are not yet in a folder.

    Parameters
    ----------
    plan
        What is compared.
    folder
        Where scores are kept, a file for each network, prior and seed.
    report
        A function that is called with the share that is done, and a line of news.

    Returns
    -------
    dict
        "plan" and "version"; in "priors", for each prior, what `bounds` returns, and "runs", a list of what
        `train_and_score` returns.

    Raises
    ------
    InputError
        If the folder holds a comparison of another plan or version, a damaged one, or other files.
    KeyboardInterrupt
        At Ctrl-C; what is done is kept.

    Examples
    --------
    >>> from pathlib import Path
    >>> from gridcloze.study.comparing import Plan, run
    >>> plan = Plan(side=4, networks=("cnn-3",), seeds=(0,), minutes=0.0001, puzzles=10)
    >>> report = run(plan, Path("comparison"), lambda share, news: None)
    >>> list(report["priors"])
    ['squares', 'mirror']
    """
    recorded_plan = _recorded_plan(plan, folder)
    jobs = [(prior, network, seed) for prior in plan.priors() for seed in plan.seeds for network in plan.networks]
    puzzles = {name: puzzles_of(prior, plan.puzzles, folder / f"{name}.npz") for name, prior in plan.priors().items()}
    done: dict[str, list[dict[str, Any]]] = {prior: [] for prior in puzzles}
    for number, (prior, network, seed) in enumerate(jobs):
        path = folder / f"{prior}-{network}-{seed}.json"
        if not path.exists():
            news = f"{network} on {prior}, seed {seed}"
            write_json(path, train_and_score(network, plan, puzzles[prior], seed, _part(report, number, jobs, news)))
        done[prior].append(_read_json(path))
        if (done[prior][-1].get("network"), done[prior][-1].get("seed")) != (network, seed):
            raise _damaged(path)
    return recorded_plan | {"priors": {name: {**bounds(puzzles[name]), "runs": runs} for name, runs in done.items()}}


def _recorded_plan(plan: Plan, folder: Path) -> dict[str, Any]:
    """Plan and version, which are recorded in the folder; InputError if it holds others."""
    path = folder / "plan.json"
    recorded = json.loads(json.dumps({"plan": asdict(plan), "version": __version__}))
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        if others:
            raise InputError(f"{folder} holds no comparison, but {others[0]}: choose a new folder")
        write_json(path, recorded)
    elif _read_json(path) != recorded:
        raise InputError(f"{folder} holds another comparison or one of another version: choose a new folder")
    return recorded


def _part(report: Callable[[float, str], None], number: int, jobs: list[Any], news: str) -> Callable[[Any], None]:
    return lambda progress: report((number + min(progress.share, 1.0)) / len(jobs), news)


def train(
    network: str, plan: Plan, prior: Toy, seed: int, report: Callable[[Any], None] = lambda progress: None
) -> tuple[nn.Module, Progress]:
    """Train one network on grids drawn from the prior.

    Parameters
    ----------
    network
        Its name; see `Plan`.
    plan
        How large it is, and how long it is trained.
    prior
        Where grids come from.
    seed
        The seed of the network and of its training.
    report
        See `Training`.

    Returns
    -------
    tuple
        The network, and what its training came to.

    Examples
    --------
    >>> from gridcloze.study.comparing import Plan, train
    >>> plan = Plan(side=4, networks=("cnn-3",), seeds=(0,), minutes=0.0001, puzzles=10)
    >>> train("cnn-3", plan, plan.priors()["mirror"], seed=0)[1].interrupted
    False
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _build(network, plan)
    held_out = prior.sample(HELD_OUT, np.random.default_rng([SEED_OF_PUZZLES, seed]))
    return model, Training(model, prior, held_out, Budget(minutes=plan.minutes), seed, report).run()


def train_and_score(
    network: str, plan: Plan, puzzles: SolvedPuzzles, seed: int, report: Callable[[Any], None] = lambda progress: None
) -> dict[str, Any]:
    """Train one network on grids drawn from the prior, and score it.

    Parameters
    ----------
    network, plan, seed, report
        As in `train`.
    puzzles
        What it is scored on.

    Returns
    -------
    dict
        "network", "seed", "parameters" (their number), "steps", "receptive_field" (null for the whole grid), and what
        `scores` and `field_of` return.

    Raises
    ------
    KeyboardInterrupt
        At Ctrl-C.

    Examples
    --------
    >>> from pathlib import Path
    >>> from gridcloze.study.comparing import Plan, puzzles_of, train_and_score
    >>> plan = Plan(side=4, networks=("cnn-3",), seeds=(0,), minutes=0.0001, puzzles=10)
    >>> puzzles = puzzles_of(plan.priors()["mirror"], plan.puzzles, Path("mirror.npz"))
    >>> train_and_score("cnn-3", plan, puzzles, seed=0)["receptive_field"]
    3
    """
    model, progress = train(network, plan, puzzles.prior, seed, report)
    if progress.interrupted:
        raise KeyboardInterrupt
    marginals = NetworkPredictor(model).marginals(puzzles.cells, puzzles.hidden)
    record = {
        "network": network,
        "seed": seed,
        "parameters": n_parameters(model),
        "steps": progress.steps,
        "receptive_field": model.receptive_field if isinstance(model, Cnn) else None,
    }
    measured = scores(marginals, puzzles, record["receptive_field"])
    return record | measured | field_of(model, puzzles.cells, puzzles.hidden)


def scores(marginals: Marginals, puzzles: SolvedPuzzles, receptive_field: int | None) -> dict[str, Any]:
    """Measure how far predictions are from the exact posterior, and from the best answer of their window.

    Parameters
    ----------
    marginals
        The predicted distribution of each cell.
    puzzles
        What was predicted.
    receptive_field
        The side of the window that the predictor sees, in cells; None for the whole grid.

    Returns
    -------
    dict
        "excess_bits" over the exact posterior; "bound_bits", those of the best answer of the window; the difference of
        the two, "over_bound_bits", with its standard error "over_bound_error"; "right", the share of grids whose
        determined cells are all correct; and the list "excess_bits_by_reach", by how far one must look from a cell.

    Examples
    --------
    >>> from pathlib import Path
    >>> from gridcloze.priors import Mirror
    >>> from gridcloze.study.comparing import puzzles_of, scores
    >>> puzzles = puzzles_of(Mirror(4, 4), 10, Path("mirror.npz"))
    >>> scores(puzzles.exact, puzzles, receptive_field=None)["excess_bits"]
    0.0
    """
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


def bounds(puzzles: SolvedPuzzles) -> dict[str, Any]:
    """Measure what each window lacks, and how many cells need one so large.

    Parameters
    ----------
    puzzles
        The puzzles.

    Returns
    -------
    dict
        "entropy_bits" of the exact posterior per hidden cell; the lists "bound_bits" and "bound_error" (its standard
        error) of windows of 1, 3, 5, … cells; "enough", the side of the smallest window whose bound is at most 0.01
        bits; and the list "share_by_reach", the share of hidden cells by how far one must look.

    Examples
    --------
    >>> from pathlib import Path
    >>> from gridcloze.priors import squares
    >>> from gridcloze.study.comparing import bounds, puzzles_of
    >>> found = bounds(puzzles_of(squares(6, 6, 2, 4), 50, Path("squares.npz")))
    >>> [round(bits, 2) for bits in found["bound_bits"]], found["enough"]
    ([0.38, 0.12, 0.06, 0.02, 0.0, 0.0], 9)
    """
    hidden, reach = puzzles.hidden, puzzles.reach()
    windows = [mean_and_error(divergence, hidden) for divergence in puzzles.of_windows]
    enough = next(radius for radius, (bits, _) in enumerate(windows) if bits <= ENOUGH_BITS)
    return {
        "entropy_bits": float(entropy_bits(puzzles.exact)[hidden].mean()),
        "bound_bits": [bits for bits, _ in windows],
        "bound_error": [error for _, error in windows],
        "enough": 2 * enough + 1,
        "share_by_reach": [float((reach[hidden] == radius).mean()) for radius in range(len(windows))],
    }


def mean_and_error(values: OfCells, hidden: Hidden) -> tuple[float, float]:
    """Return a mean over hidden cells with its standard error.

    Parameters
    ----------
    values
        A number for each cell.
    hidden
        True where a cell is hidden.

    Returns
    -------
    tuple of float
        The mean, and its standard error, which takes the cells of one puzzle as dependent.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.study.comparing import mean_and_error
    >>> mean_and_error(np.array([[[0.0, 0.0]], [[1.0, 1.0]]]), np.ones((2, 1, 2), bool))
    (0.5, 0.3535533905932738)
    """
    sums, counts = np.where(hidden, values, 0.0).sum(axis=(1, 2)), hidden.sum(axis=(1, 2))
    mean = sums.sum() / counts.sum()
    return float(mean), float(np.sqrt(((sums - mean * counts) ** 2).sum()) / counts.sum())


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
