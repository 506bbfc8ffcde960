"""Priors whose exact posterior is known, by name."""

import inspect
from collections.abc import Callable
from typing import Any

from ..words import InputError
from .finite import Enumeration, FinitePrior, rectangles, squares, stripes
from .ising import Ising, TransferMatrix
from .mirror import Mirror, MirrorPosterior
from .posterior import ExactPosterior, Prior

Toy = FinitePrior | Mirror | Ising
TOYS: dict[str, Callable[..., Toy]] = {
    "squares": squares,
    "rectangles": rectangles,
    "stripes": stripes,
    "mirror": Mirror,
    "ising": Ising,
}


def make_toy(name: str, **options: Any) -> Toy:
    """The toy prior of that name; `make_toy(**prior.spec)` is the same prior again.

    Raises InputError for an unknown name or option, and for sizes that do not fit.
    """
    if name not in TOYS:
        raise InputError(f"there is no toy {name!r}; the toys are {', '.join(TOYS)}")
    known = inspect.signature(TOYS[name]).parameters
    for option in options:
        if option not in known:
            raise InputError(f"{name} has no option {option!r}; its options are {', '.join(known)}")
    return TOYS[name](**options)


def posterior(prior: Prior) -> ExactPosterior:
    """The exact posterior of a prior that has one; InputError for any other prior."""
    if isinstance(prior, FinitePrior):
        return Enumeration(prior)
    if isinstance(prior, Mirror):
        return MirrorPosterior(prior)
    if isinstance(prior, Ising):
        return TransferMatrix(prior)
    raise InputError(f"the exact answer is known for toy priors only, not for {type(prior).__name__}")
