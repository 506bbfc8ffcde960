"""Channels and Strebelle's image, beside the tools people use today: `python benchmarks/channels.py [TASK …]`.

model-…       trains on realisations 0…399 of the channels, on their one training image, on Strebelle's image
conditions-…  64×64 windows of realisations 400…449 with holes, or few cells known: who fills them how well
strebelle-…   100×100 grids with 100 known cells of Strebelle's image
specks-…      isolated cells and bodies of samples that are refined, or drawn with fewer cells a pass

Results are written to benchmarks/results/channels-TASK.json.
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

import data
import patterns
import textures
from common import RESULTS, Figures, Task, main
from gridcloze import checkpoint, filling
from gridcloze.decoding import WINDOW_DECODER
from gridcloze.files.palettes import Palette
from gridcloze.priors import hiding
from gridcloze.priors.windows import Windows
from gridcloze.puzzles import Puzzles
from gridcloze.shapes import Cells, Hidden
from peers import PEERS, SIMULATORS, Peer
from textures import Sizes

SIDE = 64  # of the windows that are learned
IMAGES = {"realisations": 28.0, "image": 24.0, "strebelle": 20.0}  # minutes of training
FULL = Sizes(effort=1.0, depth=8, most_grids=50, samples=8)
QUICK = Sizes(effort=0.01, depth=4, most_grids=2, samples=2)
TEST = slice(400, 450)
SEED = 5000
CONDITIONS = {  # what is hidden, and in how many grids: simulators take long where much is hidden
    "8×8": (partial(hiding.square_hole, 8), 50),
    "16×16": (partial(hiding.square_hole, 16), 50),
    "1 %": (partial(hiding.visible_share, 0.01), 15),
    "5 %": (partial(hiding.visible_share, 0.05), 15),
    "20 %": (partial(hiding.visible_share, 0.2), 15),
}
STREBELLE_SIDE, STREBELLE_KNOWN = 100, 100
OF_STREBELLE = "gridcloze from strebelle"
TRUTH = "the truth itself"
SPECKS = {  # decoders, and how many rounds of refining
    "default": WINDOW_DECODER,
    "refine 1": replace(WINDOW_DECODER, refine=1),
    "refine 2": replace(WINDOW_DECODER, refine=2),
    **{f"side per symbol {side}": replace(WINDOW_DECODER, side_per_symbol=side) for side in (8, 16)},
}
SPECKS_MODELS = ("realisations", "image")
SPECKS_CONDITIONS, SPECKS_GRIDS, SPECKS_SAMPLES = ("1 %", "20 %"), 10, 4
STREBELLE_PLACES = ((0, 0), (0, 150), (150, 0), (75, 75))  # of the windows whose cells are known


def images_of(name: str) -> Cells:
    """What a model learns from, and a simulator takes the first of."""
    if name == "strebelle":
        return data.strebelle()["training_image"][None]
    arrays = data.channels()
    return arrays["realizations"][: TEST.start] if name == "realisations" else arrays["training_image"][None]


def model_path(name: str, folder: Path = RESULTS) -> Path:
    return folder / "runs" / f"channels-{name}.safetensors"


def train(name: str, sizes: Sizes, folder: Path) -> Figures:
    """A model of windows; of a single image they are mirrored too, since channels are as likely so."""

    def prior() -> Windows:
        images = list(images_of(name))
        return Windows(images, Palette.default(2), (SIDE, SIDE), "mirrors" if len(images) == 1 else "none")

    return textures.learned_by(prior, model_path(name, folder), IMAGES[name], sizes)


def puzzles_of(condition: str, most_grids: int) -> tuple[Cells, Hidden, Cells]:
    """Whole grids, what is hidden in them, and a reference that shows how grids look."""
    realisations, (hide, n) = data.channels()["realizations"][TEST], CONDITIONS[condition]
    generator = np.random.default_rng([SEED, list(CONDITIONS).index(condition)])
    cells = textures.windows_of(realisations, min(n, most_grids), SIDE, generator)
    hidden = hide(cells.shape, generator)
    return cells, hidden, textures.windows_of(realisations, 200, SIDE, generator)


def conditions(peer: Peer, learned: str, sizes: Sizes) -> Figures:
    """The scores of one who fills, for each condition."""
    figures = Figures(seed=SEED)
    for name in CONDITIONS:
        cells, hidden, reference = puzzles_of(name, sizes.most_grids)
        said = peer(images_of(learned), cells, hidden, sizes.samples, SEED)
        figures[name] = textures.scores(said, cells, hidden, reference, images_of("image"))
    return figures


def specks(name: str, sizes: Sizes, folder: Path) -> Figures:
    """How grainy samples are by each decoder, and what it takes; the truth's own patterns show what few grids allow."""
    predictor, figures = checkpoint.load(model_path(name, folder)), Figures(seed=SEED)
    for condition in SPECKS_CONDITIONS:
        cells, hidden, reference = puzzles_of(condition, min(SPECKS_GRIDS, sizes.most_grids))
        found = {TRUTH: {"pattern_divergence_bits": patterns.pattern_divergence_bits(cells, reference)}}
        for decoder_name, decoder in SPECKS.items():
            began = time.perf_counter()
            fills = filling.sample(predictor, Puzzles(cells, hidden), min(SPECKS_SAMPLES, sizes.samples), SEED, decoder)
            seconds, drawn = time.perf_counter() - began, fills.cells.reshape(-1, SIDE, SIDE)
            found[decoder_name] = {
                **patterns.granularity(drawn, cells, predictor.n_symbols),
                "pattern_divergence_bits": patterns.pattern_divergence_bits(drawn, reference),
                "passes": float(fills.passes.mean()),
                "seconds_per_realisation": seconds / len(drawn),
            }
        figures[condition] = found
    return figures


def strebelle(peer: Peer, sizes: Sizes) -> Figures:
    """Realisations of Strebelle's image with few known cells."""
    image, side = images_of("strebelle"), STREBELLE_SIDE
    generator = np.random.default_rng(SEED)
    places = STREBELLE_PLACES[: sizes.most_grids]
    cells = np.stack([image[0, row : row + side, column : column + side] for row, column in places])
    hidden = np.ones(cells.shape, dtype=bool)
    for grid in hidden.reshape(len(cells), -1):
        grid[generator.choice(grid.size, STREBELLE_KNOWN, replace=False)] = False
    return textures.scores(peer(image, cells, hidden, sizes.samples, SEED), cells, hidden, image, image)


def shown_to(name: str) -> str:
    """A simulator takes one training image, others many examples."""
    return "image" if name in SIMULATORS else "realisations"


def tasks(sizes: Sizes, folder: Path, peers: Mapping[str, Peer]) -> dict[str, Task]:
    """All of them, of gridcloze and of those peers."""
    own = {f"gridcloze from {name}": textures.asked(model_path(name, folder)) for name in IMAGES}
    made: dict[str, Task] = {f"model-{name}": partial(train, name, sizes, folder) for name in IMAGES}
    made |= {f"specks-{name}": partial(specks, name, sizes, folder) for name in SPECKS_MODELS}
    for name, peer in {**own, **peers, TRUTH: textures.truth}.items():
        slug = textures.slug(name)
        if name != OF_STREBELLE:
            made[f"conditions-{slug}"] = partial(conditions, peer, shown_to(name), sizes)
        if name not in own or name == OF_STREBELLE:
            made[f"strebelle-{slug}"] = partial(strebelle, peer, sizes)
    return made


FILLERS = (*(f"gridcloze from {name}" for name in IMAGES), *PEERS)
DRAWERS = (*FILLERS, TRUTH)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        here = {name: peer for name, peer in PEERS.items() if name not in SIMULATORS}
        main(tasks(FULL, RESULTS, PEERS), __doc__, tasks(QUICK, Path(temporary), here))
