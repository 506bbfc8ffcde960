"""The page of the studio next to Python: `python benchmarks/studio.py [TASK …]`, minutes with one thread.

parity   500 puzzles of squares, filled by Python and by the exported page in Chromium with the same seed
budgets  sizes, time to the first answer, milliseconds a forward pass and the longest frame, by model

`make page` must have built the page. The model of squares is trained here for a minute: it is to be compared, not good.
Results are written to benchmarks/results/studio-TASK.json.
"""

import gzip
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from common import MODELS, RUNS, Figures, main, trained
from gridcloze import answers, checking, checkpoint, filling, priors
from gridcloze.checkpoint import TrainedPredictor
from gridcloze.commands.export import export
from gridcloze.files.palettes import Palette
from gridcloze.predictor import Predictor
from gridcloze.priors.examples import Examples
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.puzzles import Puzzles
from gridcloze.shapes import Bits, Cells, Hidden, Marginals
from gridcloze.studio.single import built_file
from gridcloze.training import Budget

FOLDER = RUNS / "studio"
PUZZLES, AT_ONCE, SEED = 500, 25, 7
NOISE, TRIES = 2e-6, 40  # of a probability: what is decided by less is a near tie
PASSES_TIMED = 20
TRAINING = Budget(minutes=1)

FILLS = """async ({puzzles, seed}) => {
  globalThis.backend ??= new gridclozeEngine.BrowserBackend();
  const [model] = await backend.models(), found = [];
  const plain = fill => ({cells: [...fill.cells], bits: fill.logProbBits});
  for (const {height, width, cells} of puzzles) {
    const puzzle = {height, width, cells: Int16Array.from(cells)};
    found.push({
      sample: plain((await backend.sample(model, puzzle, 1, {seed}))[0]),
      likely: plain(await backend.mostLikely(model, puzzle, {seed})),
    });
  }
  return found;
}"""
FIRST = """async puzzle => {
  globalThis.backend ??= new gridclozeEngine.BrowserBackend();
  const [model] = await backend.models();
  await backend.marginals(model, {...puzzle, cells: Int16Array.from(puzzle.cells)}, {seed: 0});
  return performance.now();
}"""
PASSES = """async ({puzzle, n}) => {
  const [model] = await backend.models();
  const asked = {...puzzle, cells: Int16Array.from(puzzle.cells)}, times = [];
  for (let i = 0; i < n; i++) {
    const began = performance.now();
    await backend.marginals(model, asked, {seed: 0});
    times.push(performance.now() - began);
  }
  return times;
}"""
SAMPLES = """async ({puzzle, n}) => {
  const [model] = await backend.models();
  const asked = {...puzzle, cells: Int16Array.from(puzzle.cells)};
  let last = null, longest = 0, frames = 0, reports = 0, running = true;
  const frame = now => {
    if (last !== null) { longest = Math.max(longest, now - last); frames++; }
    last = now;
    if (running) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  const began = performance.now();
  const work = n ? backend.sample(model, asked, n, {seed: 0, onProgress: () => reports++})
    : new Promise(done => setTimeout(done, 5000));
  const fills = await work;
  running = false;
  const ms = performance.now() - began;
  return {ms, longest, frames, reports, passes: n && Math.max(...fills.map(fill => fill.passes.length))};
}"""


class Noisy:
    """A predictor whose probabilities are off by what two runtimes differ."""

    window = None

    def __init__(self, predictor: TrainedPredictor, seed: int):
        self.predictor, self.n_symbols = predictor, predictor.n_symbols
        self.generator = np.random.default_rng(seed)

    def marginals(self, cells: Cells, hidden: Hidden) -> Marginals:
        predicted = self.predictor.marginals(cells, hidden)
        noisy = np.clip(predicted + self.generator.uniform(-NOISE, NOISE, predicted.shape), 1e-12, 1)
        return np.where(hidden[..., None], noisy / noisy.sum(axis=-1, keepdims=True), predicted)


@contextmanager
def chromium() -> Iterator[Any]:
    """With a profile of its own."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        yield browser
        browser.close()


def squares() -> Examples:
    cells = priors.squares(16, 16).sample(5000, np.random.default_rng(0)).astype(np.int64)
    return Examples(cells, Palette.default(2))


def exported(name: str) -> Path:
    """The ONNX file of a model; its page lies next to it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    model, onnx = MODELS / f"{name}.safetensors", FOLDER / f"{name}.onnx"
    if name == "squares":
        model = FOLDER / "squares.safetensors"
        if not model.exists():
            trained(squares, model, TRAINING)
    if not onnx.exists():
        export(model, onnx)
    export(onnx, onnx.with_suffix(".html"), overwrite=True)
    return onnx


def asked_of(cells: Cells, hidden: Hidden) -> list[Figures]:
    height, width = cells.shape[1:]
    return [{"height": height, "width": width, "cells": grid.ravel().tolist()} for grid in np.where(hidden, -1, cells)]


def is_near_tie(predictor: TrainedPredictor, puzzles: Puzzles, kind: str) -> bool:
    """Whether noise of the size of rounding changes what Python fills in."""
    fills = [fills_of(each, puzzles)[kind][0] for each in (predictor, *(Noisy(predictor, t) for t in range(TRIES)))]
    return not all(np.array_equal(fill, fills[0]) for fill in fills)


def fills_of(predictor: Predictor, puzzles: Puzzles) -> dict[str, tuple[Cells, Bits]]:
    """Samples and the most likely fills as `gridcloze fill` gives them, with their log-probabilities."""
    samples, answer = filling.sample(predictor, puzzles, 1, SEED), answers.fill(predictor, puzzles, seed=SEED)
    return {
        "sample": (samples.cells[:, 0], samples.log_prob_bits[:, 0]),
        "likely": (answer.fill, answer.log_prob_bits),
    }


def parity() -> Figures:
    onnx = exported("squares")
    generator = np.random.default_rng(SEED)
    cells = priors.squares(16, 16).sample(PUZZLES, generator).astype(np.int64)
    hidden = evaluation_hiding(cells.shape, generator)
    predictor = checkpoint.load(onnx)
    with chromium() as browser:
        page = browser.new_page()
        page.goto(onnx.with_suffix(".html").as_uri())
        page.wait_for_function("globalThis.gridclozeEngine")
        asked = asked_of(cells, hidden)
        parts = [asked[start : start + AT_ONCE] for start in range(0, PUZZLES, AT_ONCE)]
        found = [one for part in parts for one in page.evaluate(FILLS, {"puzzles": part, "seed": SEED})]
    puzzles = Puzzles(np.where(hidden, -1, cells))
    doubted = checking.contradicting(predictor, puzzles).any(axis=(1, 2))
    figures: Figures = {"puzzles": PUZZLES, "with_doubted_cells": int(doubted.sum())}
    for kind, (fills, log_prob_bits) in fills_of(predictor, puzzles).items():
        same = [one[kind]["cells"] == fill.ravel().tolist() for one, fill in zip(found, fills, strict=True)]
        bits = np.array([one[kind]["bits"] for one in found]) - log_prob_bits
        different = [number for number, is_same in enumerate(same) if not is_same]
        figures[kind] = {
            "same": sum(same),
            "largest_difference_bits": float(np.abs(bits[same]).max()),
            "different": [
                {"puzzle": number, "near_tie": is_near_tie(predictor, Puzzles(puzzles.cells[[number]]), kind)}
                for number in different
            ],
        }
    return figures


def python_ms(predictor: TrainedPredictor, cells: Cells, hidden: Hidden, n: int) -> float:
    times = []
    for _ in range(n):
        began = time.perf_counter()
        predictor.marginals(cells, hidden)
        times.append(1000 * (time.perf_counter() - began))
    return float(np.median(times))


def budgets_of(page: Page, onnx: Path, samples: int) -> Figures:
    predictor = checkpoint.load(onnx)
    height, width = predictor.size
    row, column = np.indices((height, width))
    cells = ((row + column) // 8 % 2)[None]
    hidden = np.random.default_rng(SEED).random(cells.shape) < 0.9
    (puzzle,) = asked_of(cells, hidden)
    page.goto(onnx.with_suffix(".html").as_uri())
    page.wait_for_function("globalThis.gridclozeEngine")
    first = page.evaluate(FIRST, puzzle)
    passes = page.evaluate(PASSES, {"puzzle": puzzle, "n": PASSES_TIMED})
    rest, work = (page.evaluate(SAMPLES, {"puzzle": puzzle, "n": n}) for n in (0, samples))
    began = time.perf_counter()
    filling.sample(predictor, Puzzles(cells, hidden), samples)
    return {
        "model_bytes": onnx.stat().st_size,
        "single_file_bytes": onnx.with_suffix(".html").stat().st_size,
        "opening_to_first_answer_ms": round(first),
        "pass_ms": round(float(np.median(passes)), 2),
        "pass_ms_python": round(python_ms(predictor, cells, hidden, PASSES_TIMED), 2),
        "samples": samples,
        "samples_ms": round(work["ms"]),
        "samples_ms_python": round(1000 * (time.perf_counter() - began)),
        "samples_passes": work["passes"],
        "longest_frame_ms": round(work["longest"], 1),
        "longest_frame_ms_at_rest": round(rest["longest"], 1),
        "progress_reports": work["reports"],
    }


def budgets() -> Figures:
    script = built_file("assets/page.js").read_bytes()
    figures: Figures = {"own_script_gzip_bytes": len(gzip.compress(script))}
    with chromium() as browser:
        for name, samples in {"squares": 16, "digits": 2, "channels": 16}.items():
            page = browser.new_page()
            figures[name] = budgets_of(page, exported(name), samples)
            page.close()
    return figures


if __name__ == "__main__":
    main({"parity": parity, "budgets": budgets}, __doc__)
