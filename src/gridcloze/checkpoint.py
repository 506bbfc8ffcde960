"""One file in, one file out: a model with its palette and its training record, as safetensors or, exported, as ONNX."""

import copy
import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from . import tiling
from .export import OnnxPredictor, open_session, to_onnx, with_metadata
from .files.palettes import Palette
from .files.paths import atomic_write, check_writable
from .logits import Calibration, LogitsPredictor
from .predictor import tokens_of
from .shapes import Cells, Hidden, Marginals
from .words import InputError

if TYPE_CHECKING:
    import onnxruntime

    import gridcloze.bert
    import gridcloze.networks

FORMAT_VERSION = 3
EXPORTED = ".onnx"  # how the names of exported models end
METADATA = "gridcloze"


@dataclass(frozen=True)
class Header:
    """What a model file says of its tensors."""

    config: dict[str, Any]
    palette: Palette
    scale: int = 1  # pixels to the side of a cell in the examples
    training: dict[str, Any] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)
    hash: str = ""  # SHA-256 of everything in the file, in hexadecimal digits
    windows: bool = False  # whether it learned from windows of larger grids


@dataclass(frozen=True)
class TrainedPredictor:
    """The Predictor of a model file: what answers, and the `header` that says what it is."""

    base: LogitsPredictor
    header: Header

    @property
    def n_symbols(self) -> int:
        return self.base.n_symbols

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the grids it was trained on, in cells."""
        return self.header.config["height"], self.header.config["width"]

    @property
    def window(self) -> tuple[int, int] | None:
        """The size of the windows that grids of any size are answered through, if it learned from windows."""
        return self.size if self.header.windows else None

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """See `Predictor.marginals`."""
        if self.window is None or cells.shape[1:] == self.window:
            return self.base.marginals(cells, hidden)
        return tiling.marginals(self.base, cells, hidden, self.window)

    @property
    def patch(self) -> int:
        """Cells to the side of a patch."""
        return self.header.config["patch"]

    def attention(self, cells: Cells, hidden: Hidden) -> Float[np.ndarray, "batch layer head query key"]:
        """The weights with which each patch looks at each, row by row; see `Bert.forward`."""
        return cast(Any, self.base).attention(tokens_of(cells, hidden, self.n_symbols))

    def uncalibrated(self) -> "TrainedPredictor":
        """The same model with logits as they are."""
        base = copy.copy(self.base)
        base.calibration = Calibration()
        return replace(self, base=base)


def save(path: Path | str, predictor: TrainedPredictor) -> str:
    """Write a model file at once or not at all, and return its hash. Raises InputError for an exported model."""
    state = _torch_model(predictor).state_dict()
    tensors = {name: value.detach().cpu().contiguous().numpy() for name, value in state.items()}
    text = json.dumps(_said(predictor.header), sort_keys=True)
    file_hash = _hash(text, tensors)
    with atomic_write(Path(path)) as temporary:
        save_file(tensors, temporary, {METADATA: json.dumps([text, file_hash])})  # one entry: their order is random
    return file_hash


def export(path: Path | str, predictor: TrainedPredictor) -> None:
    """Write a model as an ONNX file at once or not at all; `load` reads it without torch.

    The file takes any number of grids of any size, and gives logits and attention weights. Its hash is that of the
    model. Raises InputError for another ending than .onnx, and for a model that is exported already.
    """
    if Path(path).suffix != EXPORTED:
        raise InputError(f"{path}: the name of an exported model ends in {EXPORTED}")
    check_writable(path)  # before the work is done
    graph = to_onnx(_torch_model(predictor))
    text = json.dumps(_said(predictor.header) | {"hash": predictor.header.hash}, sort_keys=True)
    said = json.dumps([text, _hash(text, {"": np.frombuffer(graph, np.uint8)}), len(graph)])
    with atomic_write(Path(path)) as temporary:
        temporary.write_bytes(with_metadata(graph, METADATA, said))


def load(path: Path | str) -> TrainedPredictor:
    """The Predictor in a model file; nothing in the file is executed.

    Raises InputError if there is no such file, if it is no model file, truncated, altered, of another format
    version, or if its config does not fit its tensors.
    """
    path = Path(path)
    if path.suffix == EXPORTED:
        header, session = _read_exported(path)
        return TrainedPredictor(OnnxPredictor(session, header.palette.n_symbols, header.calibration), header)
    header, tensors = _read(path)
    return TrainedPredictor(_bert(path, header, tensors), header)


def read_header(path: Path | str) -> Header:
    """What a model file says of itself, checked like `load` does but for the config."""
    path = Path(path)
    return (_read_exported(path) if path.suffix == EXPORTED else _read(path))[0]


def _bert(path: Path, header: Header, tensors: dict[str, np.ndarray]) -> "gridcloze.networks.NetworkPredictor":
    import torch  # an exported model does without

    from .bert import Bert, config_from_json
    from .networks import NetworkPredictor

    config = config_from_json(header.config)
    with torch.device("meta"):  # the shapes alone: a config that lies must not fill the memory
        expected = {name: tuple(value.shape) for name, value in Bert(config).state_dict().items()}
    if config.n_symbols != header.palette.n_symbols or expected != {k: v.shape for k, v in tensors.items()}:
        raise InputError(f"{path}: the config in the file does not fit its tensors; train the model again")
    model = Bert(config)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return NetworkPredictor(model, header.calibration)


def _torch_model(predictor: TrainedPredictor) -> "gridcloze.bert.Bert":
    if isinstance(predictor.base, OnnxPredictor):
        raise InputError("this model is exported already: take the .safetensors file that it was made from")
    return cast(Any, predictor.base).model


def _read(path: Path) -> tuple[Header, dict[str, np.ndarray]]:
    _check_there(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a model file of gridcloze, or it is truncated ({error})") from error
    if METADATA not in metadata:
        raise InputError(f"{path} is a safetensors file, but not a model of gridcloze")
    text, file_hash = json.loads(metadata[METADATA])
    return _header(path, text, file_hash, tensors), tensors


def _read_exported(path: Path) -> tuple[Header, "onnxruntime.InferenceSession"]:
    _check_there(path)
    data = path.read_bytes()
    session = open_session(data, path)
    metadata = session.get_modelmeta().custom_metadata_map
    if METADATA not in metadata:
        raise InputError(f"{path} is an ONNX file, but not a model of gridcloze")
    text, file_hash, length = json.loads(metadata[METADATA])
    return _header(path, text, file_hash, {"": np.frombuffer(data[:length], np.uint8)}), session


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file; train a model with: gridcloze train EXAMPLES -o {path}")


def _said(header: Header) -> dict[str, Any]:
    return {
        "format": "gridcloze",
        "format_version": FORMAT_VERSION,
        "config": header.config,
        "palette": header.palette.to_json(),
        "scale": header.scale,
        "training": header.training,
        "calibration": asdict(header.calibration),
        "windows": header.windows,
    }


def _header(path: Path, text: str, file_hash: str, tensors: dict[str, np.ndarray]) -> Header:
    if file_hash != _hash(text, tensors):
        raise InputError(f"{path} was altered after it was written (its hash differs); take the original file")
    said = json.loads(text)
    if said["format_version"] != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {said['format_version']}, this gridcloze reads {FORMAT_VERSION}: "
            "use the version that wrote it, or train again"
        )
    return Header(
        said["config"],
        Palette.from_json(said["palette"]),
        said["scale"],
        said["training"],
        _calibration(path, said["calibration"]),
        said.get("hash", file_hash),
        said.get("windows", False),
    )


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
