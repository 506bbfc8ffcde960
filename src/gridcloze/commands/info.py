"""`gridcloze info`: what a model file says of itself."""

from dataclasses import asdict
from pathlib import Path

from .. import checkpoint
from .shared import Report


def info(model_path: Path) -> Report:
    """What a model file says of itself."""
    header = checkpoint.read_header(model_path)
    return {
        "model": str(model_path),
        "hash": header.hash,
        "config": header.config,
        "palette": ["#{:02x}{:02x}{:02x}{:02x}".format(*colour) for colour in header.palette.colours],
        "characters": header.palette.characters,
        "scale": header.scale,
        "training": header.training,
        "calibration": asdict(header.calibration),
    }
