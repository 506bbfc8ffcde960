"""How far the doors are from each other: the same puzzles through the command, a GeoTIFF and `Inpainter`.

Puzzles: a digit of MNIST with its lower half hidden and three wrong visible cells, an empty one, and channels in a grid
that is larger than the model's window. Prints the cells in which fills differ, the largest difference between
probabilities, and seconds. Every difference is 0; in version 0.1 they were not (LOG.md).
"""

import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import rasterio

import data
from common import MODELS, measured
from gridcloze import HIDDEN, Inpainter

REALISATION = 410
Answer = tuple[np.ndarray, np.ndarray, float]  # the fill, the probability of its symbols, and seconds


def puzzles() -> dict[str, tuple[str, np.ndarray]]:
    """The model and the puzzle of each question."""
    digit = (data.digits()["x_test"][0] >= 128).astype(np.int64)
    wrong = digit.copy()
    wrong[14:] = HIDDEN
    for cell in ((1, 2), (3, 24), (12, 3)):  # far from the digit, so that they contradict what was learned
        wrong[cell] = 1 - wrong[cell]
    channels = data.channels()["realizations"][REALISATION][:100, :90].copy()
    channels[30:70, 25:65] = HIDDEN
    return {
        "digit with three wrong cells": ("digits", wrong),
        "empty": ("digits", np.full(digit.shape, HIDDEN)),
        "100×90 cells with a 40×40 hole": ("channels", channels),
    }


def by_command(model: Path, cells: np.ndarray) -> Answer:
    """As an array file."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "puzzle.npy", Path(folder) / "filled"
        np.save(path, cells)
        seconds, _ = measured("fill", model, path, "-o", out)
        with np.load(out / "puzzle.npz") as results:
            fill = results["fill"].astype(np.int64)
            probability = np.take_along_axis(results["marginals"], fill[..., None], axis=-1)[..., 0]
        return fill, probability, seconds


def by_map(model: Path, cells: np.ndarray) -> Answer:
    """As a GeoTIFF."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "puzzle.tif", Path(folder) / "filled"
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 9, "crs": "EPSG:5070"}
        place, size = rasterio.Affine(30, 0, 0, 0, -30, 0), dict(zip(("height", "width"), cells.shape, strict=True))
        with rasterio.open(path, "w", transform=place, **size, **profile) as file:
            file.write(np.where(cells == HIDDEN, 9, cells).astype("uint8"), 1)
        seconds, _ = measured("fill", model, path, "-o", out)
        with rasterio.open(out / "puzzle.tif") as fill, rasterio.open(out / "puzzle-uncertainty.tif") as uncertainty:
            return fill.read(1).astype(np.int64), uncertainty.read(1), seconds


def by_inpainter(model: Path, cells: np.ndarray) -> Answer:
    """In Python; the seconds are those of `fill` and `predict_proba`, without loading the model."""
    inpainter = Inpainter.load(model)
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fill, marginals = inpainter.fill(cells), inpainter.predict_proba(cells)
    seconds = time.monotonic() - began
    return fill, np.take_along_axis(marginals, fill[..., None], axis=-1)[..., 0].astype(np.float32), seconds


def compared(model: Path, cells: np.ndarray) -> dict[str, dict[str, float]]:
    """Each door against the command."""
    answers = {name: door(model, cells) for name, door in DOORS.items()}
    fill, probability, _ = answers["command"]
    return {
        name: {
            "cells that differ": int((other != fill).sum()),
            "largest difference of probabilities": float(np.abs(certainty - probability)[other == fill].max()),
            "seconds": round(seconds, 2),
        }
        for name, (other, certainty, seconds) in answers.items()
    }


DOORS = {"command": by_command, "GeoTIFF": by_map, "Inpainter": by_inpainter}

if __name__ == "__main__":
    found = {name: compared(MODELS / f"{model}.safetensors", cells) for name, (model, cells) in puzzles().items()}
    print(json.dumps(found, indent=1, ensure_ascii=False))
