"""Every public name says what it takes, gives and raises, and shows an example that runs (as a doctest)."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "gridcloze"
SECTION = r"(?:^|\n){}\n-+\n(.*?)(?=\n\n[A-Z][a-z]+\n-+\n|\Z)"
Function = ast.FunctionDef | ast.AsyncFunctionDef


def section(text, name):
    """The body of a NumPy-style section, or None."""
    found = re.search(SECTION.format(name), text, re.DOTALL)
    return found and found[1]


def public_names():
    """Public functions and classes of the package, and public methods of public classes, with their owner."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module == "cli":
            continue  # its functions are commands: tests/test_cli.py holds that every option is documented
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                yield f"{module}.{node.name}", node, None
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                for inner in node.body:
                    if isinstance(inner, Function) and not inner.name.startswith("_"):
                        yield f"{module}.{node.name}.{inner.name}", inner, node


NAMES = {name: (node, owner) for name, node, owner in public_names()}


def parameters_of(node):
    """What a caller passes: parameters of a function, of a class's __init__, or the fields of a dataclass."""
    if isinstance(node, Function):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
        return [one.arg for one in every if one is not None and one.arg not in ("self", "cls")]
    init = next((one for one in node.body if isinstance(one, Function) and one.name == "__init__"), None)
    if init is not None:
        return parameters_of(init)
    fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
    return [
        one.target.id for one in fields if not one.target.id.startswith("_") and "init=False" not in ast.unparse(one)
    ]


def is_property(node):
    decorators = {ast.unparse(one).split(".")[-1] for one in node.decorator_list}
    return bool(decorators & {"property", "cached_property", "_Once"})


def overrides(node, owner):
    """Whether a method only points at what it implements."""
    return owner is not None and bool(re.search(r"\bSee `[\w.]+`", ast.get_docstring(node) or ""))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_documented(name):
    """A summary; each parameter with its meaning; what is returned; and for functions and classes an example."""
    node, owner = NAMES[name]
    text = ast.get_docstring(node) or ""
    assert text, "no docstring"
    summary = text.split("\n\n")[0]
    assert summary.endswith((".", ":")), "the docstring starts with a sentence"
    if overrides(node, owner):
        return
    parameters = parameters_of(node)
    if parameters:
        listed = section(text, "Parameters") or section(text, "Attributes") or ""
        missing = [one for one in parameters if not re.search(rf"^(\w+, )*\*{{0,2}}{one}\b", listed, re.MULTILINE)]
        assert not missing, f"parameters without a word: {missing}"
    if isinstance(node, Function) and not is_property(node):
        returns = ast.unparse(node.returns) if node.returns else "None"
        if returns not in ("None", "NoReturn"):
            assert section(text, "Returns") or section(text, "Yields"), "what it returns"
    raises = {"InputError", "ContradictionError"} & {
        getattr(one.exc.func, "id", "")
        for one in ast.walk(node)
        if isinstance(one, ast.Raise) and isinstance(one.exc, ast.Call)
    }
    if raises and isinstance(node, Function):
        assert section(text, "Raises"), "what it raises"
    if owner is None:
        assert ">>>" in (section(text, "Examples") or ""), "an example"
