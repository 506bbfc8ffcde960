"""A trained model without torch: written as ONNX, answered by ONNX Runtime."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float

from .logits import Calibration, LogitsPredictor
from .shapes import Cells, Marginals
from .words import InputError

if TYPE_CHECKING:
    import onnxruntime

    import gridcloze.bert

OPSET = 20  # of ONNX operators


class OnnxPredictor(LogitsPredictor):
    """A session of ONNX Runtime as a Predictor."""

    pass_cells = 2048  # it is as fast with so few

    def __init__(self, session: "onnxruntime.InferenceSession", n_symbols: int, calibration: Calibration | None = None):
        super().__init__(n_symbols, calibration)
        self.session = session

    def logits(self, tokens: Cells) -> Marginals:
        """See `LogitsPredictor.logits`."""
        return cast(np.ndarray, self.session.run(["logits"], {"tokens": tokens})[0])

    def attention(self, tokens: Cells) -> Float[np.ndarray, "batch layer head query key"]:
        """The attention weights of each layer; see `Bert.forward`."""
        return cast(np.ndarray, self.session.run(["attention"], {"tokens": tokens})[0])


def open_session(model: bytes, path: Path) -> "onnxruntime.InferenceSession":
    """A session of an ONNX model; raises InputError, which names `path`, for bytes that are none."""
    import onnxruntime  # slow to import, and other models do without

    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # several passes run at once
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes have no common base but this
        raise InputError(f"{path} is not an exported model, or it is truncated ({error})") from error


def to_onnx(model: "gridcloze.bert.Bert") -> bytes:
    """An ONNX model with input `tokens` and outputs `logits` and `attention`, for any number of grids of any size."""
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
    return cast(Any, program).model_proto.SerializeToString()


def with_metadata(model: bytes, key: str, value: str) -> bytes:
    """An ONNX model with one more entry of metadata, at its end: messages of protobuf one after the other are one."""
    import onnx

    entry = onnx.StringStringEntryProto(key=key, value=value)
    return model + onnx.ModelProto(metadata_props=[entry]).SerializeToString()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the exporter tells is for those who write exporters."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
