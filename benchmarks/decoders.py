"""Passes against truth for every decoder, on squares: `python benchmarks/decoders.py MODEL` writes docs/decoders.md.

Of fresh puzzles of the test law every decoder draws each once (passes, legal share), and a few, whose exact joint law
has an entropy of 2 to 6 bits, many times (total variation from that law, beside that of as many exact draws).
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
GRIDS, OPEN_PUZZLES, DRAWS = 1000, 10, 500
OPEN_BITS = (2.0, 6.0)
BUDGETS = (0.01, 0.05, 0.1, 0.3, 1.0, 3.0)
PAGE = Path(__file__).parent.parent / "docs" / "decoders.md"


def decoders() -> dict[str, Decoder]:
    """By the name that the table shows."""
    named = {"one random cell": ONE_AT_A_TIME}
    for order in ORDERS:
        named |= {f"{order}, {budget:g} bits": Decoder(order, budget) for budget in BUDGETS}
    named |= {f"uncertain, 0.1 bits, {n} at once": Decoder("uncertain", 0.1, n) for n in (2, 4, 8)}
    return named | {"one cell, most certain first": Decoder("certain", None)}


def open_puzzles(exact: ExactPosterior, cells: Cells, hidden: Hidden) -> np.ndarray:
    """The first puzzles whose exact joint law has an entropy within OPEN_BITS, estimated from draws."""
    found = []
    for number in range(len(cells)):
        grid, grid_hidden = cells[[number]], hidden[[number]]
        drawn = exact.sample(grid, grid_hidden, 100, np.random.default_rng(SEED))[0]
        bits = -exact.log_prob_bits(drawn, np.repeat(grid_hidden, 100, axis=0)).mean()
        if OPEN_BITS[0] <= bits <= OPEN_BITS[1]:
            found.append(number)
        if len(found) == OPEN_PUZZLES:
            break
    return np.array(found)


class Measure:
    """What is asked of every decoder."""

    def __init__(self, predictor: Predictor):
        self.predictor, self.prior = predictor, squares(16, 16)
        self.exact = posterior(self.prior)
        generator = np.random.default_rng(SEED)
        self.cells = self.prior.sample(GRIDS, generator)
        self.hidden = evaluation_hiding(self.cells.shape, generator)
        self.chosen = open_puzzles(self.exact, self.cells, self.hidden)

    def figures(self, decoder: Decoder | None) -> dict[str, float]:
        """Of the exact answer's own draws where the decoder is None."""
        once, passes = self.draw(decoder, np.arange(GRIDS), 1)
        many, _ = self.draw(decoder, self.chosen, DRAWS)
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


def page(result: dict) -> str:
    """The table in Markdown, with what it is."""
    reference = result["decoders"]["one random cell"]["total_variation"]
    default = f"{DEFAULT_DECODER.order}, {DEFAULT_DECODER.budget_bits:g} bits"
    lines = [
        "# Decoders: passes against truth",
        "",
        f"Written by `python benchmarks/decoders.py MODEL` (commit {result['commit']}) with the model of",
        "`python benchmarks/toys.py squares`, seed 0: squares 16×16, trained for 5 minutes. An order says which hidden",
        "cells come first; a pass also reveals the cells of least entropy that have together at most the budget.",
        "*Passes* and *legal* (members of the prior that agree with the visible cells) are over",
        f"{GRIDS} puzzles of the test law, one draw each (legal: ±0.7 %); *TV* is the total variation of {DRAWS} draws",
        f"from the exact joint law, mean of {result['open_puzzles']} puzzles whose law has an entropy of",
        f"{OPEN_BITS[0]:g} to {OPEN_BITS[1]:g} bits; the last column compares it with one random cell a pass.",
        f"The default is “{default}”.",
        "",
        "| decoder | passes, mean | 95th percentile | legal | TV | TV ÷ one random cell |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in result["decoders"].items():
        shown = f"**{name}**" if name == default else name
        lines.append(
            f"| {shown} | {row['passes']:.1f} | {row['passes_95th_percentile']:.0f} | {row['legal']:.1%} | "
            f"{row['total_variation']:.3f} | {row['total_variation'] / reference:.2f} |"
        )
    return "\n".join(lines) + "\n"


def run(predictor: TrainedPredictor, path: Path) -> None:
    """Write the figures of every decoder to `path`, but for those that it has of the same model."""
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
    parser.add_argument("model", type=Path, nargs="?", help="without it the page is written from the last result")
    options = parser.parse_args()
    path = RESULTS / "decoders.json"
    if options.model:
        keep_freed_memory()  # as the commands do
        run(checkpoint.load(options.model), path)
    PAGE.write_text(page(json.loads(path.read_text())))


if __name__ == "__main__":
    main()
