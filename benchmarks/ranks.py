"""One of the processes that `torchrun` starts, or the only one: `python benchmarks/ranks.py OUT.npz '{"steps": 50}'`.

It trains a model on squares and writes weights, scores, and the median seconds of a step. In float64, rounding, which
differs with the number of processes, is far below what counts.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gridcloze import training
from gridcloze.bert import Bert, BertConfig
from gridcloze.priors.finite import squares
from gridcloze.training import Budget, Progress, Training, is_first


@dataclass(frozen=True)
class Setting:
    """What is trained, and how; `autocast` is bfloat16 where it pays."""

    steps: int = 50
    side: int = 8
    depth: int = 1
    dropout: float = 0.0
    dtype: str = "float64"
    autocast: bool = False


def train(setting: Setting) -> dict[str, np.ndarray]:
    """Everything that is written of a training."""
    if not setting.autocast:
        training.bf16_pays = lambda: False
    prior, seconds = squares(setting.side, setting.side, 2, 6), list[float]()
    torch.manual_seed(0)
    model = Bert(BertConfig(setting.side, setting.side, 2, setting.depth)).to(getattr(torch, setting.dtype))
    held_out = prior.sample(64, np.random.default_rng(1))
    note, start = lambda now: seconds.append(now.seconds), Progress(dropout=setting.dropout)
    run = Training(model, prior, held_out, Budget(steps=setting.steps), report=note, progress=start)
    run.run()
    scores = [score.held_out for score in run.progress.curve.scores]
    more = {"scores": scores, "seconds": np.median(np.diff(seconds[setting.steps // 2 :]))}
    return {**{name: value.numpy() for name, value in model.state_dict().items()}, **more}


if __name__ == "__main__":
    trained = train(Setting(**json.loads(sys.argv[2])))
    if is_first():
        np.savez(Path(sys.argv[1]), **trained)  # type: ignore[arg-type]
