"""One file in, one file out."""

import copy
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file as numpy_file
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from gridcloze import checkpoint, load
from gridcloze.checkpoint import Header, TrainedPredictor
from gridcloze.files.palettes import Palette
from gridcloze.logits import Calibration
from gridcloze.networks import NetworkPredictor
from gridcloze.words import InputError

PALETTE = Palette.default(2)


CALIBRATION = Calibration((1.0, 2.5), (0.8, 1.1))


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
        lambda tensors, values: values["calibration"].update(distances=[0.5]),
        lambda tensors, values: values["calibration"].update(hidden_fractions=[0.25, 0.5]),
        lambda tensors, values: values["calibration"].pop("distances"),
    ],
)
def test_a_config_that_does_not_fit_its_tensors_is_refused(path, change):
    """A config that lies about the tensors, or has fields or types of its own, is refused even with a fitting hash."""
    rewritten(path, change)
    with pytest.raises(InputError, match="does not fit"):
        load(path)


def with_note(path, change):
    """The file with its note changed as a text, the weights as they are; `change` may sign what it returns."""
    arrays = numpy_file(path)
    with safe_open(path, framework="numpy") as file:
        said = json.loads(file.metadata()["gridcloze"])[0]
    save_arrays(arrays, path, {"gridcloze": change(said, lambda note: [note, checkpoint._hash(note, arrays)])})


NOTES = {
    "no JSON": lambda said, sign: "x",
    "nothing": lambda said, sign: "",
    "a number": lambda said, sign: "1",
    "one of a pair": lambda said, sign: '["a"]',
    "numbers": lambda said, sign: "[1, 2]",
    "three": lambda said, sign: json.dumps([*sign(said), 3.5]),
    "deep": lambda said, sign: "[" * 100_000,
    "signed, no JSON": lambda said, sign: json.dumps(sign("x")),
    "signed, a list": lambda said, sign: json.dumps(sign("[]")),
    "signed, deep": lambda said, sign: json.dumps(sign("[" * 100_000)),
    "signed, a key twice": lambda said, sign: json.dumps(sign(said[:-1] + ', "scale": 3}')),
    "signed, thousands of digits": lambda said, sign: json.dumps(
        sign(said.replace('"scale": 3', f'"scale": {"9" * 5000}'))
    ),
    "signed, half of a character": lambda said, sign: json.dumps(sign(said.replace(".#", "\\ud800#"))),
    "a surrogate as text": lambda said, sign: json.dumps(sign("\ud800")),
}


@pytest.mark.parametrize("change", NOTES.values(), ids=NOTES)
def test_notes_that_are_no_header_are_refused(path, change):
    """Whatever stands where the header should be, signed or not, ends in one line that names the file."""
    with_note(path, change)
    for read in (load, checkpoint.read_header):
        with pytest.raises(InputError) as refusal:
            read(path)
        assert str(refusal.value).startswith(str(path))
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("key", ["format", "format_version", "config", "palette", "scale", "training", "calibration"])
@pytest.mark.parametrize("value", [None, [], {}, "x", -1, 0.5, True, 2**70], ids=repr)
def test_headers_with_other_types_are_refused(path, key, value):
    """Each entry of the header must be there, with its type and within its range."""
    if (key, value) == ("training", {}):
        return
    rewritten(path, lambda tensors, values: values.update({key: value}))
    with pytest.raises(InputError) as refusal:
        load(path)
    assert str(refusal.value).startswith(str(path))
    rewritten(path, lambda tensors, values: values.pop(key))
    with pytest.raises(InputError):
        checkpoint.read_header(path)


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("config", {"width": 2**62}),
        ("config", {"embedding_size": 2**40, "heads": 1}),
        ("config", {"depth": 10**9}),
        ("config", {"embedding_size": 2**16, "heads": 1, "patch": 2**20}),
        ("config", {"heads": 3}),
        ("palette", {"colours": [[0, 0, 0, 255.0], [1, 1, 1, 255]]}),
        ("palette", {"colours": [["0", 0, 0, 255], [1, 1, 1, 255]]}),
        ("palette", {"colours": [[0, 0, 0, 255]] * 3, "characters": "abc"}),
        ("palette", {"colours": [[0, 0, 0, 255, 0], [1, 1, 1, 255]]}),
        ("palette", {"characters": ["a", "b"]}),
        ("palette", {"names": [1, 2]}),
        ("palette", {"values": [True, False]}),
        ("palette", {"values": [1.0, 2.0]}),
        ("training", {"resolution": 3}),
        ("training", {"resolution": [30, "metre", 30]}),
        ("training", {"steps": "many"}),
        ("training", {"minutes": -1}),
        ("training", {"symbols": [0.5, 1]}),
        ("training", {"interrupted": 1}),
        ("calibration", {"temperatures": ["x", "y"]}),
        ("calibration", {"temperatures": [float("nan"), 1.0]}),
        ("calibration", {"temperatures": [1.0, 1e300]}),
        ("calibration", {"distances": [2.5, 1.0]}),
        ("calibration", {"distances": [], "temperatures": []}),
        ("calibration", {"bias": 1}),
    ],
    ids=str,
)
def test_entries_of_the_header_are_checked(path, name, entries):
    """Sizes, palette, training record and calibration are checked entry by entry."""
    rewritten(path, lambda tensors, values: values[name].update(entries))
    with pytest.raises(InputError) as refusal:
        load(path)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_a_record_without_a_score_is_read(path, small_bert):
    """A score that is not finite is null in the file; further entries of a record are kept."""
    record = {"held_out_bits_per_hidden_cell": float("nan"), "note": [1, {"deep": None}]}
    header = Header(asdict(small_bert.config), PALETTE, training=record)
    checkpoint.save(path, TrainedPredictor(NetworkPredictor(small_bert), header))
    read = checkpoint.read_header(path).training
    assert read == header.training == {"held_out_bits_per_hidden_cell": None, "note": [1, {"deep": None}]}
    rewritten(path, lambda tensors, values: values["training"].update(seconds=1e300, symmetries=False))
    with pytest.raises(InputError, match=r"training\.seconds"):
        load(path)
    rewritten(path, lambda tensors, values: values["training"].update(seconds=1, held_out_bits_per_hidden_cell=np.nan))
    assert load(path).header.training["symmetries"] is False


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(path, value):
    """One weight that is NaN or infinite is enough."""
    rewritten(path, lambda tensors, values: tensors["layers.0.attention.attended_to_output.weight"].fill_(value))
    with pytest.raises(InputError, match="a weight is no finite number"):
        load(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.bool])
def test_weights_of_another_type_are_refused(path, dtype):
    """All weights are float32."""
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    tensors["position"] = tensors["position"].to(dtype)
    save_file(tensors, path, metadata)
    with pytest.raises(InputError, match="no float32"):
        load(path)


def test_logits_that_are_not_finite_are_refused(small_bert):
    """A model may overflow although its weights are finite: no probability is NaN."""
    model = copy.deepcopy(small_bert)
    with torch.no_grad():
        model.embedding_to_patch.weight.fill_(3e38)
    cells, hidden = np.zeros((1, 5, 5), dtype=np.int64), np.ones((1, 5, 5), dtype=bool)
    with pytest.raises(InputError, match="no finite numbers"):
        NetworkPredictor(model, precise=True).marginals(cells, hidden)


def test_grids_beyond_the_memory_are_refused_before_any_work(small_bert, monkeypatch):
    """The need of attention grows with the number of patches squared, and is known before the pass."""
    predictor = with_header(small_bert)
    cells = np.zeros((1, 3000, 3000), dtype=np.int64)
    for answer in (predictor.marginals, predictor.attention):
        monkeypatch.setattr("gridcloze.memory.memory_bytes", lambda: 2**30)
        with pytest.raises(InputError, match=r"whole grids of 5 by 5 cells .*windows.* 3000 cells needs .* GiB"):
            answer(cells, np.ones(cells.shape, dtype=bool))


def test_other_sizes_are_warned_of(small_bert):
    """A model of whole grids extrapolates to other sizes, slowly to large ones; a model of windows does neither."""
    header = with_header(small_bert).header
    assert checkpoint.size_warning(header, (5, 5)) is None
    assert "learned from grids of 5 by 5 cells; this one has 5 by 6" in checkpoint.size_warning(header, (5, 6))
    assert "minutes; train with --windows" in checkpoint.size_warning(header, (2000, 2000))
    assert checkpoint.size_warning(replace(header, windows=True), (2000, 2000)) is None


def test_a_file_that_is_no_model_is_refused(tmp_path):
    """No file, a picture, and a safetensors file of somebody else are each refused in words of their own."""
    with pytest.raises(InputError, match="no such file; make a model with"):
        load(tmp_path / "none.safetensors")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match="is not a model file"):
        load(tmp_path / "picture.png")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="not a model of gridcloze"):
        load(tmp_path / "other.safetensors")
