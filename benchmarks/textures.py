"""What benchmarks on textures share: windows, and how those who fill are scored."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import patterns
from common import Figures, trained
from gridcloze import checkpoint, filling, scoring
from gridcloze.learning import Learnable
from gridcloze.puzzles import Puzzles
from gridcloze.shapes import Cells, Hidden
from gridcloze.training import Budget
from peers import Answer, Peer, Skipped


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    effort: float  # the share of the minutes that models are to be trained
    depth: int  # layers
    most_grids: int  # of a condition
    samples: int  # of each grid


def slug(name: str) -> str:
    return name.replace(" ", "-")


def windows_of(images: Cells, n: int, side: int, generator: np.random.Generator) -> Cells:
    """`n` windows in turn from each of the images, at random places."""
    rows, columns = (generator.integers(0, length - side, n, endpoint=True) for length in images.shape[1:])
    places = zip(range(n), rows, columns, strict=True)
    return np.stack([images[i % len(images), row : row + side, column : column + side] for i, row, column in places])


def learned_by(prior: Callable[[], Learnable], path: Path, minutes: float, sizes: Sizes) -> Figures:
    """Trains a model, and says what its file says of that."""
    predictor = trained(prior, path, Budget(sizes.effort * minutes), sizes.depth)
    return {"MiB": path.stat().st_size / 2**20, **predictor.header.training}


def asked(model: Path) -> Peer:
    """A trained model, asked as its peers are."""

    def answer(train: Cells, cells: Cells, hidden: Hidden, n_samples: int, seed: int = 0) -> Answer:
        predictor = checkpoint.load(model)
        marginals = predictor.marginals(cells, hidden)
        began = time.perf_counter()
        drawn = filling.sample(predictor, Puzzles(cells, hidden), n_samples, seed)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Answer(marginals, drawn.cells, predictor.header.training["seconds"], seconds, peak)

    return answer


def truth(train: Cells, cells: Cells, hidden: Hidden, n_samples: int, seed: int = 0) -> Answer:
    """A peer that knows: what measures of samples are of right ones, which few grids keep from 0."""
    return Answer(np.eye(train.max() + 1)[cells], cells[:, None], 0.0, 0.0)


def scores(answer: Answer | Skipped, cells: Cells, hidden: Hidden, reference: Cells, learned: Cells) -> Figures:
    """Everything that is measured of who fills: probabilities against the truth, samples against a reference.

    `reference` are grids of the size of the samples that show how it should look, `learned` what samples might copy.
    """
    if isinstance(answer, Skipped):
        return {"skipped": answer.reason}
    law = answer.marginals
    figures: Figures = {
        **scoring.score(law, cells, hidden),
        "expected_calibration_error": scoring.reliability(law, cells, hidden).expected_calibration_error,
        "brier": scoring.brier(law, cells, hidden),
        "fit_seconds": answer.fit_seconds,
        "peak_MiB": answer.peak_mebibytes,
        "grids": len(cells),
    }
    if answer.samples is None:
        return figures
    n, n_symbols = answer.samples.shape[1], law.shape[-1]
    drawn = answer.samples.reshape(-1, *cells.shape[1:])
    return figures | {
        "samples_per_grid": n,
        "seconds_per_realisation": answer.seconds / len(drawn),
        "known_cells_honoured": patterns.honoured_share(answer.samples, cells, hidden),
        **{f"{name}_error": value for name, value in patterns.errors(drawn, reference, n_symbols).items()},
        **patterns.granularity(drawn, cells, n_symbols),
        "pattern_divergence_bits": patterns.pattern_divergence_bits(drawn, reference),
        "copied_share": patterns.copied_share(drawn, learned),
        "copied_share_of_truth": patterns.copied_share(cells, learned),
    }
