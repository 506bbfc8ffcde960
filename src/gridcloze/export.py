"""A trained model without torch: written as ONNX, run by ONNX Runtime."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float

from .logits import Calibration, Features, LogitsPredictor
from .shapes import Cells, Marginals
from .words import AnyPath, InputError, about

if TYPE_CHECKING:
    import torch

OPSET = 20  # of ONNX operators
NO_MODEL = "this is not an exported model, or it is truncated"
SPECIFICATION = {"tokens": ("tensor(int64)", 3), "logits": ("tensor(float)", 4), "attention": ("tensor(float)", 5)} | {
    "side": ("tensor(float)", 4)
}

# Of onnx.proto, by kind of message and number of field: the messages inside, and what makes a model more than numbers.
INSIDE = {
    ("model", 7): "graph",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("graph", 15): "sparse",
    ("node", 5): "attribute",
    ("attribute", 5): "tensor",
    ("attribute", 10): "tensor",
    ("attribute", 22): "sparse",
    ("attribute", 23): "sparse",
    ("sparse", 1): "tensor",
    ("sparse", 2): "tensor",
}
REFUSED = {
    ("tensor", 13): "weights in other files",
    ("tensor", 14): "weights in other files",
    ("node", 7): "operators that are not of ONNX",
    ("model", 20): "functions",
    ("model", 25): "functions",
    ("attribute", 6): "loops or branches",
    ("attribute", 11): "loops or branches",
}
HARMLESS = (0, b"", b"ai.onnx")  # location and domain by default
METADATA_FIELD = 14
LENGTHS = {1: 8, 2: 0, 5: 4}  # of values by their wire type; 0 if it stands before the value


class OnnxPredictor(LogitsPredictor):
    """An ONNX model as a Predictor.

    Parameters
    ----------
    session
        A session of a model with the input `tokens` and the outputs `logits` and, if it has attention, `attention`.
    n_symbols
        The number of symbols.
    calibration
        The temperatures that the logits are divided by; all 1 by default.

    Examples
    --------
    A model whose logits are 5 for the symbol of a visible cell, and 0 for all symbols of a hidden one:

    >>> import numpy as np
    >>> import onnx.parser
    >>> from gridcloze.export import OnnxPredictor, open_session
    >>> model = onnx.parser.parse_model('''
    ...     <ir_version: 8, opset_import: ["": 20]>
    ...     fives (int64[batch, height, width] tokens) => (float[batch, height, width, symbol] logits) {
    ...         n_symbols = Constant<value = int64 {2}> ()
    ...         off_on = Constant<value = float[2] {0.0, 5.0}> ()
    ...         logits = OneHot<axis = -1> (tokens, n_symbols, off_on)
    ...     }''')
    >>> predictor = OnnxPredictor(open_session(model.SerializeToString(), "fives.onnx"), n_symbols=2)
    >>> predictor.logits(np.array([[[1, 2]]]))
    array([[[[0., 5.],
             [0., 0.]]]], dtype=float32)
    >>> predictor.marginals(np.array([[[1, 0]]]), np.array([[[False, True]]]))
    array([[[[0. , 1. ],
             [0.5, 0.5]]]])
    """

    pass_cells = 512  # in bulk it is as fast with so few, and a single grid is answered twice as fast (LOG.md)

    def __init__(self, session: "_Session", n_symbols: int, calibration: Calibration | None = None):
        super().__init__(n_symbols, calibration)
        self.session = session

    @property
    def has_attention(self) -> bool:
        """Whether it is a network with attention."""
        return "attention" in self.session.outputs

    def logits(self, tokens: Cells, side: Features | None = None) -> Marginals:
        """See `LogitsPredictor.logits`."""
        return self.session.run("logits", tokens, side)

    def attention(self, tokens: Cells, side: Features | None = None) -> Float[np.ndarray, "batch layer head query key"]:
        """Return the attention weights of each layer.

        Parameters
        ----------
        tokens
            The symbol of each visible cell, and `n_symbols` for each hidden one.
        side
            The features of the side maps, for a model that has such.

        Returns
        -------
        ndarray
            See `Bert.forward`.
        """
        return self.session.run("attention", tokens, side)


def open_session(model: bytes, path: AnyPath) -> "_Session":
    """Open an ONNX model for inference, after a look whether it is one that could do anything else.

    Parameters
    ----------
    model
        The bytes of the model.
    path
        The file that they come from, for the error message.

    Returns
    -------
    _Session
        What `OnnxPredictor` takes. It runs in one thread, as several passes run at once.

    Raises
    ------
    InputError
        If the bytes are no ONNX model, or one that refers to other files, that has operators, functions, loops or
        branches of its own, or that has other inputs and outputs.

    Examples
    --------
    >>> from gridcloze.export import open_session
    >>> open_session(b"no model", "model.onnx")
    Traceback (most recent call last):
    ...
    gridcloze.words.InputError: model.onnx: this is not an exported model, or it is truncated
    """
    return _Session(model, path)


class _Session:
    """A session of ONNX Runtime that errs in one line, and is opened again from its bytes where it is unpickled."""

    def __init__(self, model: bytes, path: AnyPath):
        import onnxruntime  # slow to import, and other models do without

        self.model, self.path = model, path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # several passes run at once
        options.log_severity_level = 4
        onnxruntime.set_default_logger_severity(4)  # of what is logged outside sessions: its errors come as exceptions
        options.add_session_config_entry("session.load_model_format", "ONNX")  # it would run its own format as well
        with about(path):
            _refuse_more_than_numbers("model", memoryview(model))
            with _in_one_line(NO_MODEL):
                providers = ["CPUExecutionProvider"]
                self.session = onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
                given, returned = self.session.get_inputs(), self.session.get_outputs()
                described = {each.name: (each.type, len(each.shape)) for each in (*given, *returned)}
            required = {name: SPECIFICATION[name] for name in ("tokens", "logits", *described) if name in SPECIFICATION}
            self.outputs = [each.name for each in returned]
            if [each.name for each in given] not in (["tokens"], ["tokens", "side"]) or described != required:
                raise InputError("this is an ONNX file, but its inputs and outputs are not those of an exported model")

    def run(self, output: str, tokens: Cells, side: Features | None) -> np.ndarray:
        height, width = tokens.shape[1:]
        inputs = {"tokens": tokens} if side is None else {"tokens": tokens, "side": side}
        with _in_one_line(f"{self.path}: the model fails on grids of {height} by {width} cells"):
            return cast(np.ndarray, self.session.run([output], inputs)[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return _Session, (self.model, self.path)


@contextlib.contextmanager
def _in_one_line(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the classes of ONNX Runtime have no common base but this
        raise InputError(f"{what} ({' '.join(str(error).split())[:200]})") from None


def read_metadata(model: bytes, key: str) -> str | None:
    """Read an entry of the metadata of an ONNX model; nothing is executed.

    Parameters
    ----------
    model
        The bytes of the model.
    key
        The name of the entry.

    Returns
    -------
    str or None
        The last entry of that name; None if there is none.

    Raises
    ------
    InputError
        If the bytes are no ONNX model.

    Examples
    --------
    >>> from gridcloze.export import read_metadata, with_metadata
    >>> read_metadata(with_metadata(b"", "author", "me"), "author")
    'me'
    """
    metadata = [value for number, value in _fields(memoryview(model)) if number == METADATA_FIELD]
    entries = [dict(_fields(value)) for value in metadata if isinstance(value, memoryview)]
    values = [entry.get(2) for entry in entries if entry.get(1) == key.encode()]
    return str(values[-1], "utf-8", "replace") if values and isinstance(values[-1], memoryview) else None


def _refuse_more_than_numbers(kind: str, message: memoryview) -> None:
    """Refuse what makes a model read other files or run code that is not of ONNX Runtime, or for ever."""
    for number, value in _fields(message):
        if (kind, number) in REFUSED and value not in HARMLESS:
            raise InputError(f"this model has {REFUSED[kind, number]}, which no exported model has; it is not run")
        if (kind, number) in INSIDE and isinstance(value, memoryview):  # otherwise it is read as nothing
            _refuse_more_than_numbers(INSIDE[kind, number], value)


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """The numbers and values of the fields of a protobuf message: numbers, or the bytes of texts and messages."""
    position = 0
    while position < len(message):
        tag, position = _number(message, position)
        if tag % 8 == 0:
            value, position = _number(message, position)
        elif tag % 8 in LENGTHS and tag < 2**32:
            length = LENGTHS[tag % 8]
            if not length:
                length, position = _number(message, position)
            value, position = message[position : position + length], position + length
            if position > len(message):
                raise InputError(NO_MODEL)
        else:
            raise InputError(NO_MODEL)
        yield tag // 8, value


def _number(message: memoryview, position: int) -> tuple[int, int]:
    """The number that stands in a message, 7 bits a byte, and the position after it."""
    total = 0
    for place, byte in enumerate(message[position : position + 10]):
        total |= (byte & 127) << 7 * place
        if byte < 128:
            return total, position + place + 1
    raise InputError(NO_MODEL)


def to_onnx(model: "torch.nn.Module") -> bytes:
    """Write a model as ONNX, for any number of grids of any size.

    Parameters
    ----------
    model
        A `Bert`, or another network that turns tokens into logits.

    Returns
    -------
    bytes
        An ONNX model with the input `tokens`, for a model with side maps also `side`, and the output `logits`, and of
        a `Bert` the output `attention`; see `Bert.forward`.

    Examples
    --------
    It takes about ten seconds, so this example is not run as a test:

    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.export import to_onnx
    >>> graph = to_onnx(Bert(BertConfig(4, 4, n_symbols=2, depth=1)))  # doctest: +SKIP
    """
    import torch

    from .bert import Bert

    class Outputs(torch.nn.Module):
        def forward(self, tokens: torch.Tensor, side: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
            if not isinstance(model, Bert):
                return (model(tokens),)
            attention: list[torch.Tensor] = []
            return model(tokens, attention, side), torch.stack(attention, dim=1)

    example = {"tokens": torch.zeros((3, 6, 10), dtype=torch.int64)}  # nothing of its shape is kept
    if isinstance(model, Bert) and model.config.side:
        example["side"] = torch.zeros((3, 6, 10, model.config.side))
    sizes = dict.fromkeys(range(3), torch.export.Dim.DYNAMIC)
    with _quiet():
        program = torch.onnx.export(
            Outputs().eval(),
            tuple(example.values()),
            dynamo=True,
            dynamic_shapes=dict.fromkeys(example, sizes),
            input_names=list(example),
            output_names=["logits", "attention"] if isinstance(model, Bert) else ["logits"],
            opset_version=OPSET,
            verbose=False,
        )
    proto = cast(Any, program).model_proto
    for node in proto.graph.node:
        node.ClearField("metadata_props")  # stack traces, which name the folders of this machine
    return proto.SerializeToString()


def with_metadata(model: bytes, key: str, value: str) -> bytes:
    """Append an entry of metadata to an ONNX model.

    Parameters
    ----------
    model
        The bytes of the model.
    key, value
        The entry.

    Returns
    -------
    bytes
        The model, then the entry.

    Examples
    --------
    >>> import onnx
    >>> from gridcloze.export import with_metadata
    >>> onnx.ModelProto.FromString(with_metadata(b"", "author", "me")).metadata_props[0].value
    'me'
    """
    import onnx  # its messages, one after the other, are one message

    entry = onnx.StringStringEntryProto(key=key, value=value)
    return model + onnx.ModelProto(metadata_props=[entry]).SerializeToString()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep silent what the exporter prints, which is for those who write exporters."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
