"""A prior of grids that equal themselves turned by 180 degrees, and its exact posterior."""

import numpy as np
from jaxtyping import Float, Int

from ..puzzles import checked_evidence
from ..shapes import Bits, Cells, Evidence, Hidden, Marginals, Samples
from .posterior import ContradictionError, check_query, check_size, is_legal, likelihood_of, one_hot, spec_of


class Mirror:
    """The prior of fair coins of which each equals its partner, its reflection in the centre of the grid.

    The partner of (row, column) is (height - 1 - row, width - 1 - column). Of the mirror symmetries of a grid this
    one has partners farthest apart, so that a small window holds both partners for few cells only.

    Parameters
    ----------
    height, width
        The size of the grid, in cells.

    Raises
    ------
    InputError
        If the grid has no cells.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors import Mirror
    >>> prior = Mirror(3, 4)
    >>> prior.sample(1, np.random.default_rng(0))
    array([[[1, 1, 1, 0],
            [0, 0, 0, 0],
            [0, 1, 1, 1]]])
    >>> prior.log_prob_bits(prior.sample(1, np.random.default_rng(0)))
    array([-6.])
    """

    n_symbols = 2

    def __init__(self, height: int = 16, width: int = 16):
        check_size(height, width)
        self.height, self.width = height, width
        self.spec = spec_of("mirror", height, width)

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """See `Prior.sample`."""
        flat = generator.integers(0, self.n_symbols, (n, self.height * self.width))
        half = flat.shape[1] // 2
        flat[:, flat.shape[1] - half :] = flat[:, :half][:, ::-1]
        return flat.reshape(n, self.height, self.width)

    def log_prob_bits(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        """See `KnownPrior.log_prob_bits`. Each pair of partners costs one bit, and so does a cell in the centre."""
        symmetric = (cells == cells[:, ::-1, ::-1]).all(axis=(1, 2)) & is_legal(cells, self.n_symbols)
        return np.where(symmetric, -float((self.height * self.width + 1) // 2), -np.inf)


class MirrorPosterior:
    """The exact posterior of the mirror prior: a cell with a visible partner equals it, any other is a fair coin.

    `posterior` makes it; see `ExactPosterior` for its methods.

    Parameters
    ----------
    prior
        The prior.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors import Mirror, posterior
    >>> cells, hidden = np.ones((1, 2, 3), int), np.ones((1, 2, 3), bool)
    >>> hidden[0, 0, 0] = False
    >>> posterior(Mirror(2, 3)).marginals(cells, hidden)[0, ..., 1]
    array([[1. , 0.5, 0.5],
           [0.5, 0.5, 1. ]])
    """

    window: tuple[int, int] | None = None

    def __init__(self, prior: Mirror):
        self.prior, self.n_symbols = prior, prior.n_symbols

    def marginals(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Marginals:
        """See `ExactPosterior.marginals`."""
        determined, free, distribution = self._resolve(cells, hidden, evidence)
        return np.where(free[..., None], distribution, one_hot(determined, self.n_symbols))

    def sample(
        self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator, evidence: Evidence | None = None
    ) -> Samples:
        """See `ExactPosterior.sample`."""
        determined, free, distribution = self._resolve(cells, hidden, evidence)
        half = generator.random((len(cells), n, (cells[0].size + 1) // 2))  # one number decides for both partners
        both = np.concatenate((half, half[..., : cells[0].size // 2][..., ::-1]), axis=-1)
        uniform = both.reshape(len(cells), n, *cells.shape[1:])
        drawn = (uniform >= distribution[:, None, ..., 0]).astype(np.int64)
        return np.where(free[:, None], drawn, determined[:, None])

    def log_prob_bits(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Bits:
        """See `ExactPosterior.log_prob_bits`."""
        determined, free, distribution = self._resolve(cells, hidden, evidence)
        with np.errstate(divide="ignore"):  # what the evidence forbids has -inf bits
            bits = np.where(free, np.log2(likelihood_of(distribution, cells)), 0.0)
        agrees = (self.prior.log_prob_bits(cells) > -np.inf) & ((cells == determined) | free).all(axis=(1, 2))
        return np.where(agrees, (bits * self._share_of_pair()).sum(axis=(1, 2)), -np.inf)

    def in_windows(self, cells: Cells, hidden: Hidden, radius: int) -> Marginals:
        """See `WindowLimited.marginals`. A partner counts if it is near; a contradiction is found wherever it is."""
        determined, free, distribution = self._resolve(cells, hidden, None)
        apart = np.abs(np.indices(hidden.shape[1:]) * 2 - np.array(hidden.shape[1:])[:, None, None] + 1).max(axis=0)
        unknown = free | (hidden & (apart > radius))
        return np.where(unknown[..., None], distribution, one_hot(determined, self.n_symbols))

    def _share_of_pair(self) -> Float[np.ndarray, "height width"]:
        """1/2 for each of two partners, and 1 for a cell in the centre, which is its own."""
        height, width = self.prior.height, self.prior.width
        share = np.full((height, width), 0.5)
        if height * width % 2:
            share[height // 2, width // 2] = 1.0
        return share

    def _resolve(
        self, cells: Cells, hidden: Hidden, evidence: Evidence | None
    ) -> tuple[Cells, Hidden, Float[np.ndarray, "batch height width symbol"]]:
        """The cells that they or their partners determine, which cells neither does, and the distribution of these."""
        check_query(cells, hidden, self.prior)
        partner, partner_hidden = cells[:, ::-1, ::-1], hidden[:, ::-1, ::-1]
        conflicts = ((cells != partner) & ~hidden & ~partner_hidden).sum(axis=(1, 2)) // 2
        if conflicts.any():
            grid = int(np.flatnonzero(conflicts)[0])
            raise ContradictionError(grid, int(conflicts[grid]))
        determined, free = np.where(hidden, partner, cells), hidden & partner_hidden
        return determined, free, self._distribution(determined, free, hidden, evidence)

    def _distribution(self, determined: Cells, free: Hidden, hidden: Hidden, evidence: Evidence | None) -> Marginals:
        """The distribution of each cell whose partner is hidden too: from the evidence of both."""
        weights = np.ones((*hidden.shape, self.n_symbols))
        if evidence is not None:
            observed = checked_evidence(evidence, hidden, self.n_symbols)
            alone = self._share_of_pair()[..., None] == 1.0
            weights = observed * np.where(alone, 1.0, observed[:, ::-1, ::-1])
            impossible = np.where(free, weights.sum(-1) == 0, likelihood_of(observed, determined) == 0)
            if impossible.any():
                raise ContradictionError(int(np.argwhere(impossible)[0, 0]), 0)
        return weights / np.maximum(weights.sum(-1, keepdims=True), np.finfo(float).tiny)
