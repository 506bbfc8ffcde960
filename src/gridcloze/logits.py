"""Predictors made of logits: forward passes of one shape in threads, calibrated."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Float32, Int

from .predictor import known_or, softmax, tokens_of
from .shapes import Cells, Hidden, Marginals
from .words import InputError

Features = Float32[np.ndarray, "batch height width feature"]  # of side maps, as `side.encoded` makes them

GRIDS_A_PASS = 64  # at most
LARGEST_MODEL = {  # beyond which a number in a file is a fault, and no model is made
    "height": 2**20,
    "width": 2**20,
    "n_symbols": 256,
    "depth": 1024,
    "embedding_size": 2**16,
    "heads": 2**14,
    "patch": 2**20,
    "channels": 2**12,
    "side": 2**12,
}


Points = Literal["distances", "hidden_fractions"]
KINDS_OF_POINTS: tuple[Points, ...] = get_args(Points)


@dataclass(frozen=True)
class Calibration:
    """Temperatures of logits, interpolated by how far a hidden cell is from the nearest visible one.

    Of few examples a model knows what is near the visible cells, and is too sure of what is far from all of them.

    Parameters
    ----------
    points
        Distances to the nearest visible cell, ascending; cells that touch, also at corners, are at distance 1.
    temperatures
        What logits are divided by at each of them; above 1 the probabilities become less extreme.
    by
        What the points are: "distances", or "hidden_fractions" of whole grids, as in models of version 0.2.

    Notes
    -----
    Temperature scaling (Guo et al. 2017, arXiv:1706.04599), which has one temperature for all.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.logits import Calibration
    >>> calibration = Calibration((1.0, 3.0), (1.0, 1.2))
    >>> calibration.temperature(np.array([[[False, True, True, True, True]]]))
    array([[[1. , 1. , 1.1, 1.2, 1.2]]])
    """

    points: tuple[float, ...] = (1.0,)
    temperatures: tuple[float, ...] = (1.0,)
    by: Points = "distances"

    def temperature(self, hidden: Hidden) -> Float[np.ndarray, "batch rows columns"]:
        """Return the temperatures of grids.

        Parameters
        ----------
        hidden
            True where a cell is hidden.

        Returns
        -------
        ndarray
            What the logits are divided by: of each cell, or of each grid (batch, 1, 1).
        """
        if self.by == "distances":
            measured = distance_to_visible(hidden, ceil(self.points[-1]))
        else:
            measured = hidden.mean(axis=(1, 2), keepdims=True)
        return np.interp(measured, self.points, self.temperatures)

    def to_json(self) -> dict[str, list[float]]:
        """Give what a model file says of it.

        Returns
        -------
        dict
            The points under the name of what they are, and the temperatures.

        Examples
        --------
        >>> Calibration().to_json()
        {'distances': [1.0], 'temperatures': [1.0]}
        """
        return {self.by: list(self.points), "temperatures": list(self.temperatures)}

    @classmethod
    def from_json(cls, values: Mapping[str, Sequence[float]]) -> "Calibration":
        """Make it from what a model file says.

        Parameters
        ----------
        values
            As `to_json` returns.

        Returns
        -------
        Calibration
            The same again.

        Raises
        ------
        InputError
            Unless there are as many temperatures as points of one kind.

        Examples
        --------
        >>> Calibration.from_json({"hidden_fractions": [0.5], "temperatures": [1.2]})
        Calibration(points=(0.5,), temperatures=(1.2,), by='hidden_fractions')
        """
        temperatures = tuple(values["temperatures"])
        kinds: list[Points] = [by for by in KINDS_OF_POINTS if by in values]
        if [len(values[by]) for by in kinds] != [len(temperatures)]:
            raise InputError("the calibration in its note does not fit; use the original file")
        return cls(tuple(values[kinds[0]]), temperatures, kinds[0])


def distance_to_visible(hidden: Hidden, most: int) -> Int[np.ndarray, "batch height width"]:
    """Count how far each cell is from the nearest visible one.

    Parameters
    ----------
    hidden
        True where a cell is hidden.
    most
        The distance to stop at; at most the larger side of the grids.

    Returns
    -------
    ndarray of int
        The larger of the differences in rows and columns; 0 at a visible cell; where it would be more, or where there
        is no visible cell, the one to stop at.

    Examples
    --------
    >>> import numpy as np
    >>> distance_to_visible(np.array([[[True, False, True, True, True]]]), 2)
    array([[[1, 0, 1, 2, 2]]])
    """
    distance, far = hidden.astype(np.int64), hidden
    for _ in range(1, min(most, max(hidden.shape[1:]))):
        far = _also_beside(_also_beside(far, axis=1), axis=2)
        if not far.any():
            break
        distance += far
    return distance


def _also_beside(hidden: Hidden, axis: int) -> Hidden:
    """Where a cell is hidden, and those before and behind it along an axis are, as far as there are such."""
    beside = hidden.copy()
    of, result = np.moveaxis(hidden, axis, 0), np.moveaxis(beside, axis, 0)
    result[1:] &= of[:-1]
    result[:-1] &= of[1:]
    return beside


class LogitsPredictor(ABC):
    """A Predictor made of logits: a trained model, whatever it runs on.

    All forward passes for grids of one size have the same shape, so that rounding does not depend on which grids are
    asked about together. Several passes run at once, each in one thread: on small matrices that is faster than many
    threads for one pass.

    Parameters
    ----------
    n_symbols
        The number of symbols.
    calibration
        The temperatures that the logits are divided by; all 1 by default.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.logits import LogitsPredictor
    >>> class ThreeToOne(LogitsPredictor):
    ...     def logits(self, tokens):
    ...         return np.log(np.full((*tokens.shape, 2), [3.0, 1.0]))
    >>> cells, hidden = np.array([[[1, 1]]]), np.array([[[True, False]]])
    >>> ThreeToOne(n_symbols=2).marginals(cells, hidden)
    array([[[[0.75, 0.25],
             [0.  , 1.  ]]]])
    """

    window: tuple[int, int] | None = None
    pass_cells = 4096  # at least: enough to be fast in bulk, few enough to answer one grid at once
    in_one_thread = False  # where other processes have the other cores

    def __init__(self, n_symbols: int, calibration: Calibration | None = None):
        self.n_symbols, self.calibration = n_symbols, calibration or Calibration()

    @abstractmethod
    def logits(self, tokens: Cells, side: Features | None = None) -> Marginals:
        """Return the logits of every cell.

        Parameters
        ----------
        tokens
            The symbol of each visible cell, and `n_symbols` for each hidden one.
        side
            The features of the side maps, for a model that has such.

        Returns
        -------
        ndarray
            A logit for each symbol of each cell.
        """

    @staticmethod
    def start_thread() -> None:
        """Prepare a thread; each thread that passes run in calls it once."""
        return

    def marginals(self, cells: Cells, hidden: Hidden, side: Features | None = None) -> Marginals:
        """See `Predictor.marginals`; `side` has the features of the side maps."""
        tokens = tokens_of(cells, hidden, self.n_symbols)
        chunk = max(1, min(GRIDS_A_PASS, self.pass_cells // max(1, tokens[0].size))) if len(tokens) else 1
        parts = [slice(start, start + chunk) for start in range(0, len(tokens), chunk)]
        run_all = workers(self.start_thread).map if len(parts) > 1 and not self.in_one_thread else map
        of_part = lambda part: None if side is None else side[part]  # noqa: E731
        passes = list(run_all(lambda part: self.one_pass(tokens[part], chunk, of_part(part)), parts))
        logits = np.concatenate(passes) if passes else np.zeros((*tokens.shape, self.n_symbols))
        marginals = known_or(logits / self.calibration.temperature(hidden)[..., None], cells, hidden)
        marginals[hidden] = softmax(marginals[hidden])
        return marginals

    def one_pass(self, tokens: Cells, chunk: int, side: Features | None = None) -> Marginals:
        """Do one forward pass; what a grid gets does not depend on the others in it.

        Parameters
        ----------
        tokens
            As in `logits`.
        chunk
            How many grids the pass has room for.
        side
            As in `logits`.

        Returns
        -------
        ndarray
            As `logits` returns, in float64.

        Raises
        ------
        InputError
            If the logits are of another shape, or no finite numbers.
        """
        padded = np.full((chunk, *tokens.shape[1:]), self.n_symbols)
        padded[: len(tokens)] = tokens
        if side is None:
            logits = self.logits(padded)
        else:
            logits = self.logits(padded, np.pad(side, [(0, chunk - len(side)), *[(0, 0)] * 3]))
        if logits.shape != (*padded.shape, self.n_symbols):
            raise InputError(f"the model gives {logits.shape} logits for {padded.shape} cells: use the original file")
        if not np.isfinite(logits).all():
            raise InputError("the model gives logits that are no finite numbers: use the original file, or train again")
        return logits[: len(tokens)].astype(np.float64)


@cache
def workers(start_thread: Callable[[], None], name: str = "passes", spared: int = 0) -> ThreadPoolExecutor:
    """Give the threads in which forward passes run, one for each core.

    Parameters
    ----------
    start_thread
        What each thread calls first.
    name
        Of the threads; each name has its own.
    spared
        Cores, if there are more, for work between the passes.

    Returns
    -------
    ThreadPoolExecutor
        The same each time.

    Examples
    --------
    >>> workers(LogitsPredictor.start_thread) is workers(LogitsPredictor.start_thread)
    True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(max(1, (cores or 1) - spared), name, start_thread)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=workers.cache_clear)  # a child has none of its parent's threads
