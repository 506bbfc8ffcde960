"""Runs one tool in its own environment: `python job.py NAME JOB ANSWER`, where NAME/run.py knows the tool.

JOB is an npz file with `training_image` (height, width), `cells` (grid, height, width; -1 is to be simulated) and
`settings`, a JSON object with `method`, `n_samples`, `seed` and what the tool itself is to be told; perhaps `soft`
(grid, height, width, symbol), a probability that is known of each cell. ANSWER gets
`samples` (grid, sample, height, width), `seconds` (grid) that all samples of a grid took, and `peak_mebibytes`.

It needs NumPy only: of this project nothing is installed there.
"""

import importlib
import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(name: str, job: str, answer: str) -> None:
    sys.path.insert(0, str(Path(__file__).parent / name))
    run = importlib.import_module("run")
    with np.load(job) as given:
        training_image, cells, settings = given["training_image"], given["cells"], json.loads(str(given["settings"]))
        soft = [{"soft": one} for one in given["soft"]] if "soft" in given else [{}] * len(cells)
    grids = enumerate(zip(cells, soft, strict=True))
    answers = [run.simulate(training_image, grid, seed_of(settings, number), **more) for number, (grid, more) in grids]
    samples, seconds = zip(*answers, strict=True)
    used = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    np.savez(answer, samples=np.stack(samples), seconds=seconds, peak_mebibytes=max(used) / 1024)


def seed_of(settings: dict[str, Any], number: int) -> dict[str, Any]:
    """The settings for one grid, which has a seed of its own."""
    return {**settings, "seed": settings["seed"] + number}


if __name__ == "__main__":
    main(*sys.argv[1:])
