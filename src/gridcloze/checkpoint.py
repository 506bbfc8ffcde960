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
    """What a model file says about its tensors.

    Parameters
    ----------
    config
        The fields of the `BertConfig`.
    palette
        How the symbols look in pictures and texts.
    scale
        The side of a cell in the pictures of the examples, in pixels.
    training
        The record of the training: data, seed, budget, version, steps, seconds and held-out score.
    calibration
        The temperatures that the logits are divided by.
    hash
        SHA-256 of everything in the file, in hexadecimal digits.
    windows
        Whether the model learned from windows of larger grids.

    Examples
    --------
    >>> from dataclasses import asdict
    >>> from gridcloze.bert import BertConfig
    >>> from gridcloze.checkpoint import Header
    >>> from gridcloze.files.palettes import Palette
    >>> header = Header(asdict(BertConfig(8, 8, n_symbols=2)), Palette.default(2), training={"seed": 0})
    >>> header.config["depth"], header.training
    (6, {'seed': 0})
    """

    config: dict[str, Any]
    palette: Palette
    scale: int = 1
    training: dict[str, Any] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)
    hash: str = ""
    windows: bool = False


@dataclass(frozen=True)
class TrainedPredictor:
    """The Predictor in a model file.

    Parameters
    ----------
    base
        What predicts: grids of any size, or single windows if the model learned from windows.
    header
        What the file says about it.

    Examples
    --------
    >>> from dataclasses import asdict
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.checkpoint import Header, TrainedPredictor
    >>> from gridcloze.files.palettes import Palette
    >>> from gridcloze.networks import NetworkPredictor
    >>> config = BertConfig(8, 8, n_symbols=2, depth=1)
    >>> header = Header(asdict(config), Palette.default(2), windows=True)
    >>> TrainedPredictor(NetworkPredictor(Bert(config)), header).window
    (8, 8)
    """

    base: LogitsPredictor
    header: Header

    @property
    def n_symbols(self) -> int:
        """See `Predictor.n_symbols`."""
        return self.base.n_symbols

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the grids that it was trained on, in cells."""
        return self.header.config["height"], self.header.config["width"]

    @property
    def window(self) -> tuple[int, int] | None:
        """The size of the windows through which it answers, or None if it learned from whole grids."""
        return self.size if self.header.windows else None

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        """See `Predictor.marginals`."""
        if self.window is None or cells.shape[1:] == self.window:
            return self.base.marginals(cells, hidden)
        return tiling.marginals(self.base, cells, hidden, self.window)

    @property
    def patch(self) -> int:
        """The side of a patch, in cells."""
        return self.header.config["patch"]

    def attention(self, cells: Cells, hidden: Hidden) -> Float[np.ndarray, "batch layer head query key"]:
        """Return the attention weights of each layer.

        Parameters
        ----------
        cells, hidden
            The grids, and which of their cells are hidden.

        Returns
        -------
        ndarray
            See `Bert.forward`.
        """
        return cast(Any, self.base).attention(tokens_of(cells, hidden, self.n_symbols))

    def uncalibrated(self) -> "TrainedPredictor":
        """Return the same model without calibration.

        Returns
        -------
        TrainedPredictor
            Its probabilities are those of the logits as they are.
        """
        base = copy.copy(self.base)
        base.calibration = Calibration()
        return replace(self, base=base)


def save(path: Path | str, predictor: TrainedPredictor) -> str:
    """Write a model file, completely or not at all.

    Parameters
    ----------
    path
        The file to write; its name usually ends in .safetensors.
    predictor
        The model.

    Returns
    -------
    str
        The hash of the file; the same model always gives the same bytes.

    Raises
    ------
    InputError
        If the model was exported, or the file cannot be written.

    Examples
    --------
    >>> from dataclasses import asdict
    >>> from gridcloze import checkpoint
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.files.palettes import Palette
    >>> from gridcloze.networks import NetworkPredictor
    >>> config = BertConfig(8, 8, n_symbols=2, depth=1)
    >>> header = checkpoint.Header(asdict(config), Palette.default(2))
    >>> predictor = checkpoint.TrainedPredictor(NetworkPredictor(Bert(config)), header)
    >>> file_hash = checkpoint.save("model.safetensors", predictor)
    >>> checkpoint.read_header("model.safetensors").hash == file_hash
    True
    """
    state = _torch_model(predictor).state_dict()
    tensors = {name: value.detach().cpu().contiguous().numpy() for name, value in state.items()}
    text = json.dumps(_header_to_json(predictor.header), sort_keys=True)
    file_hash = _hash(text, tensors)
    with atomic_write(Path(path)) as temporary:
        save_file(
            tensors, temporary, {METADATA: json.dumps([text, file_hash])}
        )  # one entry: several are in random order
    return file_hash


def export(path: Path | str, predictor: TrainedPredictor) -> None:
    """Write a model as an ONNX file, completely or not at all; `load` reads it without torch.

    Parameters
    ----------
    path
        The file to write; its name ends in .onnx.
    predictor
        The model. The hash in the file is that of the model.

    Raises
    ------
    InputError
        If the name has another ending, the model is exported already, or the file cannot be written.

    Examples
    --------
    An export takes about ten seconds, so the last line is not run as a test:

    >>> from dataclasses import asdict
    >>> from gridcloze import checkpoint
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.files.palettes import Palette
    >>> from gridcloze.networks import NetworkPredictor
    >>> config = BertConfig(8, 8, n_symbols=2, depth=1)
    >>> header = checkpoint.Header(asdict(config), Palette.default(2))
    >>> predictor = checkpoint.TrainedPredictor(NetworkPredictor(Bert(config)), header)
    >>> checkpoint.export("model.safetensors", predictor)
    Traceback (most recent call last):
    ...
    gridcloze.words.InputError: model.safetensors: the name of an exported model ends in .onnx
    >>> checkpoint.export("model.onnx", predictor)  # doctest: +SKIP
    """
    if Path(path).suffix != EXPORTED:
        raise InputError(f"{path}: the name of an exported model ends in {EXPORTED}")
    check_writable(path)  # before the work is done
    graph = to_onnx(_torch_model(predictor))
    text = json.dumps(_header_to_json(predictor.header) | {"hash": predictor.header.hash}, sort_keys=True)
    metadata = json.dumps([text, _hash(text, {"": np.frombuffer(graph, np.uint8)}), len(graph)])
    with atomic_write(Path(path)) as temporary:
        temporary.write_bytes(with_metadata(graph, METADATA, metadata))


def load(path: Path | str) -> TrainedPredictor:
    """Read the Predictor in a model file; nothing in the file is executed.

    Parameters
    ----------
    path
        A file that `save` or `export` wrote.

    Returns
    -------
    TrainedPredictor
        The model.

    Raises
    ------
    InputError
        If there is no such file, if it is no model file, truncated, altered or of another format version, or if its
        config does not fit its tensors.

    Examples
    --------
    >>> from dataclasses import asdict
    >>> from gridcloze import checkpoint
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.files.palettes import Palette
    >>> from gridcloze.networks import NetworkPredictor
    >>> config = BertConfig(8, 8, n_symbols=2, depth=1)
    >>> header = checkpoint.Header(asdict(config), Palette.default(2))
    >>> predictor = checkpoint.TrainedPredictor(NetworkPredictor(Bert(config)), header)
    >>> file_hash = checkpoint.save("model.safetensors", predictor)
    >>> checkpoint.load("model.safetensors").size
    (8, 8)
    """
    path = Path(path)
    if path.suffix == EXPORTED:
        header, session = _read_exported(path)
        return TrainedPredictor(OnnxPredictor(session, header.palette.n_symbols, header.calibration), header)
    header, tensors = _read(path)
    return TrainedPredictor(_bert(path, header, tensors), header)


def read_header(path: Path | str) -> Header:
    """Read what a model file says about itself, without making the model.

    Parameters
    ----------
    path
        A file that `save` or `export` wrote.

    Returns
    -------
    Header
        Palette, training record, calibration and more.

    Raises
    ------
    InputError
        As `load`, but for a config that does not fit the tensors.

    Examples
    --------
    >>> from gridcloze.checkpoint import read_header
    >>> read_header("none.safetensors")
    Traceback (most recent call last):
    ...
    gridcloze.words.InputError: none.safetensors: no such file; train a model with: gridcloze train ...
    """
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
        raise InputError("this model is exported already: use the .safetensors file that it was made from")
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


def _header_to_json(header: Header) -> dict[str, Any]:
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
        raise InputError(f"{path} was altered after it was written (its hash differs): use the original file")
    values = json.loads(text)
    if values["format_version"] != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {values['format_version']}, this gridcloze reads {FORMAT_VERSION}: "
            "use the version that wrote it, or train again"
        )
    return Header(
        values["config"],
        Palette.from_json(values["palette"]),
        values["scale"],
        values["training"],
        _calibration(path, values["calibration"]),
        values.get("hash", file_hash),
        values.get("windows", False),
    )


def _calibration(path: Path, values: dict[str, Any]) -> Calibration:
    fractions, temperatures = values["hidden_fractions"], values["temperatures"]
    if not len(fractions) == len(temperatures) > 0 or sorted(fractions) != fractions or min(temperatures) <= 0:
        raise InputError(f"{path}: the calibration in the file does not fit; train the model again")
    return Calibration(tuple(fractions), tuple(temperatures))


def _hash(text: str, tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape} {tensors[name].dtype}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
