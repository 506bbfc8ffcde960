"""`gridcloze train`: from example grids to a model file."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
from safetensors import SafetensorError

from .. import checkpoint
from ..files import maps
from ..files.codes import understood
from ..files.grids import read_examples, read_images
from ..files.palettes import Palette, read_palette
from ..files.paths import check_writable, is_folder, only_one, refuse_replacing, remove_leftovers
from ..files.sides import named_sides, read_sides
from ..learning import Learnable, learn
from ..memory import in_words
from ..priors.directions import direction_warning
from ..priors.examples import Examples, Symmetries
from ..priors.windows import Windows
from ..side import SideMaps
from ..training import Budget, Progress, from_first, is_first
from ..words import InputError, about
from .shared import TrainingRecord, console, display, tell

SUFFIX = ".safetensors"
ANNOUNCED_BYTES = 2**31


class TrainReport(TypedDict):
    """What `gridcloze train` wrote.

    Attributes
    ----------
    path
        The model file.
    model
        Hash of the model: SHA-256, in hexadecimal digits.
    training
        Record of the training.

    Examples
    --------
    >>> sorted(TrainReport.__required_keys__)
    ['model', 'path', 'training']
    """

    path: str
    model: str
    training: TrainingRecord


@dataclass(frozen=True)
class Source:
    """Where example grids come from.

    Parameters
    ----------
    path
        A folder of grids, a stack in an array file, or with `windows` one or more big grids or maps.
    windows
        Side of the windows in cells; None to learn from whole grids.
    symmetries
        Symmetries under which grids are equally likely: "none", "across", "along", "mirrors", "turns" or "all".
    palette
        A palette file with names, colours, characters and raster values of symbols; by default the symbols are those
        found in the examples.
    side
        Side maps, as `named_sides` takes them: GeoTIFF files on the grid of a map, or folders with a file of the name
        of each grid. Those of a stack are an array "side" in its file.

    Examples
    --------
    >>> import numpy as np
    >>> np.save("grids.npy", np.zeros((3, 4, 5), dtype=int))
    >>> examples, scale, resolution = Source(Path("grids.npy")).read()
    >>> examples.height, examples.width
    (4, 5)
    """

    path: Path
    windows: int | None = None
    symmetries: Symmetries = "none"
    palette: Path | None = None
    side: Sequence[str] = ()

    def read(self, of_model: Palette | None = None) -> tuple[Examples | Windows, int, maps.Resolution | None]:
        """Read the examples.

        Parameters
        ----------
        of_model
            The palette of a model that is to learn more; then there are no other symbols.

        Returns
        -------
        examples : Examples or Windows
            What a model can learn from.
        scale : int
            Side of a cell in pixels; 1 if the examples are no pictures.
        resolution : Resolution or None
            Size of a pixel of a map.

        Raises
        ------
        InputError
            If the examples cannot be read, or are maps although no `windows` are given, or there are two palettes.
        """
        if self.palette and of_model:
            raise InputError("the symbols are those of the model: leave out --palette, or --from")
        palette = read_palette(self.palette) if self.palette else of_model
        try:
            return self._read(palette)
        except InputError:
            if palette is None or of_model or not palette.values:
                raise
            return self._read(replace(palette, in_values=True))  # examples tell, where one puzzle could not

    def _read(self, palette: Palette | None) -> tuple[Examples | Windows, int, maps.Resolution | None]:
        tiles = [self.path] if maps.is_map(self.path) and not is_folder(self.path) else maps.map_files(self.path)
        if self.windows is None and tiles:
            raise InputError(f"{self.path}: a map is learned from in windows: give their size, as in --windows 64")
        if self.windows is None:
            cells, palette, scale = read_examples(self.path, palette)
            return Examples(cells, palette, self.symmetries, self._side_maps(cells)), scale, None
        if tiles:
            n_bytes = 2 * sum(height * width for height, width in map(maps.map_size, tiles))
            if n_bytes > ANNOUNCED_BYTES:
                tell(f"reading {self.path} takes {in_words(n_bytes)} of memory")
            (images, palette, resolution), scale = maps.read_maps(tiles, palette), 1
        else:
            (images, palette, scale), resolution = read_images(self.path, palette), None
        with about(self.path):
            size, maps_of = (self.windows, self.windows), self._side_maps(images)
            return Windows(images, palette, size, self.symmetries, side=maps_of), scale, resolution

    def _side_maps(self, grids: Any) -> SideMaps | None:
        """Side maps of the examples, in the order in which these were read."""
        found = read_sides(self.side, self.path, grids)
        return found and SideMaps.of(found[0] if self.windows else np.stack(found[0]), named_sides(self.side), found[1])


def train(
    source: Source,
    out: Path,
    budget: Budget,
    seed: int,
    depth: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    model: Path | None = None,
) -> TrainReport | None:
    """Train a model on example grids and write it to one file.

    Of several processes that `torchrun` or `accelerate launch` started, the first does all but its part of the
    training alone; the others read the examples when it has checked everything.

    Parameters
    ----------
    source
        The examples.
    out
        The model file to write; its name ends in .safetensors.
    budget
        Length of the training.
    seed
        Seed of the random numbers.
    depth
        Number of layers; by default that of `BertConfig`.
    resume
        Whether to continue an interrupted training of the same examples and options, whose state lies next to `out`,
        if there is one.
    overwrite
        Whether to replace a model of gridcloze, or the state of an interrupted training.
    model
        A model file whose weights, sizes and symbols it starts from.

    Returns
    -------
    TrainReport or None
        What was written, and the record of the training; None in a process that is not the first.

    Raises
    ------
    InputError
        If the examples cannot be read, `out` cannot be written or is somebody's, a training was interrupted and is
        neither resumed nor overwritten, the state to resume is that of another one, another process trains there, or
        `model` does not fit `depth` or the examples.

    Examples
    --------
    >>> from gridcloze import priors
    >>> from gridcloze.commands.toy import toy
    >>> from gridcloze.training import Budget
    >>> written = toy(priors.squares(4, 4, 2, 3), Path("examples"), n=20, n_puzzles=0, seed=0, scale=1)
    >>> report = train(Source(Path("examples")), Path("model.safetensors"), Budget(steps=1), seed=0, depth=1)
    >>> training = report["training"]
    >>> training["grids"], training["steps"], training["interrupted"]
    (20, 1, False)
    """
    if not is_first():
        return _follow(source, out, budget, seed, depth, resume, model)
    check_writable(out)
    with only_one(out):
        remove_leftovers(out.parent)
        if resume and not overwrite and out.exists() and not state_file(out).exists():
            header = checkpoint.read_header(out)
            tell(f"{out} is complete, there is nothing to resume: --overwrite trains anew")
            from_first(lambda: False)
            return {"path": str(out), "model": header.hash, "training": cast(TrainingRecord, header.training)}
        _check_out(out, source, model, resume, overwrite)
        start = None if model is None else checkpoint.load(model)
        with console.status("reading the examples"):
            examples, scale, resolution = source.read(None if start is None else start.header.palette)
            direction = direction_warning(examples, "--symmetries {}")
        if overwrite and not resume:
            state_file(out).unlink(missing_ok=True)
        if resume and not state_file(out).exists():
            tell(f"no interrupted training of {out}: starting a new one")
        grids = examples.images if isinstance(examples, Windows) else examples.cells
        if direction:
            tell(direction)
        more_record: dict[str, Any] = {"examples": understood(grids, examples.palette)}
        if resolution is not None:
            more_record["resolution"] = list(resolution)
        news = f"learning from {more_record['examples']}"
        from_first(lambda: True)
        predictor = learn_with_progress(
            examples, out, budget, seed, depth, scale, resume, lambda: more_record, news, start
        )
        tell(f"writing {out}")
        try:
            model_hash = checkpoint.save(out, predictor)
        except (InputError, OSError, SafetensorError) as error:
            raise _unwritten(out, error) from error
        if not predictor.header.training["interrupted"]:
            state_file(out).unlink(missing_ok=True)
    return {"path": str(out), "model": model_hash, "training": cast(TrainingRecord, predictor.header.training)}


def _follow(
    source: Source, out: Path, budget: Budget, seed: int, depth: int | None, resume: bool, model: Path | None
) -> None:
    """Train along with the first process, once it has checked everything and if there is something to train."""
    with suppress(InputError):  # the first has ended, and said why
        if not from_first(bool):
            return
        start = None if model is None else checkpoint.load(model)
        examples, scale, _ = source.read(None if start is None else start.header.palette)
        learn(examples, budget, seed, depth, scale, state_path=state_file(out), resume=resume, start=start)


def _check_out(out: Path, source: Source, model: Path | None, resume: bool, overwrite: bool) -> None:
    """Refuse, before any work, to replace what is an input, somebody's, or not said to be replaced."""
    state = state_file(out)
    if out.suffix != SUFFIX:
        raise InputError(f"{out}: the name of a model ends in {SUFFIX}")
    if state.exists() and not resume and not overwrite:
        line = "is that of an interrupted training: continue it with --resume, or start anew with --overwrite"
        raise InputError(f"{state} {line}")
    refuse_replacing(
        [out, state], [source.path, source.palette, model, *named_sides(source.side).values()], overwrite or resume
    )


def _unwritten(out: Path, error: Exception) -> InputError:
    kept = state_file(out).exists()
    then = "make room, and run the same command with --resume" if kept else "nothing of the training is left"
    return InputError(f"{out} could not be written ({getattr(error, 'strerror', 0) or error}): {then}")


def state_file(out: Path) -> Path:
    """Name the file that holds the state of a training until its model is written.

    Parameters
    ----------
    out
        The model file.

    Returns
    -------
    Path
        The file next to it; whoever writes the model removes it then.

    Examples
    --------
    >>> state_file(Path("model.safetensors")).name
    'model.safetensors.resume'
    """
    return out.with_name(f"{out.name}.resume")


def learn_with_progress(
    examples: Learnable,
    out: Path,
    budget: Budget,
    seed: int = 0,
    depth: int | None = None,
    scale: int = 1,
    resume: bool = False,
    more_record: Callable[[], Mapping[str, Any]] = dict,
    news: str = "learning",
    start: checkpoint.TrainedPredictor | None = None,
) -> checkpoint.TrainedPredictor:
    """Train a model and show the progress on stderr; writes no model file.

    Parameters
    ----------
    examples
        What to learn from.
    out
        The model file it will be; the state of the training is kept next to it, in `state_file`.
    budget
        Length of the training.
    seed
        Seed of the random numbers.
    depth
        Number of layers; by default that of `BertConfig`.
    scale
        Side of a cell of the examples in pixels.
    resume
        Whether to continue from the state next to `out`.
    more_record
        Called when the training is over: further entries for its record.
    news
        A line to show when the training begins.
    start
        A model whose weights it starts from.

    Returns
    -------
    TrainedPredictor
        The trained and calibrated model.

    Examples
    --------
    >>> import numpy as np
    >>> from gridcloze.files.palettes import Palette
    >>> from gridcloze.priors import Examples
    >>> from gridcloze.training import Budget
    >>> examples = Examples(np.zeros((20, 3, 3), dtype=int), Palette.default(2))
    >>> learn_with_progress(examples, Path("model.safetensors"), Budget(steps=1), depth=1).size
    (3, 3)
    """
    lines = [news]
    with display("training") as show:

        def report(progress: Progress) -> None:
            while lines:
                tell(lines.pop())
            if not isnan(progress.bits_per_hidden_cell):  # as it is before the first step
                show(progress.share, _news(progress))

        state = state_file(out)
        return learn(examples, budget, seed, depth, scale, report, state, resume, more_record, tell, start)


def _news(progress: Progress) -> str:
    held_out = progress.held_out_bits_per_hidden_cell
    scored = "" if isnan(held_out) else f", held-out {held_out:.3f}"
    return f"loss {progress.bits_per_hidden_cell:.3f} bits{scored}, {progress.grids_per_second:.0f} grids/s"
