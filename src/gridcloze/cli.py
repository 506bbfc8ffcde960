"""The front door in a shell: names and options of the commands."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .commands.process import tune_process
from .words import __version__

EXTRAS = {"onnx": "export", "rasterio": "geo", "zarr": "zarr"}  # which brings what, if not the extra `train`
app = typer.Typer(
    name="gridcloze",
    help="Learn from example grids, fill the hidden cells of new ones, and check the probabilities.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Model = Annotated[
    Path, typer.Argument(help="A model file that `gridcloze train` or `gridcloze export` wrote.", show_default=False)
]
Seed = Annotated[int, typer.Option(help="Random numbers follow from it: same seed, same result.", min=0)]
Hidden = Annotated[
    str, typer.Option(help="What is hidden: auto (grey 128 or transparent), grey, transparent, or a file.")
]
Dark = Annotated[bool, typer.Option("--dark", help="Draw on a dark ground.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]


def example(*lines: str) -> str:
    """The end of a help page."""
    return "Example:\n\n" + "\n\n".join(f"[bold]{line}[/bold]" for line in lines)


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
    is_help = "\n" in message.strip()  # what `gridcloze` alone ends with
    print(message if is_help else f"gridcloze: {message}", file=sys.stderr)
    sys.exit(2)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command(epilog=example("gridcloze demo -o demo --minutes 1.5"))
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the pictures and the model.")] = Path("demo"),
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 1.5,
    seed: Seed = 0,
) -> None:
    """The founding picture, end to end, in front of you: learn squares, fill six puzzles, compare with the truth."""
    tune_process()
    from .demo import run

    run(out, minutes, seed)


@app.command(
    epilog=example(
        "gridcloze toy squares -o examples -n 2000",
        "gridcloze toy rectangles -o grids.npy -n 20000 --height 32 --width 32",
    )
)
def toy(
    name: Annotated[str, typer.Argument(help="squares, rectangles, stripes, mirror or ising.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder for PNG files, or a .npy or .npz file.")],
    n: Annotated[int, typer.Option("-n", help="How many example grids.")] = 2000,
    puzzles: Annotated[int, typer.Option(help="How many puzzles, with the truth beside them (in a folder).")] = 20,
    height: Annotated[int | None, typer.Option(help="Cells; 16 if not given.")] = None,
    width: Annotated[int | None, typer.Option(help="Cells; 16 if not given, for ising 8.")] = None,
    smallest: Annotated[int | None, typer.Option(help="Smallest side of squares and rectangles.")] = None,
    largest: Annotated[int | None, typer.Option(help="Largest side of squares and rectangles.")] = None,
    outline: Annotated[bool | None, typer.Option("--outline", help="Only the border of squares, rectangles.")] = None,
    inverted: Annotated[bool | None, typer.Option("--inverted", help="Black on white.")] = None,
    largest_period: Annotated[int | None, typer.Option(help="Of stripes.")] = None,
    coupling: Annotated[float | None, typer.Option(help="Of neighbours in ising.")] = None,
    field: Annotated[float | None, typer.Option(help="Towards white in ising.")] = None,
    scale: Annotated[int, typer.Option(help="Pixels to the side of a cell in PNG files.", min=1)] = 8,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write example grids of a toy prior that knows its own law, and puzzles to fill."""
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
    _say(report, as_json, f"wrote {n} grids to {out}")


@app.command(
    epilog=example(
        "gridcloze train examples -o squares.safetensors --minutes 5",
        "gridcloze train grids.npy -o model.safetensors --steps 3000 --seed 1",
        "gridcloze train landcover.tif -o landcover.safetensors --windows 64 --minutes 30",
    )
)
def train(
    examples: Annotated[
        Path,
        typer.Argument(help="A folder of grids, a stack in a .npy, .npz or .zarr file, or with --windows big grids."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The model file to write.")],
    windows: Annotated[
        int | None,
        typer.Option(
            help="Learn from windows of so many cells to a side, at random places of one or more big grids.",
            min=2,
            show_default=False,
        ),
    ] = None,
    symmetries: Annotated[
        Literal["none", "mirrors", "all"],
        typer.Option(help="What keeps grids as likely: mirrors, or all turns and mirrors."),
    ] = "none",
    palette: Annotated[
        Path | None,
        typer.Option(help="Names, colours, characters and raster values of symbols, as .json.", show_default=False),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Length of the training; 5 if neither is given.")] = None,
    steps: Annotated[int | None, typer.Option(help="Length in steps instead: can be repeated exactly.")] = None,
    depth: Annotated[int, typer.Option(help="Layers of the model; all its other sizes follow.", min=1)] = 6,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped training saved its state.")] = False,
    as_json: Json = False,
) -> None:
    """Learn what the example grids have in common. Ctrl-C ends early with a usable model."""
    tune_process()
    from .commands import train as command
    from .training import Budget

    budget = Budget(5.0 if minutes is None and steps is None else minutes, steps)
    source = command.Source(examples, windows, symmetries, palette)
    report = command.train(source, out, budget, seed, depth, resume)
    ended = "stopped early, go on with --resume" if report["interrupted"] else "done"
    _say(report, as_json, f"{ended}: {report['steps']} steps in {report['seconds']:.0f} s, model in {out}")


@app.command(
    epilog=example(
        "gridcloze fill squares.safetensors examples/puzzles/00000.png -o filled --samples 16",
        "gridcloze fill squares.safetensors examples/puzzles -o filled",
    )
)
def fill(
    model: Model,
    puzzles: Annotated[list[Path], typer.Argument(help="Grids with hidden cells: files, stacks, or folders of files.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.")],
    samples: Annotated[int, typer.Option(help="Joint draws of each grid, beside the most likely fill.", min=0)] = 0,
    hidden: Hidden = "auto",
    allow: Annotated[
        Path | None,
        typer.Option(
            help="What each cell may be: a picture (the colours its pixels show; grey: any) or an array "
            "(height, width, symbol) of bools or probabilities.",
            show_default=False,
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Which cells come first: weighted, random, uncertain, certain, margin or spread.", show_default=False
        ),
    ] = None,
    budget_bits: Annotated[
        float | None, typer.Option(help="What may be lost by revealing cells together, a pass.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Fill again what is already filled.")] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fill the hidden cells; known cells come back untouched. Every input gets a picture, an .npz and a .json file.

    A run that was stopped goes on where it was: what is in the folder already is not filled again.
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
    _say(reports, as_json, f"filled {len(reports)} file{'s' * (len(reports) != 1)}, results in {out}")


@app.command(epilog=example("gridcloze export squares.safetensors -o squares.onnx"))
def export(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--out", help="The .onnx file to write.")],
    as_json: Json = False,
) -> None:
    """Write a model as an ONNX file: `fill`, `check` and `score` take it, and need no torch."""
    from .commands import export as command

    report = command.export(model, out)
    _say(report, as_json, f"wrote {out}, {report['bytes'] / 2**20:.1f} MiB")


@app.command(
    epilog=example(
        "gridcloze check squares.safetensors grid.png",
        "gridcloze check squares.safetensors puzzle.png -o look.png --threshold 0.001",
    )
)
def check(
    model: Model,
    grid: Annotated[Path, typer.Argument(help="A grid, with or without hidden cells.", show_default=False)],
    picture: Annotated[
        Path | None, typer.Option("-o", "--out", help="Also draw it, as .png or .svg.", show_default=False)
    ] = None,
    dark: Dark = False,
    threshold: Annotated[float, typer.Option(help="Probability below which a visible cell is surprising.")] = 0.01,
    hidden: Hidden = "auto",
    as_json: Json = False,
) -> None:
    """Which visible cells contradict the rest, and which hidden cell would tell most. Exit code 1 if any surprises."""
    tune_process()
    from .commands import check as command

    report, characters = command.check(model, grid, threshold, hidden, picture, dark)
    if as_json:
        print(json.dumps(report))
    else:
        command.print_check(report, characters)
    raise typer.Exit(1 if report["surprises"] else 0)


@app.command(
    epilog=example(
        "gridcloze explain squares.safetensors puzzle.png --cell 4,7",
        "gridcloze explain squares.safetensors puzzle.png -o why.png --heads heads.svg --prior examples/prior.json",
    )
)
def explain(
    model: Model,
    puzzle: Annotated[Path, typer.Argument(help="A grid with hidden cells.", show_default=False)],
    cell: Annotated[
        str | None,
        typer.Option(
            help="Row and column of a hidden cell, from 0, such as 4,7; the most uncertain if not given.",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("-o", "--out", help="Also draw it, as .png or .svg.", show_default=False)
    ] = None,
    prior: Annotated[
        Path | None, typer.Option(help="The law of the grids: the exact answer stands beside.", show_default=False)
    ] = None,
    heads: Annotated[
        Path | None, typer.Option(help="Draw the attention of every head, as .png or .svg.", show_default=False)
    ] = None,
    film: Annotated[
        Path | None,
        typer.Option(help="One draw, cell by cell, and what is said of the rest: .gif or .mp4.", show_default=False),
    ] = None,
    dark: Dark = False,
    hidden: Hidden = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Why a hidden cell gets its probabilities: which visible cells have influence, and whether attention shows it."""
    tune_process()
    from .commands import explain as command

    drawings = command.Drawings(picture, heads, film, dark, seed)
    report, characters = command.explain(model, puzzle, cell, hidden, prior, drawings)
    if as_json:
        print(json.dumps(report))
    else:
        command.print_explanation(report, characters)


@app.command(epilog=example("gridcloze score squares.safetensors held-out --examples examples"))
def score(
    model: Model,
    held_out: Annotated[Path, typer.Argument(help="Whole grids: a folder, or a stack in a .npy or .npz file.")],
    examples: Annotated[Path | None, typer.Option(help="Examples for a lookup to stand beside the model.")] = None,
    prior: Annotated[
        Path | None, typer.Option(help="The law of the grids, if not prior.json beside them.", show_default=False)
    ] = None,
    samples: Annotated[int, typer.Option(help="Of so many grids one draw each, if their law is known.", min=0)] = 200,
    picture: Annotated[
        Path | None, typer.Option(help="Draw reliability curves, as .png or .svg.", show_default=False)
    ] = None,
    dark: Dark = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """How good: hides cells of held-out grids and scores what is said of them, beside the exact answer if known."""
    tune_process()
    from .commands import score as command

    report = command.score(model, held_out, examples, prior, samples, seed, picture, dark)
    if as_json:
        print(json.dumps(report))
    else:
        command.print_scores(report)


@app.command(epilog=example("gridcloze compare -o comparison --quick", "gridcloze compare -o comparison"))
def compare(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for numbers and pictures.")] = Path("comparison"),
    quick: Annotated[bool, typer.Option("--quick", help="Small grids and few networks: 3 minutes, not 60.")] = False,
    as_json: Json = False,
) -> None:
    """BERT, CNNs by receptive field, and the exact bounds. A run that was stopped goes on where it was."""
    tune_process()
    from .commands import compare as command

    report = command.compare(out, quick)
    if as_json:
        print(json.dumps(report))
    else:
        command.print_comparison(report)


@app.command(epilog=example("gridcloze info squares.safetensors"))
def info(model: Model, as_json: Json = False) -> None:
    """What a model file says of itself: sizes, palette, training."""
    from .commands import info as command

    report = command.info(model)
    _say(report, as_json, "\n".join(f"{name}: {value}" for name, value in report.items()))


def _say(report: Any, as_json: bool, text: str) -> None:
    print(json.dumps(report) if as_json else text)
