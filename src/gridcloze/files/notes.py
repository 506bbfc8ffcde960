"""Notes in files, such as the header of a model: JSON that somebody may have changed, checked by a table."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

from ..words import InputError

Test = Callable[[Any], bool]
Form = dict[str, Any] | Test
"""A test of a value, or the forms of the entries of an object; a key that ends in "?" may be missing."""


def whole(least: int, most: int) -> Test:
    """Make the form of a whole number.

    Parameters
    ----------
    least, most
        The range of the number.

    Returns
    -------
    Test
        It passes what has the form, which no bool has.

    Examples
    --------
    >>> whole(0, 9)(7), whole(0, 9)(True), whole(0, 9)(7.0)
    (True, False, False)
    """
    return lambda value: type(value) is int and least <= value <= most


def number(least: int | float, most: int | float) -> Test:
    """Make the form of a number.

    Parameters
    ----------
    least, most
        The range of the number.

    Returns
    -------
    Test
        It passes what has the form, which neither a bool nor NaN has.

    Examples
    --------
    >>> number(0, 1)(0.5), number(0, 1)(2), number(0, 1)(float("nan"))
    (True, False, False)
    """
    return lambda value: type(value) in (int, float) and least <= value <= most


def text(pattern: str = "(?s).*") -> Test:
    """Make the form of a text.

    Parameters
    ----------
    pattern
        A regular expression that all of it matches.

    Returns
    -------
    Test
        It passes what has the form.

    Examples
    --------
    >>> text("[0-9a-f]{64}")("c0ffee")
    False
    """
    return lambda value: type(value) is str and re.fullmatch(pattern, value) is not None


def listed(form: Form, least: int = 0) -> Test:
    """Make the form of a list.

    Parameters
    ----------
    form
        Of each entry.
    least
        How many entries there are at least.

    Returns
    -------
    Test
        It passes what has the form.

    Examples
    --------
    >>> listed(number(0, 1))([0, 0.5]), listed(number(0, 1), least=3)([0, 0.5])
    (True, False)
    """

    def fits(value: Any) -> bool:
        return type(value) is list and len(value) >= least and all(_fault(each, form) is None for each in value)

    return fits


def one_of(*choices: Any) -> Test:
    """Make the form of a value that is one of several.

    Parameters
    ----------
    *choices
        Values, or tests.

    Returns
    -------
    Test
        It distinguishes 1 from 1.0 and True.

    Examples
    --------
    >>> one_of(None, number(0, 9))(None), one_of("none", "all")("some")
    (True, False)
    """

    def fits(value: Any) -> bool:
        return any(
            bool(choice(value)) if callable(choice) else type(value) is type(choice) and value == choice
            for choice in choices
        )

    return fits


def parse_note(note: str | bytes) -> Any:
    """Read JSON that came from a file.

    Parameters
    ----------
    note
        The text.

    Returns
    -------
    Any
        What it says; None for a number that is not finite.

    Raises
    ------
    InputError
        If it is no JSON, is nested too deeply or has a key twice.

    Examples
    --------
    >>> parse_note('{"seed": 0, "score": NaN}')
    {'seed': 0, 'score': None}
    >>> parse_note('{"seed": 0, "seed": 1}')
    Traceback (most recent call last):
    gridcloze.words.InputError: its note is no JSON: 'seed' is there twice
    """
    try:
        return json.loads(note, parse_constant=lambda _: None, parse_float=_finite, object_pairs_hook=_distinct)
    except RecursionError:
        raise InputError("its note is nested too deeply") from None
    except ValueError as error:  # also for bytes that are no text, and numbers of thousands of digits
        raise InputError(f"its note is no JSON: {error}") from None


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return values


def check_note(value: Any, form: Form) -> None:
    """Check that a note has a form.

    Parameters
    ----------
    value
        What `parse_note` returned.
    form
        What it must be.

    Raises
    ------
    InputError
        If an entry is missing, unknown or of another form; names it. An object with the form {"...": …} may have
        further entries.

    Examples
    --------
    >>> form = {"sizes": {"height": whole(1, 99), "width?": whole(1, 99)}}
    >>> check_note({"sizes": {"height": 4}}, form)
    >>> check_note({"sizes": {"height": "4"}}, form)
    Traceback (most recent call last):
    gridcloze.words.InputError: sizes.height in its note does not fit
    """
    fault = _fault(value, form)
    if fault is not None:
        raise InputError(f"{fault} in its note does not fit" if fault else "its note does not fit")


def _fault(value: Any, form: Form) -> str | None:
    """The name of the first entry that does not fit, "" for the value itself; None if all fit."""
    if callable(form):
        return None if form(value) else ""
    if type(value) is not dict:
        return ""
    forms = {key.removesuffix("?"): inner for key, inner in form.items()}
    for key in form:
        if not key.endswith("?") and key not in value and key != "...":
            return key
    for key, entry in value.items():
        inner = forms.get(key, forms.get("..."))
        fault = "" if inner is None else _fault(entry, inner)
        if fault is not None:
            return f"{key}.{fault}" if fault else key
    return None
