"""`gridcloze export`: a model as an ONNX file."""

from pathlib import Path

from .. import checkpoint
from .shared import Report


def export(model_path: Path, out: Path) -> Report:
    """Write a model as an ONNX file, which needs no torch."""
    predictor = checkpoint.load(model_path)
    checkpoint.export(out, predictor)
    return {"model": str(out), "hash": predictor.header.hash, "bytes": out.stat().st_size}
