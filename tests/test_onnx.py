"""ONNX files that no export wrote."""

import contextlib
import copy
import json
import pickle
from dataclasses import asdict

import numpy as np
import onnx.parser
import pytest
from onnx import TensorProto, helper

from gridcloze import checkpoint
from gridcloze.bert import BertConfig
from gridcloze.checkpoint import Header
from gridcloze.export import OnnxPredictor, open_session, read_metadata, with_metadata
from gridcloze.files.palettes import Palette
from gridcloze.words import InputError

TYPES = "(int64[batch, height, width] tokens) => (float[batch, height, width, symbol] logits)"
FIVES = """
    n_symbols = Constant<value = int64 {2}> ()
    off_on = Constant<value = float[2] {0.0, 5.0}> ()
    logits = OneHot<axis = -1> (tokens, n_symbols, off_on)
"""
QUESTION = np.array([[[1, 0]]]), np.array([[[False, True]]])


def parsed(body=FIVES, types=TYPES, domains='"": 20'):
    return onnx.parser.parse_model(f"<ir_version: 8, opset_import: [{domains}]> fives {types} {{{body}}}")


def model_file(folder, model, **changes):
    """A file with a header that fits the model, as `export` would write it."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    header = Header(asdict(BertConfig(1, 2, n_symbols=2)), Palette.default(2))
    note = json.dumps(checkpoint._header_to_json(header) | changes)
    signed = [note, checkpoint._hash(note, {"": np.frombuffer(data, np.uint8)}), len(data)]
    (folder / "model.onnx").write_bytes(with_metadata(data, "gridcloze", json.dumps(signed)))
    return folder / "model.onnx"


def refusal(path):
    with pytest.raises(InputError) as refused:
        checkpoint.load(path).marginals(*QUESTION)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_model_with_a_header_that_fits_is_read(tmp_path):
    """The files of these tests are refused for what is in them, and not for how they are made."""
    model = checkpoint.load(model_file(tmp_path, parsed()))
    assert model.marginals(*QUESTION)[0, 0].tolist() == [[0, 1], [0.5, 0.5]]
    assert model.size == (1, 2)


def test_a_model_is_pickled_and_copied():
    """A copy answers as the original, from its own session if it is a deep one."""
    predictor = OnnxPredictor(open_session(parsed().SerializeToString(), "fives.onnx"), n_symbols=2)
    for other in (copy.copy(predictor), copy.deepcopy(predictor), pickle.loads(pickle.dumps(predictor))):
        assert np.array_equal(other.marginals(*QUESTION), predictor.marginals(*QUESTION))
    assert copy.copy(predictor).session is predictor.session


def external(location):
    tensor = TensorProto(name="off_on", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "8")):
        tensor.external_data.add(key=key, value=value)
    return tensor


@pytest.mark.parametrize("where", ["secret.bin", "./secret.bin", "../secret.bin", "absolute", "link.bin", "*/_ORT_MEM"])
@pytest.mark.parametrize("place", ["initializer", "attribute", "list of tensors", "sparse"])
def test_weights_in_other_files_are_refused(tmp_path, monkeypatch, where, place):
    """Wherever in the model a tensor says that its numbers lie in a file, and wherever the file lies."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in (folder / "secret.bin", tmp_path / "secret.bin"):
        name.write_bytes(np.array([0, 7], np.float32).tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    monkeypatch.chdir(folder)
    tensor = external(str(tmp_path / "secret.bin") if where == "absolute" else where)
    model = parsed(FIVES.replace("off_on = Constant<value = float[2] {0.0, 5.0}> ()", ""))
    if place == "initializer":
        model.graph.initializer.append(tensor)
    elif place == "sparse":
        indices = helper.make_tensor("", TensorProto.INT64, [2], [0, 1])
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, indices, [2]))
    else:
        value = [tensor] if place == "list of tensors" else tensor
        model.graph.node.insert(0, helper.make_node("Constant", [], ["off_on"], value=value))
    assert "model.onnx: this model has weights in other files" in refusal(model_file(folder, model))


def with_function():
    identity = helper.make_node("Identity", ["a"], ["b"])
    model = parsed()
    model.functions.append(helper.make_function("", "F", ["a"], ["b"], [identity], [helper.make_opsetid("", 20)]))
    return model


@pytest.mark.parametrize(
    ("what", "model"),
    [
        ("operators", parsed("logits = evil.Foo (tokens)", domains='"": 20, "evil": 1')),
        ("operators", parsed("logits = com.microsoft.Gelu (tokens)", domains='"": 20, "com.microsoft": 1')),
        ("functions", with_function()),
        (
            "loops",
            parsed(
                FIVES.replace("logits =", "one =")
                + """ yes = Constant<value = bool {1}> () times = Constant<value = int64 {4611686018427387904}> ()
                logits = Loop (times, yes, one) <body = endless (int64 i, bool c, float[b, h, w, s] x)
                    => (bool d, float[b, h, w, s] y) { d = Identity (c) y = Identity (x) }> """
            ),
        ),
    ],
    ids=["of others", "of ONNX Runtime", "functions", "loops"],
)
def test_models_that_are_more_than_numbers_are_refused(tmp_path, what, model):
    """Operators that are not of ONNX, functions, loops and branches: no export has them."""
    assert f"model.onnx: this model has {what}" in refusal(model_file(tmp_path, model))


@pytest.mark.parametrize(
    ("types", "body"),
    [
        ("(int64[b, h, w] tokens) => (int64[b, h, w] logits)", "logits = Identity (tokens)"),
        ("(float[b, h, w, s] tokens) => (float[b, h, w, s] logits)", "logits = Identity (tokens)"),
        ("(int64[b, h] tokens) => (float[b, h, s] logits)", FIVES),
        (TYPES.replace("tokens", "x"), FIVES.replace("tokens", "x")),
        (TYPES.replace("logits", "x"), FIVES.replace("logits", "x")),
        (TYPES.replace(" tokens)", " tokens, float[n] more)"), FIVES),
        (TYPES.replace(" logits)", " logits, int64[b, h, w] more)"), FIVES + "more = Identity (tokens)"),
        (TYPES.replace(" logits)", " logits, int64[b, h, w] attention)"), FIVES + "attention = Identity (tokens)"),
        (TYPES, FIVES.replace("logits =", "other =")),
        (TYPES, FIVES.replace("OneHot", "NoSuchOperator")),
    ],
)
def test_other_inputs_and_outputs_are_refused(tmp_path, types, body, capfd):
    """Names, types and axes are looked at when the file is opened; ONNX Runtime prints nothing."""
    assert refusal(model_file(tmp_path, parsed(body, types))).startswith(str(tmp_path / "model.onnx"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (FIVES.replace("logits =", "x =") + "y = Neg (x) z = Sub (y, five) logits = Log (z)", "no finite numbers"),
        (FIVES.replace("logits =", "x =") + "logits = Div (five, x)", "no finite numbers"),
        (FIVES.replace("int64 {2}", "int64 {3}"), "use the original file"),
        (FIVES.replace("logits", "x") + "s = Constant<value = int64[4] {7,7,7,7}> () logits = Reshape (x, s)", "fails"),
    ],
)
def test_models_that_answer_nonsense_are_refused(tmp_path, body, words, capfd):
    """NaN, infinite numbers, another number of symbols and an error while it runs: one line each."""
    model = parsed("five = Constant<value = float {5.0}> ()" + body)
    assert words in refusal(model_file(tmp_path, model))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "note", ["", "x", "1", "[]", '["a", "b"]', "[" * 100_000, '["a", "b", -1]', '["a", "b", 99999]']
)
def test_notes_that_are_no_header_are_refused(tmp_path, note):
    """As for files of trained models."""
    (tmp_path / "model.onnx").write_bytes(with_metadata(parsed().SerializeToString(), "gridcloze", note))
    assert refusal(tmp_path / "model.onnx").startswith(str(tmp_path / "model.onnx"))


def test_the_header_is_checked_as_that_of_a_trained_model(tmp_path):
    """One table is for both kinds of file."""
    assert "scale in its note does not fit" in refusal(model_file(tmp_path, parsed(), scale="x"))
    assert "hash in its note does not fit" in refusal(model_file(tmp_path, parsed(), hash="x"))
    assert "palette in its note" in refusal(model_file(tmp_path, parsed(), palette=Palette.default(3).to_json()))


def test_what_follows_the_model_is_not_run(tmp_path):
    """Bytes after the model are not covered by its hash, so nothing but the header is read from them."""
    path = model_file(tmp_path, parsed())
    more = onnx.ModelProto(graph=parsed(FIVES.replace("5.0", "9.0")).graph).SerializeToString()
    before = checkpoint.load(path).base.logits(np.array([[[1, 2]]]))
    path.write_bytes(path.read_bytes() + more)
    assert np.array_equal(checkpoint.load(path).base.logits(np.array([[[1, 2]]])), before)


@pytest.mark.slow
def test_damaged_files_are_refused(tmp_path, capfd):
    """Cut at any length, with any byte changed, or in the format of ONNX Runtime: no error but ours."""
    path, generator = model_file(tmp_path, parsed()), np.random.default_rng(0)
    data = path.read_bytes()
    cut = [data[:length] for length in range(0, len(data), 7)]
    damaged = np.frombuffer(data * 200, np.uint8).reshape(200, -1).copy()
    damaged[np.arange(200), generator.integers(0, len(data), 200)] = generator.integers(0, 256, 200)
    for content in (*cut, *map(bytes, damaged), b"\x18\x00\x00\x00ORTM" + bytes(40), b"\xff" * 50):
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            checkpoint.load(path).marginals(*QUESTION)
        with contextlib.suppress(InputError):
            open_session(content[: len(parsed().SerializeToString())], path)
    assert capfd.readouterr() == ("", "")


def test_metadata_is_read_from_the_bytes():
    """The last entry of a name counts; bytes that are no model are refused."""
    data = with_metadata(with_metadata(b"", "key", "one"), "key", "two")
    assert (read_metadata(data, "key"), read_metadata(data, "other")) == ("two", None)
    with pytest.raises(InputError, match="truncated"):
        read_metadata(data[:-1], "key")
