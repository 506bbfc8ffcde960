"""The front door in Python, with the conventions of scikit-learn."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, no_type_check

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from . import checking, checkpoint, filling, scoring, sweeping
from .bert import BertConfig
from .files.codes import STACK_AXES, cells_from_array
from .files.palettes import Palette
from .learning import learn
from .priors.examples import Examples, Symmetries
from .priors.hiding import evaluation_hiding
from .priors.windows import Windows
from .training import Budget
from .words import HIDDEN, AnyPath, InputError


class Inpainter(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Learns from example grids, fills the hidden cells of others, and says how probable everything is.

    Grids are integers (n, height, width); -1, NaN and masked are hidden cells. Any of 0 … 255 can be symbols: those of
    the examples are learned. A single grid (height, width) is answered without the leading axis. For
    pipelines and tables an estimator fitted on an array of two dimensions takes each row as one grid, of shape
    `grid_shape` (height, width), or (1, columns).

    Parameters: `minutes` of training, or `steps` instead, which can be repeated exactly; `depth`, the layers, from
    which all other sizes follow; `windows`, the side of windows at random places of large grids, which are then
    learned instead of whole grids, so that any size can be filled; `symmetries`, under which grids are as likely
    ("none", "mirrors" along both axes, "all" eight, turned too); `random_state`, from which all random numbers follow.
    Fitted attributes: `symbols_`, `grid_shape_`, `predictor_` (a `Predictor`) and `n_features_in_` (cells of a grid).
    All methods raise ValueError (`InputError`) for what are no grids and for symbols that no example has, and
    NotFittedError before `fit`.
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
        """Learn what the grids `X` (n, height, width) have in common; their hidden cells are unknown."""
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
        """The most likely grid for each of `X`, of the same shape; known cells come back untouched.

        `evidence` (…, height, width, symbol): which symbols are allowed, or probabilities of what was observed.
        """
        cells, hidden, finish = self._read(X)
        fills = sweeping.most_likely(
            self.predictor_, cells, hidden, seed=self.random_state, evidence=self._evidence(evidence, hidden)
        )
        return finish(self.symbols_[fills.cells[:, 0]], 1)

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """`fill`, under the name that pipelines use."""
        return self.fill(X)

    def sample(self, X: Any, n: int = 1, seed: int | None = None, evidence: Any = None) -> np.ndarray:  # noqa: N803
        """`n` joint draws of each grid: (n, height, width) for one, (grids, n, height, width) for several."""
        cells, hidden, finish = self._read(X)
        seed = self.random_state if seed is None else seed
        drawn = sweeping.sample(
            self.predictor_, cells, hidden, n, seed, evidence=self._evidence(evidence, hidden)
        ).cells
        return finish(self.symbols_[drawn], 2)

    def predict_proba(self, X: Any, evidence: Any = None) -> np.ndarray:  # noqa: N803
        """The probability of each of `symbols_` at each cell, certain at visible ones: a last axis more than `X`."""
        cells, hidden, finish = self._read(X)
        observed = self._evidence(evidence, hidden)
        return finish(filling.marginals(self.predictor_, cells, hidden, observed, self.random_state), 1)

    def log_prob(self, X: Any, hidden: Any = None) -> Any:  # noqa: N803
        """log2 P of whole grids, or of what they have at `hidden` (a bool for each cell) given the other cells."""
        cells, unknown, finish = self._read(X)
        if unknown.any():
            raise InputError(
                "a grid with hidden cells has no log-probability: give the cells, and `hidden` beside them"
            )
        hidden = np.ones(cells.shape, dtype=bool) if hidden is None else np.asarray(hidden, bool).reshape(cells.shape)
        return finish(filling.log_prob_bits(self.predictor_, cells, hidden, seed=self.random_state).bits)

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """Minus the bits per hidden cell of whole grids under the test law: higher is better, 0 the best."""
        cells, unknown, _ = self._read(X)
        hidden = evaluation_hiding(cells.shape, np.random.default_rng(self.random_state))
        given = np.where(unknown, HIDDEN, cells)
        marginals = self.predictor_.marginals(given, hidden | unknown)
        return -scoring.bits_per_hidden_cell(marginals, given, hidden)

    def check(self, X: Any, threshold: float = checking.THRESHOLD) -> Any:  # noqa: N803
        """The visible cells that the rest speaks against: a list of `checking.Surprise` for each grid."""
        cells, hidden, finish = self._read(X)
        found = np.empty(len(cells), dtype=object)
        for number, (grid, grid_hidden) in enumerate(zip(cells, hidden, strict=True)):
            found[number] = [
                replace(one, symbol=int(self.symbols_[one.symbol]), likely_symbol=int(self.symbols_[one.likely_symbol]))
                for one in checking.surprises(self.predictor_, grid, grid_hidden, threshold)
            ]
        return finish(found)

    def save(self, path: AnyPath) -> None:
        """Write a model file, which `load` and the command line read."""
        check_is_fitted(self)
        checkpoint.save(path, self.predictor_)

    @classmethod
    def load(cls, path: AnyPath) -> "Inpainter":
        """The fitted Inpainter in a model file, also in one that `gridcloze train` wrote."""
        predictor = checkpoint.load(path)
        config, record = predictor.header.config, predictor.header.training
        minutes = record.get("minutes")
        model = cls(minutes or 5.0, None if minutes else record.get("steps"), config["depth"])
        model.predictor_, model.grid_shape_ = predictor, predictor.size
        model.symbols_ = np.array(record.get("symbols", range(config["n_symbols"])))
        model.n_features_in_, model._rows = config["height"] * config["width"], False
        return model

    def _read(self, X: Any) -> tuple[np.ndarray, np.ndarray, Callable[..., Any]]:  # noqa: N803
        """Cells and hidden, with a leading axis, and what brings an answer into the shape of the question."""
        check_is_fitted(self)
        values = self._values(X, reset=False)
        cells = self._encoded(values)
        single = not self._rows and len(np.shape(X)) == 2

        def finish(answer: np.ndarray, height_axis: int = 0) -> Any:
            if self._rows and height_axis:
                shape = answer.shape
                return answer.reshape(*shape[:height_axis], -1, *shape[height_axis + 2 :])
            return answer[0] if single else answer

        return cells, cells == HIDDEN, finish

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

    def _evidence(self, evidence: Any, hidden: np.ndarray) -> np.ndarray | None:
        """With a leading axis, and the axes of rows as those of grids."""
        if evidence is None:
            return None
        given = np.asarray(evidence)
        if given.size != hidden.size * len(self.symbols_):
            raise InputError(
                f"evidence of shape {given.shape} does not fit: it is (…, height, width, {len(self.symbols_)})"
            )
        return given.reshape(*hidden.shape, len(self.symbols_))
