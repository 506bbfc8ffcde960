"""The command line: names, options and help of the commands."""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .commands.process import tune_process
from .words import __version__

EXTRAS = {"onnx": "export", "rasterio": "geo", "zarr": "zarr"}  # which extra brings a module, if not `train`
PRIOR_PANEL = "Options of the prior"


def _epilog(examples: dict[str, str]) -> str:
    """The end of a help page: commands by what they do."""
    return "\n\n".join(
        ["Examples:", *(f"[dim]# {what}[/dim]\n[bold]{command}[/bold]" for what, command in examples.items())]
    )


app = typer.Typer(
    name="gridcloze",
    help="Learn from example grids, fill the hidden cells of new ones, and check the probabilities.",
    epilog=_epilog(
        {
            "Make example grids and puzzles": "gridcloze toy squares -o examples",
            "Learn from them": "gridcloze train examples -o squares.safetensors",
            "Fill the puzzles": "gridcloze fill squares.safetensors examples/puzzles -o filled",
        }
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _command(examples: dict[str, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function: its docstring is the help, whose paragraphs fit any width, with `examples`."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
        return app.command(help=text, epilog=_epilog(examples))(function)

    return register


Model = Annotated[
    Path,
    typer.Argument(
        help="Model file that `gridcloze train` or `gridcloze export` wrote.", metavar="MODEL", show_default=False
    ),
]
Seed = Annotated[
    int, typer.Option(help="Seed of the random numbers: the same seed gives the same result.", metavar="N", min=0)
]
Hidden = Annotated[
    str,
    typer.Option(
        help="How hidden cells of a picture are marked: auto (grey 128,128,128 or transparent), grey, transparent; or "
        "a second file that is white or not zero where cells are hidden.",
        metavar="MARK",
    ),
]
Picture = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="Picture to write, .png or .svg.", metavar="FILE", show_default=False),
]
Dark = Annotated[bool, typer.Option("--dark", help="Draw on a dark background.", metavar="")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of text.", metavar="")]


def main() -> None:
    """Run a command; bad input ends with one line on stderr and exit code 2."""
    from .words import InputError

    try:
        sys.exit(app(standalone_mode=False))
    except (InputError, OSError) as error:
        message = str(error)
    except ModuleNotFoundError as error:
        extra = next((extra for name, extra in EXTRAS.items() if (error.name or "").startswith(name)), "train")
        message = f"this needs {error.name}, which is not installed: pip install 'gridcloze[{extra}]'"
    except Exception as error:  # of typer's, whose module has another name in every other version
        if not hasattr(error, "format_message"):
            raise
        message = error.format_message()  # type: ignore[attr-defined]
    if message:  # `gridcloze` alone has shown its help, and ends without one
        print(f"gridcloze: {message}", file=sys.stderr)
    sys.exit(2)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", metavar="")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@_command({"Write everything into the folder demo": "gridcloze demo -o demo"})
def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the pictures and the model.", metavar="FOLDER")
    ] = Path("demo"),
    minutes: Annotated[float, typer.Option(help="Length of the training in minutes.", metavar="MINUTES")] = 1.5,
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
    name: Annotated[
        str,
        typer.Argument(
            help="The prior: squares, rectangles, stripes, mirror or ising.", metavar="NAME", show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="Folder for PNG files, or a .npy or .npz file for a stack.", metavar="PATH"),
    ],
    n: Annotated[int, typer.Option("-n", help="Number of example grids.", metavar="N")] = 2000,
    puzzles: Annotated[
        int, typer.Option(help="Number of puzzles, written with their true grids; only in a folder.", metavar="N")
    ] = 20,
    height: Annotated[
        int | None,
        typer.Option(help="Height in cells; 16 if not given.", metavar="CELLS", rich_help_panel=PRIOR_PANEL),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            help="Width in cells; 16 if not given, 8 for ising.", metavar="CELLS", rich_help_panel=PRIOR_PANEL
        ),
    ] = None,
    smallest: Annotated[
        int | None,
        typer.Option(
            help="Smallest side of squares (3 if not given) and rectangles (1) in cells.",
            metavar="CELLS",
            rich_help_panel=PRIOR_PANEL,
        ),
    ] = None,
    largest: Annotated[
        int | None,
        typer.Option(
            help="Largest side of squares (12 if not given) and rectangles (the side of the grid) in cells.",
            metavar="CELLS",
            rich_help_panel=PRIOR_PANEL,
        ),
    ] = None,
    outline: Annotated[
        bool | None,
        typer.Option(
            "--outline", help="Draw only the border of squares and rectangles.", metavar="", rich_help_panel=PRIOR_PANEL
        ),
    ] = None,
    inverted: Annotated[
        bool | None,
        typer.Option(
            "--inverted", help="Black squares and rectangles on white.", metavar="", rich_help_panel=PRIOR_PANEL
        ),
    ] = None,
    largest_period: Annotated[
        int | None,
        typer.Option(
            help="Largest period of stripes in cells; 8 if not given.", metavar="CELLS", rich_help_panel=PRIOR_PANEL
        ),
    ] = None,
    coupling: Annotated[
        float | None,
        typer.Option(
            help="How strongly neighbours in ising tend to be equal; 0.35 if not given.",
            metavar="X",
            rich_help_panel=PRIOR_PANEL,
        ),
    ] = None,
    field: Annotated[
        float | None,
        typer.Option(
            help="How strongly cells in ising tend to be white; 0 if not given.",
            metavar="X",
            rich_help_panel=PRIOR_PANEL,
        ),
    ] = None,
    scale: Annotated[int, typer.Option(help="Side of a cell in PNG files in pixels.", metavar="PIXELS", min=1)] = 8,
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
    report = command.toy(make_toy(name, **given), out, n, puzzles, seed, scale)
    _print_report(report, as_json, f"wrote {n} grids to {out}")


@_command(
    {
        "Learn from a folder of pictures": "gridcloze train examples -o squares.safetensors --minutes 5",
        "Learn for a number of steps, which gives the same model every time": (
            "gridcloze train grids.npy -o model.safetensors --steps 3000"
        ),
        "Learn from windows of a map": "gridcloze train landcover.tif -o landcover.safetensors --windows 64",
        "Continue an interrupted training": "gridcloze train examples -o squares.safetensors --minutes 5 --resume",
    }
)
def train(
    examples: Annotated[
        Path,
        typer.Argument(
            help="Folder of grids of one size, or a stack in a .npy, .npz or .zarr file; with --windows one or more "
            "big grids.",
            metavar="EXAMPLES",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Model file to write.", metavar="FILE")],
    windows: Annotated[
        int | None,
        typer.Option(
            help="Learn from windows of this size, at random places of the big grids.",
            metavar="CELLS",
            min=2,
            show_default=False,
        ),
    ] = None,
    symmetries: Annotated[
        Literal["none", "mirrors", "all"],
        typer.Option(
            help="Symmetries under which grids are equally likely: none, mirrors, or all (mirrors and rotations). They "
            "stretch a small training set."
        ),
    ] = "none",
    palette: Annotated[
        Path | None,
        typer.Option(
            help="Palette file (.json) with the names, colours, characters and raster values of the symbols.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Length of the training in minutes; 5 without --steps.", metavar="MINUTES"),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Length of the training in steps instead; the result is then reproducible.", metavar="N"),
    ] = None,
    depth: Annotated[
        int, typer.Option(help="Number of layers of the model; its other sizes follow.", metavar="N", min=1)
    ] = 6,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training with the same options.", metavar="")
    ] = False,
    as_json: Json = False,
) -> None:
    """Learn what example grids have in common, and write a model file.

    Ctrl-C ends the training early and still writes a model that can be used.
    """
    tune_process()
    from .commands import train as command
    from .training import Budget

    budget = Budget(5.0 if minutes is None and steps is None else minutes, steps)
    source = command.Source(examples, windows, symmetries, palette)
    report = command.train(source, out, budget, seed, depth, resume)
    training = report["training"]
    ended = "interrupted, continue with --resume" if training["interrupted"] else "done"
    _print_report(report, as_json, f"{ended}: {training['steps']} steps in {training['seconds']:.0f} s, model in {out}")


@_command(
    {
        "One puzzle, with 16 samples": "gridcloze fill squares.safetensors puzzle.png -o filled --samples 16",
        "Every puzzle in a folder": "gridcloze fill squares.safetensors examples/puzzles -o filled",
        "A map whose clouds are a second file": (
            "gridcloze fill landcover.safetensors scene.tif -o filled --hidden clouds.tif"
        ),
    }
)
def fill(
    model: Model,
    puzzles: Annotated[
        list[Path],
        typer.Argument(help="Grids with hidden cells: files, stacks, or folders of files.", metavar="PUZZLES"),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.", metavar="FOLDER")],
    samples: Annotated[
        int,
        typer.Option(help="Number of joint samples of each grid, as well as the most likely fill.", metavar="N", min=0),
    ] = 0,
    hidden: Hidden = "auto",
    allow: Annotated[
        Path | None,
        typer.Option(
            help="Which symbols each cell may take: a picture whose pixels show the allowed colours (grey: any), or an "
            "array (height, width, symbol) of booleans or of likelihoods.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Order in which cells are filled: weighted, random, uncertain, certain, margin or spread. By default "
            "it depends on the size of the grids.",
            metavar="ORDER",
            show_default=False,
        ),
    ] = None,
    budget_bits: Annotated[
        float | None,
        typer.Option(
            help="Information in bits that a forward pass may lose by revealing several cells together: more is faster "
            "and less exact.",
            metavar="BITS",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Fill inputs again that are filled already.", metavar="")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fill the hidden cells of grids; known cells come back unchanged.

    Each grid gives a filled file of the same kind, a picture of the uncertainty of its cells, an .npz file with
    samples and probabilities, and a report as .json. A stack gives one .npz and one .json file, a GeoTIFF gives
    GeoTIFFs.

    An interrupted run resumes: inputs whose results are in the folder already are not filled again.
    """
    tune_process()
    from .commands import fill as command
    from .filling import DECODER, Decoder

    decoder = None
    if order is not None or budget_bits is not None:
        decoder = Decoder(order or DECODER.order, DECODER.budget_bits if budget_bits is None else budget_bits)
    reports = command.fill(model, puzzles, out, command.Request(samples, seed, decoder, hidden, allow), overwrite)
    for report in reports:
        for warning in report["warnings"]:
            print(f"gridcloze: {report['input']}: {warning}", file=sys.stderr)
    _print_report(reports, as_json, f"filled {len(reports)} file{'s' * (len(reports) != 1)}, results in {out}")


@_command({"Write squares.onnx": "gridcloze export squares.safetensors -o squares.onnx"})
def export(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--out", help="The .onnx file to write.", metavar="FILE")],
    as_json: Json = False,
) -> None:
    """Write a model as an ONNX file, which `fill`, `check`, `explain` and `score` read without torch."""
    from .commands import export as command

    report = command.export(model, out)
    _print_report(report, as_json, f"wrote {out}, {report['bytes'] / 2**20:.1f} MiB")


@_command(
    {
        "Is any cell of this grid wrong?": "gridcloze check squares.safetensors grid.png",
        "Draw the answer": "gridcloze check squares.safetensors puzzle.png -o look.png --threshold 0.001",
    }
)
def check(
    model: Model,
    grid: Annotated[
        Path, typer.Argument(help="Grid with or without hidden cells.", metavar="GRID", show_default=False)
    ],
    picture: Picture = None,
    dark: Dark = False,
    threshold: Annotated[
        float, typer.Option(help="Probability given the rest below which a visible cell is surprising.", metavar="P")
    ] = 0.01,
    hidden: Hidden = "auto",
    as_json: Json = False,
) -> None:
    """Find visible cells that the rest of a grid contradicts, and the hidden cell to look at next.

    The cell to look at next is the one whose value is expected to tell most about the other hidden cells. The exit
    status is 1 if any visible cell is implausible given the rest, otherwise 0.
    """
    tune_process()
    from .commands import check as command

    report, characters = command.check(model, grid, threshold, hidden, picture, dark)
    if as_json:
        print(json.dumps(report))
    else:
        command.print_check(report, characters)
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
    puzzle: Annotated[Path, typer.Argument(help="Grid with hidden cells.", metavar="PUZZLE", show_default=False)],
    cell: Annotated[
        str | None,
        typer.Option(
            help="Row and column of a hidden cell, from 0, as in 4,7; if not given, the most uncertain one.",
            metavar="ROW,COLUMN",
            show_default=False,
        ),
    ] = None,
    picture: Picture = None,
    prior: Annotated[
        Path | None,
        typer.Option(
            help="The prior.json of the grids: adds the exact posterior to compare with.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option(
            help="Picture of the attention of every head to write, .png or .svg.", metavar="FILE", show_default=False
        ),
    ] = None,
    film: Annotated[
        Path | None,
        typer.Option(
            help="Film to write, .gif or .mp4: one sample, cell by cell, with the probabilities of the remaining "
            "cells. MP4 needs the `film` extra.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    dark: Dark = False,
    hidden: Hidden = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Explain the probabilities of a hidden cell: the influence of the visible cells, and attention.

    Influence is how much the predicted distribution of the cell changes when one visible cell is hidden or flipped: it
    explains the answer. Attention only says where a head looks. The rank correlation (Spearman) between the two says,
    by layer and head, how far attention shows what has influence.
    """
    tune_process()
    from .commands import explain as command

    drawings = command.Drawings(picture, heads, film, dark, seed)
    report, characters = command.explain(model, puzzle, cell, hidden, prior, drawings)
    if as_json:
        print(json.dumps(report))
    else:
        command.print_explanation(report, characters)


@_command(
    {
        "Compare a model with a lookup in its training set": (
            "gridcloze score squares.safetensors held-out --examples examples"
        ),
        "Draw reliability curves": "gridcloze score squares.safetensors held-out.npy -o reliability.png",
    }
)
def score(
    model: Model,
    held_out: Annotated[
        Path,
        typer.Argument(
            help="Whole grids that the model has not seen: a folder, or a stack in a .npy, .npz or .zarr file.",
            metavar="HELD_OUT",
        ),
    ],
    examples: Annotated[
        Path | None, typer.Option(help="Training set for a lookup to compare with.", metavar="PATH")
    ] = None,
    prior: Annotated[
        Path | None,
        typer.Option(
            help="The prior.json of the grids, if it does not lie next to them.", metavar="FILE", show_default=False
        ),
    ] = None,
    sampled_grids: Annotated[
        int,
        typer.Option(
            help="Number of grids of which one joint sample is drawn, if the prior is known.", metavar="N", min=0
        ),
    ] = 200,
    picture: Picture = None,
    dark: Dark = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure how good a model is on held-out grids.

    Cells of each grid are hidden at random, and the predicted distributions of these cells are scored and checked for
    calibration. If the prior of the grids is known, the exact posterior gets the same scores, and samples are compared
    with it. The picture shows reliability curves.
    """
    tune_process()
    from .commands import score as command

    report = command.score(model, held_out, examples, prior, sampled_grids, seed, picture, dark)
    if as_json:
        print(json.dumps(report))
    else:
        command.print_scores(report)


@_command(
    {
        "In three minutes": "gridcloze compare -o comparison --quick",
        "In an hour": "gridcloze compare -o comparison",
    }
)
def compare(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for numbers and charts.", metavar="FOLDER")] = Path(
        "comparison"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Compare few networks on small grids.", metavar="")] = False,
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
        print(json.dumps(report))
    else:
        command.print_comparison(report)


@_command({"Show what a model file records": "gridcloze info squares.safetensors"})
def info(model: Model, as_json: Json = False) -> None:
    """Show what a model file records about itself: sizes, palette, training and calibration."""
    from .commands import info as command

    report = command.info(model)
    _print_report(report, as_json, "\n".join(f"{name}: {value}" for name, value in report.items()))


def _print_report(report: Any, as_json: bool, text: str) -> None:
    print(json.dumps(report) if as_json else text)
