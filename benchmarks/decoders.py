"""Forward passes against accuracy for every decoder, on squares: `python benchmarks/decoders.py MODEL`.

Each decoder draws one sample of every puzzle of the evaluation mixture (passes, legal share), and many samples of a few
puzzles whose exact joint posterior has an entropy of 2 to 6 bits (total variation from it, and that of as many exact
samples). The result is benchmarks/results/decoders.json; `make docs` writes docs/decoders.md from it.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from common import RESULTS, circumstances
from gridcloze import checkpoint, filling, scoring
from gridcloze.checkpoint import TrainedPredictor
from gridcloze.commands.process import keep_freed_memory
from gridcloze.decoding import DEFAULT_DECODER, ONE_AT_A_TIME, ORDERS, Decoder
from gridcloze.predictor import Predictor
from gridcloze.priors.finite import squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.priors.known import posterior
from gridcloze.priors.posterior import ExactPosterior
from gridcloze.puzzles import Puzzles
from gridcloze.shapes import Cells, Hidden

SEED = 2000
GRIDS, UNCERTAIN_PUZZLES, SAMPLES = 1000, 10, 500
UNCERTAIN_BITS = (2.0, 6.0)
BUDGETS = (0.01, 0.05, 0.1, 0.3, 1.0, 3.0)
DEFAULT = f"{DEFAULT_DECODER.order}, {DEFAULT_DECODER.budget_bits:g} bits"  # its name in the table


def decoders() -> dict[str, Decoder]:
    """The decoders to compare, by their names in the table."""
    named = {"one random cell": ONE_AT_A_TIME}
    for order in ORDERS:
        named |= {f"{order}, {budget:g} bits": Decoder(order, budget) for budget in BUDGETS}
    return named | {"one cell, most certain first": Decoder("certain", None)}


def uncertain_puzzles(exact: ExactPosterior, cells: Cells, hidden: Hidden) -> np.ndarray:
    """The first puzzles whose exact joint posterior has an entropy within UNCERTAIN_BITS, estimated from samples."""
    chosen: list[int] = []
    for number in range(len(cells)):
        grid, grid_hidden = cells[[number]], hidden[[number]]
        samples = exact.sample(grid, grid_hidden, 100, np.random.default_rng(SEED))[0]
        bits = -exact.log_prob_bits(samples, np.repeat(grid_hidden, 100, axis=0)).mean()
        if UNCERTAIN_BITS[0] <= bits <= UNCERTAIN_BITS[1]:
            chosen.append(number)
        if len(chosen) == UNCERTAIN_PUZZLES:
            break
    return np.array(chosen)


class Measure:
    """Measures decoders on the same puzzles."""

    def __init__(self, predictor: Predictor):
        self.predictor, self.prior = predictor, squares(16, 16)
        self.exact = posterior(self.prior)
        generator = np.random.default_rng(SEED)
        self.cells = self.prior.sample(GRIDS, generator)
        self.hidden = evaluation_hiding(self.cells.shape, generator)
        self.chosen = uncertain_puzzles(self.exact, self.cells, self.hidden)

    def figures(self, decoder: Decoder | None) -> dict[str, float]:
        """The figures of a decoder, or of the exact posterior's own samples if it is None."""
        once, passes = self.draw(decoder, np.arange(GRIDS), 1)
        many, _ = self.draw(decoder, self.chosen, SAMPLES)
        distances = [
            scoring.total_variation(some, self.exact, self.cells[number], self.hidden[number])
            for some, number in zip(many, self.chosen, strict=True)
        ]
        return {
            "passes": float(passes.mean()),
            "passes_95th_percentile": float(np.percentile(passes, 95)),
            "legal": scoring.legal_fraction(once, self.cells, self.hidden, self.prior),
            "total_variation": float(np.mean(distances)),
        }

    def draw(self, decoder: Decoder | None, which: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        cells, hidden = self.cells[which], self.hidden[which]
        if decoder is None:
            return self.exact.sample(cells, hidden, n, np.random.default_rng(SEED)), np.zeros(1)
        fills = filling.sample(self.predictor, Puzzles(cells, hidden), n, SEED, decoder)
        return fills.cells, fills.passes


def run(predictor: TrainedPredictor, path: Path) -> None:
    """Write the figures of every decoder to `path`, except those it already has of the same model."""
    result = {"model": predictor.header.hash, "seed": SEED, **circumstances(), "decoders": {}}
    if path.is_file() and (before := json.loads(path.read_text()))["model"] == result["model"]:
        result["decoders"] = before["decoders"]
    measure = Measure(predictor)
    result["open_puzzles"] = len(measure.chosen)
    for name, decoder in {"exact draws": None, **decoders()}.items():
        if name not in result["decoders"]:
            result["decoders"][name] = measure.figures(decoder)
            print(name, result["decoders"][name], file=sys.stderr, flush=True)
            path.write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="results/runs/squares-0/model.safetensors, after `toys.py squares`")
    keep_freed_memory()  # as the commands do
    run(checkpoint.load(parser.parse_args().model), RESULTS / "decoders.json")


if __name__ == "__main__":
    main()
