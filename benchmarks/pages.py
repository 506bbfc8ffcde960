"""Fill README.md, docs/*.md, models/README.md and the text of the article from the results: `make docs`.

The templates are in benchmarks/pages. There, <<name>> stands for a text of `tables.py` or `figures.py`, and
<<FILE/KEY/…:FORMAT>> for a number of benchmarks/results/FILE.json in one of Python's formats; if FILE is a pattern, for
the mean over all files that match.
"""

import json
import re
from collections.abc import Mapping
from functools import cache, reduce
from pathlib import Path
from statistics import fmean
from typing import Any

import figures
import tables
from common import DOCS, RESULTS
from gridcloze.files.paths import atomic_write
from gridcloze.words import InputError

TEMPLATES = Path(__file__).parent / "pages"
ROOT = DOCS.parent
PLACE = re.compile(r"<<([^<>\n]+)>>")
PAGES = {  # which template makes which page
    "README.md": ROOT / "README.md",
    "any-grid.md": DOCS / "any-grid.md",
    "article.md": DOCS / "article" / "index.md",
    "decoders.md": DOCS / "decoders.md",
    "models.md": ROOT / "models" / "README.md",
    "results.md": DOCS / "results.md",
    "scale.md": DOCS / "scale.md",
    "speed.md": DOCS / "speed.md",
}


def fill(template: str, texts: Mapping[str, str]) -> str:
    """Replace each <<name>> of a template by its text; InputError lists the names that have none.

    >>> fill("<<error>> of all cells", {"error": "4.3%"})
    '4.3% of all cells'
    """
    replacements, unknown = {}, []
    for name in sorted(set(PLACE.findall(template))):
        try:
            replacements[name] = texts[name]
        except KeyError:
            unknown.append(name)
    if unknown:
        raise InputError(f"no text and no figure has the name {', '.join(unknown)}")
    return PLACE.sub(lambda place: replacements[place[1]], template)


class Texts(dict[str, str]):
    """Texts by name, where any other name is that of a figure in a result file."""

    def __missing__(self, name: str) -> str:
        try:
            return figure(name)
        except (LookupError, TypeError, ValueError):
            raise KeyError(name) from None


def figure(name: str) -> str:
    """The figure FILE/KEY/…:FORMAT, where FILE may be a pattern. Raises what Python does for wrong names."""
    place, _, form = name.partition(":")
    file, *keys = place.split("/")
    values = [reduce(_item, keys, json.loads(path.read_text())) for path in sorted(RESULTS.glob(f"{file}.json"))]
    return format(fmean(values) if len(values) > 1 else values[0], form)


def _item(node: Any, key: str) -> Any:
    return node[int(key) if isinstance(node, list) else key]


@cache
def texts() -> Texts:
    """All texts that templates may use."""
    return Texts({**tables.texts(), **figures.texts()})


def page(template: str) -> str:
    """The page that a template of `PAGES` makes."""
    return fill((TEMPLATES / template).read_text(encoding="utf-8"), texts())


def write() -> None:
    """Write all pages."""
    for template, path in PAGES.items():
        with atomic_write(path) as partial:
            partial.write_text(page(template), encoding="utf-8")


if __name__ == "__main__":
    write()
