"""Prints the lowest versions that pyproject.toml allows, as constraints for pip: `python tests/lowest.py [EXTRA …]`.

Torch is left out: each of its versions is gigabytes, and one is enough here.
"""

import re
import sys
import tomllib
from pathlib import Path


def project():
    """What pyproject.toml says of the package."""
    return tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]


def lowest(extras):
    """The lines of the dependencies and of extras, with == for >=."""
    optional = project()["optional-dependencies"]
    lines = [*project()["dependencies"], *(line for extra in extras for line in optional[extra])]
    return [line.replace(">=", "==") for line in lines if not re.match("gridcloze|torch", line)]


if __name__ == "__main__":
    print("\n".join(lowest(sys.argv[1:])))
