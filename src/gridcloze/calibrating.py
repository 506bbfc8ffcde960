"""Temperatures of a model from held-out grids."""

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int
from scipy.optimize import minimize_scalar
from torch import nn

from .logits import Calibration, distance_to_visible
from .networks import on_device
from .predictor import tokens_of
from .priors.hiding import evaluation_hiding
from .shapes import Cells, Hidden
from .side import SideMaps
from .training import BATCH_SIZE
from .words import InputError

CALIBRATION_LOGITS = 2**22  # of held-out grids, drawn with replacement, each with other cells hidden
LEAST_GRIDS, MOST_GRIDS = 64, 8192
MOST_OF_ONE = 64  # ways to hide cells of one held-out grid: more of them say nothing new
MOST_TEMPERATURES, LEAST_CELLS = 5, 500  # the held-out cells that there are for each temperature
MOST_LOG_TEMPERATURE = 2.0


@torch.no_grad()
def calibrate(
    model: nn.Module, held_out: Cells, most: int = MOST_TEMPERATURES, side: SideMaps | None = None
) -> Calibration:
    """Find the temperatures that give the fewest bits per hidden cell on held-out grids.

    The hidden cells are those of `evaluation_hiding`. There are temperatures for hidden cells at distance 1 from the
    nearest visible one, 2, 3 to 4, 5 to 8, and so on, at most one for each 500 known cells; the last is for all that
    are farther.

    Parameters
    ----------
    model
        A network with `n_symbols` that turns tokens into logits.
    held_out
        Grids that the model did not learn from; -1 stands for an unknown cell.
    most
        The largest number of temperatures.
    side
        The side maps of the grids, for a model that has such.

    Returns
    -------
    Calibration
        Temperatures by distance; 1 where no held-out cell is known.

    Raises
    ------
    InputError
        If a logit is no finite number.

    Examples
    --------
    The held-out grids have 1,280 known cells, enough for two temperatures:

    >>> import numpy as np
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.calibrating import calibrate
    >>> from gridcloze.priors import Mirror
    >>> held_out = Mirror(4, 4).sample(80, np.random.default_rng(0))
    >>> calibration = calibrate(Bert(BertConfig(4, 4, n_symbols=2, depth=1)), held_out)
    >>> [round(distance, 1) for distance in calibration.points]
    [1.0, 3.0]
    """
    generator = np.random.default_rng(1)
    n = CALIBRATION_LOGITS // (held_out[0].size * cast(int, model.n_symbols))
    n = min(max(n, LEAST_GRIDS), MOST_GRIDS, MOST_OF_ONE * len(held_out))
    which = generator.integers(0, len(held_out), n)
    cells = held_out[which]
    hidden = evaluation_hiding(cells.shape, generator) | (cells < 0)
    scored = hidden & (cells >= 0)
    logits = _logits(model, cells, hidden, None if side is None else side.some(which))[scored]
    distance, true = distance_to_visible(hidden, max(cells.shape[1:]))[scored], cells[scored]
    groups = _by_distance(distance, max(1, min(most, int((held_out >= 0).sum()) // LEAST_CELLS)))
    if not groups:
        return Calibration()
    return Calibration(
        tuple(float(distance[group].mean()) for group in groups),
        tuple(_best_temperature(logits[group], true[group]) for group in groups),
    )


def _by_distance(distance: Int[np.ndarray, " cell"], most: int) -> list[Int[np.ndarray, " member"]]:
    """Which cells are at distance 1, 2, 3 to 4, 5 to 8, …, in at most so many groups; the last is not too small."""
    doublings = np.ceil(np.log2(distance))
    for last in reversed(range(most)):
        doublings = np.minimum(doublings, last)
        if (doublings == last).sum() >= LEAST_CELLS:
            break
    return [np.flatnonzero(doublings == each) for each in np.unique(doublings)]


def _logits(model: nn.Module, cells: Cells, hidden: Hidden, side: SideMaps | None) -> np.ndarray:
    tokens = torch.from_numpy(tokens_of(cells, hidden, cast(int, model.n_symbols)))
    device, parts = next(model.parameters()).device, []
    for start in range(0, len(tokens), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        features = None if side is None else side.features(part)
        parts.append(model(tokens[part].to(device), **on_device(device, features)).float().cpu().numpy())
    logits = np.concatenate(parts)
    if not np.isfinite(logits).all():
        raise InputError("the model gives logits that are no finite numbers: the training diverged; train it again")
    return logits


def _best_temperature(logits: Float32[np.ndarray, "cell symbol"], true: Int[np.ndarray, " cell"]) -> float:
    of_group, symbols = torch.from_numpy(logits), torch.from_numpy(true)
    bounds = (-MOST_LOG_TEMPERATURE, MOST_LOG_TEMPERATURE)
    minimum = minimize_scalar(
        lambda log: F.cross_entropy(of_group / np.exp(log), symbols).item(), bounds=bounds, method="bounded"
    )
    return float(np.exp(minimum.x))
