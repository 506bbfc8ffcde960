"""One loop that knows no model: whatever has tokens in, logits out and `n_symbols` can be trained."""

import contextlib
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
from accelerate import Accelerator
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from .files.paths import atomic_write
from .muon import Muon
from .networks import bf16_pays
from .predictor import tokens_of
from .priors.hiding import evaluation_hiding, training_hiding, window_hiding
from .priors.posterior import Prior
from .priors.windows import Windows
from .shapes import Cells, Hidden
from .words import InputError

BATCH_SIZE, BATCH_CELLS = 64, 2**17  # grids of a step, and cells at most
MUON_LEARNING_RATE = 0.01
ADAMW_LEARNING_RATE = 0.002
WARM_UP_STEPS = 100
LAST_RATE = 0.02  # the share of the learning rate that its linear decay ends at
LARGEST_GRADIENT_NORM = 1.0
LEAST_IN_POOL = 1024  # fewer seldom agree with any grid
MOST_IN_POOL, POOL_VALUES = 8192, 2**22  # one-hot: what a step compares its grids with costs a few percent of it
STEPS_OF_A_POOL = 50  # then other examples have their turn
HELD_OUT_SCORES = 10  # in a whole run
SECONDS_BETWEEN_SAVES = 30.0


@dataclass(frozen=True)
class Budget:
    """How long to train: minutes or steps, one of them."""

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise InputError("give the length of the training in minutes or in steps, one of the two")
        if (self.minutes or self.steps or 0) <= 0:
            raise InputError("the length of the training must be more than 0")

    def share_used(self, steps: int, seconds: float) -> float:
        """0 at the start of a training, 1 or more when it is over."""
        return steps / self.steps if self.steps else seconds / (60 * (self.minutes or 1))


@dataclass
class Progress:
    """Where a training stands."""

    steps: int = 0
    seconds: float = 0.0
    share: float = 0.0  # of the budget used
    bits_per_hidden_cell: float = float("nan")  # running mean over the training batches
    held_out_bits_per_hidden_cell: float = float("nan")  # under the test law
    grids_per_second: float = float("nan")
    interrupted: bool = False


@dataclass
class Training:
    """The training of one model.

    `examples` gives the grids, `held_out` (n, height, width) are scored now and then. With a budget in steps the
    same seed gives the same weights. With a `state_path` the state is saved there every half minute and at
    Ctrl-C, and a run with `resume` goes on from it; then a killed run ends with the weights of one never killed.
    """

    model: nn.Module
    examples: Prior
    held_out: Cells
    budget: Budget
    seed: int = 0
    report: Callable[[Progress], None] = lambda progress: None
    state_path: Path | None = None
    settings: str = ""  # names data and settings: a state made with others is refused
    progress: Progress = field(default_factory=Progress)
    pool: "Pool | None" = field(default=None, init=False)

    def run(self, resume: bool = False) -> Progress:
        """Train until the budget is used up or Ctrl-C is pressed; the model can be used after either.

        Raises InputError when the state to resume from is damaged or was made with other settings.
        """
        accelerator = Accelerator(mixed_precision="bf16" if bf16_pays() else "no")
        if accelerator.num_processes > 1:
            raise InputError("training runs in one process: start it without `accelerate launch`")
        self.optimizers = make_optimizers(self.model.to(accelerator.device))
        if resume and self.state_path is not None and self.state_path.exists():
            self._restore(self.state_path)
        model, *optimizers = accelerator.prepare(self.model, *self.optimizers)
        with _ctrl_c_sets_a_flag() as interrupted:
            self._loop(accelerator, model, optimizers, interrupted)
        accelerator.unwrap_model(model, keep_fp32_wrapper=False).eval()
        self._finish(interrupted.is_set())
        return self.progress

    def _loop(
        self, accelerator: Accelerator, model: nn.Module, optimizers: Sequence[Optimizer], stop: threading.Event
    ) -> None:
        model.train()
        progress, start = self.progress, time.monotonic() - self.progress.seconds
        saved = progress.seconds
        while progress.share < 1 and not stop.is_set():
            scores_due = int(progress.share * HELD_OUT_SCORES)
            self._step(accelerator, model, optimizers)
            progress.steps += 1
            progress.seconds = time.monotonic() - start
            progress.share = self.budget.share_used(progress.steps, progress.seconds)
            if int(progress.share * HELD_OUT_SCORES) > scores_due:
                progress.held_out_bits_per_hidden_cell = held_out_bits(model, self.held_out)
            if progress.seconds - saved > SECONDS_BETWEEN_SAVES:
                self._save()
                saved = progress.seconds
            self.report(progress)

    def _step(self, accelerator: Accelerator, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        began = time.monotonic()
        cells, hidden = training_batch(self.examples, np.random.default_rng([self.seed, self.progress.steps]))
        if self.pool is None or self.progress.steps % STEPS_OF_A_POOL == 0:
            self.pool = self._new_pool(accelerator.device)
        targets = self.pool.targets(cells, hidden) if self.pool else None
        loss = cross_entropy(model, cells, hidden, targets)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT_NORM)
        rate = learning_rate_share(self.progress)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["full_learning_rate"]
            optimizer.step()
            optimizer.zero_grad()
        bits = loss.item() / np.log(2)
        self.progress.bits_per_hidden_cell = _running_mean(self.progress.bits_per_hidden_cell, bits)
        speed = len(cells) / (time.monotonic() - began)
        self.progress.grids_per_second = _running_mean(self.progress.grids_per_second, speed)

    def _new_pool(self, device: torch.device) -> "Pool | None":
        """It follows from seed and step, so that a resumed run has it too. Grids of many cells need none."""
        generator = np.random.default_rng([self.seed, self.progress.steps // STEPS_OF_A_POOL, POOL_VALUES])
        n_symbols = cast(int, self.model.n_symbols)
        values = self.examples.height * self.examples.width * n_symbols
        n = min(MOST_IN_POOL, POOL_VALUES // values)
        return Pool(self.examples.sample(n, generator), n_symbols, device) if n >= LEAST_IN_POOL else None

    def _finish(self, interrupted: bool) -> None:
        self.progress.interrupted = interrupted
        if interrupted:
            self._save()
        elif self.state_path is not None:
            self.state_path.unlink(missing_ok=True)

    def _save(self) -> None:
        if self.state_path is None:
            return
        metadata = {"settings": self.settings, "steps": str(self.progress.steps), "seconds": str(self.progress.seconds)}
        with atomic_write(self.state_path) as path:
            save_file(dict(self._tensors()), path, metadata)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that changes from step to step; the batches follow from seed and step."""
        yield from ((f"model/{name}", value) for name, value in self.model.state_dict().items())
        for number, optimizer in enumerate(self.optimizers):
            for parameter, state in optimizer.state_dict()["state"].items():
                yield from ((f"optimizer/{number}/{parameter}/{name}", value) for name, value in state.items())

    def _restore(self, path: Path) -> None:
        tensors, metadata = _read_state(path)
        if metadata.get("settings") != self.settings:
            raise InputError(
                f"{path} is of a training with other examples or options: repeat those, or train without --resume"
            )
        self.model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model/")})
        for number, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                kind, *where = name.split("/")
                if kind == "optimizer" and int(where[0]) == number:
                    state.setdefault(int(where[1]), {})[where[2]] = value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.progress.steps, self.progress.seconds = int(metadata["steps"]), float(metadata["seconds"])
        self.progress.share = self.budget.share_used(self.progress.steps, self.progress.seconds)


def training_batch(examples: Prior, generator: np.random.Generator) -> tuple[Cells, Hidden]:
    """Grids and what to hide in them."""
    n = max(1, min(BATCH_SIZE, BATCH_CELLS // (examples.height * examples.width)))
    cells = examples.sample(n, generator)
    law = window_hiding if isinstance(examples, Windows) else training_hiding
    return cells, law(cells.shape, generator)


class Pool:
    """Examples that share their hidden cells with every grid whose visible cells they have too.

    A grid drawn from the examples, seen through its visible cells, could as well be any other one drawn that agrees
    with them. So the mean of all that agree is as right a target as the grid itself, with less noise: the loss has
    the same expectation, its gradient less variance (Rao and Blackwell). Where no other agrees nothing changes.
    """

    def __init__(self, cells: Cells, n_symbols: int, device: torch.device):
        whole = torch.from_numpy(cells[(cells >= 0).all(axis=(1, 2))]).to(device)
        # Whether a sum is 0 is exact in bfloat16 too; counts above 256 are rounded, by at most 0.4 %.
        dtype = torch.bfloat16 if bf16_pays() else torch.float32
        self.n_symbols = n_symbols
        self.one_hot = F.one_hot(whole.long(), n_symbols).flatten(1).to(dtype)

    def targets(self, cells: Cells, hidden: Hidden) -> Float[Tensor, "batch height width symbol"]:
        """The law of each cell of grids among themselves and what agrees with them where they are not hidden."""
        given = torch.from_numpy(cells).to(self.one_hot.device)
        own = given[..., None] == torch.arange(self.n_symbols, device=given.device)
        visible = torch.from_numpy(~hidden & (cells >= 0)).to(given.device)
        other = (visible[..., None] & ~own).flatten(1).to(self.one_hot.dtype)
        agree = (other @ self.one_hot.T == 0).to(self.one_hot.dtype)
        counts = (agree @ self.one_hot).float().view(own.shape) + own
        return counts / counts.sum(-1, keepdim=True).clamp(min=1)


def cross_entropy(model: nn.Module, cells: Cells, hidden: Hidden, targets: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of the hidden cells, in nats; unknown cells are always hidden and never scored.

    `targets` (batch, height, width, symbol) are laws of the cells, if not what they hold.
    """
    unknown, device = cells < 0, next(model.parameters()).device
    logits = model(torch.from_numpy(tokens_of(cells, hidden | unknown, cast(int, model.n_symbols))).to(device))
    scored = torch.from_numpy(hidden & ~unknown).to(device)
    true = torch.from_numpy(cells.astype(np.int64)).to(device) if targets is None else targets
    return F.cross_entropy(logits[scored].float(), true[scored], reduction="sum") / max(1, int(scored.sum()))


@torch.no_grad()
def held_out_bits(model: nn.Module, cells: Cells) -> float:
    """Bits per hidden cell of grids under the test law, the same hidden cells every time."""
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(0))
    nats, scored = 0.0, 0
    for start in range(0, len(cells), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        count = int((hidden[part] & (cells[part] >= 0)).sum())
        nats += cross_entropy(model, cells[part], hidden[part]).item() * count
        scored += count
    return nats / np.log(2) / max(1, scored)


def learning_rate_share(progress: Progress) -> float:
    """Up over the first steps, then down in a straight line until the budget is used up."""
    return min(1.0, (progress.steps + 1) / WARM_UP_STEPS) * max(LAST_RATE, 1 - progress.share)


def make_optimizers(model: nn.Module) -> list[Optimizer]:
    """Muon for the matrices that a model names as hidden, AdamW for the rest."""
    matrices = getattr(model, "hidden_matrices", list)()
    chosen = set(matrices)
    rest = [parameter for parameter in model.parameters() if parameter not in chosen]
    adamw = AdamW(_group(rest, ADAMW_LEARNING_RATE), weight_decay=0.0, betas=(0.9, 0.98), fused=True)
    return [adamw, Muon(_group(matrices, MUON_LEARNING_RATE))] if matrices else [adamw]


def _group(parameters: list[nn.Parameter], learning_rate: float) -> list[dict[str, Any]]:
    return [{"params": parameters, "lr": learning_rate, "full_learning_rate": learning_rate}]


@contextlib.contextmanager
def _ctrl_c_sets_a_flag() -> Iterator[threading.Event]:
    """So that a step is never cut in two; a second Ctrl-C stops at once."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(*_: object) -> None:
        flag.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, handle)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


def _read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({error}): delete it and train without --resume") from error


def _running_mean(mean: float, value: float) -> float:
    return value if np.isnan(mean) else 0.98 * mean + 0.02 * value
