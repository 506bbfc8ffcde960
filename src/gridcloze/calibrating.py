"""Temperatures of a model from held-out grids."""

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import nn

from .logits import Calibration
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

    The hidden cells are those of `evaluation_hiding`. There are as many temperatures, from few hidden cells to many, as
    there are groups of 500 known cells.

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
        Temperatures by the hidden fraction of a grid; 1 where no held-out cell is known.

    Raises
    ------
    InputError
        If a logit is no finite number.

    Examples
    --------
    The held-out grids have 1,200 known cells, enough for two temperatures:

    >>> import numpy as np
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.calibrating import calibrate
    >>> from gridcloze.priors import Mirror
    >>> held_out = Mirror(2, 2).sample(300, np.random.default_rng(0))
    >>> calibration = calibrate(Bert(BertConfig(2, 2, n_symbols=2, depth=1)), held_out)
    >>> [round(fraction, 2) for fraction in calibration.hidden_fractions]
    [0.56, 1.0]
    """
    generator = np.random.default_rng(1)
    n = CALIBRATION_LOGITS // (held_out[0].size * cast(int, model.n_symbols))
    n = min(max(n, LEAST_GRIDS), MOST_GRIDS, MOST_OF_ONE * len(held_out))
    which = generator.integers(0, len(held_out), n)
    cells = held_out[which]
    hidden = evaluation_hiding(cells.shape, generator) | (cells < 0)
    fractions, scored = hidden.mean(axis=(1, 2)), hidden & (cells >= 0)
    logits = _logits(model, cells, hidden, None if side is None else side.some(which))
    groups = np.array_split(np.argsort(fractions), max(1, min(most, int((held_out >= 0).sum()) // LEAST_CELLS)))
    temperatures = [_best_temperature(logits, cells, scored, group) for group in groups]
    return Calibration(tuple(float(fractions[group].mean()) for group in groups), tuple(temperatures))


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


def _best_temperature(logits: np.ndarray, cells: Cells, scored: Hidden, group: np.ndarray) -> float:
    of_group, true = torch.from_numpy(logits[group][scored[group]]), torch.from_numpy(cells[group][scored[group]])
    if len(true) == 0:
        return 1.0
    bounds = (-MOST_LOG_TEMPERATURE, MOST_LOG_TEMPERATURE)
    minimum = minimize_scalar(
        lambda log: F.cross_entropy(of_group / np.exp(log), true).item(), bounds=bounds, method="bounded"
    )
    return float(np.exp(minimum.x))
