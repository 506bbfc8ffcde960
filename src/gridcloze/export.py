"""A trained model without torch: written as ONNX, run by ONNX Runtime."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float

from .logits import Calibration, LogitsPredictor
from .shapes import Cells, Marginals
from .words import AnyPath, InputError

if TYPE_CHECKING:
    import onnxruntime

    import gridcloze.bert

OPSET = 20  # of ONNX operators


class OnnxPredictor(LogitsPredictor):
    """An ONNX model as a Predictor.

    Parameters
    ----------
    session
        A session of a model with the input `tokens` and the outputs `logits` and `attention`.
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

    pass_cells = 2048  # it is as fast with so few

    def __init__(self, session: "onnxruntime.InferenceSession", n_symbols: int, calibration: Calibration | None = None):
        super().__init__(n_symbols, calibration)
        self.session = session

    def logits(self, tokens: Cells) -> Marginals:
        """See `LogitsPredictor.logits`."""
        return cast(np.ndarray, self.session.run(["logits"], {"tokens": tokens})[0])

    def attention(self, tokens: Cells) -> Float[np.ndarray, "batch layer head query key"]:
        """Return the attention weights of each layer.

        Parameters
        ----------
        tokens
            The symbol of each visible cell, and `n_symbols` for each hidden one.

        Returns
        -------
        ndarray
            See `Bert.forward`.
        """
        return cast(np.ndarray, self.session.run(["attention"], {"tokens": tokens})[0])


def open_session(model: bytes, path: AnyPath) -> "onnxruntime.InferenceSession":
    """Open an ONNX model for inference.

    Parameters
    ----------
    model
        The bytes of the model.
    path
        The file that they come from, for the error message.

    Returns
    -------
    onnxruntime.InferenceSession
        A session that runs in one thread, as several passes run at once.

    Raises
    ------
    InputError
        If the bytes are no ONNX model.

    Examples
    --------
    >>> from gridcloze.export import open_session
    >>> open_session(b"no model", "model.onnx")
    Traceback (most recent call last):
    ...
    gridcloze.words.InputError: model.onnx is not an exported model, or it is truncated (...)
    """
    import onnxruntime  # slow to import, and other models do without

    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # several passes run at once
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes have no common base but this
        raise InputError(f"{path} is not an exported model, or it is truncated ({error})") from error


def to_onnx(model: "gridcloze.bert.Bert") -> bytes:
    """Write a model as ONNX, for any number of grids of any size.

    Parameters
    ----------
    model
        The model.

    Returns
    -------
    bytes
        An ONNX model with the input `tokens` and the outputs `logits` and `attention`; see `Bert.forward`.

    Examples
    --------
    It takes about ten seconds, so this example is not run as a test:

    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.export import to_onnx
    >>> graph = to_onnx(Bert(BertConfig(4, 4, n_symbols=2, depth=1)))  # doctest: +SKIP
    """
    import torch

    class Outputs(torch.nn.Module):
        def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            attention: list[torch.Tensor] = []
            return model(tokens, attention), torch.stack(attention, dim=1)

    example = torch.zeros((3, 6, 10), dtype=torch.int64)  # nothing of its shape is kept
    sizes = dict.fromkeys(range(3), torch.export.Dim.DYNAMIC)
    with _quiet():
        program = torch.onnx.export(
            Outputs().eval(),
            (example,),
            dynamo=True,
            dynamic_shapes={"tokens": sizes},
            input_names=["tokens"],
            output_names=["logits", "attention"],
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
