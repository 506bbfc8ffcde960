"""`gridcloze fill`: any number of files; a run that was stopped goes on where it was."""

import os
import re
import shutil
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast
from zlib import crc32

import numpy as np
from jaxtyping import Float
from PIL import Image

from .. import answers, checkpoint, filling
from ..answers import AnswersByRows
from ..checkpoint import TrainedPredictor
from ..decoding import Decoder, refining
from ..files import maps, sides
from ..files.arrays import Stack, is_stack, open_stack, type_for
from ..files.codes import MARKERS, symbols_of, values_of
from ..files.grids import Grid, names_file, read_evidence, save_grid
from ..files.palettes import Palette
from ..files.paths import (
    MAPS,
    OWN,
    PICTURES,
    RESUMABLE,
    SUFFIXES,
    ZARR,
    is_folder,
    made_folder,
    only_one,
    remove_leftovers,
    scratch_folder,
    write_json,
)
from ..files.png import enlarge
from ..memory import in_words, refuse_beyond_memory
from ..predictor import Size, entropy_bits, exceeds_window
from ..puzzles import Likelihoods, Puzzles
from ..shapes import Cells, OneGrid
from ..side import UNKNOWN, check_side, with_side
from ..words import HIDDEN, InputError, __version__, about, finite_or_none
from . import results as kept
from .estimate import Work, announce_fill, work_in
from .shared import display, files_in, read_puzzle, tell

if TYPE_CHECKING:
    from ..scale import Cluster, ModelOnDisk

GRIDS_AT_ONCE, BYTES_AT_ONCE = 64, 2**30
ANNOUNCED_BYTES = 2**31
BYTES_OF_A_SAMPLE, BYTES_OF_A_PROBABILITY = 24, 40  # for each cell, with what is needed to compute them
MASKS = ("hidden", "allow")
OF_MAPS = (".tif", ".tiff", "-uncertainty.tif", "-samples.tif", "-sample-1.tif", "-probabilities.tif")
SHEETS = ("-samples.png", "-probabilities.png")
ENDINGS = (  # of results; samples have any numbers
    *(".npy", ".npz", ".png", "-uncertainty.png", *SHEETS),
    *OF_MAPS,
    *(f"{ending}.aux.xml" for ending in OF_MAPS),
)
LEAST_PIXELS = 256  # to the side of the picture of a grid that came as text or as an array
LONGEST_NAME = 255  # bytes, of every common file system
SAMPLES_DRAWN, GRIDS_DRAWN = 16, 6  # that pictures have room for
SAMPLE_FILES = 999  # at most, of a map
ROWS_OF_SIDE = 2**20  # cells, that are checked at once
ROWS_OF_WINDOWS = 6  # of a map, that are in memory at once
OF_FILLS = ("fill", "log_prob_bits")
OF_SYMBOLS = ("fill", "samples")
ARRAYS_OF_RESULTS = ("fill", "samples", "marginals", "log_prob_bits")

Results = dict[str, np.ndarray]  # of `Request.arrays` and "passes", all with a leading axis of grids
BYTES_OF_A_TILE = 2500  # of a window of a map, which is part of two tilings
Watch = Callable[[float, int], None]  # called with the grids that are done and with all


class FillReport(TypedDict):
    """What `fill` reports of one input, also as its .json file.

    Attributes
    ----------
    input
        Name of the file that was filled.
    input_hash
        SHA-256 of its content, in hexadecimal digits.
    model
        Hash of the model file.
    version
        Version of gridcloze.
    samples
        Joint samples of each grid.
    kind
        What the fill is: likely for the most likely grid, typical for the most typical sample, none for no fill.
    seed
        Seed of the random numbers.
    decoder
        `order`, `budget_bits`, `side_per_symbol` and `refine`, if any of them was chosen; null for the default.
    scale
        Side of a cell in pixels, if it was chosen; null if it was found.
    hidden
        What was taken as hidden: auto, grey, transparent or the name of a file.
    hide_unseen
        Whether a map was allowed to have any number of cells of classes that the model never saw.
    pictures
        Whether samples and probabilities were drawn.
    dark
        Whether they were drawn on a dark ground.
    cog
        Whether GeoTIFFs were written cloud-optimised.
    hidden_hash
        SHA-256 of the content of that file, or an empty text.
    allow
        The symbols that were allowed, or the name of the file with them; an empty text for all.
    allow_hash
        SHA-256 of the content of that file, or an empty text.
    side
        The side maps that were given, as on the command line.
    side_hash
        SHA-256 of their content, or an empty text.
    hidden_cells
        How many cells were hidden.
    passes_per_sample
        Forward passes for a sample, on average; if no sample was asked for, those for the fill.
    log_prob_bits
        Log-probability (base 2) of what was filled in; of a stack a list, a number for each grid; null without a fill,
        and for a refined sample.
    warnings
        Lines on what is odd: cells that contradict the rest, nothing or everything hidden, a most likely grid that is
        not typical, pixels or cells of another size.
    grids
        Number of grids; of a stack only.
    files
        Names of the files that were written, each with the SHA-256 of its content.

    Examples
    --------
    >>> sorted(FillReport.__optional_keys__)
    ['grids']
    """

    input: str
    input_hash: str
    model: str
    version: str
    samples: int
    kind: str
    seed: int
    decoder: dict[str, Any] | None
    scale: int | None
    hidden: str
    hide_unseen: bool
    pictures: bool
    dark: bool
    cog: bool
    hidden_hash: str
    allow: str
    allow_hash: str
    side: list[str]
    side_hash: str
    hidden_cells: int
    passes_per_sample: float
    log_prob_bits: float | list[float] | None
    warnings: list[str]
    grids: NotRequired[int]
    files: dict[str, str]


@dataclass(frozen=True)
class Request:
    """The options of a fill, the same for every grid: with one model, equal requests give equal results.

    Parameters
    ----------
    samples
        Joint samples of each grid.
    seed
        Seed of the random numbers.
    decoder
        By default that of the model.
    hidden
        What is hidden, as `read_grid` takes it.
    allow
        What is allowed where, as `read_evidence` takes it; by default everything.
    scale
        Side of a cell in pixels; by default it is found.
    hide_unseen
        Whether a map may have any number of cells of classes that the model never saw; by default 1% of the visible
        ones. They count as hidden, and stay in the result as they are.
    kind
        What the fill is, as `answers.fill` takes it.
    pictures
        Whether to draw the samples and the probability of each symbol, and of a map to write them as files that show
        colours.
    dark
        Whether to draw on a dark ground.
    cog
        Whether GeoTIFFs are cloud-optimised, with overviews.
    side
        Side maps, as `named_sides` takes them; ["none"] fills as if they were unknown.
    refine
        Rounds in which samples are drawn again, as `Decoder.refine`.

    Raises
    ------
    InputError
        If the number of samples or the seed is negative, if there are to be neither fill nor samples, and if there is
        no sample to refine.

    Examples
    --------
    >>> Request(samples=4).seed
    0
    """

    samples: int = 0
    seed: int = 0
    decoder: Decoder | None = None
    hidden: str = "auto"
    allow: str | None = None
    scale: int | None = None
    hide_unseen: bool = False
    kind: answers.Kind = "likely"
    pictures: bool = False
    dark: bool = False
    cog: bool = False
    side: list[str] = field(default_factory=list)
    refine: int = 0

    def __post_init__(self) -> None:
        if self.samples < 0 or self.seed < 0:
            raise InputError("the number of samples and the seed must be 0 or more")
        answers.checked_kind(self.kind, self.samples, Decoder(refine=self.refine).refine)
        if self.kind == "none" and not self.samples:
            raise InputError("--no-fill leaves nothing to write without samples: add --samples N")

    @property
    def arrays(self) -> list[str]:
        """The names of the arrays that are written."""
        return [name for name in ARRAYS_OF_RESULTS if self.kind != "none" or name not in OF_FILLS]

    @property
    def needs_whole(self) -> bool:
        """Whether it cannot be answered in blocks."""
        return self.kind == "typical" or "allow" in self.files or bool(self.side)

    @property
    def files(self) -> dict[str, Path]:
        """The files of hidden cells and of what is allowed, if they are given, by the name of the option."""
        allow = Path(self.allow) if self.allow is not None and names_file(self.allow) else None
        named = {"hidden": None if self.hidden in MARKERS else Path(self.hidden), "allow": allow}
        side = [path for path in files_in(*sides.named_sides(self.side).values()) if path.exists()]
        named |= {f"side {number}": path for number, path in enumerate(side)}
        return {option: path for option, path in named.items() if path is not None}


def fill(
    model_path: Path,
    inputs: Sequence[Path],
    out: Path,
    request: Request,
    overwrite: bool = False,
    dask: str | None = None,
) -> list[FillReport]:
    """Fill grids with a trained model and write each result into a folder, showing how far it is.

    Results that are there already, of the same input, model and request, stay as they are. All inputs are read once
    before any is filled, so that a bad one is found at once.

    Parameters
    ----------
    model_path
        A model file.
    inputs
        Grids, stacks, GeoTIFFs, or folders of them.
    out
        The folder for results.
    request
        The options of the fill.
    overwrite
        Whether to fill again what is filled already.
    dask
        The scheduler of Dask whose workers fill, or "local:N" for N processes here; None for this process. The results
        are the same.

    Returns
    -------
    list
        A report for each input.

    Raises
    ------
    InputError
        For a bad model or input, for results of other requests, and for a cluster that is not there or does not fit.

    Examples
    --------
    >>> from gridcloze import Inpainter, priors
    >>> grids = priors.squares(5, 5, 2, 4).sample(40, np.random.default_rng(0))
    >>> Inpainter(steps=2, depth=1).fit(grids).save("model.safetensors")
    >>> np.save("puzzle.npy", np.where(np.eye(5) == 1, -1, grids[0]))
    >>> [report] = fill(Path("model.safetensors"), [Path("puzzle.npy")], Path("filled"), Request(samples=2))
    >>> report["hidden_cells"], np.load("filled/puzzle.npz")["samples"].shape
    (5, (2, 5, 5))
    """
    if request.pictures:
        from .. import pictures  # noqa: F401, slow to import, and not there in a plain install: before any work

    predictor = checkpoint.load(model_path)
    paths = _grid_files(inputs)
    with made_folder(out), only_one(out), ExitStack() as stack:
        remove_leftovers(out)
        cluster = None
        if dask is not None:
            from .. import scale

            if request.needs_whole:
                line = "--typical, --side and --allow FILE need a whole grid in one process: leave out --dask"
                raise InputError(line)
            model = scale.ModelOnDisk(model_path.absolute(), predictor.header.hash)
            cluster = stack.enter_context(scale.cluster(dask, model))
        show = stack.enter_context(display("filling"))
        watch: Watch = lambda done, total: show(done / total, f"{int(done)} of {total} grid{'s' * (total != 1)}")  # noqa: E731
        run = _Run(predictor, request, out.absolute(), cluster)
        return _fill_files(run, paths, [model_path, *request.files.values()], overwrite, watch)


def _fill_files(
    run: "_Run", paths: Sequence[Path], read_also: Sequence[Path], overwrite: bool, watch: Watch
) -> list[FillReport]:
    inputs = [_input_of(run, path) for path in paths]
    _refuse_clashes(inputs, read_also, run.out)
    reports = {one.path: one.finished(overwrite) for one in inputs}
    todo = [one for one in inputs if reports[one.path] is None]
    sizes = {one.path: one.check(len(todo) > 1) for one in todo}
    done, total = 0, sum(sizes.values())
    if run.cluster is None:
        run.announce([one.work for one in todo], total)
    for filled in _fill_singles(run, [one for one in todo if isinstance(one, _Single)]):
        reports |= filled
        watch(done := done + len(filled), total)
    for one in [one for kind in (_Map, _Many) for one in todo if isinstance(one, kind)]:
        reports[one.path] = one.fill(lambda grids, before=done: watch(before + grids, total))
        done += sizes[one.path]
    if len(todo) < len(inputs):
        tell(f"{len(inputs) - len(todo)} of {len(inputs)} inputs were filled already")
    return [report for report in reports.values() if report is not None]


def _grid_files(inputs: Sequence[Path]) -> list[Path]:
    """The files that are named, and those in the folders that are named."""
    files: list[Path] = []
    for path in inputs:
        suffixes = SUFFIXES + MAPS
        inside = [path]
        if is_folder(path):
            visible = (file for file in path.iterdir() if not file.name.startswith(".") and not is_folder(file))
            inside = sorted(file for file in visible if file.suffix.lower() in suffixes)
        if not inside:
            raise InputError(f"{path} has no grids in it; they are files that end in {', '.join(suffixes)}")
        files += inside
    return files


def _refuse_clashes(inputs: Sequence["_Input"], read_also: Sequence[Path], out: Path) -> None:
    """Refuse results that would replace each other, or a file that is read."""
    owners: dict[str, Path] = {}
    for one in inputs:
        for name in one.names:
            if other := owners.get(name.casefold()):
                raise InputError(f"{other} and {one.path} would both have a result named {name}: fill them apart")
            owners[name.casefold()] = one.path
    for path in [one.path for one in inputs] + list(read_also):
        for real in (path.absolute(), Path(os.path.realpath(path))):
            if real.name.casefold() in owners and os.path.realpath(real.parent) == os.path.realpath(out):
                raise InputError(
                    f"{path} is read and would be replaced by a result of that name: choose another folder"
                )


@dataclass(frozen=True, eq=False)
class _Run:
    """What all inputs share."""

    predictor: TrainedPredictor
    request: Request
    out: Path
    cluster: "Cluster | None" = None
    evidence_by_size: dict[tuple[int, ...], np.ndarray] = field(default_factory=dict)
    announced: set[Size] = field(default_factory=set)

    @cached_property
    def decoder(self) -> Decoder | None:
        """The decoder that was chosen, with the rounds of refining; None for the default."""
        return refining(self.predictor, self.request.refine, self.request.decoder)

    @cached_property
    def stamps(self) -> list[kept.Stamp]:
        """The state of the files that the options name, before any of them is read."""
        return kept.stamps(self.parts)

    @property
    def parts(self) -> list[Path]:
        """All files that the options name."""
        return [part for path in self.request.files.values() for part in kept.parts_of(path)]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What results depend on, apart from their inputs."""
        files, options = self.request.files, asdict(self.request)
        self.stamps  # noqa: B018, before the hashes
        hashes = {
            f"{name}_hash": kept.content_hash(kept.parts_of(files[name])) if name in files else "" for name in MASKS
        }
        of_sides = [part for name in files if name.startswith("side ") for part in kept.parts_of(files[name])]
        hashes["side_hash"] = kept.content_hash(of_sides) if of_sides else ""
        names = {"hidden": str(self.request.hidden), "allow": str(self.request.allow or "")}
        del options["refine"]  # a part of the decoder
        options["decoder"] = self.decoder and asdict(self.decoder)
        return {"model": self.predictor.header.hash, "version": __version__, **options, **names, **hashes}

    def open_sides(self, path: Path, shape: tuple[int, ...]) -> AbstractContextManager[Any]:
        """The side maps of a grid or of a stack; None if there are none."""
        return sides.open_sides(self.request.side, path, shape, self.predictor.side)

    def at_once(self, size: Size) -> int:
        """How many grids of a size are filled together; InputError if the memory is too small for one."""
        bytes_of_one = bytes_of_fill(size, self.request.samples, self.predictor.n_symbols)
        if bytes_of_one > ANNOUNCED_BYTES and size not in self.announced:
            self.announced.add(size)
            tell(f"filling {size[0]} by {size[1]} cells takes about {in_words(bytes_of_one)} of memory")
        return max(1, min(GRIDS_AT_ONCE, BYTES_AT_ONCE // bytes_of_one))

    def likelihoods(self, hidden: np.ndarray) -> Likelihoods | None:
        """What is allowed where cells are hidden, checked; its file is read once for grids of a size."""
        if self.request.allow is None:
            return None
        return Likelihoods.checked(self.allowed(hidden.shape), hidden)

    def allowed(self, size: tuple[int, ...]) -> np.ndarray:
        """What is allowed in grids of a size, as it was read."""
        if size not in self.evidence_by_size:
            self.evidence_by_size[size] = read_evidence(self.request.allow or "", self.predictor.header.palette, size)
        return self.evidence_by_size[size]

    def announce(self, works: Sequence[Work], grids: int) -> None:
        """Say how long all that takes, if it is long."""
        if works:
            allowed = self.allowed if self.request.allow is not None else None
            request = self.request
            announce_fill(self.predictor, works, grids, request.samples, request.kind, allowed, self.decoder)

    def not_allowed(self, cells: OneGrid) -> str:
        """A line on the visible cells that hold a symbol that a file does not allow there, or nothing."""
        return ruled_out(cells, self.evidence_by_size.get(cells.shape) if "allow" in self.request.files else None)

    def coded(self, results: Results, dtype: np.dtype | None) -> Results:
        """The results as files have them: with class codes, a fill in the type of its puzzle, if arrays hold these."""
        palette = self.predictor.header.palette
        names = [name for name in OF_SYMBOLS if name in results and palette.in_values]
        types = {name: type_for(np.array(palette.raster_values), dtype if name == "fill" else None) for name in names}
        return results | {name: values_of(results[name], palette).astype(types[name]) for name in names}

    def decoded(self, results: Results) -> Results:
        """The inverse of `coded`."""
        palette = self.predictor.header.palette
        names = [name for name in OF_SYMBOLS if name in results and palette.in_values]
        return results | {name: symbols_of(results[name], palette.raster_values) for name in names}

    def answered(self, puzzles: Iterable[Puzzles]) -> "Iterator[Answered]":
        """What is found of puzzles, in order, here or by workers."""
        if self.cluster is None:
            return (_answered(self.predictor, self.request, self.decoder, one) for one in puzzles)
        return self.cluster.each(partial(_answered_by_worker, self.cluster.model, self.request, self.decoder), puzzles)


Answered = tuple[Results, list[list[str]], int]  # with the warnings of each grid, and the number of hidden cells


def _answered(predictor: TrainedPredictor, request: Request, decoder: Decoder | None, puzzles: Puzzles) -> Answered:
    found = answers.fill(predictor, puzzles, request.samples, request.seed, decoder, request.kind)
    results = {"samples": found.samples.astype(np.int16), "marginals": found.marginals.astype(np.float32)}
    if request.kind != "none":
        results |= {"fill": found.fill.astype(np.int16), "log_prob_bits": found.log_prob_bits}
    return results | {"passes": found.passes}, found.warnings, int(puzzles.hidden.sum())


def _answered_by_worker(model: "ModelOnDisk", request: Request, decoder: Decoder | None, puzzles: Puzzles) -> Answered:
    return _answered(model.load(), request, decoder, puzzles)


def bytes_of_fill(size: Size, samples: int, n_symbols: int) -> int:
    """Count the memory that one grid needs while it is filled, and refuse what the machine does not have.

    Parameters
    ----------
    size
        Of the grid, in cells.
    samples
        That are drawn of it.
    n_symbols
        The number of symbols.

    Returns
    -------
    int
        Bytes, about.

    Raises
    ------
    InputError
        If there is less memory.

    Examples
    --------
    >>> bytes_of_fill((16, 16), 0, 2)
    69632
    """
    height, width = size
    draws = max(samples, answers.CHOSEN_AMONG)
    needed = height * width * (BYTES_OF_A_SAMPLE * draws + BYTES_OF_A_PROBABILITY * n_symbols)
    refuse_beyond_memory(needed, f"filling {height} by {width} cells with {samples} samples")
    return needed


def ruled_out(cells: OneGrid, evidence: np.ndarray | None) -> str:
    """Name the visible cells that hold a symbol which is not allowed there.

    Parameters
    ----------
    cells
        A grid, HIDDEN where hidden.
    evidence
        What is allowed, (height, width, symbol); None for everything.

    Returns
    -------
    str
        A line, or nothing.

    Examples
    --------
    >>> ruled_out(np.array([[0, -1]]), np.array([[[False, True], [True, True]]]))
    'visible cells hold a symbol that --allow rules out, at (row 0, column 0): kept'
    """
    if evidence is None:
        return ""
    of_symbol = np.take_along_axis(evidence, cells.clip(0)[..., None], axis=-1)[..., 0]
    places = answers.in_places((cells != HIDDEN) & (of_symbol == 0))
    return f"visible cells hold a symbol that --allow rules out, at {places}: kept" if places else ""


class _Input(ABC):
    """A file to fill: it is hashed once, opened once, and its evidence is checked once."""

    def __init__(self, run: _Run, path: Path):
        self.run, self.path = run, path
        self.likelihoods: Likelihoods | None = None
        self.unknown_sides = ""  # a line on side maps of which nothing is known
        self.older: list[str] = []  # files of a result that is replaced
        self.work = Work(0.0, np.zeros((1, 1), int), (1, 1), (slice(1), slice(1)))  # until it is checked

    @property
    @abstractmethod
    def endings(self) -> Sequence[str]:
        """What the names of results have after that of the input."""

    @property
    def names(self) -> list[str]:
        """Of all files that a fill writes."""
        names = [f"{self.path.stem}{ending}" for ending in (*self.endings, ".json")]
        longest = max(names, key=lambda name: len(os.fsencode(name)))
        if len(os.fsencode(longest)) > LONGEST_NAME:
            raise InputError(f"{self.path}: the name of its result, {longest}, is too long; use a shorter one")
        return names

    @property
    def parts(self) -> list[Path]:
        """All files that belong to the input."""
        return kept.parts_of(self.path)

    @cached_property
    def stamps(self) -> list[kept.Stamp]:
        """The state of the input before it was read."""
        return kept.stamps(self.parts)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The beginning of a report: the input and all else that a result depends on."""
        self.stamps  # noqa: B018, before the hash
        return {"input": self.path.name, "input_hash": kept.content_hash(self.parts), **self.run.identity}

    def finished(self, overwrite: bool) -> FillReport | None:
        """The report of an earlier run that filled the same; InputError for what must not be replaced."""
        report_path = self.run.out / self.names[-1]
        report = kept.report_of_earlier(report_path)
        self.older = list(report.get("files", []))
        numbered = {re.sub(r"-sample-[0-9]+\.tif", "-sample-1.tif", name) for name in self.older}
        if not numbered <= {f"{self.path.stem}{ending}" for ending in (self.path.suffix, *ENDINGS)}:
            raise InputError(f"{report_path} names files that no fill writes; choose another folder")
        for name in self.names[:-1]:
            if name not in self.older and os.path.lexists(self.run.out / name):
                raise InputError(
                    f"{self.run.out / name} was not written by gridcloze and is not replaced; choose another folder"
                )
        is_whole = bool(report) and kept.are_whole(self.run.out, report, overwrite)
        if overwrite or not report:
            return None
        if any(report.get(key) != value for key, value in self.run.identity.items()):
            raise InputError(
                f"{report_path} is of another model or other options: choose another folder, or --overwrite"
            )
        if report["input_hash"] != self.identity["input_hash"]:
            line = "or it was changed since: choose another folder, or --overwrite"
            raise InputError(f"{report_path} is of another {self.path.name}, {line}")
        if is_whole:  # what a run left that was killed after its last step
            shutil.rmtree(self.growing, ignore_errors=True)
        return cast(FillReport, report) if is_whole else None

    @property
    def growing(self) -> Path:
        """The folder of the results that are not complete."""
        return self.run.out / f"{OWN}{crc32(os.fsencode(self.path.stem)):08x}{RESUMABLE}"

    def check_sides(self, parts: Iterable[tuple[str, np.ndarray]]) -> None:
        """Look at side maps once; say of which no cell is known, as by --side none, or by a wrong no-data value."""
        channels, is_known = self.run.predictor.side, np.zeros(len(self.run.predictor.side), dtype=bool)
        for where, side in parts:
            with about(f"{self.path}{where}"):
                check_side(side, channels)
            is_known |= (~np.isnan(side)).any(axis=(0, 1, 2))
        names = [channel.name for channel, known in zip(channels, is_known.tolist(), strict=True) if not known]
        self.unknown_sides = UNKNOWN.format(", ".join(names)) if names else ""

    @abstractmethod
    def check(self, one_of_many: bool) -> int:
        """Read the whole input and return the number of its grids; InputError for a bad one."""

    def draw(self, stem: Path, puzzles: Cells, results: Results) -> None:
        """Draw samples and probabilities, if pictures were asked for."""
        if self.run.request.pictures:
            from .. import pictures

            palette, dark = self.run.predictor.header.palette, self.run.request.dark
            samples_path, probabilities_path = (stem.with_name(f"{stem.name}{ending}") for ending in SHEETS)
            samples = results.get("samples", np.empty((len(puzzles), 0, *puzzles.shape[1:]), int))[:, :SAMPLES_DRAWN]
            pictures.write_samples(samples_path, puzzles, results.get("fill"), samples, palette, dark)
            pictures.write_probabilities(probabilities_path, puzzles, results["marginals"], palette, dark)

    def report(self, scratch: Path, hidden_cells: int, passes: float, log_prob_bits: Any, **others: Any) -> FillReport:
        """Write the report next to the finished results."""
        identity = self.identity  # is hashed before it is known that nothing has changed
        if self.stamps != kept.stamps(self.parts) or self.run.stamps != kept.stamps(self.run.parts):
            raise InputError(f"{self.path} or a file of its hidden cells was changed while it was filled: run it again")
        bits = None if log_prob_bits is None else finite_or_none(np.round(log_prob_bits, 6).tolist())
        report = {"hidden_cells": hidden_cells, "passes_per_sample": round(passes, 3), "log_prob_bits": bits}
        report = identity | report | others
        kept.write_report(scratch, self.names, report)
        return cast(FillReport, report)


def _input_of(run: _Run, path: Path) -> _Input:
    if maps.is_map(path):
        return _Map(run, path)
    for option in ("hide_unseen", "cog"):
        if getattr(run.request, option):
            raise InputError(f"{path}: --{option.replace('_', '-')} is for maps (GeoTIFF)")
    return _Many(run, path) if is_stack(path) else _Single(run, path)


# Single grids


class _Single(_Input):
    size: Size = (0, 0)
    side: np.ndarray | None = None
    at_once = 1  # grids of its size that are filled together

    @property
    def endings(self) -> Sequence[str]:
        """The grid like the input and as a picture, the uncertainty of its cells, all arrays, and more pictures."""
        like_input = [self.ending] if self.ending != ".npz" else []
        picture = [] if self.ending.lower() in PICTURES else [".png"]
        fill = [*like_input, *picture] if self.run.request.kind != "none" else []
        return [*fill, "-uncertainty.png", *SHEETS * self.run.request.pictures, ".npz"]

    @property
    def ending(self) -> str:
        """Of the filled grid."""
        return ".npy" if self.path.suffix.lower() == ZARR else self.path.suffix

    def check(self, one_of_many: bool) -> int:
        if self.run.request.hidden in MARKERS[1:] and self.path.suffix.lower() not in PICTURES:
            raise InputError(f"{self.path} is no picture: --hidden {self.run.request.hidden} is for pictures only")
        _ = self.stamps, self.run.stamps  # before it is read
        cells = self.read().cells
        self.size = cells.shape
        self.at_once = self.run.at_once(self.size)
        self.likelihoods = self.run.likelihoods(cells == HIDDEN)
        with self.run.open_sides(self.path, self.size) as opened:
            self.side = None if opened is None else opened[:, :]
        filling.check_fits(self.run.predictor, _puzzles_of([cells], [self]))
        self.check_sides([] if self.side is None else [("", self.side[None])])
        self.work = work_in(self.run.predictor, cells)
        return 1

    def read(self) -> Grid:
        return read_puzzle(self.run.predictor, self.path, self.run.request.scale, self.run.request.hidden)

    def save_fill(self, stem: Path, grid: Grid, cells: OneGrid, results: Results) -> None:
        """Write a fill like the input and, of what is no picture, as a picture."""
        if self.ending != ".npz":
            more = _grids_in(results, grid.palette) if grid.document is not None else None
            save_grid(Path(f"{stem}{self.ending}"), grid.with_cells(cells), more)
        if self.ending.lower() not in PICTURES:
            scale = max(1, LEAST_PIXELS // max(self.size))
            save_grid(Path(f"{stem}.png"), Grid.from_cells(cells, grid.palette, scale))

    def write(self, scratch: Path, grid: Grid, results: Results, warnings: list[str]) -> FillReport:
        """Write a picture or array like the input, the uncertainty of each cell, all arrays, and the report."""
        size_warning = checkpoint.size_warning(self.run.predictor.header, self.size)
        warnings += filter(None, [self.run.not_allowed(grid.cells), grid.note, size_warning, self.unknown_sides])
        stem = scratch / self.path.stem
        if "fill" in results:
            self.save_fill(stem, grid, results["fill"].astype(np.int64), results)
        _write_uncertainty(Path(f"{stem}-uncertainty.png"), results["marginals"], grid.scale)
        arrays = {name: results[name] for name in self.run.request.arrays}
        self.draw(stem, grid.cells[None], {name: values[None] for name, values in arrays.items()})
        np.savez_compressed(f"{stem}.npz", allow_pickle=False, **self.run.coded(arrays, grid.dtype))
        hidden_cells, passes = int(grid.hidden.sum()), float(results["passes"])
        return self.report(scratch, hidden_cells, passes, results.get("log_prob_bits"), warnings=warnings)


def _grids_in(results: Results, palette: Palette) -> dict[str, np.ndarray]:
    """Samples, the probability of each class and the entropy in bits, for documents that have room for them."""
    values, marginals = np.array(palette.raster_values), results["marginals"]
    samples = {f"sample {number}": values[cells] for number, cells in enumerate(results["samples"])}
    shares = {f"probability of {value}": marginals[..., n] for n, value in enumerate(values.tolist())}
    return {**samples, **shares, "entropy": entropy_bits(marginals).astype(np.float32)}


def _together(inputs: Sequence[_Single]) -> Iterator[list[_Single]]:
    """Parts of the inputs that are filled together, as many as fit into memory."""
    part: list[_Single] = []
    for one in inputs:
        part.append(one)
        if len(part) >= min(other.at_once for other in part):
            yield part
            part = []
    if part:
        yield part


def _fill_singles(run: _Run, inputs: Sequence[_Single]) -> Iterator[dict[Path, FillReport]]:
    """Grids of one size are filled together, whatever their files are."""
    size = attrgetter("size")
    groups = [list(group) for part in _together(inputs) for _, group in groupby(sorted(part, key=size), size)]
    grids: dict[_Single, Grid] = {}

    def read(group: Sequence[_Single]) -> Puzzles:
        grids.update({one: one.read() for one in group})
        return _puzzles_of([grids[one].cells for one in group], group)

    for group, (results, warnings, _) in zip(groups, run.answered(map(read, groups)), strict=True):
        with scratch_folder(run.out) as scratch:
            reports = {}
            for number, (one, lines) in enumerate(zip(group, warnings, strict=True)):
                of_grid = {name: values[number] for name, values in results.items()}
                reports[one.path] = one.write(scratch, grids.pop(one), of_grid, lines)
            kept.put_results(scratch, run.out, [name for one in group for name in one.older])
        yield reports


def _puzzles_of(cells: Sequence[np.ndarray], inputs: Sequence[_Single]) -> Puzzles:
    checked = [one.likelihoods.values for one in inputs if one.likelihoods is not None]
    side = [one.side for one in inputs if one.side is not None]
    evidence = Likelihoods(np.stack(checked)) if checked else None
    return Puzzles(np.stack(cells), evidence=evidence, side=np.stack(side) if side else None)


def _write_uncertainty(path: Path, marginals: Float[np.ndarray, "height width symbol"], scale: int) -> None:
    """A grey PNG: black where a cell is certain, white where every symbol is as likely as any other."""
    share = entropy_bits(marginals) / np.log2(max(2, marginals.shape[-1]))
    grey = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
    Image.fromarray(enlarge(grey, scale)).save(path, format="PNG")


# Stacks


class _Many(_Input):
    """A stack, filled part by part into files that grow, so that memory stays flat; then all of them into one npz."""

    @property
    def endings(self) -> Sequence[str]:
        """All arrays, and pictures of the first grids."""
        return [*SHEETS * self.run.request.pictures, ".npz"]

    @cached_property
    def stack(self) -> Stack:
        return open_stack(self.path, self.run.predictor.header.palette)

    @property
    def at_once(self) -> int:
        return self.run.at_once(self.stack.array.shape[1:])

    def check(self, one_of_many: bool) -> int:
        if self.run.request.hidden not in MARKERS:
            raise InputError(
                f"{self.path} is a stack, in which hidden cells are -1: --hidden FILE goes with single grids"
            )
        _ = self.stamps, self.run.stamps  # before it is read
        length, hidden_anywhere = len(self.stack), np.zeros(self.stack.array.shape[1:], dtype=bool)
        for part in _parts(length, self.at_once):
            hidden_anywhere |= (self.stack.read(part) == HIDDEN).any(axis=0)
        self.likelihoods = self.run.likelihoods(hidden_anywhere)
        if (side := self.side) is not None:
            self.check_sides((f" from grid {part.start} on", side[part]) for part in _parts(length, self.at_once))
        middle = self.puzzles(slice(length // 2, length // 2 + 1))
        filling.check_fits(self.run.predictor, middle)
        self.work = work_in(self.run.predictor, middle.cells[0].astype(np.int64), float(length))
        if one_of_many:
            del self.stack, self.side  # an .npz is in memory as a whole: one at a time
        return length

    @cached_property
    def side(self) -> Any:
        """The side maps in the file."""
        with self.run.open_sides(self.path, self.stack.array.shape) as opened:
            return opened

    def puzzles(self, part: slice) -> Puzzles:
        side = None if self.side is None else self.side[part]
        return Puzzles(self.stack.read(part), evidence=self.likelihoods, side=side)

    def fill(self, watch: Callable[[float], None]) -> FillReport:
        run, length = self.run, len(self.stack)
        growing = _GrowingStack(self.growing, length, {**self.identity, "grids": length}, run.request.arrays)
        parts = list(_parts(length, self.at_once, growing.done))
        puzzles = map(self.puzzles, parts)
        for part, (results, warnings, hidden_cells) in zip(parts, run.answered(puzzles), strict=True):
            lines = [f"grid {part.start + number}: {line}" for number, some in enumerate(warnings) for line in some]
            growing.append(run.coded(results, self.stack.dtype), lines, hidden_cells)
            watch(part.stop)
        with scratch_folder(run.out) as scratch:
            growing.write(scratch / f"{self.path.stem}.npz")
            shown = slice(0, min(length, GRIDS_DRAWN))
            self.draw(scratch / self.path.stem, self.stack.read(shown), run.decoded(growing.first(shown.stop)))
            state, bits = growing.state, None
            if "log_prob_bits" in growing.names:
                bits = np.load(growing.array("log_prob_bits"))
            lines = [*state["warnings"], *filter(None, [self.unknown_sides])]
            passes, others = state["passes"] / length, {"warnings": lines, "grids": length}
            report = self.report(scratch, state["hidden_cells"], passes, bits, **others)
            kept.put_results(scratch, run.out, self.older)
        shutil.rmtree(growing.folder)
        return report


def _parts(length: int, at_once: int, start: int = 0) -> Iterator[slice]:
    return (slice(at, min(at + at_once, length)) for at in range(start, length, at_once))


class _GrowingStack:
    """Results of a stack that are not complete yet: one npy file each, and a note of how far all of them are."""

    def __init__(self, folder: Path, length: int, identity: dict[str, Any], names: Sequence[str]):
        self.folder, self.length, self.names, self.note = folder, length, names, folder / "done.json"
        self.state = {**identity, "done": 0, "hidden_cells": 0, "passes": 0.0, "warnings": []}
        with suppress(Exception):  # none is there, or they are damaged, which NumPy reports by many types
            before = kept.note_in(self.note)
            arrays = [self.array(name) for name in names]
            whole = all(path.is_file() and len(np.load(path, mmap_mode="r")) == length for path in arrays)
            is_of_this = isinstance(before, dict) and identity.items() <= before.items()
            if whole and is_of_this and before["done"] in range(length + 1):
                self.state = before

    @property
    def done(self) -> int:
        return self.state["done"]

    def array(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def append(self, results: Results, warnings: Sequence[str], hidden_cells: int) -> None:
        """Write after the grids that are noted as done; what a stopped run wrote beyond them is overwritten."""
        length = len(results["marginals"])
        if self.done == 0:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        for name in self.names:
            values, path = results[name], self.array(name)
            if self.done == 0:
                array = np.lib.format.open_memmap(path, "w+", values.dtype, (self.length, *values.shape[1:]))
                _reserve(path)
            else:
                array = np.lib.format.open_memmap(path, "r+")
            array[self.done : self.done + length] = values
            array.flush()
        self.state["hidden_cells"] += hidden_cells
        self.state["passes"] += float(results["passes"].sum())
        self.state["warnings"] += warnings
        self.state["done"] += length
        write_json(self.note, self.state)

    def first(self, n: int) -> Results:
        """The results of the first grids."""
        return {name: np.load(self.array(name), mmap_mode="r")[:n] for name in self.names}

    def write(self, path: Path) -> None:
        """All arrays as one npz at `path`."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in self.names:
                with self.array(name).open("rb") as array, archive.open(f"{name}.npy", "w", force_zip64=True) as copy:
                    shutil.copyfileobj(array, copy)  # without the time of the file, which would change the hash


def _reserve(path: Path) -> None:
    """Take the room on the disk now: a process that finds none while it writes to a memory map is ended."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


# Maps


class _Map(_Input):
    """A GeoTIFF, filled by rows, so that memory does not grow with its height."""

    @property
    def each_sample(self) -> list[str]:
        """The endings of samples that are files of their own."""
        return [f"-sample-{number}.tif" for number in range(1, min(self.run.request.samples, SAMPLE_FILES) + 1)]

    @property
    def endings(self) -> Sequence[str]:
        request = self.run.request
        fill = [self.path.suffix] if request.kind != "none" else []
        files = [*fill, "-uncertainty.tif", *(["-samples.tif"] if request.samples else [])]
        if request.pictures:
            files += [*self.each_sample, "-probabilities.tif"]
        return [*files, *(f"{file}.aux.xml" for file in files), *SHEETS * request.pictures]

    def check(self, one_of_many: bool) -> int:
        _ = self.stamps, self.run.stamps  # before it is read
        with self.open() as source, self.run.open_sides(self.path, (source.height, source.width)) as opened:
            if opened is None:
                with_side(self.run.predictor, None)  # refuses a model that needs them
            else:
                rows = _parts(source.height, max(1, ROWS_OF_SIDE // source.width))
                self.check_sides((f" from row {part.start} on", opened[part, :][None]) for part in rows)
            window = self.run.predictor.window
            height = min(source.height, ROWS_OF_WINDOWS * window[0]) if window else source.height
            self.run.at_once((height, source.width))
            if window:
                windows = BYTES_OF_A_TILE * source.height * source.width // (window[0] * window[1])
                refuse_beyond_memory(windows, f"filling {source.height} by {source.width} cells")
            if "allow" in self.run.request.files:
                self._check_allowed(source)
            elif self.run.request.allow is not None:
                self.run.allowed((source.height, source.width))
            top = (source.height - height) // 2
            rows = source.read_rows(top, top + height).astype(np.int64)
            self.work = work_in(self.run.predictor, rows, source.height / height, (source.height, source.width), top)
            return 1

    def _check_allowed(self, source: maps.OpenMap) -> None:
        """Read what is allowed and check it, by rows, where cells are hidden."""
        allowed = self.run.allowed((source.height, source.width))
        at_once = max(1, BYTES_AT_ONCE // (BYTES_OF_A_PROBABILITY * allowed[0].size))
        for rows in _parts(source.height, at_once):
            with about(f"{self.path} from row {rows.start} on"):
                Likelihoods.checked(allowed[rows], source.read_rows(rows.start, rows.stop) == HIDDEN)

    def open(self) -> AbstractContextManager[maps.OpenMap]:
        request, palette = self.run.request, self.run.predictor.header.palette
        return maps.open_map(self.path, palette, request.hidden, 1.0 if request.hide_unseen else maps.FEW)

    def fill(self, watch: Callable[[float], None]) -> FillReport:
        run, path, request, header = self.run, self.path, self.run.request, self.run.predictor.header
        trained = header.training.get("resolution")
        with ExitStack() as stack:
            scratch = stack.enter_context(scratch_folder(run.out))
            samples = scratch / f"{path.stem}-samples.tif" if request.samples else None
            filled = scratch / path.name if request.kind != "none" else None
            uncertainty = scratch / f"{path.stem}-uncertainty.tif"
            probabilities = scratch / f"{path.stem}-probabilities.tif" if request.pictures else None
            source = stack.enter_context(self.open())
            unseen = maps.unseen_warning(source.unseen or {})
            warning = maps.resolution_warning(maps.Resolution(*trained) if trained else None, source.resolution)
            side = stack.enter_context(run.open_sides(path, (source.height, source.width)))
            found = self.answers(source, side, watch)
            with maps.write_maps(source, filled, uncertainty, samples, request.samples, probabilities) as writer:
                for rows in found:
                    marginals = rows.marginals if request.pictures else None
                    writer.write_rows(rows.start, rows.fill, rows.probability, rows.entropy, rows.samples, marginals)
                    watch((rows.start + len(rows.entropy)) / source.height)
            if samples is not None and request.pictures:
                maps.write_each_sample(source, samples, [scratch / f"{path.stem}{one}" for one in self.each_sample])
            if probabilities is not None:
                puzzles, results = maps.read_thinned(source, filled, samples, probabilities, SAMPLES_DRAWN)
                self.draw(scratch / path.stem, puzzles, results)
            nothing = "" if writer.n_filled or found.warnings else answers.NOTHING_HIDDEN
            warnings = [*found.warnings, *filter(None, (nothing, warning, unseen, self.unknown_sides))]
            bits = found.log_prob_bits if filled else None
            if request.cog:
                for file in scratch.glob("*.tif*"):
                    maps.optimise(file)
            report = self.report(scratch, writer.n_filled, found.passes, bits, warnings=warnings)
            kept.put_results(scratch, run.out, self.older)
        shutil.rmtree(self.growing, ignore_errors=True)
        return report

    def answers(self, source: maps.OpenMap, side: Any, watch: Callable[[float], None]) -> AnswersByRows:
        """The answers of this process; or in blocks, of a cluster, or of what a cluster left."""
        run, request, size = self.run, self.run.request, (source.height, source.width)
        of_rows = run.predictor, source.read_rows, size, request.samples, request.seed, run.decoder, request.kind
        values = None if request.allow is None else run.allowed(size)
        is_begun = self.growing.exists() and not request.needs_whole
        if exceeds_window(run.predictor, size) and (run.cluster is not None or is_begun):
            from ..scale import AnswersByBlocks

            allowed = None if values is None else tuple(values[0, 0].astype(float).tolist())
            options: Any = {"folder": self.growing, "identity": self.identity, "percent": request.pictures}
            runner = None if run.cluster is None else run.cluster.run
            return AnswersByBlocks(*of_rows, **options, allowed=allowed, run=runner, watch=watch)
        return AnswersByRows(*of_rows, None if values is None else partial(Likelihoods.of_window, values), side)
