"""Writes docs/options.md and docs/json.md from the program: the options of every command, and the keys of its report.

It stands with the other scripts that write documents. `make docs` runs it, and a test holds that both pages are
current.
"""

import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from typer.models import ArgumentInfo, CommandInfo, OptionInfo

import gridcloze.commands
from common import DOCS
from gridcloze.cli import app, root
from gridcloze.studio.schemas import meanings

OPTIONS_PAGE, JSON_PAGE = DOCS / "options.md", DOCS / "json.md"
ABOUT_OPTIONS = """# Options of the commands

<!-- written by `make docs` -->

`gridcloze COMMAND --help` shows the same. [json.md](json.md) has the keys of what `--json` prints.

Exit status: 0 for done, 1 if `check` found an implausible cell, 2 for bad input (with one line on stderr that says what
is wrong), 70 for a bug of gridcloze, 130 if Ctrl-C stopped the command, 141 if nobody reads its output any more.
"""
ABOUT_JSON = """# JSON keys of the reports

<!-- written by `make docs` -->

With `--json` a command prints its report on stdout as one JSON value; progress and warnings go to stderr. `fill`
prints an array with one report for each input file, and writes each report into the folder of the results as well;
`models` prints an array with one report for each model;
`compare` writes its report as compare.json. In the names of keys, `[]` stands for each item of an array, and `NAME` for
the keys of an object that are named in the text. Rows and columns count from 0. A number that
is not finite, or was not measured, is null.
"""
HEADING = "| argument or option | default | meaning |\n|---|---|---|\n"
JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null", dict: "object"}


# options


def options_page() -> str:
    """A section for each command: what it does, its arguments and options, and examples."""
    of_root = f"## gridcloze\n\n{app.info.help}\n\n```\ngridcloze [OPTIONS] COMMAND [ARGS]...\n```\n\n{HEADING}"
    sections = [of_root + "".join(_option_rows(root)) + HELP_ROW]
    return "\n".join([ABOUT_OPTIONS, *sections, *(_command_section(command) for command in app.registered_commands)])


HELP_ROW = "| `-h`, `--help` |  | Show the help and exit. |\n"


def parameters(function: Any) -> Iterator[tuple[ArgumentInfo | OptionInfo, inspect.Parameter, Any]]:
    """The arguments and options of a command: how they are declared, and with which default and type."""
    hints = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        kind, declared = get_args(hints[parameter.name])
        yield declared, parameter, kind


def _command_section(command: CommandInfo) -> str:
    function: Any = command.callback
    rows = list(_option_rows(function))
    arguments = [_name(*one) for one in parameters(function) if isinstance(one[0], ArgumentInfo)]
    usage = " ".join(["gridcloze", function.__name__, "[OPTIONS]", *arguments])
    examples = re.sub(r"\[/?\w+\]", "", str(command.epilog)).removeprefix("Examples:\n\n")
    return "\n".join(
        [
            f"## gridcloze {function.__name__}\n",
            f"{_wrapped(str(command.help))}\n",
            f"```\n{usage}\n```\n",
            HEADING + "".join(rows),
            f"```sh\n{examples}\n```\n",
        ]
    )


def _wrapped(text: str) -> str:
    return "\n\n".join(textwrap.fill(paragraph, 120) for paragraph in text.split("\n\n"))


def _option_rows(function: Any) -> Iterator[str]:
    """Arguments first, as in the help."""
    for declared, parameter, kind in sorted(parameters(function), key=lambda one: isinstance(one[0], OptionInfo)):
        required = parameter.default is inspect.Parameter.empty
        no_default = parameter.default is None or parameter.default is False
        default = "required" if required else "" if no_default else f"`{parameter.default}`"
        names = ", ".join(f"`{name}`" for name in _name(declared, parameter, kind).split(", "))
        yield f"| {names} | {default} | {declared.help}{_least(declared)} |\n"


def _name(declared: ArgumentInfo | OptionInfo, parameter: inspect.Parameter, kind: Any) -> str:
    if isinstance(declared, ArgumentInfo):
        return f"{declared.metavar}..." if get_origin(kind) is list else str(declared.metavar)
    value = "{" + ",".join(get_args(kind)) + "}" if get_origin(kind) is Literal else declared.metavar
    first = [declared.default] if isinstance(declared.default, str) else []  # where `Annotated` leaves a name
    names = [*first, *(declared.param_decls or ())] or [f"--{parameter.name.replace('_', '-')}"]
    return ", ".join(names) + f" {value}" * bool(value)


def _least(declared: ArgumentInfo | OptionInfo) -> str:
    return "" if declared.min is None else f" At least {declared.min}."


# JSON


def json_page() -> str:
    """A section for each command that has a report, and for each part that several share: keys, types, meanings."""
    sections = {f"gridcloze {command}": report for command, report in reports().items()}
    for report in reports().values():
        sections |= {kind.__name__: kind for kind in get_type_hints(report).values() if _has_a_section(kind)}
    return "\n".join([ABOUT_JSON, *(_keys_section(title, kind) for title, kind in sections.items())])


def reports() -> dict[str, type]:
    """The report of each command: the TypedDict in its module whose name ends in Report, in the order of the help."""
    found = {}
    for module_info in pkgutil.iter_modules(gridcloze.commands.__path__):
        module = importlib.import_module(f"gridcloze.commands.{module_info.name}")
        for name, value in vars(module).items():
            if name.endswith("Report") and is_typeddict(value) and value.__module__ == module.__name__:
                found[module_info.name] = value
    order: list[Any] = [command.callback.__name__ for command in app.registered_commands if command.callback]
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def _keys_section(title: str, kind: type) -> str:
    summary = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
    rows = "".join(f"| `{key}` | {of_key} | {meaning} |\n" for key, of_key, meaning in documented_keys(kind))
    return f"## {title}\n\n{summary}\n\n| key | type | meaning |\n|---|---|---|\n{rows}"


def documented_keys(report: type, before: str = "") -> Iterator[tuple[str, str, str]]:
    """The path of each key, its type in JSON and its meaning; after a key those of the objects in it."""
    described = meanings(report)
    for key, kind in get_type_hints(report).items():
        yield before + key, json_type(kind), described[key]
        path, inside = _typed_dict_in(kind, before + key)
        if inside is not None:
            yield from documented_keys(inside, f"{path}.")


def _typed_dict_in(kind: Any, path: str) -> tuple[str, type | None]:
    """The TypedDict that a key holds, alone or in arrays and objects, and the path of its keys."""
    if is_typeddict(kind):
        return path, None if _has_a_section(kind) else kind
    if get_origin(kind) is list:
        return _typed_dict_in(get_args(kind)[0], f"{path}[]")
    if get_origin(kind) is dict:
        return _typed_dict_in(get_args(kind)[1], f"{path}.NAME")
    if get_origin(kind) in (Union, UnionType):
        return next((_typed_dict_in(one, path) for one in get_args(kind) if one is not NoneType), (path, None))
    return path, None


def json_type(kind: Any) -> str:
    """A type as JSON has it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(json_type, arguments))
    if origin is Literal:
        return " or ".join(f'"{value}"' for value in arguments)
    if origin in (list, tuple):
        return f"array of {_plural(json_type(arguments[0]))}"
    if origin is dict:
        inside = json_type(arguments[1])
        return "object" if inside == "any" else f"object of {_plural(inside)}"
    if is_typeddict(kind):
        return f"[{kind.__name__}](#{kind.__name__.lower()})" if _has_a_section(kind) else "object"
    return JSON_TYPES.get(kind, "any")


def _plural(words: str) -> str:
    return re.sub(rf"\b({'|'.join(JSON_TYPES.values())}|array)\b", r"\1s", words)


def _has_a_section(kind: Any) -> bool:
    """Public parts of reports, which several of them share, have a section of their own."""
    return is_typeddict(kind) and not kind.__name__.startswith("_")


if __name__ == "__main__":
    OPTIONS_PAGE.write_text(options_page())
    JSON_PAGE.write_text(json_page())
