"""One file in, one file out: a model with its palette and its training record, as safetensors."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .bert import Bert, BertPredictor, config_from_json
from .grids import InputError, Palette, atomic_write
from .predictor import Calibration

FORMAT_VERSION = 2


@dataclass(frozen=True)
class Header:
    """What a model file says of its tensors."""

    config: dict[str, Any]
    palette: Palette
    scale: int = 1  # pixels to the side of a cell in the examples
    training: dict[str, Any] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)
    hash: str = ""  # SHA-256 of everything in the file, in hexadecimal digits


class TrainedPredictor(BertPredictor):
    """The Predictor of a model file, with its `header`."""

    def __init__(self, model: Bert, header: Header):
        super().__init__(model, header.calibration)
        self.header = header

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the grids it was trained on, in cells."""
        return self.model.config.height, self.model.config.width


def save(path: Path | str, predictor: TrainedPredictor) -> str:
    """Write a model file at once or not at all, and return its hash."""
    header = predictor.header
    said = {
        "format": "gridcloze",
        "format_version": FORMAT_VERSION,
        "config": header.config,
        "palette": header.palette.to_json(),
        "scale": header.scale,
        "training": header.training,
        "calibration": asdict(header.calibration),
    }
    text = json.dumps(said, sort_keys=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in predictor.model.state_dict().items()}
    file_hash = _hash(text, {name: value.numpy() for name, value in tensors.items()})
    with atomic_write(Path(path)) as temporary:
        save_file(tensors, temporary, {"gridcloze": json.dumps([text, file_hash])})  # one entry: their order is random
    return file_hash


def load(path: Path | str) -> TrainedPredictor:
    """The Predictor in a model file; nothing in the file is executed.

    Raises InputError if there is no such file, if it is no model file, truncated, altered, of another format
    version, or if its config does not fit its tensors.
    """
    header, tensors = _read(Path(path))
    config = config_from_json(header.config)
    with torch.device("meta"):  # the shapes alone: a config that lies must not fill the memory
        expected = {name: tuple(value.shape) for name, value in Bert(config).state_dict().items()}
    if config.n_symbols != header.palette.n_symbols or expected != {k: v.shape for k, v in tensors.items()}:
        raise InputError(f"{path}: the config in the file does not fit its tensors; train the model again")
    model = Bert(config)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return TrainedPredictor(model, header)


def read_header(path: Path | str) -> Header:
    """What a model file says of itself, checked like `load` does but for the config."""
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[Header, dict[str, np.ndarray]]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; train a model with: gridcloze train EXAMPLES -o {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a model file of gridcloze, or it is truncated ({error})") from error
    return _header(path, metadata, tensors), tensors


def _header(path: Path, metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> Header:
    if "gridcloze" not in metadata:
        raise InputError(f"{path} is a safetensors file, but not a model of gridcloze")
    text, file_hash = json.loads(metadata["gridcloze"])
    if file_hash != _hash(text, tensors):
        raise InputError(f"{path} was altered after it was written (its hash differs); take the original file")
    said = json.loads(text)
    if said["format_version"] != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {said['format_version']}, this gridcloze reads {FORMAT_VERSION}: "
            "use the version that wrote it, or train again"
        )
    palette, calibration = Palette.from_json(said["palette"]), _calibration(path, said["calibration"])
    return Header(said["config"], palette, said["scale"], said["training"], calibration, file_hash)


def _calibration(path: Path, said: dict[str, Any]) -> Calibration:
    fractions, temperatures = said["hidden_fractions"], said["temperatures"]
    if not len(fractions) == len(temperatures) > 0 or sorted(fractions) != fractions or min(temperatures) <= 0:
        raise InputError(f"{path}: the calibration in the file does not fit; train the model again")
    return Calibration(tuple(fractions), tuple(temperatures))


def _hash(text: str, tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape} {tensors[name].dtype}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
