"""How fast, as ratios within one run: `python benchmarks/speed.py [TASK …]`; needs the extra `bench`.

step       a training step, by its parts, compared with the BERT of transformers and the machine's matrix products
fill       marginals, single grids and bulk, by torch and by ONNX Runtime, with the model of `toys.py squares`
start      commands from a cold start
growth     a training step and a fill against the number of cells, 16² … 128²; draws docs/growth.png
target     seconds of training to 0.006 excess bits and 99% of grids correct on squares 16×16, three seeds
reference  the BERT of transformers in a plain loop with AdamW, one token per cell, towards that target: 36 minutes

Results go to benchmarks/results/speed-TASK.json, and `make docs` writes docs/speed.md from them. Run nothing else then.
"""

import contextlib
import itertools
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from matplotlib.axes import Axes
from transformers import BertConfig as PeerConfig
from transformers import BertForMaskedLM

from common import DOCS, RUNS, main
from gridcloze import (
    checkpoint,
    filling,
    scoring,
)
from gridcloze.bert import Bert, BertConfig
from gridcloze.commands.toy import toy
from gridcloze.commands.train import Source, train
from gridcloze.files.arrays import write_stack
from gridcloze.files.palettes import Palette
from gridcloze.logits import LogitsPredictor
from gridcloze.networks import NetworkPredictor
from gridcloze.pictures import LIGHT, written
from gridcloze.predictor import tokens_of
from gridcloze.priors.examples import Examples
from gridcloze.priors.finite import squares
from gridcloze.priors.hiding import evaluation_hiding, training_hiding
from gridcloze.priors.known import posterior
from gridcloze.puzzles import Puzzles
from gridcloze.training import BATCH_SIZE, Budget, Training, make_optimizers, training_batch
from toys import N_EXAMPLES, N_TEST, TEST_SEED

PRIOR = squares(16, 16)
MODEL = RUNS / "squares-0" / "model.safetensors"
ROUNDS, STEPS = 7, 5  # interleaved: so many steps of everything in each round
TARGET_EXCESS, TARGET_RIGHT = 0.006, 0.99
TARGET_SECONDS = 40.0
REFERENCE_MINUTES, REFERENCE_SCORES = 30.0, 6
REFERENCE_RATES, TRIAL_MINUTES = (3e-4, 1e-3, 3e-3), 2.0

Work = Callable[[], object]


def seconds(work: dict[str, Work], rounds: int = ROUNDS, repeats: int = STEPS) -> dict[str, list[float]]:
    """Seconds that each piece of work takes: in every round the mean of some repeats, all pieces interleaved."""
    for one in work.values():
        one()
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, one in work.items():
            began = time.perf_counter()
            for _ in range(repeats):
                one()
            taken[name].append((time.perf_counter() - began) / repeats)
    return taken


def summary(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def ratios(taken: dict[str, list[float]], of: str) -> dict[str, dict[str, float]]:
    """How many times as long as `of` each piece of work takes, by round."""
    return {
        name: summary([value / unit for value, unit in zip(values, taken[of], strict=True)])
        for name, values in taken.items()
    }


# step


class Step:
    """Our training steps, one per call, and their parts."""

    def __init__(self, config: BertConfig):
        grids = np.random.default_rng(0).integers(0, 2, (512, config.height, config.width))  # their cells do not matter
        self.examples = Examples(grids, Palette.default(2))
        self.training = Training(Bert(config), self.examples, self.examples.cells[:64], Budget(steps=10**9))
        self.training.optimizers = make_optimizers(self.training.model)
        self.accelerator = Accelerator(mixed_precision="bf16")
        self.model, *self.optimizers = self.accelerator.prepare(self.training.model, *self.training.optimizers)

    def __call__(self) -> None:
        self.training._step(self.accelerator, self.model, self.optimizers)
        self.training.progress.steps += 1

    def parts(self) -> dict[str, Work]:
        """What a step consists of; each part runs alone."""
        generator = np.random.default_rng(0)
        cells, hidden, _ = training_batch(self.examples, generator)
        pool = self.training._new_pool(self.accelerator.device)
        targets, tokens = pool.targets(cells, hidden), torch.from_numpy(tokens_of(cells, hidden, 2))
        scored = torch.from_numpy(hidden)

        def forward() -> torch.Tensor:
            return F.cross_entropy(self.model(tokens)[scored].float(), targets[scored])

        def optimise() -> None:
            self.accelerator.clip_grad_norm_(self.training.model.parameters(), 1.0)
            for optimizer in self.optimizers:
                optimizer.step()

        return {
            "batch": lambda: training_batch(self.examples, generator),
            "targets": lambda: pool.targets(cells, hidden),
            "forward": forward,
            "forward and backward": lambda: forward().backward(),
            "optimizer": optimise,
        }


class PeerStep:
    """Training steps of the BERT of transformers, one per call, with AdamW.

    It has as many tokens as our model (a word for each content of a patch), or one token per cell.
    """

    def __init__(self, config: BertConfig, attention: str, dtype: torch.dtype, patch: int, inner: int):
        self.patch, self.dtype = patch, dtype
        words = 3 ** (patch * patch)
        tokens = (config.height // patch) * (config.width // patch)
        self.model = BertForMaskedLM(
            PeerConfig(
                vocab_size=words,
                hidden_size=config.embedding_size,
                num_hidden_layers=config.depth,
                num_attention_heads=config.heads,
                intermediate_size=inner * config.embedding_size,
                max_position_embeddings=tokens,
                attn_implementation=attention,
                hidden_dropout_prob=0.0,  # as in ours; its random numbers would take a large part of the step
                attention_probs_dropout_prob=0.0,
            )
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.generator = np.random.default_rng(0)
        self.cells = PRIOR.sample(N_EXAMPLES, self.generator)

    def words(self, cells: np.ndarray) -> torch.Tensor:
        """The number of the word in each patch (batch, token)."""
        batch, height, width = cells.shape
        patch = self.patch
        pieces = cells.reshape(batch, height // patch, patch, width // patch, patch).transpose(0, 1, 3, 2, 4)
        return torch.from_numpy((pieces.reshape(batch, -1, patch * patch) * 3 ** np.arange(patch * patch)).sum(-1))

    def __call__(self) -> None:
        cells = self.cells[self.generator.integers(0, len(self.cells), BATCH_SIZE)]
        hidden = training_hiding(cells.shape, self.generator)
        words, truth = self.words(np.where(hidden, 2, cells)), self.words(cells)
        labels = torch.where(words == truth, -100, truth)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            loss = self.model(input_ids=words, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class Elsewhere:
    """Work in a process of its own, which our settings of the C library do not reach; one process works at a time."""

    def __init__(self, make: Callable[..., Work], *arguments: object):
        context = multiprocessing.get_context("spawn")
        self.here, there = context.Pipe()
        context.Process(target=serve, args=(there, make, arguments), daemon=True).start()

    def __call__(self) -> None:
        self.here.send("work")
        self.here.recv()


def serve(connection: Connection, make: Callable[..., Work], arguments: tuple[object, ...]) -> None:
    work = make(*arguments)
    with contextlib.suppress(EOFError):  # the parent process has ended
        while connection.recv():
            work()
            connection.send("done")


def operations(config: BertConfig) -> float:
    """Multiplications and additions in the matrix products of a training step, without those of rotary positions."""
    patches = (config.height // config.patch) * (config.width // config.patch)
    size = config.embedding_size
    of_patch = config.depth * (8 * size * size + 2 * patches * size)
    return 3 * 2 * BATCH_SIZE * patches * of_patch


def products(dtype: torch.dtype) -> Callable[[], float]:
    """Operations per second of the machine's matrix products, the better of two shapes."""
    pairs = [
        (torch.randn(rows, inner, dtype=dtype), torch.randn(inner, columns, dtype=dtype))
        for rows, inner, columns in ((1024, 1024, 1024), (16384, 128, 512))
    ]

    def rate() -> float:
        rates = []
        for one, other in pairs:
            began = time.perf_counter()
            for _ in range(10):
                one @ other
            rates.append(20 * one.numel() * other.shape[1] / (time.perf_counter() - began))
        return max(rates)

    return rate


def step() -> dict[str, Any]:
    """At widths 64 and 128, with 6 layers and 64 tokens per grid."""
    return {f"width {width}": step_of(BertConfig(16, 16, 2, embedding_size=width)) for width in (64, 128)}


def step_of(config: BertConfig) -> dict[str, Any]:
    ours, rate = Step(config), products(torch.bfloat16)
    rates: list[float] = []
    work: dict[str, Work] = {"ours": ours, "products": lambda: rates.append(rate())}
    for attention in ("eager", "sdpa"):
        for dtype in (torch.float32, torch.bfloat16):
            name = f"transformers, {attention}, {str(dtype).removeprefix('torch.')}"
            work[name] = Elsewhere(PeerStep, config, attention, dtype, config.patch, 2)
    work["transformers, one token a cell"] = Elsewhere(PeerStep, config, "eager", torch.bfloat16, 1, 4)
    taken = seconds(work, repeats=3)
    whole = statistics.median(taken["ours"])
    parts = {name: statistics.median(values) / whole for name, values in seconds(ours.parts()).items()}
    peak = statistics.median(rates)
    return {
        "grids_per_second": BATCH_SIZE / whole,
        "times_as_long": {name: one for name, one in ratios(taken, "ours").items() if name != "products"},
        "bf16_products_per_second": peak,
        "share_of_bf16_products": summary([operations(config) / one / peak for one in taken["ours"]]),
        "parts_of_a_step": parts,
    }


# fill


def fill() -> dict[str, Any]:
    """On 2,000 puzzles of the evaluation mixture, one sample each with the default decoder."""
    trained = checkpoint.load(MODEL)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.export(Path(folder) / "model.onnx", trained)
        exported = checkpoint.load(Path(folder) / "model.onnx")
    model, calibration = trained.base.model, trained.header.calibration
    predictors: dict[str, Any] = {
        "torch, bfloat16": trained,
        "torch, float32": NetworkPredictor(model, calibration, precise=True),
        "ONNX Runtime": exported,
    }
    cells = PRIOR.sample(N_TEST, np.random.default_rng(TEST_SEED))
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(TEST_SEED))
    exact = posterior(PRIOR).marginals(cells, hidden)
    bulk = seconds(
        {k: lambda p=p: filling.sample(p, Puzzles(cells, hidden), 1, 0) for k, p in predictors.items()}, 3, 1
    )
    marginals = seconds({k: lambda p=p: p.marginals(cells, hidden) for k, p in predictors.items()}, 3, 1)
    result: dict[str, Any] = {}
    for name, predictor in predictors.items():
        single = []
        for grid, grid_hidden in zip(cells[:200, None], hidden[:200, None], strict=True):
            began = time.perf_counter()
            filling.sample(predictor, Puzzles(grid, grid_hidden), 1, 0)
            single.append(1000 * (time.perf_counter() - began))
        fills = filling.sample(predictor, Puzzles(cells, hidden), 1, 0)
        result[name] = {
            "fills_per_second": N_TEST / statistics.median(bulk[name]),
            "marginals_per_second": N_TEST / statistics.median(marginals[name]),
            "milliseconds_of_one_grid": {"mean": statistics.mean(single), **summary(single)},
            "passes": float(fills.passes.mean()),
            "legal": scoring.legal_fraction(fills.cells, cells, hidden, PRIOR),
            "excess_bits": scoring.excess_bits(predictor.marginals(cells, hidden), exact, hidden),
        }
    return result


# start


def start() -> dict[str, Any]:
    """Seconds of a whole process that fills one grid; an earlier run has warmed the disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        toy(PRIOR, folder / "toy", 1, 1, 0, 8)
        checkpoint.export(folder / "model.onnx", checkpoint.load(MODEL))
        puzzle = folder / "toy" / "puzzles" / "00000.png"
        command = str(Path(sys.executable).with_name("gridcloze"))
        fills = {kind: ("fill", model, puzzle) for kind, model in (("onnx", folder / "model.onnx"), ("torch", MODEL))}
        work = {"--help": lambda: run(command, "--help")} | {
            f"fill, {kind}": lambda arguments=arguments: run(
                command, *map(str, arguments), "-o", str(folder / "out"), "--overwrite"
            )
            for kind, arguments in fills.items()
        }
        return {name: summary(values) for name, values in seconds(work, 5, 1).items()}


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


# growth


def growth() -> dict[str, Any]:
    """Median times of a training step and of a pass of a fill; exponents are slopes in logarithmic axes.

    The default patch grows with the grid; "patch 2" is the model of 16×16 on larger grids.
    """
    sides = (16, 24, 32, 48, 64, 96, 128)
    small = NetworkPredictor(Bert(BertConfig(16, 16, 2)))
    measured = [milliseconds_a_grid(side, small) for side in sides]
    milliseconds = {name: [one[name] for one in measured] for name in measured[0]}
    cells_of = [side * side for side in sides]
    exponents = {
        name: float(np.polyfit(np.log(cells_of), np.log(values), 1)[0]) for name, values in milliseconds.items()
    }
    patches = [BertConfig(side, side, 2).patch for side in sides]
    result = {"cells": cells_of, "patch": patches, "milliseconds_a_grid": milliseconds, "exponents": exponents}
    draw_growth(result)
    return result


def milliseconds_a_grid(side: int, small: NetworkPredictor) -> dict[str, float]:
    step_of_side = Step(BertConfig(side, side, 2))
    predictor = NetworkPredictor(step_of_side.training.model)
    cells = np.zeros((max(4, 2**16 // side**2), side, side), dtype=np.int64)
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(0))
    work = {
        "training step": step_of_side,
        "pass of a fill": lambda: predictor.marginals(cells, hidden),
        "pass of a fill, patch 2": lambda: small.marginals(cells, hidden),
    }
    grids = {"training step": BATCH_SIZE}
    taken = seconds(work, 3, 1)
    return {name: 1000 * statistics.median(values) / grids.get(name, len(cells)) for name, values in taken.items()}


def draw_growth(result: dict[str, Any]) -> None:
    with written(DOCS / "growth.png", LIGHT, 4.0) as figure:
        plot_growth(figure.subplots(), result)


def plot_growth(axes: Axes, result: dict[str, Any]) -> None:
    cells, patches = result["cells"], result["patch"]
    for (name, values), colour in zip(
        result["milliseconds_a_grid"].items(), ("#0072B2", "#E69F00", "#009E73"), strict=True
    ):
        label = f"{name}: cells to the power {result['exponents'][name]:.2f}"
        axes.loglog(cells, values, "o-", markersize=4, color=colour, label=label)
    for before, after in itertools.pairwise(range(len(cells))):
        if patches[before] != patches[after]:
            axes.axvline((cells[before] * cells[after]) ** 0.5, color="0.7", linestyle="dotted")
    axes.set(xlabel="cells of a grid (dotted: the default patch grows)", ylabel="milliseconds a grid")
    axes.set_xticks(cells, [f"{round(one**0.5)}²" for one in cells])
    ticks = (0.1, 0.3, 1, 3, 10, 30, 100, 300)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(0.1, 400)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


# target


def target() -> dict[str, Any]:
    """Train three seeds on 20,000 examples for TARGET_SECONDS, and score them on 2,000 held-out puzzles."""
    scores = []
    for seed in range(3):
        with tempfile.TemporaryDirectory() as folder:
            path, grids = Path(folder) / "model.safetensors", Path(folder) / "train.npy"
            write_stack(grids, PRIOR.sample(N_EXAMPLES, np.random.default_rng(seed)))
            report = train(Source(grids), path, Budget(minutes=TARGET_SECONDS / 60), seed)
            scores.append(scored(checkpoint.load(path), TEST_SEED + seed) | {"steps": report["steps"]})
    means = {name: statistics.mean(one[name] for one in scores) for name in ("excess_bits", "right")}
    reached = means["excess_bits"] <= TARGET_EXCESS and means["right"] >= TARGET_RIGHT
    return {"seconds": TARGET_SECONDS, "reached": reached, "mean": means, "seeds": scores}


def scored(predictor: Any, seed: int) -> dict[str, float]:
    cells = PRIOR.sample(N_TEST, np.random.default_rng(seed))
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(seed))
    exact = posterior(PRIOR).marginals(cells, hidden)
    score = scoring.score(predictor.marginals(cells, hidden), cells, hidden, exact)
    return {"excess_bits": score["excess_bits"], "right": score["grids_all_determined_right"]}


class PeerPredictor(LogitsPredictor):
    """The BERT of transformers, with one token per cell, as a Predictor."""

    def __init__(self, model: BertForMaskedLM):
        super().__init__(2)
        self.model = model.eval()

    @torch.inference_mode()
    def logits(self, tokens: np.ndarray) -> np.ndarray:
        logits = self.model(input_ids=torch.from_numpy(tokens).flatten(1)).logits[..., :2]
        return logits.view(*tokens.shape, 2).float().numpy()


def reference() -> dict[str, Any]:
    """A long run with the learning rate that is best in short ones; layers, width and heads are ours."""
    trials = {rate: peer_training(rate, TRIAL_MINUTES, 1)["curve"][-1] for rate in REFERENCE_RATES}
    best = min(trials, key=lambda rate: trials[rate]["excess_bits"])
    return {"trials": trials, "learning_rate": best, **peer_training(best, REFERENCE_MINUTES, REFERENCE_SCORES)}


def peer_training(rate: float, minutes: float, scores: int) -> dict[str, Any]:
    """A plain loop: the learning rate rises over 100 steps and falls linearly over the whole time."""
    torch.manual_seed(0)
    peer = PeerStep(BertConfig(16, 16, 2), "eager", torch.bfloat16, 1, 4)
    used, steps, curve = 0.0, 0, []
    while used < 60 * minutes:
        began = time.perf_counter()
        for group in peer.optimizer.param_groups:
            group["lr"] = rate * min(1, (steps + 1) / 100) * (1 - used / (60 * minutes))
        peer()
        steps, used = steps + 1, used + time.perf_counter() - began
        if used >= 60 * minutes * (len(curve) + 1) / scores:
            curve.append({"minutes": used / 60, "steps": steps, **scored(PeerPredictor(peer.model), TEST_SEED)})
            print(rate, curve[-1], file=sys.stderr)
            peer.model.train()
    return {"grids_per_second": BATCH_SIZE * steps / used, "curve": curve}


TASKS = {task.__name__: task for task in (step, fill, start, growth, target, reference)}


if __name__ == "__main__":
    main(TASKS, __doc__)
