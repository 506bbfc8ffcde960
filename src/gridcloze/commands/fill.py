"""`gridcloze fill`: any number of files; a run that was stopped goes on where it was."""

import hashlib
import json
import shutil
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from jaxtyping import Float
from PIL import Image

from .. import answers, checkpoint, filling
from ..answers import Answers, AnswersByRows
from ..checkpoint import TrainedPredictor
from ..decoding import Decoder
from ..files import maps
from ..files.arrays import Stack, is_stack, open_stack
from ..files.codes import MARKERS
from ..files.grids import Grid, read_evidence, read_grid, write_grid
from ..files.paths import MAPS, SUFFIXES, atomic_write, check_writable, is_folder, write_json
from ..files.png import enlarge
from ..predictor import entropy_bits
from ..puzzles import Likelihoods, Puzzles
from ..shapes import Cells
from ..words import HIDDEN, InputError, __version__
from .shared import display

GRIDS_AT_ONCE = 64
ARRAYS_OF_RESULTS = ("fill", "samples", "marginals", "log_prob_bits")

Results = dict[str, np.ndarray]  # of `ARRAYS_OF_RESULTS` and "passes", all with a leading axis of grids
Watch = Callable[[float, int], None]  # called with the grids that are done and with all


class FillReport(TypedDict):
    """What `fill` reports of one input, also as its .json file.

    Attributes
    ----------
    input
        Name of the file that was filled.
    input_hash
        SHA-256 of its content, in hexadecimal digits.
    model
        Hash of the model file.
    version
        Version of gridcloze.
    samples
        Joint samples of each grid.
    seed
        Seed of the random numbers.
    decoder
        `order`, `budget_bits` and `side_per_symbol`, if they were chosen; null for the default.
    hidden
        What was taken as hidden: auto, grey, transparent or the name of a file.
    allow
        Name of the file with the symbols that were allowed, or an empty text.
    scale
        Side of a cell in pictures, in pixels, if it was chosen; otherwise null.
    hidden_cells
        How many cells were hidden.
    passes_per_sample
        Forward passes for a sample, on average; for a grid that is larger than the model's window and of which no
        sample was asked for, those for the fill.
    log_prob_bits
        Log-probability (base 2) of what was filled in; of a stack a list, a number for each grid.
    warnings
        Lines on what is odd: cells that contradict the rest, nothing or everything hidden, pixels or cells of another
        size.
    grids
        Number of grids; of a stack only.

    Examples
    --------
    >>> sorted(FillReport.__optional_keys__)
    ['grids']
    """

    input: str
    input_hash: str
    model: str
    version: str
    samples: int
    seed: int
    decoder: dict[str, Any] | None
    hidden: str
    allow: str
    scale: int | None
    hidden_cells: int
    passes_per_sample: float
    log_prob_bits: float | list[float]
    warnings: list[str]
    grids: NotRequired[int]


@dataclass(frozen=True)
class Request:
    """The options of a fill, the same for every grid: with one model, equal requests give equal results.

    Parameters
    ----------
    samples
        Joint samples of each grid.
    seed
        Seed of the random numbers.
    decoder
        By default that of the model.
    hidden
        What is hidden, as `read_grid` takes it.
    allow
        A file of what is allowed where, as `read_evidence` reads it.
    scale
        Pixels to the side of a cell in pictures; by default as `read_grid` finds it for a model.

    Raises
    ------
    InputError
        If the number of samples or the seed is negative.

    Examples
    --------
    >>> Request(samples=4).seed
    0
    """

    samples: int = 0
    seed: int = 0
    decoder: Decoder | None = None
    hidden: str = "auto"
    allow: Path | None = None
    scale: int | None = None

    def __post_init__(self) -> None:
        if self.samples < 0 or self.seed < 0:
            raise InputError("the number of samples and the seed must be 0 or more")


def fill(
    model_path: Path, inputs: Sequence[Path], out: Path, request: Request, overwrite: bool = False
) -> list[FillReport]:
    """Fill grids with a trained model and write each result into a folder, showing how far it is.

    Results that are there already, of the same input, model and request, stay as they are. All inputs are read once
    before any is filled, so that a bad one is found at once.

    Parameters
    ----------
    model_path
        A model file.
    inputs
        Grids, stacks, GeoTIFFs, or folders of them.
    out
        The folder for results.
    request
        The options of the fill.
    overwrite
        Whether to fill again what is filled already.

    Returns
    -------
    list
        A report for each input.

    Raises
    ------
    InputError
        For a bad model or input, and for results of other requests.

    Examples
    --------
    >>> from gridcloze import Inpainter, priors
    >>> grids = priors.squares(5, 5, 2, 4).sample(40, np.random.default_rng(0))
    >>> Inpainter(steps=2, depth=1).fit(grids).save("model.safetensors")
    >>> np.save("puzzle.npy", np.where(np.eye(5) == 1, -1, grids[0]))
    >>> [report] = fill(Path("model.safetensors"), [Path("puzzle.npy")], Path("filled"), Request(samples=2))
    >>> report["hidden_cells"], np.load("filled/puzzle.npz")["samples"].shape
    (5, (2, 5, 5))
    """
    predictor = checkpoint.load(model_path)
    with display("filling") as show:
        watch: Watch = lambda done, total: show(done / total, f"{int(done)} of {total} grid{'s' * (total != 1)}")  # noqa: E731
        return _fill_files(_Run(predictor, request, out), _grid_files(inputs), overwrite, watch)


def _fill_files(run: "_Run", paths: Sequence[Path], overwrite: bool, watch: Watch) -> list[FillReport]:
    _refuse_clashes(paths, run.out)
    inputs = [_input_of(run, path) for path in paths]
    reports = {one.path: None if overwrite else one.finished() for one in inputs}
    todo = [one for one in inputs if reports[one.path] is None]
    sizes = {one.path: one.check(len(todo) > 1) for one in todo}
    done, total = 0, sum(sizes.values())
    check_writable(run.result(paths[0], ".npz"))
    singles = [one for one in todo if isinstance(one, _Single)]
    for start in range(0, len(singles), GRIDS_AT_ONCE):
        reports |= _fill_singles(run, singles[start : start + GRIDS_AT_ONCE])
        watch(done := min(start + GRIDS_AT_ONCE, len(singles)), total)
    for one in [one for kind in (_Map, _Many) for one in todo if isinstance(one, kind)]:
        reports[one.path] = one.fill(lambda grids, before=done: watch(before + grids, total))
        done += sizes[one.path]
    return [report for report in reports.values() if report is not None]


def _grid_files(inputs: Sequence[Path]) -> list[Path]:
    """The files that are named, and those in the folders that are named."""
    files: list[Path] = []
    for path in inputs:
        suffixes = SUFFIXES + MAPS
        inside = (
            sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes) if is_folder(path) else [path]
        )
        if not inside:
            raise InputError(f"{path} has no grids in it; they are files that end in {', '.join(suffixes)}")
        files += inside
    return files


def _refuse_clashes(paths: Sequence[Path], out: Path) -> None:
    stems: dict[str, Path] = {}
    for path in paths:
        if path.stem in stems:
            raise InputError(f"two inputs are named {path.stem}: their results would overwrite each other")
        if path.resolve().parent == out.resolve():
            raise InputError(f"{out} is the folder of {path.name}, which would be overwritten: choose another")
        stems[path.stem] = path


@dataclass(frozen=True, eq=False)
class _Run:
    """What all inputs share."""

    predictor: TrainedPredictor
    request: Request
    out: Path
    evidence_by_size: dict[tuple[int, ...], np.ndarray] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, Any]:
        """What results depend on, apart from their inputs."""
        files = {"hidden": str(self.request.hidden), "allow": str(self.request.allow or "")}
        return {"model": self.predictor.header.hash, "version": __version__, **asdict(self.request), **files}

    def result(self, path: Path, suffix: str) -> Path:
        return self.out / f"{path.stem}{suffix}"

    def likelihoods(self, hidden: np.ndarray) -> Likelihoods | None:
        """What is allowed where cells are hidden, checked; its file is read once for grids of a size."""
        allow, size = self.request.allow, hidden.shape
        if allow is None:
            return None
        if size not in self.evidence_by_size:
            self.evidence_by_size[size] = read_evidence(allow, self.predictor.header.palette, size)
        return Likelihoods.checked(self.evidence_by_size[size], hidden)

    def results(self, puzzles: Puzzles) -> tuple[Results, Answers]:
        request = self.request
        found = answers.fill(self.predictor, puzzles, request.samples, request.seed, request.decoder)
        return {
            "samples": found.samples.astype(np.int16),
            "fill": found.fill.astype(np.int16),
            "marginals": found.marginals.astype(np.float32),
            "log_prob_bits": found.log_prob_bits,
            "passes": found.passes,
        }, found


class _Input(ABC):
    """A file to fill: it is hashed once, opened once, and its evidence is checked once."""

    def __init__(self, run: _Run, path: Path):
        self.run, self.path = run, path
        self.likelihoods: Likelihoods | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The beginning of a report: the input and all else that a result depends on."""
        return {"input": self.path.name, "input_hash": _hash(self.path), **self.run.identity}

    def finished(self) -> FillReport | None:
        """The report of an earlier run; its file is the last that is written."""
        report_path = self.run.result(self.path, ".json")
        if not report_path.is_file():
            return None
        try:
            report = json.loads(report_path.read_text())
        except ValueError:
            report = {}
        if not isinstance(report, dict) or any(report.get(key) != value for key, value in self.run.identity.items()):
            raise InputError(
                f"{report_path} is of another model or other options: choose another folder, or --overwrite"
            )
        return report if report.get("input_hash") == self.identity["input_hash"] else None  # type: ignore[return-value]

    @abstractmethod
    def check(self, one_of_many: bool) -> int:
        """Read the whole input and return the number of its grids; InputError for a bad one."""

    def write_report(self, hidden_cells: int, passes: float, log_prob_bits: Any, **others: Any) -> FillReport:
        """Write the report, the last file of a result."""
        bits = np.round(log_prob_bits, 6).tolist()
        report = {"hidden_cells": hidden_cells, "passes_per_sample": round(passes, 3), "log_prob_bits": bits}
        report = self.identity | report | others
        write_json(self.run.result(self.path, ".json"), report)
        return report  # type: ignore[return-value]


def _input_of(run: _Run, path: Path) -> _Input:
    if maps.is_map(path):
        return _Map(run, path)
    return _Many(run, path) if is_stack(path) else _Single(run, path)


def _hash(path: Path) -> str:
    """Of the content of a file, or of all files in a folder that is an array."""
    digest = hashlib.sha256()
    for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if part.is_file():
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


# Single grids


class _Single(_Input):
    def check(self, one_of_many: bool) -> int:
        cells = self.read().cells
        self.likelihoods = self.run.likelihoods(cells == HIDDEN)
        filling.check_fits(self.run.predictor, Puzzles(cells[None], evidence=self.likelihoods))
        return 1

    def read(self) -> Grid:
        request, size, header = self.run.request, self.run.predictor.size, self.run.predictor.header
        options: dict[str, Any] = {"model_scale": header.scale, "windows": header.windows}
        return read_grid(self.path, header.palette, size, request.scale, request.hidden, **options)

    def write(self, grid: Grid, results: Results, warnings: list[str]) -> FillReport:
        """Write a picture or array like the input, the uncertainty of each cell, all arrays, and the report."""
        run = self.run
        write_grid(run.result(self.path, self.path.suffix), grid.with_cells(results["fill"].astype(np.int64)))
        _write_uncertainty(run.result(self.path, "-uncertainty.png"), results["marginals"], grid.scale)
        with atomic_write(run.result(self.path, ".npz")) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **{name: results[name] for name in ARRAYS_OF_RESULTS})
        warnings = [grid.note, *warnings] if grid.note else warnings
        hidden_cells, passes = int(grid.hidden.sum()), float(results["passes"])
        return self.write_report(hidden_cells, passes, results["log_prob_bits"], warnings=warnings)


def _fill_singles(run: _Run, inputs: Sequence[_Single]) -> dict[Path, FillReport]:
    """Grids of one size are filled together, whatever their files are."""
    grids = {one: one.read() for one in inputs}
    by_size: dict[tuple[int, ...], list[_Single]] = {}
    for one, grid in grids.items():
        by_size.setdefault(grid.cells.shape, []).append(one)
    reports: dict[Path, FillReport] = {}
    for same_size in by_size.values():
        results, found = run.results(_puzzles_of([grids[one].cells for one in same_size], same_size))
        for number, (one, warnings) in enumerate(zip(same_size, found.warnings, strict=True)):
            of_grid = {name: values[number] for name, values in results.items()}
            reports[one.path] = one.write(grids[one], of_grid, warnings)
    return reports


def _puzzles_of(cells: Sequence[np.ndarray], inputs: Sequence[_Single]) -> Puzzles:
    checked = [one.likelihoods.values for one in inputs if one.likelihoods is not None]
    return Puzzles(np.stack(cells), evidence=Likelihoods(np.stack(checked)) if checked else None)


def _write_uncertainty(path: Path, marginals: Float[np.ndarray, "height width symbol"], scale: int) -> None:
    """A grey PNG: black where a cell is certain, white where every symbol is as likely as any other."""
    share = entropy_bits(marginals) / np.log2(max(2, marginals.shape[-1]))
    grey = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
    with atomic_write(path) as temporary:
        Image.fromarray(enlarge(grey, scale)).save(temporary, format="PNG")


# Stacks


class _Many(_Input):
    """A stack, filled part by part into files that grow, so that memory stays flat; then all of them into one npz."""

    @cached_property
    def stack(self) -> Stack:
        return open_stack(self.path, self.run.predictor.header.palette)

    def check(self, one_of_many: bool) -> int:
        if self.run.request.hidden not in MARKERS:
            raise InputError(
                f"{self.path} is a stack, in which hidden cells are -1: --hidden FILE goes with single grids"
            )
        length, hidden_anywhere = len(self.stack), np.zeros(self.stack.array.shape[1:], dtype=bool)
        for part in _parts(length):
            hidden_anywhere |= (self.stack.read(part) == HIDDEN).any(axis=0)
        self.likelihoods = self.run.likelihoods(hidden_anywhere)
        filling.check_fits(self.run.predictor, self.puzzles(self.stack.read(slice(0, 1))))
        if one_of_many:
            del self.stack  # an .npz is in memory as a whole: one at a time
        return length

    def puzzles(self, cells: Cells) -> Puzzles:
        return Puzzles(cells, evidence=self.likelihoods)

    def fill(self, watch: Callable[[float], None]) -> FillReport:
        run, length = self.run, len(self.stack)
        growing = _GrowingStack(run.out / f".{self.path.stem}.partial", length, {**self.identity, "grids": length})
        for part in _parts(length, growing.done):
            puzzles = self.puzzles(self.stack.read(part))
            results, found = run.results(puzzles)
            lines = [
                f"grid {part.start + number}: {line}" for number, some in enumerate(found.warnings) for line in some
            ]
            growing.append(results, lines, int(puzzles.hidden.sum()))
            watch(part.stop)
        growing.write(run.result(self.path, ".npz"))
        state, bits = growing.state, np.load(growing.array("log_prob_bits"))
        passes, others = state["passes"] / length, {"warnings": state["warnings"], "grids": length}
        report = self.write_report(state["hidden_cells"], passes, bits, **others)
        shutil.rmtree(growing.folder)
        return report


def _parts(length: int, start: int = 0) -> Iterator[slice]:
    return (slice(at, min(at + GRIDS_AT_ONCE, length)) for at in range(start, length, GRIDS_AT_ONCE))


class _GrowingStack:
    """Results of a stack that are not complete yet: one npy file each, and a note of how far all of them are."""

    def __init__(self, folder: Path, length: int, identity: dict[str, Any]):
        self.folder, self.length, self.note = folder, length, folder / "done.json"
        self.state = {**identity, "done": 0, "hidden_cells": 0, "passes": 0.0, "warnings": []}
        folder.mkdir(parents=True, exist_ok=True)
        if self.note.is_file() and identity.items() <= (before := json.loads(self.note.read_text())).items():
            self.state = before

    @property
    def done(self) -> int:
        return self.state["done"]

    def array(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def append(self, results: Results, warnings: Sequence[str], hidden_cells: int) -> None:
        """Write after the grids that are noted as done; what a stopped run wrote beyond them is overwritten."""
        length = len(results["fill"])
        for name in ARRAYS_OF_RESULTS:
            values, path = results[name], self.array(name)
            if self.done == 0:
                array = np.lib.format.open_memmap(path, "w+", values.dtype, (self.length, *values.shape[1:]))
            else:
                array = np.lib.format.open_memmap(path, "r+")
            array[self.done : self.done + length] = values
            array.flush()
        self.state["hidden_cells"] += hidden_cells
        self.state["passes"] += float(results["passes"].sum())
        self.state["warnings"] += warnings
        self.state["done"] += length
        write_json(self.note, self.state)

    def write(self, path: Path) -> None:
        """All arrays as one npz at `path`."""
        with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ARRAYS_OF_RESULTS:
                archive.write(self.array(name), f"{name}.npy")


# Maps


class _Map(_Input):
    """A GeoTIFF, filled by rows, so that memory does not grow with its height."""

    def check(self, one_of_many: bool) -> int:
        if self.run.request.allow is not None:
            raise InputError(f"{self.path}: --allow is for pictures and arrays, not for maps")
        with maps.open_map(self.path, self.run.predictor.header.palette, self.run.request.hidden):
            return 1

    def fill(self, watch: Callable[[float], None]) -> FillReport:
        run, path, request, header = self.run, self.path, self.run.request, self.run.predictor.header
        samples = run.result(path, "-samples.tif") if request.samples else None
        filled, uncertainty = run.result(path, path.suffix), run.result(path, "-uncertainty.tif")
        trained = header.training.get("resolution")
        with maps.open_map(path, header.palette, request.hidden) as source:
            warning = maps.resolution_warning(maps.Resolution(*trained) if trained else None, source.resolution)
            size, decoder = (source.height, source.width), request.decoder
            found = AnswersByRows(run.predictor, source.read_rows, size, request.samples, request.seed, decoder)
            with maps.write_maps(source, filled, uncertainty, samples, request.samples) as writer:
                for rows in found:
                    writer.write_rows(rows.start, rows.fill, rows.probability, rows.entropy, rows.samples)
                    watch((rows.start + len(rows.fill)) / source.height)
        warnings = [*found.warnings, *([warning] if warning else [])]
        return self.write_report(found.hidden_cells, found.passes, found.log_prob_bits, warnings=warnings)
