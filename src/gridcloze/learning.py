"""From examples to a trained, calibrated model."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, cast

import torch

from .bert import Bert, BertConfig
from .calibrating import LEAST_GRIDS, calibrate
from .checkpoint import Header, TrainedPredictor
from .files.palettes import Palette
from .memory import refuse_beyond_memory
from .networks import NetworkPredictor
from .priors.examples import Examples
from .priors.posterior import Prior
from .priors.windows import Windows
from .side import Channel, as_of_model
from .training import BATCH_CELLS, BATCH_SIZE, Budget, Progress, Training, from_first, is_first, side_of
from .words import InputError, __version__

MOST_SEED = 2**64 - 1  # of torch


class Learnable(Prior, Protocol):
    """A prior that a model can be made from, such as `Examples` and `Windows`.

    Attributes
    ----------
    palette
        How the symbols look.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.files.palettes import Palette
    >>> from gridcloze.priors import Examples
    >>> learned, held_out = Examples(np.zeros((20, 4, 4), int), Palette.default(2)).split()
    >>> len(learned.cells), len(held_out.cells)
    (16, 4)
    """

    palette: Palette

    @property
    def record(self) -> dict[str, Any]:
        """What a model file says about the data."""
        ...

    def split(self) -> tuple[Prior, Examples]:
        """Split the grids into those to learn from and those to score with.

        Returns
        -------
        tuple of Prior and Examples
            The grids to learn from, and those that are held out.
        """
        ...


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
    tell: Callable[[str], None] = lambda line: None,
    start: TrainedPredictor | None = None,
) -> TrainedPredictor:
    """Train a model on examples, and calibrate it on those held out.

    Parameters
    ----------
    examples
        Where the grids come from.
    budget
        How long to train.
    seed
        The seed of all random numbers.
    depth
        The number of layers, from which the other sizes of the model follow; 6 by default.
    scale
        The side of a cell in the pictures of the examples, in pixels, for the header.
    report, state_path
        See `Training`.
    resume
        Whether to continue from the state in `state_path`, if there is one.
    more_record
        Called when the training is over; returns further entries of the training record in the header.
    tell
        Called with a line about what happens besides the steps.
    start
        A model whose weights, sizes and side maps it starts from; only the size of the grids may differ.

    Returns
    -------
    TrainedPredictor
        The model with its header.

    Raises
    ------
    InputError
        If the state to resume from is damaged, or belongs to other examples or options; if the seed is negative or
        has more than 64 bits; if the training needs more memory than there is; or if `start` does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.files.palettes import Palette
    >>> from gridcloze.learning import learn
    >>> from gridcloze.priors import Examples, Mirror
    >>> from gridcloze.training import Budget
    >>> examples = Examples(Mirror(2, 2).sample(40, np.random.default_rng(0)), Palette.default(2))
    >>> model = learn(examples, Budget(steps=2), depth=1, more_record=lambda: {"note": "a short training"})
    >>> model.header.training["steps"], model.header.training["note"]
    (2, 'a short training')
    """
    if not 0 <= seed <= MOST_SEED:
        raise InputError(f"the seed of a training must be 0…{MOST_SEED}, not {seed}")
    if start is not None and (side_of(examples) or start.side):
        examples = copy.copy(examples)
        cast(Any, examples).side = as_of_model(side_of(examples), start.side)
    config = _config(examples, depth, start)
    refuse_beyond_memory(_least_bytes(config), f"a training of depth {config.depth}")
    settings = {**examples.record, "seed": seed, **asdict(budget), "version": __version__}
    learned, held_out = examples.split()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Bert(config)
    if start is not None:
        settings["parent"] = start.header.hash
        _begin_from(model, start)
    settings_text = json.dumps({**settings, **_written(config)}, sort_keys=True)
    training = Training(
        model,
        learned,
        held_out.cells,
        budget,
        seed,
        report,
        state_path,
        settings_text,
        tell=tell,
        held_out_side=held_out.side,
    )
    progress = training.run(resume)
    if is_first():
        tell("calibrating")
    calibration = from_first(lambda: calibrate(model, held_out.cells, side=held_out.side))
    record = {
        **settings,
        "open": budget.is_open,
        "steps": progress.steps,
        "seconds": progress.seconds,
        "interrupted": progress.interrupted,
        "held_out_bits_per_hidden_cell": progress.held_out_bits_per_hidden_cell,
        "verdict": progress.verdict,
        "curve": progress.curve.to_json(),
        **more_record(),
    }
    windows = isinstance(examples, Windows)
    channels = _channels(examples)
    header = Header(_written(config), examples.palette, scale, record, calibration, windows=windows, side=channels)
    return TrainedPredictor(NetworkPredictor(model, calibration), header)


def _channels(examples: Learnable) -> tuple[Channel, ...]:
    side = side_of(examples)
    return side.channels if side else ()


def _written(config: BertConfig) -> dict[str, int]:
    """What a file says; of a model without side maps the same as before there were any."""
    return {name: value for name, value in asdict(config).items() if name != "side" or value}


def _config(examples: Learnable, depth: int | None, start: TrainedPredictor | None) -> BertConfig:
    channels = _channels(examples)
    if start is None:
        n_features = sum(channel.n_features for channel in channels)
        return BertConfig(
            examples.height, examples.width, examples.n_symbols, depth or BertConfig.depth, side=n_features
        )
    config = start.header.config
    if depth not in (None, config["depth"]):
        raise InputError(f"the model to start from has {config['depth']} layers: leave out the depth, or the model")
    if examples.palette != start.header.palette:
        raise InputError("the examples have other symbols than the model to start from")
    return BertConfig(**config | {"height": examples.height, "width": examples.width})


def _begin_from(model: Bert, start: TrainedPredictor) -> None:
    """Take over all weights; the table of positions only for grids of the same size, otherwise it begins with 0."""
    if not isinstance(start.base, NetworkPredictor):
        raise InputError("an exported model has no weights to start from: give the .safetensors file")
    weights = start.base.model.state_dict()
    if weights["position"].shape != model.position.shape:
        weights["position"] = torch.zeros_like(model.position)
    model.load_state_dict(weights)


def _least_bytes(config: BertConfig) -> int:
    """What a training needs at least: weights, gradients and moments, and what a batch leaves for its gradient."""
    cells = config.height * config.width
    grids = max(1, min(BATCH_SIZE, BATCH_CELLS // cells))
    weights = 4 * 12 * config.depth * config.embedding_size**2
    activations = 10 * config.depth * config.embedding_size * grids * cells // config.patch**2
    logits = LEAST_GRIDS * cells * config.n_symbols
    return 4 * (weights + activations + logits)
