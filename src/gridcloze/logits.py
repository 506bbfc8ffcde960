"""Predictors made of logits: forward passes of one shape in threads, calibrated."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Float32

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


@dataclass(frozen=True)
class Calibration:
    """Temperatures of logits, interpolated by the hidden fraction of a grid.

    Parameters
    ----------
    hidden_fractions
        Shares of hidden cells, ascending.
    temperatures
        What logits are divided by at each of them; above 1 the probabilities become less extreme.

    Notes
    -----
    Temperature scaling (Guo et al. 2017, arXiv:1706.04599), which has one temperature for all.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.logits import Calibration
    >>> calibration = Calibration((0.25, 0.75), (0.8, 1.2))
    >>> calibration.temperature(np.array([[[True, False]], [[True, True]]]))
    array([1. , 1.2])
    """

    hidden_fractions: tuple[float, ...] = (0.0,)
    temperatures: tuple[float, ...] = (1.0,)

    def temperature(self, hidden: Hidden) -> Float[np.ndarray, "batch"]:
        """Return the temperature of each grid.

        Parameters
        ----------
        hidden
            True where a cell is hidden.

        Returns
        -------
        ndarray
            What its logits are divided by.
        """
        return np.interp(hidden.mean(axis=(1, 2)), self.hidden_fractions, self.temperatures)


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
        temperature = self.calibration.temperature(hidden)[:, None, None, None]
        marginals = known_or(logits / temperature, cells, hidden)
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
