"""The convolutional rivals."""

import numpy as np
import pytest
import torch

from gridcloze import scoring
from gridcloze.networks import NetworkPredictor
from gridcloze.priors.finite import squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.priors.known import posterior
from gridcloze.study.cnn import RIVALS, dilated, n_parameters, residual, sized
from gridcloze.training import Budget, Training
from gridcloze.words import InputError

PRIOR = squares(4, 4, 2, 3)


def with_random_weights(model):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def seen_from_the_middle(model, side):
    """Which cells of a grid change the prediction for the cell in its middle."""
    one_hot = torch.rand(1, side, side, model.n_symbols + 1, requires_grad=True)
    model.from_one_hot(one_hot)[0, side // 2, side // 2].sum().backward()
    assert one_hot.grad is not None
    return one_hot.grad[0].abs().sum(-1).numpy() > 0


@pytest.mark.parametrize("receptive_field", [3, 5, 9, 13])
def test_a_residual_network_sees_its_window_and_nothing_else(receptive_field):
    """The gradient of a cell's logits is 0 outside of the receptive field, and nowhere in it."""
    seen = seen_from_the_middle(with_random_weights(residual(2, receptive_field, 4)), 17)
    distance = np.abs(np.arange(17) - 8)
    assert np.array_equal(seen, np.maximum.outer(distance, distance) <= receptive_field // 2)


@pytest.mark.parametrize("name", RIVALS)
def test_the_others_see_the_whole_grid(name):
    """From the middle of 17×17 cells every corner is seen."""
    seen = seen_from_the_middle(with_random_weights(RIVALS[name](2, 4)), 17)
    assert seen[[0, 0, 16, 16], [0, 16, 0, 16]].all()


@pytest.mark.parametrize("name", ["residual", *RIVALS])
def test_any_size_fits(name):
    """Grids of every size, odd ones and single rows, get logits of their own shape; at first all are 0."""
    model = residual(3, 5, 4) if name == "residual" else RIVALS[name](3, 4)
    for shape in [(2, 16, 16), (1, 5, 9), (1, 1, 7)]:
        logits = model(torch.zeros(shape, dtype=torch.long))
        assert logits.shape == (*shape, 3)
        assert (logits == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["residual", *(pytest.param(name, marks=pytest.mark.slow) for name in RIVALS)])
def test_it_is_trained_by_the_loop_that_trains_the_bert(name):
    """140 steps take away a quarter of the excess over the exact posterior, with no word about the network."""
    cells = PRIOR.sample(200, np.random.default_rng(2))
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(3))
    exact = posterior(PRIOR).marginals(cells, hidden)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = residual(2, 7, 16) if name == "residual" else RIVALS[name](2, 16)
    before = scoring.excess_bits(NetworkPredictor(model).marginals(cells, hidden), exact, hidden)
    Training(model, PRIOR, cells, Budget(steps=140)).run()
    after = scoring.excess_bits(NetworkPredictor(model).marginals(cells, hidden), exact, hidden)
    assert after < 0.75 * before


def test_a_network_is_made_as_large_as_asked():
    """The number of channels is taken whose network is nearest in size."""
    model = sized(lambda channels: dilated(2, channels), 30_000)
    channels = model.token_to_features.embedding_dim
    ratios = [n_parameters(dilated(2, channels + more)) / 30_000 for more in (-8, 0, 8)]
    assert abs(np.log(ratios)).argmin() == 1


def test_an_even_receptive_field_is_refused():
    """A window has a cell in its middle."""
    for wrong in (1, 4):
        with pytest.raises(InputError, match="odd number of cells from 3"):
            residual(2, wrong, 4)
