"""One map of 4,096 × 4,096 cells under clouds: `python benchmarks/scale.py [TASK …]`, after `landcover.py model`.

sizes   seconds and peak memory of `gridcloze fill` on GeoTIFFs of 64² … 4,096² cells, 30 % of them under clouds of all
        sizes, with and without a draw, and to what power of the number of cells the seconds grow
seams   whether patterns across the borders of what is filled at once differ from those inside, of draws

The map is that of Augusta, mirrored until it is large enough. Results are in benchmarks/results/scale-TASK.json.
"""

from pathlib import Path

import numpy as np
import rasterio
from jaxtyping import Bool

import data
import patterns
from channels import SIDE, model_path
from common import RUNS, Figures, main, measured
from gridcloze import checkpoint, filling, tiling
from gridcloze.puzzles import Puzzles
from gridcloze.shapes import Cells
from gridcloze.words import HIDDEN
from landcover import model_path as landcover_path

SIDES = (64, 256, 1024, 4096)
DRAWS = {"fill": 0, "fill and a draw": 1}  # what is asked for, and how many draws that is
HIDDEN_SHARE = 0.3
NODATA = 255
SEED = 7000
SEAM_GRIDS, SEAM_SIDE = 24, 256


def clouds(side: int, generator: np.random.Generator) -> Bool[np.ndarray, "height width"]:
    """Where a random field is high whose spectrum falls with the square of the frequency: clouds of all sizes."""
    rows, columns = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(generator.normal(size=(side, side))) / frequency**2, (side, side))
    return field > np.quantile(field, 1 - HIDDEN_SHARE)


def clouded_map(side: int) -> Path:
    """A GeoTIFF with nodata under the clouds."""
    cells = data.landcover()["cells"]
    repeats = [-(-side // length) for length in cells.shape]
    large = np.pad(cells, [(0, (n - 1) * length) for n, length in zip(repeats, cells.shape, strict=True)], "symmetric")
    values = np.where(clouds(side, np.random.default_rng(SEED)), NODATA, large[:side, :side]).astype(np.uint8)
    path = RUNS / f"scale-{side}.tif"
    layout = {"width": side, "height": side, "count": 1, "dtype": "uint8", "nodata": NODATA, "crs": "EPSG:5070"}
    place = rasterio.Affine(30.0, 0.0, 0.0, 0.0, -30.0, 0.0)
    with rasterio.open(path, "w", driver="GTiff", transform=place, compress="deflate", tiled=True, **layout) as file:
        file.write(values, 1)
    return path


def sizes() -> Figures:
    """Each size by the command, in a process of its own; the most likely fill alone, and with a draw beside it."""
    result: Figures = {"seed": SEED, **{name: {} for name in DRAWS}}
    for side in SIDES:
        path = clouded_map(side)
        for name, samples in DRAWS.items():
            asked = ("--samples", str(samples), "--overwrite")
            seconds, peak = measured("fill", landcover_path(), path, "-o", RUNS / "scale", *asked)
            result[name][f"{side}"] = {"seconds": seconds, "peak_MiB": peak}
    for name in DRAWS:
        small, large = (result[name][side]["seconds"] - result[name]["64"]["seconds"] for side in ("256", "4096"))
        result[name]["exponent"] = np.log(large / small) / np.log((4096 / 256) ** 2)
    return result


def seams() -> Figures:
    """Divergence of 4×4 patterns from those of training grids: across borders of cores, and as many places inside."""
    predictor = checkpoint.load(model_path("realisations"))
    everything = np.full((1, SEAM_SIDE, SEAM_SIDE), HIDDEN)
    drawn = filling.sample(predictor, Puzzles(everything), SEAM_GRIDS, SEED).cells[0]
    reference: Cells = data.channels()["realizations"][:400]
    across = across_borders(SEAM_SIDE)
    inside = np.roll(across, (SIDE // 4, SIDE // 4), axis=(0, 1))
    return {
        name: patterns.pattern_divergence_bits(drawn, reference, corners)
        for name, corners in {"across": across, "inside": inside}.items()
    } | {"grids": SEAM_GRIDS, "side": SEAM_SIDE}


def across_borders(side: int) -> Bool[np.ndarray, "row column"]:
    """The first cells of patterns with cells of more than one core."""
    corners = np.zeros((side - 3, side - 3), dtype=bool)
    for tile in (tile for row in tiling.Tiling(side, side, (SIDE, SIDE)).rows for tile in row):
        for axis, core in enumerate(tile.core):
            if core.start:
                np.moveaxis(corners, axis, 0)[core.start - 3 : core.start] = True
    return corners


if __name__ == "__main__":
    main({"sizes": sizes, "seams": seams}, __doc__)
