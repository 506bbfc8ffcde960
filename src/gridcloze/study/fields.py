"""How far a network looks: effective receptive fields."""

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import nn

from ..predictor import tokens_of
from ..shapes import Cells, Hidden


def effective_receptive_field(
    model: nn.Module, cells: Cells, hidden: Hidden, row: int, column: int
) -> Float[np.ndarray, "height width"]:
    """How much each cell of a grid counts in what is said of the one at (row, column), which is hidden; sums to 1.

    The mean over grids of the absolute gradient of its logits with respect to the tokens, one-hot (Luo et al. 2016,
    arXiv:1701.04128). Means are taken off both, as neither a shift of all logits nor one of all tokens says anything.
    """
    n_symbols = cast(int, model.n_symbols)
    hidden = hidden.copy()
    hidden[:, row, column] = True
    one_hot = F.one_hot(torch.from_numpy(tokens_of(cells, hidden, n_symbols)), n_symbols + 1).float().requires_grad_()
    logits = cast(Any, model).from_one_hot(one_hot)[:, row, column]
    total = np.zeros(cells.shape[1:])
    for symbol in range(n_symbols):
        said = (logits[:, symbol] - logits.mean(-1)).sum()
        (gradient,) = torch.autograd.grad(said, one_hot, retain_graph=True)
        total += (gradient - gradient.mean(-1, keepdim=True)).abs().sum(dim=(0, 3)).double().numpy()
    return total / total.sum()


SHARE_OF_GRADIENT = 0.9
FIELD_PUZZLES = 256  # that an effective receptive field is the mean of


def field_of(model: nn.Module, cells: Cells, hidden: Hidden) -> dict[str, Any]:
    """The effective receptive field of a cell a quarter into the grid, and the radius that holds most of it."""
    row, column = (side // 4 for side in cells.shape[1:])
    part = slice(FIELD_PUZZLES)
    field = effective_receptive_field(model, cells[part], hidden[part], row, column)
    return {"field": field.round(6).tolist(), "field_radius": radius_that_holds(field, row, column)}


def radius_that_holds(field: Float[np.ndarray, "height width"], row: int, column: int) -> int:
    """The radius of the smallest square around a cell that holds `SHARE_OF_GRADIENT` of its field."""
    rows, columns = np.indices(field.shape)
    distance = np.maximum(np.abs(rows - row), np.abs(columns - column))
    within = np.bincount(distance.ravel(), field.ravel()).cumsum()
    return int((within >= SHARE_OF_GRADIENT * within[-1]).argmax())
