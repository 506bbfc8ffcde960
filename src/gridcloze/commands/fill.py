"""`gridcloze fill`: any number of files; a run that was stopped goes on where it was."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from .. import checking, checkpoint, filling, sweeping
from ..checkpoint import TrainedPredictor
from ..files import maps
from ..files.arrays import is_stack, open_stack
from ..files.codes import MARKERS
from ..files.grids import Grid, read_evidence, read_grid, write_grid
from ..files.paths import MAPS, SUFFIXES, atomic_write, check_writable, is_folder, write_json
from ..filling import Decoder
from ..predictor import entropy_bits, known_or
from ..puzzles import checked_evidence
from ..shapes import Cells, Evidence, Hidden
from ..words import HIDDEN, InputError, __version__
from .shared import Report, display

GRIDS_AT_ONCE = 64
Results = dict[str, np.ndarray]  # all with a leading axis of grids
Watch = Callable[[float, int], None]  # called with the grids that are done and with all


@dataclass(frozen=True)
class Request:
    """What is asked of every grid: equal requests to one model give equal results."""

    samples: int = 0
    seed: int = 0
    decoder: Decoder | None = None  # the usual one, which depends on the size of the grids
    hidden: str = "auto"  # what is hidden, as `grids.read_grid` takes it
    allow: Path | None = None  # what is allowed where, as `grids.read_evidence` reads it

    def __post_init__(self) -> None:
        if self.samples < 0 or self.seed < 0:
            raise InputError("the number of samples and the seed must be 0 or more")


@dataclass(frozen=True)
class _Run:
    predictor: TrainedPredictor
    request: Request
    out: Path

    @property
    def identity(self) -> Report:
        """What results depend on beside their inputs."""
        said = asdict(self.request) | {"hidden": str(self.request.hidden), "allow": str(self.request.allow or "")}
        return {"model": self.predictor.header.hash, "version": __version__, **said}

    def of_input(self, path: Path) -> Report:
        """The beginning of a report: the input and all else that a result depends on."""
        return {"input": path.name, "input_hash": _hash(path), **self.identity}

    def result(self, path: Path, suffix: str) -> Path:
        return self.out / f"{path.stem}{suffix}"

    def evidence(self, cells: Cells) -> Evidence | None:
        """What is allowed, the same for each of some grids."""
        if self.request.allow is None:
            return None
        one = read_evidence(self.request.allow, self.predictor.header.palette, cells.shape[1:])
        every = np.broadcast_to(one, (*cells.shape, one.shape[-1]))
        return checked_evidence(every, cells == HIDDEN, self.predictor.n_symbols)


def fill(model_path: Path, inputs: Sequence[Path], out: Path, request: Request, overwrite: bool) -> list[Report]:
    """Fill grids with a trained model and write each result into the folder `out`; one report for each input."""
    predictor = checkpoint.load(model_path)
    with display("filling") as show:
        return fill_files(
            predictor,
            inputs,
            out,
            request,
            overwrite,
            lambda done, total: show(done / total, f"{done} of {total} grids"),
        )


def fill_files(
    predictor: TrainedPredictor, inputs: Sequence[Path], out: Path, request: Request, overwrite: bool, watch: Watch
) -> list[Report]:
    """Fill files, and those in folders, and write the results into `out`; one report for each file.

    Results that are there already, of the same input, model and request, stay as they are unless `overwrite`. All
    inputs are read once before any is filled, so that a bad one is found at once. Raises InputError.
    """
    run, paths = _Run(predictor, request, out), grid_files(inputs)
    _refuse_clashes(paths, out)
    reports = {path: None if overwrite else _finished(run, path) for path in paths}
    todo = [path for path in paths if reports[path] is None]
    sizes = {path: _size(run, path) for path in todo}
    done, total = 0, sum(sizes.values())
    check_writable(run.result(paths[0], ".npz"))
    of_maps = [path for path in todo if maps.is_map(path)]
    stacks = [path for path in todo if path not in of_maps and is_stack(path)]
    singles = [path for path in todo if path not in of_maps + stacks]
    for part in _parts(len(singles)):
        reports |= _fill_singles(run, singles[part])
        watch(done := part.stop, total)
    for path in of_maps:
        reports[path] = _fill_map(run, path, lambda share, before=done: watch(before + share, total))
        done += 1
    for path in stacks:
        reports[path] = _fill_stack(run, path, lambda grids, before=done: watch(before + grids, total))
        done += sizes[path]
    return [report for report in reports.values() if report is not None]


def _hash(path: Path) -> str:
    """Of the content of a file, or of all files in a folder that is an array."""
    digest = hashlib.sha256()
    for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if part.is_file():
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def grid_files(inputs: Sequence[Path]) -> list[Path]:
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


def _finished(run: _Run, path: Path) -> Report | None:
    """The report of an earlier run; its file is the last that is written."""
    report_path = run.result(path, ".json")
    if not report_path.is_file():
        return None
    try:
        report = json.loads(report_path.read_text())
    except ValueError:
        report = {}
    if not isinstance(report, dict) or any(report.get(name) != value for name, value in run.identity.items()):
        raise InputError(f"{report_path} is of another model or other options: choose another folder, or --overwrite")
    return report if report.get("input_hash") == run.of_input(path)["input_hash"] else None


def _size(run: _Run, path: Path) -> int:
    """The number of grids in a file, all of which were read; a map is only looked at."""
    if maps.is_map(path):
        if run.request.allow is not None:
            raise InputError(f"{path}: --allow is for pictures and arrays, not for maps")
        with maps.open_map(path, run.predictor.header.palette, run.request.hidden):
            return 1
    if is_stack(path):
        if run.request.hidden not in MARKERS:
            raise InputError(f"{path} is a stack, in which hidden cells are -1: --hidden FILE goes with single grids")
        stack = open_stack(path, run.predictor.header.palette)
        for part in _parts(len(stack)):
            run.evidence(stack.read(part))
        return len(stack)
    run.evidence(_read(run, path).cells[None])
    return 1


def _read(run: _Run, path: Path) -> Grid:
    return read_grid(path, run.predictor.header.palette, run.predictor.size, hidden=run.request.hidden)


def _parts(length: int, start: int = 0) -> Iterator[slice]:
    return (slice(at, min(at + GRIDS_AT_ONCE, length)) for at in range(start, length, GRIDS_AT_ONCE))


def _fill_singles(run: _Run, paths: Sequence[Path]) -> dict[Path, Report]:
    """Grids of one size are filled together, whatever their files are."""
    grids = {path: _read(run, path) for path in paths}
    by_shape: dict[tuple[int, ...], list[Path]] = {}
    for path, grid in grids.items():
        by_shape.setdefault(grid.cells.shape, []).append(path)
    reports: dict[Path, Report] = {}
    for same in by_shape.values():
        results, notes = fill_cells(run, np.stack([grids[path].cells for path in same]))
        for number, path in enumerate(same):
            one = {name: value[number] for name, value in results.items()}
            _write_single(run, path, grids[path], one)
            reports[path] = _write_report(run, path, grids[path].hidden, one, notes[number])
    return reports


def fill_cells(run: _Run, cells: Cells) -> tuple[Results, list[list[str]]]:
    """The results for grids (n, height, width) with HIDDEN cells, and for each what there is to say about it."""
    hidden = cells == HIDDEN
    notes = [_notes(grid_hidden) for grid_hidden in hidden]
    contradicting = _contradicting(run, cells, hidden)
    for number, grid in enumerate(contradicting):
        if grid.any():
            places = ", ".join(f"(row {row}, column {column})" for row, column in np.argwhere(grid).tolist())
            notes[number].append(f"contradicts what was learned at {places}: filled as if these were not known")
    results = _answers(run, cells, hidden | contradicting)
    results["fill"] = np.where(hidden, results["fill"], cells).astype(np.int16)
    results["samples"] = np.where(hidden[:, None], results["samples"], cells[:, None]).astype(np.int16)
    results["marginals"] = known_or(results["marginals"], cells, hidden).astype(np.float32)
    return results, notes


def _contradicting(run: _Run, cells: Cells, hidden: Hidden) -> Hidden:
    """Cells that the others all but rule out; but in windows of textures rare cells are no errors, and are believed."""
    return np.zeros_like(hidden) if run.predictor.window else checking.contradicting(run.predictor, cells, hidden)


def _answers(run: _Run, cells: Cells, hidden: Hidden) -> Results:
    request, evidence = run.request, run.evidence(cells)
    seed, decoder = request.seed, request.decoder
    everything = hidden.all(axis=(1, 2))
    swept = sweeping.exceeds_window(run.predictor, cells.shape)
    n = max(request.samples, int(everything.any()) if swept else filling.CANDIDATES)
    drawn = sweeping.sample(run.predictor, cells, hidden, n, seed, decoder, evidence)
    best = sweeping.most_likely(run.predictor, cells, hidden, seed, decoder, evidence, drawn)
    fill, bits = best.cells[:, 0], best.log_prob_bits[:, 0]
    if everything.any():  # the most likely grid of a prior is no answer to "show me one"
        fill[everything], bits[everything] = drawn.cells[everything, 0], drawn.log_prob_bits[everything, 0]
    return {
        "fill": fill,
        "samples": drawn.cells[:, : request.samples],
        "marginals": filling.marginals(run.predictor, cells, hidden, evidence, seed),
        "log_prob_bits": bits,
        "passes": (best if swept and not request.samples else drawn).passes.mean(axis=1),
    }


def _notes(hidden: np.ndarray) -> list[str]:
    if not hidden.any():
        return ["no cell is hidden: nothing to fill, written back as it came"]
    return ["every cell is hidden: the fill is a sample of the prior"] if hidden.all() else []


def _write_single(run: _Run, path: Path, grid: Grid, results: Results) -> None:
    write_grid(run.result(path, path.suffix), grid.with_cells(results["fill"].astype(np.int64)))
    _write_uncertainty(run.result(path, "-uncertainty.png"), results["marginals"], grid.scale)
    with atomic_write(run.result(path, ".npz")) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **{name: results[name] for name in ARRAYS_OF_RESULTS})


ARRAYS_OF_RESULTS = ("fill", "samples", "marginals", "log_prob_bits")


def _write_report(run: _Run, path: Path, hidden: np.ndarray, results: Results, notes: Sequence[str]) -> Report:
    report = {
        **run.of_input(path),
        "hidden_cells": int(hidden.sum()),
        "passes_per_sample": round(float(results["passes"].mean()), 3),
        "log_prob_bits": np.round(results["log_prob_bits"], 6).tolist(),
        "warnings": list(notes),
    }
    write_json(run.result(path, ".json"), report)
    return report


def _fill_stack(run: _Run, path: Path, watch: Callable[[int], None]) -> Report:
    """A stack part by part into files that grow, so that memory stays flat; then all of them into one npz."""
    stack = open_stack(path, run.predictor.header.palette)
    folder = run.out / f".{path.stem}.partial"
    growing = _GrowingStack(folder, len(stack), {**run.of_input(path), "grids": len(stack)})
    for part in _parts(len(stack), growing.done):
        cells = stack.read(part)
        results, notes = fill_cells(run, cells)
        said = [f"grid {part.start + number}: {note}" for number, some in enumerate(notes) for note in some]
        growing.append(results, said, int((cells == HIDDEN).sum()))
        watch(part.stop)
    report = growing.finish(run.result(path, ".npz"))
    write_json(run.result(path, ".json"), report)
    shutil.rmtree(folder)
    return report


def _fill_map(run: _Run, path: Path, watch: Callable[[float], None]) -> Report:
    """A GeoTIFF by rows, so that memory does not grow with its height."""
    request, header = run.request, run.predictor.header
    samples = run.result(path, "-samples.tif") if request.samples else None
    filled, uncertainty = run.result(path, path.suffix), run.result(path, "-uncertainty.tif")
    hidden_cells, trained = 0, header.training.get("resolution")
    with maps.open_map(path, header.palette, request.hidden) as source:
        warning = maps.resolution_warning(maps.Resolution(*trained) if trained else None, source.resolution)
        size, decoder = (source.height, source.width), request.decoder
        with maps.write_maps(source, filled, uncertainty, samples, request.samples) as writer:
            parts = sweeping.by_rows(run.predictor, source.read_rows, size, request.samples, request.seed, decoder)
            for part in parts:
                writer.write_rows(part.start, part.fill, part.probability, part.entropy, part.samples)
                hidden_cells += int(part.hidden.sum())
                watch((part.start + len(part.fill)) / source.height)
    warnings = [warning] if warning else []
    report = {**run.of_input(path), "hidden_cells": hidden_cells, "warnings": warnings}
    write_json(run.result(path, ".json"), report)
    return report


class _GrowingStack:
    """Results of a stack that are not complete yet: one npy file each, and a note of how far all of them are."""

    def __init__(self, folder: Path, length: int, identity: Report):
        self.folder, self.length, self.note = folder, length, folder / "done.json"
        self.state: Report = {**identity, "done": 0, "hidden_cells": 0, "passes": 0.0, "warnings": []}
        folder.mkdir(parents=True, exist_ok=True)
        if self.note.is_file() and identity.items() <= (before := json.loads(self.note.read_text())).items():
            self.state = before

    @property
    def done(self) -> int:
        return self.state["done"]

    def append(self, results: Results, notes: Sequence[str], hidden_cells: int) -> None:
        for name in ARRAYS_OF_RESULTS:
            self._append_array(self.folder / f"{name}.npy", results[name])
        self.state["hidden_cells"] += hidden_cells
        self.state["passes"] += float(results["passes"].sum())
        self.state["warnings"] += notes
        self.state["done"] += len(results["fill"])
        write_json(self.note, self.state)

    def _append_array(self, path: Path, values: np.ndarray) -> None:
        """After the grids that are noted as done; what a stopped run wrote beyond them is overwritten."""
        with path.open("r+b" if self.done else "w+b") as file:
            if self.done == 0:
                header = {"descr": values.dtype.str, "fortran_order": False, "shape": (self.length, *values.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            else:
                np.lib.format.read_magic(file)
                np.lib.format.read_array_header_1_0(file)
                file.seek(self.done * values[0].nbytes, 1)
            file.write(values.tobytes())

    def finish(self, path: Path) -> Report:
        """All arrays as one npz at `path`, and the report."""
        with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ARRAYS_OF_RESULTS:
                archive.write(self.folder / f"{name}.npy", f"{name}.npy")
        passes = round(self.state.pop("passes") / self.state.pop("done"), 3)
        return {**self.state, "passes_per_sample": passes}


def _write_uncertainty(path: Path, marginals: Float[np.ndarray, "height width symbol"], scale: int) -> None:
    """A grey PNG: black where a cell is certain, white where every symbol is as likely as any other."""
    share = entropy_bits(marginals) / np.log2(max(2, marginals.shape[-1]))
    grey = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
    with atomic_write(path) as temporary:
        Image.fromarray(grey.repeat(scale, axis=0).repeat(scale, axis=1)).save(temporary, format="PNG")
