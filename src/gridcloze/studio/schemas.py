"""What is asked of the server and what it answers, as types from which its OpenAPI description follows."""

import inspect
import re
from collections.abc import Callable
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Any, Literal, NotRequired, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel, ConfigDict, Field, create_model

from ..checking import THRESHOLD
from ..commands.check import CheckReport
from ..commands.explain import ExplainReport

Rows = list[list[int]]  # of a grid
Numbers = list[list[float | None]]  # a number for each cell


def meanings(kind: type) -> dict[str, str]:
    """Read what the docstring of a class says of each key.

    Parameters
    ----------
    kind
        A class with a section Attributes or Parameters.

    Returns
    -------
    dict
        The text of each key, in one line.

    Examples
    --------
    >>> meanings(Pass)["symbols"]
    'The symbol of each.'
    """
    described: dict[str, str] = {}
    text = inspect.cleandoc(kind.__doc__ or "")
    section = re.search(r"^(?:Attributes|Parameters)\n-+\n(.*?)(?=\n\n\S+\n-+\n|\Z)", text, re.DOTALL | re.MULTILINE)
    for names, meaning in re.findall(r"^(\S[^\n]*)\n((?: +[^\n]+\n?)+)", section[1] + "\n" if section else "", re.M):
        for name in names.split(":")[0].split(","):
            described[name.strip()] = " ".join(meaning.split())
    return described


def _describe(schema: dict[str, Any], kind: type) -> None:
    """Put the meanings of keys, and the summary of the class, into a schema."""
    schema["description"] = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
    for one in reversed(kind.__mro__):
        for key, meaning in meanings(one).items():
            schema.get("properties", {}).get(key, {})["description"] = meaning


# Requests


class GridRequest(BaseModel):
    """A grid to answer.

    Attributes
    ----------
    cells
        The symbols, row by row; -1 where a cell is hidden.
    side
        For a model with side maps: the number of each of them at each cell, null where unknown; or "none" if all are
        unknown everywhere.

    Examples
    --------
    >>> GridRequest(cells=[[0, -1]]).cells
    [[0, -1]]
    """

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_describe)
    cells: Rows
    side: Literal["none"] | list[list[list[float | None]]] | None = None


class MarginalsRequest(GridRequest):
    """A grid whose hidden cells are to be predicted.

    Attributes
    ----------
    seed
        Seed of the random numbers: the same seed gives the same result.
    allow
        Which symbols hidden cells may take: names, characters or values with commas between them, such as
        'water, forest' or 'not water'; or for each cell and symbol a boolean or a likelihood 0 … 1.

    Examples
    --------
    >>> MarginalsRequest(cells=[[-1]], allow="not white").seed
    0
    """

    seed: int = Field(0, ge=0)
    allow: str | list[list[list[bool]]] | list[list[list[float]]] | None = None


class SampleRequest(MarginalsRequest):
    """A grid of which joint samples are to be drawn.

    Attributes
    ----------
    samples
        Number of joint samples.
    order
        Order in which cells are filled: weighted, random, uncertain, certain, margin or spread. By default it depends
        on the size of the grids.
    budget_bits
        Information in bits that a forward pass may lose by revealing several cells together.
    refine
        Rounds in which finished samples are drawn again, cell by cell given all others, which removes single cells that
        do not fit. Refined samples have no log-probability.

    Examples
    --------
    >>> SampleRequest(cells=[[-1]]).samples
    1
    """

    samples: int = Field(1, ge=1)
    order: str | None = None
    budget_bits: float | None = None
    refine: int = Field(0, ge=0)


class FillRequest(SampleRequest):
    """A grid to fill.

    Attributes
    ----------
    samples
        Number of joint samples, as well as the most likely fill.
    typical
        Fill with the most typical of the samples, or of eight, instead of the most likely grid.

    Examples
    --------
    >>> FillRequest(cells=[[-1]]).samples
    0
    """

    samples: int = Field(0, ge=0)
    typical: bool = False


class CheckRequest(GridRequest):
    """A grid to check.

    Attributes
    ----------
    threshold
        Probability given the rest below which a visible cell is surprising.
    input
        Name of the grid, which the answer repeats.

    Examples
    --------
    >>> CheckRequest(cells=[[0]]).threshold
    0.01
    """

    threshold: float = THRESHOLD
    input: str = ""


class ExplainRequest(GridRequest):
    """A grid of which a hidden cell is to be explained.

    Attributes
    ----------
    cell
        Row and column of a hidden cell, from 0, as in "4,7"; if not given, the most uncertain one.
    input
        Name of the grid, which the answer repeats.

    Examples
    --------
    >>> ExplainRequest(cells=[[-1]], cell="0,0").cell
    '0,0'
    """

    cell: str | None = None
    input: str = ""


# Answers


class Problem(TypedDict):
    """Why there is no answer.

    Attributes
    ----------
    error
        One line that says what is wrong, and what to do.

    Examples
    --------
    >>> Problem(error="the grid has no cells")
    {'error': 'the grid has no cells'}
    """

    error: str


class Symbol(TypedDict):
    """What a cell can be.

    Attributes
    ----------
    name
        Its name in the palette, or its colour or character.
    character
        What stands for it in text files.
    colour
        Its colour, as #rrggbb.

    Examples
    --------
    >>> sorted(Symbol.__required_keys__)
    ['character', 'colour', 'name']
    """

    name: str
    character: str
    colour: str


class ModelEntry(TypedDict):
    """A model that the server has.

    Attributes
    ----------
    id
        What stands for it in addresses.
    name
        Name of its file, without the ending.
    model
        Hash of the model: SHA-256, in hexadecimal digits.
    height, width
        Size of the grids or windows that it was trained on, in cells.
    symbols
        What a cell can be, in the order of the numbers in grids.
    window
        Height and width of the windows through which it fills larger grids; null if it learned from whole grids.
    prior
        The prior of its grids, if its exact posterior is known, as in "squares 16x16 3..12"; otherwise null.
    side
        The names of its side maps, in order.
    side_classes
        The values that each of these had in the examples; none for a map of numbers.
    training
        Record of the training, as `gridcloze info --json` prints it.

    Examples
    --------
    >>> "window" in ModelEntry.__required_keys__
    True
    """

    id: str
    name: str
    model: str
    height: int
    width: int
    symbols: list[Symbol]
    window: list[int] | None
    prior: str | None
    side: list[str]
    side_classes: list[list[float]]
    training: dict[str, Any]


class ModelList(TypedDict):
    """The models that the server has.

    Attributes
    ----------
    models
        In the order of the command line.

    Examples
    --------
    >>> ModelList(models=[])
    {'models': []}
    """

    models: list[ModelEntry]


class Pass(TypedDict):
    """What a forward pass revealed.

    Attributes
    ----------
    revealed
        Hidden cells, as numbers that count row by row from 0.
    symbols
        The symbol of each.
    bits
        Log-probability (base 2) of what the pass revealed; those of all passes add up to that of the whole. Null for a
        refined sample, whose passes reveal cells again.

    Examples
    --------
    >>> sorted(Pass.__required_keys__)
    ['bits', 'revealed', 'symbols']
    """

    revealed: list[int]
    symbols: list[int]
    bits: float | None


class Head(TypedDict):
    """What answers to puzzles begin with.

    Attributes
    ----------
    model
        Hash of the model.
    version
        Version of gridcloze.
    seed
        Seed of the random numbers.
    hidden_cells
        How many cells were hidden.
    warnings
        Lines on what is odd, as those of `gridcloze fill`.

    Examples
    --------
    >>> "seed" in MarginalsAnswer.__required_keys__
    True
    """

    model: str
    version: str
    seed: int
    hidden_cells: int
    warnings: list[str]


class MarginalsAnswer(Head):
    """How probable each symbol is at each cell.

    Attributes
    ----------
    marginals
        Probability of each symbol at each cell, (height, width, symbol): float32 numbers; a visible cell has its own
        with probability 1.
    exact
        The same by the exact posterior, if the prior is known, `allow` is not given and the grid is one of the prior.

    Examples
    --------
    >>> MarginalsAnswer.__optional_keys__
    frozenset({'exact'})
    """

    marginals: list[list[list[float]]]
    exact: NotRequired[list[list[list[float]]]]


class SampleAnswer(Head):
    """Joint samples of the hidden cells.

    Attributes
    ----------
    samples
        Whole grids, (sample, height, width).
    log2_probability
        Log-probability (base 2) of what was filled in, of each sample; null if it is infinite, and for refined
        samples.
    passes
        In which order cells were revealed, of each sample; no passes if the grid is larger than the model's window.
    passes_per_sample
        Forward passes for a sample, on average.

    Examples
    --------
    >>> "passes" in SampleAnswer.__required_keys__
    True
    """

    samples: list[Rows]
    log2_probability: list[float | None]
    passes: list[list[Pass]]
    passes_per_sample: float


class FillAnswer(Head):
    """A grid without hidden cells, with probabilities and samples.

    Attributes
    ----------
    kind
        What the fill is: likely for the most likely grid, typical for the most typical sample.
    fill
        The whole grid, (height, width).
    log_prob_bits
        Log-probability (base 2) of what was filled in, as `gridcloze fill --json` prints it, with six decimals.
    log2_probability
        The same with all digits; null if it is infinite, and for a refined sample.
    passes
        In which order cells were revealed; none if the grid is larger than the model's window.
    passes_per_sample
        Forward passes for a sample, on average; if no sample was asked for, those for the fill.
    samples
        The joint samples that were asked for, (sample, height, width).
    marginals
        Probability of each symbol at each cell, (height, width, symbol): float32 numbers.

    Examples
    --------
    >>> "marginals" in FillAnswer.__required_keys__
    True
    """

    kind: str
    fill: Rows
    log_prob_bits: float | None
    log2_probability: float | None
    passes: list[Pass]
    passes_per_sample: float
    samples: list[Rows]
    marginals: list[list[list[float]]]


class CheckAnswer(CheckReport):
    """What `gridcloze check` finds in a grid.

    Attributes
    ----------
    information
        What each hidden cell would tell about the others, in bits, (height, width); null at visible cells.

    Examples
    --------
    >>> "information" in CheckAnswer.__required_keys__
    True
    """

    information: Numbers


class InfluenceMaps(TypedDict):
    """Influence of each visible cell, (height, width): null at hidden cells.

    Attributes
    ----------
    hide
        Total variation between the distributions before and after the cell is hidden, 0 to 1.
    flip
        The same for its most influential other symbol; null where the other cells rule every other symbol out.

    Examples
    --------
    >>> sorted(InfluenceMaps.__required_keys__)
    ['flip', 'hide']
    """

    hide: Numbers
    flip: Numbers


class ExplainAnswer(ExplainReport):
    """What explains the distribution of a hidden cell.

    Attributes
    ----------
    influence
        Influence of each visible cell on the cell, by the model.
    attention_weights
        Attention of the cell, (layer, head, height, width): sums to 1 over the grid; null if the model has none.

    Examples
    --------
    >>> "influence" in ExplainAnswer.__required_keys__
    True
    """

    influence: InfluenceMaps
    attention_weights: list[list[list[list[float]]]] | None


class AttentionAnswer(TypedDict):
    """Where the heads look.

    Attributes
    ----------
    patch
        Side of a patch, in cells.
    patches
        Rows and columns of patches, which are numbered row by row.
    weights
        Weight of each key patch for each query patch, (layer, head, query, key): sums to 1 over the keys.

    Examples
    --------
    >>> "patch" in AttentionAnswer.__required_keys__
    True
    """

    patch: int
    patches: list[int]
    weights: list[list[list[list[float]]]]


@cache
def model_of(kind: Any) -> Any:
    """Make pydantic's model of a TypedDict, whose schema has the meanings in docstrings.

    Parameters
    ----------
    kind
        A TypedDict, alone or in lists, dictionaries and unions; anything else stays as it is.

    Returns
    -------
    type
        For FastAPI; pydantic takes the TypedDict of `typing` only from Python 3.12 on.

    Examples
    --------
    >>> model_of(ModelList).model_json_schema()["properties"]["models"]["description"]
    'In the order of the command line.'
    """
    if get_origin(kind) is UnionType:
        return reduce(or_, map(model_of, get_args(kind)))
    if get_origin(kind) in (list, dict):
        return get_origin(kind)[tuple(map(model_of, get_args(kind)))]
    if not is_typeddict(kind):
        return kind
    described = {key: text for one in (*_bases(kind), kind) for key, text in meanings(one).items()}
    fields: dict[str, Any] = {}
    for key, hint in get_type_hints(kind).items():
        if key in kind.__required_keys__:
            fields[key] = model_of(hint), Field(description=described[key])
        else:
            fields[key] = model_of(hint), Field(None, description=described[key], json_schema_extra=_without_default)
    summary = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
    make: Callable[..., Any] = create_model
    return make(kind.__name__.strip("_"), __config__=ConfigDict(extra="forbid"), __doc__=summary, **fields)


def _bases(kind: Any) -> list[Any]:
    """What an answer adds keys to, which a TypedDict does not remember."""
    return [
        one for one in (Head, CheckReport, ExplainReport) if one.__annotations__.items() <= kind.__annotations__.items()
    ]


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)  # the key is missing, and never null
