"""The Ising model on a grid with free boundaries as a prior, and its exact posterior by transfer matrices."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from ..memory import refuse_beyond_memory
from ..puzzles import checked_evidence
from ..shapes import Bits, Cells, Evidence, Hidden, Marginals, Samples
from ..words import InputError
from .posterior import NUMBERS_AT_ONCE, check_query, check_size, chunks, is_legal, observed_bits, one_hot, spec_of

WIDEST_NARROW_SIDE = 10  # a line has 2 ** (narrow side) states
STRONGEST = 5.0  # beyond, products of weights leave the range of a float64


class Ising:
    """The Ising model: neighbouring cells tend to be equal, or unequal for a negative coupling.

    With spin = 2 cell - 1, P(cells) ∝ exp(coupling · sum over neighbours of spin · spin + field · sum of spins); the
    boundaries are free.

    Parameters
    ----------
    height, width
        The size of the grid, in cells; one side is at most 10 cells long.
    coupling, field
        The two parameters of the model, within ±5.

    Raises
    ------
    InputError
        If both sides are longer than 10 cells, or a parameter is out of range.

    Notes
    -----
    Exact by the transfer matrix of Kramers and Wannier (Physical Review 60, 1941): the lines of the grid along its
    narrow side form a Markov chain, and a state of the chain is one line.

    Examples
    --------
    Two neighbours are equal with probability e^coupling / (e^coupling + e^-coupling):

    >>> import numpy as np
    >>> from gridcloze.priors import Ising
    >>> prior = Ising(1, 2, coupling=0.5)
    >>> 2 ** prior.log_prob_bits(np.array([[[0, 0]], [[0, 1]], [[1, 0]], [[1, 1]]]))
    array([0.36552929, 0.13447071, 0.13447071, 0.36552929])
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
        refuse_beyond_memory(32 * max(height, width) * 2**narrow, f"an Ising grid of {height} by {width} cells")
        self.height, self.width, self.coupling, self.field = height, width, coupling, field
        self.spec = spec_of("ising", height, width, coupling=coupling, field=field)
        self.states = np.arange(2**narrow)[:, None] >> np.arange(narrow) & 1
        self._line_weight = np.exp(self._log_weight(self.states[:, None, :]))
        spins = 2 * self.states - 1
        self._transfer = np.exp(coupling * (spins @ spins.T))
        nothing_observed = np.ones((1, max(height, width), len(self.states)))
        forward_messages, log_weights = self.forward(nothing_observed)
        self._forward_messages, self.log_partition = forward_messages[0], float(log_weights[0])

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        """See `Prior.sample`."""
        return self.along_chain(self.sample_backward(self._forward_messages, n, generator))

    def log_prob_bits(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        """See `KnownPrior.log_prob_bits`."""
        bits = (self._log_weight(cells) - self.log_partition) / np.log(2)
        return np.where(is_legal(cells, self.n_symbols), bits, -np.inf)

    def _log_weight(self, cells: Int[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
        spins = 2 * cells - 1
        along_columns = (spins[:, 1:] * spins[:, :-1]).sum(axis=(1, 2))
        along_rows = (spins[:, :, 1:] * spins[:, :, :-1]).sum(axis=(1, 2))
        return self.coupling * (along_columns + along_rows) + self.field * spins.sum(axis=(1, 2))

    def along_chain(self, grids: np.ndarray) -> np.ndarray:
        """Swap axes 1 and 2 if the grid is wider than high, so that axis 1 follows the chain; its own inverse.

        Parameters
        ----------
        grids
            An array whose axes 1 and 2 are height and width, or line and cell.

        Returns
        -------
        ndarray
            A view of it.
        """
        return grids.swapaxes(1, 2) if self.width > self.height else grids

    def forward(
        self, observed: Float[np.ndarray, "batch line state"]
    ) -> tuple[Float[np.ndarray, "batch line state"], Float[np.ndarray, "batch"]]:
        """Pass messages from the first line to the last.

        Parameters
        ----------
        observed
            The probability of what was observed of a line under each of its states, above 0 for one at least.

        Returns
        -------
        tuple of ndarray
            The distribution of each line given what was observed up to it, and the natural logarithm of the weight of
            all grids that agree with the observation.
        """
        messages, log_weights = [], np.zeros(len(observed))
        predicted = np.ones((len(observed), len(self.states)))
        for of_line in observed.swapaxes(0, 1):
            weights = predicted * self._line_weight * of_line
            total = weights.sum(axis=1)
            log_weights += np.log(total)
            messages.append(weights / total[:, None])  # scaled at every line, or long grids would overflow
            predicted = messages[-1] @ self._transfer
        return np.stack(messages, axis=1), log_weights

    def backward(self, observed: Float[np.ndarray, "batch line state"]) -> Float[np.ndarray, "batch line state"]:
        """Pass messages from the last line to the first.

        Parameters
        ----------
        observed
            See `Ising.forward`.

        Returns
        -------
        ndarray
            The probability of what was observed after each line, given its state, scaled to a sum of 1.
        """
        messages = [np.full((len(observed), len(self.states)), 1 / len(self.states))]
        for of_line in observed.swapaxes(0, 1)[:0:-1]:
            weights = (messages[-1] * self._line_weight * of_line) @ self._transfer
            messages.append(weights / weights.sum(axis=1, keepdims=True))
        return np.stack(messages[::-1], axis=1)

    def sample_backward(
        self, forward_messages: Float[np.ndarray, "line state"], n: int, generator: np.random.Generator
    ) -> Int[np.ndarray, "n line narrow"]:
        """Draw grids line by line, from the last line to the first.

        Parameters
        ----------
        forward_messages
            The distributions that `Ising.forward` returns for one grid.
        n
            The number of grids.
        generator
            The source of all random numbers.

        Returns
        -------
        ndarray
            The grids with the axis of the chain first; see `Ising.along_chain`.
        """
        states = [_sample_states(np.broadcast_to(forward_messages[-1], (n, len(self.states))), generator)]
        for message in forward_messages[-2::-1]:
            states.append(_sample_states(message * self._transfer[states[-1]], generator))
        return self.states[np.stack(states[::-1], axis=1)]


def _sample_states(weights: Float[np.ndarray, "n state"], generator: np.random.Generator) -> Int[np.ndarray, " n"]:
    """One state for each row of weights, which need no scaling."""
    cumulative = weights.cumsum(axis=1)
    threshold = generator.random(len(weights)) * cumulative[:, -1]
    return (cumulative <= threshold[:, None]).sum(axis=1)


class TransferMatrix:
    """The exact posterior of the Ising prior, by forward and backward messages along its chain of lines.

    `posterior` makes it; see `ExactPosterior` for its methods.

    Parameters
    ----------
    prior
        The prior.

    Examples
    --------
    Between two equal neighbours a cell is more likely to be equal too than next to one:

    >>> import numpy as np
    >>> from gridcloze.priors import Ising, posterior
    >>> cells, hidden = np.ones((1, 1, 5), int), np.array([[[False, True, False, True, True]]])
    >>> posterior(Ising(1, 5, coupling=0.5)).marginals(cells, hidden)[0, 0, :, 1].round(2)
    array([1.  , 0.88, 1.  , 0.73, 0.61])
    """

    window: tuple[int, int] | None = None

    def __init__(self, prior: Ising):
        self.prior, self.n_symbols = prior, prior.n_symbols

    def marginals(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Marginals:
        """See `ExactPosterior.marginals`."""
        white = np.empty(cells.shape)
        for part, observed in self._observed(cells, hidden, evidence):
            weights = self.prior.forward(observed)[0] * self.prior.backward(observed)
            white[part] = self.prior.along_chain(weights / weights.sum(axis=2, keepdims=True) @ self.prior.states)
        white = np.where(hidden, white.clip(0, 1), cells)
        return np.stack([1 - white, white], axis=-1)

    def sample(
        self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator, evidence: Evidence | None = None
    ) -> Samples:
        """See `ExactPosterior.sample`."""
        result = np.empty((len(cells), n, *cells.shape[1:]), dtype=np.int64)
        for part, observed in self._observed(cells, hidden, evidence):
            for grid, messages in enumerate(self.prior.forward(observed)[0], start=part.start):
                result[grid] = self.prior.along_chain(self.prior.sample_backward(messages, n, generator))
        return result

    def log_prob_bits(self, cells: Cells, hidden: Hidden, evidence: Evidence | None = None) -> Bits:
        """See `ExactPosterior.log_prob_bits`."""
        log_weights = np.empty(len(cells))
        for part, observed in self._observed(cells, hidden, evidence):
            log_weights[part] = self.prior.forward(observed)[1]
        bits_of_visible = (log_weights - self.prior.log_partition) / np.log(2)
        return self.prior.log_prob_bits(cells) + observed_bits(cells, hidden, evidence) - bits_of_visible

    def _observed(
        self, cells: np.ndarray, hidden: np.ndarray, evidence: np.ndarray | None
    ) -> Iterator[tuple[slice, Float[np.ndarray, "batch line state"]]]:
        """The probability of what is known of each line under each of its states, chunk by chunk of the batch."""
        check_query(cells, hidden, self.prior)
        of_symbol = np.where(hidden[..., None], 1.0, one_hot(cells, self.n_symbols))
        if evidence is not None:
            of_symbol = of_symbol * checked_evidence(evidence, hidden, self.n_symbols)
        black, white = (self.prior.along_chain(of_symbol[..., symbol]) for symbol in (0, 1))
        states = self.prior.states
        for part in chunks(len(cells), NUMBERS_AT_ONCE // (8 * white[0].shape[0] * len(states))):
            observed = np.ones((part.stop - part.start, white.shape[1], len(states)))
            for cell in range(states.shape[1]):
                observed *= np.where(states[:, cell], white[part, :, cell, None], black[part, :, cell, None])
            yield part, observed
