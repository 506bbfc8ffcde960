"""What each command does, from files to files; `cli` only names the options, so that --help need not load torch."""

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from . import bulk, checking, checkpoint, explaining, filling, maps, scoring
from .baselines import Lookup
from .bulk import write_json
from .exact import ContradictionError, ExactPosterior, Samples, posterior
from .films import check_film, write_film
from .grids import (
    ARRAYS,
    HIDDEN,
    Grid,
    InputError,
    Palette,
    check_writable,
    read_examples,
    read_grid,
    read_images,
    write_grid,
    write_stack,
)
from .masking import evaluation_hiding
from .palettes import about, read_palette
from .predictor import Cells, Hidden, Predictor, entropy_bits
from .priors import Examples, KnownPrior, Learnable, Symmetries, Toy, Windows, make_toy

if TYPE_CHECKING:
    import gridcloze.training

OPEN_PUZZLE_BITS = 8.0  # the marginal entropies of the puzzle that is drawn many times add up to about this
OPEN_PUZZLE_SAMPLES = 1000
FEW = 5  # of what there is most of, in words
FILM_FRAMES = 120  # at most
FILM_FRAMES_PER_SECOND = 10.0

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
        hidden = evaluation_hiding(truth.shape, generator)
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


@dataclass(frozen=True)
class Source:
    """Example grids: files of them, or big ones of which windows of some side are the examples."""

    path: Path
    windows: int | None = None
    symmetries: Symmetries = "none"
    palette: Path | None = None

    def read(self) -> tuple[Learnable, int, maps.Resolution | None]:
        """What to learn from, the scale it is drawn at, and the size of its pixels if that is known. InputError."""
        palette, is_map = read_palette(self.palette) if self.palette else None, maps.is_map(self.path)
        if self.windows is None and is_map:
            raise InputError(f"{self.path}: of a map windows are learned: say how large they are (--windows 64)")
        if self.windows is None:
            cells, palette, scale = read_examples(self.path, palette)
            return Examples(cells, palette, self.symmetries), scale, None
        if is_map:
            found = maps.read_map(self.path, palette)
            images, palette, scale, resolution = [found.cells], found.palette, 1, found.resolution
        else:
            (images, palette, scale), resolution = read_images(self.path, palette), None
        with about(self.path):
            return Windows(images, palette, (self.windows, self.windows), self.symmetries), scale, resolution


def train(
    source: Source,
    out: Path,
    budget: "gridcloze.training.Budget",
    seed: int,
    depth: int | None = None,
    resume: bool = False,
) -> Report:
    """Train a model on example grids and write it to one file."""
    check_writable(out)
    examples, scale, resolution = source.read()
    predictor = learned(examples, out, budget, seed, depth, scale, resume)
    if resolution is not None:
        predictor.header.training["resolution"] = list(resolution)
    return {"model": str(out), "hash": checkpoint.save(out, predictor), **predictor.header.training}


def learned(
    examples: Learnable,
    out: Path,
    budget: "gridcloze.training.Budget",
    seed: int = 0,
    depth: int | None = None,
    scale: int = 1,
    resume: bool = False,
) -> checkpoint.TrainedPredictor:
    """A model for the file `out`, beside which the state of a stopped training is kept; shows how far it is."""
    from .inpainter import learn  # loads torch, as nothing else does here

    state_path = out.with_name(f"{out.name}.resume")
    with _display("training") as show:

        def report(progress: "gridcloze.training.Progress") -> None:
            show(progress.share, _news(progress))

        return learn(examples, budget, seed, depth, scale, report, state_path, resume)


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
            left = ""
            if share > first:
                seconds = (time.monotonic() - began) * max(1 - share, 0) / (share - first)
                left = f"{seconds:.0f} s left, "
            console.print(f"{share:4.0%}, {left}{news}", highlight=False)

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


def check(
    model_path: Path, path: Path, threshold: float, hidden: str, picture: Path | None, dark: bool = False
) -> tuple[Report, str]:
    """Which visible cells of a grid the rest speaks against and, if cells are hidden, which would tell most of it.

    Returns the report, and the characters of the model's symbols.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"the threshold is a probability 0 … 1, not {threshold}")
    predictor = checkpoint.load(model_path)
    _check_pictures(picture)
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
        from .pictures import write_check

        write_check(picture, cells, places, telling, predictor.header.palette, dark)
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


# explain


@dataclass(frozen=True)
class Drawings:
    """Where an explanation is drawn, if anywhere: of the cell, of all heads, and as a film of one draw by `seed`."""

    picture: Path | None = None
    heads: Path | None = None
    film: Path | None = None
    dark: bool = False
    seed: int = 0


def explain(
    model_path: Path, path: Path, cell: str | None, hidden: str, prior_file: Path | None, drawings: Drawings
) -> tuple[Report, str]:
    """Why a hidden cell (its row and column as "4,7"; if none is given the most uncertain) has its law.

    Returns the report, and the characters of the model's symbols. With a prior the exact answer stands beside.
    """
    predictor = checkpoint.load(model_path)
    _check_pictures(drawings.picture, drawings.heads)
    if drawings.film is not None:
        check_film(drawings.film)
    grid = read_grid(path, predictor.header.palette, predictor.size, hidden=hidden)
    if not grid.hidden.any():
        raise InputError(f"{path}: no cell is hidden, so there is nothing to explain")
    target = _most_uncertain(predictor, grid) if cell is None else _place(cell)
    predictors: dict[str, Predictor] = {"model": predictor}
    if prior_file is not None:
        predictors["exact"] = posterior(cast(KnownPrior, _read_law(prior_file, required=True)))
    said = {name: explaining.explain(one, grid.cells, grid.hidden, target) for name, one in predictors.items()}
    attention = explaining.attention(predictor, grid.cells, grid.hidden, np.array([target]))
    correlations = explaining.head_correlations(attention, said["model"].hide[None])
    _draw_explanation(drawings, predictors, grid, target, said, attention[:, :, 0], correlations)
    report: Report = {"input": path.name, "model": predictor.header.hash}
    report["cell"] = {"row": target[0], "column": target[1], "given": cell is not None}
    report["laws"] = {name: one.marginals[target].tolist() for name, one in said.items()}
    report["influences"] = [_influences_of(place, said, grid.cells) for place in _most_influential(said["model"])]
    report["attention"] = _agreement(attention[:, :, 0], correlations, said["model"].hide)
    if "exact" in said:
        report["influence_of_model_and_exact"] = {
            change: _or_none(explaining.rank_correlation(*(getattr(one, change) for one in said.values())))
            for change in explaining.CHANGES
        }
    return report, predictor.header.palette.characters


def _check_pictures(*paths: Path | None) -> None:
    for path in filter(None, paths):
        from .pictures import check_picture  # slow to import, and few ask for a picture

        check_picture(path)


def _place(cell: str) -> tuple[int, int]:
    numbers = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", cell)
    if numbers is None:
        raise InputError(f"cell {cell!r} is no place: it is its row and column, from 0, such as 4,7")
    return int(numbers[1]), int(numbers[2])


def _most_uncertain(predictor: Predictor, grid: Grid) -> tuple[int, int]:
    entropy = entropy_bits(predictor.marginals(grid.cells[None], grid.hidden[None])[0])
    row, column = np.unravel_index(np.where(grid.hidden, entropy, -1.0).argmax(), grid.cells.shape)
    return int(row), int(column)


def _most_influential(said: explaining.Explanation) -> list[tuple[int, int]]:
    """The first few cells by hiding, and by flipping those of which that tells more; in order of hiding."""
    hide, flip = np.nan_to_num(said.hide), np.nan_to_num(said.flip)
    ranked = [one.ravel().argsort(kind="stable")[::-1][:FEW] for one in (hide, np.where(flip > hide, flip, 0.0))]
    places = {divmod(int(number), hide.shape[1]) for number in np.concatenate(ranked)}
    return sorted((one for one in places if hide[one] + flip[one] > 0), key=lambda one: (-hide[one], -flip[one], one))


def _influences_of(place: tuple[int, int], said: dict[str, explaining.Explanation], cells: np.ndarray) -> Report:
    by_name = {
        name: {change: _or_none(getattr(one, change)[place]) for change in explaining.CHANGES}
        for name, one in said.items()
    }
    return {"row": place[0], "column": place[1], "symbol": int(cells[place]), **by_name}


def _agreement(attention: np.ndarray, correlations: np.ndarray, hide: np.ndarray) -> Report:
    """How far attention ranks the visible cells as influence does: each head, the best, and the mean of all."""
    layer, head = explaining.best_head(correlations)
    return {
        "rank_correlations": [[_or_none(number) for number in line] for line in correlations],
        "best": {"layer": layer, "head": head, "rank_correlation": _or_none(correlations[layer, head])},
        "mean_of_heads": _or_none(explaining.rank_correlation(attention.mean(axis=(0, 1)), hide)),
    }


def _or_none(number: float) -> float | None:
    """JSON has no NaN."""
    return float(number) if np.isfinite(number) else None


def _draw_explanation(
    drawings: Drawings,
    predictors: dict[str, Predictor],
    grid: Grid,
    target: tuple[int, int],
    said: dict[str, explaining.Explanation],
    attention: np.ndarray,
    correlations: np.ndarray,
) -> None:
    if drawings.film is not None:
        write_film(drawings.film, _moments(predictors, grid, drawings), FILM_FRAMES_PER_SECOND)
    palette, dark = grid.palette, drawings.dark
    if drawings.picture is not None:
        from .pictures import write_explanation

        write_explanation(drawings.picture, grid.cells, target, said, attention, correlations, palette, dark)
    if drawings.heads is not None:
        from .pictures import write_heads

        write_heads(drawings.heads, attention, grid.cells, target, correlations, palette, dark)


def _moments(predictors: dict[str, Predictor], grid: Grid, drawings: Drawings) -> list[np.ndarray]:
    """The frames of a film: a draw one cell at a time, and what is said of the rest, by the exact predictor too."""
    from .pictures import frame

    recording = explaining.Recording(predictors["model"])
    cells, hidden = grid.cells[None], grid.hidden[None]
    drawn = filling.sample(recording, cells, hidden, 1, drawings.seed, filling.ONE_AT_A_TIME).cells[0]
    recording.marginals(drawn, np.zeros_like(hidden))
    chosen = np.unique(np.linspace(0, len(recording.moments) - 1, FILM_FRAMES).round().astype(int))
    titles = ["known so far", f"probability of {grid.palette.characters[-1]!r}", "exactly"][: 1 + len(predictors)]
    frames = []
    for cells, hidden, law in (recording.moments[number] for number in chosen):
        panels = [np.where(hidden, HIDDEN, cells), law[..., -1]]
        if "exact" in predictors:
            panels.append(_law_or_nothing(predictors["exact"], cells, hidden)[..., -1])
        frames.append(frame(titles, [""], [panels], grid.palette, drawings.dark))
    return frames


def _law_or_nothing(exact: Predictor, cells: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """NaN everywhere from where the draw of a model is no grid of the prior any more."""
    try:
        return exact.marginals(cells[None], hidden[None])[0]
    except ContradictionError:
        return np.full((*cells.shape, exact.n_symbols), np.nan)


def print_explanation(report: Report, characters: str) -> None:
    """The law of the cell on stdout, the cells with most influence, and how far attention agrees, layer by head."""
    cell = report["cell"]
    how = "" if cell["given"] else ", the most uncertain hidden cell"
    print(f"row {cell['row']}, column {cell['column']}{how}")
    for name, law in report["laws"].items():
        likeliest = sorted(zip(characters, law, strict=True), key=lambda one: -one[1])[:FEW]
        print(f"{name}: {', '.join(f'{character} with probability {said:.3g}' for character, said in likeliest)}")
    if report["influences"]:
        ruled_out = " (– if the others rule that out)" if "exact" in report["laws"] else ""
        print(f"\nhow far its law moves (total variation 0…1) if a visible cell is hidden, or flipped{ruled_out}:")
        Console().print(_influence_table(report, characters))
    print("rank correlation of attention with influence by hiding (1: the same order, 0: none):")
    Console().print(_heads_table(report["attention"]["rank_correlations"]))
    best, mean = report["attention"]["best"], _figure(report["attention"]["mean_of_heads"], "z.2f")
    where = f"layer {best['layer']}, head {best['head']} with {_figure(best['rank_correlation'], 'z.2f')}"
    print(f"the best is {where}; the mean of all heads has {mean}")
    if "influence_of_model_and_exact" in report:
        agree = {change: _figure(number, "z.2f") for change, number in report["influence_of_model_and_exact"].items()}
        print(f"influence of the model with exact influence: {agree['hide']} by hiding, {agree['flip']} by flipping")


def _influence_table(report: Report, characters: str) -> Table:
    table = Table("row", "column", "shows", box=box.SIMPLE)
    for name in report["laws"]:
        for change in ("hidden", "flipped"):
            table.add_column(change if name == "model" else f"{change}, {name}", justify="right")
    for one in report["influences"]:
        figures = (_figure(one[name][change], ".2g") for name in report["laws"] for change in explaining.CHANGES)
        table.add_row(f"{one['row']}", f"{one['column']}", characters[one["symbol"]], *figures)
    return table


def _heads_table(correlations: list[list[float | None]]) -> Table:
    table = Table("layer", box=box.SIMPLE)
    for head in range(len(correlations[0])):
        table.add_column(f"head {head}", justify="right")
    for layer, line in enumerate(correlations):
        table.add_row(f"{layer}", *(_figure(number, "z.2f") for number in line))
    return table


def _figure(number: float | None, form: str) -> str:
    return "–" if number is None else format(number, form)


# score


def score(
    model_path: Path,
    held_out: Path,
    examples: Path | None,
    prior_file: Path | None,
    samples: int,
    seed: int,
    picture: Path | None = None,
    dark: bool = False,
) -> Report:
    """Hide cells of held-out grids under the test law, and hold what is said of them against what was there.

    Beside the model stand the exact answer, if the law of the grids is known, and a lookup among `examples`, if
    they are given. The first `samples` grids are also drawn, once each.
    """
    predictor = checkpoint.load(model_path)
    _check_pictures(picture)
    palette = predictor.header.palette
    cells = read_examples(held_out, palette)[0]
    generator = np.random.default_rng(seed)
    hidden = evaluation_hiding(cells.shape, generator) | (cells < 0)
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
        from .pictures import write_reliability

        curves = {name: scoring.reliability(law, cells, hidden) for name, law in marginals.items()}
        write_reliability(picture, curves, dark)
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


# compare


def compare(out: Path, quick: bool) -> Report:
    """Train the BERT and its rivals on priors with known laws; every number goes into compare.json in `out`, with
    pictures beside it. What is in the folder already is not trained again.
    """
    from . import comparing  # loads torch
    from .charts import write_bounds, write_fields, write_reach

    with _display("comparing") as show:
        report = comparing.run(comparing.QUICK if quick else comparing.FULL, out, show)
    write_json(out / "compare.json", report)
    for dark in (False, True):
        for suffix in (".png", ".svg"):
            ending = "-dark" * dark + suffix
            write_bounds(out / f"bounds{ending}", report["priors"], dark)
            write_reach(out / f"reach{ending}", report["priors"], dark)
            write_fields(out / f"fields{ending}", report["priors"], dark)
    return report


def print_comparison(report: Report) -> None:
    """A table on stdout for each prior: a line for each network, its seeds together."""
    from .charts import by_network

    for prior, of_prior in report["priors"].items():
        title = f"{prior}: a window needs {of_prior['enough']} × {of_prior['enough']} cells until its bound is near 0"
        table = Table("network", title=title, box=box.SIMPLE)
        for column in ("steps", "bound", "excess bits", "errors above", "radius"):
            table.add_column(column, justify="right", no_wrap=True)
        for network, runs in by_network(of_prior["runs"]).items():
            table.add_row(
                network,
                f"{sum(run['steps'] for run in runs) / len(runs):.0f}",
                f"{runs[0]['bound_bits']:.4f}",
                _spread([run["excess_bits"] for run in runs], ".4f"),
                f"{min(run['over_bound_bits'] / max(run['over_bound_error'], 1e-12) for run in runs):.1f}",
                _spread([float(run["field_radius"]) for run in runs], ".0f"),
            )
        Console().print(table)
    print("errors above: by how many standard errors the nearest seed is over its bound")
    print("radius: of the square around a cell from which 90 % of the gradient of its answer comes")


def _spread(values: Sequence[float], form: str) -> str:
    """The mean of runs, and the least and the most where they differ."""
    mean, least, most = (format(value, form) for value in (sum(values) / len(values), min(values), max(values)))
    return mean if least == most else f"{mean} ({least}…{most})"


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
