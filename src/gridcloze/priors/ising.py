"""The Ising model on a toroid-free grid as a toy prior, and its exact posterior."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from ..puzzles import checked_evidence
from ..shapes import Bits, Cells, Evidence, Hidden, Marginals, Samples
from ..words import InputError
from .posterior import NUMBERS_AT_ONCE, check_query, check_size, chunks, is_legal, observed_bits, one_hot, spec_of

WIDEST_NARROW_SIDE = 10  # a line of the Ising chain has 2 ** (narrow side) states
STRONGEST = 5.0  # beyond it, products of Ising weights leave the range of a float64


class Ising:
    """The Ising model: neighbours tend to be equal (unlike, for a negative coupling).

    With spin = 2 cell - 1, P(cells) ∝ exp(coupling · sum over neighbours of spin · spin + field · sum of spins); free
    boundaries. Exact by the transfer matrix of Kramers and Wannier (Physical Review 60, 1941): the lines of the grid
    along its narrow side form a Markov chain, and a state of the chain is one line.
    Raises InputError if the narrow side is too long or a parameter too strong for that.
    """

    n_symbols = 2

    def __init__(self, height: int = 16, width: int = 8, coupling: float = 0.35, field: float = 0.0):
        check_size(height, width)
        narrow = min(height, width)
        if narrow > WIDEST_NARROW_SIDE:
            raise InputError(
                f"an Ising grid needs a side of at most {WIDEST_NARROW_SIDE} cells, not {height} by {width}"
            )
        if not (abs(coupling) <= STRONGEST and abs(field) <= STRONGEST):  # refuses NaN too
            raise InputError(f"coupling {coupling} and field {field} must lie within ±{STRONGEST}")
        self.height, self.width, self.coupling, self.field = height, width, coupling, field
        self.spec = spec_of("ising", height, width, coupling=coupling, field=field)
        self.states = np.arange(2**narrow)[:, None] >> np.arange(narrow) & 1
        self._line_weight = np.exp(self._log_weight(self.states[:, None, :]))
        spins = 2 * self.states - 1
        self.transfer = np.exp(coupling * (spins @ spins.T))
        everything = np.ones((1, max(height, width), len(self.states)))
        laws, log_weights = self.forward(everything)
        self._laws, self.log_partition = laws[0], float(log_weights[0])

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """`n` independent grids."""
        return self.turned(self.draw_backward(self._laws, n, generator))

    def log_prob_bits(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        """The log-probability of each grid in bits, -inf for a grid with other symbols than 0 and 1."""
        bits = (self._log_weight(cells) - self.log_partition) / np.log(2)
        return np.where(is_legal(cells, self.n_symbols), bits, -np.inf)

    def _log_weight(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        spins = 2 * cells - 1
        along_columns = (spins[:, 1:] * spins[:, :-1]).sum(axis=(1, 2))
        along_rows = (spins[:, :, 1:] * spins[:, :, :-1]).sum(axis=(1, 2))
        return self.coupling * (along_columns + along_rows) + self.field * spins.sum(axis=(1, 2))

    def turned(self, grids: np.ndarray) -> np.ndarray:
        """Axes 1 and 2 swapped if the grid is wider than high, so that axis 1 follows the chain; its own inverse."""
        return grids.swapaxes(1, 2) if self.width > self.height else grids

    def forward(
        self, observed: Float[np.ndarray, "batch line state"]
    ) -> tuple[Float[np.ndarray, "batch line state"], Float[np.ndarray, "batch"]]:
        """The law of each line given what was observed up to it, and the log (base e) of the weight of all grids.

        `observed` is the probability of what was observed of a line under each of its states, above 0 for one at least.
        """
        laws, log_weights = [], np.zeros(len(observed))
        predicted = np.ones((len(observed), len(self.states)))
        for of_line in observed.swapaxes(0, 1):
            weights = predicted * self._line_weight * of_line
            total = weights.sum(axis=1)
            log_weights += np.log(total)
            laws.append(weights / total[:, None])  # scaled at every line, or long grids would overflow
            predicted = laws[-1] @ self.transfer
        return np.stack(laws, axis=1), log_weights

    def backward(self, observed: Float[np.ndarray, "batch line state"]) -> Float[np.ndarray, "batch line state"]:
        """The probability of what was observed after each line, given its state, scaled to a sum of 1."""
        messages = [np.full((len(observed), len(self.states)), 1 / len(self.states))]
        for of_line in observed.swapaxes(0, 1)[:0:-1]:
            weights = (messages[-1] * self._line_weight * of_line) @ self.transfer
            messages.append(weights / weights.sum(axis=1, keepdims=True))
        return np.stack(messages[::-1], axis=1)

    def draw_backward(
        self, laws: Float[np.ndarray, "line state"], n: int, generator: np.random.Generator
    ) -> Int[np.ndarray, "n line narrow"]:
        """`n` grids (turned), line by line from the last to the first, from the laws that `forward` gives."""
        drawn = [_draw(np.broadcast_to(laws[-1], (n, len(self.states))), generator)]
        for law in laws[-2::-1]:
            drawn.append(_draw(law * self.transfer[drawn[-1]], generator))
        return self.states[np.stack(drawn[::-1], axis=1)]


def _draw(weights: Float[np.ndarray, "n state"], generator: np.random.Generator) -> Int[np.ndarray, " n"]:
    """One state for each row of weights, which need no scaling."""
    cumulative = weights.cumsum(axis=1)
    threshold = generator.random(len(weights)) * cumulative[:, -1]
    return (cumulative <= threshold[:, None]).sum(axis=1)


class TransferMatrix:
    """The posterior of the Ising prior, by the forward and backward messages of its chain of lines."""

    window: tuple[int, int] | None = None

    def __init__(self, prior: Ising):
        self.prior, self.n_symbols = prior, prior.n_symbols

    def marginals(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Marginals:
        white = np.empty(cells.shape)
        for part, observed in self._observed(cells, hidden, evidence):
            weights = self.prior.forward(observed)[0] * self.prior.backward(observed)
            white[part] = self.prior.turned(weights / weights.sum(axis=2, keepdims=True) @ self.prior.states)
        white = np.where(hidden, white.clip(0, 1), cells)
        return np.stack([1 - white, white], axis=-1)

    def sample(
        self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator, evidence: Evidence | None = None
    ) -> Samples:
        result = np.empty((len(cells), n, *cells.shape[1:]), dtype=np.int64)
        for part, observed in self._observed(cells, hidden, evidence):
            for grid, laws in enumerate(self.prior.forward(observed)[0], start=part.start):
                result[grid] = self.prior.turned(self.prior.draw_backward(laws, n, generator))
        return result

    def log_prob_bits(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Bits:
        log_weights = np.empty(len(cells))
        for part, observed in self._observed(cells, hidden, evidence):
            log_weights[part] = self.prior.forward(observed)[1]
        given = (log_weights - self.prior.log_partition) / np.log(2)
        return self.prior.log_prob_bits(cells) + observed_bits(cells, hidden, evidence) - given

    def _observed(
        self, cells: np.ndarray, hidden: np.ndarray, evidence: np.ndarray | None
    ) -> Iterator[tuple[slice, Float[np.ndarray, "batch line state"]]]:
        """The probability under each state of what is known of each line, one chunk of the batch after the other."""
        check_query(cells, hidden, self.prior)
        of_symbol = np.where(hidden[..., None], 1.0, one_hot(cells, self.n_symbols))
        if evidence is not None:
            of_symbol = of_symbol * checked_evidence(evidence, hidden, self.n_symbols)
        black, white = (self.prior.turned(of_symbol[..., symbol]) for symbol in (0, 1))
        states = self.prior.states
        for part in chunks(len(cells), NUMBERS_AT_ONCE // (8 * white[0].shape[0] * len(states))):
            observed = np.ones((part.stop - part.start, white.shape[1], len(states)))
            for place in range(states.shape[1]):
                observed *= np.where(states[:, place], white[part, :, place, None], black[part, :, place, None])
            yield part, observed
