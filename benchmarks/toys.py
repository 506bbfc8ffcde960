"""The figures on toy priors: `python benchmarks/toys.py [TASK …]` runs the tasks that have no result yet.

Each task writes grids, trains with `gridcloze train`, scores with `gridcloze score` on held-out grids under the
evaluation mixture, and writes benchmarks/results/TASK-SEED.json with options, versions, hardware and commit. `--table`
only prints the table of docs/results.md. Run nothing else meanwhile: a second heavy process slows training many times.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import common
from common import RESULTS, RUNS, circumstances
from gridcloze.commands.process import keep_freed_memory
from gridcloze.commands.score import score
from gridcloze.commands.toy import toy
from gridcloze.commands.train import Source, train
from gridcloze.files.arrays import write_stack
from gridcloze.priors.finite import FinitePrior
from gridcloze.priors.known import make_toy
from gridcloze.training import Budget

N_EXAMPLES, N_TEST = 20_000, 2_000
TEST_SEED = 1000


@dataclass(frozen=True)
class Task:
    """What to learn and what to be asked; `train` and `test` are toy priors, of which `unseen` splits the members."""

    train: dict[str, object]
    test: dict[str, object] = field(default_factory=dict)
    minutes: float = 5.0
    seeds: tuple[int, ...] = (0,)
    unseen: bool = False  # train on a random half of the members, test on the other half
    model_of: str = ""  # the task whose model is used, instead of training one
    sampled: int = 500  # grids that are drawn once, one cell a pass: on large grids that takes too long


SQUARES = {"name": "squares", "height": 16, "width": 16}
TASKS = {
    "squares": Task(SQUARES, seeds=(0, 1, 2)),
    "squares-unseen": Task(SQUARES, unseen=True),
    "rectangles-32-unseen": Task({"name": "rectangles", "height": 32, "width": 32}, minutes=10, unseen=True, sampled=0),
    "squares-25x19": Task({"name": "squares", "height": 25, "width": 19}),
    "squares-20x20": Task(
        SQUARES, test={"name": "squares", "height": 20, "width": 20}, model_of="squares", seeds=(0, 1, 2)
    ),
    "rectangles": Task({"name": "rectangles", "height": 16, "width": 16}),
    "stripes": Task({"name": "stripes", "height": 16, "width": 16}),
    "mirror": Task({"name": "mirror", "height": 16, "width": 16}),
    "ising": Task({"name": "ising", "height": 16, "width": 8}),
}


def run(name: str, seed: int) -> dict[str, object]:
    """Train and score one task with one seed."""
    task, around = TASKS[name], circumstances()  # before the run: the commit is that of the code that is loaded
    folder = RUNS / f"{name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    write_grids(task, folder, seed)
    model = RUNS / f"{task.model_of or name}-{seed}" / "model.safetensors"
    examples = None if task.model_of else folder / "train.npy"
    if examples:
        train(Source(examples), model, Budget(minutes=task.minutes), seed, overwrite=True)
    report = score(model, folder / "test.npy", examples, None, task.sampled, TEST_SEED)
    return {"task": name, "seed": seed, "minutes": task.minutes, **report, **around}


def write_grids(task: Task, folder: Path, seed: int) -> None:
    """`train.npy`, and `test.npy` with its law; both through the code of `gridcloze toy`, but for split members."""
    trained, tested = make_toy(**task.train), make_toy(**(task.test or task.train))
    toy(trained, folder / "train.npy", N_EXAMPLES, 0, seed, 1, overwrite=True)
    toy(tested, folder / "test.npy", N_TEST, 0, TEST_SEED + seed, 1, overwrite=True)
    if task.unseen:
        assert isinstance(trained, FinitePrior)
        generator = np.random.default_rng(seed)
        members = trained.members[generator.permutation(len(trained.members))].astype(np.int64)
        half = len(members) // 2
        write_stack(folder / "train.npy", members[generator.integers(0, half, N_EXAMPLES)])
        write_stack(folder / "test.npy", members[generator.integers(half, len(members), N_TEST)])


COLUMNS = {  # of the table: a title, which predictor, which score
    "excess bits": ("model", "excess_bits"),
    "excess bits, lookup": ("lookup", "excess_bits"),
    "determined cells correct": ("model", "grids_all_determined_right"),
    "determined cells correct, lookup": ("lookup", "grids_all_determined_right"),
    "legal": ("model", "legal_samples"),
    "legal, one at a time": ("model", "legal_one_at_a_time"),
    "legal, lookup": ("lookup", "legal_samples"),
    "TV": ("model", "total_variation"),
    "TV, exact": ("exact", "total_variation"),
}


def table() -> str:
    """The results as a table in Markdown, a line for each task."""
    rows = []
    for name in TASKS:
        results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{name}-[0-9].json"))]
        if results:
            figures = [
                _mean([result["scores"].get(who, {}) for result in results], key) for who, key in COLUMNS.values()
            ]
            rows.append([f"{name} ({len(results)})", *figures])
    return common.table(["task (seeds)", *COLUMNS], rows)


def _mean(scores: list[dict[str, float]], key: str) -> str:
    """Mean over seeds, with the range where there is more than one; a dash where there is none."""
    values = [score.get(key, np.nan) for score in scores]
    if np.isnan(values).any():
        return "–"
    spread = f" ({min(values):.4f}…{max(values):.4f})" if max(values) > min(values) else ""
    return f"{np.mean(values):.4f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", help=f"of {', '.join(TASKS)}; all if none is named")
    parser.add_argument("--table", action="store_true", help="print the table of what there is, and run nothing")
    options = parser.parse_args()
    if unknown := set(options.tasks) - set(TASKS):
        parser.error(f"no such task: {', '.join(sorted(unknown))}")
    keep_freed_memory()  # as the commands do
    for name in [] if options.table else options.tasks or TASKS:
        for seed in TASKS[name].seeds:
            path = RESULTS / f"{name}-{seed}.json"
            if not path.exists():
                print(f"{name}, seed {seed}", file=sys.stderr)
                path.write_text(json.dumps(run(name, seed), indent=1) + "\n")
    print(table())


if __name__ == "__main__":
    main()
