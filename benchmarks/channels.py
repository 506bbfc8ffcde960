"""Channels and Strebelle's image, beside the tools people use today: `python benchmarks/channels.py [TASK …]`.

model-…       trains on realisations 0…399 of the channels, on their one training image, on Strebelle's image
conditions-…  64×64 windows of realisations 400…449 with holes, or few cells known: who fills them how well
strebelle-…   100×100 grids with 100 known cells of Strebelle's image

Results are written to benchmarks/results/channels-TASK.json.
"""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

import data
import textures
from common import RESULTS, Figures, Task, main
from gridcloze.files.palettes import Palette
from gridcloze.priors import hiding
from gridcloze.priors.windows import Windows
from gridcloze.shapes import Cells
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


def conditions(peer: Peer, learned: str, sizes: Sizes) -> Figures:
    """The scores of one who fills, for each condition."""
    realisations, figures = data.channels()["realizations"][TEST], Figures(seed=SEED)
    for number, (name, (hide, n)) in enumerate(CONDITIONS.items()):
        generator = np.random.default_rng([SEED, number])
        cells = textures.windows_of(realisations, min(n, sizes.most_grids), SIDE, generator)
        hidden = hide(cells.shape, generator)
        said = peer(images_of(learned), cells, hidden, sizes.samples, SEED)
        reference = textures.windows_of(realisations, 200, SIDE, generator)
        figures[name] = textures.scores(said, cells, hidden, reference, images_of("image"))
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
