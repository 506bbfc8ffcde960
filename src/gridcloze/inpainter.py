"""The front door in Python, with the conventions of scikit-learn."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from numbers import Integral, Real
from pathlib import Path
from typing import Any, cast, get_args, no_type_check

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from . import checking, checkpoint, filling, scoring
from .answers import Answers, Kind, fill
from .bert import BertConfig
from .curve import Curve
from .decoding import MOST_ROUNDS, refining
from .files import html
from .files.arrays import nodata_of, stacked
from .files.codes import STACK_AXES, class_palette, content_of
from .files.paths import refuse_replacing
from .learning import learn
from .priors.directions import direction_warning
from .priors.examples import Examples, Symmetries
from .priors.hiding import evaluation_hiding
from .priors.windows import Windows
from .puzzles import Puzzles
from .side import SideMaps, as_side, check_names, of_rows, with_side
from .training import Budget, Progress
from .words import HIDDEN, AnyPath, InputError, about

LARGEST_SEED = 2**64 - 1  # that torch takes
LONGEST = 1e9  # training, in minutes
SYMMETRIES = get_args(Symmetries)


class ContradictionWarning(UserWarning):
    """Some visible cells contradict the others: they were kept, and the rest was filled as if they were not known.

    Examples
    --------
    >>> issubclass(ContradictionWarning, UserWarning)
    True
    """


class Inpainter(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Learn from example grids, fill the hidden cells of others, and say how probable everything is.

    Grids are integers (n, height, width); -1, NaN and masked values are hidden cells. Up to 256 whole numbers from 0 on
    can be symbols: those of the examples are learned. A single grid (height, width) is answered without the leading
    axis, and a list of grids of different sizes with a list. For pipelines and tables, an estimator fitted on an array
    of two dimensions takes each row as one grid; with `windows` and without `grid_shape`, such an array is one large
    grid to learn from. Answers are those of the command `gridcloze fill` to the same question with `--seed` set to
    `random_state`.

    Parameters
    ----------
    minutes : float, optional
        Length of the training. Not used if `steps` are given. Without both it ends by itself, after an hour at most.
    steps : int, optional
        Length in steps instead, which can be repeated exactly.
    depth : int
        Layers of the model; all its other sizes follow.
    grid_shape : (height, width), optional
        Of the grid in each row, if `fit` gets an array of two dimensions. By default (1, columns).
    random_state : int, RandomState instance or None
        All random numbers follow from it. An int makes `fit` and the answers repeatable. From a RandomState instance,
        or NumPy's global one if None, `fit` draws the seed `random_state_`.
    windows : int, optional
        Window size in cells: learn from windows at random places of large grids instead of from whole grids; then
        grids of any size can be filled.
    symmetries : {"none", "across", "along", "mirrors", "turns", "all"}
        Under which grids are equally likely: mirrored left to right, mirrored top to bottom, both, turned, or all. If
        the examples look as if they were not, `fit` issues a UserWarning.
    verbose : int
        With 1, `fit` prints what it learns from, and a line on its progress for each tenth.

    Attributes
    ----------
    symbols_ : array
        The symbols of the examples, in order.
    grid_shape_ : (height, width)
        Of the examples, in cells; of a window, if it learned from windows of large grids.
    random_state_ : int
        The seed of the training.
    predictor_ : Predictor
        The model.
    n_features_in_ : int
        Cells of a grid.

    Raises
    ------
    InputError
        A ValueError: from `fit`, for parameters that are none; from all methods, for what are no grids and for symbols
        that no example has. Before `fit` they raise scikit-learn's NotFittedError.

    Examples
    --------
    >>> from gridcloze import priors
    >>> grids = priors.squares(5, 5, 2, 4).sample(40, np.random.default_rng(0))
    >>> model = Inpainter(steps=2, depth=1).fit(grids)
    >>> puzzle = grids[0].copy()
    >>> puzzle[1:4, 1:4] = -1
    >>> model.fill(puzzle).shape, model.sample(puzzle, n=3).shape, model.predict_proba(puzzle).shape
    ((5, 5), (3, 5, 5), (5, 5, 2))
    """

    @no_type_check  # by convention anything can be set, and fit complains
    def __init__(
        self,
        minutes: float | None = None,
        steps: int | None = None,
        depth: int = BertConfig.depth,
        grid_shape: tuple[int, int] | None = None,
        random_state: int | np.random.RandomState | None = 0,
        windows: int | None = None,
        symmetries: Symmetries = "none",
        verbose: int = 0,
    ):
        self.minutes = minutes
        self.steps = steps
        self.depth = depth
        self.grid_shape = grid_shape
        self.random_state = random_state
        self.windows = windows
        self.symmetries = symmetries
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []  # what is filled has no NaN any more: integers
        return tags

    def _repr_html_inner(self) -> str:
        return super()._repr_html_inner() + self._learned()  # type: ignore[misc]

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**options)  # type: ignore[misc]
        return {kind: text + self._learned() if kind == "text/html" else text for kind, text in bundle.items()}

    def _learned(self) -> str:
        """What was learned, for notebooks, below scikit-learn's diagram of the parameters; before `fit` nothing."""
        if not hasattr(self, "predictor_"):
            return ""
        training = self.predictor_.header.training
        of, (height, width) = "windows" if self.predictor_.window else "grids", self.grid_shape_
        bits = training.get("held_out_bits_per_hidden_cell")
        lines = [f"Learned from {of} of {height} by {width} cells, in {training.get('steps', 'unknown')} steps"]
        lines += [f"{bits:.3f} bits per hidden cell of held-out grids"] * isinstance(bits, float)
        lines += filter(
            None, [training.get("verdict"), Curve.from_json(training.get("curve") or Curve().to_json()).sparkline]
        )
        palette, values = self.predictor_.header.palette, [str(value) for value in self.symbols_]
        names = [
            f"{value} ({palette.label(symbol)})" if palette.names else value for symbol, value in enumerate(values)
        ]
        return html.legend(palette, labels=names) + "".join(f"<div>{escape(line)}</div>" for line in lines)

    def fit(self, X: Any, y: Any = None, side: Any = None) -> "Inpainter":  # noqa: N803, the name that scikit-learn uses
        """Learn what grids have in common.

        Parameters
        ----------
        X : array or list of arrays
            Grids; their hidden cells are unknown. With `windows`, one large grid or several, whose sizes may differ.
        y : None
            Ignored.
        side : array, list of arrays or mapping, optional
            Side maps: numbers that are known of every cell besides its symbol, such as an elevation, (n, height, width,
            map) for `X` of (n, height, width), NaN where unknown. Or a mapping of names to (n, height, width), such as
            a Dataset of xarray; then they are checked by name. Integers are classes, floats are numbers; a name that
            ends in ":classes" or ":numbers" says otherwise.

        Returns
        -------
        Inpainter
            Itself, fitted.

        Raises
        ------
        InputError
            For a parameter that is not allowed, and for examples from which nothing can be learned.
        """
        parameters = _checked(self.get_params(deep=False))
        batches, _ = self._values(X, parameters)
        self.symbols_ = _symbols_in(batches)
        images = [grid for number, batch in enumerate(batches) for grid in self._encoded(batch, number)]
        self.random_state_ = _seed_of(parameters["random_state"])
        palette, maps = class_palette(self.symbols_.tolist()), _side_maps(side, batches)
        if size := parameters["windows"]:
            examples = Windows(images, palette, (size, size), parameters["symmetries"], side=maps)
        elif len(batches) > 1:
            sizes = " and ".join(
                f"{height} by {width}" for height, width in sorted({grid.shape for grid in images})[:2]
            )
            raise InputError(f"grids of different sizes, such as {sizes} cells: learn from windows of them, windows=…")
        else:
            examples = Examples(np.stack(images), palette, parameters["symmetries"], maps)
        if direction := direction_warning(examples, "symmetries='{}'"):
            warnings.warn(direction, stacklevel=2)
        steps = parameters["steps"]
        if not isinstance(parameters["random_state"], int | None):
            parameters["random_state"] = self.random_state_  # what a file can hold of a RandomState instance
        row_shape = self.grid_shape_ if self._rows else None
        notes = {"symbols": self.symbols_.tolist(), "parameters": parameters, "row_shape": row_shape}
        self.predictor_ = learn(
            examples,
            Budget(None if steps else parameters["minutes"], steps),
            self.random_state_,
            parameters["depth"],
            report=_print_tenths(images, self.symbols_) if parameters["verbose"] else lambda progress: None,
            more_record=lambda: notes,
        )
        return self

    @no_type_check
    def fill(
        self,
        X: Any,  # noqa: N803
        evidence: Any = None,
        typical: bool = False,
        side: Any = None,
        refine: int = 0,
    ) -> Any:
        """Find the most likely grid for each puzzle; of one with every cell hidden, a sample.

        Visible cells come back untouched. Where some contradict the rest, the others are filled as if these were not
        known, with a ContradictionWarning that names them; `sample`, `predict_proba` and `transform` do the same.

        Parameters
        ----------
        X : array or list of arrays
            Grids with hidden cells.
        evidence : array or list of arrays, optional
            For each cell which symbols are allowed, or the probability of what was observed under each of `symbols_`:
            (…, height, width, symbol), or (symbol,) for all cells alike.
        typical : bool
            Whether to fill with the most typical of eight samples instead: where much is hidden, the most likely grid
            is far from what grids look like. See `answers.fill`.
        side : array, list of arrays or mapping, optional
            Side maps, as `fit` got them; "none" fills as if they were unknown.
        refine : int
            As in `sample`, of those eight.

        Returns
        -------
        array or list of arrays
            Grids without hidden cells, in the shape of `X`.
        """
        checked = _checked({"typical": typical, "refine": refine})
        kind = "typical" if checked["typical"] else "likely"
        puzzles, finish = self._puzzles(X, evidence, side)
        found = self._answers(puzzles, kind=kind, refine=checked["refine"])
        return finish([self.symbols_[answers.fill] for answers in found], 1)

    def transform(self, X: Any, side: Any = None) -> Any:  # noqa: N803
        """Fill grids, under the name that pipelines use.

        Parameters
        ----------
        X : array or list of arrays
            Grids with hidden cells.
        side
            As in `fill`.

        Returns
        -------
        array or list of arrays
            As `fill`.
        """
        return self.fill(X, side=side)

    @no_type_check
    def sample(
        self,
        X: Any,  # noqa: N803
        n: int = 1,
        seed: int | None = None,
        evidence: Any = None,
        side: Any = None,
        refine: int = 0,
    ) -> Any:
        """Draw joint samples of the hidden cells.

        Parameters
        ----------
        X, evidence, side
            As in `fill`.
        n : int
            Samples of each grid.
        seed : int, optional
            By default `random_state`, or `random_state_` if that is no int.
        refine : int
            Rounds in which finished samples are drawn again, as `Decoder.refine` says: single cells that do not fit
            their neighbours become rarer.

        Returns
        -------
        array or list of arrays
            (n, height, width) for one grid, (grids, n, height, width) for several.
        """
        checked = _checked({"n": n, "seed": seed, "refine": refine})
        puzzles, finish = self._puzzles(X, evidence, side)
        return finish([self.symbols_[answers.samples] for answers in self._answers(puzzles, **checked)], 2)

    def predict_proba(self, X: Any, evidence: Any = None, side: Any = None) -> Any:  # noqa: N803
        """Predict the probability of each symbol at each cell.

        Parameters
        ----------
        X, evidence, side
            As in `fill`.

        Returns
        -------
        array or list of arrays
            In the shape of `X`, with a last axis for `symbols_`; a visible cell has its own with probability 1.
        """
        puzzles, finish = self._puzzles(X, evidence, side)
        return finish([answers.marginals for answers in self._answers(puzzles)], 1)

    def log_prob(self, X: Any, hidden: Any = None, side: Any = None) -> Any:  # noqa: N803
        """Compute the log-probability (base 2) of whole grids, or of some of their cells given the others.

        Parameters
        ----------
        X : array or list of arrays
            Grids without hidden cells.
        hidden : array of bool or list of them, optional
            The cells whose probability is asked, given the others. By default all.
        side
            As in `fill`.

        Returns
        -------
        float, array or list of floats
            Bits, a number for each grid: the mean over four random orders of the cells.

        Raises
        ------
        InputError
            For a grid with hidden cells, and for `hidden` of another shape.
        """
        batches, finish = self._puzzles(X, side=side)
        if any(puzzles.hidden.any() for puzzles in batches):
            raise InputError("a grid with hidden cells has no log-probability: pass whole grids, and `hidden`")
        shapes = [puzzles.cells.shape for puzzles in batches]
        queried = _for_each(hidden, shapes, "hidden") or [np.ones(shape) for shape in shapes]
        asked = [
            Puzzles(one.cells, part.astype(bool), side=one.side) for one, part in zip(batches, queried, strict=True)
        ]
        return finish([filling.log_prob_bits(self.predictor_, one, seed=self._seed).bits for one in asked])

    def score(self, X: Any, y: Any = None, side: Any = None) -> float:  # noqa: N803
        """Hide cells of whole grids by the evaluation mixture, and score what is predicted of them.

        Parameters
        ----------
        X : array or list of arrays
            Held-out grids.
        y : None
            Ignored.
        side
            As in `fill`.

        Returns
        -------
        float
            Minus the bits per hidden cell: higher is better, 0 is perfect.

        Raises
        ------
        InputError
            If the grids have no known cell to hide.
        """
        batches, _ = self._puzzles(X, side=side)
        generator, bits, scored = np.random.default_rng(self._seed), list[float](), list[int]()
        for puzzles in batches:
            cells, unknown = puzzles.cells, puzzles.hidden
            hidden = evaluation_hiding(cells.shape, generator)
            if (hidden & ~unknown).any():
                marginals = with_side(self.predictor_, puzzles.side).marginals(cells, hidden | unknown)
                bits.append(scoring.bits_per_hidden_cell(marginals, cells, hidden))
                scored.append(int((hidden & ~unknown).sum()))
        if not scored:
            raise InputError("no known cell could be hidden: score grids with more known cells")
        return -float(np.array(bits) @ (np.array(scored) / sum(scored)))

    def check(self, X: Any, threshold: float = checking.THRESHOLD, side: Any = None) -> Any:  # noqa: N803
        """Find the visible cells that are implausible given the others.

        Parameters
        ----------
        X : array or list of arrays
            Grids, with or without hidden cells.
        threshold : float
            Probability below which a cell is implausible.
        side
            As in `fill`.

        Returns
        -------
        list or array of lists
            `checking.Surprise` values for each grid, the least probable first.
        """
        batches, finish = self._puzzles(X, side=side)
        return finish([self._surprises(puzzles, threshold) for puzzles in batches])

    def _surprises(self, puzzles: Puzzles, threshold: float) -> np.ndarray:
        found, predictor = np.empty(len(puzzles), dtype=object), with_side(self.predictor_, puzzles.side)
        for number, (cells, hidden) in enumerate(zip(puzzles.cells, puzzles.hidden, strict=True)):
            found[number] = [
                replace(one, symbol=int(self.symbols_[one.symbol]), likely_symbol=int(self.symbols_[one.likely_symbol]))
                for one in checking.surprises(of_rows(predictor, [number]), cells, hidden, threshold)
            ]
        return found

    def save(self, path: AnyPath) -> None:
        """Write a model file, which `load` and the command line read.

        Parameters
        ----------
        path
            Ends in .safetensors by custom. An older model is replaced.

        Raises
        ------
        InputError
            When the file there was not written by gridcloze, or nothing can be written.
        """
        check_is_fitted(self)
        refuse_replacing([Path(path)], overwrite=True)
        checkpoint.save(path, self.predictor_)

    @classmethod
    def load(cls, path: AnyPath) -> "Inpainter":
        """Read a fitted Inpainter from a model file.

        Parameters
        ----------
        path
            What `save`, `gridcloze train` or `gridcloze export` wrote.

        Returns
        -------
        Inpainter
            Fitted, with the parameters that the model was trained with.

        Raises
        ------
        InputError
            As `gridcloze.load`; and if what the file records of its training is no record.
        """
        predictor = checkpoint.load(path)
        config, record = predictor.header.config, predictor.header.training
        with about(path):
            saved = _checked(_parameters_in(predictor))
            row_shape = _checked({"grid_shape": record.get("row_shape")})["grid_shape"]
            seed = _checked({"random_state": record.get("seed", 0)})["random_state"]
            palette = predictor.header.palette
            codes = palette.raster_values if palette.in_values else range(config["n_symbols"])
            symbols = np.array(record.get("symbols", codes))
            if symbols.shape != (config["n_symbols"],) or symbols.dtype.kind != "i":
                raise InputError("the symbols in the file do not fit its config; train the model again")
        model = cls(**saved)
        model.predictor_, model.symbols_ = predictor, symbols
        model.random_state_ = _seed_of(seed)
        model._rows, model.grid_shape_ = row_shape is not None, row_shape or predictor.size
        model.n_features_in_ = math.prod(model.grid_shape_)
        return model

    @property
    def _seed(self) -> int:
        """Of the answers."""
        state = _checked({"random_state": self.random_state})["random_state"]
        return state if isinstance(state, int) else self.random_state_

    def _answers(
        self, batches: Sequence[Puzzles], n: int = 0, seed: int | None = None, kind: Kind = "likely", refine: int = 0
    ) -> list[Answers]:
        """The answers of `answers.fill`, after a warning if a puzzle contradicts itself."""
        seed = self._seed if seed is None else seed
        decoder = refining(self.predictor_, refine)
        every = [fill(self.predictor_, puzzles, n, seed, decoder, kind) for puzzles in batches]
        lines = [line for answers in every for line in answers.contradictions]
        for number, contradiction in enumerate(lines):
            if contradiction:
                grid = f"grid {number}: " if len(lines) > 1 else ""
                warnings.warn(grid + contradiction, ContradictionWarning, stacklevel=3)
        return every

    def _puzzles(
        self,
        X: Any,  # noqa: N803
        evidence: Any = None,
        side: Any = None,
    ) -> tuple[list[Puzzles], Callable[..., Any]]:
        """The puzzles in batches of one size, and what brings their answers into the shape of the question."""
        check_is_fitted(self)
        batches, form = self._values(X)
        cells = [self._encoded(values, number) for number, values in enumerate(batches)]
        if evidence is not None and len(evidence) == len(self.symbols_) and not any(map(np.ndim, evidence)):
            each = [np.broadcast_to(evidence, (*batch.shape, len(self.symbols_))) for batch in cells]
            evidence = each if len(each) > 1 else each[0]
        parts = _for_each(evidence, [(*batch.shape, len(self.symbols_)) for batch in cells], "evidence")
        sides = self._sides(side, [batch.shape for batch in cells])

        def finish(answers: list[np.ndarray], height_axis: int = 0) -> Any:
            if form == "list":
                return [answer[0] for answer in answers]
            if form == "rows" and height_axis:
                shape = answers[0].shape
                return answers[0].reshape(*shape[:height_axis], -1, *shape[height_axis + 2 :])
            return answers[0][0] if form == "grid" else answers[0]

        nothing = [None] * len(cells)
        return [Puzzles(*one) for one in zip(cells, nothing, parts or nothing, sides or nothing, strict=True)], finish

    def _sides(self, side: Any, shapes: list[tuple[int, ...]]) -> list[np.ndarray] | None:
        """The side maps of batches."""
        channels = self.predictor_.side
        if isinstance(side, str) and side == "none" and channels:
            warnings.warn("filled as if the side maps were unknown", stacklevel=4)
            return [np.full((*shape, len(channels)), np.nan, np.float32) for shape in shapes]
        if side is None:
            return None
        _, values, _ = as_side(side, channels)
        if not channels:
            check_names(["side maps"], channels)
        return _for_each(values, [(*shape, len(channels)) for shape in shapes], "side")

    def _values(self, X: Any, fit: dict[str, Any] | None = None) -> tuple[list[np.ndarray], str]:  # noqa: N803
        """The grids in batches (n, height, width) of one size, with the symbols that the user gives them, and the form
        that they came in: a list, rows, a grid or a stack. `fit` has the parameters to learn with.
        """
        X = _joined(X)  # noqa: N806
        listed = isinstance(X, list)
        dimensions = 2 if listed else len(X.shape) if hasattr(X, "shape") else np.asarray(X).ndim
        if fit is not None:
            self._rows = dimensions == 2 and not listed and not (fit["windows"] and fit["grid_shape"] is None)
        if self._rows:
            batches, form = [self._grids_in_rows(X, fit)], "rows"
        elif listed:
            batches, form = [], "list"
            for number, grid in enumerate(X):
                with about(f"grid {number}"):
                    batches.append(_numbers(grid)[None])
        else:
            grids, form = X if isinstance(X, np.ndarray) else np.asarray(X), "grid" if dimensions == 2 else "stack"
            batches = [_numbers(grids[None] if form == "grid" else grids, STACK_AXES)]
        if fit is not None and not self._rows:
            self.grid_shape_ = (fit["windows"], fit["windows"]) if fit["windows"] else batches[0].shape[1:]
            self.n_features_in_ = math.prod(self.grid_shape_)
        return batches, form

    def _grids_in_rows(self, X: Any, fit: dict[str, Any] | None) -> np.ndarray:  # noqa: N803
        if isinstance(X, list):
            raise InputError("a list of grids cannot be answered by an Inpainter that was fitted on rows of a table")
        X = np.ma.filled(X.astype(np.float64), np.nan) if np.ma.isMaskedArray(X) else X  # noqa: N806
        X = validate_data(self, X, reset=fit is not None, dtype="numeric", ensure_all_finite="allow-nan")  # noqa: N806
        if fit is not None:
            self.grid_shape_ = fit["grid_shape"] or (1, X.shape[1])
        height, width = self.grid_shape_
        if X.shape[1] != height * width:
            raise InputError(f"rows of {X.shape[1]} columns are no grids of {height} by {width} cells")
        return _numbers(X.reshape(len(X), height, width), STACK_AXES)

    def _encoded(self, values: np.ndarray, first: int = 0) -> np.ndarray:
        """The symbols' places among `symbols_`, HIDDEN where hidden; `first` is the number of the first grid."""
        place = np.minimum(np.searchsorted(self.symbols_, values), len(self.symbols_) - 1)
        unknown = (self.symbols_[place] != values) & (values != HIDDEN)
        if unknown.any():
            grid, row, column = np.argwhere(unknown)[0]
            raise InputError(
                f"grid {first + grid}, row {row}, column {column}: {values[grid, row, column]} is in none of the "
                f"examples, whose symbols are {self.symbols_.tolist()}"
            )
        return np.where(values == HIDDEN, HIDDEN, place).astype(np.int64)


def _numbers(array: np.ndarray, axes: str = "") -> np.ndarray:
    return content_of(array, None, axes).codes


def _is_integer(value: Any, least: int, most: int | None = None) -> bool:
    if not isinstance(value, Integral) or isinstance(value, bool):
        return False
    return least <= int(value) and (most is None or int(value) <= most)


def _is_minutes(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and bool(0 < cast(float, value) < LONGEST)


def _is_shape(value: Any) -> bool:
    pair = value.tolist() if isinstance(value, np.ndarray) else value
    return isinstance(pair, tuple | list) and len(pair) == 2 and all(_is_integer(one, 1) for one in pair)


def _is_random_state(value: Any) -> bool:
    return isinstance(value, np.random.RandomState) or _is_integer(value, 0, LARGEST_SEED)


CAN_BE_NONE = ("minutes", "steps", "grid_shape", "random_state", "windows", "seed")
ALLOWED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "minutes": ("a number above 0 and below 10**9", _is_minutes),
    "steps": ("an integer of 1 or more", lambda value: _is_integer(value, 1)),
    "depth": ("an integer of 1 or more", lambda value: _is_integer(value, 1)),
    "grid_shape": ("a pair of integers of 1 or more", _is_shape),
    "random_state": ("an integer 0 … 2**64 - 1, a RandomState instance", _is_random_state),
    "windows": ("an integer of 2 or more", lambda value: _is_integer(value, 2)),
    "symmetries": (
        f"one of {', '.join(map(repr, SYMMETRIES))}",
        lambda value: isinstance(value, str) and value in SYMMETRIES,
    ),
    "verbose": ("an integer of 0 or more, or a bool", lambda value: isinstance(value, bool) or _is_integer(value, 0)),
    "typical": ("a bool", lambda value: isinstance(value, bool | np.bool_)),
    "n": ("an integer of 0 or more", lambda value: _is_integer(value, 0)),
    "seed": ("an integer of 0 or more", lambda value: _is_integer(value, 0)),
    "refine": (f"an integer 0 … {MOST_ROUNDS}", lambda value: _is_integer(value, 0, MOST_ROUNDS)),
}


def _checked(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as values of Python's own types; an error names the first that is not allowed."""
    for name, value in parameters.items():
        (allowed, is_allowed), none = ALLOWED[name], " or None" * (name in CAN_BE_NONE)
        if not is_allowed(value) and not (none and value is None):
            raise InputError(f"{name}={' '.join(repr(value).split())[:100]}: {name} must be {allowed}{none}")
    return {name: _plain(value) for name, value in parameters.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list | np.ndarray):
        return tuple(map(_plain, value))
    if isinstance(value, bool | str | None):
        return value
    return int(value) if isinstance(value, Integral) else float(value) if isinstance(value, Real) else value


def _seed_of(state: Any) -> int:
    """A seed as scikit-learn draws it: an int is its own, None asks NumPy's global random state."""
    return state if isinstance(state, int) else int(check_random_state(state).randint(2**31 - 1))


def _parameters_in(predictor: checkpoint.TrainedPredictor) -> dict[str, Any]:
    """What a model file says about the parameters; one that another program trained has them in its record."""
    record, names = predictor.header.training, Inpainter._get_param_names()
    if isinstance(saved := record.get("parameters"), dict):
        return {name: value for name, value in saved.items() if name in names}
    minutes, window = record.get("minutes"), predictor.window
    return {
        "minutes": minutes,
        "steps": None if minutes or record.get("open") else record.get("steps"),
        "depth": predictor.header.config["depth"],
        "random_state": record.get("seed", 0),
        "windows": window[0] if window else None,
        "symmetries": record.get("symmetries", "none"),
    }


def _joined(X: Any) -> Any:  # noqa: N803
    """Lists as one array that keeps the masks in them; grids of different sizes as a list of arrays."""
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
        X = list(X)  # noqa: N806
    if not isinstance(X, list | tuple):
        return X if nodata_of(X) is None else stacked(X)  # of a DataArray of xarray
    grids = [stacked(one) for one in X]
    of_sizes = len({grid.shape for grid in grids}) > 1 and all(grid.ndim == 2 for grid in grids)
    return grids if of_sizes else stacked(grids)


def _for_each(values: Any, shapes: list[tuple[int, ...]], name: str) -> list[np.ndarray] | None:
    """What was given for each cell, in the shapes of batches; None for nothing."""
    if values is None:
        return None
    parts = [np.asarray(part) for part in (values if len(shapes) > 1 else [values])]
    if [part.size for part in parts] != [math.prod(shape) for shape in shapes]:
        given, fits = (", ".join(map(str, each)) for each in ([part.shape for part in parts], shapes))
        raise InputError(f"{name} of shape {given} does not fit: it is {fits}")
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _side_maps(side: Any, batches: Sequence[np.ndarray]) -> SideMaps | None:
    """Side maps of examples."""
    if side is None:
        return None
    names, values, integers = as_side(side)
    n_maps = len(names) or max(1, sum(map(np.size, values)) // max(1, sum(batch.size for batch in batches)))
    parts = _for_each(values, [(*batch.shape, n_maps) for batch in batches], "side") or []
    return SideMaps.of(
        parts[0] if len(parts) == 1 else [grid for part in parts for grid in part],
        names,
        integers * (n_maps // len(integers)),
    )


def _symbols_in(batches: Sequence[np.ndarray]) -> np.ndarray:
    found = np.unique(np.concatenate([np.unique(batch) for batch in batches]))
    symbols = found[found != HIDDEN]
    if len(symbols) == 0:
        raise InputError("every cell of the examples is hidden: nothing can be learned from them")
    if len(symbols) == 1 and len(found) > 1:
        raise InputError(
            f"every cell of the examples is {symbols[0]} or hidden, and -1 means hidden: nothing can be learned from "
            "one symbol; number symbols such as -1 and 1 as 0 and 1"
        )
    return symbols


def _print_tenths(images: list[np.ndarray], symbols: np.ndarray) -> Callable[[Progress], None]:
    """Print what is learned from, and return a report that prints a line for each tenth of the training."""
    cells = np.concatenate([grid.ravel() for grid in images])
    shares = np.bincount(cells[cells != HIDDEN], minlength=len(symbols)) / max(1, (cells != HIDDEN).sum())
    listed = ", ".join(f"{symbol} ({share:.1%})" for symbol, share in zip(symbols[:10], shares, strict=False))
    more = f" and {len(symbols) - 10} more" if len(symbols) > 10 else ""
    sizes = " and other sizes" if len({grid.shape for grid in images}) > 1 else ""
    height, width = images[0].shape
    print(f"{len(images)} grids of {height} by {width} cells{sizes}, {(cells == HIDDEN).mean():.1%} of them hidden")
    print(f"symbols {listed}{more}")
    tenths = 0

    def report(progress: Progress) -> None:
        nonlocal tenths
        if int(10 * progress.share) > tenths:
            tenths, share = int(10 * progress.share), min(1.0, progress.share)
            print(
                f"{share:4.0%}, {progress.seconds * (1 / share - 1):.0f} s left, "
                f"loss {progress.bits_per_hidden_cell:.3f} bits, held-out {progress.held_out_bits_per_hidden_cell:.3f}"
            )

    return report
