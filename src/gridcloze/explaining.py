"""Explain the distribution of a hidden cell: the influence of each visible cell on it, and where attention looks.

Influence explains an answer: it is how much the answer changes when a visible cell is changed. Attention does not: the
weights say where a head looks, not whether anything follows from what it sees there (Jain and Wallace 2019,
arXiv:1902.10186). `head_correlations` measures how far the two agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from .checking import NUMBERS_AT_ONCE
from .predictor import Predictor
from .shapes import Cells, Hidden, Marginals, OneGrid, OneHidden, PerCell
from .side import SidedPredictor, with_side, without
from .words import HIDDEN, InputError

CHANGES = ("hide", "flip")
Targets = Int[np.ndarray, "target 2"]  # row and column of each
Changes = Int[np.ndarray, "change 3"]  # row and column of a visible cell, and its new symbol or HIDDEN


@runtime_checkable
class Attentive(Predictor, Protocol):
    """A Predictor with attention between square patches of cells, which are numbered row by row.

    Examples
    --------
    >>> from gridcloze import priors
    >>> isinstance(priors.posterior(priors.squares(4, 4, 2, 3)), Attentive)
    False
    """

    @property
    def patch(self) -> int:
        """Side of a patch in cells."""
        ...

    def attention(self, cells: Cells, hidden: Hidden) -> Float[np.ndarray, "batch layer head query key"]:
        """Return the attention weights between the patches of each grid.

        Parameters
        ----------
        cells, hidden
            Grids and their hidden cells, as `Predictor.marginals` takes them.

        Returns
        -------
        array
            The weight of each key patch for each query patch; weights sum to 1 over the keys.
        """
        ...


@dataclass(frozen=True)
class Explanation:
    """What a predictor predicts for a grid, and the influence of its visible cells on one hidden cell.

    Parameters
    ----------
    marginals
        Predicted distribution of every cell, (height, width, symbol).
    hide, flip
        Influence of each visible cell by hiding and by flipping it, (height, width); see `influence`.

    Examples
    --------
    >>> import numpy as np
    >>> nothing = np.full((2, 2), np.nan)
    >>> Explanation(np.full((2, 2, 3), 1 / 3), hide=nothing, flip=nothing).marginals[0, 0]
    array([0.33, 0.33, 0.33])
    """

    marginals: Float[np.ndarray, "height width symbol"]
    hide: PerCell
    flip: PerCell


def explain(predictor: Predictor, cells: OneGrid, hidden: OneHidden, target: tuple[int, int]) -> Explanation:
    """Compute everything that explains the distribution of one hidden cell.

    Parameters
    ----------
    predictor
        A model, or an exact posterior.
    cells, hidden
        A grid (height, width) and its hidden cells.
    target
        Row and column of the hidden cell, from 0.

    Returns
    -------
    Explanation
        The predicted distributions, and the influence of each visible cell on `target`.

    Raises
    ------
    InputError
        If `target` is no hidden cell of the grid.

    Examples
    --------
    In the mirror prior a cell equals its partner across the centre. Without the partner it is a fair coin, so hiding
    the partner moves half of the probability; flipping it moves all.

    >>> import numpy as np
    >>> from gridcloze import priors
    >>> cells, hidden = np.ones((3, 3), dtype=int), np.zeros((3, 3), dtype=bool)
    >>> hidden[0, 0] = True
    >>> explanation = explain(priors.posterior(priors.Mirror(3, 3)), cells, hidden, target=(0, 0))
    >>> float(explanation.hide[2, 2]), float(explanation.flip[2, 2])
    (0.5, 1.0)
    """
    hide, flip = (influence(predictor, cells, hidden, np.array([target]), change)[0] for change in CHANGES)
    return Explanation(predictor.marginals(cells[None], hidden[None])[0], hide, flip)


def influence(
    predictor: Predictor, cells: OneGrid, hidden: OneHidden, targets: Targets, change: str = "hide"
) -> Float[np.ndarray, "target height width"]:
    """Measure how much the distribution of each target changes when one visible cell is changed.

    Parameters
    ----------
    predictor
        A model, or an exact posterior.
    cells, hidden
        A grid (height, width) and its hidden cells.
    targets
        Row and column of each hidden cell to explain, from 0.
    change
        "hide" takes the visible cell away (occlusion); "flip" replaces its symbol, by the one of the others that
        changes the target's distribution most.

    Returns
    -------
    array
        For each target and visible cell the total variation between the distributions before and after, 0 to 1. NaN
        at hidden cells, and for a flip where the predictor gives every other symbol the probability 0, since the
        flipped grid would be a contradiction.

    Raises
    ------
    InputError
        For another `change`, and for a target that is no hidden cell.

    Notes
    -----
    Hiding is the occlusion of Zeiler and Fergus (2014), arXiv:1311.2901.

    Examples
    --------
    In the mirror prior only the partner across the centre has an influence:

    >>> import numpy as np
    >>> from gridcloze import priors
    >>> cells, hidden = np.ones((3, 3), dtype=int), np.zeros((3, 3), dtype=bool)
    >>> hidden[0, 0] = True
    >>> influence(priors.posterior(priors.Mirror(3, 3)), cells, hidden, targets=np.array([[0, 0]]))
    array([[[nan, 0. , 0. ],
            [0. , 0. , 0. ],
            [0. , 0. , 0.5]]])
    """
    if change not in CHANGES:
        raise InputError(f"there is no change {change!r}; the changes are {', '.join(CHANGES)}")
    row, column = _checked(targets, hidden).T
    before = predictor.marginals(cells[None], hidden[None])[0, row, column]
    changes = _hidings(hidden) if change == "hide" else _possible_flips(predictor, cells, hidden)
    largest = np.full((*cells.shape, len(targets)), np.nan)
    for batch, marginals in _marginals_after(predictor, cells, hidden, changes):
        distance = np.abs(marginals[:, row, column] - before).sum(axis=-1) / 2
        np.fmax.at(largest, (batch[:, 0], batch[:, 1]), distance)  # a number is more than NaN
    return np.moveaxis(largest, -1, 0)


def side_influence(
    predictor: SidedPredictor, cells: OneGrid, hidden: OneHidden, target: tuple[int, int]
) -> list[float]:
    """Measure how much the distribution of a hidden cell changes when a side map is made unknown.

    Parameters
    ----------
    predictor
        A model that is bound to the side maps of the grid.
    cells, hidden
        A grid (height, width) and its hidden cells.
    target
        Row and column of the hidden cell, from 0.

    Returns
    -------
    list of float
        For each side map the total variation between the distributions before and after, 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.side import Channel, with_side
    >>> class Copier:
    ...     n_symbols, window, side = 2, None, (Channel("truth"),)
    ...     def marginals(self, cells, hidden, side):
    ...         white = np.where(np.isnan(side), 0.5, side)
    ...         return np.concatenate([1 - white, white], axis=-1)
    >>> bound = with_side(Copier(), np.ones((1, 2, 2, 1)))
    >>> side_influence(bound, np.zeros((2, 2), int), np.ones((2, 2), bool), (0, 1))
    [0.5]
    """
    side = np.asarray(predictor.side)[predictor.which]
    less = [side, *(without(side, channel) for channel in range(side.shape[-1]))]
    every = [with_side(predictor.predictor, one).marginals(cells[None], hidden[None])[0][target] for one in less]
    return [float(np.abs(one - every[0]).sum() / 2) for one in every[1:]]


def attention(
    predictor: Predictor, cells: OneGrid, hidden: OneHidden, targets: Targets
) -> Float[np.ndarray, "layer head target height width"]:
    """Return the attention that each head pays to every cell from the patch of each target.

    Parameters
    ----------
    predictor
        A model with attention.
    cells, hidden
        A grid (height, width) and its hidden cells.
    targets
        Row and column of hidden cells, from 0.

    Returns
    -------
    array
        Weights that sum to 1 over the grid. The weight of a patch is shared equally among its cells on the grid.

    Raises
    ------
    InputError
        For a predictor without attention, and for a target that is no hidden cell.

    Examples
    --------
    A model that has not been trained looks everywhere alike:

    >>> from dataclasses import asdict
    >>> import numpy as np
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.checkpoint import Header, TrainedPredictor
    >>> from gridcloze.files.palettes import Palette
    >>> from gridcloze.networks import NetworkPredictor
    >>> config = BertConfig(height=2, width=2, n_symbols=2, depth=1, patch=1)
    >>> model = TrainedPredictor(NetworkPredictor(Bert(config)), Header(asdict(config), Palette.default(2)))
    >>> hidden = np.array([[True, False], [False, False]])
    >>> attention(model, np.zeros((2, 2), dtype=int), hidden, targets=np.array([[0, 0]])).shape
    (1, 1, 1, 2, 2)
    """
    if not isinstance(predictor, Attentive):
        raise InputError(f"{type(predictor).__name__} has no attention; a model that `gridcloze train` wrote has")
    place, columns = np.indices(cells.shape) // predictor.patch, -(-cells.shape[1] // predictor.patch)
    patch = place[0] * columns + place[1]
    query = patch[tuple(_checked(targets, hidden).T)]
    weights = predictor.attention(cells[None], hidden[None])[0][:, :, query]
    return (weights / np.bincount(patch.ravel()))[..., patch]


def rank_correlation(first: Float[np.ndarray, "*cells"], second: Float[np.ndarray, "*cells"]) -> float:
    """Compute Spearman's rank correlation of two arrays.

    Parameters
    ----------
    first, second
        Numbers in arrays of one shape. Positions where either is NaN do not count.

    Returns
    -------
    float
        -1 to 1, where ties share their mean rank; NaN if either array is constant.

    Examples
    --------
    >>> import numpy as np
    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0, 100.0]))
    1.0
    """
    in_both = np.isfinite(first) & np.isfinite(second)
    ranks = [_ranks(values[in_both]) for values in (first, second)]
    if min(len(np.unique(values)) for values in ranks) < 2:
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def head_correlations(
    attention: Float[np.ndarray, "layer head target height width"],
    influence: Float[np.ndarray, "target height width"],
) -> Float[np.ndarray, "layer head"]:
    """Measure how far each head ranks the visible cells as influence does.

    Parameters
    ----------
    attention
        What `attention` returns.
    influence
        What `influence` returns for the same targets.

    Returns
    -------
    array
        For each head the mean of `rank_correlation` over the targets; targets where it is NaN do not count. NaN where
        it is NaN for all.

    Examples
    --------
    >>> import numpy as np
    >>> influence = np.array([[[0.1, 0.2, 0.4]]])
    >>> attention = np.array([[[[[0.2, 0.3, 0.5]]], [[[0.6, 0.3, 0.1]]]]])  # one layer with two heads
    >>> head_correlations(attention, influence)
    array([[ 1., -1.]])
    """
    of_targets = np.array(
        [
            [[rank_correlation(*pair) for pair in zip(head, influence, strict=True)] for head in layer]
            for layer in attention
        ]
    )
    is_number = np.isfinite(of_targets)
    with np.errstate(invalid="ignore"):
        return np.where(is_number, of_targets, 0.0).sum(axis=-1) / is_number.sum(axis=-1)


def best_head(correlations: Float[np.ndarray, "layer head"]) -> tuple[int, int]:
    """Find the head whose attention agrees best with influence.

    Parameters
    ----------
    correlations
        What `head_correlations` returns.

    Returns
    -------
    tuple of int
        Its layer and its number in the layer, from 0; (0, 0) if all are NaN.

    Examples
    --------
    >>> import numpy as np
    >>> best_head(np.array([[0.1, 0.7], [np.nan, 0.2]]))
    (0, 1)
    """
    layer, head = np.unravel_index(np.nan_to_num(correlations, nan=-2.0).argmax(), correlations.shape)
    return int(layer), int(head)


class Recording:
    """A Predictor that records each query and its answer in `moments`: the frames of a film.

    Parameters
    ----------
    predictor
        What answers.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze import priors
    >>> recording = Recording(priors.posterior(priors.Mirror(2, 2)))
    >>> marginals = recording.marginals(np.zeros((1, 2, 2), dtype=int), np.ones((1, 2, 2), dtype=bool))
    >>> [(int(hidden.sum()), float(answer[0, 0, 1])) for cells, hidden, answer in recording.moments]
    [(4, 0.5)]
    """

    def __init__(self, predictor: Predictor):
        self.predictor, self.n_symbols, self.window = predictor, predictor.n_symbols, predictor.window
        self.moments: list[tuple[OneGrid, OneHidden, Float[np.ndarray, "height width symbol"]]] = []

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """See `Predictor.marginals`."""
        marginals = self.predictor.marginals(cells, hidden)
        self.moments += zip(cells.copy(), hidden.copy(), marginals, strict=True)
        return marginals


def _checked(targets: Targets, hidden: OneHidden) -> Targets:
    for row, column in targets.tolist():
        if not (0 <= row < hidden.shape[0] and 0 <= column < hidden.shape[1]):
            size = f"{hidden.shape[0]} by {hidden.shape[1]}"
            raise InputError(f"cell (row {row}, column {column}, from 0) lies outside the grid of {size} cells")
        if not hidden[row, column]:
            raise InputError(f"cell (row {row}, column {column}) is visible: only hidden cells can be explained")
    return targets


def _hidings(hidden: OneHidden) -> Changes:
    visible = np.argwhere(~hidden)
    return np.column_stack((visible, np.full(len(visible), HIDDEN)))


def _possible_flips(predictor: Predictor, cells: OneGrid, hidden: OneHidden) -> Changes:
    """Every other symbol of each visible cell that the other cells allow.

    Hiding each cell in turn finds these; an exact predictor would refuse the flipped grids of all others.
    """
    flips = [np.empty((0, 3), dtype=np.int64)]
    for batch, marginals in _marginals_after(predictor, cells, hidden, _hidings(hidden)):
        row, column, _ = batch.T
        distribution = marginals[np.arange(len(batch)), row, column]
        is_other = np.arange(predictor.n_symbols) != cells[row, column][:, None]
        change, symbol = np.nonzero((distribution > 0) & is_other)
        flips.append(np.column_stack((batch[change, :2], symbol)))
    return np.concatenate(flips)


def _marginals_after(
    predictor: Predictor, cells: OneGrid, hidden: OneHidden, changes: Changes
) -> Iterator[tuple[Changes, Marginals]]:
    """The marginals of the grid after each change alone, in batches of changes."""
    at_once = max(1, NUMBERS_AT_ONCE // (cells.size * predictor.n_symbols))
    for start in range(0, len(changes), at_once):
        batch = changes[start : start + at_once]
        changed_cells, changed_hidden = (np.repeat(array[None], len(batch), axis=0) for array in (cells, hidden))
        position = (np.arange(len(batch)), batch[:, 0], batch[:, 1])
        changed_cells[position], changed_hidden[position] = batch[:, 2], batch[:, 2] == HIDDEN
        yield batch, predictor.marginals(changed_cells, changed_hidden)


def _ranks(values: Float[np.ndarray, "value"]) -> Float[np.ndarray, "value"]:
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[group]
