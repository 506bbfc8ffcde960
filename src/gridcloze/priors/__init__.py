"""Where example grids come from: files, arrays, and toys that know their own law."""

from .examples import Examples, Symmetries
from .finite import FinitePrior, rectangles, squares, stripes
from .ising import Ising
from .known import TOYS, Toy, make_toy, posterior
from .mirror import Mirror
from .posterior import KnownPrior, Prior
from .windows import Windows

__all__ = [
    "TOYS",
    "Examples",
    "FinitePrior",
    "Ising",
    "KnownPrior",
    "Mirror",
    "Prior",
    "Symmetries",
    "Toy",
    "Windows",
    "make_toy",
    "posterior",
    "rectangles",
    "squares",
    "stripes",
]
