"""The site in Sphinx; `make site` copies this folder and the texts of the repository to build/site-source."""

from html import escape

from docutils.nodes import SkipNode

from gridcloze.words import __version__

project, author = "gridcloze", "The gridcloze developers"
copyright = "The gridcloze developers, MIT licence"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["README.md", "**/_*.md"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
myst_title_to_header = True
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_attr_annotations = False
napoleon_custom_sections = [("Attributes", "params_style")]  # which keeps the underscore of `symbols_`
suppress_warnings = ["ref.python"]  # words such as "height" among types, which two classes have as well
copybutton_exclude = ".linenos, .gp"
copybutton_selector = "div:not(.output) > div.highlight > pre"
html_theme = "furo"
html_title = f"gridcloze {release}"
html_static_path = ["_static"]
html_css_files = ["katex/katex.min.css", "site.css"]
html_js_files = [("katex/katex.min.js", {"defer": "defer"}), ("site.js", {"defer": "defer"})]
html_math_renderer = "katex"
html_show_search_summary = False  # it would fetch pages, which browsers refuse to pages on disk
html_show_sourcelink = html_copy_source = False
html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "monokai"


def inline(translator, node):
    translator.body.append(f'<span class="math">{escape(node.astext())}</span>')
    raise SkipNode


def block(translator, node):
    translator.body.append(f'<div class="math block" tabindex="0">{escape(node.astext())}</div>')
    raise SkipNode


def skip(app, what, name, member, skips, options):
    return True if name.startswith("set_") and name.endswith("_request") else None  # which scikit-learn puts there


def setup(app):
    app.add_html_math_renderer("katex", (inline, None), (block, None))
    app.connect("autodoc-skip-member", skip)
