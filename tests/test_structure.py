"""What the design says of the code, held by tests."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "gridcloze"


def rooms_in(readme):
    """The rooms of the file tree in the README, as modules: each imports only from those above it."""
    tree = re.search(r"```\nsrc/gridcloze/\n(.*?)```", readme, re.DOTALL)
    assert tree
    folder, rooms = "", []
    for line in tree[1].splitlines():
        name = line.split()[0]
        if name.endswith("/"):
            folder = name.removesuffix("/") + "."
        elif line.startswith(" "):
            rooms.append(folder + name.removesuffix(".py"))
        else:
            folder = ""
            rooms.append(name.removesuffix(".py"))
    return rooms


ROOMS = rooms_in((ROOT / "README.md").read_text())


def module_of(path):
    """The name of a file's module below the package; that of a folder for its `__init__`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path):
    """The modules of the package that a file imports when it is loaded or used, by relative and absolute imports."""
    inside = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name.split(".") for alias in node.names]
            yield from (".".join(parts[1:]) for parts in found if parts[0] == "gridcloze" and len(parts) > 1)
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".") if node.module else []
            if node.level:
                module = [*inside[: len(inside) - node.level + 1], *module]
            elif module[:1] == ["gridcloze"]:
                module = module[1:]
            else:
                continue
            for alias in node.names:
                submodule = ".".join([*module, alias.name])
                yield submodule if submodule in ROOMS else ".".join(module)


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_one_way(path):
    """A room imports only rooms that stand before it in the README's tree, whichever way it imports them."""
    room = module_of(path)
    for imported in imported_modules(path):
        if imported in ROOMS:
            assert ROOMS.index(imported) < ROOMS.index(room), f"{room} imports {imported}"
        else:
            last = max((ROOMS.index(one) for one in ROOMS if one.startswith(f"{imported}.")), default=-1)
            assert last < ROOMS.index(room), f"{room} imports the folder {imported}"


def test_absolute_imports_are_seen(tmp_path, monkeypatch):
    """An import up the tree is found in each of the ways to write one."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    for text in (
        "from . import cli",
        "from .cli import main",
        "import gridcloze.cli",
        "from gridcloze.cli import main",
    ):
        (tmp_path / "words.py").write_text(text)
        assert list(imported_modules(tmp_path / "words.py")) == ["cli"], text


def test_the_tree_in_the_readme_is_the_package():
    """The README's file tree names every file of the package once, and no other."""
    assert sorted(ROOMS) == sorted(map(module_of, FILES))


def test_a_plain_install_has_all_that_filling_needs():
    """What `fill` runs, and filling, scoring and exact answers from Python, can be imported without the extras."""
    script = (
        "import sys, gridcloze.commands.fill, gridcloze.filling, gridcloze.scoring, gridcloze.lookup, gridcloze.priors;"
        "import gridcloze.baselines;"
        "sys.exit(bool({'torch', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
