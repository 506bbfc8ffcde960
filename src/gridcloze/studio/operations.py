"""What the server answers: each operation is the command line's, on one grid that came as JSON."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from .. import answers, checkpoint, filling, tiling
from ..answers import Answers
from ..checkpoint import TrainedPredictor
from ..commands import check, explain, fill
from ..commands.shared import MOST_CELLS as MOST_LOOKED_AT
from ..commands.shared import check_prior
from ..decoding import DEFAULT_DECODER, Decoder, refining
from ..files.grids import Grid, check_evidence_shape, evidence_by_rule
from ..predictor import Predictor, exceeds_window
from ..priors.known import Toy, posterior
from ..priors.posterior import ContradictionError, ExactPosterior, KnownPrior
from ..puzzles import Likelihoods, Puzzles
from ..side import UNKNOWN, with_side
from ..tiling import Tiling
from ..words import InputError, __version__, about, finite_or_none
from . import schemas
from .schemas import GridRequest, ModelEntry, Pass
from .single import prior_name
from .watching import OnePass, Recorded, Watch, joined, watched

MOST_CELLS = 2**20  # of a grid
MOST_NUMBERS = 2**23  # in an answer
MARGINALS = 0.2  # of the work of a sample is that of the probabilities


@dataclass(frozen=True, eq=False)
class Model:
    """A model that the server has.

    Parameters
    ----------
    id
        What stands for it in addresses.
    name
        Of its file, without the ending.
    predictor
        What answers.
    prior
        Of its grids, if its exact posterior is known.

    Examples
    --------
    >>> Model.__dataclass_fields__["prior"].default is None
    True
    """

    id: str
    name: str
    predictor: TrainedPredictor
    prior: KnownPrior | None = None

    @cached_property
    def exact(self) -> ExactPosterior | None:
        """The exact posterior of its prior."""
        return None if self.prior is None else posterior(self.prior)

    def entry(self) -> ModelEntry:
        """Say what it is.

        Returns
        -------
        ModelEntry
            For the list of models.
        """
        header, (height, width) = self.predictor.header, self.predictor.size
        palette = header.palette
        colours = [f"#{bytes(colour[:3]).hex()}" for colour in palette.colours]
        labels = map(palette.label, range(palette.n_symbols))
        symbols = zip(labels, palette.characters, colours, strict=True)
        return {
            "id": self.id,
            "name": self.name,
            "model": header.hash,
            "height": height,
            "width": width,
            "symbols": [{"name": name, "character": one, "colour": colour} for name, one, colour in symbols],
            "window": list(self.predictor.window) if self.predictor.window else None,
            "prior": _short_name(self.prior),
            "side": [channel.name for channel in header.side],
            "side_classes": [list(channel.classes) for channel in header.side],
            "training": header.training,
        }


def _short_name(prior: KnownPrior | None) -> str | None:
    """The name by which the page knows a prior; None for those that it does not know."""
    with suppress(InputError):
        return prior_name(cast(Toy, prior)) if prior is not None else None
    return None


def load_models(paths: Sequence[Path], prior_path: Path | None = None) -> list[Model]:
    """Read the models that the server will have.

    Parameters
    ----------
    paths
        Model files.
    prior_path
        A prior.json of the grids of one of them or of all.

    Returns
    -------
    list
        With names that no two share.

    Raises
    ------
    InputError
        If a file cannot be read, or the prior is of other grids than those of every model.

    Examples
    --------
    >>> load_models([])
    []
    """
    from ..commands.toy import read_prior

    prior = cast(KnownPrior, read_prior(prior_path, required=True)) if prior_path else None
    models: dict[str, Model] = {}
    for path in paths:
        predictor, name, number = checkpoint.load(path), re.sub(r"[^\w.-]", "-", path.stem), 1
        while (one := name if number == 1 else f"{name}-{number}") in models:
            number += 1
        fits = prior is not None and (prior.height, prior.width, prior.n_symbols) == (
            *predictor.size,
            predictor.n_symbols,
        )
        models[one] = Model(one, path.stem, joined(predictor), prior if fits else None)
    if prior is not None and prior_path is not None and not any(model.prior for model in models.values()):
        for model in models.values():
            check_prior(prior, prior_path, model.predictor.size, model.predictor.n_symbols)
    return list(models.values())


@dataclass(frozen=True, eq=False)
class Question:
    """A request that was checked.

    Parameters
    ----------
    model
        Who is asked.
    operation
        A name in `OPERATIONS`.
    request
        As it came.
    grid
        Its grid.
    side
        Its side maps, (1, height, width, channel), for a model that has such.
    likelihoods, allowed
        What is allowed where, checked, and as it came if it came for each cell.

    Examples
    --------
    >>> Question.__dataclass_fields__["allowed"].default is None
    True
    """

    model: Model
    operation: str
    request: Any
    grid: Grid
    side: np.ndarray | None = None
    likelihoods: Likelihoods | None = None
    allowed: np.ndarray | None = None


def question(model: Model, operation: str, request: GridRequest) -> Question:
    """Check a request before any work is done.

    Parameters
    ----------
    model
        Who is asked.
    operation
        A name in `OPERATIONS`.
    request
        What is asked.

    Returns
    -------
    Question
        That can be answered.

    Raises
    ------
    InputError
        With the words of the command line.

    Examples
    --------
    >>> from gridcloze import Inpainter
    >>> model = Inpainter(steps=1, depth=1).fit(np.eye(4, dtype=int)[None].repeat(20, axis=0)).predictor_
    >>> question(Model("eye", "eye", model), "fill", schemas.FillRequest(cells=[[0, 1], [7, -1]]))
    Traceback (most recent call last):
    gridcloze.words.InputError: row 1, column 0 (counted from 0): symbol 7 is not in the palette
    """
    palette = model.predictor.header.palette
    cells = _array(request.cells)
    grid = Grid.from_cells(cells, palette)
    side = _side(model.predictor, request, grid)
    if not isinstance(request, schemas.MarginalsRequest):
        _refuse_large(model.predictor, grid, operation)
        return Question(model, operation, request, grid, side)
    samples = getattr(request, "samples", 0)
    fill.bytes_of_fill(grid.cells.shape, samples, palette.n_symbols)
    numbers = grid.cells.size * (samples + palette.n_symbols)
    if numbers > MOST_NUMBERS:
        size = f"{grid.cells.shape[0]} by {grid.cells.shape[1]} cells with {samples} samples"
        raise InputError(
            f"{size} give {numbers} numbers; ask for at most {MOST_NUMBERS} at once, or use gridcloze fill"
        )
    decoder = _decoder(model.predictor, request)
    if isinstance(request, schemas.FillRequest):
        answers.checked_kind(_kind(request), samples, decoder.refine if decoder else 0)
    if request.allow is None:
        return Question(model, operation, request, grid, side)
    if isinstance(request.allow, str):
        evidence, allowed = evidence_by_rule(request.allow, palette, grid.cells.shape), None
    else:
        with about("--allow"):
            evidence = allowed = _array(request.allow)
            check_evidence_shape(evidence.shape, palette, grid.cells.shape)
    return Question(model, operation, request, grid, side, Likelihoods.checked(evidence, grid.hidden), allowed)


def _side(predictor: TrainedPredictor, request: GridRequest, grid: Grid) -> np.ndarray | None:
    side, size = None, (1, *grid.cells.shape)
    if request.side == "none":
        side = np.full((*size, len(predictor.side)), np.nan, np.float32)
    elif request.side is not None:
        with about("side"):
            side = np.array(_array(request.side), np.float32)[None]
            if side.shape[:-1] != size:
                raise InputError(f"shape {side.shape[1:]} does not fit a grid of {size[1]} by {size[2]} cells")
    with_side(predictor, side)  # refuses what the model cannot take
    return side


def _array(rows: Any) -> np.ndarray:
    """Lists in lists as an array, whose rows have one length."""
    if not rows or not rows[0]:
        raise InputError("the grid has no cells; it needs 1 row and 1 column at least")
    width = next((number for number, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if width is not None:
        lengths = f"row {width} has {len(rows[width])} cells, row 0 has {len(rows[0])}"
        raise InputError(f"{lengths}; all rows need the same length, at least 1")
    if len(rows) * len(rows[0]) > MOST_CELLS:
        size = f"{len(rows)} by {len(rows[0])} cells"
        raise InputError(f"{size} are more than {MOST_CELLS}; cut the grid into smaller ones, or use gridcloze fill")
    try:
        return np.array(rows)
    except ValueError:  # likelihoods or side maps of different lengths
        raise InputError("its cells have different numbers of values; give each cell all") from None


def _refuse_large(predictor: TrainedPredictor, grid: Grid, operation: str) -> None:
    height, width = grid.cells.shape
    if grid.cells.size > MOST_LOOKED_AT:
        many = f"the grid has {height} by {width} cells, each of which would be looked at"
        raise InputError(f"{many}; cut out at most {MOST_LOOKED_AT**0.5:.0f} by {MOST_LOOKED_AT**0.5:.0f}")
    if operation == "explain":
        explain.refuse_whole(grid)
    if operation == "attention" and (heads := _attention_numbers(predictor, grid)) > MOST_NUMBERS:
        raise InputError(f"the attention on {height} by {width} cells has {heads} weights, more than {MOST_NUMBERS}")


def _attention_numbers(predictor: TrainedPredictor, grid: Grid) -> int:
    config, (rows, columns) = predictor.header.config, _patches(grid.cells.shape, predictor.patch)
    return config["depth"] * config["heads"] * (rows * columns) ** 2


def _decoder(predictor: TrainedPredictor, request: Any) -> Decoder | None:
    """The decoder as the command `fill` makes it of its options."""
    order, budget_bits = getattr(request, "order", None), getattr(request, "budget_bits", None)
    decoder = None
    if order is not None or budget_bits is not None:
        budget_bits = DEFAULT_DECODER.budget_bits if budget_bits is None else budget_bits
        decoder = Decoder(order or DEFAULT_DECODER.order, budget_bits)
    return refining(predictor, getattr(request, "refine", 0), decoder)


def _kind(request: schemas.FillRequest) -> answers.Kind:
    return "typical" if request.typical else "likely"


# What is answered


def _begin(one: Question, watch: Watch, kind: answers.Kind) -> Answers:
    """The answer to a puzzle, nothing of which is computed yet."""
    predictor, samples = one.model.predictor, getattr(one.request, "samples", 0)
    evidence = None if one.likelihoods is None else Likelihoods(one.likelihoods.values[None])
    puzzles = Puzzles(one.grid.cells[None], evidence=evidence, side=one.side)
    filling.check_fits(predictor, puzzles)
    drawn, decoder = samples or answers.CHOSEN_AMONG * (kind == "typical"), _decoder(predictor, one.request)
    rounds = 1 + (decoder.refine if decoder else 0)
    watch.total = float(puzzles.hidden.sum()) * (drawn * rounds + (kind == "likely") + MARGINALS)
    return answers.fill(watched(predictor, watch), puzzles, samples, one.request.seed, decoder, kind)


def _marginals_of(found: Answers, watch: Watch) -> list[Any]:
    """The marginals as `gridcloze fill` writes them."""
    size, window = found.puzzles.size, found.predictor.window or found.puzzles.size
    windows = sum(map(len, Tiling(*size, window, tiling.HALF_OVERLAPPING).rows))
    watch.of_a_grid = MARGINALS * float(found.puzzles.hidden.sum()) / windows
    return found.marginals[0].astype(np.float32).tolist()


def _head(one: Question, found: Answers) -> dict[str, Any]:
    """What all answers begin with."""
    header = one.model.predictor.header
    more = [fill.ruled_out(one.grid.cells, one.allowed), checkpoint.size_warning(header, one.grid.cells.shape)]
    if one.side is not None and len(unknown := np.flatnonzero(np.isnan(one.side).all(axis=(0, 1, 2)))):
        more.append(UNKNOWN.format(", ".join(header.side[number].name for number in unknown.tolist())))
    return {
        "model": header.hash,
        "version": __version__,
        "seed": one.request.seed,
        "hidden_cells": int(one.grid.hidden.sum()),
        "warnings": [*found.warnings[0], *filter(None, more)],
    }


def _marginals(one: Question, watch: Watch) -> dict[str, Any]:
    found = _begin(one, watch, "none")
    answer = _head(one, found) | {"marginals": _marginals_of(found, watch)}
    exact = _exact_marginals(one) if one.likelihoods is None else None
    return answer if exact is None else answer | {"exact": exact.astype(np.float32).tolist()}


def _exact_marginals(one: Question) -> np.ndarray | None:
    """What the exact posterior says, if it is known and knows the grid."""
    exact, grid = one.model.exact, one.grid
    if exact is not None and grid.cells.shape == one.model.predictor.size:
        with suppress(ContradictionError):  # it is no grid of the prior
            return exact.marginals(grid.cells[None], grid.hidden[None])[0]
    return None


def _sample(one: Question, watch: Watch) -> dict[str, Any]:
    found = _begin(one, watch, "none")
    fills, recorded = _recorded(watch, lambda: found.first_samples(found.n_samples))
    bits, samples = fills.log_prob_bits[0].tolist(), found.samples[0]
    each = enumerate(zip(samples, bits, strict=True))
    return _head(one, found) | {
        "samples": samples.tolist(),
        "log2_probability": finite_or_none(bits),
        "passes": [_passes(recorded.get(number), one, *of_sample) for number, of_sample in each],
        "passes_per_sample": round(float(found.passes[0]), 3),
    }


def _fill(one: Question, watch: Watch) -> dict[str, Any]:
    kind = _kind(one.request)
    found = _begin(one, watch, kind)
    drawn = found.n_samples or answers.CHOSEN_AMONG * (kind == "typical")
    samples, of_samples = _recorded(watch, lambda: found.first_samples(drawn))
    log_prob_bits, of_fill = _recorded(watch, lambda: found.log_prob_bits)
    filled, bits, passes = found.fill[0], float(log_prob_bits[0]), of_fill.get(0)
    if passes is None and drawn:  # the fill is one of the samples
        is_other = (samples.cells[0] != filled) & one.grid.hidden
        passes = of_samples.get(int(is_other.any(axis=(1, 2)).argmin()))
    return _head(one, found) | {
        "kind": kind,
        "fill": filled.tolist(),
        "log_prob_bits": finite_or_none(round(bits, 6)),
        "log2_probability": finite_or_none(bits),
        "passes": _passes(passes, one, filled, bits),
        "passes_per_sample": round(float(found.passes[0]), 3),
        "samples": found.samples[0].tolist(),
        "marginals": _marginals_of(found, watch),
    }


def _recorded(watch: Watch, compute: Callable[[], Any]) -> tuple[Any, Recorded]:
    """What is computed, and the passes of each fill on the way."""
    recorded: Recorded = {}
    watch.passes = recorded
    result = compute()
    watch.passes = None
    return result, recorded


def _passes(recorded: list[OnePass] | None, one: Question, whole: np.ndarray, bits: float) -> list[Pass]:
    """In which order hidden cells were revealed: first those that what is allowed decided, if there are any."""
    if exceeds_window(one.model.predictor, whole.shape):
        return []
    hidden, passes = one.grid.hidden.ravel(), recorded or []
    decided = hidden.copy()
    for cells, _, _ in passes:
        decided[cells] = False
    if decided.any() or one.likelihoods is not None:
        of_decided = bits - sum(of_pass for _, _, of_pass in passes)
        passes = [(np.flatnonzero(decided), whole.ravel()[decided], of_decided), *passes]
    return [
        {
            "revealed": cells[hidden[cells]].tolist(),
            "symbols": symbols[hidden[cells]].tolist(),
            "bits": None if np.isnan(bits) else finite_or_none(float(of_pass)),
        }
        for cells, symbols, of_pass in passes
    ]


def _explain(one: Question, watch: Watch) -> dict[str, Any]:
    watch.total, watch.of_a_grid = explain.queries(one.grid, one.model.predictor.n_symbols), 1.0
    predictors: dict[str, Predictor] = {"model": with_side(watched(one.model.predictor, watch), one.side)}
    if one.model.exact is not None and _exact_marginals(one) is not None:
        predictors["exact"] = one.model.exact
    explained = explain.explain_cell(predictors, one.grid, one.request.cell)
    influence = explained.explanations["model"]
    return finite_or_none(explain.report_on(explained, one.request.input, one.model.predictor.header.hash)) | {
        "influence": finite_or_none({"hide": influence.hide.tolist(), "flip": influence.flip.tolist()}),
        "attention_weights": None if explained.attention is None else explained.attention.tolist(),
    }


def _check(one: Question, watch: Watch) -> dict[str, Any]:
    watch.total, watch.of_a_grid = check.queries(one.grid, one.model.predictor.n_symbols), 1.0
    predictor = watched(one.model.predictor, watch)
    report, information = check.checked(predictor, one.grid, one.request.threshold, one.request.input, one.side)
    return finite_or_none(report | {"information": information.tolist()})


def _attention(one: Question, watch: Watch) -> dict[str, Any]:
    predictor = one.model.predictor
    weights = predictor.attention(one.grid.cells[None], one.grid.hidden[None], one.side)[0]
    patches = _patches(one.grid.cells.shape, predictor.patch)
    return {"patch": predictor.patch, "patches": patches, "weights": weights.tolist()}


def _patches(size: tuple[int, ...], patch: int) -> list[int]:
    return [-(-side // patch) for side in size]


@dataclass(frozen=True)
class Operation:
    """What a model can be asked.

    Parameters
    ----------
    request, answer
        Their types.
    run
        Answers a question.
    summary
        What it does.

    Examples
    --------
    >>> OPERATIONS["fill"].request.__name__
    'FillRequest'
    """

    request: type[GridRequest]
    answer: Any
    run: Callable[[Question, Watch], dict[str, Any]]
    summary: str


OPERATIONS = {
    "marginals": Operation(
        schemas.MarginalsRequest, schemas.MarginalsAnswer, _marginals, "Predict each hidden cell given the visible ones"
    ),
    "sample": Operation(schemas.SampleRequest, schemas.SampleAnswer, _sample, "Draw joint samples of the hidden cells"),
    "fill": Operation(
        schemas.FillRequest, schemas.FillAnswer, _fill, "Fill the hidden cells, with probabilities and samples"
    ),
    "explain": Operation(
        schemas.ExplainRequest, schemas.ExplainAnswer, _explain, "Explain the distribution of a hidden cell"
    ),
    "check": Operation(
        schemas.CheckRequest, schemas.CheckAnswer, _check, "Find implausible cells, and the cell to look at next"
    ),
    "attention": Operation(
        schemas.GridRequest, schemas.AttentionAnswer, _attention, "Show where each head looks from each patch"
    ),
}
