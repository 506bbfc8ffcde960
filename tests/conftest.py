"""Checks every shape and type in the signatures of gridcloze while the tests run."""

import pytest
from jaxtyping import install_import_hook

install_import_hook("gridcloze", "beartype.beartype")


@pytest.fixture(scope="session")
def small_bert():
    """A Bert with random weights everywhere, for 5×5 grids of two symbols."""
    import torch

    from gridcloze.bert import Bert, BertConfig

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Bert(BertConfig(5, 5, 2, depth=2))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture(scope="session")
def small_predictor(small_bert):
    from gridcloze.networks import NetworkPredictor

    return NetworkPredictor(small_bert)
