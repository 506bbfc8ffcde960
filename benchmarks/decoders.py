"""Passes against truth for every decoder: `python benchmarks/decoders.py MODEL PRIOR.json` writes docs/decoders.md.

Of fresh puzzles of the test law, every decoder draws each once (legal share, passes), and a few of them, whose exact
law has 2 to 6 bits, many times (total variation from the exact joint law, beside that of as many exact draws).
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from gridcloze import checkpoint, filling, scoring
from gridcloze.exact import ExactPosterior, posterior
from gridcloze.filling import ONE_AT_A_TIME, Decoder
from gridcloze.masking import test_law
from gridcloze.predictor import Cells, Hidden, Predictor
from gridcloze.priors import KnownPrior, make_toy

SEED = 2000
OPEN_BITS = (2.0, 6.0)
BUDGETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


def decoders() -> dict[str, Decoder]:
    """By the name that the table shows."""
    named = {
        "one at a time, random order": ONE_AT_A_TIME,
        "one at a time, most certain first": Decoder("certain", None),
    }
    for order in filling.ORDERS:
        named |= {f"{order}, {budget} bits": Decoder(order, budget) for budget in BUDGETS}
    return named | {
        f"uncertain, 0.1 bits, {several} at once": Decoder("uncertain", 0.1, several) for several in (2, 4, 8)
    }


def open_puzzles(exact: ExactPosterior, cells: Cells, hidden: Hidden, n: int) -> np.ndarray:
    """The first `n` puzzles whose exact joint law has an entropy within OPEN_BITS, estimated from draws."""
    found = []
    for number in range(len(cells)):
        grid, grid_hidden = cells[[number]], hidden[[number]]
        drawn = exact.sample(grid, grid_hidden, 200, np.random.default_rng(SEED))[0]
        bits = -exact.log_prob_bits(drawn, np.repeat(grid_hidden, 200, axis=0)).mean()
        if OPEN_BITS[0] <= bits <= OPEN_BITS[1]:
            found.append(number)
    return np.array(found[:n])


def measure(
    decoder: Decoder | None,
    predictor: Predictor,
    exact: ExactPosterior,
    prior: KnownPrior,
    cells: Cells,
    hidden: Hidden,
    chosen: np.ndarray,
    draws: int,
) -> dict[str, float]:
    """The figures of a decoder; of the exact answer's own draws where it is None."""
    began = time.perf_counter()
    if decoder is None:
        once = exact.sample(cells, hidden, 1, np.random.default_rng(SEED))
        passes = np.zeros(1)
        many = exact.sample(cells[chosen], hidden[chosen], draws, np.random.default_rng(SEED))
    else:
        fills = filling.sample(predictor, cells, hidden, 1, SEED, decoder)
        once, passes = fills.cells, fills.passes
        many = filling.sample(predictor, cells[chosen], hidden[chosen], draws, SEED, decoder).cells
    distances = [
        scoring.total_variation(some, exact, cells[number], hidden[number])
        for some, number in zip(many, chosen, strict=True)
    ]
    return {
        "passes": float(passes.mean()),
        "passes_p95": float(np.percentile(passes, 95)),
        "legal": scoring.legal_fraction(once, cells, hidden, prior),
        "total_variation": float(np.mean(distances)),
        "seconds": time.perf_counter() - began,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("prior", type=Path)
    parser.add_argument("--grids", type=int, default=1000)
    parser.add_argument("--open", type=int, default=10)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    prior = make_toy(**json.loads(options.prior.read_text()))
    exact, predictor = posterior(prior), checkpoint.load(options.model)
    generator = np.random.default_rng(SEED)
    cells = prior.sample(options.grids, generator)
    hidden = test_law(cells.shape, generator)
    chosen = open_puzzles(exact, cells, hidden, options.open)
    for name, decoder in {"exact draws": None, **decoders()}.items():
        if options.only in name:
            figures = measure(decoder, predictor, exact, prior, cells, hidden, chosen, options.draws)
            print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in figures.values()) + " |", flush=True)
    print(f"{len(chosen)} open puzzles", file=sys.stderr)


if __name__ == "__main__":
    main()
