"""`gridcloze train`: from example grids to a model file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import checkpoint
from ..files import maps
from ..files.grids import read_examples, read_images
from ..files.palettes import read_palette
from ..files.paths import check_writable
from ..learning import Learnable
from ..priors.examples import Examples, Symmetries
from ..priors.windows import Windows
from ..words import InputError, about
from .shared import Report, display

if TYPE_CHECKING:
    import gridcloze.training


@dataclass(frozen=True)
class Source:
    """Example grids: files of them, or big ones of which windows of some side are the examples."""

    path: Path
    windows: int | None = None
    symmetries: Symmetries = "none"
    palette: Path | None = None

    def read(self) -> tuple[Learnable, int, maps.Resolution | None]:
        """What to learn from, the scale it is drawn at, and the size of its pixels if that is known. InputError."""
        palette, is_map = read_palette(self.palette) if self.palette else None, maps.is_map(self.path)
        if self.windows is None and is_map:
            raise InputError(f"{self.path}: of a map windows are learned: say how large they are (--windows 64)")
        if self.windows is None:
            cells, palette, scale = read_examples(self.path, palette)
            return Examples(cells, palette, self.symmetries), scale, None
        if is_map:
            found = maps.read_map(self.path, palette)
            images, palette, scale, resolution = [found.cells], found.palette, 1, found.resolution
        else:
            (images, palette, scale), resolution = read_images(self.path, palette), None
        with about(self.path):
            return Windows(images, palette, (self.windows, self.windows), self.symmetries), scale, resolution


def train(
    source: Source,
    out: Path,
    budget: "gridcloze.training.Budget",
    seed: int,
    depth: int | None = None,
    resume: bool = False,
) -> Report:
    """Train a model on example grids and write it to one file."""
    check_writable(out)
    examples, scale, resolution = source.read()
    more_record = {} if resolution is None else {"resolution": list(resolution)}
    predictor = learned(examples, out, budget, seed, depth, scale, resume, lambda: more_record)
    return {"model": str(out), "hash": checkpoint.save(out, predictor), **predictor.header.training}


def learned(
    examples: Learnable,
    out: Path,
    budget: "gridcloze.training.Budget",
    seed: int = 0,
    depth: int | None = None,
    scale: int = 1,
    resume: bool = False,
    more_record: Callable[[], Mapping[str, Any]] = dict,
) -> checkpoint.TrainedPredictor:
    """A model for the file `out`, beside which the state of a stopped training is kept; shows how far it is."""
    from ..learning import learn  # loads torch, as nothing else does here

    state_path = out.with_name(f"{out.name}.resume")
    with display("training") as show:

        def report(progress: "gridcloze.training.Progress") -> None:
            show(progress.share, _news(progress))

        return learn(examples, budget, seed, depth, scale, report, state_path, resume, more_record)


def _news(progress: "gridcloze.training.Progress") -> str:
    return (
        f"loss {progress.bits_per_hidden_cell:.3f} bits, held out {progress.held_out_bits_per_hidden_cell:.3f}, "
        f"{progress.grids_per_second:.0f} grids/s"
    )
