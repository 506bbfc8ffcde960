"""The command line: names, options and help of the commands."""

import sys

try:
    import contextlib
    import inspect
    import json
    import logging
    import os
    import re
    import signal
    import traceback
    import warnings
    from collections.abc import Callable
    from pathlib import Path
    from typing import Annotated, Any, Literal

    import typer
    from typer.core import TyperCommand, TyperGroup

    from .commands.process import tune_process
    from .words import REPORT, InputError, __version__, finite_or_none, how_to_install
except KeyboardInterrupt:  # Ctrl-C at the very start; `main` handles the rest
    print("gridcloze: stopped", file=sys.stderr)
    sys.exit(130)

BAD_INPUT, BUG, STOPPED, CLOSED_PIPE = 2, 70, 130, 141  # exit statuses; those of the shell and of sysexits.h
NO_MEMORY = re.compile("allocate|bad.alloc|out of memory|array is too big|maximum allowed|new thread", re.IGNORECASE)
EXTRAS = {
    "dask": "scale",
    "distributed": "scale",
    "fastapi": "studio",
    "onnx": "export",
    "pydantic": "studio",
    "rasterio": "geo",
    "uvicorn": "studio",
    "zarr": "zarr",
}  # which extra brings a module, if not `train`


def _epilog(examples: dict[str, str]) -> str:
    """The end of a help page: commands by what they do."""
    return "\n\n".join(
        ["Examples:", *(f"[dim]# {what}[/dim]\n[bold]{command}[/bold]" for what, command in examples.items())]
    )


class _PlainHelp:
    """Shows no type next to flags that typer adds: --help, and those of completion."""

    def get_params(self, ctx: Any) -> Any:
        options = super().get_params(ctx)  # type: ignore[misc]
        for option in options:
            if getattr(option, "is_flag", False):
                option.metavar = ""
        return options


class _Group(_PlainHelp, TyperGroup):
    pass


class _Command(_PlainHelp, TyperCommand):
    pass


app = typer.Typer(
    name="gridcloze",
    cls=_Group,
    help="Learn from example grids, fill the hidden cells of new ones, and check the probabilities.",
    epilog=_epilog(
        {
            "Make example grids and puzzles": "gridcloze toy squares -o examples",
            "Learn from them": "gridcloze train examples -o squares.safetensors",
            "Fill the puzzles": "gridcloze fill squares.safetensors examples/puzzles -o filled",
        }
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _command(examples: dict[str, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function: its docstring is the help, whose paragraphs fit any width, with `examples`."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
        return app.command(cls=_Command, help=text, epilog=_epilog(examples))(function)

    return register


def _option(text: str, metavar: str | None, *names: str, **rest: Any) -> Any:
    return typer.Option(*names, help=text, metavar=metavar, **rest)


def _prior_option(text: str, metavar: str, *names: str) -> Any:
    return _option(text, metavar, *names, rich_help_panel="Options of the prior")


def _argument(text: str, metavar: str) -> Any:
    return typer.Argument(help=text, metavar=metavar)


Model = Annotated[Path, _argument("Model file that `gridcloze train` or `gridcloze export` wrote.", "MODEL")]
Seed = Annotated[int, _option("Seed of the random numbers: the same seed gives the same result.", "N", min=0)]
Hidden = Annotated[
    str,
    _option(
        "How hidden cells of a picture are marked: auto (grey 128,128,128 or transparent), grey, transparent; or a "
        "second file that is white or not zero where cells are hidden.",
        "MARK",
    ),
]
HideUnseen = Annotated[
    bool,
    _option(
        "Allow a map any number of cells of classes that the model never saw, not only 1%. They are hidden from the "
        "model, and kept.",
        "",
        "--hide-unseen",
    ),
]
Scale = Annotated[
    int | None,
    _option(
        "Side of a cell of a picture in pixels; by default what the picture notes or what fits the model.",
        "PIXELS",
        min=1,
    ),
]
Picture = Annotated[Path | None, _option("Picture to write, .png or .svg.", "FILE", "-o", "--out")]
Dark = Annotated[bool, _option("Draw on a dark background.", "", "--dark")]
Side = Annotated[
    list[str],
    _option(
        "Side map of the grids, as NAME=PATH or under the name of its file: a GeoTIFF on the grid of a map, or a "
        "folder with an array or a grey picture for each grid. Give as many as there are.",
        "PATH",
    ),
]
SideOrNone = Annotated[
    list[str],
    _option(
        "Side map, as in `train`, for each that the model learned with, in the same order; none fills as if they were "
        "unknown.",
        "PATH",
        "--side",
    ),
]
Overwrite = Annotated[bool, _option("Replace an older result of gridcloze.", "", "--overwrite")]
Json = Annotated[bool, _option("Print the report as JSON instead of text.", "", "--json")]


def main() -> None:
    """Run a command; whatever ends it early gives one line on stderr, and an exit status that `_ending` chooses."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        if hasattr(stream, "reconfigure"):  # file names need not be UTF-8, nor the terminal
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    warnings.simplefilter("ignore")  # of libraries, as are log lines: what there is to say, commands say themselves
    logging.disable()
    try:
        code, message = app(prog_name="gridcloze", standalone_mode=False), ""
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit as ended:  # after completion, or what typer and rich make of a closed pipe
        code, message = CLOSED_PIPE if ended.code else 0, ""
    except BaseException as error:
        code, message = _ending(error)
    if code == STOPPED:
        message = "stopped"
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # another Ctrl-C need not wait for threads that end
    if code:
        _flush_or_discard(sys.stdout)
        with contextlib.suppress(OSError):
            _complain(message)
        _flush_or_discard(sys.stderr)
    sys.exit(code)


def _ending(error: BaseException) -> tuple[int, str]:
    """The exit status for an error, and what to say."""
    if isinstance(error, typer.Abort) and isinstance(error.__cause__ or error.__context__, EOFError):
        return BAD_INPUT, "a file ends too early; it may have been cut off"
    if isinstance(error, typer.Abort) or _is_or_follows_ctrl_c(error):
        return STOPPED, ""
    if isinstance(error, BrokenPipeError):
        return CLOSED_PIPE, ""
    if isinstance(error, ModuleNotFoundError) and not (error.name or "gridcloze").startswith("gridcloze"):
        extra = next((extra for name, extra in EXTRAS.items() if str(error.name).startswith(name)), "train")
        return BAD_INPUT, f"this needs {error.name}, which is not installed: {how_to_install(extra)}"
    if isinstance(error, InputError):
        return BAD_INPUT, str(error)
    if isinstance(error, OSError):
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
        return BAD_INPUT, ": ".join([*names, error.strerror or str(error) or type(error).__name__])
    if hasattr(error, "format_message"):  # of typer's, whose module has another name in every other version
        return BAD_INPUT, " ".join(error.format_message().split())  # type: ignore[attr-defined]
    said = next(iter(str(error).splitlines()), "no further details")
    if isinstance(error, MemoryError) or NO_MEMORY.search(said):
        return BAD_INPUT, f"not enough memory ({said}): give smaller grids, or ask for less at once"
    if isinstance(error, RecursionError | OverflowError | UnicodeError):
        what = {RecursionError: "nested too deeply", OverflowError: "a number is too large"}
        return BAD_INPUT, f"{what.get(type(error), 'not readable as text')} ({said})"
    traceback.print_exception(error)
    return BUG, REPORT


def _is_or_follows_ctrl_c(error: BaseException | None) -> bool:
    """Whether an error is Ctrl-C, or what a library made of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _complain(message: str) -> None:
    """Print one line on stderr, whatever is in the message: file names may hold line breaks and escape sequences."""
    if message and sys.stderr is not None:
        print(f"gridcloze: {_one_line(message)}", file=sys.stderr)


def _one_line(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _flush_or_discard(stream: Any) -> None:
    """What a closed pipe or a full disk does not take is dropped here, or Python would complain of it when it ends."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError):  # a stream of a test has no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print_report(report: Any, as_json: bool, *lines: str) -> None:
    _print_json(report) if as_json else print("\n".join(_one_line(line) for line in lines if line))


def _print_json(report: Any) -> None:
    """Print JSON, which has no numbers that are not finite: they become null."""
    print(json.dumps(finite_or_none(report), allow_nan=False))


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, _option("Print the version and exit.", "", "--version")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@_command({"Write everything into the folder demo": "gridcloze demo -o demo"})
def demo(
    out: Annotated[Path, _option("Folder for the pictures and the model.", "FOLDER", "-o", "--out")] = Path("demo"),
    minutes: Annotated[float, _option("Length of the training in minutes.", "MINUTES")] = 1.5,
    seed: Seed = 0,
) -> None:
    """Learn squares, fill six puzzles, and compare the answers with the exact posterior.

    The demo writes example images of one white square, trains a model on them, and fills six puzzles made from squares
    that no example shows. It prints each puzzle with its fill, the probabilities of the model, the exact ones and the
    truth, draws them as demo.png, and scores the model on held-out grids.
    """
    tune_process()
    from .demo import run

    run(out, minutes, seed)


@_command(
    {
        "Example grids and puzzles as PNG files": "gridcloze toy squares -o examples -n 2000",
        "One array file of larger grids": "gridcloze toy rectangles -o grids.npy -n 20000 --height 32 --width 32",
    }
)
def toy(
    name: Annotated[str, _argument("The prior: squares, rectangles, stripes, mirror or ising.", "NAME")],
    out: Annotated[Path, _option("Folder for PNG files, or a .npy or .npz file for a stack.", "PATH", "-o", "--out")],
    n: Annotated[int, _option("Number of example grids.", "N", "-n")] = 2000,
    puzzles: Annotated[int, _option("Number of puzzles, written with their true grids; only in a folder.", "N")] = 20,
    height: Annotated[int | None, _prior_option("Height in cells; 16 if not given.", "CELLS")] = None,
    width: Annotated[int | None, _prior_option("Width in cells; 16 if not given, 8 for ising.", "CELLS")] = None,
    smallest: Annotated[
        int | None, _prior_option("Smallest side of squares (3 if not given) and rectangles (1) in cells.", "CELLS")
    ] = None,
    largest: Annotated[
        int | None,
        _prior_option(
            "Largest side of squares (12 if not given) and rectangles (the side of the grid) in cells.", "CELLS"
        ),
    ] = None,
    outline: Annotated[
        bool | None, _prior_option("Draw only the border of squares and rectangles.", "", "--outline")
    ] = None,
    inverted: Annotated[bool | None, _prior_option("Black squares and rectangles on white.", "", "--inverted")] = None,
    largest_period: Annotated[
        int | None, _prior_option("Largest period of stripes in cells; 8 if not given.", "CELLS")
    ] = None,
    coupling: Annotated[
        float | None, _prior_option("How strongly neighbours in ising tend to be equal; 0.35 if not given.", "X")
    ] = None,
    field: Annotated[
        float | None, _prior_option("How strongly cells in ising tend to be white; 0 if not given.", "X")
    ] = None,
    scale: Annotated[int, _option("Side of a cell in PNG files in pixels.", "PIXELS", min=1)] = 8,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write example grids of a toy prior whose exact posterior is known, and puzzles to fill.

    In a folder, grids become PNG files, with puzzles in the folder puzzles and their true grids in truth. The file
    prior.json next to the grids names the prior: with it, `score` and `explain` compare a model with the exact
    posterior.
    """
    from .commands import toy as command
    from .priors.known import make_toy

    options = {
        "height": height,
        "width": width,
        "smallest": smallest,
        "largest": largest,
        "outline": outline,
        "inverted": inverted,
        "largest_period": largest_period,
        "coupling": coupling,
        "field": field,
    }
    given = {option: value for option, value in options.items() if value is not None}
    report = command.toy(make_toy(name, **given), out, n, puzzles, seed, scale, overwrite)
    _print_report(report, as_json, f"wrote {n} grids to {out}")


@_command(
    {
        "Learn from a folder of pictures": "gridcloze train examples -o squares.safetensors",
        "Learn for five minutes": "gridcloze train examples -o squares.safetensors --minutes 5",
        "Learn for a number of steps, which gives the same model every time": (
            "gridcloze train grids.npy -o model.safetensors --steps 3000"
        ),
        "Learn from windows of a map": "gridcloze train landcover.tif -o landcover.safetensors --windows 64",
        "Continue an interrupted training": "gridcloze train examples -o squares.safetensors --resume",
        "Learn more from a model of similar grids": "gridcloze train few -o new.safetensors --from squares.safetensors",
    }
)
def train(
    examples: Annotated[
        Path,
        _argument(
            "Folder of grids of one size, or a stack in a .npy, .npz or .zarr file; with --windows one or more big "
            "grids or maps.",
            "EXAMPLES",
        ),
    ],
    out: Annotated[Path, _option("Model file to write.", "FILE", "-o", "--out")],
    windows: Annotated[
        int | None, _option("Learn from windows of this size, at random places of the big grids.", "CELLS", min=2)
    ] = None,
    symmetries: Annotated[
        Literal["none", "across", "along", "mirrors", "turns", "all"],
        _option(
            "Symmetries under which grids are equally likely: across (mirrored left to right), along (mirrored top to "
            "bottom), mirrors (both), turns (rotations), or all (mirrors and rotations). They stretch a small training "
            "set.",
            None,
        ),
    ] = "none",
    palette: Annotated[
        Path | None,
        _option("Palette file (.json) with the names, colours, characters and raster values of the symbols.", "FILE"),
    ] = None,
    side: Side = [],  # noqa: B006, typer copies it
    minutes: Annotated[
        float | None,
        _option("Length of the training in minutes; by default it ends by itself, after 60 at most.", "MINUTES"),
    ] = None,
    steps: Annotated[
        int | None, _option("Length of the training in steps instead; the result is then reproducible.", "N")
    ] = None,
    depth: Annotated[
        int | None, _option("Number of layers of the model; its other sizes follow. 6 without --from.", "N", min=1)
    ] = None,
    model: Annotated[
        Path | None,
        _option("Start from the weights, sizes and symbols of this model (fine-tuning).", "MODEL", "--from"),
    ] = None,
    seed: Seed = 0,
    resume: Annotated[
        bool, _option("Continue an interrupted training with the same options, if there is one.", "", "--resume")
    ] = False,
    overwrite: Annotated[
        bool, _option("Replace an older model, and drop the state of an interrupted training.", "", "--overwrite")
    ] = False,
    as_json: Json = False,
) -> None:
    """Learn what example grids have in common, and write a model file.

    The training ends by itself when it predicts grids that it does not learn from no better than before, and keeps
    the weights that did it best. Ctrl-C ends it early and still writes a model that can be used. The state of a
    training is kept next to the model until it is complete: `--resume` continues after Ctrl-C, a crash or a full disk.

    `torchrun --nproc-per-node 2 -m gridcloze train …` or `accelerate launch` train in several processes, which share
    each batch: the model is the same up to rounding.
    """
    tune_process()
    from .commands import train as command
    from .training import Budget

    source = command.Source(examples, windows, symmetries, palette, side)
    report = command.train(source, out, Budget(minutes, steps), seed, depth, resume, overwrite, model)
    if report is None:  # another process of the same training says it
        return
    training = report["training"]
    ended = "interrupted, continue with --resume" if training["interrupted"] else "done"
    said = f"{ended}: {training['steps']} steps in {training['seconds']:.0f} s, model in {out}"
    _print_report(report, as_json, said, training.get("verdict", ""))


@_command(
    {
        "One puzzle, with 16 samples": "gridcloze fill squares.safetensors puzzle.png -o filled --samples 16",
        "Every puzzle in a folder": "gridcloze fill squares.safetensors examples/puzzles -o filled",
        "Samples and probabilities without class water": (
            "gridcloze fill landcover.safetensors scene.tif -o filled --samples 8 --no-fill --allow 'not water'"
        ),
        "A map whose clouds are a second file": (
            "gridcloze fill landcover.safetensors scene.tif -o filled --hidden clouds.tif"
        ),
        "A large map with four processes": "gridcloze fill landcover.safetensors map.tif -o filled --dask local:4",
    }
)
def fill(
    model: Model,
    puzzles: Annotated[
        list[Path],
        _argument(
            "Grids with hidden cells: files, stacks, or folders of files; - reads one grid from stdin.", "PUZZLES"
        ),
    ],
    out: Annotated[
        Path, _option("Folder for the results; - writes one filled grid to stdout.", "FOLDER", "-o", "--out")
    ],
    samples: Annotated[
        int, _option("Number of joint samples of each grid, as well as the most likely fill.", "N", min=0)
    ] = 0,
    no_fill: Annotated[
        bool, _option("Write samples and probabilities only: no most likely fill is made.", "", "--no-fill")
    ] = False,
    typical: Annotated[
        bool,
        _option(
            "Fill with the most typical of the samples, or of eight, instead of the most likely grid: the one expected "
            "to differ from another sample in the fewest cells.",
            "",
            "--typical",
        ),
    ] = False,
    hidden: Hidden = "auto",
    hide_unseen: HideUnseen = False,
    allow: Annotated[
        str | None,
        _option(
            "Which symbols hidden cells may take: names, characters or values with commas between them, such as "
            "'water, forest' or 'not water'. Or a file that says it for each cell: a picture whose pixels show the "
            "allowed colours (grey: any), a text of characters (?: any), or an array (height, width, symbol) of "
            "booleans or of likelihoods.",
            "RULE",
        ),
    ] = None,
    side: SideOrNone = [],  # noqa: B006, typer copies it
    order: Annotated[
        str | None,
        _option(
            "Order in which cells are filled: weighted, random, uncertain, certain, margin or spread. By default it "
            "depends on the size of the grids.",
            "ORDER",
        ),
    ] = None,
    budget_bits: Annotated[
        float | None,
        _option(
            "Information in bits that a forward pass may lose by revealing several cells together: more is faster and "
            "less exact.",
            "BITS",
        ),
    ] = None,
    refine: Annotated[
        int,
        _option(
            "Rounds in which finished samples are drawn again, cell by cell given all others, which removes single "
            "cells that do not fit. One round is usually enough; refined samples have no log-probability.",
            "K",
            min=0,
        ),
    ] = 0,
    scale: Scale = None,
    pictures: Annotated[
        bool,
        _option(
            "Draw samples side by side, and the probability of each symbol; for a map also write these as GeoTIFFs.",
            "",
            "--pictures",
        ),
    ] = False,
    dark: Dark = False,
    cog: Annotated[bool, _option("Write GeoTIFFs as cloud-optimised ones, with overviews.", "", "--cog")] = False,
    dask: Annotated[
        str | None,
        _option(
            "Fill with several processes: local:N starts N of them here, tcp://HOST:PORT is a Dask scheduler whose "
            "workers see the same disk. The results are the same.",
            "ADDRESS",
        ),
    ] = None,
    overwrite: Annotated[
        bool, _option("Fill inputs again that are filled already, and replace their results.", "", "--overwrite")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fill the hidden cells of grids; known cells come back unchanged.

    Each grid gives a filled file of the same kind, a picture of the uncertainty of its cells, an .npz file with
    samples and probabilities, and a report as .json. Text and arrays also give a picture of the fill. A stack gives one
    .npz and one .json file, a GeoTIFF gives GeoTIFFs.

    An interrupted run resumes: inputs whose results are in the folder already are not filled again.
    """
    tune_process()
    from .commands import fill as command
    from .commands import streams
    from .decoding import DEFAULT_DECODER, Decoder

    decoder = None
    if order is not None or budget_bits is not None:
        budget_bits = DEFAULT_DECODER.budget_bits if budget_bits is None else budget_bits
        decoder = Decoder(order or DEFAULT_DECODER.order, budget_bits)
    if as_json and out == streams.STREAM:
        raise InputError("-o - writes the grid to stdout, where --json would write the report: choose one of them")
    if no_fill and (typical or out == streams.STREAM):
        other = "--typical" if typical else "-o -"
        raise InputError(f"{other} asks for a fill, and --no-fill for none: choose one of them")
    kind = "none" if no_fill else "typical" if typical else "likely"
    request = command.Request(
        samples, seed, decoder, hidden, allow, scale, hide_unseen, kind, pictures, dark, cog, side, refine
    )
    with streams.input_files(puzzles) as inputs, streams.output_folder(out, inputs) as folder:
        reports = command.fill(model, inputs, folder, request, overwrite, dask)
    for report in reports:
        for warning in report["warnings"]:
            _complain(f"{report['input']}: {warning}")
    if out != streams.STREAM:
        _print_report(reports, as_json, f"results of {len(reports)} file{'s' * (len(reports) != 1)} in {out}")


@_command(
    {
        "Write squares.onnx": "gridcloze export squares.safetensors -o squares.onnx",
        "A page that fills grids": "gridcloze export squares.safetensors -o squares.html --prior examples/prior.json",
    }
)
def export(
    model: Model,
    out: Annotated[Path, _option("The .onnx file to write, or .html for a page.", "FILE", "-o", "--out")],
    prior: Annotated[
        Path | None, _option("The prior.json of squares: the page shows the exact posterior as well.", "FILE")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a model as an ONNX file, which `fill`, `check`, `explain` and `score` read without torch, or as a page.

    The page is one file that needs no network: open it from disk, mail it, or put it on any web server. On it you
    paint a grid, and see probabilities, samples and what decided them.
    """
    from .commands import export as command

    report = command.export(model, out, overwrite, prior)
    _print_report(report, as_json, f"wrote {out}, {report['bytes'] / 2**20:.1f} MiB")


@_command(
    {
        "Is any cell of this grid wrong?": "gridcloze check squares.safetensors grid.png",
        "Draw the answer": "gridcloze check squares.safetensors puzzle.png -o look.png --threshold 0.001",
    }
)
def check(
    model: Model,
    grid: Annotated[Path, _argument("Grid with or without hidden cells.", "GRID")],
    picture: Picture = None,
    dark: Dark = False,
    threshold: Annotated[
        float, _option("Probability given the rest below which a visible cell is surprising.", "P")
    ] = 0.01,
    hidden: Hidden = "auto",
    side: SideOrNone = [],  # noqa: B006, typer copies it
    scale: Scale = None,
    hide_unseen: HideUnseen = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find visible cells that the rest of a grid contradicts, and the hidden cell to look at next.

    The cell to look at next is the one whose value is expected to tell most about the other hidden cells. The exit
    status is 1 if any visible cell is implausible given the rest, otherwise 0.
    """
    tune_process()
    from .commands import check as command

    options = dark, overwrite, hide_unseen, scale, side
    report, marks = command.check(model, grid, threshold, hidden, picture, *options)
    if as_json:
        _print_json(report)
    else:
        command.print_check(report, marks)
    raise typer.Exit(1 if report["surprises"] else 0)


@_command(
    {
        "Explain the cell in row 4, column 7": "gridcloze explain squares.safetensors puzzle.png --cell 4,7",
        "Explain the most uncertain cell, next to the exact posterior, and draw it": (
            "gridcloze explain squares.safetensors puzzle.png -o why.png --prior examples/prior.json"
        ),
    }
)
def explain(
    model: Model,
    puzzle: Annotated[Path, _argument("Grid with hidden cells.", "PUZZLE")],
    cell: Annotated[
        str | None,
        _option(
            "Row and column of a hidden cell, from 0, as in 4,7; if not given, the most uncertain one.", "ROW,COLUMN"
        ),
    ] = None,
    picture: Picture = None,
    prior: Annotated[
        Path | None, _option("The prior.json of the grids: adds the exact posterior to compare with.", "FILE")
    ] = None,
    heads: Annotated[
        Path | None, _option("Picture of the attention of every head to write, .png or .svg.", "FILE")
    ] = None,
    film: Annotated[
        Path | None,
        _option(
            "Film to write, .gif or .mp4: one sample, cell by cell, with the probabilities of the remaining cells. "
            "MP4 needs the `film` extra.",
            "FILE",
        ),
    ] = None,
    dark: Dark = False,
    hidden: Hidden = "auto",
    side: SideOrNone = [],  # noqa: B006, typer copies it
    scale: Scale = None,
    hide_unseen: HideUnseen = False,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Explain the probabilities of a hidden cell: the influence of the visible cells, and attention.

    Influence is how much the predicted distribution of the cell changes when one visible cell is hidden or flipped: it
    explains the answer. Attention only says where a head looks. The rank correlation (Spearman) between the two says,
    by layer and head, how far attention shows what has influence. Models without attention get influence only.
    """
    tune_process()
    from .commands import explain as command

    drawings = command.Drawings(picture, heads, film, dark, seed)
    options = overwrite, hide_unseen, scale, side
    report, marks = command.explain(model, puzzle, cell, hidden, prior, drawings, *options)
    if as_json:
        _print_json(report)
    else:
        command.print_explanation(report, marks)


@_command(
    {
        "Compare a model with baselines that learn from its training set": (
            "gridcloze score squares.safetensors held-out --examples examples"
        ),
        "Draw reliability curves": "gridcloze score squares.safetensors held-out.npy -o reliability.png",
    }
)
def score(
    model: Model,
    held_out: Annotated[
        Path,
        _argument(
            "Whole grids that the model has not seen: a folder, or a stack in a .npy, .npz or .zarr file; for a model "
            "of windows also a map, or grids of any sizes.",
            "HELD_OUT",
        ),
    ],
    examples: Annotated[Path | None, _option("Training set, for baselines to compare with.", "PATH")] = None,
    prior: Annotated[
        Path | None, _option("The prior.json of the grids, if it does not lie next to them.", "FILE")
    ] = None,
    side: SideOrNone = [],  # noqa: B006, typer copies it
    sampled_grids: Annotated[
        int, _option("Number of grids of which one joint sample is drawn, if the prior is known.", "N", min=0)
    ] = 200,
    picture: Picture = None,
    dark: Dark = False,
    hide_unseen: HideUnseen = False,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure how good a model is on held-out grids.

    Cells of each grid are hidden at random, and the predicted distributions of these cells are scored and checked for
    calibration. If the prior of the grids is known, the exact posterior gets the same scores, and samples are compared
    with it. With examples, three baselines do: a lookup, the nearest visible cell, and a table of neighbours. Bits per
    hidden cell and errors also come by condition: single cells, holes, few visible cells, hidden halves.

    The picture shows reliability curves: of the most likely symbol (top symbol), and of all symbols of the model.
    """
    tune_process()
    from .commands import score as command

    options = picture, dark, overwrite, hide_unseen, side
    report = command.score(model, held_out, examples, prior, sampled_grids, seed, *options)
    if as_json:
        _print_json(report)
    else:
        command.print_scores(report)


@_command(
    {
        "In three minutes": "gridcloze compare -o comparison --quick",
        "In an hour": "gridcloze compare -o comparison",
    }
)
def compare(
    out: Annotated[Path, _option("Folder for numbers and charts.", "FOLDER", "-o", "--out")] = Path("comparison"),
    quick: Annotated[bool, _option("Compare few networks on small grids.", "", "--quick")] = False,
    as_json: Json = False,
) -> None:
    """Compare the BERT with other networks, and each with the best that its receptive field allows.

    Convolutional networks of every receptive field, networks that see the whole grid without attention, and the BERT
    are trained on two priors whose exact posterior is known. An interrupted run resumes: networks whose results are in
    the folder already are not trained again.
    """
    tune_process()
    from .commands import compare as command

    report = command.compare(out, quick)
    if as_json:
        _print_json(report)
    else:
        command.print_comparison(report)


@_command(
    {
        "Show what a model file records": "gridcloze info squares.safetensors",
        "Draw how its training went": "gridcloze info squares.safetensors -o curve.png",
    }
)
def info(
    model: Model, picture: Picture = None, dark: Dark = False, overwrite: Overwrite = False, as_json: Json = False
) -> None:
    """Show what a model file records about itself: sizes, palette, training with its curve, and calibration."""
    from .commands import info as command

    report = command.info(model, picture, dark, overwrite)
    if as_json:
        _print_json(report)
    else:
        command.print_info(report)


@_command({"What can be filled at once": "gridcloze models"})
def models(as_json: Json = False) -> None:
    """List the models that come with gridcloze, and puzzles to try them on, which need no torch."""
    from .commands import models as command

    reports = command.models()
    if as_json:
        _print_json(reports)
    else:
        command.print_models(reports)


@_command(
    {
        "Paint, fill and understand grids in the browser": "gridcloze studio squares.safetensors",
        "The same, and the exact posterior": "gridcloze studio squares.safetensors --prior examples/prior.json",
        "On a machine without a browser": "gridcloze studio squares.safetensors --no-browser --port 8000",
    }
)
def studio(
    models: Annotated[list[Path] | None, _argument("Model files; without any, drop one on the page.", "MODELS")] = None,
    prior: Annotated[
        Path | None, _option("The prior.json of the grids: adds the exact posterior to compare with.", "FILE")
    ] = None,
    port: Annotated[int, _option("Port to listen on; 0 for any that is free.", "N", min=0, max=65535)] = 8765,
    no_browser: Annotated[bool, _option("Print the address, and open no browser.", "", "--no-browser")] = False,
    address: Annotated[
        str,
        _option(
            "Address to listen at. Any but the default lets other machines in, without encryption; their token is all "
            "that keeps them out.",
            "ADDRESS",
        ),
    ] = "127.0.0.1",
) -> None:
    """Open a page on which grids are painted, filled and explained, and serve it and its API until Ctrl-C.

    The page is served on this machine only. The address that is printed has a token in it, which is new at each start:
    without it nobody gets an answer, and no other page that is open in the browser can ask.
    """
    tune_process()
    from .studio.server import serve

    serve(models or [], prior, port, address, browser=not no_browser)
