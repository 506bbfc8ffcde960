"""Land cover of 15 classes, from windows of one map: `python benchmarks/landcover.py [TASK …]`.

model         trains on columns 0…469, with symmetries
conditions-…  windows of columns 480…559 with single cells or holes hidden, or few cells known: who fills them how well

Results are written to benchmarks/results/landcover-TASK.json.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np

import data
import textures
from common import RESULTS, Figures, Task, main
from gridcloze import scoring
from gridcloze.files.palettes import Palette
from gridcloze.priors import hiding
from gridcloze.priors.windows import Windows
from peers import PEERS, Answer, Peer
from textures import Sizes

SIDE = 32  # of the windows that are learned
MINUTES = 12.0
FULL = Sizes(effort=1.0, depth=6, most_grids=200, samples=4)
QUICK = Sizes(effort=0.02, depth=2, most_grids=4, samples=2)
TRAIN, TEST = slice(0, 470), slice(480, 560)
SEED = 6000
CONDITIONS = {  # what is hidden
    "one cell": hiding.single_cells,
    "8×8": partial(hiding.square_hole, 8),
    "5 %": partial(hiding.visible_share, 0.05),
    "20 %": partial(hiding.visible_share, 0.2),
}
ASKED = ("nearest cell", "four neighbours", "lookup", "KNNImputer")


def model_path(folder: Path = RESULTS) -> Path:
    return folder / "runs" / "landcover.safetensors"


def train(sizes: Sizes, folder: Path) -> Figures:
    """A model of windows."""

    def prior() -> Windows:
        return Windows([data.landcover()["cells"][:, TRAIN]], Palette.default(15), (SIDE, SIDE), symmetries="all")

    return textures.learned_by(prior, model_path(folder), MINUTES, sizes)


def conditions(peer: Peer, sizes: Sizes) -> Figures:
    """The scores of one who fills, for each condition, with the reliability of each class."""
    cells, figures = data.landcover()["cells"], Figures(seed=SEED)
    for number, (name, hide) in enumerate(CONDITIONS.items()):
        generator = np.random.default_rng([SEED, number])
        windows = textures.windows_of(cells[None, :, TEST], sizes.most_grids, SIDE, generator)
        hidden = hide(windows.shape, generator)
        said = peer(cells[None, :, TRAIN], windows, hidden, sizes.samples, SEED)
        figures[name] = textures.scores(said, windows, hidden, cells[None, :, TEST], cells[None, :, TRAIN])
        if isinstance(said, Answer):
            figures[name]["by_class"] = scoring.calibration(said.marginals, windows, hidden)["by_symbol"]
    return figures


def tasks(sizes: Sizes, folder: Path) -> dict[str, Task]:
    fillers = {"gridcloze": textures.asked(model_path(folder)), **{name: PEERS[name] for name in ASKED}}
    made: dict[str, Task] = {"model": partial(train, sizes, folder)}
    return made | {
        f"conditions-{textures.slug(name)}": partial(conditions, peer, sizes) for name, peer in fillers.items()
    }


FILLERS = ("gridcloze", *ASKED)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(tasks(FULL, RESULTS), __doc__, tasks(QUICK, Path(temporary)))
