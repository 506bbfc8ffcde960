"""Results of `fill`: what they depend on, whose files are whose, and what is done."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gridcloze.commands import fill as bulk
from gridcloze.commands.results import content_hash, parts_of
from gridcloze.files.grids import read_grid
from gridcloze.files.palettes import Palette


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from gridcloze import Inpainter

    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    Inpainter(steps=2, depth=1).fit(np.random.default_rng(0).integers(0, 2, (30, 5, 5))).save(path)
    return path


@pytest.fixture
def puzzle(gridcloze):
    """A grid, its mask and what is allowed, in a folder of their own."""
    cells = np.zeros((5, 5), int)
    np.save("puzzle.npy", cells)
    np.save("mask.npy", np.eye(5, dtype=bool))
    np.save("allowed.npy", np.ones((5, 5, 2), bool))
    return Path("puzzle.npy")


def tree(*folders):
    """The content of every file."""
    paths = (path for folder in folders or ["."] for path in Path(folder).rglob("*"))
    return {str(path): path.read_bytes() for path in sorted(paths) if path.is_file()}


@pytest.mark.parametrize("option", ["hidden", "allow"])
def test_a_result_depends_on_the_content_of_every_file_that_was_read(gridcloze, model, puzzle, option):
    """A mask or a file of what is allowed that was changed makes another result, under the same name too."""
    arguments = ["fill", model, puzzle, "-o", "out", "--hidden", "mask.npy", "--allow", "allowed.npy"]
    assert gridcloze(*arguments)[0] == 0
    if option == "hidden":
        np.save("mask.npy", np.ones((5, 5), bool))
    else:
        np.save("allowed.npy", np.dstack([np.zeros((5, 5)), np.ones((5, 5))]))
    before = tree("out")
    code, _, err = gridcloze(*arguments)
    assert code == 2
    assert "other options: choose another folder, or --overwrite" in err
    assert tree("out") == before
    assert gridcloze(*arguments, "--overwrite")[0] == 0
    assert json.loads(Path("out/puzzle.json").read_text())["hidden_cells"] == (25 if option == "hidden" else 5)


def test_the_same_content_is_the_same_input_wherever_it_lies(gridcloze, model, puzzle):
    arguments = ["--hidden", "mask.npy", "-o", "out"]
    gridcloze("fill", model, puzzle, *arguments)
    before = tree("out")
    shutil.copytree(".", "elsewhere", ignore=lambda *_: ["out"])
    code, _, err = gridcloze("fill", model, "elsewhere/puzzle.npy", *arguments)
    assert (code, tree("out")) == (0, before)
    assert "1 of 1 inputs were filled already" in err


def test_a_file_of_the_same_name_from_another_folder_replaces_nothing(gridcloze, model, puzzle):
    gridcloze("fill", model, puzzle, "-o", "out", "--hidden", "mask.npy")
    Path("other").mkdir()
    np.save("other/puzzle.npy", np.ones((5, 5), int))
    before = tree()
    code, _, err = gridcloze("fill", model, "other/puzzle.npy", "-o", "out", "--hidden", "mask.npy")
    assert code == 2
    assert "out/puzzle.json is of another puzzle.npy" in err
    assert tree() == before


def test_chunks_of_a_zarr_array_count_by_place_too(gridcloze):
    for name, order in (("a", "01"), ("b", "10")):
        Path(f"{name}.zarr/c").mkdir(parents=True)
        for place, content in zip("01", order, strict=True):
            Path(f"{name}.zarr/c/{place}").write_text(content)
    shutil.copytree("a.zarr", "moved/a.zarr")
    one, other, moved = (content_hash(parts_of(Path(name))) for name in ("a.zarr", "b.zarr", "moved/a.zarr"))
    assert one != other
    assert one == moved


@pytest.mark.parametrize("changed", ["puzzle.npy", "mask.npy"])
def test_an_input_that_is_saved_anew_meanwhile_gives_no_result(gridcloze, model, puzzle, monkeypatch, changed):
    answered = bulk._answered

    def slow(*arguments):
        np.save(changed, np.ones((5, 5), bool if changed == "mask.npy" else int))
        return answered(*arguments)

    monkeypatch.setattr(bulk, "_answered", slow)
    code, _, err = gridcloze("fill", model, puzzle, "-o", "out", "--hidden", "mask.npy")
    assert code == 2
    assert "was changed while it was filled: run it again" in err
    assert tree("out") == {}


@pytest.mark.parametrize("name", ["puzzle.npy", "puzzle.npz", "puzzle.json", "puzzle-uncertainty.png"])
@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_files_of_others_are_never_replaced(gridcloze, model, puzzle, name, options):
    Path("out").mkdir()
    Path("out", name).write_text('{"mine": 1}')
    before = tree()
    code, _, err = gridcloze("fill", model, puzzle, "-o", "out", "--hidden", "mask.npy", *options)
    assert code == 2
    assert f"out/{name} was not written by gridcloze and is not replaced; choose another folder" in err
    assert tree() == before


def test_a_result_that_somebody_edited_is_replaced_only_when_told_to(gridcloze, model, puzzle):
    arguments = ["fill", model, puzzle, "-o", "out", "--hidden", "mask.npy"]
    gridcloze(*arguments)
    whole = tree("out")
    np.save("out/puzzle.npy", np.full((5, 5), 7))
    code, _, err = gridcloze(*arguments)
    assert code == 2
    assert "out/puzzle.npy was changed after gridcloze wrote it; choose another folder, or replace it" in err
    assert gridcloze(*arguments, "--overwrite")[0] == 0
    assert tree("out") == whole


@pytest.mark.parametrize("name", ["puzzle.npy", "puzzle.npz", "puzzle.json", "puzzle-uncertainty.png", "puzzle.png"])
def test_a_result_is_done_only_if_all_its_files_are_there(gridcloze, model, puzzle, name):
    arguments = ["fill", model, puzzle, "-o", "out", "--hidden", "mask.npy"]
    gridcloze(*arguments)
    whole = tree("out")
    Path("out", name).unlink()
    code, _, err = gridcloze(*arguments)
    if name == "puzzle.json":  # without it nobody knows whose the others are
        assert code == 2
        assert "was not written by gridcloze" in err
    else:
        assert (code, tree("out")) == (0, whole)


@pytest.mark.parametrize("ending", [".npy", ".txt", ".npz"])
def test_a_fill_of_text_or_an_array_can_be_seen(gridcloze, model, ending):
    """It is also a picture in the colours of the model, which reads as the same cells again."""
    puzzle = np.where(np.eye(5, dtype=bool), -1, 0)
    if ending == ".txt":
        Path("puzzle.txt").write_text("\n".join("".join("?."[cell] for cell in row + 1) for row in puzzle))
    elif ending == ".npz":
        np.savez("puzzle.npz", allow_pickle=False, cells=puzzle)
    else:
        np.save("puzzle.npy", puzzle)
    code, _, err = gridcloze("fill", model, f"puzzle{ending}", "-o", "out")
    assert code == 0, err
    with Image.open("out/puzzle.png") as picture:
        assert picture.size == (255, 255)
    again = read_grid(Path("out/puzzle.png"), Palette.default(2))
    assert np.array_equal(again.cells, np.load("out/puzzle.npz")["fill"])
    assert "puzzle.png" in json.loads(Path("out/puzzle.json").read_text())["files"]


@pytest.mark.slow
def test_pictures_are_drawn_when_asked_for(gridcloze, model, puzzle):
    """Of single grids and stacks, light or dark; they belong to the results, and nothing else changes."""
    np.save("stack.npy", np.random.default_rng(0).integers(-1, 2, (8, 5, 5)))
    arguments = ["fill", model, puzzle, "stack.npy", "--hidden", "auto", "--samples", 2]
    assert gridcloze(*arguments, "-o", "plain")[0] == 0
    assert gridcloze(*arguments, "-o", "out", "--pictures")[0] == 0
    drawn = {f"{name}-{what}.png" for name in ("puzzle", "stack") for what in ("samples", "probabilities")}
    assert set(os.listdir("out")) - set(os.listdir("plain")) == drawn
    for name in ("puzzle", "stack"):
        assert drawn & set(json.loads(Path(f"out/{name}.json").read_text())["files"]) == {
            one for one in drawn if one.startswith(name)
        }
        assert Path(f"out/{name}.npz").read_bytes() == Path(f"plain/{name}.npz").read_bytes()
    whole = tree("out")
    Path("out/stack-samples.png").unlink()
    Path("out/puzzle-probabilities.png").unlink()
    assert gridcloze(*arguments, "-o", "out", "--pictures")[0] == 0
    assert tree("out") == whole
    assert gridcloze(*arguments, "-o", "out", "--pictures", "--dark")[0] == 2
    assert gridcloze(*arguments, "-o", "dark", "--pictures", "--dark")[0] == 0
    for name in drawn:
        with Image.open(f"dark/{name}") as dark, Image.open(f"out/{name}") as light:
            assert (dark.convert("L").getpixel((0, 0)), light.convert("L").getpixel((0, 0))) == (27, 255)


def test_a_picture_that_somebody_made_is_not_replaced(gridcloze, model, puzzle):
    """The names of pictures are those of results only if pictures are drawn."""
    Path("out").mkdir()
    Path("out/puzzle-samples.png").write_text("mine")
    arguments = ["fill", model, puzzle, "-o", "out"]
    assert gridcloze(*arguments)[0] == 0
    code, _, err = gridcloze(*arguments, "--pictures", "--overwrite")
    assert code == 2
    assert "out/puzzle-samples.png was not written by gridcloze and is not replaced" in err
    assert Path("out/puzzle-samples.png").read_text() == "mine"


def test_a_killed_move_of_results_leaves_no_doubt_whose_they_are(gridcloze, model, puzzle, monkeypatch):
    """Whatever result was in its place when a run was killed, the next run ends with all of them."""
    arguments = ["fill", model, puzzle, "-o", "out", "--hidden", "mask.npy"]
    gridcloze(*arguments)
    whole, replace = tree("out"), os.replace
    for last in range(4):
        for option in ([], ["--overwrite"]):
            if not option:
                shutil.rmtree("out")
            done = []

            def killed(source, target, last=last, done=done):
                if len(done) == last:
                    raise SystemExit(9)
                done.append(replace(source, target))

            monkeypatch.setattr(os, "replace", killed)
            gridcloze(*arguments, *option)
            monkeypatch.setattr(os, "replace", replace)
            assert gridcloze(*arguments)[0] == 0
            assert tree("out") == whole


@pytest.mark.parametrize("names", [("a.png", "a-uncertainty.png"), ("a.npz", "a.npy"), ("A.npy", "a.txt")])
def test_inputs_whose_results_would_have_one_name_are_refused(gridcloze, model, names):
    Path("in").mkdir()
    for name in names:
        if name.endswith(".png"):
            Image.fromarray(np.full((5, 5), 128, np.uint8)).save(f"in/{name}")
        elif name.endswith(".txt"):
            Path(f"in/{name}").write_text("?????\n" * 5)
        else:
            (np.save if name.endswith(".npy") else np.savez)(f"in/{name}", np.full((5, 5), -1))
    code, _, err = gridcloze("fill", model, "in", "-o", "out")
    assert code == 2
    assert "would both have a result named" in err
    assert tree("out") == {}


@pytest.mark.parametrize("make", [shutil.move, os.symlink, os.link], ids=["itself", "symbolic link", "hard link"])
def test_a_mask_in_the_folder_of_results_is_not_replaced(gridcloze, model, puzzle, make):
    Path("out").mkdir()
    make(Path("mask.npy").absolute(), Path("out/puzzle.npy").absolute())
    before = tree()
    for options in ([], ["--overwrite"]):
        code, _, err = gridcloze("fill", model, puzzle, "-o", "out", "--hidden", "out/puzzle.npy", *options)
        assert (code, err.count("\n")) == (2, 1)
        assert tree() == before


def test_a_second_run_in_the_folder_is_kept_out(gridcloze, model, puzzle):
    from gridcloze.files.paths import only_one

    Path("out").mkdir()
    with only_one("out"):
        code, _, err = gridcloze("fill", model, puzzle, "-o", "out", "--hidden", "mask.npy")
    assert (code, err.count("\n")) == (2, 1)
    assert "out: another run is writing here" in err


def test_what_a_folder_has_besides_grids_is_passed_over(gridcloze, model, puzzle):
    Path("in/b.npy").mkdir(parents=True)
    np.save("in/a.npy", np.full((5, 5), -1))
    Path("in/._a.npy").write_bytes(b"\0\5\x16\7Mac OS X")
    Path("in/.a.png").write_bytes(b"")
    code, out, _ = gridcloze("fill", model, "in", "-o", "out", "--json")
    assert code == 0
    assert [report["input"] for report in json.loads(out)] == ["a.npy"]


def test_a_visible_cell_that_is_not_allowed_is_named(gridcloze, model, puzzle):
    np.save("allowed.npy", np.dstack([np.zeros((5, 5)), np.ones((5, 5))]))
    code, _, err = gridcloze("fill", model, puzzle, "-o", "out", "--hidden", "mask.npy", "--allow", "allowed.npy")
    assert code == 0
    assert "visible cells hold a symbol that --allow rules out, at (row 0, column 1), " in err
    assert "and 15 more: kept" in err


def test_colours_of_hidden_pixels_are_for_pictures(gridcloze, model, puzzle):
    code, _, err = gridcloze("fill", model, puzzle, "-o", "out", "--hidden", "grey")
    assert code == 2
    assert "puzzle.npy is no picture: --hidden grey is for pictures only" in err


def test_more_samples_than_memory_holds_are_refused_before_any_work(gridcloze, model, puzzle):
    code, _, err = gridcloze("fill", model, puzzle, "-o", "out", "--hidden", "mask.npy", "--samples", 10**12)
    assert code == 2
    assert "filling 5 by 5 cells with 1000000000000 samples needs 545.7 TiB of memory" in err


@pytest.mark.slow
def test_what_is_in_memory_at_once_changes_no_result(gridcloze, model, puzzle, monkeypatch):
    np.save("stack.npy", np.random.default_rng(0).integers(-1, 2, (7, 5, 5)))
    gridcloze("fill", model, "stack.npy", puzzle, "-o", "out", "--samples", 3)
    whole = tree("out")
    monkeypatch.setattr(bulk, "BYTES_AT_ONCE", 20_000)
    shutil.rmtree("out")
    gridcloze("fill", model, "stack.npy", puzzle, "-o", "out", "--samples", 3)
    assert tree("out") == whole


def test_a_single_grid_of_zarr_is_filled_as_npy(gridcloze, model, puzzle):
    zarr = pytest.importorskip("zarr")
    zarr.save_array("grid.zarr", np.full((5, 5), -1))
    code, _, _ = gridcloze("fill", model, "grid.zarr", "-o", "out")
    assert code == 0
    assert (np.load("out/grid.npy") >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["png", "txt", "npy"])
def test_a_grid_goes_through_a_pipe(gridcloze, model, kind):
    """`-` reads one grid from standard input and writes its fill, of the same kind, to standard output."""
    name = f"puzzle.{kind}"
    if kind == "png":
        Image.fromarray(np.full((5, 5), 128, np.uint8)).save(name)
    elif kind == "txt":
        Path(name).write_text("?????\n" * 5)
    else:
        np.save(name, np.full((5, 5), -1, np.int16))
    gridcloze("fill", model, name, "-o", "out")
    result = subprocess.run(
        [sys.executable, "-c", "from gridcloze.cli import main; main()", "fill", str(model), "-", "-o", "-"],
        input=Path(name).read_bytes(),
        capture_output=True,
        check=True,
    )
    assert result.stdout == Path("out", name).read_bytes()


@pytest.mark.parametrize("arguments", [("-", "puzzle.npy", "-o", "out"), ("puzzle.npy", "puzzle.npy", "-o", "-")])
def test_a_pipe_takes_one_grid(gridcloze, model, puzzle, arguments):
    code, _, err = gridcloze("fill", model, *arguments)
    assert (code, err.count("\n")) == (2, 1)


def test_what_belongs_to_a_map_belongs_to_its_identity(gridcloze, model, puzzle):
    pytest.importorskip("rasterio")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save("map.tif")
    arguments = ["fill", model, "map.tif", "-o", "out", "--hidden", "mask.npy"]
    assert gridcloze(*arguments)[0] == 0
    before = tree("out")
    Path("map.tif.aux.xml").write_text("<PAMDataset><Metadata><MDI key='A'>b</MDI></Metadata></PAMDataset>")
    code, _, err = gridcloze(*arguments)
    assert code == 2
    assert "out/map.json is of another map.tif, or it was changed since" in err
    assert tree("out") == before


@pytest.mark.parametrize("option", [[], ["--hidden"], ["--allow"]])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(gridcloze, model, puzzle, option):
    os.mkfifo("pipe.png")
    arguments = [puzzle, *option, "pipe.png"] if option else ["pipe.png"]
    code, _, err = gridcloze("fill", model, *arguments, "-o", "out")
    assert (code, err.count("\n")) == (2, 1)
    assert "pipe.png: this is a pipe or a device" in err


def test_a_grid_of_another_size_is_an_extrapolation(gridcloze, model):
    np.save("large.npy", np.full((7, 7), -1))
    code, _, err = gridcloze("fill", model, "large.npy", "-o", "out")
    assert code == 0
    assert "the model learned from grids of 5 by 5 cells; this one has 7 by 7: its answer is an extrapolation" in err


@pytest.mark.parametrize("note", ["[]", "{", "cut off", "a pipe", '{"done": -1}', '{"done": 10}', '{"done": "x"}'])
def test_an_odd_note_of_a_stopped_stack_is_not_believed(gridcloze, model, monkeypatch, note):
    np.save("stack.npy", np.full((5, 5, 5), -1))
    gridcloze("fill", model, "stack.npy", "-o", "out")
    whole, append = tree("out"), bulk._GrowingStack.append
    shutil.rmtree("out")

    def stop(growing, *results):
        append(growing, *results)
        raise OSError("stop")

    monkeypatch.setattr(bulk._GrowingStack, "append", stop)
    gridcloze("fill", model, "stack.npy", "-o", "out")
    monkeypatch.setattr(bulk._GrowingStack, "append", append)
    [file] = Path("out").glob(".gridcloze-*.partial/done.json")
    state = json.loads(file.read_text())
    file.write_text(json.dumps(state | json.loads(note)) if note.startswith('{"') else note)
    if note == "cut off":
        file.write_text(json.dumps(state))
        (file.parent / "fill.npy").write_bytes(b"")
    if note == "a pipe":
        file.write_text(json.dumps(state))
        (file.parent / "fill.npy").unlink()
        os.mkfifo(file.parent / "fill.npy")
    assert gridcloze("fill", model, "stack.npy", "-o", "out")[0] == 0
    assert tree("out") == whole


def test_links_that_lead_in_a_circle_are_refused(gridcloze, model, puzzle):
    os.symlink("circle.npy", "circle.npy")
    for arguments in (["circle.npy"], [puzzle, "--hidden", "circle.npy"], [puzzle, "--allow", "circle.npy"]):
        code, _, err = gridcloze("fill", model, *arguments, "-o", "out")
        assert (code, err.count("\n")) == (2, 1)


def test_a_stack_that_was_killed_after_its_last_step_leaves_nothing(gridcloze, model, monkeypatch):
    np.save("stack.npy", np.full((5, 5, 5), -1))
    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    gridcloze("fill", model, "stack.npy", "-o", "out")
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    assert len(os.listdir("out")) > 2
    gridcloze("fill", model, "stack.npy", "-o", "out")
    assert sorted(os.listdir("out")) == ["stack.json", "stack.npz"]


@pytest.mark.parametrize("name", ["../mine.txt", "mine.txt", "/mine.txt", "puzzle.txt"])
@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_a_report_cannot_have_files_removed_that_no_fill_writes(gridcloze, model, puzzle, name, options):
    arguments = ["fill", model, puzzle, "-o", "out", "--hidden", "mask.npy"]
    gridcloze(*arguments)
    for path in ("mine.txt", "out/mine.txt", "out/puzzle.txt"):
        Path(path).write_text("mine")
    report = json.loads(Path("out/puzzle.json").read_text())
    report["files"][name] = content_hash([Path("mine.txt")])
    Path("out/puzzle.json").write_text(json.dumps(report))
    before = tree()
    code, _, err = gridcloze(*arguments, *options, "--seed", 1)
    assert (code, tree()) == (2, before)
    assert "puzzle.json names files that no fill writes" in err


def test_a_report_that_is_huge_is_not_read(gridcloze, model, puzzle):
    Path("out").mkdir()
    with Path("out/puzzle.json").open("wb") as file:
        file.truncate(2**32)
    code, _, err = gridcloze("fill", model, puzzle, "-o", "out", "--hidden", "mask.npy")
    assert code == 2
    assert "out/puzzle.json was not written by gridcloze" in err
