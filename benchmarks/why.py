"""Why it answers as it does: `python benchmarks/why.py [TASK …]`, which the article is drawn from.

compare    `gridcloze compare` in full, an hour; goes on where it was
training   trains on squares and on the mirror, and keeps what is said of six puzzles on the way
reveal     one draw of an open puzzle, a cell at a time, beside the exact answer
influence  how the attention of each head, and the influence of the model, agree with the exact influence
digits     digits 8×8 of scikit-learn, held out: puzzles and fills
window     trains the network that sees 7×7 cells, for live figures, and writes models/cnn-7.onnx

Results are written to benchmarks/results/why-TASK.json, with pictures of numbers in .npz files beside them. The tasks
after `training` need its models.
"""

import sys
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from common import MODELS, RESULTS, RUNS, main
from gridcloze import checkpoint, explaining, filling, scoring
from gridcloze.bert import Bert, BertConfig
from gridcloze.checkpoint import Header, TrainedPredictor
from gridcloze.decoding import Decoder
from gridcloze.files.palettes import Palette
from gridcloze.learning import learn
from gridcloze.networks import NetworkPredictor
from gridcloze.predictor import entropy_bits
from gridcloze.priors.examples import Examples
from gridcloze.priors.finite import squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.priors.known import posterior
from gridcloze.priors.mirror import Mirror
from gridcloze.puzzles import Puzzles
from gridcloze.study import comparing
from gridcloze.study.cnn import Cnn, n_parameters
from gridcloze.study.windows import WindowLimited
from gridcloze.training import Budget, Progress, Training
from gridcloze.words import HIDDEN

PRIORS = {"squares": squares(16, 16), "mirror": Mirror(16, 16)}
MINUTES = {"squares": 5.0, "mirror": 2.0}
SEED = 4000
SHOWN = 6
MOMENTS = 90  # of a training, ever farther apart
LEARNED_DIGITS, DIGIT_MINUTES = 1437, 1.0
EXPLAINED, TARGETS = 100, 4  # puzzles, and hidden cells of each
WINDOWED = MODELS / "cnn-7.onnx"
TRAINED = {name: RUNS / f"why-{name}.safetensors" for name in PRIORS}
EXPLAINED_MODELS = {**TRAINED, "squares": MODELS / "squares.safetensors"}  # also in live figures


def puzzles(name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Fresh grids of a prior, and cells to hide by the evaluation mixture."""
    generator = np.random.default_rng(SEED)
    cells = PRIORS[name].sample(n, generator)
    return cells, evaluation_hiding(cells.shape, generator)


def write_arrays(task: str, **arrays: np.ndarray) -> None:
    np.savez_compressed(RESULTS / f"why-{task}.npz", **arrays)


def compare() -> dict[str, Any]:
    """The table of `gridcloze compare`; every run is kept in a folder beside the results."""
    return comparing.run(
        comparing.FULL, RUNS / "compare", lambda share, news: print(f"{share:.1%} {news}", end="\r", file=sys.stderr)
    )


def training() -> dict[str, Any]:
    result, arrays = {}, {}
    for name in PRIORS:
        cells, hidden = puzzles(name, SHOWN)
        model, moments = trained(name, cells, hidden)
        times, said = zip(*moments, strict=True)
        arrays |= {f"{name}_cells": np.where(hidden, HIDDEN, cells), f"{name}_truth": cells}
        arrays |= {f"{name}_seconds": np.array(times), f"{name}_white": np.array(said, dtype=np.float16)}
        arrays |= {f"{name}_exact": posterior(PRIORS[name]).marginals(cells, hidden)[..., 1].astype(np.float16)}
        many, many_hidden = puzzles(name, 2000)
        exact = posterior(PRIORS[name]).marginals(many, many_hidden)
        score = scoring.score(NetworkPredictor(model).marginals(many, many_hidden), many, many_hidden, exact)
        result[name] = {"minutes": MINUTES[name], **score}
    write_arrays("training", **arrays)
    return result


def trained(name: str, cells: np.ndarray, hidden: np.ndarray) -> tuple[Bert, list[tuple[float, np.ndarray]]]:
    """A model, which is also written to its file, and what it said of puzzles and when, in seconds."""
    prior, config = PRIORS[name], BertConfig(16, 16, 2)
    moments: list[tuple[float, np.ndarray]] = []

    def look(progress: Progress) -> None:
        if progress.share >= (len(moments) / (MOMENTS - 1)) ** 2:
            said = NetworkPredictor(model).marginals(cells, hidden)[..., 1]
            moments.append((progress.seconds, said))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Bert(config)
    held_out = prior.sample(256, np.random.default_rng([SEED, 1]))
    progress = Training(model, prior, held_out, Budget(minutes=MINUTES[name]), 0, look).run()
    header = Header(asdict(config), Palette.default(2), training={"steps": progress.steps})
    checkpoint.save(TRAINED[name], TrainedPredictor(NetworkPredictor(model), header))
    return model, moments


def reveal() -> dict[str, Any]:
    """The cells known so far, what the model says, and what is so, until nothing is open."""
    cells, hidden = open_puzzle()
    recording = explaining.Recording(checkpoint.load(TRAINED["squares"]))
    filling.sample(recording, Puzzles(cells[None], hidden[None]), 1, SEED, Decoder("weighted", None))
    known, unknown, said = (np.array(parts) for parts in zip(*recording.moments, strict=True))
    exact = posterior(PRIORS["squares"]).marginals(known, unknown)
    settled = int((entropy_bits(exact).sum(axis=(1, 2)) < 1e-6).argmax()) or len(known)
    frames = slice(settled + 1)
    write_arrays(
        "reveal",
        cells=np.where(unknown, HIDDEN, known)[frames].astype(np.int8),
        white=said[frames, ..., 1].astype(np.float16),
        exact=exact[frames, ..., 1].astype(np.float16),
    )
    return {"hidden": int(hidden.sum()), "until_all_is_determined": settled}


def open_puzzle() -> tuple[np.ndarray, np.ndarray]:
    """A square of which six black cells and two white ones are shown."""
    generator = np.random.default_rng(SEED)
    grid = next(one for one in PRIORS["squares"].sample(100, generator) if 49 <= one.sum() <= 81)
    shown = [*generator.choice(np.flatnonzero(grid == 0), 6, False), *generator.choice(np.flatnonzero(grid), 2, False)]
    hidden = np.ones(grid.size, dtype=bool)
    hidden[shown] = False
    return grid, hidden.reshape(grid.shape)


def influence() -> dict[str, Any]:
    arrays = {f"{name}_{key}": value for name in PRIORS for key, value in example_of(name).items()}
    write_arrays("influence", **arrays)
    return {name: influence_of(name) for name in PRIORS}


def far_puzzle() -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """A large square of which a block is hidden, and a cell in it that is far from all that decides it."""
    truth = next(one for one in PRIORS["squares"].sample(100, np.random.default_rng(3)) if one.sum() >= 100)
    top, left = np.argwhere(truth)[0].tolist()
    hidden = np.zeros(truth.shape, dtype=bool)
    hidden[max(top - 3, 0) : top + 8, max(left - 3, 0) : left + 8] = True
    return truth, hidden, (top + 1, left + 1)


def half_puzzle() -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """A grid of the mirror of which 40 % is hidden, and a hidden cell whose partner is visible."""
    generator = np.random.default_rng(SEED)
    truth, hidden = PRIORS["mirror"].sample(1, generator)[0], generator.random((16, 16)) < 0.4
    row, column = next(one for one in np.argwhere(hidden & ~hidden[::-1, ::-1]).tolist() if 2 <= min(one) <= 4)
    return truth, hidden, (row, column)


def nearly_empty_puzzle() -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """The puzzle of `open_puzzle`, and the hidden cell on which the visible ones have most influence together."""
    cells, hidden = open_puzzle()
    targets = np.argwhere(hidden)
    influences = explaining.influence(posterior(PRIORS["squares"]), cells, hidden, targets)
    row, column = targets[np.nansum(influences, axis=(1, 2)).argmax()].tolist()
    return cells, hidden, (row, column)


def example_of(name: str) -> dict[str, np.ndarray]:
    """All that explains one cell: what model and exact answer say, their influences, attention of each head."""
    cells, hidden, target = nearly_empty_puzzle() if name == "squares" else half_puzzle()
    model, exact = checkpoint.load(EXPLAINED_MODELS[name]), posterior(PRIORS[name])
    said = {who: explaining.explain(one, cells, hidden, target) for who, one in (("model", model), ("exact", exact))}
    attention = explaining.attention(model, cells, hidden, np.array([target]))
    parts = {
        f"{who}_{what}": array.astype(np.float32) for who, one in said.items() for what, array in vars(one).items()
    }
    return parts | {
        "cells": np.where(hidden, HIDDEN, cells),
        "target": np.array(target),
        "attention": attention[:, :, 0].astype(np.float16),
        "correlations": explaining.head_correlations(attention, said["model"].hide[None]),
    }


def influence_of(name: str) -> dict[str, Any]:
    """Over hidden cells on which the exact influence by hiding is not 0 throughout: how well others agree with it.

    Mean rank correlations, mean correlations, and how often the same visible cell has most influence.
    """
    model, exact = checkpoint.load(EXPLAINED_MODELS[name]), posterior(PRIORS[name])
    generator = np.random.default_rng(SEED)
    heads: list[np.ndarray] = []
    agreements: dict[str, list[tuple[float, float, float]]] = {}
    for cells, hidden in zip(*puzzles(name, EXPLAINED), strict=True):
        targets = generator.permutation(np.argwhere(hidden))[:TARGETS]
        true, said = (explaining.influence(one, cells, hidden, targets) for one in (exact, model))
        attention = explaining.attention(model, cells, hidden, targets)
        near = -np.abs(np.indices(cells.shape)[None] - targets[:, :, None, None]).max(axis=1).astype(float)
        for number in np.flatnonzero(np.nan_to_num(true).max(axis=(1, 2)) > 0):
            weights = attention[:, :, number]
            heads.append(explaining.head_correlations(weights[:, :, None], true[[number]]))
            others = {"model": said[number], "mean of heads": weights.mean(axis=(0, 1)), "nearness": near[number]}
            by_head = {f"{layer}/{head}": weights[layer, head] for layer, head in np.ndindex(weights.shape[:2])}
            for who, values in (others | by_head).items():
                agreements.setdefault(who, []).append(agreement(values, true[number]))
    means = {
        who: dict(zip(MEASURES, np.nanmean(found, axis=0).tolist(), strict=True)) for who, found in agreements.items()
    }
    return {"puzzles": EXPLAINED, "cells": len(heads), "heads": np.nanmean(heads, axis=0).tolist(), **means}


MEASURES = ("rank_correlation", "correlation", "same_first")


def agreement(values: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Of two numbers for each visible cell; a cell among several with most true influence is first as well."""
    one, other = values[np.isfinite(true)], true[np.isfinite(true)]
    linear = float(np.corrcoef(one, other)[0, 1]) if np.ptp(one) > 0 and np.ptp(other) > 0 else float("nan")
    return explaining.rank_correlation(values, true), linear, float(other[one.argmax()] >= other.max() - 1e-9)


def digits() -> dict[str, Any]:
    """Trained on four fifths; puzzles and fills of six of the others."""
    images = (load_digits().images >= 8).astype(np.int64)[np.random.default_rng(SEED).permutation(1797)]
    model = learn(Examples(images[:LEARNED_DIGITS], Palette.default(2)), Budget(minutes=DIGIT_MINUTES), seed=0)
    test, generator = images[LEARNED_DIGITS:], np.random.default_rng(SEED)
    hidden = evaluation_hiding(test.shape, generator)
    said = model.marginals(test, hidden)
    shown = np.flatnonzero((hidden.mean(axis=(1, 2)) > 0.3) & (hidden.mean(axis=(1, 2)) < 0.7))[:SHOWN]
    cells, unknown = test[shown], hidden[shown]
    write_arrays(
        "digits",
        cells=np.where(unknown, HIDDEN, cells),
        truth=cells,
        white=said[shown, ..., 1].astype(np.float16),
        fill=filling.most_likely(model, Puzzles(cells, unknown), seed=SEED).cells[:, 0],
    )
    scores = scoring.score(said, test, hidden)
    return scores | {"expected_calibration_error": scoring.reliability(said, test, hidden).expected_calibration_error}


def window() -> dict[str, Any]:
    """The network of the comparison, trained for as long as the others here, next to the bound of its window."""
    prior, plan = PRIORS["squares"], replace(comparing.FULL, minutes=MINUTES["squares"])
    model, progress = comparing.train("cnn-7", plan, prior, SEED)
    assert isinstance(model, Cnn)
    cells, hidden = puzzles("squares", 2000)
    truth = posterior(prior)
    exact, bound = (one.marginals(cells, hidden) for one in (truth, WindowLimited(truth, 3)))
    channels = model.features_to_logits.in_features
    sizes = {"height": 16, "width": 16, "n_symbols": 2, "patch": 1, "heads": 1}
    config = sizes | {"depth": len(model.layers), "embedding_size": channels, "channels": channels}
    training = {"minutes": plan.minutes, "seed": SEED, "steps": progress.steps, "seconds": progress.seconds}
    predictor = NetworkPredictor(model)
    checkpoint.export(WINDOWED, TrainedPredictor(predictor, Header(config, Palette.default(2), training=training)))
    scores = scoring.score(predictor.marginals(cells, hidden), cells, hidden, exact)
    parameters = n_parameters(model)
    return {**training, "parameters": parameters, "bound_bits": scoring.excess_bits(bound, exact, hidden), **scores}


TASKS = {task.__name__: task for task in (compare, training, reveal, influence, digits, window)}


if __name__ == "__main__":
    main(TASKS, __doc__)
