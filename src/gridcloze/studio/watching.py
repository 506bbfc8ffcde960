"""Work that is watched: how far it is, in which order cells were revealed, and whether anybody still waits for it."""

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from ..checkpoint import TrainedPredictor
from ..logits import LogitsPredictor
from ..shapes import Cells, Hidden, Marginals

Recorded = dict[int, list[tuple[np.ndarray, float]]]  # of each fill its passes: the cells, and their log-probability


class GoneError(Exception):
    """Nobody waits for the answer any more.

    Examples
    --------
    >>> issubclass(GoneError, Exception)
    True
    """


@dataclass(eq=False)
class Watch:
    """What is known of work on its way.

    Parameters
    ----------
    is_gone
        Called before each forward pass; where it says True, the work ends with GoneError.
    total
        Units of all the work: cells that are revealed, or whole grids that are predicted.
    done
        Units so far.
    of_a_grid
        Units of each predicted grid.
    passes
        Of each fill its passes, while somebody asks.

    Examples
    --------
    >>> watch = Watch(lambda: False, total=8.0)
    >>> watch.count(2.0)
    >>> watch.share
    0.25
    """

    is_gone: Callable[[], bool]
    total: float = 1.0
    done: float = 0.0
    of_a_grid: float = 0.0
    passes: Recorded | None = None
    _lock: Any = field(default_factory=threading.Lock)

    @property
    def share(self) -> float:
        """Of the work that is done, 0 to 1."""
        return min(1.0, self.done / max(self.total, 1.0))

    def count(self, units: float) -> None:
        """Add to what is done.

        Parameters
        ----------
        units
            That were done; two threads may say so at once.
        """
        with self._lock:
            self.done += units

    def go_on(self) -> None:
        """Raise GoneError if nobody waits any more."""
        if self.is_gone():
            raise GoneError


@dataclass(frozen=True)
class Watched(TrainedPredictor):
    """A model whose work is watched; its answers are those of the model.

    Parameters
    ----------
    base, header
        As of `TrainedPredictor`.
    watch
        Who watches.

    Examples
    --------
    >>> Watched.__mro__[1] is TrainedPredictor
    True
    """

    watch: Watch = field(default_factory=lambda: Watch(lambda: False))

    def revealed(self, fills: np.ndarray, cells: np.ndarray, symbols: np.ndarray, bits: np.ndarray) -> None:
        """Take note of a pass; `decoding.Rows` calls this.

        Parameters
        ----------
        fills, cells, symbols, bits
            Of each revealed cell: the number of its fill, its place, its symbol and its log-probability.
        """
        self.watch.count(float(len(cells)))
        if self.watch.passes is not None:
            for one in np.unique(fills).tolist():
                of_one = fills == one
                self.watch.passes.setdefault(one, []).append((cells[of_one], bits[of_one].sum()))


def watched(predictor: TrainedPredictor, watch: Watch) -> Watched:
    """Let somebody watch what a model does.

    Parameters
    ----------
    predictor
        The model, which stays as it is.
    watch
        Who watches.

    Returns
    -------
    Watched
        The same model.

    Examples
    --------
    >>> from gridcloze import Inpainter
    >>> model = Inpainter(steps=1, depth=1).fit(np.eye(4, dtype=int)[None].repeat(20, axis=0)).predictor_
    >>> cells = np.full((1, 4, 4), -1)
    >>> watched(model, Watch(lambda: True)).marginals(cells, cells < 0)
    Traceback (most recent call last):
    gridcloze.studio.watching.GoneError
    """
    base = cast(Any, copy.copy(predictor.base))

    def logits(tokens: Cells) -> Marginals:
        watch.go_on()
        return predictor.base.logits(tokens)

    def marginals(cells: Cells, hidden: Hidden) -> Marginals:
        found = LogitsPredictor.marginals(base, cells, hidden)
        watch.count(watch.of_a_grid * len(cells))
        return found

    base.logits, base.marginals = logits, marginals
    return Watched(base, predictor.header, watch)
