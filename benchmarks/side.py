"""What side maps are worth: `python benchmarks/side.py [TASK …] [--quick]`.

flips, gauss    squares 16×16, seen through 10 % flips or through Gaussian noise: distance from the exact posterior
copy, noise     a side map that equals the grid, and one that says nothing
landcover-…     holes, clouds and few known cells of a map of 15 classes, without side maps, with each and with both:
                a map of ten years ago and an elevation, which `year_before` and `elevation` make with a seed
landcover-peers the class of ten years ago, and a random forest on the same side maps and the nearest visible cells
channels-…      channels with a map of sand probability, or without; the same by MPSlib, with it as soft data
speed           training and filling with 0, 1, 4 and 16 side maps

Results are written to benchmarks/results/side-TASK.json.
"""

import resource
import time
from functools import partial

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from sklearn.ensemble import RandomForestClassifier

import data
import textures
from common import Figures, Task, main
from gridcloze import scoring
from gridcloze.answers import fill
from gridcloze.files.palettes import Palette
from gridcloze.learning import learn
from gridcloze.priors import evaluation_hiding, hiding, posterior, squares
from gridcloze.priors.examples import Examples
from gridcloze.priors.windows import Windows
from gridcloze.puzzles import Puzzles
from gridcloze.shapes import Cells, Hidden, Marginals
from gridcloze.side import SidedPredictor, SideMaps, with_side
from gridcloze.training import Budget
from gridcloze.words import finite_or_none
from peers import SIMULATORS, Answer

SEED, FLIPPED, DEVIATION = 7000, 0.1, 0.7
TOYS = {"flips": 5.0, "gauss": 2.0, "copy": 0.5, "noise": 1.5}  # minutes of training
SUBSETS = {"none": (), "year": ("year",), "elevation": ("elevation",), "both": ("year", "elevation")}
CHANNELS_OF_SPEED = (0, 1, 4, 16)
WINDOW = 32
TRAIN, TEST = slice(0, 470), slice(480, 560)  # columns, as in landcover.py
FOREST_CELLS = 30_000  # that a random forest learns from
CHANNELS, SAND, LEARNED = 64, 1, 400  # cells of a window; the symbol of sand; realisations to learn from
PATCH_DENSITY, CHANGED, BUFFER = 0.02, 0.5, 2  # centres of change a cell, share of these that change, cells


def observed(kind: str, cells: Cells, generator: np.random.Generator) -> np.ndarray:
    """The side map of a toy: integers, which are classes, or numbers."""
    maps = {
        "flips": lambda: cells ^ (generator.random(cells.shape) < FLIPPED),
        "gauss": lambda: cells + generator.normal(0, DEVIATION, cells.shape),
        "copy": lambda: cells,
        "noise": lambda: generator.normal(size=cells.shape),
    }
    return maps[kind]()[..., None]


def likelihood(kind: str, side: np.ndarray) -> np.ndarray | None:
    """The probability of a side map of a toy under both symbols."""
    white = side == np.arange(2)
    if kind == "gauss":
        return np.exp(-((side - np.arange(2)) ** 2) / (2 * DEVIATION**2))
    return {"flips": np.where(white, 1 - FLIPPED, FLIPPED), "copy": white.astype(float)}.get(kind)


def toy(kind: str, budget: Budget, n: int, depth: int) -> Figures:
    """Train on squares with a side map, and compare with the exact posterior: all cells hidden, and the usual mix."""
    prior, generator = squares(), np.random.default_rng(SEED)
    cells, held_out = prior.sample(n, generator), prior.sample(400, generator)
    side = SideMaps.of(observed(kind, cells, generator))
    model = learn(Examples(cells, Palette.default(2), side=side), budget, SEED, depth)
    seen, figures = observed(kind, held_out, generator), Figures(training=model.header.training)
    for name, hidden in (("all", np.ones(held_out.shape, bool)), ("mix", evaluation_hiding(held_out.shape, generator))):
        bound = with_side(model, seen.astype(np.float32))
        assert isinstance(bound, SidedPredictor)
        exact = posterior(prior).marginals(held_out, hidden, likelihood(kind, seen))
        worth, error = scoring.side_worth(bound, held_out, hidden)[0]
        scores = scoring.score(bound.marginals(held_out, hidden), held_out, hidden, exact)
        figures[name] = finite_or_none(scores | {"worth": worth, "standard_error": error})
    return figures


def year_before(cells: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A map of ten years ago: around random centres half of the cells of a patch had the class of another place."""
    centres = generator.random(cells.shape) < PATCH_DENSITY
    is_near = distance_transform_edt(~centres) <= BUFFER + generator.integers(0, 3, cells.shape)
    changes = is_near & (gaussian_filter(generator.normal(size=cells.shape), 1.5) > np.quantile([-1, 1], 1 - CHANGED))
    return np.where(changes, np.roll(cells, (7, 11), axis=(0, 1)), cells)


def elevation(cells: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A smooth surface that relates to classes: each has a height of its own, with hills that ignore them."""
    height = generator.permutation(int(cells.max()) + 1).astype(float)
    hills = gaussian_filter(generator.normal(size=cells.shape), 20)
    return gaussian_filter(height[cells], 3) + 2 * hills / hills.std() + generator.normal(0, 0.2, cells.shape)


def cloud(shape: tuple[int, ...], generator: np.random.Generator, ground: np.ndarray | float = 0.0) -> Hidden:
    """Half of each window under clouds, which prefer high ground if they are given one."""
    heights = np.stack([gaussian_filter(generator.normal(size=shape[1:]), 3) for _ in range(shape[0])])
    heights = heights / heights.std() + ground
    return heights > np.median(heights, axis=(1, 2), keepdims=True)


OVER_HIGH_GROUND = "clouds over high ground"
CONDITIONS = {
    "8×8": partial(hiding.square_hole, 8),
    "clouds": cloud,
    "5 %": partial(hiding.visible_share, 0.05),
    "20 %": partial(hiding.visible_share, 0.2),
    OVER_HIGH_GROUND: cloud,
}


def hide(name: str, ground: np.ndarray, generator: np.random.Generator) -> Hidden:
    """The hidden cells of windows, whose elevation only the last of the conditions looks at."""
    more = {"ground": (ground - ground.mean()) / ground.std()} if name == OVER_HIGH_GROUND else {}
    return CONDITIONS[name](ground.shape, generator, **more)


def landcover(which: tuple[str, ...], budget: Budget, depth: int, n: int) -> Figures:
    """Error and bits of a model of windows with some of the side maps."""
    cells, maps = _landcover()
    chosen = np.stack([maps[name] for name in which], axis=-1).astype(np.float32) if which else None
    side = None if chosen is None else SideMaps.of([chosen[:, TRAIN]], list(which))
    prior = Windows([cells[:, TRAIN]], Palette.default(15), (WINDOW, WINDOW), "all", side=side)
    model = learn(prior, budget, SEED, depth)
    figures = Figures(training=model.header.training)
    for name, windows, hidden, places in _windows(cells, maps["elevation"], n):
        of_windows = None if chosen is None else np.stack([chosen[place] for place in places])
        marginals = with_side(model, of_windows).marginals(windows, hidden)
        figures[name] = scoring.score(marginals, windows, hidden) | {"bias_of_shares": bias(marginals, windows, hidden)}
    return figures


def bias(marginals: Marginals, cells: Cells, hidden: Hidden) -> float:
    """How far the shares of the classes that are expected under hidden cells lie from the true ones, 0 to 1."""
    true = np.bincount(cells[hidden], minlength=marginals.shape[-1]) / hidden.sum()
    return float(np.abs(marginals[hidden].mean(axis=0) - true).sum() / 2)


def landcover_peers(n: int, trees: int) -> Figures:
    """What needs no transformer: the class of ten years ago, and a forest on side maps and cells nearby."""
    cells, maps = _landcover()
    layers, figures = np.stack(list(maps.values()), axis=-1), Figures()
    for number, (name, windows, hidden, places) in enumerate(_windows(cells, maps["elevation"], n)):
        generator = np.random.default_rng([SEED, number, 1])
        starts = generator.integers(0, [cells.shape[0] - WINDOW, TRAIN.stop - WINDOW], (n, 2))
        learned = [(slice(row, row + WINDOW), slice(column, column + WINDOW)) for row, column in starts]
        grids = np.stack([cells[place] for place in learned])
        masks = hide(name, np.stack([maps["elevation"][place] for place in learned]), generator)
        forest = RandomForestClassifier(trees, min_samples_leaf=3, n_jobs=1, random_state=SEED)
        features, classes = _features(grids, masks, layers, learned), grids[masks]
        some = generator.permutation(len(classes))[:FOREST_CELLS]
        forest.fit(features[some], classes[some])
        marginals: Marginals = np.zeros((*windows.shape, 15)) + 1e-4
        predicted = forest.predict_proba(_features(windows, hidden, layers, places))
        of_hidden = marginals[hidden]
        of_hidden[:, forest.classes_] += predicted
        marginals[hidden] = of_hidden
        marginals /= marginals.sum(axis=-1, keepdims=True)
        before = np.stack([maps["year"][place] for place in places])
        figures[name] = {
            "random forest": scoring.score(marginals, windows, hidden)
            | {"bias_of_shares": bias(marginals, windows, hidden)},
            "class of ten years ago": float((before != windows)[hidden].mean()),
        }
    return figures


def _landcover() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    cells, generator = data.landcover()["cells"].astype(np.int64), np.random.default_rng(SEED)
    return cells, {"year": year_before(cells, generator), "elevation": elevation(cells, generator)}


def _windows(cells: np.ndarray, ground: np.ndarray, n: int):
    for number, name in enumerate(CONDITIONS):
        generator = np.random.default_rng([SEED, number])
        rows = generator.integers(0, cells.shape[0] - WINDOW, n)
        columns = generator.integers(TEST.start, TEST.stop - WINDOW, n)
        places = [(slice(r, r + WINDOW), slice(c, c + WINDOW)) for r, c in zip(rows, columns, strict=True)]
        windows = np.stack([cells[place] for place in places])
        yield name, windows, hide(name, np.stack([ground[place] for place in places]), generator), places


def _features(windows: Cells, hidden: Hidden, layers: np.ndarray, places: list) -> np.ndarray:
    """Of each hidden cell its side maps, the four nearest visible cells by quadrant, and how far these are."""
    every = []
    for grid, mask, place in zip(windows, hidden, places, strict=True):
        distance, (row, column) = distance_transform_edt(mask, return_indices=True)
        nearest = [grid[row, column], distance]
        for down, across in ((0, 3), (3, 0), (0, -3), (-3, 0)):
            at = np.roll(row, down, 0), np.roll(column, across, 1)
            nearest.append(grid[at])
        every.append(np.concatenate([layers[place][mask], np.stack(nearest, axis=-1)[mask]], axis=-1))
    return np.concatenate(every)


def _channels(n: int):
    """Realisations to learn from with their maps, and windows of others with 1 % known.

    A map of sand is as a geologist would have it: smoothed truth with noise.
    """
    generator = np.random.default_rng(SEED)
    cells = data.channels()["realizations"][:450].astype(np.int64)
    sand = np.stack([gaussian_filter((grid == SAND).astype(float), 4) for grid in cells])
    sand = (sand + generator.normal(0, 0.1, sand.shape)).astype(np.float32)
    place = slice(LEARNED, LEARNED + n), slice(CHANNELS), slice(CHANNELS)
    hidden = hiding.visible_share(0.01, (n, CHANNELS, CHANNELS), generator)
    return cells, sand, cells[place], sand[place], hidden


def _realisations(answer: Answer, cells: Cells, windows: Cells, hidden: Hidden) -> Figures:
    """How realisations look, and how often they are wrong."""
    reference = textures.windows_of(cells[LEARNED:], 200, CHANNELS, np.random.default_rng(SEED))
    wrong = (answer.samples != windows[:, None]) & hidden[:, None]
    scores = textures.scores(answer, windows, hidden, reference, data.channels()["training_image"][None])
    return scores | {"error_of_samples": float(wrong.sum() / (wrong.shape[1] * hidden.sum()))}


def channels(with_sand: bool, budget: Budget, depth: int, n: int) -> Figures:
    """Realisations of a model that learned from others, with maps of sand or without."""
    cells, sand, windows, of_windows, hidden = _channels(n)
    maps = SideMaps.of(list(sand[:LEARNED, ..., None]), ["sand"]) if with_sand else None
    prior = Windows(list(cells[:LEARNED]), Palette.default(2), (CHANNELS, CHANNELS), "none", side=maps)
    model = learn(prior, budget, SEED, depth)
    side = of_windows[..., None] if with_sand else None
    began = time.monotonic()
    answers = fill(model, Puzzles(windows, hidden, side=side), samples=4, seed=SEED)
    seconds, samples = model.header.training["seconds"], answers.samples
    answer = Answer(answers.marginals, samples, seconds, time.monotonic() - began)
    return _realisations(answer, cells, windows, hidden) | {"training": model.header.training}


def channels_mpslib(n: int) -> Figures:
    """Realisations of MPSlib from the training image: without soft data, and with the probability of sand given the
    map, which the realisations that our model learns from tell.
    """
    cells, sand, windows, of_windows, hidden = _channels(n)
    edges = np.quantile(sand[:LEARNED], np.linspace(0, 1, 41))
    bins = np.digitize(sand[:LEARNED], edges[1:-1])
    shares = np.bincount(bins.ravel(), (cells[:LEARNED] == SAND).ravel()) / np.bincount(bins.ravel())
    of_sand = shares[np.digitize(of_windows, edges[1:-1])]
    soft = np.stack([1 - of_sand, of_sand], axis=-1)
    image, figures = data.channels()["training_image"][None], Figures()
    for name in ("MPSlib GENESIM", "MPSlib SNESIM"):
        for what, given in (("without", None), ("soft data", soft)):
            answer = SIMULATORS[name](image, windows, hidden, 4, SEED, given)
            assert isinstance(answer, Answer)
            figures[f"{name}, {what}"] = _realisations(answer, cells, windows, hidden)
    return figures


def speed(steps: int) -> Figures:
    """Seconds and memory of a training step and a fill of a window, by the number of side maps."""
    generator, figures = np.random.default_rng(SEED), Figures()
    cells = squares().sample(2000, generator)
    for number in CHANNELS_OF_SPEED:
        values = generator.normal(size=(*cells.shape, number)).astype(np.float32)
        side = SideMaps.of(values) if number else None
        model = learn(Examples(cells, Palette.default(2), side=side), Budget(steps=steps), SEED)
        # Puzzles that differ: equal ones are predicted once, as those without side maps would be if nothing were known.
        hidden = hiding.visible_share(0.05, (64, 16, 16), np.random.default_rng(SEED))
        puzzles = Puzzles(cells[:64], hidden, side=values[:64] if number else None)
        began = time.monotonic()
        fill(model, puzzles, samples=1).samples  # noqa: B018, it is computed when it is asked for
        figures[str(number)] = {
            "seconds_a_step": model.header.training["seconds"] / steps,
            "seconds_a_sample": (time.monotonic() - began) / 64,
            "weights": model.header.config["side"] if number else 0,
            "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }
    return figures


def tasks(quick: bool) -> dict[str, Task]:
    def budget(minutes: float) -> Budget:
        return Budget(steps=3) if quick else Budget(minutes=minutes)

    n, depth, windows = (300, 1, 4) if quick else (60_000, 6, 200)
    return (
        {kind: partial(toy, kind, budget(of_kind), n, depth) for kind, of_kind in TOYS.items()}
        | {f"landcover-{name}": partial(landcover, which, budget(5), depth, windows) for name, which in SUBSETS.items()}
        | {"landcover-peers": partial(landcover_peers, windows, 5 if quick else 100)}
        | {
            f"channels-{name}": partial(channels, name == "sand", budget(5), depth, 2 if quick else 15)
            for name in ("none", "sand")
        }
        | {"channels-mpslib": partial(channels_mpslib, 2 if quick else 15)}
        | {"speed": partial(speed, 3 if quick else 50)}
    )


if __name__ == "__main__":
    main(tasks(quick=False), __doc__, tasks(quick=True))
