"""A GPU next to the processor: `python benchmarks/gpu.py`; without a GPU it says so and ends.

step       seconds of a training step of the default model on grids of 32×32
fills      samples a second of grids of 32×32
agreement  the largest difference between probabilities of the GPU and of the processor, which must be at most 0.001

Results are in benchmarks/results/gpu-gpu.json, with the name of the card.
"""

import time

import numpy as np
import torch

from common import Figures, main
from gridcloze import filling
from gridcloze.bert import Bert, BertConfig
from gridcloze.networks import NetworkPredictor
from gridcloze.priors.finite import rectangles
from gridcloze.puzzles import Puzzles
from gridcloze.training import Budget, Progress, Training
from gridcloze.words import HIDDEN

SIDE, STEPS, GRIDS, LARGEST_DIFFERENCE = 32, 200, 256, 1e-3


def gpu() -> Figures:
    """Everything in one run."""
    prior = rectangles(SIDE, SIDE)
    grids = prior.sample(GRIDS, np.random.default_rng(0))
    model = Bert(BertConfig(SIDE, SIDE, 2))
    seconds: list[float] = []

    def report(progress: Progress) -> None:
        seconds.append(progress.seconds)

    Training(model, prior, grids, Budget(steps=STEPS), report=report).run()
    predictor = NetworkPredictor(model)
    hidden = np.random.default_rng(1).random(grids.shape) < 0.7
    puzzles = Puzzles(np.where(hidden, HIDDEN, grids))
    filling.sample(predictor, puzzles, 1)  # what is slow the first time
    began = time.monotonic()
    filling.sample(predictor, puzzles, 1, seed=1)
    fills = GRIDS / (time.monotonic() - began)
    on_gpu = predictor.marginals(grids, hidden)
    on_processor = NetworkPredictor(model.cpu(), precise=True).marginals(grids, hidden)
    difference = float(np.abs(on_gpu - on_processor).max())
    return {
        "card": torch.cuda.get_device_name(),
        "seconds_a_step": float(np.median(np.diff(seconds[STEPS // 2 :]))),
        "fills_a_second": fills,
        "largest_difference": difference,
        "agrees": difference <= LARGEST_DIFFERENCE,
    }


if __name__ == "__main__":
    if torch.cuda.is_available():
        main({"gpu": gpu}, __doc__)
    else:
        print("skipped: torch finds no GPU on this machine")
