"""Where example grids come from: files, arrays, and toys that know their own law."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from ..grids import Palette
from .examples import Examples, Symmetries
from .toys import TOYS, FinitePrior, Ising, Mirror, Toy, make_toy, rectangles, squares, stripes
from .windows import Windows


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


class Learnable(Prior, Protocol):
    """A prior that a model is made from: its palette, what a model file says of it, and a part that is held out."""

    palette: Palette

    @property
    def record(self) -> dict[str, Any]: ...

    def split(self) -> tuple[Prior, Examples]: ...


__all__ = [
    "TOYS",
    "Examples",
    "FinitePrior",
    "Ising",
    "KnownPrior",
    "Learnable",
    "Mirror",
    "Prior",
    "Symmetries",
    "Toy",
    "Windows",
    "make_toy",
    "rectangles",
    "squares",
    "stripes",
]
