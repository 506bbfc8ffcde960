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
    """Make a prior by its name.

    Parameters
    ----------
    name
        One of `TOYS`: squares, rectangles, stripes, mirror, ising.
    **options
        The parameters of that prior. `make_toy(**prior.spec)` is the same prior again.

    Returns
    -------
    Toy
        A prior whose exact posterior is known.

    Raises
    ------
    InputError
        If the name or an option is unknown, or the sizes do not fit.

    Examples
    --------
    >>> from gridcloze.priors import make_toy
    >>> prior = make_toy("squares", height=8, width=8, largest=6)
    >>> prior.spec
    {'name': 'squares', 'height': 8, 'width': 8, 'smallest': 3, 'largest': 6, 'outline': False, 'inverted': False}
    >>> len(make_toy(**prior.spec).members) == len(prior.members)
    True
    """
    if name not in TOYS:
        raise InputError(f"there is no toy {name!r}; the toys are {', '.join(TOYS)}")
    possible = inspect.signature(TOYS[name]).parameters
    for option in options:
        if option not in possible:
            raise InputError(f"{name} has no option {option!r}; its options are {', '.join(possible)}")
    return TOYS[name](**options)


def posterior(prior: Prior) -> ExactPosterior:
    """Return the exact posterior of a prior.

    Parameters
    ----------
    prior
        A `FinitePrior`, `Mirror` or `Ising`.

    Returns
    -------
    ExactPosterior
        A Predictor whose probabilities are exact.

    Raises
    ------
    InputError
        If the exact posterior of the prior is not known.

    Examples
    --------
    A white corner leaves a single square with sides of two cells:

    >>> import numpy as np
    >>> from gridcloze.priors import posterior, squares
    >>> exact = posterior(squares(3, 3, smallest=2, largest=2))
    >>> cells, hidden = np.ones((1, 3, 3), int), np.ones((1, 3, 3), bool)
    >>> hidden[0, 0, 0] = False
    >>> exact.marginals(cells, hidden)[0, ..., 1]
    array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 0.]])
    """
    if isinstance(prior, FinitePrior):
        return Enumeration(prior)
    if isinstance(prior, Mirror):
        return MirrorPosterior(prior)
    if isinstance(prior, Ising):
        return TransferMatrix(prior)
    raise InputError(f"the exact posterior is known for toy priors only, not for {type(prior).__name__}")
