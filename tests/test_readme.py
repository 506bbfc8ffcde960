"""The README, run as a new user would, with less of everything."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from gridcloze.cli import main
from gridcloze.commands import score

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for _, block in BLOCKS
    for line in block.splitlines()
    if line.startswith("gridcloze ")
]
LESS = {"2000": "24", "16": "2", "--minutes": "--steps", "5": "2", "12": "2"}


def write_maps():
    """The maps that the README speaks of."""
    generator = np.random.default_rng(0)
    for name, largest in (("landcover", 3), ("scene", 4), ("clouds", 2)):
        layout = {"count": 1, "dtype": "uint8", "crs": "EPSG:5070", "transform": rasterio.Affine(30, 0, 0, 0, -30, 0)}
        with rasterio.open(f"{name}.tif", "w", driver="GTiff", width=40, height=50, nodata=3, **layout) as file:
            file.write(generator.integers(0, largest, (50, 40), np.uint8), 1)


@pytest.mark.slow
def test_the_commands_of_the_readme_work_one_after_the_other(tmp_path, monkeypatch):
    """The commands of the README, in their order and in one folder, all end well, and `check` with 0 or 1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(score, "OPEN_PUZZLE_SAMPLES", 2)
    named = ["toy", "train", "fill", "toy", "score", "check", "explain", "info", "export", "train", "fill"]
    assert [command[1] for command in COMMANDS] == named
    write_maps()
    export = COMMANDS[named.index("export")]
    for command in COMMANDS:
        if command is export:
            continue
        monkeypatch.setattr(sys, "argv", [LESS.get(word, word) for word in command])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in ((0, 1) if command[1] == "check" else (0, None)), command
    script = "from gridcloze.cli import main; main()"  # where types are not checked: an export has symbols for sizes
    subprocess.run([sys.executable, "-c", script, *export[1:]], check=True)


@pytest.mark.slow
def test_the_python_of_the_readme_works():
    """The Python example of the README runs, and its last lines give what the comments say."""
    [code] = [block for language, block in BLOCKS if language == "python"]
    names = {}
    exec(code.replace("20_000", "40").replace("minutes=5", "steps=2"), names)
    assert names["model"].fill(names["puzzle"]).shape == (16, 16)
    assert names["model"].sample(names["puzzle"], n=16).shape == (16, 16, 16)
    assert names["model"].predict_proba(names["puzzle"]).shape == (16, 16, 2)
    assert names["model"].log_prob(names["grids"][0]) < 0
