"""`gridcloze export`: a model as an ONNX file."""

from pathlib import Path
from typing import TypedDict

from .. import checkpoint
from ..files.paths import check_writable, only_one, refuse_replacing, remove_leftovers


class ExportReport(TypedDict):
    """What `gridcloze export` wrote.

    Attributes
    ----------
    path
        The ONNX file.
    model
        Hash of the model: SHA-256, in hexadecimal digits; the same as that of the model file.
    bytes
        Size of the ONNX file in bytes.

    Examples
    --------
    >>> ExportReport(path="model.onnx", model="5eed…", bytes=130810)["path"]
    'model.onnx'
    """

    path: str
    model: str
    bytes: int


def export(model_path: Path, out: Path, overwrite: bool = False) -> ExportReport:
    """Write a model as an ONNX file, which is read without torch.

    Parameters
    ----------
    model_path
        A model file that `train` wrote.
    out
        The file to write; its name ends in .onnx.
    overwrite
        Whether to replace an older model of gridcloze.

    Returns
    -------
    ExportReport
        What was written.

    Raises
    ------
    InputError
        If `model_path` is no model file or is exported already, or `out` cannot be written or is somebody's.

    Examples
    --------
    >>> export(Path("model.safetensors"), Path("model.onnx"))
    Traceback (most recent call last):
    gridcloze.words.InputError: model.safetensors: no such file; ...
    """
    predictor = checkpoint.load(model_path)
    check_writable(out)
    with only_one(out):
        remove_leftovers(out.parent)
        refuse_replacing([out], [model_path], overwrite)
        checkpoint.export(out, predictor)
    return {"path": str(out), "model": predictor.header.hash, "bytes": out.stat().st_size}
