"""A toy prior of grids that equal themselves turned by 180 degrees, and its exact posterior."""

import numpy as np
from jaxtyping import Float, Int

from ..puzzles import checked_evidence
from ..shapes import Bits, Cells, Evidence, Hidden, Marginals, Samples
from .posterior import ContradictionError, check_query, check_size, is_legal, likelihood_of, one_hot, spec_of


class Mirror:
    """Independent fair cells, except that each equals its partner, its reflection in the centre of the grid.

    The partner of (row, column) is (height - 1 - row, width - 1 - column): of the mirror symmetries of a grid the
    point reflection is the one whose partners lie farthest apart, so a small window sees both for few cells only.
    Raises InputError for a grid without cells.
    """

    n_symbols = 2

    def __init__(self, height: int = 16, width: int = 16):
        check_size(height, width)
        self.height, self.width = height, width
        self.spec = spec_of("mirror", height, width)

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """`n` independent grids."""
        flat = generator.integers(0, self.n_symbols, (n, self.height * self.width))
        half = flat.shape[1] // 2
        flat[:, flat.shape[1] - half :] = flat[:, :half][:, ::-1]
        return flat.reshape(n, self.height, self.width)

    def log_prob_bits(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        """One bit for each pair of partners and for a cell in the centre; -inf for a grid without the symmetry."""
        symmetric = (cells == cells[:, ::-1, ::-1]).all(axis=(1, 2)) & is_legal(cells, self.n_symbols)
        return np.where(symmetric, -float((self.height * self.width + 1) // 2), -np.inf)


class MirrorPosterior:
    """The posterior of the mirror prior: a cell with a visible partner equals it, any other is a fair coin."""

    window: tuple[int, int] | None = None

    def __init__(self, prior: Mirror):
        self.prior, self.n_symbols = prior, prior.n_symbols

    def marginals(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Marginals:
        known, free, law = self._resolve(cells, hidden, evidence)
        return np.where(free[..., None], law, one_hot(known, self.n_symbols))

    def sample(
        self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator, evidence: Evidence | None = None
    ) -> Samples:
        known, free, law = self._resolve(cells, hidden, evidence)
        half = generator.random((len(cells), n, (cells[0].size + 1) // 2))  # one number decides for both partners
        both = np.concatenate((half, half[..., : cells[0].size // 2][..., ::-1]), axis=-1)
        uniform = both.reshape(len(cells), n, *cells.shape[1:])
        return np.where(free[:, None], (uniform >= law[:, None, ..., 0]).astype(np.int64), known[:, None])

    def log_prob_bits(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Bits:
        known, free, law = self._resolve(cells, hidden, evidence)
        with np.errstate(divide="ignore"):  # what the evidence forbids has -inf bits
            bits = np.where(free, np.log2(likelihood_of(law, cells)), 0.0)
        agrees = (self.prior.log_prob_bits(cells) > -np.inf) & ((cells == known) | free).all(axis=(1, 2))
        return np.where(agrees, (bits * self._share_of_pair()).sum(axis=(1, 2)), -np.inf)

    def in_windows(self, cells: Cells, hidden: Hidden, radius: int) -> Marginals:
        """What `WindowLimited` asks, for all cells at once: a partner counts if near. Refuses all contradictions."""
        known, free, law = self._resolve(cells, hidden, None)
        apart = np.abs(np.indices(hidden.shape[1:]) * 2 - np.array(hidden.shape[1:])[:, None, None] + 1).max(axis=0)
        unknown = free | (hidden & (apart > radius))
        return np.where(unknown[..., None], law, one_hot(known, self.n_symbols))

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
        """Each cell as far as it or its partner is visible, which are free as neither is, and the law of these."""
        check_query(cells, hidden, self.prior)
        partner, partner_hidden = cells[:, ::-1, ::-1], hidden[:, ::-1, ::-1]
        conflicts = ((cells != partner) & ~hidden & ~partner_hidden).sum(axis=(1, 2)) // 2
        if conflicts.any():
            grid = int(np.flatnonzero(conflicts)[0])
            raise ContradictionError(grid, int(conflicts[grid]))
        known, free = np.where(hidden, partner, cells), hidden & partner_hidden
        return known, free, self._law(known, free, hidden, evidence)

    def _law(self, known: Cells, free: Hidden, hidden: Hidden, evidence: Evidence | None) -> Marginals:
        weights = np.ones((*hidden.shape, self.n_symbols))
        if evidence is not None:
            observed = checked_evidence(evidence, hidden, self.n_symbols)
            alone = self._share_of_pair()[..., None] == 1.0
            weights = observed * np.where(alone, 1.0, observed[:, ::-1, ::-1])
            impossible = np.where(free, weights.sum(-1) == 0, likelihood_of(observed, known) == 0)
            if impossible.any():
                raise ContradictionError(int(np.argwhere(impossible)[0, 0]), 0)
        return weights / np.maximum(weights.sum(-1, keepdims=True), np.finfo(float).tiny)
