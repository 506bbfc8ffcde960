"""What happens on the way to an answer: forward passes are shared, and somebody watches how far the work is."""

import copy
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from ..checkpoint import TrainedPredictor
from ..logits import Features, LogitsPredictor, workers
from ..shapes import Cells, Hidden, Marginals

OnePass = tuple[np.ndarray, np.ndarray, float]  # the cells it revealed, their symbols, and their log-probability
Recorded = dict[int, list[OnePass]]  # of each fill its passes


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
                self.watch.passes.setdefault(one, []).append((cells[of_one], symbols[of_one], bits[of_one].sum()))


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

    def one_pass(tokens: Cells, chunk: int, side: Features | None = None) -> Marginals:
        watch.go_on()
        return predictor.base.one_pass(tokens, chunk, side)

    def marginals(cells: Cells, hidden: Hidden, side: Features | None = None) -> Marginals:
        found = LogitsPredictor.marginals(base, cells, hidden, side)
        watch.count(watch.of_a_grid * len(cells))
        return found

    base.one_pass, base.marginals = one_pass, marginals
    return Watched(base, predictor.header, watch)


_Part = tuple[Cells, Features | None, Future[Marginals]]  # of a pass


class _Joined:
    """Forward passes with room for many grids, of which one question often has few."""

    def __init__(self, base: LogitsPredictor):
        self.base, self.lock = base, threading.Lock()
        self.waiting: defaultdict[Any, list[_Part]] = defaultdict(list)

    def one_pass(self, tokens: Cells, chunk: int, side: Features | None = None) -> Marginals:
        """See `LogitsPredictor.one_pass`: what comes while all threads are busy goes together."""
        size, logits = tokens.shape[1:], Future[Marginals]()
        with self.lock:
            self.waiting[size].append((tokens, side, logits))
        workers(self.base.start_thread, "joined", spared=1).submit(self._pass, size, chunk)
        return logits.result()

    def _pass(self, size: tuple[int, ...], chunk: int) -> None:
        """Take the part that waits longest, and others that fit; the turns of these find less, or nothing."""
        taken, left, room = list[_Part](), list[_Part](), chunk
        with self.lock:
            for part in self.waiting.pop(size, []):
                fits = len(part[0]) <= room
                (taken if fits else left).append(part)
                room -= fits * len(part[0])
            if left:
                self.waiting[size] = left
        if taken:
            self._answer(taken, chunk)

    def _answer(self, parts: list[_Part], chunk: int) -> None:
        try:
            tokens, sides, answers = zip(*parts, strict=True)  # with side maps each part has some, or none has
            side = None if sides[0] is None else np.concatenate(sides)
            found = self.base.one_pass(np.concatenate(tokens), chunk, side)
            ends = np.cumsum([len(of_part) for of_part in tokens])
            for answer, of_part in zip(answers, np.split(found, ends[:-1]), strict=True):
                answer.set_result(of_part)
        except Exception as error:
            if len(parts) == 1:
                parts[0][2].set_exception(error)
            else:  # what is wrong with one of them must not harm the others
                for part in parts:
                    self._answer([part], chunk)


def joined(predictor: TrainedPredictor) -> TrainedPredictor:
    """Let threads that ask a model at once share its forward passes, of which each costs as much as a full one.

    Parameters
    ----------
    predictor
        The model, which stays as it is.

    Returns
    -------
    TrainedPredictor
        The same model; what it answers does not depend on what else is asked.

    Examples
    --------
    >>> from gridcloze import Inpainter
    >>> model = Inpainter(steps=1, depth=1).fit(np.eye(4, dtype=int)[None].repeat(20, axis=0)).predictor_
    >>> cells = np.full((1, 4, 4), -1)
    >>> np.array_equal(joined(model).marginals(cells, cells < 0), model.marginals(cells, cells < 0))
    True
    """
    base = cast(Any, copy.copy(predictor.base))
    base.one_pass = _Joined(predictor.base).one_pass
    return replace(predictor, base=base)
