"""The fuzzer itself: what it changes is read as it means it."""

import sys
from pathlib import Path
from random import Random

import pytest

from gridcloze import Inpainter, checkpoint, priors
from gridcloze.words import InputError

sys.path.append(str(Path(__file__).parent))
import mutations


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import numpy as np

    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    Inpainter(steps=1, depth=1).fit(priors.squares(4, 4, 2, 3).sample(20, np.random.default_rng(0))).save(path)
    return path


def test_a_model_that_is_signed_again_is_read(model, tmp_path):
    """The signature of the fuzzer is that of gridcloze, so that changes come further than the check of the hash."""
    path, refusals = tmp_path / "m.safetensors", []
    for number in range(60):
        path.write_bytes(mutations.safetensors(Random(number), model.read_bytes(), chosen=3 + number % 2 * 3))
        try:
            checkpoint.load(path)
        except InputError as error:
            refusals.append(str(error))
        except Exception:
            continue  # the fuzzer would report it
    assert refusals
    assert not any("altered" in refusal for refusal in refusals)
