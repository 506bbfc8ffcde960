"""One file in, one file out: a model with its palette and its training record, as safetensors or, exported, as ONNX."""

import copy
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from . import tiling
from .curve import CURVE
from .export import OnnxPredictor, open_session, read_metadata, to_onnx, with_metadata
from .files.notes import Form, check_note, listed, number, one_of, parse_note, text, whole
from .files.palettes import Palette
from .files.paths import atomic_write, check_writable
from .logits import KINDS_OF_POINTS, LARGEST_MODEL, Calibration, Features, LogitsPredictor
from .memory import in_words, refuse_beyond_memory
from .predictor import Size, tokens_of
from .shapes import Cells, Hidden, Marginals
from .side import Channel, Side, encoded, with_side
from .words import InputError, about, finite_or_none

if TYPE_CHECKING:
    import gridcloze.bert
    import gridcloze.networks

FORMAT_VERSION = 3
EXPORTED = ".onnx"  # how the names of exported models end
METADATA = "gridcloze"
MOST_BYTES = 2**31  # of a model file
OPERATIONS_A_MINUTE = 2.5e12  # of attention, measured on one core
COUNT, INT64, TRUE_OR_FALSE = whole(0, 2**63), whole(-(2**63), 2**63 - 1), one_of(False, True)
FINITE = number(-1e300, 1e300)
POINTS = listed(number(0, 2**20), least=1)
MAY_BE_NONE = ("channels", "side")  # of the sizes in a config
TRAINING: Form = {  # of the record that Header.training is; whoever trains may add entries
    "data?": text(),
    "grids?": COUNT,
    "images?": COUNT,
    "symmetries?": one_of(text(), TRUE_OR_FALSE),  # version 0.1 wrote bools
    "seed?": one_of(None, whole(-(2**128), 2**128)),
    "minutes?": one_of(None, number(0, 1e9)),
    "steps?": one_of(None, COUNT),
    "seconds?": number(0, 1e12),
    "interrupted?": TRUE_OR_FALSE,
    "held_out_bits_per_hidden_cell?": one_of(None, number(0, 1e300)),
    "resolution?": lambda value: (
        listed(one_of(text(), number(0, 1e12)))(value) and [type(each) is str for each in value] == [False, False, True]
    ),
    "symbols?": listed(INT64),
    "open?": TRUE_OR_FALSE,
    "verdict?": text(),
    "curve?": CURVE,
    "parent?": text("[0-9a-f]{64}"),
    "version?": text(),
    "side_data?": text("[0-9a-f]{64}"),
    "...": lambda value: True,
}
HEADER: Form = {
    "format": one_of(METADATA),
    "format_version": one_of(FORMAT_VERSION),
    "config": {name: whole(1, most) for name, most in LARGEST_MODEL.items() if name not in MAY_BE_NONE}
    | {f"{name}?": whole(0, LARGEST_MODEL[name]) for name in MAY_BE_NONE},
    "palette": {
        "colours": listed(listed(whole(0, 255), least=4)),
        "characters": text(),
        "names?": listed(text()),
        "values?": listed(INT64),
        "in_values?": TRUE_OR_FALSE,
    },
    "scale": whole(1, 2**20),
    "training": TRAINING,
    "calibration": {
        **{f"{by}?": lambda value: POINTS(value) and value == sorted(value) for by in KINDS_OF_POINTS},
        "temperatures": listed(number(1e-3, 1e3), least=1),
    },
    "windows?": TRUE_OR_FALSE,
    "side?": listed(
        {"name": text(), "classes": listed(FINITE), "mean": FINITE, "deviation": number(1e-300, 1e300)}, least=1
    ),
    "hash?": text("[0-9a-f]{64}"),
}


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
        The record of the training: data, seed, budget, version, steps, seconds and held-out score. A number that is
        not finite becomes None, as in a file.
    calibration
        The temperatures that the logits are divided by.
    hash
        SHA-256 of everything in the file, in hexadecimal digits.
    windows
        Whether the model learned from windows of larger grids.
    side
        The side maps of the model.

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
    side: tuple[Channel, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "training", finite_or_none(self.training))


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

    @property
    def side(self) -> tuple[Channel, ...]:
        """The side maps that it needs."""
        return self.header.side

    def marginals(self, cells: Cells, hidden: Hidden, side: Side | None = None) -> Marginals:
        """See `Predictor.marginals`; for a model with side maps, `side` has them, (batch, height, width, channel)."""
        if self.window is None or cells.shape[1:] == self.window:
            self._refuse_beyond_memory(cells.shape)
            return self.base.marginals(cells, hidden, *self._features(side))
        return tiling.marginals(with_side(self, side) if self.side else self.base, cells, hidden, self.window)

    def _features(self, side: Side | None) -> list[Features]:
        if side is None:
            with_side(self, side)  # refuses a model that needs them
            return []
        return [encoded(self.side, side)]

    @property
    def patch(self) -> int:
        """The side of a patch, in cells."""
        return self.header.config["patch"]

    @property
    def has_attention(self) -> bool:
        """Whether it is a network with attention, as all are that `gridcloze train` writes."""
        return getattr(self.base, "has_attention", True)

    def attention(
        self, cells: Cells, hidden: Hidden, side: Side | None = None
    ) -> Float[np.ndarray, "batch layer head query key"]:
        """Return the attention weights of each layer.

        Parameters
        ----------
        cells, hidden
            The grids, and which of their cells are hidden.
        side
            The side maps, for a model that has such.

        Returns
        -------
        ndarray
            See `Bert.forward`.

        Raises
        ------
        InputError
            If the model has no attention, or too much of it for the memory.
        """
        if not self.has_attention:
            raise InputError("this model has no attention; a model that `gridcloze train` wrote has")
        self._refuse_beyond_memory(cells.shape, attention=True)
        weights = cast(Any, self.base).attention(tokens_of(cells, hidden, self.n_symbols), *self._features(side))
        n_patches = _n_patches(self.header, cells.shape[1:])
        config = self.header.config
        if weights.shape != (len(cells), config["depth"], config["heads"], n_patches, n_patches):
            raise InputError("the attention weights of the model do not fit its header: use the original file")
        return weights

    def _refuse_beyond_memory(self, shape: tuple[int, ...], attention: bool = False) -> None:
        n, size = shape[0], shape[1:]
        if size[0] * size[1] <= self.size[0] * self.size[1]:  # it was trained with as many cells
            return
        at_once = min(n, (os.cpu_count() or 1) * max(1, self.base.pass_cells // (size[0] * size[1])))
        exported = isinstance(self.base, OnnxPredictor)
        needed = (n if attention else at_once) * _pass_bytes(self.header, size, written_out=exported or attention)
        grid, trained = (f"{height} by {width} cells" for height, width in (size, self.size))
        what = f"the model learned from whole grids of {trained} (not with --windows): to answer one of {grid}"
        refuse_beyond_memory(needed, what)

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
    note = json.dumps(_header_to_json(predictor.header), sort_keys=True)
    file_hash = _hash(note, tensors)
    with atomic_write(Path(path)) as temporary:
        save_file(
            tensors, temporary, {METADATA: json.dumps([note, file_hash])}
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
    data = exported(predictor)
    with atomic_write(Path(path)) as temporary:
        temporary.write_bytes(data)


def exported(predictor: TrainedPredictor) -> bytes:
    """Write a model as ONNX, with what its file says about it.

    Parameters
    ----------
    predictor
        The model.

    Returns
    -------
    bytes
        What `export` writes.

    Raises
    ------
    InputError
        If the model is exported already.

    Examples
    --------
    It takes about ten seconds, so this example is not run as a test:

    >>> data = exported(load("model.safetensors"))  # doctest: +SKIP
    """
    graph = to_onnx(_torch_model(predictor))
    known_hash = {"hash": predictor.header.hash} if predictor.header.hash else {}
    note = json.dumps(_header_to_json(predictor.header) | known_hash, sort_keys=True)
    metadata = json.dumps([note, _hash(note, {"": np.frombuffer(graph, np.uint8)}), len(graph)])
    return with_metadata(graph, METADATA, metadata)


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
        If there is no such file, if it is no model file, truncated, altered or of another format version, if what it
        says about itself does not fit its tensors, or if a weight is no finite number.

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
        header, model = _read_exported(path)
        session = open_session(model, path)
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
    gridcloze.words.InputError: none.safetensors: no such file; make a model with: gridcloze train ...
    """
    path = Path(path)
    return (_read_exported(path) if path.suffix == EXPORTED else _read(path))[0]


def size_warning(header: Header, size: Size) -> str | None:
    """Warn of grids of another size than those that a model of whole grids learned from.

    Parameters
    ----------
    header
        Of the model.
    size
        Height and width of the grids to be filled, in cells.

    Returns
    -------
    str or None
        The warning in one line, with the time of a forward pass if it takes a minute or more; None for grids of the
        same size, and for a model that learned from windows, which it looks through.

    Examples
    --------
    >>> from dataclasses import asdict
    >>> from gridcloze.bert import BertConfig
    >>> from gridcloze.checkpoint import Header, size_warning
    >>> from gridcloze.files.palettes import Palette
    >>> header = Header(asdict(BertConfig(16, 16, n_symbols=2)), Palette.default(2))
    >>> size_warning(header, (20, 20))
    'the model learned from grids of 16 by 16 cells; this one has 20 by 20: its answer is an extrapolation'
    """
    height, width = header.config["height"], header.config["width"]
    if header.windows or size == (height, width):
        return None
    warning = f"the model learned from grids of {height} by {width} cells; this one has {size[0]} by {size[1]}: "
    minutes = _pass_operations(header, size) / OPERATIONS_A_MINUTE
    slow = f", and each forward pass takes about {minutes:.0f} minutes; train with --windows" if minutes >= 1 else ""
    return f"{warning}its answer is an extrapolation{slow}"


def _n_patches(header: Header, size: tuple[int, ...]) -> int:
    patch = header.config["patch"]
    return -(-size[0] // patch) * -(-size[1] // patch)


def _pass_operations(header: Header, size: tuple[int, ...]) -> int:
    """The multiplications and additions of attention in a forward pass for one grid."""
    return 4 * header.config["depth"] * header.config["embedding_size"] * _n_patches(header, size) ** 2


def _pass_bytes(header: Header, size: tuple[int, ...], written_out: bool) -> int:
    """About what a forward pass for one grid needs; attention that is written out is kept for all layers, twice."""
    config, patches = header.config, _n_patches(header, size)
    of_head = config["embedding_size"] // config["heads"]
    inputs = 4 * config["patch"] ** 2 * (config["n_symbols"] + 2 + config.get("side", 0))
    linear = 4 * patches * (12 * config["embedding_size"] + 3 * of_head**2 + inputs)
    return linear + (8 * config["heads"] * patches**2 * config["depth"] if written_out else 0)


def _bert(path: Path, header: Header, tensors: dict[str, np.ndarray]) -> "gridcloze.networks.NetworkPredictor":
    import torch  # an exported model does without

    from .bert import Bert, BertConfig
    from .networks import NetworkPredictor

    with about(path):
        config = BertConfig(**header.config)
    fits = config.n_parameters == sum(value.size for value in tensors.values())
    if fits:
        with torch.device("meta"):  # the shapes alone: a config that lies must not fill the memory
            expected = {name: tuple(value.shape) for name, value in Bert(config).state_dict().items()}
        fits = expected == {name: value.shape for name, value in tensors.items()}
    if not fits:
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
            metadata, names = file.metadata() or {}, list(file.keys())
            if METADATA not in metadata:
                raise InputError(f"{path} is a safetensors file, but not a model of gridcloze")
            if any(file.get_slice(name).get_dtype() != "F32" for name in names):
                raise InputError(f"{path}: a weight is no float32; use the original file")
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a model file of gridcloze, or it is truncated ({error})") from error
    header = _header(path, metadata[METADATA], [str, str], lambda length: tensors)
    if not all(np.isfinite(value).all() for value in tensors.values()):
        raise InputError(f"{path}: a weight is no finite number; train the model again")
    return header, tensors


def _read_exported(path: Path) -> tuple[Header, bytes]:
    """The header, and the model without it."""
    _check_there(path)
    data = path.read_bytes()
    with about(path):
        note = read_metadata(data, METADATA)
    if note is None:
        raise InputError(f"{path}: this is not an exported model of gridcloze, or it is truncated")
    header = _header(path, note, [str, str, int], lambda length: {"": np.frombuffer(data[:length], np.uint8)})
    return header, data[: parse_note(note)[2]]


def _check_there(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: this is a folder, but a model file is needed")
    if not path.is_file():
        how = "gridcloze export MODEL" if path.suffix == EXPORTED else "gridcloze train EXAMPLES"
        raise InputError(f"{path}: no such file; make a model with: {how} -o {path}")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} is no model: it has {in_words(path.stat().st_size)}")


def _header_to_json(header: Header) -> dict[str, Any]:
    side = {"side": [asdict(channel) for channel in header.side]} if header.side else {}
    return side | {
        "format": "gridcloze",
        "format_version": FORMAT_VERSION,
        "config": {name: value for name, value in header.config.items() if name != "side" or value},
        "palette": header.palette.to_json(),
        "scale": header.scale,
        "training": header.training,
        "calibration": header.calibration.to_json(),
        "windows": header.windows,
    }


def _header(path: Path, metadata: str, kinds: list[type], tensors_of: Callable[[int], dict[str, np.ndarray]]) -> Header:
    """The header from a note that holds its text, its hash and, of an exported model, the length of the rest."""
    with about(path):
        signed = parse_note(metadata)
        if not (type(signed) is list and [type(each) for each in signed] == kinds):
            raise InputError("its note is not that of a model; use the original file")
        note, file_hash = signed[:2]
        if file_hash != _hash(note, tensors_of(signed[-1])):
            raise InputError("the file was altered after it was written (its hash differs): use the original file")
        values = parse_note(note)
        version = values.get("format_version") if isinstance(values, dict) else None
        if type(version) is int and version != FORMAT_VERSION:
            raise InputError(
                f"the file has format version {version}, this gridcloze reads {FORMAT_VERSION}: "
                "use the version that wrote it, or train again"
            )
        check_note(values, HEADER)
        palette = Palette.from_json(values["palette"])
        if palette.n_symbols != values["config"]["n_symbols"]:
            raise InputError("the palette in its note does not fit its config; use the original file")
        side = tuple(Channel(**one | {"classes": tuple(one["classes"])}) for one in values.get("side", []))
        if sum(channel.n_features for channel in side) != values["config"].get("side", 0):
            raise InputError("the side maps in its note do not fit its config; use the original file")
        return Header(
            {"channels": 0} | values["config"],  # models of version 0.2 had none
            palette,
            values["scale"],
            values["training"],
            Calibration.from_json(values["calibration"]),
            values.get("hash", file_hash),
            values.get("windows", False),
            side,
        )


def _hash(note: str, tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(note.encode(errors="surrogatepass"))
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape} {tensors[name].dtype}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
