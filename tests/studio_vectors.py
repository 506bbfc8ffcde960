"""Golden vectors for the decoder of the studio's page; `python tests/studio_vectors.py` writes them."""

import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import numpy as np

from gridcloze import explaining, filling
from gridcloze.checkpoint import Header, TrainedPredictor
from gridcloze.decoding import Rows, refining
from gridcloze.files.palettes import Palette
from gridcloze.logits import Calibration, LogitsPredictor
from gridcloze.priors import posterior, squares
from gridcloze.puzzles import Puzzles
from gridcloze.side import Channel, with_side
from gridcloze.study.windows import WindowLimited
from gridcloze.tiling import Tiling

ROOT = Path(__file__).parent.parent
VECTORS = ROOT / "src" / "gridcloze" / "studio" / "page" / "test" / "vectors.json"
CALIBRATION = Calibration((1.0, 1.5, 3.5), (0.7, 1.2, 1.5))
OLD = Calibration((0.1, 0.5, 0.8), (0.7, 1.2, 1.5), "hidden_fractions")
HOLE = np.pad(np.ones((6, 7), bool), ((2, 1), (1, 0)))
CASES = {  # height and width, those of the window or None, symbols, share of hidden cells or which, seed
    "weighted": ((5, 6), None, 2, 0.6, 0),
    "weighted, nine symbols": ((4, 5), None, 9, 0.7, 1),
    "every cell hidden, a large seed": ((3, 5), None, 3, 1.0, 2**40 + 5),
    "no cell hidden": ((2, 3), None, 3, 0.0, 0),
    "spread": ((7, 11), (5, 6), 2, 0.7, 3),
    "spread, nine symbols": ((9, 8), (6, 6), 9, 0.6, 4),
    "lower than a window": ((3, 13), (6, 6), 4, 0.8, 5),
    "margins that round to even": ((4, 17), (4, 10), 2, 0.7, 8),
    "as large as a window": ((6, 6), (6, 6), 3, 0.8, 6),
    "smaller than a window": ((4, 5), (6, 6), 3, 0.8, 7),
    "side maps": ((5, 6), None, 3, 0.7, 9),
    "side maps in windows": ((7, 11), (5, 6), 2, 0.7, 10),
    "side maps, lower than a window": ((3, 13), (6, 6), 4, 0.8, 11),
    "a hole": ((9, 8), None, 2, HOLE, 12),
    "calibrated by hidden fractions": ((5, 6), None, 2, 0.6, 13),
}
CHANNELS = Channel("zone", (1.0, 2.5)), Channel("depth", mean=0.3, deviation=0.7)


class Hashed(LogitsPredictor):
    """Logits that any language computes alike: quarters from a sum over all cells, and the features of side maps."""

    def logits(self, tokens, side=None):
        flat = tokens.reshape(len(tokens), -1)
        to, of, symbol = np.ogrid[: flat.shape[1], : flat.shape[1], : self.n_symbols]
        factor = (7 * to + 13 * of + 31 * symbol + to * of * (symbol + 1)) % 17
        logits = (np.einsum("bj,ijs->bis", flat + 1, factor) % 64 / 4).reshape(*tokens.shape, self.n_symbols)
        if side is None:
            return logits
        feature, symbol = np.ogrid[: side.shape[-1], : self.n_symbols]
        return (logits + side.astype(float) @ ((3 * feature + 2 * symbol) % 5)).astype(np.float32)


def predictor_of(size, window, n_symbols, side, calibration):
    height, width = window or size
    config = {"height": height, "width": width}
    header = Header(config, Palette.default(n_symbols), calibration=calibration, windows=window is not None, side=side)
    return TrainedPredictor(Hashed(n_symbols, calibration), header)


def maps_of(size):
    """Side maps of a grid, unknown here and there."""
    generator = np.random.default_rng(2)
    zone = generator.choice([1.0, 2.5], size)
    maps = np.stack([zone, generator.normal(0.3, 0.7, size)], axis=-1).astype(np.float32)
    maps[generator.random(maps.shape) < 0.2] = np.nan
    return maps


def passes_of(make, size, window):
    """What `make` returns, and the passes of each sample, tile by tile: cells of the grid, symbols and bits."""
    passes = defaultdict(list)
    starts = {(0, 0): (0, 0)}
    if window:
        starts = {
            tuple(axis.start for axis in tile.core): tuple(axis.start for axis in tile.window)
            for row in Tiling(*size, window).rows
            for tile in row
        }
    step = Rows.step

    def recorded(rows, index, *arguments):
        hidden, bits = rows.hidden[index].copy(), rows.log_prob_bits[index].copy()
        step(rows, index, *arguments)
        for place, row in enumerate(index.tolist()):
            (inside,) = np.nonzero(hidden[place] & ~rows.hidden[row])
            stream = rows.streams[row]
            core = tuple(stream[7:]) or (0, 0)
            down, across = np.divmod(inside, rows.size[1])
            cells = (down + starts[core][0]) * size[1] + across + starts[core][1]
            more = rows.log_prob_bits[row] - bits[place]
            passes[stream[6], core].append(
                {"revealed": cells.tolist(), "symbols": rows.cells[row, inside].tolist(), "bits": float(more)}
            )

    with mock.patch.object(Rows, "step", recorded):
        fills = make()
    by_sample = defaultdict(list)
    for sample, core in sorted(passes):
        by_sample[sample] += passes[sample, core]
    return fills, [by_sample[sample] for sample in range(fills.cells.shape[1])]


def fills_of(make, size, window):
    exceeds = window and (size[0] > window[0] or size[1] > window[1])
    fills, passes = passes_of(make, size, window if exceeds else None)
    return [
        {"cells": cells.ravel().tolist(), "logProbBits": float(bits), "passes": each}
        for cells, bits, each in zip(fills.cells[0], fills.log_prob_bits[0], passes, strict=True)
    ]


def case(size, window, n_symbols, hidden_share, seed, name):
    generator = np.random.default_rng(0)
    cells = generator.integers(n_symbols, size=(1, *size))
    if isinstance(hidden_share, float):
        hidden = generator.permutation(cells.size).reshape(cells.shape) < round(hidden_share * cells.size)
    else:
        hidden = hidden_share[None]
    is_sided, calibration = name.startswith("side maps"), OLD if name.endswith("fractions") else CALIBRATION
    cells = np.where(hidden, -1, cells)
    side = maps_of(size)[None] if is_sided else None
    puzzles = Puzzles(cells, side=side)
    predictor = predictor_of(size, window, n_symbols, CHANNELS if is_sided else (), calibration)
    vector = {
        "calibration": calibration.to_json(),
        "size": size,
        "window": window,
        "symbols": n_symbols,
        "cells": cells.ravel().tolist(),
        "seed": seed,
        "marginals": filling.marginals(predictor, puzzles)[0].ravel().tolist(),
        "samples": fills_of(lambda: filling.sample(predictor, puzzles, 3, seed), size, window),
        "refined": [
            filling.sample(predictor, puzzles, 2, seed, refining(predictor, rounds)).cells[0].reshape(2, -1).tolist()
            for rounds in (1, 2)
        ],
    }
    if not hidden.all():
        vector["mostLikely"] = fills_of(lambda: filling.most_likely(predictor, puzzles, seed), size, window)[0]
    if hidden.any():
        target = np.argwhere(hidden[0])[:1]
        influence = explaining.influence(with_side(predictor, side), cells[0], hidden[0], target)[0]
        vector["target"] = int(target[0, 0] * size[1] + target[0, 1])
        vector["influence"] = [None if np.isnan(value) else float(value) for value in influence.ravel()]
    if side is not None:
        vector["side"] = {
            channel.name: [None if np.isnan(value) else float(value) for value in side[..., number].ravel()]
            for number, channel in enumerate(CHANNELS)
        }
    return vector


def windows():
    """What squares leave possible, from the whole grid and from windows of it."""
    prior = squares(8, 8, 3, 5)
    generator = np.random.default_rng(1)
    cells = prior.members[[40, 3, 17]].astype(np.int64)
    hidden = generator.random(cells.shape) < 0.8
    hidden[2] = True
    exact = posterior(prior)
    for grid, grid_hidden in zip(np.where(hidden, -1, cells), hidden, strict=True):
        sides = {
            side: WindowLimited(exact, side // 2).marginals(grid[None], grid_hidden[None]).ravel().tolist()
            for side in (1, 3, 7)
        }
        whole = exact.marginals(grid[None], grid_hidden[None]).ravel().tolist()
        yield {
            "prior": "squares 8x8 3..5",
            "size": (8, 8),
            "cells": grid.ravel().tolist(),
            "exact": whole,
            "sides": sides,
        }


def randomness():
    """Random numbers of streams, and the names of grids."""
    streams = [(0,), (0, 4294967295, 0, 7, 0, 2), (2**40 + 5, 1, 2, 3, 4, 0, 1, 8, 56), (1, 0)]
    generators = [
        (stream, np.random.default_rng(stream).random(1001)[[0, 1, 2, 63, 1000]].tolist()) for stream in streams
    ]
    grids = [np.arange(n, dtype=np.int64)[None, None] % 7 - 1 for n in (1, 63, 64, 65, 4096)]
    names = [(grid.size, Puzzles(grid).names[0]) for grid in grids]
    return {"uniforms": generators, "names": names}


def vectors():
    return {
        "randomness": randomness(),
        "channels": [asdict(channel) for channel in CHANNELS],
        "cases": {name: case(*values, name) for name, values in CASES.items()},
        "windows": list(windows()),
    }


if __name__ == "__main__":
    VECTORS.parent.mkdir(exist_ok=True)
    VECTORS.write_text(json.dumps(vectors()) + "\n")
