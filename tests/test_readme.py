"""The README and the guide, run as a new user would, with less of everything."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from gridcloze import HIDDEN
from gridcloze.cli import main
from gridcloze.commands import score
from gridcloze.files.grids import read_grid, write_grid
from gridcloze.studio.single import BUILT

ROOT = Path(__file__).parent.parent
README, GUIDE, FORMATS = ROOT / "README.md", ROOT / "docs" / "guide.md", ROOT / "docs" / "formats.md"
LESS = {"2000": "24", "16": "2", "--minutes": "--steps", "5": "2", "12": "2", "64": "32"}  # words of commands
FIGURE = re.compile(r"\d*\.\d+")  # of a model, whose last digits depend on the machine
LITTLE = {
    "20_000": "40",
    "minutes=5": "steps=2",
    "Inpainter()": "Inpainter(steps=2)",
    "16, 16": "12, 12",
    "n=16": "n=2",
    "sample(100": "sample(10",
}


def blocks(page, language):
    """The blocks of code of a page in one language."""
    found = re.findall(r"```(\w*)\n(.*?)```", page.read_text(), re.DOTALL)
    return [block for name, block in found if name == language]


def commands(page):
    """The commands of gridcloze on a page, in order."""
    lines = (line for block in blocks(page, "") for line in block.splitlines())
    return [shlex.split(line, comments=True) for line in lines if line.startswith("gridcloze ")]


def run(command, monkeypatch):
    """Runs a command with less of everything; it must end well, `check` with 0 or 1."""
    if command[1] == "export":  # where types are not checked: an export has symbols for sizes
        script = "from gridcloze.cli import main; main()"
        subprocess.run([sys.executable, "-c", script, *command[1:]], check=True)
        return
    length = ["--steps", "2"] if command[1] == "train" and "--minutes" not in command else []
    monkeypatch.setattr(sys, "argv", [LESS.get(word, word) for word in [*command, *length]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in ((0, 1) if command[1] == "check" else (0, None)), command


def run_python(page):
    """The names that the Python of a page leaves, on small grids and after next to no training."""
    code = "".join(blocks(page, "python"))
    for much, little in LITTLE.items():
        code = code.replace(much, little)
    names = {}
    exec(code, names)
    return names


def write_maps():
    """The maps that the guide speaks of, with the values of its palette."""
    generator = np.random.default_rng(0)
    classes = np.array([0, *(symbol["value"] for symbol in json.loads(Path("palette.json").read_text())["symbols"])])
    Path("elsewhere").mkdir()
    layout = {"count": 1, "crs": "EPSG:5070", "transform": rasterio.Affine(30, 0, 0, 0, -30, 0), "width": 40}
    full = ("landcover", "landcover-2013", "scene-2013", "elsewhere/landcover", "elsewhere/2013")
    for name in (*full, "scene", "clouds", "elevation", "elsewhere/elevation"):
        values = classes[generator.integers(name in full, 4, (50, 40))]
        dtype = "float32" if "elevation" in name else "uint8"
        with rasterio.open(f"{name}.tif", "w", driver="GTiff", height=50, nodata=0, dtype=dtype, **layout) as file:
            file.write(values.astype(dtype), 1)


def write_inputs(monkeypatch):
    """The files that the guide takes for granted."""
    Path("models").symlink_to(ROOT / "models")
    [palette] = blocks(GUIDE, "json")
    Path("palette.json").write_text(palette)
    write_maps()
    run(["gridcloze", "toy", "squares", "-o", "grids", "-n", "24", "--puzzles", "2"], monkeypatch)
    run(["gridcloze", "toy", "squares", "-o", "held-out", "-n", "8", "--puzzles", "0", "--seed", "1"], monkeypatch)
    shutil.copytree("grids/puzzles", "puzzles")
    grid = read_grid("grids/00000.png")
    cells = grid.cells.copy()
    cells[3:9] = HIDDEN
    write_grid("puzzles/00000.png", grid.with_cells(cells))
    Image.fromarray(np.full((16, 16), 128, np.uint8)).save("allowed.png")
    Image.fromarray(np.where(cells == HIDDEN, 255, 0).astype(np.uint8)).save("mask.png")


@pytest.mark.slow
def test_the_commands_of_the_readme_work_one_after_the_other(tmp_path, monkeypatch):
    """The commands of the README, in their order and in one folder, all end well."""
    monkeypatch.chdir(tmp_path)
    Path("models").symlink_to(ROOT / "models")
    assert [command[1] for command in commands(README)] == ["fill", "toy", "train", "fill", "check", "explain"]
    for command in commands(README):
        run(command, monkeypatch)
        for puzzle in sorted(Path("examples/puzzles").iterdir())[2:] if command[1] == "toy" else []:
            puzzle.unlink()  # two do


@pytest.mark.slow
@pytest.mark.parametrize("page", [README, GUIDE], ids=lambda page: page.stem)
def test_what_a_page_quotes_is_printed(page, gridcloze):
    """Each line that a page quotes of `check` and `explain` they print for a shipped puzzle, which leaves much open."""
    Path("models").symlink_to(ROOT / "models")
    printed = "".join(gridcloze(*command[1:])[1] for command in commands(page) if command[2].startswith("models/"))
    quoted = [line for block in blocks(page, "text") for line in block.splitlines() if line]
    assert [line for line in quoted if FIGURE.sub("", line) not in FIGURE.sub("", printed)] == []
    assert [line for line in quoted if line.startswith("exact") and line not in printed] == []
    assert any(line.startswith("exact: . with probability 0.55,") for line in quoted)


def test_the_files_that_the_formats_show_are_those_that_fill_writes(gridcloze):
    """Of GSLIB and Tiled whole files, of VTK the names of the arrays."""
    (wells, filled_wells), [image], (level, filled_level) = (blocks(FORMATS, kind) for kind in ("text", "xml", "json"))
    for name, text in (("wells.dat", wells), ("wells.vti", image), ("level.tmj", level)):
        Path(name).write_text(text)
    [command] = commands(FORMATS)
    for name in ("wells.dat", "wells.vti", "level.tmj"):
        assert gridcloze("fill", ROOT / command[2], name, "-o", name[-3:], *command[6:])[0] == 0
    assert FIGURE.sub("", Path("dat/wells.dat").read_text()) == FIGURE.sub("", filled_wells)
    assert Path("tmj/level.tmj").read_text() == filled_level
    [names] = re.findall(r"has the arrays (.*?), which", FORMATS.read_text(), re.DOTALL)
    assert re.findall("`([^`]*)`", names) == re.findall(' Name="([^"]*)"', Path("vti/wells.vti").read_text())


@pytest.mark.slow
def test_the_commands_of_the_guide_work_one_after_the_other(tmp_path, monkeypatch):
    """The commands of the guide, in their order and in one folder, all end well, and write what they name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(score, "OPEN_PUZZLE_SAMPLES", 2)
    write_inputs(monkeypatch)
    used = {command[1] for command in commands(GUIDE)}
    assert used == {"train", "fill", "check", "explain", "score", "export"}
    for command in commands(GUIDE):
        if command[-1].endswith((".html", ".json")) and not (BUILT / "single.html").exists():
            continue  # which needs npm
        run(command, monkeypatch)
        if "-o" in command:
            assert Path(command[command.index("-o") + 1]).exists()


@pytest.mark.slow
def test_the_python_of_the_readme_works():
    """The Python example of the README runs, and its last lines give what the comments say."""
    names = run_python(README)
    assert names["model"].fill(names["puzzle"]).shape == (12, 12)
    assert names["model"].sample(names["puzzle"], n=3).shape == (3, 12, 12)
    assert names["model"].predict_proba(names["puzzle"]).shape == (12, 12, 2)
    assert names["model"].log_prob(names["grids"][0]) < 0


@pytest.mark.slow
def test_the_python_of_the_guide_works(tmp_path, monkeypatch):
    """The Python of the guide runs in order; evidence holds in every fill, and the scores have what they name."""
    monkeypatch.chdir(tmp_path)
    names = run_python(GUIDE)
    model, puzzle, allowed = (names[name] for name in ("model", "puzzle", "allowed"))
    assert not model.fill(puzzle, evidence=allowed)[:4].any()
    assert not model.sample(puzzle, n=2, evidence=allowed)[:, :4].any()
    assert model.predict_proba(puzzle, evidence=allowed)[:4, :, 1].max() == 0
    assert Path("squares.safetensors").exists()
    assert names["scores"]["excess_bits"] > 0
