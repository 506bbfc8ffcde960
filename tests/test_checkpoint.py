"""One file in, one file out."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from gridcloze import checkpoint, load
from gridcloze.checkpoint import Header, TrainedPredictor
from gridcloze.files.palettes import Palette
from gridcloze.logits import Calibration
from gridcloze.networks import NetworkPredictor
from gridcloze.words import InputError

PALETTE = Palette.default(2)


CALIBRATION = Calibration((0.25, 0.75), (0.8, 1.1))


def with_header(model):
    return TrainedPredictor(
        NetworkPredictor(model, CALIBRATION), Header(asdict(model.config), PALETTE, 3, {"seed": 5}, CALIBRATION)
    )


@pytest.fixture
def path(tmp_path, small_bert):
    checkpoint.save(tmp_path / "model.safetensors", with_header(small_bert))
    return tmp_path / "model.safetensors"


def rewritten(path, change):
    """The file with its tensors and header changed, and the hash made to fit."""
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    values = json.loads(json.loads(metadata["gridcloze"])[0])
    change(tensors, values)
    text = json.dumps(values, sort_keys=True)
    arrays = {name: value.numpy() for name, value in tensors.items()}
    save_file(tensors, path, {"gridcloze": json.dumps([text, checkpoint._hash(text, arrays)])})


def test_what_is_saved_is_loaded(path, small_bert):
    """A loaded model gives the same marginals to the last bit, and its header says what was saved."""
    loaded = load(path)
    cells, hidden = np.zeros((2, 5, 5), dtype=np.int64), np.ones((2, 5, 5), dtype=bool)
    assert np.array_equal(loaded.marginals(cells, hidden), with_header(small_bert).marginals(cells, hidden))
    assert not np.array_equal(loaded.marginals(cells, hidden), NetworkPredictor(small_bert).marginals(cells, hidden))
    assert loaded.header.calibration == CALIBRATION
    assert (loaded.header.palette, loaded.header.scale, loaded.header.training) == (PALETTE, 3, {"seed": 5})
    assert loaded.size == (5, 5)
    assert len(checkpoint.read_header(path).hash) == 64


def test_the_same_model_gives_the_same_bytes(path, small_bert):
    """Saving a model twice writes the same bytes."""
    before = path.read_bytes()
    checkpoint.save(path, with_header(small_bert))
    assert path.read_bytes() == before


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(path, length):
    """A file cut at any place is refused as truncated."""
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="truncated"):
        load(path)


def test_an_altered_file_is_refused(path):
    """One flipped bit in a weight is found by the hash."""
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="was altered"):
        load(path)


def test_another_format_version_is_refused(path):
    """A file of another format version says which it has and which is read."""
    rewritten(path, lambda tensors, values: values.update(format_version=99))
    with pytest.raises(InputError, match="format version 99, this gridcloze reads 3"):
        load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, values: values["config"].update(embedding_size=64),
        lambda tensors, values: values["config"].update(n_symbols=3),
        lambda tensors, values: values["config"].update(depth=1),
        lambda tensors, values: tensors.pop("position"),
        lambda tensors, values: tensors.update(position=torch.zeros(3, 3, 16)),
        lambda tensors, values: values["config"].update(flavour=1),
        lambda tensors, values: values["config"].update(depth="2"),
        lambda tensors, values: values["calibration"].update(temperatures=[0.5, 0.0]),
        lambda tensors, values: values["calibration"].update(hidden_fractions=[0.5]),
    ],
)
def test_a_config_that_does_not_fit_its_tensors_is_refused(path, change):
    """A config that lies about the tensors, or has fields or types of its own, is refused even with a fitting hash."""
    rewritten(path, change)
    with pytest.raises(InputError, match="does not fit"):
        load(path)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    """No file, a picture, and a safetensors file of somebody else are each refused in words of their own."""
    with pytest.raises(InputError, match="no such file; train a model with"):
        load(tmp_path / "none.safetensors")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match="is not a model file"):
        load(tmp_path / "picture.png")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="not a model of gridcloze"):
        load(tmp_path / "other.safetensors")
