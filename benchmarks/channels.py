"""Channels and Strebelle's image, beside the tools people use today: `python benchmarks/channels.py [TASK …]`.

model-…       trains on realisations 0…399 of the channels, on their one training image, on Strebelle's image
conditions-…  64×64 windows of realisations 400…449 with holes, or few cells known: who fills them how well
strebelle-…   100×100 grids with 100 known cells of Strebelle's image

Results are written to benchmarks/results/channels-TASK.json. `--table` prints those of README and docs/textures.md.
"""

from functools import partial
from pathlib import Path

import numpy as np

import data
import textures
from common import RUNS, Figures, main, trained
from gridcloze.grids import Palette
from gridcloze.predictor import Cells
from gridcloze.priors import Windows
from gridcloze.training import Budget
from peers import PEERS, Peer

SIDE, DEPTH = 64, 8  # of the windows that are learned, and layers
MINUTES = {"realisations": 28.0, "image": 28.0, "strebelle": 28.0}
TEST = slice(400, 450)
SEED = 5000
SAMPLES = 8  # of each grid
CONDITIONS = {  # what is hidden, and in how many grids
    "8×8": (partial(textures.hole, 8), 50),
    "16×16": (partial(textures.hole, 16), 50),
    "1 %": (partial(textures.all_but, 0.01), 15),
    "5 %": (partial(textures.all_but, 0.05), 15),
    "20 %": (partial(textures.all_but, 0.2), 15),
}
STREBELLE_SIDE, STREBELLE_KNOWN = 100, 100
STREBELLE_PLACES = ((0, 0), (0, 150), (150, 0), (75, 75))  # of the windows whose cells are known


def images_of(name: str) -> Cells:
    """What a model learns from, and a simulator takes the first of."""
    if name == "strebelle":
        return data.strebelle()["training_image"][None]
    arrays = data.channels()
    return arrays["realizations"][: TEST.start] if name == "realisations" else arrays["training_image"][None]


def model_path(name: str) -> Path:
    return RUNS / f"channels-{name}.safetensors"


def train(name: str, minutes: float) -> Figures:
    """A model of windows."""
    RUNS.mkdir(parents=True, exist_ok=True)
    palette = Palette.default(2)
    predictor = trained(
        lambda: Windows(list(images_of(name)), palette, (SIDE, SIDE)), model_path(name), Budget(minutes), DEPTH
    )
    return {"model": name, "MiB": model_path(name).stat().st_size / 2**20, **predictor.header.training}


def conditions(peer: Peer, learned: str) -> Figures:
    """The scores of one who fills, for each condition."""
    realisations, figures = data.channels()["realizations"][TEST], {}
    for number, (name, (hide, n)) in enumerate(CONDITIONS.items()):
        generator = np.random.default_rng([SEED, number])
        cells = textures.windows_of(realisations, n, SIDE, generator)
        hidden = hide(cells.shape, generator)
        said = peer(images_of(learned), cells, hidden, SAMPLES, SEED)
        reference = textures.windows_of(realisations, 200, SIDE, generator)
        figures[name] = textures.scores(said, cells, hidden, reference, images_of("image"))
    return figures


def strebelle(peer: Peer) -> Figures:
    """Realisations of Strebelle's image with few known cells."""
    image = images_of("strebelle")
    generator = np.random.default_rng(SEED)
    cells = np.stack(
        [image[0, row : row + STREBELLE_SIDE, column : column + STREBELLE_SIDE] for row, column in STREBELLE_PLACES]
    )
    hidden = np.ones(cells.shape, dtype=bool)
    for grid in hidden.reshape(len(cells), -1):
        grid[generator.choice(grid.size, STREBELLE_KNOWN, replace=False)] = False
    return textures.scores(peer(image, cells, hidden, SAMPLES, SEED), cells, hidden, image, image)


def slug(name: str) -> str:
    return name.replace(" ", "-")


FILLERS: dict[str, tuple[Peer, str]] = {  # who, and what they are shown
    "gridcloze, realisations": (textures.asked(model_path("realisations")), "realisations"),
    "gridcloze, image": (textures.asked(model_path("image")), "image"),
    **{name: (peer, "image" if "MPSlib" in name or "G2S" in name else "realisations") for name, peer in PEERS.items()},
}
TASKS = {
    **{f"model-{name}": partial(train, name, minutes) for name, minutes in MINUTES.items()},
    **{f"conditions-{slug(name)}": partial(conditions, *filler) for name, filler in FILLERS.items()},
    "strebelle-gridcloze": partial(strebelle, textures.asked(model_path("strebelle"))),
    **{f"strebelle-{slug(name)}": partial(strebelle, peer) for name, peer in PEERS.items()},
}


if __name__ == "__main__":
    main(TASKS, __doc__)
