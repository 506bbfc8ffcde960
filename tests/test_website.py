"""The site: its pages run, every message and name is in it, and each page opens from disk without a network."""

import ast
import re
from pathlib import Path

import pytest

import website
from browsers import opened_browser
from gridcloze.words import InputError

WIDTHS = (390, 1280)
FAULTS = """[
  ...[...document.images].filter(one => !one.complete || (!one.naturalWidth && one.offsetParent)).map(one => one.src),
  ...[...document.querySelectorAll(".math")]
    .filter(one => !one.querySelector(".katex") || one.querySelector(".katex-error")).map(one => one.textContent),
  ...(document.documentElement.scrollWidth > innerWidth ? ["scrolls sideways"] : []),
]"""
ANCHORS = "[...document.querySelectorAll('[id]')].map(one => one.id)"
LINKS = "[...document.querySelectorAll('a[href]')].map(one => one.href)"


def test_messages_are_collected_from_the_sources():
    """Errors, warnings and remarks are among them, also where their words stand in a constant or come by a name."""
    found = {text for _, text in website.messages()}
    assert f"{website.PLACE}: a weight is no finite number; train the model again" in found
    assert "filled as if the side maps were unknown" in found  # a warning
    assert "every cell is hidden: the fill is a sample of the prior" in found  # a constant
    assert any(text.startswith("port … is in use: ") for text in found)  # a name
    assert "damaged, or not an array of numbers (…)" in found  # a parameter
    assert len(found) > 350


def words_of(text):
    return [word for word in re.split(rf"{website.PLACE}|[:;()]", text) if word.strip()]


def test_every_error_has_words():
    """An InputError without words of its own carries those of another: its name is in front, or it is re-raised."""
    without = []
    for path in sorted(website.PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        of_module = website.named_texts(tree.body)
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            names = of_module | website.named_texts(ast.walk(function))
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError" and node.args:
                    text = website.text_of(node.args[0], names)
                    without += [f"{path.stem} {node.lineno} {text}"] * (not words_of(text))
    assert {one.split()[0] for one in without} == {"words", "export"}  # `about` and `_in_one_line`


def test_each_message_is_listed_with_what_to_do():
    """The page has every message, below a paragraph on its group; a module of which it says nothing is an error."""
    page = website.messages_page()
    listed = re.findall("^- `` (.*) ``$", page, re.MULTILINE)
    assert set(listed) == {" ".join(text.split()) for _, text in website.messages()}
    assert "<!--" not in page
    for section in page.split("\n## ")[1:]:
        assert re.match(r"[^\n]+\n\n[A-Z][^-]", section), section[:80]


def test_a_module_without_advice_is_an_error(monkeypatch):
    """Messages of a new module need a place on the page."""
    monkeypatch.setattr(website, "messages", lambda: [("new/module", "no such thing")])
    monkeypatch.setattr(website, "OF_MODULES", re.compile("<!-- nothing -->"))
    with pytest.raises(InputError, match="does not say what to do in new/module"):
        website.messages_page()


def test_every_public_module_and_address_has_a_page(tmp_path, monkeypatch):
    """Each module but those of the command line, and each address of the server, is in the reference."""
    monkeypatch.setattr(website, "rest_page", lambda: "")
    (tmp_path / "api.md").write_text("<!-- modules -->\n")
    website.write_reference(tmp_path)
    assert "(api/gridcloze.words.md) | What every module needs: " in (tmp_path / "api.md").read_text()
    modules = {path.stem for path in (tmp_path / "api").iterdir()}
    paths = (path.relative_to(website.PACKAGE.parent).with_suffix("") for path in website.PACKAGE.rglob("*.py"))
    missing = {".".join(path.parts) for path in paths} - modules
    assert {name.split(".")[1] if "__init__" not in name else "__init__" for name in missing} == {
        "__init__",
        "__main__",
        "cli",
        "commands",
        "studio",
        "study",
    }


@pytest.mark.parametrize(("code", "text"), [("f'{a}: no'", "…: no"), ("'a' + b", "a…"), ("'a' if b else 'c'", "a / c")])
def test_the_words_of_an_expression(code, text):
    """What the program puts in is …; both ends of a choice are shown."""
    assert website.text_of(ast.parse(code, mode="eval").body) == text


def run(text, monkeypatch, folder, environment=None):
    """Runs a page of the site in a folder; what it becomes."""
    monkeypatch.setattr(website, "SOURCE", folder / "source")
    monkeypatch.setattr(website, "RUNS", folder / "runs")
    monkeypatch.setattr(website, "ENVIRONMENT", {})
    for name, value in (environment or {}).items():
        monkeypatch.setenv(name, value)
    page = folder / "source" / "page.md"
    page.parent.mkdir(parents=True)
    page.write_text(text)
    website.run_page(page)
    return page.read_text()


def test_the_blocks_of_a_page_run_in_order(tmp_path, monkeypatch):
    """Blocks share a folder and names, and what they print, or the value of the last line, follows each."""
    first = "```python\na = 1\nimport pathlib\npathlib.Path('x').write_text('y')\n```\n"
    text = first + "\n```sh\ncat x\n```\n\n```python\na + 1\n```\n"
    outputs = re.findall(r":class: output\n\n(.*?)\n```", run(text, monkeypatch, tmp_path), re.DOTALL)
    assert outputs == ["1", "y", "2"]


LESS = {  # of everything in the tutorials
    r"--depth \d ": "",
    r"--minutes [\d.]+": "--steps 2 --depth 1",
    r"minutes=[\d.]+": "steps=2, depth=1",
    r"-n 2000": "-n 24",
    r"-n 100": "-n 4",
    r"sample\(2000": "sample(24",
    r"score (models/)?(squares[^\n]*)": r"score models/\2 --sampled-grids 1",  # samples of an untrained one take long
    r"range\(500\)": "range(24)",
    r"64": "24",
    r"12\), \(80, 20, 6\)": "3)",
    r"30, 8\)": "30, 3)",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squares", "facies", "clouds", "levels"])
def test_each_kind_of_user_gets_from_file_to_filled_file(name, tmp_path, monkeypatch):
    """The commands of the tutorials for teaching, geostatistics, land cover and levels run, with less of everything."""
    text = (website.PAGES / "tutorials" / f"{name}.md").read_text()
    for much, little in LESS.items():
        text = re.sub(much, little, text)
    page = run(text, monkeypatch, tmp_path, website.ENVIRONMENT)
    assert ":class: output" in page
    assert len(list((tmp_path / "runs" / "page" / "filled").iterdir())) > 3


def test_a_page_with_a_command_that_fails_is_not_built(tmp_path, monkeypatch):
    """A wrong exit status is an error that shows the command and what it printed; a declared one is not."""
    assert "told" in run("```sh exits=2\necho told; exit 2\n```\n", monkeypatch, tmp_path / "good")
    with pytest.raises(InputError, match=r"exit status 3 of\necho why; exit 3\nwhy"):
        run("```sh\necho why; exit 3\n```\n", monkeypatch, tmp_path / "bad")


@pytest.fixture(scope="module")
def site():
    """The site, which takes minutes to build."""
    if not (website.OUT / "search.html").exists():
        pytest.skip("the site is not built; `make site` takes minutes")
    return website.OUT


@pytest.mark.slow
def test_every_public_name_is_on_the_page_of_its_module(site):
    """Each public function and class of each public module has an anchor."""
    for module in website.public_modules():
        path = website.PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
        page = (site / "reference" / "api" / f"{module}.html").read_text()
        for node in ast.parse(path.read_text()).body if path.exists() else []:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert f'id="{module}.{node.name}"' in page, node.name


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_opens_from_disk_without_faults(site, width):
    """No broken link, image or formula, no error in the console, no request beyond the folder, no sideways scroll."""
    pages = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    faults, anchors, links = {}, {}, []
    with opened_browser() as browser:
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
        page = context.new_page()
        errors = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("requestfailed", lambda request: errors.append(request.url))
        for path in pages:
            page.goto(path.as_uri())
            page.evaluate("for (const one of document.images) one.loading = 'eager'")
            page.wait_for_load_state("load")
            faults[path.relative_to(site)] = [*page.evaluate(FAULTS), *errors]
            errors.clear()
            anchors[path.as_uri()] = {"", *page.evaluate(ANCHORS)}
            links += [(path.relative_to(site), link) for link in page.evaluate(LINKS)]
    assert {name: found for name, found in faults.items() if found} == {}
    assert [one for one in links if is_broken(one[1], anchors)] == []


def is_broken(link, anchors):
    """Whether a link on disk leads to no file or to no heading."""
    address, _, anchor = link.partition("#")
    if not address.startswith("file:"):
        return False
    path = Path(re.sub(r"[?].*", "", address).removeprefix("file://"))
    return not path.exists() or (address in anchors and anchor not in anchors[address])


def test_a_broken_link_is_found(tmp_path):
    """A missing file and a missing heading are broken; a heading that is there and another site are not."""
    (tmp_path / "a.html").touch()
    here = (tmp_path / "a.html").as_uri()
    links = [f"{here}#b", f"{here}#c", (tmp_path / "d.html").as_uri(), "https://example.org"]
    assert [is_broken(link, {here: {"", "b"}}) for link in links] == [False, True, True, False]


@pytest.mark.slow
def test_search_works_from_disk(site):
    """A word of the pages is found, and leads to a page."""
    with opened_browser() as browser:
        page = browser.new_context(offline=True).new_page()
        page.goto(f"{(site / 'search.html').as_uri()}?q=palette")
        page.wait_for_selector("#search-results li a")
        assert page.locator("#search-results li a").count() > 2
