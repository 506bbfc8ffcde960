"""Arrays by name: what they hold and their axes."""

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

Cells = Int[np.ndarray, "batch height width"]
Hidden = Bool[np.ndarray, "batch height width"]
Marginals = Float[np.ndarray, "batch height width symbol"]
Evidence = Shaped[np.ndarray, "batch height width symbol"]
Samples = Int[np.ndarray, "batch n height width"]
Bits = Float[np.ndarray, "batch"]
OneGrid = Int[np.ndarray, "height width"]
OneHidden = Bool[np.ndarray, "height width"]
PerCell = Float[np.ndarray, "height width"]
AnySizeGrid = Int[np.ndarray, "_height _width"]  # of several of different sizes
