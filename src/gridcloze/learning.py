"""From examples to a trained, calibrated model."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch

from .bert import Bert, BertConfig
from .calibrating import calibrate
from .checkpoint import Header, TrainedPredictor
from .files.palettes import Palette
from .networks import NetworkPredictor
from .priors.examples import Examples
from .priors.posterior import Prior
from .priors.windows import Windows
from .training import Budget, Progress, Training
from .words import __version__


class Learnable(Prior, Protocol):
    """A prior that a model is made from: its palette, what a model file says of it, and a part that is held out."""

    palette: Palette

    @property
    def record(self) -> dict[str, Any]: ...

    def split(self) -> tuple[Prior, Examples]: ...


def learn(
    examples: Learnable,
    budget: Budget,
    seed: int = 0,
    depth: int | None = None,
    scale: int = 1,
    report: Callable[[Progress], None] = lambda progress: None,
    state_path: Path | None = None,
    resume: bool = False,
    more_record: Callable[[], Mapping[str, Any]] = dict,
) -> TrainedPredictor:
    """Train a model on examples and calibrate it on those held out; see `training.Training` for what it raises."""
    config = BertConfig(examples.height, examples.width, examples.n_symbols, depth or BertConfig.depth)
    settings = {**examples.record, "seed": seed, **asdict(budget), "version": __version__}
    learned, held_out = examples.split()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Bert(config)
    settings_text = json.dumps({**settings, **asdict(config)}, sort_keys=True)
    progress = Training(model, learned, held_out.cells, budget, seed, report, state_path, settings_text).run(resume)
    calibration = calibrate(model, held_out.cells)
    record = {
        **settings,
        "steps": progress.steps,
        "seconds": progress.seconds,
        "interrupted": progress.interrupted,
        "held_out_bits_per_hidden_cell": progress.held_out_bits_per_hidden_cell,
        **more_record(),
    }
    windows = isinstance(examples, Windows)
    header = Header(asdict(config), examples.palette, scale, record, calibration, windows=windows)
    return TrainedPredictor(NetworkPredictor(model, calibration), header)
