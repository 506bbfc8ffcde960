"""Build the documentation site in build/site: `make site`, which `make docs` calls.

docs/site has the pages that only the site has. The others are the texts of the repository, copied next to them. In a
page of docs/site, blocks of `sh` and `python` are run in order, in a folder of their own with `models` and `benchmarks`
in it, and what they print follows them. A block of `sh` that must fail says with which status: "sh exits=2".
"""

import ast
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

from common import DOCS, MODELS
from gridcloze.studio.guards import Door
from gridcloze.studio.server import make_app
from gridcloze.words import InputError

ROOT = DOCS.parent
PAGES, PACKAGE = DOCS / "site", ROOT / "src" / "gridcloze"
SOURCE, RUNS, OUT = (ROOT / "build" / name for name in ("site-source", "site-runs", "site"))
KATEX = ROOT / ".venv" / "katex" / "node_modules" / "katex" / "dist"
ENVIRONMENT = {  # of what pages run
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(PACKAGE.parent),
    "COLUMNS": "100",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "OMP_NUM_THREADS": "1",  # a page runs on a core of its own
}
TEXTS = ("README.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "VISION.md", "LOG.md")
NOT_PUBLIC = ("cli", "commands", "studio", "study", "__init__", "__main__")  # the command line has pages of its own
NAMES_OF_PACKAGES = {"gridcloze": "   :members: load\n", "gridcloze.priors": ""}  # others stand with their modules
LENGTH = re.compile(r"minutes[ =]([\d.]+)")  # of trainings
RUN_BLOCK = re.compile(r"^```(sh|python)(?: exits=(\d+))?\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
TITLED = re.compile(r'^!\[([^\]]*)\]\((\S+) "([^"]*)"\)$', re.MULTILINE)
BEYOND = re.compile(r"\[([^\]]*)\]\(\.\./benchmarks[^)]*\)")  # links to what is no page
IMAGE = re.compile(r"(!\[[^\]]*\]\()([^)\s]+)")
SPEAKING = {"InputError", "tell", "warn", "undamaged", "_reported", "_in_one_line"}  # what is called with a message
CONSTANTS = {"NOTHING_HIDDEN", "EVERYTHING_HIDDEN", "UNKNOWN", "REPORT"}  # messages that are chosen from a table
OF_MODULES = re.compile(r"<!-- ([\w/ ]+) -->\n")
WARNING = re.compile(r"_ending|warning$|warnings_of|not_typical|_contradiction|ruled_out|_note$|_remark|verdict")
PLACE = "…"


def build() -> None:
    """Write the pages, run what runs on them, and render all."""
    if not KATEX.exists():
        raise InputError(f"{KATEX}: KaTeX is not installed; `make site` installs it")
    for folder in (SOURCE, RUNS, OUT):
        shutil.rmtree(folder, ignore_errors=True)
    stage()
    run_pages()
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "2", "-b", "html", SOURCE, OUT]
    if subprocess.run(command).returncode:
        raise SystemExit("the site has warnings; see above")


# Sources


def stage() -> None:
    """Lay out all sources as Sphinx reads them."""
    shutil.copytree(PAGES, SOURCE)
    for name in TEXTS:
        shutil.copy(ROOT / name, SOURCE)
    shutil.copytree(DOCS, SOURCE / "docs", ignore=shutil.ignore_patterns("site"))
    (SOURCE / "models").mkdir()
    shutil.copy(MODELS / "README.md", SOURCE / "models")
    for pattern in ("katex.min.css", "katex.min.js", "fonts/*.woff2"):
        for path in KATEX.glob(pattern):
            copied = SOURCE / "_static" / "katex" / path.relative_to(KATEX)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copied)
    for path in (SOURCE / "docs").rglob("*.md"):
        text = BEYOND.sub(r"`\1`", path.read_text("utf-8")).replace("](site/", "](../")
        path.write_text(with_figures(text, path.parent), "utf-8")
    front = SOURCE / "index.md"
    front.write_text(re.sub(r"<!-- (\w+) -->", lambda part: readme()[part[1]], front.read_text("utf-8")), "utf-8")
    write_reference(SOURCE / "reference")


def readme() -> dict[str, str]:
    """What the README shows first, what it says that gridcloze is, how to install it, and how well it works."""
    first, *sections = (ROOT / "README.md").read_text("utf-8").split("\n## ")
    by_title = {section.partition("\n")[0]: f"## {section}" for section in sections}
    _, image, caption, about = first.split("\n\n", 3)
    return {
        "about": about,
        "image": f"{image}\n\n{caption}",
        "install": by_title["Install"],
        "works": by_title["Does it work?"],
    }


def with_figures(text: str, folder: Path) -> str:
    """Titles of images as captions, and dark pictures on dark pages.

    >>> print(with_figures('![A grid](a.png "One grid.")', Path()))
    ```{figure} a.png
    :alt: A grid
    <BLANKLINE>
    One grid.
    ```
    """

    def figure(found: re.Match[str]) -> str:
        alt, name, caption = found.groups()
        dark = Path(name).with_name(f"{Path(name).stem}-dark{Path(name).suffix}")
        if not (folder / dark).exists():
            return f"```{{figure}} {name}\n:alt: {alt}\n\n{caption}\n```"
        pair = ((name, "only-light"), (dark, "only-dark"))
        return "\n".join(
            f"```{{figure}} {one}\n:alt: {alt}\n:figclass: {shown}\n\n{caption}\n```" for one, shown in pair
        )

    return TITLED.sub(figure, text)


# Pages that run


def run_pages() -> None:
    """Run the blocks of all pages, as many pages at a time as there are cores; first those that train longest."""
    pages = [path for path in sorted(SOURCE.rglob("*.md")) if (PAGES / path.relative_to(SOURCE)).exists()]
    texts = {path: path.read_text("utf-8") for path in pages}
    minutes = {path: sum(map(float, LENGTH.findall(text))) for path, text in texts.items() if RUN_BLOCK.search(text)}
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(run_page, sorted(minutes, key=minutes.__getitem__, reverse=True)))


def run_page(path: Path) -> None:
    """Run the blocks of a page, and put what they print after them and the pictures that they draw next to it."""
    folder = RUNS / path.relative_to(SOURCE).with_suffix("")
    folder.mkdir(parents=True)
    for name in ("models", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    os.environ |= ENVIRONMENT
    names: dict[str, Any] = {}
    with contextlib.chdir(folder):
        text = RUN_BLOCK.sub(lambda block: with_output(block, path, names), path.read_text("utf-8"))
    pictures = SOURCE / "_runs" / folder.relative_to(RUNS)

    def picture(found: re.Match[str]) -> str:
        drawn = folder / found[2]
        if not drawn.exists():
            return found[0]
        copied = pictures / found[2]
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drawn, copied)
        return f"{found[1]}/{copied.relative_to(SOURCE)}"

    path.write_text(with_figures(IMAGE.sub(picture, text), path.parent), "utf-8")


def with_output(block: re.Match[str], path: Path, names: dict[str, Any]) -> str:
    """A block of a page, followed by what it prints."""
    language, status, code = block.groups()
    printed = in_shell(code, int(status or 0), path) if language == "sh" else in_python(code, names)
    return f"```{language}\n{code}```\n" + (
        f"\n```{{code-block}} text\n:class: output\n\n{printed}\n```\n" if printed else ""
    )


def in_shell(code: str, status: int, path: Path) -> str:
    """What commands print on both streams; `check` may find something."""
    command = ["bash", "-euo", "pipefail", "-c", code]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    if ran.returncode != status:
        raise InputError(f"{path}: exit status {ran.returncode} of\n{code}{ran.stdout}")
    return ran.stdout.rstrip()


def in_python(code: str, names: dict[str, Any]) -> str:
    """What Python prints, and the value of its last line as the prompt shows it."""
    tree, printed = ast.parse(code), io.StringIO()
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        exec(compile(tree, "page", "exec"), names)
        if last is not None and (value := eval(compile(ast.Expression(last.value), "page", "eval"), names)) is not None:
            print(repr(value))
    return printed.getvalue().rstrip()


# Reference


def write_reference(folder: Path) -> None:
    """Write the pages of the API of each public module, of messages and of the server."""
    (folder / "api").mkdir()
    rows = (f"| [`{name}`](api/{name}.md) | {summary_of(name)} |\n" for name in public_modules())
    index = folder / "api.md"
    table = "| module | what it has |\n|---|---|\n" + "".join(rows)
    index.write_text(index.read_text("utf-8").replace("<!-- modules -->\n", table), "utf-8")
    for name in public_modules():
        members = NAMES_OF_PACKAGES.get(name, "   :members:\n")
        text = f"# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n{members}```\n"
        (folder / "api" / f"{name}.md").write_text(text)
    (folder / "messages.md").write_text(messages_page())
    (folder / "rest.md").write_text(rest_page())


def public_modules() -> list[str]:
    """The modules that a program may import."""
    paths = sorted(PACKAGE.rglob("*.py"))
    parts = [path.relative_to(PACKAGE.parent).with_suffix("").parts for path in paths]
    return ["gridcloze", "gridcloze.priors"] + [
        ".".join(part) for part in parts if part[1] not in NOT_PUBLIC and part[-1] != "__init__"
    ]


def summary_of(module: str) -> str:
    """The first sentence of a module."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")[0].replace("\n", " ")


def messages() -> Iterator[tuple[str, str]]:
    """The module and the text of each error, warning and remark in the sources, with … where a value is put in."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree, module = ast.parse(path.read_text("utf-8")), path.relative_to(PACKAGE).with_suffix("").as_posix()
        of_module = named_texts(tree.body)
        yield from ((module, of_module[name]) for name in CONSTANTS & of_module.keys())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for function in functions:
            names = of_module | named_texts(ast.walk(function))
            for text in (text_of(node, names) for node in spoken(function)):
                if text.strip(f"{PLACE}:;() "):
                    yield module, text


def named_texts(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """The texts that assignments and defaults of parameters give to names."""
    found: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.arguments) and node.defaults:
            found |= {one.arg: text_of(value) for one, value in zip(node.args[::-1], node.defaults[::-1], strict=False)}
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, text = node.targets[0].id, text_of(node.value, found)
            found[name] = text if found.get(name, PLACE) == PLACE or text == PLACE else f"{found[name]} / {text}"
    return found


def spoken(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """The expressions in a function that become errors, warnings and remarks."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
            if name in SPEAKING or (name == "__init__" and isinstance(node.args[0], ast.JoinedStr)):
                yield node.args[0]
        elif isinstance(node, ast.Return) and node.value is not None and WARNING.search(function.name):
            yield from node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]


def text_of(node: ast.expr, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """The words of an expression that makes a text, where some names stand for texts.

    >>> text_of(ast.parse("f'{path}: no' + ' grid'", mode="eval").body)
    '…: no grid'
    """
    match node:
        case ast.Constant(value=str()):
            return re.sub(r"{[\w:.]*}", PLACE, node.value)
        case ast.Name() if node.id in names:
            return names[node.id]
        case ast.FormattedValue():
            return text_of(node.value, names)
        case ast.JoinedStr():
            return "".join(text_of(part, names) for part in node.values)
        case ast.BinOp(op=ast.Add()):
            return text_of(node.left, names) + text_of(node.right, names)
        case ast.BinOp(op=ast.Mult(), left=ast.Constant(value=str())):
            return f"({text_of(node.left)})"
        case ast.IfExp():
            return " / ".join(filter(None, (text_of(one, names) for one in (node.body, node.orelse))))
        case ast.Call(func=ast.Attribute(attr="format")):
            return text_of(node.func.value, names)
        case _:
            return PLACE


def messages_page() -> str:
    """All messages, where the page names their modules."""
    by_module: dict[str, set[str]] = {}
    for module, text in messages():
        by_module.setdefault(module, set()).add(" ".join(text.split()))

    def listed(modules: re.Match[str]) -> str:
        texts = set().union(*(by_module.pop(module) for module in modules[1].split()))
        return "".join(f"- `` {text} ``\n" for text in sorted(texts))

    page = OF_MODULES.sub(listed, (PAGES / "reference" / "_messages.md").read_text("utf-8"))
    if by_module:
        raise InputError(f"docs/site/reference/_messages.md does not say what to do in {', '.join(by_module)}")
    return page


def rest_page() -> str:
    """What each address of the server takes and answers, from its OpenAPI description."""
    app: Any = make_app([], Door(8765, "token")).app
    described = app.openapi()
    schemas = described["components"]["schemas"]
    sections = [(PAGES / "reference" / "_rest.md").read_text("utf-8")]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            sections.append(f"## {method.upper()} {path}\n\n{operation['summary']}.\n")
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
            for title, schema in (("Request", body), ("Answer", answer)):
                if name := schema.get("$ref", "").rpartition("/")[2]:
                    sections.append(keys_table(title, schemas.pop(name)))
    inside = [keys_table(name, schema) for name, schema in schemas.items() if "properties" in schema]
    return "\n".join([*sections, "## Objects in requests and answers\n", *inside])


def keys_table(title: str, schema: dict[str, Any]) -> str:
    rows = "".join(
        f"| `{key}` | {type_of(one)} | {one.get('description', '')} |\n" for key, one in schema["properties"].items()
    )
    return f"**{title}**\n\n| key | type | meaning |\n|---|---|---|\n{rows}"


def type_of(schema: dict[str, Any]) -> str:
    """The type of a key in words.

    >>> type_of({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]})
    'array of integer or null'
    """
    if "anyOf" in schema:
        return " or ".join(map(type_of, schema["anyOf"]))
    inside = f" of {type_of(schema['items'])}" if schema.get("items") else ""
    return (schema.get("type") or schema.get("$ref", "any").rpartition("/")[2]) + inside


if __name__ == "__main__":
    build()
