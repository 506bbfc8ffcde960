"""The model and its Predictor."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcloze.bert import Attention, Bert, BertConfig, cut, join, rotary_positions
from gridcloze.calibrating import calibrate
from gridcloze.logits import Calibration
from gridcloze.networks import NetworkPredictor
from gridcloze.words import InputError


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_joining_what_was_cut_gives_the_grids_back(batch, height, width, patch):
    """`join` is the inverse of `cut`, for sizes that are no multiple of the patch too."""
    tokens = torch.arange(batch * height * width).view(batch, height, width)
    pieces = cut(tokens, patch, outside=-7)
    whole = join(pieces[..., None].float(), patch)[..., 0]
    assert torch.equal(whole[:, :height, :width], tokens.float())
    assert (whole[:, height:] == -7).all()
    assert (whole[:, :, width:] == -7).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8), st.integers(0, 99))
def test_marginals_sum_to_one_on_any_size(small_predictor, batch, height, width, seed):
    """Marginals are probabilities on any size; visible cells have their symbol, whatever stands under hidden ones."""
    generator = np.random.default_rng(seed)
    cells = generator.integers(0, 2, (batch, height, width))
    hidden = generator.random(cells.shape) < 0.5
    marginals = small_predictor.marginals(np.where(hidden, -1, cells), hidden)
    assert marginals.sum(-1) == pytest.approx(1)
    assert (marginals >= 0).all()
    assert np.array_equal(marginals[~hidden].argmax(-1), cells[~hidden])
    assert np.array_equal(marginals, small_predictor.marginals(cells, hidden))


def test_the_answer_does_not_depend_on_the_company_of_a_grid(small_predictor):
    """A grid gets the same marginals, to the last bit, alone and anywhere among 100 others."""
    generator = np.random.default_rng(0)
    cells = generator.integers(0, 2, (100, 5, 5))
    hidden = generator.random(cells.shape) < 0.5
    together = small_predictor.marginals(cells, hidden)
    for grid in (0, 1, 63, 64, 99):
        alone = small_predictor.marginals(cells[grid : grid + 1], hidden[grid : grid + 1])
        assert np.array_equal(alone[0], together[grid])


@pytest.mark.parametrize(("side", "patch", "together"), [(16, 2, 16), (16, 4, 32), (8, 1, 64)])
def test_a_pass_reads_as_many_grids_as_cost_little_more_than_one(side, patch, together):
    """Passes have 4,096 cells or 512 patches, whichever is more, and at most 64 grids."""
    bert = Bert(BertConfig(side, side, 2, depth=1, embedding_size=16, heads=2, patch=patch))
    read: list[int] = []
    bert.register_forward_hook(lambda module, tokens, logits: read.append(len(tokens[0])))
    generator = np.random.default_rng(0)
    cells = generator.integers(0, 2, (together + 1, side, side))
    hidden = generator.random(cells.shape) < 0.5
    NetworkPredictor(bert).marginals(cells, hidden)
    assert read == [together, together]


def test_attention_is_shared_out_among_all_patches(small_bert):
    """Attention has the shape (batch, layer, head, query, key), and each query's weights sum to 1."""
    weights: list[torch.Tensor] = []
    small_bert(torch.zeros(3, 5, 5, dtype=torch.long), weights)
    attention = torch.stack(weights, dim=1)
    assert attention.shape == (3, 2, 2, 9, 9)
    assert torch.allclose(attention.sum(-1), torch.ones(3, 2, 2, 9), atol=1e-5)


def test_what_lies_across_the_grid_reaches_a_cell(small_bert):
    """The logits of a corner change with the cell in the opposite corner: the receptive field is the grid."""
    tokens = torch.zeros(2, 5, 5, dtype=torch.long)
    tokens[1, 4, 4] = 1
    first, second = small_bert(tokens)[:, 0, 0]
    assert not torch.allclose(first, second)


def test_rotary_positions_depend_on_the_difference_alone():
    """The product of a rotated query and key is the same for every pair of patches that stand alike to each other."""
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 16, generator=generator)
    rotation = rotary_positions(4, 5, 16)
    products = torch.einsum("i,pij,qkj,k->pq", query, rotation, rotation, key).view(4, 5, 4, 5)
    assert torch.allclose(products[0, 0, 1, 3], products[2, 1, 3, 4], atol=1e-5)
    assert not torch.allclose(products[0, 0, 1, 3], products[0, 0, 2, 3], atol=1e-3)


def test_both_ways_to_attend_say_the_same(small_bert, monkeypatch):
    """The fused kernel and the written-out products give the same logits, and only the latter tells the weights."""
    tokens = torch.randint(0, 3, (2, 5, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        written_out = small_bert(tokens)
        monkeypatch.setattr("gridcloze.bert.MOST_WRITTEN_OUT", {True: 0, False: 0})
        kernels, fused = [], F.scaled_dot_product_attention
        monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *q, **k: kernels.append(1) or fused(*q, **k))
        assert torch.allclose(small_bert(tokens), written_out, atol=1e-5)
        assert len(kernels) == 2
        small_bert(tokens, [])
        assert len(kernels) == 2


def test_attention_depends_on_where_patches_stand_to_each_other():
    """What a patch gets from others is the same wherever all of them move together, and another if one moves alone."""
    attention = Attention(32, 2)
    torch.nn.init.normal_(attention.attended_to_output.weight)
    x = torch.randn(3, 1, 32, generator=torch.Generator().manual_seed(0))
    everywhere = rotary_positions(6, 6, 16).view(6, 6, 16, 16)
    places, moved = torch.tensor([[0, 0], [1, 2], [3, 1]]), torch.tensor([2, 3])

    def at(where):
        return attention(x, everywhere[where[:, 0], where[:, 1]], None)

    assert torch.allclose(at(places), at(places + moved), atol=1e-4)
    one_alone = at(places + torch.tensor([[0, 0], [0, 0], [1, 1]]))
    assert not torch.allclose(at(places)[0], one_alone[0], atol=1e-2)


def test_the_position_table_is_used_on_its_own_size_only(small_bert):
    """Without its table a model says something else on the trained size, and the same on another size."""
    import copy

    without = copy.deepcopy(small_bert)
    torch.nn.init.zeros_(without.position)
    for side, same in ((5, False), (8, True)):
        tokens = torch.full((1, side, side), 2)
        assert torch.equal(small_bert(tokens), without(tokens)) == same


def test_one_dial_sets_the_size():
    """Width and heads follow from the depth, the patch from the size of the grids; each can be overridden."""
    assert BertConfig(16, 16, 2, depth=4) == BertConfig(16, 16, 2, depth=4, embedding_size=64, heads=4, patch=2)
    assert BertConfig(64, 64, 2).patch == 4
    assert BertConfig(9, 9, 9).patch == BertConfig(10, 10, 2).patch == 1
    assert BertConfig(16, 16, 2, patch=1).patch == 1
    with pytest.raises(InputError, match="no multiple"):
        BertConfig(16, 16, 2, embedding_size=30, heads=4)


def test_a_visible_cell_that_is_no_symbol_is_named(small_predictor):
    """A visible cell beyond the symbols is refused by its place."""
    cells = np.zeros((1, 5, 5), dtype=np.int64)
    cells[0, 2, 3] = 2
    with pytest.raises(InputError, match=r"row 2, column 3.* is 2: a visible cell is a symbol 0…1"):
        small_predictor.marginals(cells, np.zeros_like(cells, dtype=bool))


def test_a_fresh_model_is_uniform():
    """A fresh model starts from a uniform distribution: its output layer is zero."""
    marginals = NetworkPredictor(Bert(BertConfig(4, 4, 3))).marginals(
        np.zeros((1, 4, 4), int), np.ones((1, 4, 4), bool)
    )
    assert marginals == pytest.approx(1 / 3)


@pytest.mark.parametrize("sizes", [{"depth": 10**6}, {"height": 2**40}, {"heads": -1}, {"embedding_size": 2**40}])
def test_sizes_beyond_all_bounds_are_refused(sizes):
    """Before anything of that size is made."""
    with pytest.raises(InputError, match=f"{next(iter(sizes))} must be 1 … "):
        BertConfig(**{"height": 8, "width": 8, "n_symbols": 2} | sizes)


@pytest.mark.parametrize("config", [BertConfig(7, 9, 3), BertConfig(40, 33, 2, depth=2), BertConfig(4, 4, 2, depth=1)])
def test_the_number_of_weights_is_known_without_making_them(config):
    """It is that of the model."""
    assert config.n_parameters == sum(parameter.numel() for parameter in Bert(config).parameters())


def test_calibration_needs_finite_logits_and_known_cells():
    """A model that diverged is refused; where nothing is known the temperature stays 1."""
    model = Bert(BertConfig(4, 4, 2, depth=1))
    assert calibrate(model, np.full((3, 4, 4), -1)) == Calibration((1.0,), (1.0,))
    with torch.no_grad():
        model.embedding_to_patch.bias[0] = torch.nan
    with pytest.raises(InputError, match="diverged"):
        calibrate(model, np.zeros((3, 4, 4), dtype=int))
