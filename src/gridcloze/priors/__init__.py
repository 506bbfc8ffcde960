"""Where example grids come from, and what Bayes' rule says where their distribution is known."""

from .examples import Examples, Symmetries
from .finite import FinitePrior, rectangles, squares, stripes
from .hiding import evaluation_hiding, training_hiding
from .ising import Ising
from .known import TOYS, Toy, make_toy, posterior
from .mirror import Mirror
from .posterior import ContradictionError, ExactPosterior, KnownPrior, Prior
from .windows import Windows

__all__ = [
    "TOYS",
    "ContradictionError",
    "ExactPosterior",
    "Examples",
    "FinitePrior",
    "Ising",
    "KnownPrior",
    "Mirror",
    "Prior",
    "Symmetries",
    "Toy",
    "Windows",
    "evaluation_hiding",
    "make_toy",
    "posterior",
    "rectangles",
    "squares",
    "stripes",
    "training_hiding",
]
