"""The grids of the benchmarks: channels, land cover, digits, Strebelle's image, sudokus.

In `data/` stand the channels (GeoDataSets of M. Pyrcz, with their MIT licence), land cover (National Land Cover
Database 2011, Augusta; public domain) and the generator of sudokus. The rest is fetched when it is first asked for,
into the folder gridcloze of the user's cache, or is read from the folder that GRIDCLOZE_DATA names (`mnist/mnist.npz`,
`strebelle/strebelle.npy`); either way it is used only if its SHA-256 is that of the published cells.
"""

import gzip
import hashlib
import os
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gridcloze.files.paths import atomic_write
from gridcloze.words import InputError

HERE = Path(__file__).parent / "data"
MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist"
DIGITS = {  # the file, and the SHA-256 of its cells or labels
    "x_train": ("train-images-idx3-ubyte.gz", "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"),
    "y_train": ("train-labels-idx1-ubyte.gz", "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"),
    "x_test": ("t10k-images-idx3-ubyte.gz", "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"),
    "y_test": ("t10k-labels-idx1-ubyte.gz", "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"),
}
STREBELLE = (
    "https://raw.githubusercontent.com/randlab/s2Dcd/0c4da7c88ac47bec4ed0f03d1416b2c0a0ac8780"
    "/examples/data/strebelle/ti_250x250x1.gslib",
    "6040fd1c0a63c5a499247a0daa82e8f8dbaaea64d1b2594ddce9602a32758b14",
)

Arrays = dict[str, np.ndarray]


def channels() -> Arrays:
    """`training_image` (256, 256) and `realizations` (450, 128, 128) of it, symbol 1 a channel.

    Train on the image or on realisations 0…399, test on 400…449.
    """
    with np.load(HERE / "channels.npz") as arrays:
        return {name: arrays[name].astype(np.int64) for name in arrays}


def landcover() -> Arrays:
    """`cells` (440, 560) of 15 symbols, and `codes` (15,), the class that each stands for.

    Train on columns 0…469, test on 480…559.
    """
    with np.load(HERE / "nlcd_augusta.npz") as arrays:
        return {name: arrays[name].astype(np.int64) for name in arrays}


def digits() -> Arrays:
    """MNIST: `x_train` (60_000, 28, 28), `y_train` (60_000,), `x_test`, `y_test`, as grey levels and labels, in uint8.

    Tune on the last 5,000 of the training set; the test set is for the final figure only.
    """
    if local := _local("mnist/mnist.npz"):
        with np.load(local) as arrays:
            return {name: _checked(arrays[name], digest, str(local)) for name, (_, digest) in DIGITS.items()}
    return {name: _fetched(f"{MNIST}/{file}", digest, _from_idx) for name, (file, digest) in DIGITS.items()}


def strebelle() -> Arrays:
    """`training_image` (250, 250) of Strebelle (2002, doi:10.1023/A:1014009426274), symbol 1 a channel."""
    local = _local("strebelle/strebelle.npy")
    image = _checked(np.load(local), STREBELLE[1], str(local)) if local else _fetched(*STREBELLE, _from_gslib)
    return {"training_image": image.astype(np.int64)}


def sudoku(n: int = 20_000, seed: int = 1, clues: int = 0) -> Arrays:
    """`puzzles` (n, 9, 9) with HIDDEN cells and one solution, `solutions`, and each one's `clues` and `guesses`.

    Symbols 0…8 are the digits 1…9. `clues` is how many cells are visible, or 0 for as few as leave one solution;
    guesses are those of a solver by elimination. Test on the last 1,000 of (20_000, 1, 0) and of (20_000, 2, 36).
    Raises InputError where there is no C compiler.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "sudoku"
        try:
            subprocess.run(["cc", "-O2", "-o", program, HERE / "sudoku.c"], check=True)
        except FileNotFoundError:
            raise InputError("sudokus are made by a program in C: install a compiler that is called cc") from None
        made = subprocess.run([program, *map(str, (n, seed, clues))], check=True, capture_output=True, text=True)
    puzzles, solutions, *counts = zip(*(row.split(",") for row in made.stdout.split()), strict=True)
    return {
        "puzzles": _board(puzzles),
        "solutions": _board(solutions),
        **{name: np.array(values, dtype=np.int64) for name, values in zip(("clues", "guesses"), counts, strict=True)},
    }


LOADERS: dict[str, Callable[[], Arrays]] = {
    "channels": channels,
    "landcover": landcover,
    "mnist": digits,
    "strebelle": strebelle,
    "sudoku": sudoku,
}


def load(name: str) -> Arrays:
    """What the loader of that name gives; InputError for any other name."""
    if name not in LOADERS:
        raise InputError(f"there are no data {name!r}: choose from {', '.join(LOADERS)}")
    return LOADERS[name]()


def _board(texts: tuple[str, ...]) -> np.ndarray:
    """Digits as symbols; 0 becomes HIDDEN."""
    return np.frombuffer("".join(texts).encode(), np.uint8).reshape(-1, 9, 9).astype(np.int64) - ord("1")


def _local(name: str) -> Path | None:
    """Where the user has the file, if GRIDCLOZE_DATA says so; InputError if it does and there is none."""
    if not (folder := os.environ.get("GRIDCLOZE_DATA")):
        return None
    if not (path := Path(folder) / name).exists():
        raise InputError(f"{path}: there is no such file, although GRIDCLOZE_DATA names its folder")
    return path


def _fetched(url: str, digest: str, decoded: Callable[[bytes], np.ndarray]) -> np.ndarray:
    """The array in a public file, from the cache if it was fetched before."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = cache / "gridcloze" / f"{digest}.npy"
    if not kept.exists():
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                content = answer.read()
        except OSError as error:
            raise InputError(f"{url}: could not be fetched ({error}); GRIDCLOZE_DATA can name a copy") from None
        array = _checked(decoded(content), digest, url)
        with atomic_write(kept) as partial:
            np.save(partial, array)
    return _checked(np.load(kept), digest, str(kept))


def _checked(array: np.ndarray, digest: str, source: str) -> np.ndarray:
    found = hashlib.sha256(array.tobytes()).hexdigest()
    if found != digest:
        raise InputError(f"{source}: not the published cells, their SHA-256 is {found}, not {digest}")
    return array


def _from_idx(content: bytes) -> np.ndarray:
    """A gzipped idx file of bytes: the number of axes in the fourth byte, their lengths, the values."""
    raw = gzip.decompress(content)
    start = 4 + 4 * raw[3]
    return np.frombuffer(raw, np.uint8, offset=start).reshape(np.frombuffer(raw[4:start], ">u4").astype(int))


def _from_gslib(content: bytes) -> np.ndarray:
    """A grid in the format of GSLIB: columns and rows, two lines of names, the values row by row."""
    sizes, _, _, values = content.decode().split("\n", 3)
    columns, rows = map(int, sizes.split()[:2])
    return np.array(values.split(), dtype=np.uint8).reshape(rows, columns)
