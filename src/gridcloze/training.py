"""The training loop: it knows no model, so anything with tokens in, logits out and `n_symbols` can be trained."""

import atexit
import contextlib
import copy
import functools
import hashlib
import json
import math
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list
from jaxtyping import Float, Int
from numpy.lib.stride_tricks import sliding_window_view
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from .curve import CURVE, GAIN, Curve, Score, is_due, verdict
from .files import notes as forms
from .files.paths import atomic_write
from .logits import Features
from .muon import Muon
from .networks import bf16_pays, on_device
from .predictor import tokens_of
from .priors.hiding import evaluation_hiding, training_hiding, window_hiding
from .priors.posterior import Prior
from .priors.windows import Windows
from .shapes import Cells, Hidden
from .side import Side, SideMaps, encoded
from .words import InputError

Weights = Float[np.ndarray, " batch"]  # what each hidden cell of a grid counts in the loss

BATCH_SIZE, BATCH_CELLS = 64, 2**17  # grids of a step, and cells at most
MUON_LEARNING_RATE = 0.01
ADAMW_LEARNING_RATE = 0.002
CELL_LEARNING_RATE = 0.01  # of the path from cell to cell: it learns before few examples are known by heart (LOG.md)
WARM_UP_STEPS = 100
LAST_RATE = 0.02  # the share of the learning rate that its linear decay ends at
LARGEST_GRADIENT_NORM = 1.0
LEAST_IN_POOL = 1024  # examples; fewer rarely agree with any grid
MOST_IN_POOL, POOL_VALUES = 8192, 2**22  # one-hot values; comparing grids with them costs a few percent of a step
STEPS_OF_A_POOL = 50  # then other examples are drawn
COOLING = 0.3  # the share of a training without a length in which the learning rate falls; before, it is constant
AVERAGE = 12  # the mean of the weights reaches back over about a twelfth of the steps
MOST_MINUTES_UNASKED = 60.0
DROPOUT_STEP, MOST_DROPOUT = 0.1, 0.4
DECAY_OF_DROPOUT = 2.5  # weight decay of matrices for each unit of dropout
CROPS_OF_DROPOUT, MOST_CROPPED = 4.0, 0.8  # the share of batches that show a part of each grid, for a unit of dropout
SMALLEST_CROP = 0.5  # of the height and of the width
PERMUTED_OF_DROPOUT, MOST_PERMUTED = 2.0, 0.6  # the share of grids whose symbols change their parts, for a unit
LEAST_SCORED, SCORED_CELLS = 64, 2**18  # grids at least, and cells about, that a score is the mean of
UNKNOWN_SIDE = 0.1  # of the grids have each side map unknown, and as many all of them
SECONDS_BETWEEN_SAVES = 30.0
MOST_MINUTES, MOST_STEPS = 366 * 24 * 60, 10**9
NOTES = "gridcloze"  # the entry of a state that holds its notes and its hash
NOTES_OF_A_STATE: forms.Form = {
    "settings": forms.text(),
    "steps": forms.whole(0, MOST_STEPS),
    "seconds": forms.number(0, 60 * MOST_MINUTES),
    "training": forms.one_of(None, forms.number(0, 1e300)),
    "cooled_from": forms.one_of(None, forms.whole(1, MOST_STEPS)),
    "dropout": forms.number(0, MOST_DROPOUT),
    "curve": CURVE,
}
Parts = Int[np.ndarray, "batch part_height part_width"]
STOPPING = "stopping: the model is being finished; Ctrl-C again stops at once"


@dataclass(frozen=True)
class Budget:
    """How long to train: minutes, steps, or until held-out bits stop falling, an hour at most.

    Parameters
    ----------
    minutes
        The time of the training.
    steps
        The number of steps; a training given in steps can be repeated exactly.

    Raises
    ------
    InputError
        If both are given, or the number is not positive, or is above a year or a billion steps.

    Examples
    --------
    >>> from gridcloze.training import Budget
    >>> Budget(steps=200)
    Budget(minutes=None, steps=200)
    >>> Budget(minutes=1.0, steps=200)
    Traceback (most recent call last):
    ...
    gridcloze.words.InputError: give the length of the training in minutes or in steps, one of the two
    """

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.is_open:
            return
        if self.minutes is not None and self.steps is not None:
            raise InputError("give the length of the training in minutes or in steps, one of the two")
        length, most = (self.minutes, MOST_MINUTES) if self.steps is None else (self.steps, MOST_STEPS)
        if not 0 < cast(float, length) <= most:  # refuses NaN too
            unit = "minutes" if self.steps is None else "steps"
            raise InputError(f"the length of the training must be more than 0 and at most {most} {unit}")

    @property
    def is_open(self) -> bool:
        """Whether the training ends when it is done."""
        return self.minutes is None and self.steps is None

    def share_used(self, steps: int, seconds: float) -> float:
        """Return how much of the budget is used.

        Parameters
        ----------
        steps
            The steps so far.
        seconds
            The time so far.

        Returns
        -------
        float
            0 at the start of a training, 1 when it is over.
        """
        return min(1.0, steps / self.steps if self.steps else seconds / (60 * (self.minutes or MOST_MINUTES_UNASKED)))


@dataclass
class Progress:
    """How far a training is.

    Parameters
    ----------
    steps
        The steps so far.
    seconds
        The time so far.
    share
        The share of the budget that is used.
    bits_per_hidden_cell
        A running mean of the score of training batches.
    grids_per_second
        A running mean of the speed.
    interrupted
        Whether Ctrl-C ended the training early.
    cooled_from
        Of a training without a length, the step from which the learning rate falls; None before.
    dropout
        The share that is dropped from each half of a layer.
    curve
        The scores so far.

    Examples
    --------
    >>> from gridcloze.training import Progress
    >>> Progress().steps
    0
    """

    steps: int = 0
    seconds: float = 0.0
    share: float = 0.0
    bits_per_hidden_cell: float = float("nan")
    grids_per_second: float = float("nan")
    interrupted: bool = False
    cooled_from: int | None = None
    dropout: float = 0.0
    curve: Curve = field(default_factory=Curve)

    @property
    def held_out_bits_per_hidden_cell(self) -> float:
        """The best score of the held-out grids, whose hidden cells are those of `evaluation_hiding`; NaN before it."""
        return self.curve.best.held_out if self.curve.best else float("nan")

    @property
    def verdict(self) -> str:
        """What the training came to, in a line."""
        return verdict(self.curve, self.cooled_from, self.interrupted)


@dataclass
class Training:
    """The training of one model, which keeps the weights that do best on held-out grids.

    Weights are averaged over the last steps, and those averages are scored, ever more seldom. The learning rate falls
    linearly; in a training without a length it is constant until held-out bits stop falling. When held-out bits rise,
    the training goes back to its best weights and drops more of each layer, with weight decay in proportion: as much
    regularisation as the data ask for. With it, grids are cut and their symbols exchanged; see `training_batch`.

    With a budget in steps, the same seed gives the same weights. A killed run that is resumed ends with the weights of
    a run that was never killed. Started by `torchrun` or `accelerate launch`, several processes share each batch: their
    number changes the result by rounding alone. The first process reports and saves.

    Parameters
    ----------
    model
        What is trained: a network with `n_symbols` that turns tokens into logits.
    examples
        Where the grids come from.
    held_out
        Grids of shape (n, height, width) that are scored on the way.
    budget
        How long to train.
    seed
        The seed of all random numbers.
    report
        A function that is called with the progress before the first step and after every step.
    state_path
        The file in which the state is saved every 30 seconds and at the end, and from which a run resumes. It is for
        those who write the model to remove it when they have. With such a file, SIGTERM ends a training as Ctrl-C does.
    settings
        Names the data and the settings; a state that was saved under other settings is refused.
    progress
        Where the training starts.
    tell
        A function that is called with a line about what happens: Ctrl-C, or a state that could not be saved.
    held_out_side
        The side maps of the grids in `held_out`, if the examples have such.

    Notes
    -----
    Means of weights whose reach is a share of the steps: Karras et al. 2024, arXiv:2312.02696, eq. 1. A constant rate
    that falls at the end: Hägele et al. 2024, arXiv:2405.18392.

    Examples
    --------
    >>> import torch
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.priors import squares
    >>> from gridcloze.training import Budget, Training
    >>> prior = squares(4, 4, smallest=2, largest=3)
    >>> model = Bert(BertConfig(4, 4, n_symbols=2, depth=1))
    >>> Training(model, prior, prior.members.astype(int), Budget(steps=2)).run().steps
    2
    """

    model: nn.Module
    examples: Prior
    held_out: Cells
    budget: Budget
    seed: int = 0
    report: Callable[[Progress], None] = lambda progress: None
    state_path: Path | None = None
    settings: str = ""
    progress: Progress = field(default_factory=Progress)
    tell: Callable[[str], None] = lambda line: None
    held_out_side: SideMaps | None = None
    pool: "Pool | None" = field(default=None, init=False)
    unsaved: bool = field(default=False, init=False)

    def run(self, resume: bool = False) -> Progress:
        """Train until the budget is used up or Ctrl-C is pressed; the model can be used after either.

        Parameters
        ----------
        resume
            Whether to continue from the state in `state_path`, if there is one.

        Returns
        -------
        Progress
            How far the training came.

        Raises
        ------
        InputError
            If the state is damaged or was saved under other settings, the loss is no finite number any more, or another
            process of the training ends.
        """
        accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(), mixed_precision="bf16" if bf16_pays() else "no"
        )
        if not is_first():
            self.report, self.tell = lambda progress: None, lambda line: None
        self.optimizers = make_optimizers(self.model.to(accelerator.device))
        self.averaged, self.best = copy.deepcopy(self.model).eval(), copy.deepcopy(self.model.state_dict())
        with self._stoppable() as stop:
            if resume and self.state_path is not None and self.state_path.exists():
                self._restore(self.state_path)
            with _all_there():
                model, *optimizers = accelerator.prepare(self.model, *self.optimizers)
                self._loop(accelerator, model, optimizers, stop)
            accelerator.unwrap_model(model, keep_fp32_wrapper=False).eval()
            self._save()
        self.progress.interrupted = self.progress.share < 1
        scores = self.progress.curve.scores
        if not scores or scores[-1].steps < self.progress.steps:
            self._score()
        self.model.load_state_dict(self.best)
        return self.progress

    def _loop(
        self, accelerator: Accelerator, model: nn.Module, optimizers: Sequence[Optimizer], stop: threading.Event
    ) -> None:
        model.train()
        progress, start = self.progress, time.monotonic() - self.progress.seconds
        saved = progress.seconds
        self.report(progress)
        while progress.share < 1 and not any(summed(stop.is_set())):
            began = time.monotonic()
            grids, nats = self._step(accelerator, model, optimizers)
            seconds = (time.monotonic() - start) * is_first()  # all go by one clock
            nats, progress.seconds = summed(nats, seconds)
            self._note(float(nats / np.log(2)), grids / (time.monotonic() - began))
            progress.steps += 1
            if is_due(progress.steps):
                self._score()
                self._react()
            progress.share = self._share()
            if progress.seconds - saved > SECONDS_BETWEEN_SAVES:
                self._save()
                saved = progress.seconds
            self.report(progress)

    def _share(self) -> float:
        """How much of the training is done, and from when on its learning rate falls."""
        progress = self.progress
        share = self.budget.share_used(progress.steps, progress.seconds)
        if self.budget.is_open and progress.cooled_from is None and share >= 1 - COOLING:
            progress.cooled_from = progress.steps
        if progress.cooled_from is not None:
            share = max(share, (1 - COOLING) * progress.steps / progress.cooled_from)
        return min(1.0, share)

    def _score(self) -> None:
        """Score the averaged weights, and keep them if they are the best."""
        progress = self.progress
        held_out = _held_out_bits(self.averaged, self.held_out, self.held_out_side)
        if not np.isfinite(held_out):
            raise self._diverged()
        is_best = progress.curve.best is None or held_out < progress.curve.best.held_out
        progress.curve.scores.append(
            Score(progress.steps, float(progress.bits_per_hidden_cell), held_out, progress.dropout)
        )
        if is_best:
            self.best = copy.deepcopy(self.averaged.state_dict())

    def _react(self) -> None:
        """Go back to the best weights where held-out bits rise, and drop more; begin to end an open training."""
        progress = self.progress
        rises = progress.curve.rises and hasattr(self.model, "set_dropout")
        if rises:
            for model in (self.model, self.averaged):
                model.load_state_dict(self.best)
        if progress.share >= 1 - COOLING:
            return
        if rises and progress.dropout < MOST_DROPOUT:
            self._regularise(round(progress.dropout + DROPOUT_STEP, 2))
        elif self.budget.is_open and progress.curve.gain < GAIN:
            progress.cooled_from = progress.steps

    def _regularise(self, dropout: float) -> None:
        self.progress.dropout = dropout
        for group in self.optimizers[-1].param_groups:  # Muon, of the layers
            group["weight_decay"] = DECAY_OF_DROPOUT * dropout

    def _step(self, accelerator: Accelerator, model: nn.Module, optimizers: Sequence[Optimizer]) -> tuple[int, float]:
        """Learn from a batch, of which each process has a part; the number of its grids, and the loss of the part."""
        generator = np.random.default_rng([self.seed, self.progress.steps])
        cells, hidden, side = training_batch(self.examples, generator, self.progress.dropout)
        grids, weights, parts = len(cells), weights_of_grids(hidden & (cells >= 0)), accelerator.num_processes
        if parts > grids:
            raise InputError(f"a step has {grids} grids for {parts} processes: start {grids} or fewer")
        part = slice(accelerator.process_index, grids, parts)
        cells, hidden, weights, side = cells[part], hidden[part], weights[part], None if side is None else side[part]
        if self.progress.dropout:
            self.pool = None  # it would bring back what is known by heart
        elif self.pool is None or self.progress.steps % STEPS_OF_A_POOL == 0:
            self.pool = self._new_pool(accelerator.device)
        targets = self.pool.targets(cells, hidden) if self.pool else None
        with torch.random.fork_rng(enabled=self.progress.dropout > 0):
            if self.progress.dropout:  # a resumed run drops the same
                cast(Any, self.model).set_dropout(self.progress.dropout, part)
                torch.manual_seed((self.seed * MOST_STEPS + self.progress.steps) % 2**64)
            loss = cross_entropy(model, cells, hidden, targets, weights, side)
        accelerator.backward(loss * parts)  # of whose gradients the mean is taken
        accelerator.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT_NORM)
        rate = self._learning_rate_share()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["full_learning_rate"]
            optimizer.step()
            optimizer.zero_grad()
        self._average()
        return grids, loss.item()

    def _note(self, bits: float, speed: float) -> None:
        if not np.isfinite(bits):
            raise self._diverged()
        self.progress.bits_per_hidden_cell = _running_mean(self.progress.bits_per_hidden_cell, bits)
        self.progress.grids_per_second = _running_mean(self.progress.grids_per_second, speed)

    @torch.no_grad()
    def _average(self) -> None:
        new = 1 - (1 - 1 / (self.progress.steps + 1)) ** AVERAGE
        for average, weights in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
            average.lerp_(weights, new)

    def _learning_rate_share(self) -> float:
        """The learning rate as a share of its largest: up over the first steps, and down to the end."""
        down = (1 - self.progress.share) / (COOLING if self.budget.is_open else 1)
        return min(1.0, (self.progress.steps + 1) / WARM_UP_STEPS) * max(LAST_RATE, min(1.0, down))

    def _new_pool(self, device: torch.device) -> "Pool | None":
        """A pool that follows from seed and step, so that a resumed run has the same.

        None for grids of many cells, and with side maps, which say more than that other examples agree.
        """
        if side_of(self.examples):
            return None
        generator = np.random.default_rng([self.seed, self.progress.steps // STEPS_OF_A_POOL, POOL_VALUES])
        n_symbols = cast(int, self.model.n_symbols)
        values = self.examples.height * self.examples.width * n_symbols
        n = min(MOST_IN_POOL, POOL_VALUES // values)
        return Pool(self.examples.sample(n, generator), n_symbols, device) if n >= LEAST_IN_POOL else None

    def _diverged(self) -> InputError:
        return InputError(
            f"the training diverged after {self.progress.steps} steps, its numbers are finite no more: "
            "train with another seed, or with fewer layers"
        )

    def _save(self) -> None:
        """Save the state, never one that is of no use; that a disk is full is told once, and ends no training."""
        if not all(bool(value.isfinite().all()) for value in self.model.state_dict().values()):
            raise self._diverged()
        if self.state_path is None or not is_first():
            return
        notes = {
            "settings": self.settings,
            "steps": self.progress.steps,
            "seconds": self.progress.seconds,
            "training": None if np.isnan(self.progress.bits_per_hidden_cell) else self.progress.bits_per_hidden_cell,
            "cooled_from": self.progress.cooled_from,
            "dropout": self.progress.dropout,
            "curve": self.progress.curve.to_json(),
        }
        text, tensors = json.dumps(notes), dict(self._tensors())
        content = save(tensors, {NOTES: json.dumps([text, _hash(text, tensors)])})
        try:
            with atomic_write(self.state_path) as partial:
                partial.write_bytes(content)
        except (OSError, InputError) as error:
            if not self.unsaved:
                self.tell(f"the state of the training could not be saved ({getattr(error, 'strerror', 0) or error})")
            self.unsaved = True

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that changes from step to step; the batches follow from seed and step."""
        weights = {"model": self.model.state_dict(), "averaged": self.averaged.state_dict(), "best": self.best}
        for kind, state_dict in weights.items():
            for name, value in state_dict.items():
                yield f"{kind}/{name}", value.detach().cpu().contiguous()
        for number, optimizer in enumerate(self.optimizers):
            for parameter, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    yield f"optimizer/{number}/{parameter}/{name}", value.detach().cpu().contiguous()

    def _restore(self, path: Path) -> None:
        notes, tensors = _read_state(path)
        if notes["settings"] != self.settings:
            line = f"{path} was saved with other examples or options: use the same ones, or start anew with --overwrite"
            raise InputError(line)
        if notes["steps"]:
            self._prepare_optimizers()
        shapes = ({name: value.shape for name, value in found} for found in (self._tensors(), tensors.items()))
        if next(shapes) != next(shapes):
            raise _damaged(path, "its tensors are not those of this training")
        weights = {kind: _under(f"{kind}/", tensors) for kind in ("model", "averaged", "best")}
        self.model.load_state_dict(weights["model"])
        self.averaged.load_state_dict(weights["averaged"])
        self.best = weights["best"]
        for number, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                kind, *path_in_state = name.split("/")
                if kind == "optimizer" and int(path_in_state[0]) == number:
                    state.setdefault(int(path_in_state[1]), {})[path_in_state[2]] = value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.progress.steps, self.progress.seconds = notes["steps"], float(notes["seconds"])
        self.progress.bits_per_hidden_cell = np.nan if notes["training"] is None else notes["training"]
        self.progress.cooled_from, self.progress.curve = notes["cooled_from"], Curve.from_json(notes["curve"])
        if notes["dropout"]:
            self._regularise(notes["dropout"])
        self.progress.share = self._share()

    def _prepare_optimizers(self) -> None:
        """Make a step without gradients, after which the optimizers have all that a state has of them."""
        for parameter in self.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    @contextlib.contextmanager
    def _stoppable(self) -> Iterator[threading.Event]:
        """Let Ctrl-C set a flag, so that no step is cut in two; a second Ctrl-C stops at once."""
        flag = threading.Event()
        if threading.current_thread() is not threading.main_thread():
            yield flag
            return
        numbers = [signal.SIGINT] if self.state_path is None else [signal.SIGINT, signal.SIGTERM]
        before = {number: signal.getsignal(number) for number in numbers}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def handle(*_: object) -> None:
            flag.set()
            if processes().num_processes == 1:  # what starts several passes signals on, and ends them after a while
                restore()
            threading.Thread(target=self.tell, args=(STOPPING,)).start()  # what it cuts short may be printing itself

        for number in numbers:
            signal.signal(number, handle)
        try:
            yield flag
        finally:
            restore()


def side_of(examples: Prior) -> SideMaps | None:
    """Return the side maps of examples.

    Parameters
    ----------
    examples
        A prior, known by examples or not.

    Returns
    -------
    SideMaps or None
        None if they have none.

    Examples
    --------
    >>> from gridcloze.priors import squares
    >>> side_of(squares()) is None
    True
    """
    return getattr(examples, "side", None)


def training_batch(
    examples: Prior, generator: np.random.Generator, dropout: float = 0.0
) -> tuple[Cells, Hidden, Features | None]:
    """Draw the grids of one step, and which of their cells are hidden.

    Parameters
    ----------
    examples
        Where the grids come from.
    generator
        The source of all random numbers.
    dropout
        What is dropped of the model while it learns. In proportion, batches show a part of each grid only, and grids
        of three or more symbols have these exchanged at random: what can be learned there holds at any place and for
        any symbol, and is not the grids themselves. Symbols with side maps, which name them, are not exchanged.

    Returns
    -------
    tuple of ndarray
        64 grids, or fewer if they are large, their hidden cells by `training_hiding`, or by `window_hiding` for
        `Windows`, and the features of their side maps. Each map is unknown in one grid of ten, and all are in another
        tenth, so that a model knows what to do without.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.priors import Mirror
    >>> from gridcloze.training import training_batch
    >>> cells, hidden, side = training_batch(Mirror(8, 8), np.random.default_rng(0))
    >>> cells.shape, hidden.shape, side
    ((64, 8, 8), (64, 8, 8), None)
    """
    n = max(1, min(BATCH_SIZE, BATCH_CELLS // (examples.height * examples.width)))
    maps, side = side_of(examples), None
    if maps is None:
        cells = examples.sample(n, generator)
    else:
        cells, side = cast(Any, examples).sample_with_side(n, generator)
    if dropout and generator.random() < min(MOST_CROPPED, CROPS_OF_DROPOUT * dropout):
        cells, side = _parts(cells, side, generator)
    if dropout and side is None:
        cells = _exchanged(cells, examples.n_symbols, dropout, generator)
    hidden = (window_hiding if isinstance(examples, Windows) else training_hiding)(cells.shape, generator)
    if maps is None or side is None:
        return cells, hidden, None
    return cells, hidden, encoded(maps.channels, _partly_unknown(side, generator))


def _partly_unknown(side: Side, generator: np.random.Generator) -> Side:
    share = np.where(generator.random((len(side), 1)) < UNKNOWN_SIDE, 1.0, UNKNOWN_SIDE)
    unknown = generator.random((len(side), side.shape[-1])) < share
    return np.where(unknown[:, None, None], np.float32(np.nan), side)


def _exchanged(cells: Cells, n_symbols: int, dropout: float, generator: np.random.Generator) -> Cells:
    """Grids of which some have other symbols, the more often the more is dropped."""
    if n_symbols == 2:  # one is not like the other, such as ink and paper
        return cells
    symbols = np.tile(np.append(np.arange(n_symbols), -1), (len(cells), 1))
    permuted = generator.random(len(cells)) < min(MOST_PERMUTED, PERMUTED_OF_DROPOUT * dropout)
    symbols[permuted, :-1] = generator.permuted(symbols[permuted, :-1], axis=1)
    return symbols[np.arange(len(cells))[:, None, None], cells]


def _parts(cells: Cells, side: Side | None, generator: np.random.Generator) -> tuple[Parts, np.ndarray | None]:
    """A part of each grid and of its side maps, all of one size and each from another place."""
    n, *size = cells.shape
    height, width = (int(generator.integers(math.ceil(SMALLEST_CROP * whole), whole + 1)) for whole in size)
    places = sliding_window_view(cells, (height, width), axis=(1, 2))
    rows, columns = (generator.integers(0, of_side, n) for of_side in places.shape[1:3])
    parts = places[np.arange(n), rows, columns].copy()
    if side is not None:
        of_side = sliding_window_view(side, (height, width), axis=(1, 2))
        side = np.moveaxis(of_side[np.arange(n), rows, columns], 1, -1)
    return parts, side


class Pool:
    """Examples that serve as targets of every grid with whose visible cells they agree.

    A grid whose visible cells are all that is known could as well be any other example that agrees with them. So the
    mean of all that agree is as right a target as the grid itself, with less noise: the loss has the same expectation,
    and its gradient less variance (the Rao–Blackwell theorem). Where no other example agrees, nothing changes.

    Parameters
    ----------
    cells
        The examples; those with unknown cells are left out.
    n_symbols
        The number of symbols.
    device
        Where the targets are computed.

    Examples
    --------
    Two of three examples agree with the first cell of the grid, which counts once more itself:

    >>> import numpy as np
    >>> import torch
    >>> from gridcloze.training import Pool
    >>> pool = Pool(np.array([[[0, 0]], [[1, 0]], [[1, 1]]]), n_symbols=2, device=torch.device("cpu"))
    >>> pool.targets(np.array([[[1, 1]]]), np.array([[[False, True]]]))
    tensor([[[[0.0000, 1.0000],
              [0.3333, 0.6667]]]])
    """

    def __init__(self, cells: Cells, n_symbols: int, device: torch.device):
        whole = torch.from_numpy(cells[(cells >= 0).all(axis=(1, 2))]).to(device)
        # Whether a sum is 0 is exact in bfloat16 too; counts above 256 are rounded, by at most 0.4 %.
        dtype = torch.bfloat16 if bf16_pays() else torch.float32
        self.n_symbols = n_symbols
        self.one_hot = F.one_hot(whole.long(), n_symbols).flatten(1).to(dtype)

    def targets(self, cells: Cells, hidden: Hidden) -> Float[Tensor, "batch height width symbol"]:
        """Return the distribution of each cell among the examples that agree with a grid, and the grid itself.

        Parameters
        ----------
        cells
            The grids; -1 stands for an unknown cell, which agrees with every symbol.
        hidden
            True where a cell is hidden.

        Returns
        -------
        Tensor
            The targets of `cross_entropy`.
        """
        symbols = torch.from_numpy(cells).to(self.one_hot.device)
        own = symbols[..., None] == torch.arange(self.n_symbols, device=symbols.device)
        visible = torch.from_numpy(~hidden & (cells >= 0)).to(symbols.device)
        other = (visible[..., None] & ~own).flatten(1).to(self.one_hot.dtype)
        agree = (other @ self.one_hot.T == 0).to(self.one_hot.dtype)
        counts = (agree @ self.one_hot).float().view(own.shape) + own
        return counts / counts.sum(-1, keepdim=True).clamp(min=1)


def cross_entropy(
    model: nn.Module,
    cells: Cells,
    hidden: Hidden,
    targets: Tensor | None = None,
    weights: Weights | None = None,
    side: Features | None = None,
) -> Tensor:
    """Return the mean cross-entropy of the hidden cells; unknown cells are always hidden and never scored.

    Parameters
    ----------
    model
        A network with `n_symbols` that turns tokens into logits.
    cells
        The grids; -1 stands for an unknown cell.
    hidden
        True where a cell is hidden.
    targets
        Distributions of the cells, with an axis for the symbols; by default certainty of what `cells` holds.
    weights
        What each hidden cell of a grid counts; by default all the same, and 1 together.
    side
        The features of the side maps, for a model that has such.

    Returns
    -------
    Tensor
        A number, in nats per hidden cell.

    Examples
    --------
    An untrained model gives two symbols the same probability, and pays log 2 for each hidden cell:

    >>> import numpy as np
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.training import cross_entropy
    >>> model = Bert(BertConfig(4, 4, n_symbols=2, depth=1))
    >>> cross_entropy(model, np.ones((1, 4, 4), int), np.ones((1, 4, 4), bool)).item()
    0.693
    """
    unknown, device = cells < 0, next(model.parameters()).device
    n_symbols = cast(int, getattr(model, "module", model).n_symbols)  # which several processes wrap
    tokens = torch.from_numpy(tokens_of(cells, hidden | unknown, n_symbols)).to(device)
    logits = model(tokens, **on_device(device, side))
    scored = torch.from_numpy(hidden & ~unknown).to(device)
    true = torch.from_numpy(cells.astype(np.int64)).to(device) if targets is None else targets
    if weights is None:
        weights = np.full(len(cells), 1 / max(1, int(scored.sum())))
    of_cells = torch.from_numpy(weights).float().to(device)[:, None, None].expand(scored.shape)[scored]
    return (F.cross_entropy(logits[scored].float(), true[scored], reduction="none") * of_cells).sum()


def weights_of_grids(scored: Hidden) -> Weights:
    """Weigh the hidden cells of the grids of a batch by their number in a grid to the power -1/2.

    Otherwise grids with few hidden cells would hardly count. The weights depend only on which cells are hidden, so that
    the exact conditional distribution still has the least loss.

    Parameters
    ----------
    scored
        True where a cell is hidden and known.

    Returns
    -------
    ndarray
        What a cell of each grid counts; 1 for all cells together.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.training import weights_of_grids
    >>> weights_of_grids(np.array([[[True, False, False, False]], [[True, True, True, True]]]))
    array([0.333, 0.167])
    """
    n = scored.sum(axis=(1, 2))
    roots = np.sqrt(np.maximum(n, 1))
    return 1 / (roots * max(1.0, (n / roots).sum()))


@torch.no_grad()
def _held_out_bits(model: nn.Module, cells: Cells, side: SideMaps | None = None) -> float:
    """Bits per hidden cell of grids by `evaluation_hiding`, the same cells every time; each process scores a part."""
    n = max(LEAST_SCORED, min(len(cells), SCORED_CELLS // cells[0].size))
    which = np.arange(n) % len(cells)  # few grids several times, each with other cells hidden
    cells = cells[which]
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(0))
    nats, scored, here = 0.0, 0, processes()
    for start in range(here.process_index * BATCH_SIZE, len(cells), here.num_processes * BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        count = int((hidden[part] & (cells[part] >= 0)).sum())
        features = None if side is None else side.features(which[part])
        nats += cross_entropy(model, cells[part], hidden[part], side=features).item() * count
        scored += count
    nats, total = summed(nats, scored)
    return float(nats / np.log(2) / total) if total else float("nan")


# Several processes


def processes() -> PartialState:
    """Join the processes that `torchrun` or `accelerate launch` started, if it is not done yet.

    Returns
    -------
    PartialState
        How many there are, which one this is, and its device.

    Examples
    --------
    >>> processes().num_processes
    1
    """
    return PartialState(cpu=not torch.accelerator.is_available())  # otherwise it passes over processes without a GPU


def is_first() -> bool:
    """Tell whether this process reports, saves and calibrates: the first of several, or the only one.

    Returns
    -------
    bool
        False in the other processes that `torchrun` or `accelerate launch` started.

    Examples
    --------
    >>> is_first()
    True
    """
    return processes().is_main_process


def from_first(make: Callable[[], Any]) -> Any:
    """Compute something in the first process, for all.

    Parameters
    ----------
    make
        Called in the first process only; what it returns can be pickled.

    Returns
    -------
    Any
        What it returned, in every process.

    Raises
    ------
    InputError
        When another process has ended.

    Examples
    --------
    >>> from_first(lambda: "the only process is the first")
    'the only process is the first'
    """
    values = [make() if is_first() else None]
    if processes().num_processes > 1:
        _leave_in_order()
        with _all_there():
            broadcast_object_list(values)
    return values[0]


@functools.cache
def _leave_in_order() -> None:
    """Close connections at the end: torch may abort a process of which another is gone by then."""
    atexit.register(processes().destroy_process_group)


def summed(*values: float | int) -> list[float]:
    """Add up numbers of all processes.

    Parameters
    ----------
    *values
        Those of this process.

    Returns
    -------
    list of float
        Their sums, the same in every process.

    Examples
    --------
    >>> summed(0.5, True)
    [0.5, 1.0]
    """
    if processes().num_processes == 1:
        return list(map(float, values))
    sums = torch.tensor(values, dtype=torch.float64, device=processes().device)
    torch.distributed.all_reduce(sums)
    return sums.tolist()


@contextlib.contextmanager
def _all_there() -> Iterator[None]:
    """Say in one line that another process ended, which libraries say in many ways."""
    try:
        yield
    except RuntimeError as error:
        if processes().num_processes == 1 or not re.search("gloo|nccl|connection|peer", str(error), re.IGNORECASE):
            raise
        line = "another process of the training ended or cannot be reached: start all of them again, with --resume"
        raise InputError(line) from error


def make_optimizers(model: nn.Module) -> list[Optimizer]:
    """Make the optimizers of a model: Muon for its hidden matrices, AdamW for the rest.

    Parameters
    ----------
    model
        The network; its methods `hidden_matrices` and `cell_parameters`, if it has them, say which parameters Muon
        trains, and which ones AdamW trains at a higher rate.

    Returns
    -------
    list of Optimizer
        AdamW, and Muon if there are matrices for it. Each parameter group has its largest learning rate under
        "full_learning_rate".

    Examples
    --------
    >>> from gridcloze.bert import Bert, BertConfig
    >>> from gridcloze.training import make_optimizers
    >>> [type(optimizer).__name__ for optimizer in make_optimizers(Bert(BertConfig(4, 4, n_symbols=2)))]
    ['AdamW', 'Muon']
    """
    matrices = getattr(model, "hidden_matrices", list)()
    of_cells = getattr(model, "cell_parameters", list)()
    chosen = {*matrices, *of_cells}
    groups = _group([one for one in model.parameters() if one not in chosen], ADAMW_LEARNING_RATE)
    groups += _group(of_cells, CELL_LEARNING_RATE) if of_cells else []
    adamw = AdamW(groups, weight_decay=0.0, betas=(0.9, 0.98), fused=True)
    return [adamw, Muon(_group(matrices, MUON_LEARNING_RATE))] if matrices else [adamw]


def _group(parameters: list[nn.Parameter], learning_rate: float) -> list[dict[str, Any]]:
    return [{"params": parameters, "lr": learning_rate, "full_learning_rate": learning_rate}]


def _read_state(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The notes and the tensors of a state, which are whole and possible."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
            text, file_hash = json.loads((file.metadata() or {})[NOTES])
        notes = json.loads(text)
        forms.check_note(notes, NOTES_OF_A_STATE)
        fits = all(
            value.dtype == torch.float32 and bool(value.isfinite().all()) for value in tensors.values()
        ) and file_hash == _hash(text, tensors)
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if not fits:
        raise _damaged(path, "it was altered after it was written")
    return notes, tensors


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path} is damaged, or no state of a training ({why}): start anew with --overwrite")


def _hash(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _running_mean(mean: float, value: float) -> float:
    return value if np.isnan(mean) else 0.98 * mean + 0.02 * value
