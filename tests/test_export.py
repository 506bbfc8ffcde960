"""The model without torch."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import gridcloze
from gridcloze import checkpoint, explaining, filling
from gridcloze.checkpoint import Header, TrainedPredictor
from gridcloze.commands.export import export
from gridcloze.files.palettes import Palette
from gridcloze.logits import Calibration
from gridcloze.networks import NetworkPredictor
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.puzzles import Puzzles
from gridcloze.study.cnn import residual
from gridcloze.words import InputError

pytestmark = pytest.mark.slow  # an export takes many seconds

CALIBRATION = Calibration((1.0, 2.5), (0.8, 1.1))
SIZES = [(1, 5, 5), (3, 5, 5), (2, 9, 4), (1, 1, 1), (70, 6, 7)]


WITHOUT = ("torch", "accelerate", "scipy", "sklearn", "matplotlib", "onnx", "onnxscript")


def run(*arguments, without=()):
    """The command line in a process of its own, where packages are missing."""
    script = f"import sys; sys.modules.update(dict.fromkeys({without})); from gridcloze.cli import main; main()"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory, small_bert, exporting):
    """The paths of one model, as it was trained and exported."""
    folder = tmp_path_factory.mktemp("models")
    header = Header(asdict(small_bert.config), Palette.default(2), 3, {"seed": 5}, CALIBRATION)
    trained, exported = folder / "model.safetensors", folder / "model.onnx"
    checkpoint.save(trained, TrainedPredictor(NetworkPredictor(small_bert), header))
    with exporting():
        export(trained, exported)
    return trained, exported


@pytest.mark.parametrize("shape", SIZES)
def test_it_says_what_the_model_says(models, shape):
    """Marginals agree to 1e-4 with those in float32, for any number of grids of any size."""
    trained, exported = (checkpoint.load(path) for path in models)
    precise = NetworkPredictor(trained.base.model, CALIBRATION, precise=True)
    generator = np.random.default_rng(0)
    cells, hidden = generator.integers(0, 2, shape), evaluation_hiding(shape, generator)
    assert np.abs(precise.marginals(cells, hidden) - exported.marginals(cells, hidden)).max() < 1e-4
    assert np.abs(trained.marginals(cells, hidden) - exported.marginals(cells, hidden)).max() < 0.05  # bfloat16
    assert np.abs(exported.uncalibrated().marginals(cells, hidden) - exported.marginals(cells, hidden)).max() > 1e-4


def test_a_network_without_attention_is_exported_too(tmp_path, exporting):
    """A convolutional network says as ONNX what it says in torch, on grids of any size, and has no attention."""
    network = residual(2, 5, channels=8)
    torch.nn.init.normal_(network.features_to_logits.weight)
    sizes = {"height": 5, "width": 5, "n_symbols": 2, "patch": 1, "heads": 1, "depth": 2, "embedding_size": 8}
    with exporting():
        checkpoint.export(
            tmp_path / "model.onnx", TrainedPredictor(NetworkPredictor(network), Header(sizes, Palette.default(2)))
        )
    exported = checkpoint.load(tmp_path / "model.onnx")
    for shape in SIZES:
        generator = np.random.default_rng(0)
        cells, hidden = generator.integers(0, 2, shape), evaluation_hiding(shape, generator)
        expected = NetworkPredictor(network, precise=True).marginals(cells, hidden)
        assert np.abs(expected - exported.marginals(cells, hidden)).max() < 1e-4
    with pytest.raises(InputError, match="has no attention"):
        exported.attention(np.zeros((1, 5, 5), int), np.ones((1, 5, 5), bool))


def test_it_gives_the_attention_weights(models, small_bert):
    """They are those of the model, and the keys of a query sum to 1."""
    tokens = np.random.default_rng(0).integers(0, 3, (2, 5, 5))
    weights: list[torch.Tensor] = []
    with torch.no_grad():
        small_bert(torch.from_numpy(tokens), weights)
    attention = checkpoint.load(models[1]).base.attention(tokens)
    assert np.allclose(attention, torch.stack(weights, dim=1).numpy(), atol=1e-5)
    assert np.allclose(attention.sum(-1), 1, atol=1e-5)
    cells, hidden = np.where(tokens == 2, 0, tokens), tokens == 2
    targets = np.argwhere(hidden[0])
    trained, exported = (explaining.attention(checkpoint.load(path), cells[0], hidden[0], targets) for path in models)
    assert np.allclose(trained, exported, atol=1e-5)


def test_a_fill_is_the_same_alone_and_among_others(models):
    """Fixed passes hold for the exported model as well."""
    predictor = checkpoint.load(models[1])
    generator = np.random.default_rng(0)
    cells, hidden = generator.integers(0, 2, (9, 5, 5)), evaluation_hiding((9, 5, 5), generator)
    together = filling.sample(predictor, Puzzles(cells, hidden), 2).cells
    alone = [filling.sample(predictor, Puzzles(cells[[one]], hidden[[one]]), 2).cells[0] for one in range(9)]
    assert np.array_equal(together, alone)


def test_its_header_is_that_of_the_model(models):
    """Palette, scale, training record, calibration and hash are in the file."""
    trained, exported = (checkpoint.read_header(path) for path in models)
    assert trained == exported
    assert checkpoint.load(models[1]).size == (5, 5)


def test_an_exported_model_names_no_folder(models):
    """The file tells nothing of where gridcloze and torch lay on the machine that wrote it, so all write the same."""
    data = models[1].read_bytes()
    assert not any(str(Path(package.__file__).parents[1]).encode() in data for package in (gridcloze, torch))
    assert b"stack_trace" not in data


def test_what_is_no_exported_model_is_refused(models, tmp_path):
    """Truncated, altered and foreign files are refused in one line, and so is exporting or saving again."""
    data, path = models[1].read_bytes(), tmp_path / "model.onnx"
    for length in (0, 100, len(data) // 2):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"model\.onnx: this is not an exported model.*, or it is truncated"):
            checkpoint.load(path)
    weights = max((tensor.raw_data for tensor in onnx.load(models[1]).graph.initializer), key=len)
    position = data.index(weights)
    path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
    with pytest.raises(InputError, match="was altered"):
        checkpoint.load(path)
    with pytest.raises(InputError, match="no such file"):
        checkpoint.load(tmp_path / "missing.onnx")
    exported = checkpoint.load(models[1])
    for write, name in ((checkpoint.save, "again.safetensors"), (checkpoint.export, "again.onnx")):
        with pytest.raises(InputError, match="exported already"):
            write(tmp_path / name, exported)
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        checkpoint.export(tmp_path / "model.txt", checkpoint.load(models[0]))
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_plain_install_fills_and_checks(models, tmp_path):
    """`fill`, `check`, `info` and `toy` need no torch."""
    np.save(tmp_path / "puzzle.npy", np.where(np.eye(5) > 0, -1, 0))
    for arguments in (
        ("fill", models[1], tmp_path / "puzzle.npy", "-o", tmp_path / "out", "--samples", 2),
        ("check", models[1], tmp_path / "puzzle.npy", "--threshold", 0),
        ("info", models[1]),
        ("toy", "squares", "-o", tmp_path / "toy", "-n", 2),
    ):
        done = run(*arguments, without=WITHOUT)
        assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out" / "puzzle.npz") as results:
        assert results["samples"].shape == (2, 5, 5)


@pytest.mark.parametrize("command", ["train", "fill", "export"])
def test_a_plain_install_says_what_is_missing(models, tmp_path, command):
    """What needs an extra says which, in one line."""
    np.save(tmp_path / "grids.npy", np.zeros((9, 5, 5), int))
    arguments = {
        "train": ("train", tmp_path / "grids.npy", "-o", tmp_path / "new.safetensors"),
        "fill": ("fill", models[0], tmp_path / "grids.npy", "-o", tmp_path / "out"),
        "export": ("export", models[0], "-o", tmp_path / "new.onnx"),
    }[command]
    done = run(*arguments, without=WITHOUT)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install '.[train]' in a clone" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["grids.npy"]
