"""The front door in Python, with the conventions of scikit-learn."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, no_type_check

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from . import checking, checkpoint, filling, scoring
from .answers import Answers, fill
from .bert import BertConfig
from .files.codes import STACK_AXES, cells_from_array
from .files.palettes import Palette
from .learning import learn
from .priors.examples import Examples, Symmetries
from .priors.hiding import evaluation_hiding
from .priors.windows import Windows
from .puzzles import Puzzles
from .training import Budget
from .words import HIDDEN, AnyPath, InputError


class ContradictionWarning(UserWarning):
    """Some visible cells contradict the others: they were kept, and the rest was filled as if they were not known.

    Examples
    --------
    >>> issubclass(ContradictionWarning, UserWarning)
    True
    """


class Inpainter(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Learn from example grids, fill the hidden cells of others, and say how probable everything is.

    Grids are integers (n, height, width); -1, NaN and masked values are hidden cells. Any of 0 … 255 can be symbols:
    those of the examples are learned. A single grid (height, width) is answered without the leading axis. For pipelines
    and tables, an estimator fitted on an array of two dimensions takes each row as one grid. Answers are those of the
    command `gridcloze fill` to the same question with `--seed` set to `random_state`.

    Parameters
    ----------
    minutes : float
        Length of the training.
    steps : int, optional
        Length in steps instead, which can be repeated exactly.
    depth : int
        Layers of the model; all its other sizes follow.
    grid_shape : (height, width), optional
        Of the grid in each row, if `fit` gets an array of two dimensions. By default (1, columns).
    random_state : int
        All random numbers follow from it.
    windows : int, optional
        Window size in cells: learn from windows at random places of large grids instead of from whole grids; then
        grids of any size can be filled.
    symmetries : {"none", "mirrors", "all"}
        Under which grids are equally likely: mirrored along both axes, or all eight with turns.

    Attributes
    ----------
    symbols_ : array
        The symbols of the examples, in order.
    grid_shape_ : (height, width)
        Of the examples, in cells.
    predictor_ : Predictor
        The model.
    n_features_in_ : int
        Cells of a grid.

    Raises
    ------
    InputError
        A ValueError: from all methods, for what are no grids and for symbols that no example has. Before `fit` they
        raise scikit-learn's NotFittedError.

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
        minutes: float = 5.0,
        steps: int | None = None,
        depth: int = BertConfig.depth,
        grid_shape: tuple[int, int] | None = None,
        random_state: int = 0,
        windows: int | None = None,
        symmetries: Symmetries = "none",
    ):
        self.minutes = minutes
        self.steps = steps
        self.depth = depth
        self.grid_shape = grid_shape
        self.random_state = random_state
        self.windows = windows
        self.symmetries = symmetries

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []  # what is filled has no NaN any more: integers
        return tags

    def fit(self, X: Any, y: Any = None) -> "Inpainter":  # noqa: N803, the name that scikit-learn uses
        """Learn what grids have in common.

        Parameters
        ----------
        X : array
            Grids; their hidden cells are unknown.
        y : None
            Ignored.

        Returns
        -------
        Inpainter
            Itself, fitted.
        """
        values = self._values(X, reset=True)
        self.symbols_ = np.unique(values[values != HIDDEN])
        cells = self._encoded(values)
        budget = Budget(None, self.steps) if self.steps else Budget(float(self.minutes))
        palette = Palette.default(len(self.symbols_))
        if self.windows:
            examples = Windows(list(cells), palette, (self.windows, self.windows), self.symmetries)
        else:
            examples = Examples(cells, palette, self.symmetries)
        symbols = {"symbols": self.symbols_.tolist()}
        self.predictor_ = learn(examples, budget, self.random_state, self.depth, more_record=lambda: symbols)
        return self

    def fill(self, X: Any, evidence: Any = None) -> np.ndarray:  # noqa: N803
        """Find the most likely grid for each puzzle; of one with every cell hidden, a sample.

        Visible cells come back untouched. Where some contradict the rest, the others are filled as if these were not
        known, with a ContradictionWarning that names them; `sample`, `predict_proba` and `transform` do the same.

        Parameters
        ----------
        X : array
            Grids with hidden cells.
        evidence : array, optional
            For each cell which symbols are allowed, or the probability of what was observed under each of `symbols_`:
            (…, height, width, symbol).

        Returns
        -------
        array
            Grids without hidden cells, in the shape of `X`.
        """
        puzzles, finish = self._puzzles(X, evidence)
        return finish(self.symbols_[self._answers(puzzles).fill], 1)

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Fill grids, under the name that pipelines use.

        Parameters
        ----------
        X : array
            Grids with hidden cells.

        Returns
        -------
        array
            As `fill`.
        """
        return self.fill(X)

    def sample(self, X: Any, n: int = 1, seed: int | None = None, evidence: Any = None) -> np.ndarray:  # noqa: N803
        """Draw joint samples of the hidden cells.

        Parameters
        ----------
        X, evidence
            As in `fill`.
        n : int
            Samples of each grid.
        seed : int, optional
            By default `random_state`.

        Returns
        -------
        array
            (n, height, width) for one grid, (grids, n, height, width) for several.
        """
        puzzles, finish = self._puzzles(X, evidence)
        return finish(self.symbols_[self._answers(puzzles, n, seed).samples], 2)

    def predict_proba(self, X: Any, evidence: Any = None) -> np.ndarray:  # noqa: N803
        """Predict the probability of each symbol at each cell.

        Parameters
        ----------
        X, evidence
            As in `fill`.

        Returns
        -------
        array
            In the shape of `X`, with a last axis for `symbols_`; a visible cell has its own with probability 1.
        """
        puzzles, finish = self._puzzles(X, evidence)
        return finish(self._answers(puzzles).marginals, 1)

    def log_prob(self, X: Any, hidden: Any = None) -> Any:  # noqa: N803
        """Compute the log-probability (base 2) of whole grids, or of some of their cells given the others.

        Parameters
        ----------
        X : array
            Grids without hidden cells.
        hidden : array of bool, optional
            The cells whose probability is asked, given the others. By default all.

        Returns
        -------
        float or array
            Bits, a number for each grid: the mean over four random orders of the cells.

        Raises
        ------
        InputError
            For a grid with hidden cells.
        """
        puzzles, finish = self._puzzles(X)
        if puzzles.hidden.any():
            raise InputError("a grid with hidden cells has no log-probability: pass whole grids, and `hidden`")
        shape = puzzles.cells.shape
        queried = np.ones(shape, dtype=bool) if hidden is None else np.asarray(hidden, bool).reshape(shape)
        puzzles = Puzzles(puzzles.cells, queried)
        return finish(filling.log_prob_bits(self.predictor_, puzzles, seed=self.random_state).bits)

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """Hide cells of whole grids by the evaluation mixture, and score what is predicted of them.

        Parameters
        ----------
        X : array
            Held-out grids.
        y : None
            Ignored.

        Returns
        -------
        float
            Minus the bits per hidden cell: higher is better, 0 is perfect.
        """
        puzzles, _ = self._puzzles(X)
        cells, unknown = puzzles.cells, puzzles.hidden
        hidden = evaluation_hiding(cells.shape, np.random.default_rng(self.random_state))
        marginals = self.predictor_.marginals(cells, hidden | unknown)
        return -scoring.bits_per_hidden_cell(marginals, cells, hidden)

    def check(self, X: Any, threshold: float = checking.THRESHOLD) -> Any:  # noqa: N803
        """Find the visible cells that are implausible given the others.

        Parameters
        ----------
        X : array
            Grids, with or without hidden cells.
        threshold : float
            Probability below which a cell is implausible.

        Returns
        -------
        list or array of lists
            `checking.Surprise` values for each grid, the least probable first.
        """
        puzzles, finish = self._puzzles(X)
        found = np.empty(len(puzzles), dtype=object)
        for number, (cells, hidden) in enumerate(zip(puzzles.cells, puzzles.hidden, strict=True)):
            found[number] = [
                replace(one, symbol=int(self.symbols_[one.symbol]), likely_symbol=int(self.symbols_[one.likely_symbol]))
                for one in checking.surprises(self.predictor_, cells, hidden, threshold)
            ]
        return finish(found)

    def save(self, path: AnyPath) -> None:
        """Write a model file, which `load` and the command line read.

        Parameters
        ----------
        path
            Ends in .safetensors by custom.
        """
        check_is_fitted(self)
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
            Fitted.
        """
        predictor = checkpoint.load(path)
        config, record = predictor.header.config, predictor.header.training
        minutes = record.get("minutes")
        model = cls(minutes or 5.0, None if minutes else record.get("steps"), config["depth"])
        model.predictor_, model.grid_shape_ = predictor, predictor.size
        model.symbols_ = np.array(record.get("symbols", range(config["n_symbols"])))
        model.n_features_in_, model._rows = config["height"] * config["width"], False
        return model

    def _answers(self, puzzles: Puzzles, samples: int = 0, seed: int | None = None) -> Answers:
        """The answers of `answers.fill`, after a warning if a puzzle contradicts itself."""
        answers = fill(self.predictor_, puzzles, samples, self.random_state if seed is None else seed)
        for number, contradiction in enumerate(answers.contradictions):
            if contradiction:
                grid = f"grid {number}: " if len(puzzles) > 1 else ""
                warnings.warn(grid + contradiction, ContradictionWarning, stacklevel=3)
        return answers

    def _puzzles(self, X: Any, evidence: Any = None) -> tuple[Puzzles, Callable[..., Any]]:  # noqa: N803
        """The puzzles, and what brings an answer into the shape of the question."""
        check_is_fitted(self)
        cells = self._encoded(self._values(X, reset=False))
        single = not self._rows and len(np.shape(X)) == 2

        def finish(answer: np.ndarray, height_axis: int = 0) -> Any:
            if self._rows and height_axis:
                shape = answer.shape
                return answer.reshape(*shape[:height_axis], -1, *shape[height_axis + 2 :])
            return answer[0] if single else answer

        return Puzzles(cells, evidence=self._evidence(evidence, cells.shape)), finish

    def _values(self, X: Any, reset: bool) -> np.ndarray:  # noqa: N803
        """The grids with the symbols that the user gives them, (n, height, width) with HIDDEN where they are hidden."""
        dimensions = len(X.shape) if hasattr(X, "shape") else np.asarray(X).ndim
        if reset:
            self._rows = dimensions == 2
        if self._rows:
            X = np.ma.filled(X.astype(np.float64), np.nan) if np.ma.isMaskedArray(X) else X  # noqa: N806
            X = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite="allow-nan")  # noqa: N806
            height, width = self.grid_shape or (1, X.shape[1]) if reset else self.grid_shape_
            if X.shape[1] != height * width:
                raise InputError(f"rows of {X.shape[1]} columns are no grids of {height} by {width} cells")
            X = X.reshape(len(X), height, width)  # noqa: N806
        grids = X if isinstance(X, np.ndarray) else np.asarray(X)
        values = cells_from_array(grids[None] if dimensions == 2 and not self._rows else grids, STACK_AXES)
        if reset:
            self.grid_shape_, self.n_features_in_ = values.shape[1:], values[0].size
        return values

    def _encoded(self, values: np.ndarray) -> np.ndarray:
        """The symbols' places among `symbols_`, HIDDEN where hidden."""
        if len(self.symbols_) == 0:
            raise InputError("every cell of the examples is hidden: nothing can be learned from them")
        place = np.minimum(np.searchsorted(self.symbols_, values), len(self.symbols_) - 1)
        unknown = (self.symbols_[place] != values) & (values != HIDDEN)
        if unknown.any():
            grid, row, column = np.argwhere(unknown)[0]
            raise InputError(
                f"grid {grid}, row {row}, column {column}: {values[grid, row, column]} is in none of the examples, "
                f"whose symbols are {self.symbols_.tolist()}"
            )
        return np.where(values == HIDDEN, HIDDEN, place).astype(np.int64)

    def _evidence(self, evidence: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        """With a leading axis, and the axes of rows as those of grids."""
        if evidence is None:
            return None
        values = np.asarray(evidence)
        expected = (*shape, len(self.symbols_))
        if values.size != np.prod(expected):
            raise InputError(
                f"evidence of shape {values.shape} does not fit: it is (…, height, width, {len(self.symbols_)})"
            )
        return values.reshape(expected)
