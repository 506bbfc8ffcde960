"""MPSlib (Hansen et al. 2016, doi:10.1016/j.softx.2016.07.001) by its Python package scikit-mps."""

import contextlib
import tempfile

import mpslib
import numpy as np


def simulate(training_image, cells, settings, soft=None):
    """Realisations (sample, height, width) given the known cells, and the seconds that the program itself took.

    The whole grid is simulated, with the known cells as hard data, and with the probabilities `soft` (height, width,
    symbol) as soft data of every cell. The package leaves its files in the current folder.
    """
    own = {name: value for name, value in settings.items() if name not in ("method", "n_samples", "seed")}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        tool = mpslib.mpslib(method=settings["method"], verbose_level=-1)
        tool.par.update({name: np.array(value) if isinstance(value, list) else value for name, value in own.items()})
        tool.par.update(n_real=settings["n_samples"], rseed=settings["seed"])
        tool.par["simulation_grid_size"] = np.array([*cells.shape, 1])
        tool.ti = training_image
        rows, columns = np.nonzero(cells >= 0)
        if len(rows):
            tool.d_hard = np.stack([rows, columns, np.zeros(len(rows)), cells[rows, columns]], axis=1)
        if soft is not None:
            places = np.indices(cells.shape).reshape(2, -1)
            tool.d_soft = np.column_stack([*places, np.zeros(cells.size), soft.reshape(cells.size, -1)])
        tool.run(silent=True)
    return np.stack(tool.sim)[..., 0].astype(np.int8), tool.time
