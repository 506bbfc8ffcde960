"""The memory of examples, held against the exact posterior."""

import numpy as np
import pytest

from gridcloze import scoring
from gridcloze.lookup import Lookup
from gridcloze.priors import evaluation_hiding, posterior, squares
from gridcloze.words import InputError

PRIOR = squares(6, 6, 2, 4)
EXACT = posterior(PRIOR)
GENERATOR = np.random.default_rng(0)
CELLS = PRIOR.sample(400, GENERATOR)
HIDDEN = evaluation_hiding(CELLS.shape, GENERATOR)
TRUTH = EXACT.marginals(CELLS, HIDDEN)


def test_a_lookup_among_all_members_is_nearly_exact_and_among_others_is_not():
    """A lookup that saw every member many times comes near the exact answer; one that saw the other half does not."""
    everything = np.repeat(PRIOR.members.astype(np.int64), 50, axis=0)
    assert scoring.excess_bits(Lookup(everything, 2).marginals(CELLS, HIDDEN), TRUTH, HIDDEN) < 0.02
    learned, held_out = PRIOR.members[::2].astype(np.int64), PRIOR.members[1::2].astype(np.int64)
    cells = held_out[np.random.default_rng(3).integers(0, len(held_out), 400)]
    truth = EXACT.marginals(cells, HIDDEN)
    assert scoring.excess_bits(Lookup(np.repeat(learned, 50, axis=0), 2).marginals(cells, HIDDEN), truth, HIDDEN) > 0.1


def test_a_lookup_draws_the_nearest_example_and_keeps_known_cells():
    """Samples of a lookup are the hidden part of a nearest example."""
    lookup = Lookup(PRIOR.members.astype(np.int64), 2)
    samples = lookup.sample(CELLS, HIDDEN, 2, np.random.default_rng(0))
    assert scoring.legal_fraction(samples, CELLS, HIDDEN, PRIOR) == 1.0


def test_a_lookup_needs_whole_examples():
    """Examples with unknown cells are refused."""
    with pytest.raises(InputError, match="without unknown cells"):
        Lookup(np.full((1, 2, 2), -1), 2)
