"""G2S (Gravey & Mariethoz 2020, doi:10.5194/gmd-13-2611-2020) by its Python client; the server must be running."""

import time

import numpy as np
from g2s import g2s


def simulate(training_image, cells, settings):
    """Realisations (sample, height, width) given the known cells, and the seconds that they took.

    Settings are those that its authors give for categories: 50 neighbours, one of the 1.2 best candidates.
    """
    image = training_image.astype(np.float32)
    known = np.where(cells < 0, np.nan, cells).astype(np.float32)
    fixed = ("-sa", "127.0.0.1", "-a", settings["method"], "-ti", image, "-di", known, "-dt", [1], "-k", 1.2, "-n", 50)
    began = time.perf_counter()
    first = settings["seed"] * settings["n_samples"]
    samples = [g2s(*fixed, "-s", first + number)[0] for number in range(settings["n_samples"])]
    return np.stack(samples).astype(np.int8), time.perf_counter() - began
