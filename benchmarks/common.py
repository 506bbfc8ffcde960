"""What scripts of figures share: tasks with results, trainings that go on where they were stopped, costs of fills."""

import argparse
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8

from gridcloze import (
    checkpoint,
    scoring,
)
from gridcloze.checkpoint import TrainedPredictor
from gridcloze.commands.process import keep_freed_memory
from gridcloze.commands.train import learn_with_progress, state_file
from gridcloze.files.arrays import write_stack
from gridcloze.files.palettes import Palette
from gridcloze.files.paths import write_json
from gridcloze.learning import Learnable
from gridcloze.predictor import Predictor
from gridcloze.priors.examples import Examples
from gridcloze.shapes import Cells, Hidden
from gridcloze.training import Budget
from gridcloze.words import HIDDEN, __version__

RESULTS = Path(__file__).parent / "results"
RUNS = RESULTS / "runs"
DOCS = Path(__file__).parent.parent / "docs"
MODELS = DOCS.parent / "models"
STOPPED = 3  # exit code: called again, the script goes on where it was stopped

Figures = dict[str, Any]
Task = Callable[[], Figures]
Kept = UInt8[np.ndarray, "example height width"]


def main(tasks: Mapping[str, Task], doc: str | None, quick: Mapping[str, Task] | None = None) -> None:
    """The command line of a script, whose tasks write RESULTS/SCRIPT-TASK.json each; `quick` are short forms of them.

    A task that has a result is not run again. Ctrl-C ends with the exit code STOPPED.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", choices=[*tasks, []], help="all that have no result, if none is named")
    if quick is not None:
        parser.add_argument("--quick", action="store_true", help="the same with little of everything; writes no result")
    options = parser.parse_args()
    keep_freed_memory()  # as the commands do
    try:
        for name in options.tasks or (quick if quick is not None and options.quick else tasks):
            if quick is not None and options.quick:
                print(json.dumps({"task": name, **quick[name]()}, indent=1))
            else:
                _run(name, tasks[name])
    except KeyboardInterrupt:
        sys.exit(STOPPED)


def _run(name: str, task: Task) -> None:
    path = RESULTS / f"{Path(sys.argv[0]).stem}-{name}.json"
    if not path.exists():
        print(name, file=sys.stderr)
        around = circumstances()  # before the run: the commit is that of the code that is loaded
        write_json(path, {"task": name, **task(), **around})
    print(path.read_text(), end="")


def circumstances() -> Figures:
    """What a figure depends on beside its seed."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    return {
        "version": __version__,
        "commit": commit.strip(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
    }


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(line.replace("|  |", "| |") for line in lines)


class Drawn:
    """Examples kept as bytes, of which `draw` makes cells whenever one is drawn; the last ones are held out."""

    def __init__(self, kept: Kept, held_out: int, palette: Palette, draw: Callable[[Kept, np.random.Generator], Cells]):
        self.kept, self.held_out, self.palette, self.draw = kept, held_out, palette, draw
        self.height, self.width = kept.shape[1:]
        self.n_symbols = palette.n_symbols

    @property
    def record(self) -> Figures:
        """What a model file says of the data."""
        return {"data": hashlib.sha256(self.kept.tobytes()).hexdigest(), "grids": len(self.kept)}

    def sample(self, n: int, generator: np.random.Generator) -> Int[np.ndarray, "n height width"]:
        return self.draw(self.kept[generator.integers(0, len(self.kept), n)], generator)

    def split(self) -> tuple["Drawn", Examples]:
        learned, held_out = np.split(self.kept, [-self.held_out])
        once = self.draw(held_out, np.random.default_rng(0))
        return Drawn(learned, 0, self.palette, self.draw), Examples(once, self.palette)


def trained(
    examples: Callable[[], Learnable], path: Path, budget: Budget, depth: int | None = None
) -> TrainedPredictor:
    """The model in a file; where there is none it is trained, and goes on where an earlier training was stopped.

    Raises KeyboardInterrupt when it is stopped again.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        predictor = learn_with_progress(examples(), path, budget, depth=depth, resume=True, more_record=_peak)
        if predictor.header.training["interrupted"]:
            raise KeyboardInterrupt
        checkpoint.save(path, predictor)
        state_file(path).unlink(missing_ok=True)
    return checkpoint.load(path)


def _peak() -> Figures:
    return {"peak_MiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def scored(predictor: Predictor, cells: Cells, hidden: Hidden) -> Figures:
    """Bits per hidden cell, error and calibration."""
    law = predictor.marginals(cells, hidden)
    return {**scoring.score(law, cells, hidden), **scoring.calibration(law, cells, hidden)}


def filled_by_command(model: Path, cells: Cells, hidden: Hidden) -> tuple[Cells, Figures]:
    """What `gridcloze fill` makes of puzzles, which it writes beside the model; seconds for each, and peak memory."""
    stack, out = model.with_name(f"{model.stem}-puzzles.npy"), model.with_name(f"{model.stem}-filled")
    write_stack(stack, np.where(hidden, HIDDEN, cells))
    seconds, peak = measured("fill", model, stack, "-o", out, "--overwrite")
    with np.load(out / f"{stack.stem}.npz") as results:
        fill = results["fill"].astype(np.int64)
    return fill, {"seconds_per_grid": seconds / len(cells), "peak_MiB": round(peak)}


def measured(*arguments: str | Path) -> tuple[float, float]:
    """The seconds that a command of gridcloze takes in a process of its own, and its peak memory in MiB."""
    command = [str(Path(sys.executable).parent / "gridcloze"), *map(str, arguments)]
    began = time.monotonic()
    process = os.posix_spawn(command[0], command, os.environ)  # a fork would begin with the memory of this process
    _, status, usage = os.wait4(process, 0)
    assert status == 0
    return time.monotonic() - began, usage.ru_maxrss / 1024
