"""Toys, exports, comparisons and the demo replace nothing of somebody's, and what is their own only when told to."""

import json
from pathlib import Path

import numpy as np
import pytest

from gridcloze.files.arrays import write_stack
from gridcloze.files.grids import Grid, write_grid

TOY = ("toy", "squares", "--height", 5, "--width", 5, "--largest", 4)


def contents():
    return {str(path): path.is_file() and path.read_bytes() for path in sorted(Path().rglob("*"))}


@pytest.fixture
def refuses(gridcloze):
    """Runs a command, which ends with one line and leaves every file as it was."""

    def check(line, *arguments):
        before = contents()
        code, out, err = gridcloze(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert line in err
        assert contents() == before

    return check


def test_a_smaller_toy_replaces_all_of_a_larger_one_when_told_to(gridcloze, refuses):
    """Old grids do not mix with new ones; files that are no grids stay."""
    assert gridcloze(*TOY, "-o", "toys", "-n", 9, "--puzzles", 4)[0] == 0
    Path("toys/notes.md").write_text("mine")
    smaller = (*TOY, "-o", "toys", "-n", 3, "--puzzles", 1, "--seed", 1)
    refuses("toys/00000.png is there already: choose another name, or replace the older toy with --overwrite", *smaller)
    assert gridcloze(*smaller, "--overwrite")[0] == 0
    names = sorted(str(path) for path in Path("toys").rglob("*.*"))
    assert [name.removeprefix("toys/") for name in names] == [
        *(f"0000{number}.png" for number in range(3)),
        "notes.md",
        "prior.json",
        "puzzles/00000.png",
        "truth/00000.png",
    ]


@pytest.mark.parametrize(
    "name", ["toys/photo.png", "toys/00000.png", "toys/00003.txt", "toys/puzzles/0.png", "toys/truth/a.tif"]
)
def test_a_toy_does_not_mix_with_other_grids(gridcloze, refuses, name):
    """A folder with grids that no toy wrote is refused, with --overwrite and a prior.json too."""
    path = Path(name)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    for options in ((), ("--overwrite",)):
        refuses(f"{name} is not of a toy", *TOY, "-o", "toys", "-n", 2, *options)
    Path("toys/prior.json").write_text(json.dumps({"name": "mirror"}))
    refuses(f"{name} is not of a toy", *TOY, "-o", "toys", "-n", 2, "--overwrite")


def test_fills_in_the_folder_of_a_toy_are_no_toys(refuses, gridcloze):
    """What was written by gridcloze, but by no toy, is not removed with one."""
    assert gridcloze(*TOY, "-o", "toys", "-n", 2, "--puzzles", 1)[0] == 0
    write_grid("toys/puzzles/00000-uncertainty.png", Grid.from_cells(np.zeros((5, 5), int)))
    refuses("00000-uncertainty.png is not of a toy", *TOY, "-o", "toys", "-n", 2, "--overwrite")


def test_a_toy_that_was_stopped_can_be_replaced(gridcloze):
    """Its grids say whose they are, although its prior.json is missing."""
    assert gridcloze(*TOY, "-o", "toys", "-n", 4, "--puzzles", 1)[0] == 0
    Path("toys/prior.json").unlink()
    assert gridcloze(*TOY, "-o", "toys", "-n", 2, "--puzzles", 1, "--overwrite")[0] == 0
    assert len(list(Path("toys").glob("*.png"))) == 2


def test_a_stack_is_replaced_only_if_a_toy_wrote_it(gridcloze, refuses):
    """The prior next to a stack says whose it is."""
    write_stack("grids.npy", np.zeros((3, 5, 5), int))
    for options in ((), ("--overwrite",)):
        refuses("grids.npy is not of a toy", *TOY, "-o", "grids.npy", "-n", 2, *options)
    assert gridcloze(*TOY, "-o", "toys.npy", "-n", 4)[0] == 0
    refuses("toys.npy is there already", *TOY, "-o", "toys.npy", "-n", 2)
    assert gridcloze(*TOY, "-o", "toys.npy", "-n", 2, "--overwrite")[0] == 0
    assert len(np.load("toys.npy")) == 2
    Path("toys.prior.json").write_text("{}")
    refuses("toys.prior.json", *TOY, "-o", "toys.npy", "-n", 2, "--overwrite")


def test_toys_that_nothing_could_read_are_refused(refuses):
    """Pictures of more pixels than can be read, and other kinds of files."""
    refuses("choose a smaller --scale", *TOY, "-o", "toys", "-n", 1, "--scale", 10**7)
    refuses("suffix '.zarr' is not supported", *TOY, "-o", "toys.zarr", "-n", 1)


def test_an_export_replaces_no_file_of_somebody(gridcloze, refuses):
    """Not the model that it exports, and nothing else."""
    write_stack("examples.npy", np.random.default_rng(0).integers(0, 2, (20, 3, 3)))
    assert gridcloze("train", "examples.npy", "-o", "m.safetensors", "--steps", 1, "--depth", 1)[0] == 0
    Path("mine.onnx").write_bytes(b"mine")
    Path("link.onnx").symlink_to("m.safetensors")
    for options in ((), ("--overwrite",)):
        refuses("mine.onnx", "export", "m.safetensors", "-o", "mine.onnx", *options)
        refuses("link.onnx is an input, m.safetensors", "export", "m.safetensors", "-o", "link.onnx", *options)


def test_a_comparison_begins_in_an_empty_folder(refuses):
    """A folder with other files, or with a damaged comparison, is refused."""
    Path("folder").mkdir()
    Path("folder/bounds.png").write_bytes(b"mine")
    refuses("folder holds no comparison, but bounds.png", "compare", "-o", "folder", "--quick")
    for content in (b"{", b"[]", b"\xff"):
        Path("folder/plan.json").write_bytes(content)
        refuses("folder/plan.json is damaged", "compare", "-o", "folder", "--quick")


@pytest.mark.parametrize(
    "name",
    ["demo.png", "squares.safetensors", "puzzles/half.png", "examples/a.png", "examples/00000.png", "held-out.npy"],
)
def test_the_demo_replaces_only_what_a_demo_wrote(refuses, name):
    """Files of somebody's are found before any work."""
    path = Path("folder") / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    refuses(str(path), "demo", "-o", "folder")
