"""What each command does, from files to files; `cli` only names the options, so that --help need not load torch."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from . import HIDDEN, __version__, checkpoint, filling, scoring
from .baselines import Lookup
from .bert import Bert, BertConfig
from .exact import ExactPosterior, Samples, posterior
from .grids import (
    ARRAYS,
    MARKERS,
    SUFFIXES,
    Grid,
    InputError,
    Palette,
    atomic_write,
    check_writable,
    is_stack,
    read_examples,
    read_grid,
    write_grid,
    write_stack,
)
from .masking import test_law
from .pictures import entropy_bits, write_uncertainty
from .predictor import Cells, Hidden, Predictor
from .priors import Examples, KnownPrior, Toy, make_toy
from .training import Budget, Progress, Training

OPEN_PUZZLE_BITS = 8.0  # the marginal entropies of the puzzle that is drawn many times add up to about this
OPEN_PUZZLE_SAMPLES = 1000

Report = dict[str, Any]

console = Console(stderr=True)


@runtime_checkable
class Sampler(Protocol):
    """A Predictor with joint draws of its own."""

    def sample(self, cells: Cells, hidden: Hidden, n: int, generator: np.random.Generator) -> Samples: ...


# toy


def toy(prior: Toy, out: Path, n: int, n_puzzles: int, seed: int, scale: int) -> Report:
    """Example grids of a toy prior: a folder of PNG files with puzzles beside them, or a stack in one array file."""
    if n < 1 or n_puzzles < 0:
        raise InputError("the number of grids must be 1 or more, of puzzles 0 or more")
    generator = np.random.default_rng(seed)
    cells = prior.sample(n, generator)
    if out.suffix in ARRAYS:
        write_stack(out, cells)
    else:
        _write_grids(out, cells, scale)
        truth = prior.sample(n_puzzles, generator)
        hidden = test_law(truth.shape, generator)
        _write_grids(out / "truth", truth, scale)
        _write_grids(out / "puzzles", np.where(hidden, -1, truth), scale)
    _write_json(_law_file(out), prior.spec)
    return {"grids": n, "prior": prior.spec, "path": str(out)}


def _write_grids(folder: Path, cells: Cells, scale: int) -> None:
    for number, grid in enumerate(cells):
        write_grid(folder / f"{number:05d}.png", Grid.from_cells(grid, Palette.default(2), scale))


def _law_file(examples: Path) -> Path:
    """Where the law of example grids is noted, if it is known."""
    return examples.with_suffix(".prior.json") if examples.suffix in ARRAYS else examples / "prior.json"


# train


def train(
    examples_path: Path, out: Path, budget: Budget, seed: int, depth: int = BertConfig.depth, resume: bool = False
) -> Report:
    """Train a model on example grids and write it to one file."""
    check_writable(out)
    cells, palette, scale = read_examples(examples_path)
    config = BertConfig(cells.shape[1], cells.shape[2], palette.n_symbols, depth)
    data_hash = hashlib.sha256(cells.tobytes()).hexdigest()
    record = {"data": data_hash, "grids": len(cells), "seed": seed, **asdict(budget), "version": __version__}
    learned, held_out = Examples(cells, palette).split()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Bert(config)
    state_path = out.with_name(f"{out.name}.resume")
    settings = json.dumps({**record, **asdict(config)}, sort_keys=True)
    with _training_display() as report:
        training = Training(model, learned, held_out.cells, budget, seed, report, state_path, settings)
        progress = training.run(resume)
    record |= {"steps": progress.steps, "seconds": progress.seconds, "interrupted": progress.interrupted}
    record["held_out_bits_per_hidden_cell"] = progress.held_out_bits_per_hidden_cell
    file_hash = checkpoint.save(out, model, palette, scale, record)
    return {"model": str(out), "hash": file_hash, **record}


@contextlib.contextmanager
def _training_display() -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal; elsewhere a line for each tenth of the way."""
    if not console.is_terminal:
        yield _line_each_tenth()
        return
    columns = (BarColumn(), "{task.percentage:3.0f} %", TimeRemainingColumn(), TextColumn("{task.fields[news]}"))
    with ProgressBar(*columns, console=console) as bar:
        task = bar.add_task("training", total=1.0, news="")
        yield lambda progress: bar.update(task, completed=progress.share, news=_news(progress))


def _line_each_tenth() -> Callable[[Progress], None]:
    shown = 0

    def report(progress: Progress) -> None:
        nonlocal shown
        if int(10 * progress.share) > shown:
            shown = int(10 * progress.share)
            left = progress.seconds * (1 / progress.share - 1)
            console.print(f"{progress.share:4.0%}, {max(left, 0):.0f} s left, {_news(progress)}", highlight=False)

    return report


def _news(progress: Progress) -> str:
    return (
        f"loss {progress.bits_per_hidden_cell:.3f} bits, held out {progress.held_out_bits_per_hidden_cell:.3f}, "
        f"{progress.grids_per_second:.0f} grids/s"
    )


# fill


@dataclass(frozen=True)
class Puzzles:
    """What is filled at once: a grid with its drawing, or a stack of cells (grids, height, width)."""

    path: Path
    cells: Cells
    drawing: Grid | None

    @property
    def hidden(self) -> Hidden:
        return self.cells == HIDDEN


def fill(model_path: Path, inputs: Sequence[Path], out: Path, samples: int, seed: int, hidden: str) -> list[Report]:
    """Fill grids with a trained model and write each result into the folder `out`; one report for each input."""
    if samples < 0 or seed < 0:
        raise InputError("the number of samples and the seed must be 0 or more")
    predictor = checkpoint.load(model_path)
    all_puzzles = [read_puzzles(path, predictor, hidden) for path in puzzle_files(inputs)]
    stems = [puzzles.path.stem for puzzles in all_puzzles]
    for puzzles in all_puzzles:
        if stems.count(puzzles.path.stem) > 1:
            raise InputError(f"two inputs are named {puzzles.path.stem}: their results would overwrite each other")
        if puzzles.path.resolve().parent == out.resolve():
            raise InputError(f"{out} is the folder of {puzzles.path.name}, which would be overwritten: choose another")
        check_writable(out / f"{puzzles.path.stem}.npz")
    return [fill_one(predictor, puzzles, out, samples, seed) for puzzles in all_puzzles]


def puzzle_files(inputs: Sequence[Path]) -> list[Path]:
    """The files that are named, and those in the folders that are named."""
    files: list[Path] = []
    for path in inputs:
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"{path} has no grids in it; they are files that end in {', '.join(SUFFIXES)}")
        files += inside
    return files


def read_puzzles(path: Path, predictor: checkpoint.TrainedPredictor, hidden: str = "auto") -> Puzzles:
    """One grid, or a stack from an array of three dimensions."""
    palette = predictor.header.palette
    if is_stack(path):
        if hidden not in MARKERS:
            raise InputError(f"{path} is a stack, in which hidden cells are -1: --hidden FILE goes with single grids")
        return Puzzles(path, read_examples(path, palette)[0], None)
    grid = read_grid(path, palette, predictor.size, hidden=hidden)
    return Puzzles(path, grid.cells[None], grid)


def fill_one(predictor: checkpoint.TrainedPredictor, puzzles: Puzzles, out: Path, samples: int, seed: int) -> Report:
    """Fill one input and write what came out of it."""
    cells, hidden = puzzles.cells, puzzles.hidden
    best = filling.most_likely(predictor, cells, hidden)
    drawn = filling.sample(predictor, cells, hidden, samples, seed)
    fills, log_prob_bits = best.cells[:, 0], best.log_prob_bits[:, 0]
    everything = hidden.all(axis=(1, 2))
    if everything.any():  # the most likely grid of a prior is no answer to "show me one"
        of_prior = filling.sample(predictor, cells, hidden, 1, seed)
        fills[everything] = of_prior.cells[everything, 0]
        log_prob_bits[everything] = of_prior.log_prob_bits[everything, 0]
    results = {
        "fill": fills,
        "samples": drawn.cells,
        "marginals": predictor.marginals(cells, hidden),
        "log_prob_bits": log_prob_bits,
    }
    report = {
        "input": puzzles.path.name,
        "model": predictor.header.hash,
        "version": __version__,
        "seed": seed,
        "samples": samples,
        "hidden_cells": int(hidden.sum()),
        "passes": int(best.passes.sum() + drawn.passes.sum()),
        "log_prob_bits": [round(float(bits), 6) for bits in log_prob_bits],
        "warnings": _warnings(hidden),
    }
    _write_results(out / puzzles.path.stem, puzzles, results, report)
    return report


def _warnings(hidden: Hidden) -> list[str]:
    visible, everything = ~hidden.any(axis=(1, 2)), hidden.all(axis=(1, 2))
    said = (
        (visible, "no cell is hidden: nothing to fill, written back as it came"),
        (everything, "every cell is hidden: the fill is a sample of the prior"),
    )
    return [f"grid {number}: {text}" for which, text in said for number in np.flatnonzero(which)]


def _write_results(stem: Path, puzzles: Puzzles, results: dict[str, np.ndarray], report: Report) -> None:
    drawing, suffix = puzzles.drawing, puzzles.path.suffix
    if drawing is not None:
        results = {name: value[0] for name, value in results.items()}
        write_grid(stem.with_name(f"{stem.name}{suffix}"), drawing.with_cells(results["fill"]))
        write_uncertainty(stem.with_name(f"{stem.name}-uncertainty.png"), results["marginals"], drawing.scale)
    with atomic_write(stem.with_name(f"{stem.name}.npz")) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **results)
    _write_json(stem.with_name(f"{stem.name}.json"), report)


def _write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


# score


def score(
    model_path: Path, held_out: Path, examples: Path | None, prior_file: Path | None, samples: int, seed: int
) -> Report:
    """Hide cells of held-out grids under the test law, and hold what is said of them against what was there.

    Beside the model stand the exact answer, if the law of the grids is known, and a lookup among `examples`, if
    they are given. The first `samples` grids are also drawn, once each.
    """
    predictor = checkpoint.load(model_path)
    palette = predictor.header.palette
    cells = read_examples(held_out, palette)[0]
    generator = np.random.default_rng(seed)
    hidden = test_law(cells.shape, generator) | (cells < 0)
    prior = _read_law(prior_file or _law_file(held_out), required=prior_file is not None)
    predictors: dict[str, Predictor] = {"model": predictor}
    if prior is not None:
        predictors["exact"] = posterior(prior)
    if examples is not None:
        remembered = read_examples(examples, palette)[0]
        if remembered.shape[1:] != cells.shape[1:]:
            raise InputError(f"{examples} has grids of another size than {held_out}: a lookup cannot compare them")
        predictors["lookup"] = Lookup(remembered, palette.n_symbols)
    marginals = {name: one.marginals(cells, hidden) for name, one in predictors.items()}
    scores: dict[str, dict[str, float]] = {
        name: scoring.score(law, cells, hidden, marginals.get("exact")) for name, law in marginals.items()
    }
    if prior is not None and samples:
        _score_samples(scores, predictors, prior, cells[:samples], hidden[:samples], seed)
    return {
        "model": predictor.header.hash,
        "training": predictor.header.training,
        "seed": seed,
        "grids": len(cells),
        "hidden_fraction": float(hidden.mean()),
        "scores": scores,
    }


def print_scores(report: Report) -> None:
    """A table on stdout: a line for each who answered, a column for each score."""
    scores = report["scores"]
    columns = list(dict.fromkeys(name for line in scores.values() for name in line))
    table = Table(title=f"{report['grids']} grids, {report['hidden_fraction']:.0%} of the cells hidden", box=box.SIMPLE)
    table.add_column("")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right", max_width=12)
    for name, line in scores.items():
        table.add_row(name, *(f"{line[column]:.4f}" if column in line else "" for column in columns))
    Console().print(table)


def _score_samples(
    scores: dict[str, dict[str, float]],
    predictors: dict[str, Predictor],
    prior: KnownPrior,
    cells: Cells,
    hidden: Hidden,
    seed: int,
) -> None:
    """Add the share of draws that are legal grids, and for one puzzle how far many draws are from the exact law."""
    exact = cast(ExactPosterior, predictors["exact"])
    entropies = entropy_bits(exact.marginals(cells, hidden)).sum(axis=(1, 2))
    one = int(np.abs(entropies - OPEN_PUZZLE_BITS).argmin())
    for name, predictor in predictors.items():
        drawn = _draw(predictor, cells, hidden, 1, seed)
        scores[name]["legal_samples"] = scoring.legal_fraction(drawn, cells, hidden, prior)
        many = _draw(predictor, cells[one : one + 1], hidden[one : one + 1], OPEN_PUZZLE_SAMPLES, seed)[0]
        scores[name]["total_variation"] = scoring.total_variation(many, exact, cells[one], hidden[one])


def _draw(predictor: Predictor, cells: Cells, hidden: Hidden, n: int, seed: int) -> Samples:
    """Joint draws: by a predictor's own method if it has one, or one cell at a time."""
    if isinstance(predictor, Sampler):
        return predictor.sample(cells, hidden, n, np.random.default_rng(seed))
    return filling.sample(predictor, cells, hidden, n, seed).cells


def _read_law(path: Path, required: bool) -> KnownPrior | None:
    if not path.is_file():
        if required:
            raise InputError(f"{path}: no such file; it is the prior.json that `gridcloze toy` writes")
        return None
    try:
        return make_toy(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} names no toy prior: {error}") from error


# info


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
    }
