"""Arrays by name: what each holds, and its axes."""

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

Cells = Int[np.ndarray, "batch height width"]  # symbols, HIDDEN (-1) where hidden
Hidden = Bool[np.ndarray, "batch height width"]
Marginals = Float[np.ndarray, "batch height width symbol"]  # probabilities that sum to 1 over the symbols
Evidence = Shaped[np.ndarray, "batch height width symbol"]  # bools, or probabilities of what was observed
Samples = Int[np.ndarray, "batch n height width"]
Bits = Float[np.ndarray, "batch"]  # one number for each grid
OneGrid = Int[np.ndarray, "height width"]
OneHidden = Bool[np.ndarray, "height width"]
PerCell = Float[np.ndarray, "height width"]  # one number for each cell
AnySizeGrid = Int[np.ndarray, "_height _width"]  # one of several that differ in size
AnySizeHidden = Bool[np.ndarray, "_height _width"]
