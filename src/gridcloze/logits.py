"""Predictors made of logits: forward passes of one shape in threads, calibrated."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from .predictor import known_or, softmax, tokens_of
from .shapes import Cells, Hidden, Marginals

GRIDS_A_PASS = 64  # that a pass reads


@dataclass(frozen=True)
class Calibration:
    """Temperatures of logits by the hidden fraction of a grid, interpolated (Guo et al. 2017, arXiv:1706.04599)."""

    hidden_fractions: tuple[float, ...] = (0.0,)
    temperatures: tuple[float, ...] = (1.0,)

    def temperature(self, hidden: Hidden) -> Float[np.ndarray, "batch"]:
        """What the logits of each grid are to be divided by."""
        return np.interp(hidden.mean(axis=(1, 2)), self.hidden_fractions, self.temperatures)


class LogitsPredictor(ABC):
    """A Predictor made of logits: what a trained model is, whatever it runs on.

    Passes have one fixed shape, so that rounding does not depend on the company a grid is in. Several of them run at
    once, each in one thread: on small matrices that is faster than many threads to a pass, and nothing waits in a spin.
    """

    window: tuple[int, int] | None = None
    pass_cells = 4096  # that a pass reads at least: enough to be fast in bulk, few enough to answer one grid at once

    def __init__(self, n_symbols: int, calibration: Calibration | None = None):
        self.n_symbols, self.calibration = n_symbols, calibration or Calibration()

    @abstractmethod
    def logits(self, tokens: Cells) -> Marginals:
        """The logits of every cell; a token is a symbol, or `n_symbols` for a hidden cell."""

    @staticmethod
    def start_thread() -> None:
        """Done once by every thread that passes run in."""
        return

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """The probability of each symbol at each hidden cell; visible cells keep theirs."""
        tokens = tokens_of(cells, hidden, self.n_symbols)
        chunk = max(1, min(GRIDS_A_PASS, self.pass_cells // max(1, tokens[0].size))) if len(tokens) else 1
        parts = [tokens[start : start + chunk] for start in range(0, len(tokens), chunk)]
        in_turn = _workers(self.start_thread).map if len(parts) > 1 else map
        passes = list(in_turn(lambda part: self._one_pass(part, chunk), parts))
        logits = np.concatenate(passes) if passes else np.zeros((*tokens.shape, self.n_symbols))
        temperature = self.calibration.temperature(hidden)[:, None, None, None]
        laws = known_or(logits / temperature, cells, hidden)
        laws[hidden] = softmax(laws[hidden])
        return laws

    def _one_pass(self, tokens: Cells, chunk: int) -> Marginals:
        full = np.full((chunk, *tokens.shape[1:]), self.n_symbols)
        full[: len(tokens)] = tokens
        return self.logits(full)[: len(tokens)].astype(np.float64)


@cache
def _workers(start_thread: Callable[[], None]) -> ThreadPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(cores, "passes", start_thread)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.cache_clear)  # a child has none of its parent's threads
