"""What each command does, from files to files; `cli` only names the options, so that --help need not load torch."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from . import bulk, checking, checkpoint, filling, scoring
from .baselines import Lookup
from .bulk import write_json
from .exact import ExactPosterior, Samples, posterior
from .grids import ARRAYS, Grid, InputError, Palette, check_writable, read_examples, read_grid, write_grid, write_stack
from .masking import test_law
from .predictor import Cells, Hidden, Predictor, entropy_bits
from .priors import Examples, KnownPrior, Toy, make_toy

if TYPE_CHECKING:
    import gridcloze.training

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
    write_json(_law_file(out), prior.spec)
    return {"grids": n, "prior": prior.spec, "path": str(out)}


def _write_grids(folder: Path, cells: Cells, scale: int) -> None:
    for number, grid in enumerate(cells):
        write_grid(folder / f"{number:05d}.png", Grid.from_cells(grid, Palette.default(2), scale))


def _law_file(examples: Path) -> Path:
    """Where the law of example grids is noted, if it is known."""
    return examples.with_suffix(".prior.json") if examples.suffix in ARRAYS else examples / "prior.json"


# train


def train(
    examples_path: Path,
    out: Path,
    budget: "gridcloze.training.Budget",
    seed: int,
    depth: int | None = None,
    resume: bool = False,
) -> Report:
    """Train a model on example grids and write it to one file."""
    from .inpainter import learn  # loads torch, as nothing else does here

    check_writable(out)
    cells, palette, scale = read_examples(examples_path)
    state_path = out.with_name(f"{out.name}.resume")
    with _display("training") as show:
        predictor = learn(
            Examples(cells, palette),
            budget,
            seed,
            depth,
            scale,
            lambda progress: show(progress.share, _news(progress)),
            state_path,
            resume,
        )
    return {"model": str(out), "hash": checkpoint.save(out, predictor), **predictor.header.training}


def _news(progress: "gridcloze.training.Progress") -> str:
    return (
        f"loss {progress.bits_per_hidden_cell:.3f} bits, held out {progress.held_out_bits_per_hidden_cell:.3f}, "
        f"{progress.grids_per_second:.0f} grids/s"
    )


@contextlib.contextmanager
def _display(title: str) -> Iterator[Callable[[float, str], None]]:
    """A bar on a terminal, elsewhere a line for each tenth of the way; to be told the share that is done, and news."""
    if not console.is_terminal:
        yield _line_each_tenth()
        return
    columns = (BarColumn(), "{task.percentage:3.0f} %", TimeRemainingColumn(), TextColumn("{task.fields[news]}"))
    with ProgressBar(TextColumn("{task.description}"), *columns, console=console) as bar:
        task = bar.add_task(title, total=1.0, news="")
        yield lambda share, news: bar.update(task, completed=share, news=news)


def _line_each_tenth() -> Callable[[float, str], None]:
    shown, began, first = 0, time.monotonic(), -1.0

    def report(share: float, news: str) -> None:
        nonlocal shown, first
        first = share if first < 0 else first  # a resumed run starts in the middle
        if int(10 * share) > shown:
            shown = int(10 * share)
            left = (time.monotonic() - began) * max(1 - share, 0) / max(share - first, 1e-9)
            console.print(f"{share:4.0%}, {left:.0f} s left, {news}", highlight=False)

    return report


# fill


def fill(model_path: Path, inputs: Sequence[Path], out: Path, request: bulk.Request, overwrite: bool) -> list[Report]:
    """Fill grids with a trained model and write each result into the folder `out`; one report for each input."""
    predictor = checkpoint.load(model_path)
    with _display("filling") as show:
        return bulk.fill_files(
            predictor,
            inputs,
            out,
            request,
            overwrite,
            lambda done, total: show(done / total, f"{done} of {total} grids"),
        )


# export


def export(model_path: Path, out: Path) -> Report:
    """Write a model as an ONNX file, which needs no torch."""
    predictor = checkpoint.load(model_path)
    checkpoint.export(out, predictor)
    return {"model": str(out), "hash": predictor.header.hash, "bytes": out.stat().st_size}


# check


def check(model_path: Path, path: Path, threshold: float, hidden: str, picture: Path | None) -> tuple[Report, str]:
    """Which visible cells of a grid the rest speaks against and, if cells are hidden, which would tell most of it.

    Returns the report, and the characters of the model's symbols.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"the threshold is a probability 0 … 1, not {threshold}")
    predictor = checkpoint.load(model_path)
    if picture is not None:
        check_writable(picture)
    grid = read_grid(path, predictor.header.palette, predictor.size, hidden=hidden)
    cells, is_hidden = grid.cells, grid.hidden
    found = checking.surprises(predictor, cells, is_hidden, threshold)
    places = [(one.row, one.column) for one in found]
    doubtful = is_hidden.copy()
    doubtful[tuple(np.array(places, dtype=np.int64).reshape(-1, 2).T)] = True  # what they show is not to be believed
    telling = checking.information_bits(predictor, cells[None], doubtful[None])[0]
    telling[~is_hidden] = np.nan
    report: Report = {"input": path.name, "model": predictor.header.hash, "threshold": threshold}
    report["surprises"] = [asdict(one) for one in found]
    if is_hidden.any():
        row, column = np.unravel_index(np.nanargmax(telling), telling.shape)
        report["look_next"] = {"row": int(row), "column": int(column), "bits": float(telling[row, column])}
    if picture is not None:
        from .pictures import write_check  # slow to import, and few ask for a picture

        write_check(picture, cells, places, telling, predictor.header.palette)
    return report, predictor.header.palette.characters


def print_check(report: Report, characters: str) -> None:
    """A line on stdout for each surprising cell, and one for the hidden cell that would tell most."""
    for one in report["surprises"]:
        symbol, likely = characters[one["symbol"]], characters[one["likely_symbol"]]
        place = f"row {one['row']}, column {one['column']}"
        print(f"{place}: {symbol} has probability {one['probability']:.2g} given the rest; {likely} is most likely")
    if not report["surprises"]:
        print(f"no visible cell has a probability below {report['threshold']:g} given the rest")
    if "look_next" in report:
        cell = report["look_next"]
        told = f"its value would tell {cell['bits']:.2f} bits about the other hidden cells"
        print(f"look next at row {cell['row']}, column {cell['column']}: {told}")


# score


def score(
    model_path: Path,
    held_out: Path,
    examples: Path | None,
    prior_file: Path | None,
    samples: int,
    seed: int,
    picture: Path | None = None,
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
    predictors: dict[str, Predictor] = {"model": predictor, "uncalibrated": predictor.uncalibrated()}
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
    calibration = {name: scoring.calibration(law, cells, hidden) for name, law in marginals.items()}
    for name, line in scores.items():
        line |= {key: calibration[name][key] for key in ("expected_calibration_error", "brier")}
    if picture is not None:
        from .pictures import write_reliability  # slow to import, and few ask for a picture

        write_reliability(picture, {name: scoring.reliability(law, cells, hidden) for name, law in marginals.items()})
    if prior is not None and samples:
        _score_samples(scores, predictors, prior, cells[:samples], hidden[:samples], seed)
    return {
        "model": predictor.header.hash,
        "training": predictor.header.training,
        "seed": seed,
        "grids": len(cells),
        "hidden_fraction": float(hidden.mean()),
        "scores": scores,
        "calibration": calibration,
    }


def print_scores(report: Report) -> None:
    """A table on stdout: a line for each score, a column for each who answered."""
    scores = report["scores"]
    table = Table(title=f"{report['grids']} grids, {report['hidden_fraction']:.0%} of the cells hidden", box=box.SIMPLE)
    table.add_column("")
    for name in scores:
        table.add_column(name, justify="right")
    for score in dict.fromkeys(score for line in scores.values() for score in line):
        figures = (f"{line[score]:.4f}" if score in line else "" for line in scores.values())
        table.add_row(score.replace("_", " "), *figures)
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
        if name == "uncalibrated":
            continue
        drawn = _draw(predictor, cells, hidden, 1, seed)
        scores[name]["legal_samples"] = scoring.legal_fraction(drawn, cells, hidden, prior)
        if name == "model":
            slowly = filling.sample(predictor, cells, hidden, 1, seed, filling.ONE_AT_A_TIME).cells
            scores[name]["legal_one_at_a_time"] = scoring.legal_fraction(slowly, cells, hidden, prior)
        many = _draw(predictor, cells[one : one + 1], hidden[one : one + 1], OPEN_PUZZLE_SAMPLES, seed)[0]
        scores[name]["total_variation"] = scoring.total_variation(many, exact, cells[one], hidden[one])


def _draw(predictor: Predictor, cells: Cells, hidden: Hidden, n: int, seed: int) -> Samples:
    """Joint draws: by a predictor's own method if it has one, or by the default decoder."""
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
        "calibration": asdict(header.calibration),
    }
