"""Where example grids come from: files, arrays, and toys that know their own law."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from .examples import Examples
from .toys import TOYS, FinitePrior, Ising, Mirror, Toy, make_toy, rectangles, squares, stripes


@runtime_checkable
class Prior(Protocol):
    """A source of example grids, all of one size; in what it gives, -1 is a cell that is unknown."""

    height: int
    width: int
    n_symbols: int

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]: ...


@runtime_checkable
class KnownPrior(Prior, Protocol):
    """A prior that knows the log-probability of each grid, in bits."""

    def log_prob_bits(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]: ...


__all__ = [
    "TOYS",
    "Examples",
    "FinitePrior",
    "Ising",
    "KnownPrior",
    "Mirror",
    "Prior",
    "Toy",
    "make_toy",
    "rectangles",
    "squares",
    "stripes",
]
