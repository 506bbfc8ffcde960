"""Land cover of 15 classes, from windows of one map: `python benchmarks/landcover.py [TASK …]`.

model         trains on columns 0…469, with symmetries
conditions-…  windows of columns 480…559 with single cells or holes hidden, or few cells known: who fills them how well

Results are written to benchmarks/results/landcover-TASK.json.
"""

from functools import partial

import numpy as np

import data
import textures
from common import RUNS, Figures, main, trained
from gridcloze import scoring
from gridcloze.grids import Palette
from gridcloze.priors import Windows
from gridcloze.training import Budget
from peers import PEERS, Answer, Peer

SIDE, DEPTH = 32, 6  # of the windows that are learned, and layers
MINUTES = 12.0
TRAIN, TEST = slice(0, 470), slice(480, 560)
SEED = 6000
SAMPLES = 4  # of each grid
N = 200
CONDITIONS = {  # what is hidden
    "one cell": textures.single_cells,
    "8×8": partial(textures.hole, 8),
    "5 %": partial(textures.all_but, 0.05),
    "20 %": partial(textures.all_but, 0.2),
}
MODEL = RUNS / "landcover.safetensors"
ASKED = ("nearest cell", "four neighbours", "lookup", "KNNImputer")


def train() -> Figures:
    """A model of windows."""
    RUNS.mkdir(parents=True, exist_ok=True)
    image = data.landcover()["cells"][:, TRAIN]
    predictor = trained(
        lambda: Windows([image], Palette.default(15), (SIDE, SIDE), symmetries=True), MODEL, Budget(MINUTES), DEPTH
    )
    return {"MiB": MODEL.stat().st_size / 2**20, **predictor.header.training}


def conditions(peer: Peer) -> Figures:
    """The scores of one who fills, for each condition, with the reliability of each class."""
    cells, figures = data.landcover()["cells"], {}
    for number, (name, hide) in enumerate(CONDITIONS.items()):
        generator = np.random.default_rng([SEED, number])
        windows = textures.windows_of(cells[None, :, TEST], N, SIDE, generator)
        hidden = hide(windows.shape, generator)
        said = peer(cells[None, :, TRAIN], windows, hidden, SAMPLES, SEED)
        figures[name] = textures.scores(said, windows, hidden, cells[None, :, TEST], cells[None, :, TRAIN])
        if isinstance(said, Answer):
            figures[name]["by_class"] = scoring.calibration(said.marginals, windows, hidden)["by_symbol"]
    return figures


FILLERS: dict[str, Peer] = {"gridcloze": textures.asked(MODEL), **{name: PEERS[name] for name in ASKED}}
TASKS = {
    "model": train,
    **{f"conditions-{name.replace(' ', '-')}": partial(conditions, peer) for name, peer in FILLERS.items()},
}


if __name__ == "__main__":
    main(TASKS, __doc__)
