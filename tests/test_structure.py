"""What the design says of the code, held by tests."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "gridcloze"
ROOMS = [  # each imports from those before it
    "__init__",
    "palettes",
    "grids",
    "maps",
    "predictor",
    "tiling",
    "priors",
    "exact",
    "masking",
    "networks",
    "bert",
    "cnn",
    "export",
    "patterns",
    "baselines",
    "training",
    "checkpoint",
    "filling",
    "sweeping",
    "scoring",
    "checking",
    "explaining",
    "pictures",
    "charts",
    "films",
    "inpainter",
    "bulk",
    "comparing",
    "verbs",
    "demo",
    "cli",
]


def imported_rooms(path):
    """The rooms that a file imports when it is loaded or used."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            inside_priors = path.parent.name == "priors" and node.level == 1
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (name.split(".")[0] for name in names if not inside_priors)


def test_imports_point_one_way():
    """Every room imports only rooms that come before it."""
    for path in PACKAGE.rglob("*.py"):
        room = "priors" if path.parent.name == "priors" else path.stem
        if room == "__init__":
            continue  # its `load` reaches up on purpose, when it is called
        for imported in imported_rooms(path):
            if imported in ROOMS:
                assert ROOMS.index(imported) < ROOMS.index(room), f"{room} imports {imported}"


def test_every_file_of_the_package_is_in_the_list_of_rooms():
    """The list of rooms is the package."""
    found = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert found - {"__pycache__"} == set(ROOMS)


def test_a_plain_install_has_all_that_filling_needs():
    """What `fill` runs, and filling, scoring and exact answers from Python, can be imported without the extras."""
    script = (
        "import sys, gridcloze.verbs, gridcloze.filling, gridcloze.scoring, gridcloze.baselines, gridcloze.exact; "
        "sys.exit(bool({'torch', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_tree_in_the_readme_is_the_package():
    """The README's file tree names every file of the package, and no other."""
    tree = re.search(r"```\nsrc/gridcloze/\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert tree
    named = {line.split()[0].rstrip("/") for line in tree.group(1).splitlines() if line.strip()}
    found = {path.name for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert named == found - {"__pycache__"}
