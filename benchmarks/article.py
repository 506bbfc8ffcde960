"""The article: `make article` draws its figures and renders docs/article/index.md as build/article/index.html.

`make docs` writes the text from benchmarks/pages/article.md. build/article shows it without Hugo and without a network.
An image that is alone in its paragraph is a figure with its title as caption; if it links to an .mp4 it is a film, with
the image as poster. Dark pages show `name-dark.png` instead of `name.png` if it exists. An element with
`data-gridcloze` is a figure of the studio's page, and without its scripts the picture inside.

build/hugo is the same as a site for Hugo 0.146 or newer, without its theme. There the figures are shortcodes, whose
templates are in benchmarks/hugo, since Hugo shows the title of an image as a tooltip.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from PIL import Image

import pages
from common import MODELS
from figures import PRIOR, draw
from gridcloze import checkpoint
from gridcloze.files.paths import atomic_write
from gridcloze.studio.single import PageModel, built_file, packed, prior_name
from gridcloze.words import InputError

HERE = Path(__file__).parent
PAGE, STYLE, ROOM = HERE / "article.html", HERE / "article.css", HERE / "figures.css"
ARTICLE = HERE.parent / "docs" / "article"
BUILT = HERE.parent / "build" / "article"
FOR_HUGO, HUGO = HERE.parent / "build" / "hugo", HERE / "hugo"
IN_SITE = "content/squares"
KATEX = HERE.parent / ".venv" / "katex" / "node_modules" / "katex" / "dist"
KATEX_FILES = ("katex.min.css", "katex.min.js", "fonts/*.woff2")
TEXT = "index.md"
IN_CONTENTS = ("h2", "h3")
LIVE = "data-gridcloze"
LOADS_LIVE = '<link rel="stylesheet" href="live/figures.css">\n<script defer src="live/figures.js"></script>'
PICTURE = re.compile(r'^!\[(?P<alt>.*)\]\((?P<src>\S+) "(?P<caption>.*)"\)$', re.MULTILINE)
FILM = re.compile(r'^\[!\[(?P<alt>.*)\]\((?P<poster>\S+) "(?P<caption>.*)"\)\]\((?P<src>\S+)\)$', re.MULTILINE)
LIVE_FIGURE = re.compile(r'^<div data-gridcloze="(?P<figure>\w+)"(?: data-model="(?P<model>\w+)")?>$', re.MULTILINE)


# From Markdown to a page


def render(source: Path, out: Path, katex: Path, models: Sequence[PageModel] = ()) -> None:
    """Write the bundle `source` into the folder `out` as index.html, with its images and films and with KaTeX.

    Live figures get the networks `models`.
    """
    if not (katex / KATEX_FILES[0]).exists():
        raise InputError(f"{katex}: KaTeX is not installed; `make article` installs it")
    page = page_of((source / TEXT).read_text(encoding="utf-8"), source)
    copy_files(source, "*", out)
    for pattern in KATEX_FILES:
        copy_files(katex, pattern, out / "katex")
    (out / TEXT).unlink()
    shutil.copy(STYLE, out)
    if LIVE in page:
        write_live(out / "live", models)
    with atomic_write(out / "index.html") as partial:
        partial.write_text(page, encoding="utf-8")


def copy_files(source: Path, pattern: str, out: Path) -> None:
    for path in source.glob(pattern):
        copied = out / path.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copied)


def page_of(text: str, folder: Path) -> str:
    """The whole page, from a text in Markdown and the folder of its images."""
    parser = markdown()
    tokens = parser.parse(text)
    matter = front_matter(tokens)
    contents = contents_of(tokens, parser) if matter.get("ShowToc") else ""
    mark_figures(tokens, folder)
    return pages.fill(
        PAGE.read_text(encoding="utf-8"),
        {
            "title": escape(matter["title"]),
            "summary": escape(matter.get("summary", "")),
            "date": f"{matter['date'].day} {matter['date']:%B %Y}",
            "live": LOADS_LIVE if LIVE in text else "",
            "cover": cover_of(matter.get("cover", {}), folder),
            "contents": contents,
            "body": parser.renderer.render(tokens, parser.options, {"folder": folder}),
        },
    )


def markdown() -> MarkdownIt:
    """CommonMark with tables, formulas between dollars, front matter and anchors of headings."""
    parser = MarkdownIt("commonmark").enable("table").use(front_matter_plugin)
    parser.use(dollarmath_plugin, allow_labels=False, allow_space=False, allow_digits=False)
    parser.use(anchors_plugin, min_level=2, max_level=3, permalink=True, permalinkSymbol="#")
    parser.add_render_rule("image", render_image)
    table = '<div class="table" tabindex="0">\n<table>\n'  # the table scrolls, not the page
    parser.add_render_rule("table_open", lambda *_: table)
    parser.add_render_rule("table_close", lambda *_: "</table>\n</div>\n")
    return parser


def render_image(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Mapping[str, Any]) -> str:
    return picture(str(tokens[index].attrs["src"]), tokens[index].content, env["folder"])


def front_matter(tokens: Sequence[Token]) -> dict[str, Any]:
    found = [yaml.safe_load(token.content) for token in tokens if token.type == "front_matter"]
    if not found or not {"title", "date"} <= set(found[0]):
        raise InputError("an article must start with its title and date between two lines of ---")
    return found[0]


def contents_of(tokens: Sequence[Token], parser: MarkdownIt) -> str:
    """A list of the headings, with their texts and anchors on the page."""
    entries = [
        f'<li class="{heading.tag}"><a href="#{heading.attrs["id"]}">{parser.renderInline(inline.content)}</a></li>'
        for heading, inline in pairwise(tokens)
        if heading.type == "heading_open" and heading.tag in IN_CONTENTS
    ]
    return "\n".join(
        ['<details class="contents">', "<summary>Contents</summary>", "<ul>", *entries, "</ul>", "</details>"]
    )


def cover_of(cover: Mapping[str, str], folder: Path) -> str:
    if not cover:
        return ""
    shown = picture(cover["image"], cover.get("alt", ""), folder)
    return f"<figure>{shown}{caption(cover.get('caption', ''))}</figure>"


# Figures


def mark_figures(tokens: Sequence[Token], folder: Path) -> None:
    """Turn each paragraph that is one image, or one image that links to a film, into a figure with a caption."""
    for opening, inline, closing in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if opening.type == "paragraph_open" and not opening.hidden and (shown := figure(inline.children or [], folder)):
            opening.tag = closing.tag = "figure"
            inline.children = shown


def figure(children: Sequence[Token], folder: Path) -> list[Token]:
    """The parts of the figure that a paragraph is; none if it is not a figure."""
    kinds = [child.type for child in children]
    if kinds == ["image"]:
        return [children[0], html(caption_of(children[0]))]
    if kinds == ["link_open", "image", "link_close"] and str(children[0].attrs["href"]).endswith(".mp4"):
        return [html(film(str(children[0].attrs["href"]), children[1], folder) + caption_of(children[1]))]
    return []


def html(content: str) -> Token:
    return Token("html_inline", "", 0, content=content)


def film(name: str, image: Token, folder: Path) -> str:
    label, poster = escape(image.content), str(image.attrs["src"])
    with Image.open(folder / poster) as opened:
        shape = opened.height / opened.width
    attributes = f'src="{escape(name)}" poster="{escape(poster)}" aria-label="{label}" style="--shape: {shape:.4f}"'
    return f'<video controls loop muted playsinline preload="metadata" {attributes}></video>'


def picture(name: str, alternative: str, folder: Path) -> str:
    """An image, with its variant for dark pages if there is one."""
    shown = f'<img src="{escape(name)}" alt="{escape(alternative)}" loading="lazy">'
    path = Path(name)
    dark = path.with_name(f"{path.stem}-dark{path.suffix}")
    if not (folder / dark).exists():
        return shown
    source = f'<source srcset="{escape(dark.as_posix())}" media="(prefers-color-scheme: dark)">'
    return f"<picture>{source}{shown}</picture>"


def caption_of(image: Token) -> str:
    return caption(str(image.attrs.get("title") or image.content))


def caption(text: str) -> str:
    return f"<figcaption>{escape(text)}</figcaption>" if text else ""


# Live figures


def write_live(folder: Path, models: Sequence[PageModel]) -> None:
    """Write scripts that also a page from a file may load, and the style that keeps room for the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    style, script = (built_file(f"assets/{name}").read_text(encoding="utf-8") for name in ("style.css", "page.js"))
    (folder / "figures.js").write_text(f"globalThis.gridclozeStyle = {json.dumps(style)};\n{script}", encoding="utf-8")
    (folder / "models.js").write_text(f"globalThis.gridclozeModels = {packed(*models)};\n", encoding="utf-8")
    shutil.copy(built_file("assets/runtime.js"), folder)
    shutil.copy(ROOM, folder)


def write_for_hugo(source: Path, out: Path, models: Sequence[PageModel] = ()) -> None:
    """Write a site of Hugo without its theme: the settings and templates, and the bundle `source` with live figures."""
    shutil.copytree(HUGO, out)
    bundle = out / IN_SITE
    shutil.copytree(source, bundle)
    (bundle / TEXT).write_text(in_shortcodes((source / TEXT).read_text(encoding="utf-8")), encoding="utf-8")
    write_live(bundle / "live", models)


def in_shortcodes(text: str) -> str:
    """Figures, films and live figures in the shortcodes of benchmarks/hugo.

    >>> print(in_shortcodes('![A grid](a.png "One grid.")'))
    {{< picture alt="A grid" src="a.png" caption="One grid." >}}
    """
    text = LIVE_FIGURE.sub(lambda found: shortcode("live", found), text).replace("\n</div>\n", "\n{{< /live >}}\n")
    text = FILM.sub(lambda found: shortcode("film", found), text)
    return PICTURE.sub(lambda found: shortcode("picture", found), text)


def shortcode(name: str, found: re.Match[str]) -> str:
    given = " ".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in found.groupdict().items() if text)
    return f"{{{{< {name} {given} >}}}}"


def networks() -> list[PageModel]:
    """The networks of the live figures."""
    prior, bert = prior_name(PRIOR), checkpoint.load(MODELS / "squares.safetensors")
    window = (MODELS / "cnn-7.onnx").read_bytes()
    return [PageModel("BERT", checkpoint.exported(bert), prior), PageModel("CNN of 7×7", window, prior)]


def main() -> None:
    draw(ARTICLE)
    pages.write()
    models = networks()
    for folder in (BUILT, FOR_HUGO):
        shutil.rmtree(folder, ignore_errors=True)  # what an earlier article had
    render(ARTICLE, BUILT, KATEX, models)
    write_for_hugo(ARTICLE, FOR_HUGO, models)
    print(BUILT / "index.html")


if __name__ == "__main__":
    main()
