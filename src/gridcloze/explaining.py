"""Why this cell: which visible cells its law depends on, and where attention looks, which is another question.

Influence explains an answer: it is how far the answer moves when a visible cell is changed. Attention does not: weights
say where a head looks, not whether anything follows from what it sees there (Jain and Wallace 2019, arXiv:1902.10186).
`head_correlations` measures how far the two agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from .predictor import Predictor
from .shapes import Cells, Hidden, Marginals, OneGrid, OneHidden, PerCell
from .words import HIDDEN, InputError

CHANGES = ("hide", "flip")
NUMBERS_AT_ONCE = 2**22  # probabilities that a predictor is asked for together, so that memory stays flat
Targets = Int[np.ndarray, "target 2"]  # row and column of each
Changes = Int[np.ndarray, "change 3"]  # row and column of a visible cell, and what is to stand there


@runtime_checkable
class Attentive(Predictor, Protocol):
    """A Predictor that looks from patch to patch, each of `patch` by `patch` cells; patches are numbered row by row."""

    @property
    def patch(self) -> int: ...

    def attention(self, cells: Cells, hidden: Hidden) -> Float[np.ndarray, "batch layer head query key"]:
        """The weights of each patch as query, which sum to 1 over the keys."""
        ...


@dataclass(frozen=True)
class Explanation:
    """What a predictor says of a grid, and its influences on one hidden cell; see `influence`."""

    marginals: Float[np.ndarray, "height width symbol"]
    hide: PerCell
    flip: PerCell


def explain(predictor: Predictor, cells: OneGrid, hidden: OneHidden, target: tuple[int, int]) -> Explanation:
    """All that says why `target`, a row and a column, has its law; raises InputError if it is no hidden cell."""
    hide, flip = (influence(predictor, cells, hidden, np.array([target]), change)[0] for change in CHANGES)
    return Explanation(predictor.marginals(cells[None], hidden[None])[0], hide, flip)


def influence(
    predictor: Predictor, cells: OneGrid, hidden: OneHidden, targets: Targets, change: str = "hide"
) -> Float[np.ndarray, "target height width"]:
    """How far the law of each target moves when one visible cell is changed, as total variation 0…1.

    "hide" takes the cell away (occlusion: Zeiler and Fergus 2014, arXiv:1311.2901); "flip" shows another symbol, of
    several the one that moves the law most. NaN at hidden cells, and where the predictor gives every other symbol the
    probability 0, since then a flipped grid is a contradiction. Raises InputError for another change, and for a target
    that is no hidden cell.
    """
    if change not in CHANGES:
        raise InputError(f"there is no change {change!r}; the changes are {', '.join(CHANGES)}")
    row, column = _checked(targets, hidden).T
    now = predictor.marginals(cells[None], hidden[None])[0, row, column]
    changes = _hidings(hidden) if change == "hide" else _possible_flips(predictor, cells, hidden)
    result = np.full((*cells.shape, len(targets)), np.nan)
    for part, laws in _laws_after(predictor, cells, hidden, changes):
        distance = np.abs(laws[:, row, column] - now).sum(axis=-1) / 2
        np.fmax.at(result, (part[:, 0], part[:, 1]), distance)  # a number is more than NaN
    return np.moveaxis(result, -1, 0)


def attention(
    predictor: Predictor, cells: OneGrid, hidden: OneHidden, targets: Targets
) -> Float[np.ndarray, "layer head target height width"]:
    """The weight of each cell in the sight of the target's patch; it sums to 1 over the grid.

    That of a patch is shared equally among those of its cells that lie on the grid. Raises InputError for a predictor
    without attention, and for a target that is no hidden cell.
    """
    if not isinstance(predictor, Attentive):
        raise InputError(f"{type(predictor).__name__} has no attention; what `gridcloze train` writes has")
    place, columns = np.indices(cells.shape) // predictor.patch, -(-cells.shape[1] // predictor.patch)
    patch = place[0] * columns + place[1]
    query = patch[tuple(_checked(targets, hidden).T)]
    weights = predictor.attention(cells[None], hidden[None])[0][:, :, query]
    return (weights / np.bincount(patch.ravel()))[..., patch]


def rank_correlation(one: Float[np.ndarray, "*places"], other: Float[np.ndarray, "*places"]) -> float:
    """Spearman's, over the places where neither is NaN; ties share their mean rank. NaN if one is constant there."""
    known = np.isfinite(one) & np.isfinite(other)
    ranks = [_ranks(values[known]) for values in (one, other)]
    if min(len(np.unique(values)) for values in ranks) < 2:
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def head_correlations(
    attention: Float[np.ndarray, "layer head target height width"],
    influence: Float[np.ndarray, "target height width"],
) -> Float[np.ndarray, "layer head"]:
    """How far each head ranks the visible cells as influence does: the mean of `rank_correlation` over the targets.

    Targets without one do not count; NaN where none has one.
    """
    each = np.array(
        [
            [[rank_correlation(*pair) for pair in zip(head, influence, strict=True)] for head in layer]
            for layer in attention
        ]
    )
    known = np.isfinite(each)
    with np.errstate(invalid="ignore"):
        return np.where(known, each, 0.0).sum(axis=-1) / known.sum(axis=-1)


def best_head(correlations: Float[np.ndarray, "layer head"]) -> tuple[int, int]:
    """Layer and head, from 0, of the largest; the first if all are NaN."""
    layer, head = np.unravel_index(np.nan_to_num(correlations, nan=-2.0).argmax(), correlations.shape)
    return int(layer), int(head)


class Recording:
    """A Predictor that remembers what it was asked of one grid, and what it said: the moments of a film."""

    def __init__(self, predictor: Predictor):
        self.predictor, self.n_symbols, self.window = predictor, predictor.n_symbols, predictor.window
        self.moments: list[tuple[OneGrid, OneHidden, Float[np.ndarray, "height width symbol"]]] = []

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """As the predictor's."""
        laws = self.predictor.marginals(cells, hidden)
        self.moments += zip(cells.copy(), hidden.copy(), laws, strict=True)
        return laws


def _checked(targets: Targets, hidden: OneHidden) -> Targets:
    for row, column in targets.tolist():
        if not (0 <= row < hidden.shape[0] and 0 <= column < hidden.shape[1]):
            size = f"{hidden.shape[0]} by {hidden.shape[1]}"
            raise InputError(
                f"cell (row {row}, column {column}) lies outside of a grid of {size} cells; both count from 0"
            )
        if not hidden[row, column]:
            raise InputError(f"cell (row {row}, column {column}) is visible: only a hidden cell has a law to explain")
    return targets


def _hidings(hidden: OneHidden) -> Changes:
    visible = np.argwhere(~hidden)
    return np.column_stack((visible, np.full(len(visible), HIDDEN)))


def _possible_flips(predictor: Predictor, cells: OneGrid, hidden: OneHidden) -> Changes:
    """The other symbols of each visible cell, but for those that the other cells rule out.

    One pass over hidden cells finds these, where an exact predictor would refuse a batch for each.
    """
    flips = [np.empty((0, 3), dtype=np.int64)]
    for part, laws in _laws_after(predictor, cells, hidden, _hidings(hidden)):
        row, column, _ = part.T
        law = laws[np.arange(len(part)), row, column]
        change, symbol = np.nonzero((law > 0) & (np.arange(predictor.n_symbols) != cells[row, column][:, None]))
        flips.append(np.column_stack((part[change, :2], symbol)))
    return np.concatenate(flips)


def _laws_after(
    predictor: Predictor, cells: OneGrid, hidden: OneHidden, changes: Changes
) -> Iterator[tuple[Changes, Marginals]]:
    """What the predictor says of the grid after each change alone, some changes after the other."""
    at_once = max(1, NUMBERS_AT_ONCE // (cells.size * predictor.n_symbols))
    for start in range(0, len(changes), at_once):
        part = changes[start : start + at_once]
        after, unseen = (np.repeat(array[None], len(part), axis=0) for array in (cells, hidden))
        place = (np.arange(len(part)), part[:, 0], part[:, 1])
        after[place], unseen[place] = part[:, 2], part[:, 2] == HIDDEN
        yield part, predictor.marginals(after, unseen)


def _ranks(values: Float[np.ndarray, "place"]) -> Float[np.ndarray, "place"]:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[place]
