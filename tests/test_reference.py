"""The reference in the documents: every option and every key of a report is in it, with a meaning, and no other."""

import contextlib
import io
import json
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import NotRequired, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np
import pytest

import reference
from gridcloze import checkpoint
from gridcloze.cli import app, main, root
from gridcloze.commands import export, score

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
FUNCTIONS = [root, *(command.callback for command in app.registered_commands)]
OPTIONS = {
    f"{function.__name__} {parameter.name}": declared
    for function in FUNCTIONS
    for declared, parameter, _ in reference.parameters(function)
}
REPORTS = reference.reports()


def test_the_pages_are_current():
    """docs/options.md and docs/json.md are what `make docs` writes."""
    assert reference.OPTIONS_PAGE.read_text() == reference.options_page()
    assert reference.JSON_PAGE.read_text() == reference.json_page()


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_has_a_help_text(option):
    """Each argument and option says in a sentence what it is."""
    assert OPTIONS[option].help.endswith(".")


@pytest.mark.parametrize(
    "command", [function.__name__ for function in FUNCTIONS if f"{function.__name__} as_json" in OPTIONS]
)
def test_every_command_with_json_has_a_documented_report(command):
    """A command that prints JSON has a section that says what its keys mean."""
    assert f"## gridcloze {command}\n" in reference.json_page()


def test_a_key_without_a_meaning_is_refused():
    """The page cannot be written while a key has no meaning."""

    class Report(TypedDict):
        """A report.

        Attributes
        ----------
        one
            A number.
        """

        one: int
        other: int

    with pytest.raises(KeyError, match="other"):
        list(reference.documented_keys(Report))


class Inner(TypedDict):
    """An object.

    Attributes
    ----------
    row, column
        Where it is,
        from 0.
    """

    row: int
    column: int


class Outer(TypedDict):
    """What the generator must be able to read.

    Parameters
    ----------
    some : list
        Several.
    by_name
        By name.
    one
        One or none.
    """

    some: NotRequired[list[Inner]]
    by_name: dict[str, list[float | None]]
    one: Inner | None


def test_keys_are_read_from_the_types_and_their_docstrings(monkeypatch):
    """Keys of nested objects stand after the key that holds them, with types as JSON has them."""
    monkeypatch.setattr(reference, "_has_a_section", lambda kind: False)
    assert list(reference.documented_keys(Outer)) == [
        ("some", "array of objects", "Several."),
        ("some[].row", "integer", "Where it is, from 0."),
        ("some[].column", "integer", "Where it is, from 0."),
        ("by_name", "object of arrays of numbers or nulls", "By name."),
        ("one", "object or null", "One or none."),
        ("one.row", "integer", "Where it is, from 0."),
        ("one.column", "integer", "Where it is, from 0."),
    ]


def mismatches(value, kind, path=""):
    """What in a value is not as its type says: keys that are missing or not documented, and values of other types."""
    if is_typeddict(kind) and isinstance(value, dict):
        hints = get_type_hints(kind)
        yield from (f"{path}.{key} missing" for key in kind.__required_keys__ - value.keys())
        yield from (f"{path}.{key} not documented" for key in value.keys() - hints.keys())
        for key in value.keys() & hints.keys():
            yield from mismatches(value[key], hints[key], f"{path}.{key}")
    elif get_origin(kind) is UnionType:
        found = [list(mismatches(value, one, path)) for one in get_args(kind)]
        yield from () if [] in found else found[0]
    elif get_origin(kind) is list:
        for item in value:
            yield from mismatches(item, get_args(kind)[0], f"{path}[]")
    elif get_origin(kind) is dict:
        for name, item in value.items():
            yield from mismatches(item, get_args(kind)[1], f"{path}.{name}")
    elif (is_typeddict(kind) or kind in (str, int, float, bool, NoneType)) and type(value) is not kind:
        yield f"{path} is {value!r}"


def test_a_report_that_is_not_as_documented_is_found():
    """Keys that are missing or not documented are named, at any depth, and values of another type."""
    assert list(mismatches({"by_name": {"a": [1.5, None]}, "one": None}, Outer)) == []
    wrong = {"some": [{"row": 1, "col": 2}], "by_name": {"a": ["1"]}}
    assert sorted(mismatches(wrong, Outer)) == [
        ".by_name.a[] is '1'",
        ".one missing",
        ".some[].col not documented",
        ".some[].column missing",
    ]


def printed(*arguments):
    """What a command prints as JSON."""
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(io.StringIO()) as out:
        patched.setattr(sys, "argv", ["gridcloze", *arguments, "--json"])
        with pytest.raises(SystemExit):
            main()
    return json.loads(out.getvalue())


@pytest.fixture(scope="module")
def real_reports(tmp_path_factory):
    """Reports of every command but fill, from small grids; that of `compare` from the results of the article."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("reports"))
        patched.setattr(score, "OPEN_PUZZLE_SAMPLES", 5)
        size = ("--height", "4", "--width", "4", "--largest", "3", "--scale", "1")
        toy = printed("toy", "squares", "-o", "grids", "-n", "12", "--puzzles", "1", *size)
        train = printed("train", "grids", "-o", "model.safetensors", "--steps", "1", "--depth", "1")
        np.save("puzzle.npy", [[1, 1, -1, 0], [1, -1, 1, 0], [-1, 1, 1, 0], [0, 0, 0, -1]])
        scored = ("model.safetensors", "grids", "--examples", "grids", "--sampled-grids", "1")
        compared = json.loads((RESULTS / "why-compare.json").read_text())
        patched.setattr(checkpoint, "export", lambda path, predictor: path.write_bytes(b"onnx"))
        return {
            "toy": toy,
            "train": train,
            "export": export.export(Path("model.safetensors"), Path("model.onnx")),
            "check": printed("check", "model.safetensors", "puzzle.npy", "--threshold", "1"),
            "explain": printed("explain", "model.safetensors", "puzzle.npy", "--prior", "grids/prior.json"),
            "score": printed("score", *scored),
            "compare": {key: compared[key] for key in ("plan", "version", "priors")},  # the rest is the benchmark's
            "info": printed("info", "model.safetensors"),
        }


@pytest.mark.parametrize("command", ["toy", "train", "export", "check", "explain", "score", "compare", "info"])
def test_reports_have_the_documented_keys(command, real_reports):
    """What a command really reports has the keys that the page names, and values of the types it names."""
    assert list(mismatches(real_reports[command], REPORTS[command])) == []


def test_keys_that_may_be_missing_are_there_when_they_should_be(real_reports):
    """Hidden cells give a cell to look at, a prior gives the exact posterior, and samples their scores."""
    assert real_reports["check"]["surprises"]
    assert "look_next" in real_reports["check"]
    assert "influence_of_model_and_exact" in real_reports["explain"]
    assert all("exact" in influence for influence in real_reports["explain"]["influences"])
    of_scores = get_type_hints(get_args(get_type_hints(REPORTS["score"])["scores"])[1])
    assert real_reports["score"]["scores"]["model"].keys() == of_scores.keys()
    assert list(real_reports["score"]["scores"]) == [
        "model",
        "uncalibrated",
        "exact",
        "lookup",
        "nearest cell",
        "neighbour table",
    ]
