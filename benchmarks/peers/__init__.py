"""The tools that people use today, all asked in one way: `peer(train, cells, hidden, n_samples, seed)`.

The baselines of gridcloze and scikit-learn's KNNImputer answer in this process. MPSlib and G2S have environments of
their own, made when they are first asked from the pinned `NAME/requirements.txt`; `job.py` runs them there. They take
one training image, which is the first of `train`, and keep no fit. G2S is only a client: it is skipped where no server
answers on this machine.

What a tool says of a cell is the share of each symbol among its realisations, or among the neighbours that it asks,
each counted half a time more: it excludes nothing on few of them, so its bits are finite.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from gridcloze.baselines import Nearest
from gridcloze.files.palettes import Palette
from gridcloze.lookup import Lookup
from gridcloze.predictor import Predictor, known_or
from gridcloze.priors.windows import Windows
from gridcloze.shapes import Cells, Hidden, Marginals, Samples
from gridcloze.words import HIDDEN
from peers.neighbours import Neighbours

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / "results" / "runs" / "peers"
N_WINDOWS = 2000  # that a tool which takes examples of the grids' size is shown
N_NEIGHBOURS = 5
SERVER = ("127.0.0.1", 8128)  # where G2S listens


class Answer(NamedTuple):
    """What a peer said of grids with hidden cells, and what that took."""

    marginals: Marginals
    samples: Samples | None  # None of a peer that draws none
    fit_seconds: float  # once, for any number of grids
    seconds: float  # for all grids and samples
    peak_mebibytes: float | None = None  # of a peer with a process of its own


class Skipped(NamedTuple):
    """That a peer could not be asked, and why."""

    reason: str


class Peer(Protocol):
    """Something to compare with; `train` (image, height, width) may be larger than the grids. -1 is an unknown cell."""

    def __call__(
        self, train: Cells, cells: Cells, hidden: Hidden, n_samples: int, seed: int = 0
    ) -> Answer | Skipped: ...


def nearest(train: Cells, cells: Cells, hidden: Hidden, n_samples: int, seed: int = 0) -> Answer:
    began = time.perf_counter()
    return _predicted(Nearest(train, n_symbols_of(train)), cells, hidden, began)


def neighbours(train: Cells, cells: Cells, hidden: Hidden, n_samples: int, seed: int = 0) -> Answer:
    began = time.perf_counter()
    return _predicted(Neighbours(train, n_symbols_of(train)), cells, hidden, began)


def lookup(train: Cells, cells: Cells, hidden: Hidden, n_samples: int, seed: int = 0) -> Answer:
    began = time.perf_counter()
    generator = np.random.default_rng(seed)
    remembered = Lookup(windows(train, cells, generator), n_symbols_of(train))
    answer = _predicted(remembered, cells, hidden, began)
    began = time.perf_counter()
    samples = remembered.sample(cells, hidden, n_samples, generator)
    return answer._replace(samples=samples, seconds=answer.seconds + time.perf_counter() - began)


def nearest_windows(train: Cells, cells: Cells, hidden: Hidden, n_samples: int, seed: int = 0) -> Answer:
    """KNNImputer on flattened windows, a column for each cell and symbol, neighbours weighted by distance."""
    from sklearn.impute import KNNImputer

    n_symbols = n_symbols_of(train)
    began = time.perf_counter()
    examples = windows(train, cells, np.random.default_rng(seed))
    imputer = KNNImputer(n_neighbors=N_NEIGHBOURS, weights="distance").fit(_columns(examples, n_symbols))
    fitted = time.perf_counter()
    shares = np.asarray(imputer.transform(_asked(cells, hidden, n_symbols))).reshape(*cells.shape, n_symbols)
    marginals = known_or(smoothed(N_NEIGHBOURS * shares), cells, hidden)
    return Answer(marginals, None, fitted - began, time.perf_counter() - fitted)


def nearest_examples(examples: Cells, cells: Cells, hidden: Hidden, n_symbols: int) -> Marginals:
    """What KNNImputer says, minutes faster: the neighbours of a grid are the same in all of its columns."""
    from sklearn.metrics.pairwise import nan_euclidean_distances

    columns = _columns(examples, n_symbols)
    distances = np.asarray(nan_euclidean_distances(_asked(cells, hidden, n_symbols), columns), dtype=np.float64)
    n = min(N_NEIGHBOURS, len(examples))
    chosen = np.argpartition(distances, n - 1, axis=1)[:, :n]
    near = np.take_along_axis(distances, chosen, axis=1)
    weights = np.where((near == 0).any(axis=1, keepdims=True), near == 0, 1 / np.maximum(near, 1e-300))
    shares = np.einsum("gn,gnc->gc", weights / weights.sum(axis=1, keepdims=True), columns[chosen])
    shares[hidden.all(axis=(1, 2))] = columns.mean(axis=0)
    return known_or(smoothed(N_NEIGHBOURS * shares.reshape(*cells.shape, n_symbols)), cells, hidden)


def _columns(grids: Cells, n_symbols: int) -> np.ndarray:
    return (grids[..., None] == np.arange(n_symbols)).reshape(len(grids), -1).astype(np.float32)


def _asked(cells: Cells, hidden: Hidden, n_symbols: int) -> np.ndarray:
    return np.where(hidden.reshape(len(hidden), -1).repeat(n_symbols, axis=1), np.nan, _columns(cells, n_symbols))


class Simulation:
    """A tool with an environment of its own, and the settings it is asked with."""

    def __init__(self, tool: str, **settings: object):
        self.tool, self.settings = tool, settings

    def __call__(
        self,
        train: Cells,
        cells: Cells,
        hidden: Hidden,
        n_samples: int,
        seed: int = 0,
        soft: Marginals | None = None,
    ) -> Answer | Skipped:
        if self.tool == "g2s" and not _answers(SERVER):
            return Skipped(f"no G2S server answers on {SERVER[0]}, port {SERVER[1]}")
        settings = {**self.settings, "n_samples": n_samples, "seed": seed + 1}  # MPSlib takes 0 for any seed
        with tempfile.TemporaryDirectory() as folder:
            job, answer = Path(folder) / "job.npz", Path(folder) / "answer.npz"
            known = np.where(hidden, HIDDEN, cells)
            more = {} if soft is None else {"soft": soft}
            np.savez(job, training_image=train[0], cells=known, settings=json.dumps(settings), **more)
            subprocess.run([environment(self.tool), HERE / "job.py", self.tool, job, answer], check=True)
            with np.load(answer) as said:
                samples, seconds = said["samples"].astype(np.int64), float(said["seconds"].sum())
                peak_mebibytes = float(said["peak_mebibytes"])
        counts = (samples[..., None] == np.arange(n_symbols_of(train))).sum(axis=1)
        return Answer(known_or(smoothed(counts), cells, hidden), samples, 0.0, seconds, peak_mebibytes)


SIMULATORS = {
    "MPSlib SNESIM": Simulation("mpslib", method="mps_snesim_tree"),
    "MPSlib GENESIM": Simulation("mpslib", method="mps_genesim"),
    "G2S quick sampling": Simulation("g2s", method="qs"),
}
PEERS: dict[str, Peer] = {
    "nearest cell": nearest,
    "four neighbours": neighbours,
    "lookup": lookup,
    "KNNImputer": nearest_windows,
    **SIMULATORS,
}


def n_symbols_of(train: Cells) -> int:
    return int(train.max()) + 1


def windows(train: Cells, cells: Cells, generator: np.random.Generator) -> Cells:
    """Windows of the size of the grids `cells`, at random places of the training images."""
    _, height, width = cells.shape
    prior = Windows(list(train), Palette.default(n_symbols_of(train)), (height, width))
    return prior.sample(N_WINDOWS, generator)


def smoothed(counts: np.ndarray) -> Marginals:
    """Shares of counts (…, symbol) with half a count more for each symbol."""
    return (counts + 0.5) / (counts + 0.5).sum(axis=-1, keepdims=True)


def environment(tool: str) -> Path:
    """The Python of the tool's environment, which is made anew when its requirements have changed."""
    folder, wanted = ENVIRONMENTS / tool, HERE / tool / "requirements.txt"
    python, installed = folder / "bin" / "python", folder / "requirements.txt"
    if not installed.exists() or installed.read_text() != wanted.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", wanted], check=True)
        shutil.copy(wanted, installed)  # last, so that half an environment is none
    return python


def _predicted(predictor: Predictor, cells: Cells, hidden: Hidden, began: float) -> Answer:
    fitted = time.perf_counter()
    marginals = predictor.marginals(cells, hidden)
    return Answer(marginals, None, fitted - began, time.perf_counter() - fitted)


def _answers(server: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(server, timeout=1):
            return True
    except OSError:
        return False
