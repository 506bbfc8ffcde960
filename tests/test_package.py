"""The package as others meet it: its types, its citation, its completion, and what it says of extras."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
import typer.main
import yaml

import lowest
from gridcloze import __version__
from gridcloze.cli import EXTRAS, app

ROOT = Path(__file__).parent.parent
USER = """
from pathlib import Path

import numpy as np

from gridcloze import HIDDEN, InputError, Inpainter, load, priors
from gridcloze.files.grids import read_grid


def smallest(model: Path, puzzles: list[Path]) -> tuple[int, int]:
    cells: list[np.ndarray] = []
    for path in puzzles:
        try:
            cells.append(read_grid(path).cells)
        except InputError as error:
            print(str(error).upper())
    return load(model).size


grids = priors.squares(16, 16).sample(20, np.random.default_rng(0))
model = Inpainter(steps=2).fit(grids)
filled: np.ndarray = model.fill(np.where(grids[0] == 1, HIDDEN, grids[0]))
bits: float = model.log_prob(grids[0])
"""


def complaints(folder, text):
    """The rules of pyright's strict mode that a program breaks."""
    (folder / "user.py").write_text(text)
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "reportUnknownMemberType": false}')
    command = [sys.executable, "-m", "pyright", "--outputjson", "-p", folder, "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True)
    return [one["rule"] for one in json.loads(done.stdout)["generalDiagnostics"]]


@pytest.mark.slow
def test_the_typed_program_of_a_user_checks(tmp_path):
    """Strict pyright finds nothing, but finds a number where a folder is due, and a size that is taken for a text."""
    assert complaints(tmp_path, USER) == []
    wrong = USER.replace("load(model).size", "load(7).size").replace("-> tuple[int, int]:", "-> str:")
    assert sorted(complaints(tmp_path, wrong)) == ["reportArgumentType", "reportReturnType"]


def test_the_citation_is_of_this_version():
    """CITATION.cff has what version 1.2.0 of its format demands, and says what pyproject.toml says."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    assert (citation["cff-version"], citation["type"], citation["license"]) == ("1.2.0", "software", "MIT")
    assert (citation["title"], citation["version"]) == ("gridcloze", __version__)
    project = lowest.project()
    assert citation["authors"] == project["authors"]
    assert (citation["abstract"], citation["keywords"]) == (project["description"], project["keywords"])


def completions(*words):
    """What bash is offered for the last word."""
    words = ["gridcloze", *words]
    told = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_GRIDCLOZE_COMPLETE": "complete_bash"}
    done = subprocess.run([sys.executable, "-m", "gridcloze"], env=os.environ | told, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def test_every_command_and_option_completes():
    """Commands after the name of the program, and after each command its options."""
    commands = typer.main.get_command(app).commands
    assert completions("") == commands.keys()
    for name in ("fill", "train"):
        every = {option for one in commands[name].params for option in one.opts if option.startswith("--")}
        assert completions(name, "--") == every | {"--help"}
    assert completions("train", "--symmetries", "m") == {"mirrors"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed(shell, tmp_path):
    """The script is of the program's own name, however it was started; in bash the installed one completes."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # without the look for the shell that started it, which need not be one that can complete
    env = os.environ | {"HOME": str(tmp_path), "PATH": path, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "gridcloze", "--install-completion", shell]
    assert subprocess.run(command, env=env, capture_output=True).returncode == 0
    scripts = [path for path in tmp_path.rglob("*gridcloze*") if path.is_file()]
    assert any("_GRIDCLOZE_COMPLETE" in path.read_text() and "python -m" not in path.read_text() for path in scripts)
    if shell == "bash" and shutil.which("gridcloze", path=env["PATH"]):
        asked = (
            ". ~/.bashrc; COMP_WORDS=(gridcloze expl); COMP_CWORD=1; _gridcloze_completion gridcloze; echo $COMPREPLY"
        )
        done = subprocess.run(["bash", "-c", asked], env=env, capture_output=True, text=True)
        assert done.stdout == "explain\n"


def test_hints_name_extras_that_exist():
    """Each extra that a message names is in the package, and no message or document names an index that has it."""
    extras = lowest.project()["optional-dependencies"].keys()
    assert {*EXTRAS.values(), "train", "film"} <= extras
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]:
        assert "install 'gridcloze" not in path.read_text() or path.name == "LOG.md", path


def test_the_lowest_versions_are_those_of_the_package():
    """Every dependency has a lower bound, and is in the list of the run with the lowest versions."""
    constraints = lowest.lowest(["train"])
    assert all("==" in line for line in constraints)
    names = {line.split("==")[0] for line in constraints}
    plain = {line.split(">=")[0] for line in requires("gridcloze") or () if "extra" not in line}
    assert names > plain
