"""How far a network sees: effective receptive fields."""

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import nn

from ..predictor import tokens_of
from ..shapes import Cells, Hidden

SHARE_OF_GRADIENT = 0.9
FIELD_PUZZLES = 256  # that an effective receptive field is the mean of


def effective_receptive_field(
    model: nn.Module, cells: Cells, hidden: Hidden, row: int, column: int
) -> Float[np.ndarray, "height width"]:
    """Measure how much each cell of a grid counts in the prediction for one hidden cell.

    Parameters
    ----------
    model
        A network with `from_one_hot`, such as `Bert`.
    cells, hidden
        Puzzles, over which the mean is taken.
    row, column
        The cell that is predicted; it is hidden in all of them.

    Returns
    -------
    ndarray
        The share of each cell; they sum to 1.

    Notes
    -----
    The mean absolute gradient of the logits with respect to the one-hot tokens (Luo et al. 2016, arXiv:1701.04128).
    The mean over symbols, and that over tokens, are subtracted, as a shift of all of them changes no prediction.

    Examples
    --------
    A residual network of one layer sees 3×3 cells:

    >>> import numpy as np
    >>> import torch
    >>> from gridcloze.study.cnn import residual
    >>> from gridcloze.study.fields import effective_receptive_field
    >>> model = residual(n_symbols=2, receptive_field=3, channels=8)
    >>> for parameter in model.parameters():
    ...     _ = torch.nn.init.normal_(parameter)
    >>> cells, hidden = np.zeros((1, 4, 5), int), np.zeros((1, 4, 5), bool)
    >>> (effective_receptive_field(model, cells, hidden, row=1, column=1) > 0).astype(int)
    array([[1, 1, 1, 0, 0],
           [1, 1, 1, 0, 0],
           [1, 1, 1, 0, 0],
           [0, 0, 0, 0, 0]])
    """
    n_symbols = cast(int, model.n_symbols)
    hidden = hidden.copy()
    hidden[:, row, column] = True
    one_hot = F.one_hot(torch.from_numpy(tokens_of(cells, hidden, n_symbols)), n_symbols + 1).float().requires_grad_()
    logits = cast(Any, model).from_one_hot(one_hot)[:, row, column]
    total = np.zeros(cells.shape[1:])
    for symbol in range(n_symbols):
        predicted = (logits[:, symbol] - logits.mean(-1)).sum()
        (gradient,) = torch.autograd.grad(predicted, one_hot, retain_graph=True)
        total += (gradient - gradient.mean(-1, keepdim=True)).abs().sum(dim=(0, 3)).double().numpy()
    return total / total.sum()


def field_of(model: nn.Module, cells: Cells, hidden: Hidden) -> dict[str, Any]:
    """Measure the effective receptive field of a cell a quarter into the grid.

    Parameters
    ----------
    model
        A network with `from_one_hot`, such as `Bert`.
    cells, hidden
        Puzzles, of which the first 256 are used.

    Returns
    -------
    dict
        "field", the share of each cell as lists, and "field_radius" by `radius_that_holds`.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.study.fields import field_of
    >>> model = Bert(BertConfig(4, 4, n_symbols=2, depth=1))
    >>> _ = model.embedding_to_patch.reset_parameters()  # an untrained model sees nothing
    >>> sorted(field_of(model, np.zeros((1, 4, 4), int), np.zeros((1, 4, 4), bool)))
    ['field', 'field_radius']
    """
    row, column = (side // 4 for side in cells.shape[1:])
    part = slice(FIELD_PUZZLES)
    field = effective_receptive_field(model, cells[part], hidden[part], row, column)
    return {"field": field.round(6).tolist(), "field_radius": radius_that_holds(field, row, column)}


def radius_that_holds(field: Float[np.ndarray, "height width"], row: int, column: int) -> int:
    """Find the radius of the smallest square around a cell that holds 90 % of its field.

    Parameters
    ----------
    field
        The share of each cell.
    row, column
        The cell that is predicted.

    Returns
    -------
    int
        How far the square reaches from the cell, in cells.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.study.fields import radius_that_holds
    >>> radius_that_holds(np.array([[0.05, 0.1, 0.7, 0.1, 0.05]]), row=0, column=2)
    1
    """
    rows, columns = np.indices(field.shape)
    distance = np.maximum(np.abs(rows - row), np.abs(columns - column))
    within = np.bincount(distance.ravel(), field.ravel()).cumsum()
    return int((within >= SHARE_OF_GRADIENT * within[-1]).argmax())
