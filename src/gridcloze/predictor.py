"""The protocol that everything which fills a grid follows, and what all of its followers share."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from .grids import InputError

GRIDS_A_PASS = 64  # that a pass reads

Cells = Int[np.ndarray, "batch height width"]
Hidden = Bool[np.ndarray, "batch height width"]
Marginals = Float[np.ndarray, "batch height width symbol"]
Evidence = Shaped[np.ndarray, "batch height width symbol"]


@runtime_checkable
class Predictor(Protocol):
    """Anything that gives the law of each hidden cell given the visible ones."""

    @property
    def n_symbols(self) -> int: ...

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """Probabilities that sum to 1 over the last axis; a visible cell has its own symbol with 1.

        What `cells` holds where `hidden` is True is not looked at. Two threads may ask at once.
        """
        ...


def tokens_of(cells: Cells, hidden: Hidden, n_symbols: int) -> Cells:
    """The cells with `n_symbols` where hidden; raises InputError for a visible cell that is no symbol."""
    tokens = np.where(hidden, n_symbols, cells).astype(np.int64)
    wrong = np.argwhere((tokens < 0) | (tokens > n_symbols) | ((tokens == n_symbols) & ~hidden))
    if len(wrong):
        grid, row, column = wrong[0]
        raise InputError(
            f"cell (row {row}, column {column}) of grid {grid} is {cells[grid, row, column]}: "
            f"a visible cell is a symbol 0…{n_symbols - 1}"
        )
    return tokens


def known_or(probabilities: Marginals, cells: Cells, hidden: Hidden) -> Marginals:
    """The probabilities at hidden cells; at visible ones certainty of what they show."""
    n_symbols = probabilities.shape[-1]
    certain = np.eye(n_symbols)[np.where(hidden, 0, cells)]
    return np.where(hidden[..., None], probabilities, certain)


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


def softmax(logits: Float[np.ndarray, "*grids symbol"]) -> Float[np.ndarray, "*grids symbol"]:
    """Probabilities over the last axis."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def entropy_bits(marginals: Float[np.ndarray, "*grids symbol"]) -> Float[np.ndarray, "*grids"]:
    """The entropy of each cell's law, in bits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(marginals > 0, marginals * np.log2(marginals), 0.0).sum(-1)


def checked_evidence(evidence: Evidence, hidden: Hidden, n_symbols: int) -> Marginals:
    """What was observed of each cell, as the probability of the observation under each symbol; 1 at visible cells.

    Of bools it is the set of allowed symbols. Each cell's evidence is scaled to a largest value of 1, which changes
    no posterior. Raises InputError for another shape, for what is no probability, and for a cell that is left nothing.
    """
    if evidence.shape != (*hidden.shape, n_symbols) or evidence.dtype.kind not in "biuf":
        expected = (*hidden.shape, n_symbols)
        raise InputError(
            f"evidence {evidence.dtype}{evidence.shape} does not fit: it must be numbers or bools {expected}"
        )
    values = np.where(hidden[..., None], evidence.astype(np.float64), 1.0)
    improper = np.asarray(~((values >= 0) & (values <= 1)).all(-1))
    _refuse_at(improper, "its evidence is no probability: each number must be 0 … 1")
    largest = values.max(-1, keepdims=True)
    _refuse_at(np.equal(largest[..., 0], 0), "its evidence allows no symbol: leave it at least one")
    return values / largest


def _refuse_at(wrong: Hidden, why: str) -> None:
    if wrong.any():
        grid, row, column = np.argwhere(wrong)[0]
        raise InputError(f"cell (row {row}, column {column}) of grid {grid}: {why}")
