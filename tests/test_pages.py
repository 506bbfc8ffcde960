"""The pages of README, docs and models: current, complete, and linked to each other."""

import json
import re

import pytest

import pages
import tables
from gridcloze.words import InputError

OF_SITE = set((pages.DOCS / "site").rglob("*.md"))  # Sphinx checks their links
MARKDOWN = [
    *pages.ROOT.glob("*.md"),
    *sorted({*pages.DOCS.rglob("*.md")} - OF_SITE),
    pages.ROOT / "models" / "README.md",
]
TEMPLATES = sorted(path.name for path in pages.TEMPLATES.iterdir())


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_page_is_current(template):
    """Each page equals what its template and the results give; `make docs` writes them."""
    assert pages.PAGES[template].read_text(encoding="utf-8") == pages.page(template)


def test_every_template_has_a_page():
    """The folder of templates has one for each page, and nothing else."""
    assert sorted(pages.PAGES) == TEMPLATES


def test_an_unknown_name_is_named():
    """Names are replaced by their texts; those without a text are an error that lists them."""
    assert pages.fill("<<a.b-1>> and $a << b$", {"a.b-1": "7", "unused": ""}) == "7 and $a << b$"
    with pytest.raises(InputError, match=r"the name one, two$"):
        pages.fill("<<two>> <<one>> <<a>>", {"a": "7"})


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Two result files of a task with two seeds."""
    monkeypatch.setattr(pages, "RESULTS", tmp_path)
    for seed, error in ((0, 0.25), (1, 0.75)):
        (tmp_path / f"task-{seed}.json").write_text(json.dumps({"test set": {"error": error}, "curve": [1, 20]}))


def test_a_figure_is_looked_up_in_its_result_file(results):
    """A name with slashes is a figure in a file, in a format; a pattern gives the mean over files."""
    template = "<<task-1/test set/error:.1%>>, <<task-0/curve/-1:g>>, <<task-*/test set/error:.2f>>"
    assert pages.fill(template, pages.Texts()) == "75.0%, 20, 0.50"


@pytest.mark.parametrize("name", ["task-2/curve", "task-1/test set/bits", "task-1/curve/7", "task-1/test set:.1%", "x"])
def test_a_figure_without_a_result_is_an_error(results, name):
    """A file, a key or an index that does not exist, and a format that does not fit, are errors that say the name."""
    with pytest.raises(InputError, match=f"the name {re.escape(name)}$"):
        pages.fill(f"<<{name}>>", pages.Texts())


def test_every_table_is_used():
    """Each text of `tables.py` stands in some template, and none has the name of a text of the article."""
    used = {name for path in pages.TEMPLATES.iterdir() for name in pages.PLACE.findall(path.read_text("utf-8"))}
    assert set(tables.texts()) <= used
    assert not set(tables.texts()) & set(pages.figures.texts())


def anchors_in(text):
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path):
    """The links of a page to files or headings that do not exist."""
    for link in re.findall(
        r"\]\(([^)\s]+)[^)]*\)", re.sub(r"```.*?```|\$[^$]*\$", "", path.read_text(), flags=re.DOTALL)
    ):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in anchors_in(target.read_text())):
            yield link


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(pages.ROOT).as_posix())
def test_links_lead_somewhere(path):
    """Each link and picture of a page is a file in the repository, and each anchor a heading."""
    assert list(broken_links(path)) == []


def test_a_broken_link_is_found(tmp_path):
    """A link to no file, to no heading, and a missing picture are found; good ones and those to other sites are not."""
    page = tmp_path / "page.md"
    page.write_text(
        '# One `two`\n[a](page.md#one-two) [b](https://example.org) [c](gone.md) [d](#gone) ![e](gone.png "A title")'
    )
    assert list(broken_links(page)) == ["gone.md", "#gone", "gone.png"]
