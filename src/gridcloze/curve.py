"""What a training knows of itself: held-out scores on the way, whether it has learned all it can, and what to tell."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from .files.notes import Form, listed, number, one_of, whole
from .words import finite_or_none

FIRST_SCORE = 50  # steps
GROWTH = 1.15  # of the steps from score to score
RISE = 0.003  # of held-out bits above the best, as a share, that is no chance
LEAST_RISE = 0.001  # bits: fewer are chance where a model is all but right, and harm nobody
PATIENCE = 2  # scores that say so, as one may be chance, and what is dropped anew takes a while to help
EARLIER = 0.6  # the share of the steps with whose best score the best of all is compared
GAIN = 0.01  # of held-out bits since then, as a share: less is not worth as many steps again
GAIN_AT_END = 0.03  # the same while the learning rate falls, which alone is worth some
LEAST_STEPS = 300  # before a training may be found to be done
CURVE: Form = {
    "steps": listed(whole(0, 10**9)),
    "training": listed(one_of(None, number(0, 1e300))),
    "held_out": listed(number(0, 1e300)),
    "dropout": listed(number(0, 1)),
}
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Score:
    """What was measured at a step.

    Parameters
    ----------
    steps
        The steps so far.
    training
        A running mean of the bits per hidden cell of training batches, with what is dropped.
    held_out
        Bits per hidden cell of grids that are not learned from, by the averaged weights.
    dropout
        The share that is dropped in training.

    Examples
    --------
    >>> from gridcloze.curve import Score
    >>> Score(50, training=0.5, held_out=0.6)
    Score(steps=50, training=0.5, held_out=0.6, dropout=0.0)
    """

    steps: int
    training: float
    held_out: float
    dropout: float = 0.0


@dataclass
class Curve:
    """The scores of a training.

    Parameters
    ----------
    scores
        In the order of steps.

    Examples
    --------
    >>> from gridcloze.curve import Curve, Score
    >>> curve = Curve([Score(50, 0.9, 0.9), Score(100, 0.5, 0.6), Score(150, 0.3, 0.7), Score(200, 0.2, 0.65)])
    >>> curve.best.steps, curve.rises
    (100, True)
    """

    scores: list[Score] = field(default_factory=list)

    @property
    def best(self) -> Score | None:
        """The score with the fewest held-out bits, the first of equal ones; None before the first score."""
        return min(self.scores, key=lambda score: score.held_out, default=None)

    @property
    def rises(self) -> bool:
        """Whether the last two scores are worse than the best by more than chance, both under the same dropout."""
        last, best = self.scores[-PATIENCE:], self.best
        if best is None or len(last) < PATIENCE or len({score.dropout for score in last}) > 1:
            return False
        return min(score.held_out for score in last) > best.held_out + max(LEAST_RISE, RISE * best.held_out)

    @property
    def gain(self) -> float:
        """By which share the held-out bits fell in the last two fifths of the steps; infinite before that is known.

        So it is while more was dropped in these steps than before: what that brings takes a while to show.
        """
        steps = self.scores[-1].steps if self.scores else 0
        earlier = [score for score in self.scores if score.steps <= EARLIER * steps]
        if not earlier or self.best is None or steps < LEAST_STEPS or earlier[-1].dropout < self.scores[-1].dropout:
            return math.inf
        least = min(score.held_out for score in earlier)
        return 1 - self.best.held_out / least if least > 0 else 0.0

    def to_json(self) -> dict[str, list[Any]]:
        """Return the scores for the note of a model.

        Returns
        -------
        dict
            A list for each field of `Score`; null for what is no number yet.
        """
        rows = [finite_or_none(asdict(score)) for score in self.scores]
        return {name: [row[name] for row in rows] for name in Score.__dataclass_fields__}

    @classmethod
    def from_json(cls, columns: Mapping[str, Any]) -> "Curve":
        """Read what `to_json` returned.

        Parameters
        ----------
        columns
            A list for each field of `Score`.

        Returns
        -------
        Curve
            With as many scores as the shortest list has.
        """
        rows = zip(*(columns[name] for name in Score.__dataclass_fields__), strict=False)
        return cls([Score(row[0], *(math.nan if value is None else float(value) for value in row[1:])) for row in rows])

    @property
    def sparkline(self) -> str:
        """The held-out bits as a line of bars, and their first and best values; empty without scores.

        Examples
        --------
        >>> from gridcloze.curve import Curve, Score
        >>> Curve([Score(50, 0.9, 0.9), Score(100, 0.5, 0.6), Score(150, 0.3, 0.2)]).sparkline
        '0.900 █▆▂ 0.200 held-out bits per hidden cell, kept of step 150'
        """
        if self.best is None:
            return ""
        first, most = self.scores[0].held_out, max(score.held_out for score in self.scores)
        bars = "".join(BARS[min(7, int(8 * score.held_out / (most or 1)))] for score in self.scores)
        best = f"{self.best.held_out:.3f} held-out bits per hidden cell, kept of step {self.best.steps}"
        return f"{first:.3f} {bars} {best}"


def is_due(steps: int) -> bool:
    """Tell whether a training is scored after so many steps: often at first, then ever more seldom.

    Parameters
    ----------
    steps
        The steps so far.

    Returns
    -------
    bool
        True after 50 steps, and then each time there are 15 % more.

    Examples
    --------
    >>> from gridcloze.curve import is_due
    >>> [steps for steps in range(80) if is_due(steps)]
    [50, 58, 67, 77]
    """
    return steps >= FIRST_SCORE and (steps == FIRST_SCORE or _scores_until(steps) > _scores_until(steps - 1))


def _scores_until(steps: int) -> int:
    return math.floor(math.log(steps / FIRST_SCORE, GROWTH) + 1e-9)


def verdict(curve: Curve, cooled_from: int | None, is_cut_short: bool = False) -> str:
    """Say in one line what a training came to, and what would make the model better.

    Parameters
    ----------
    curve
        Its scores.
    cooled_from
        The step from which the learning rate fell, if it was constant before: what was gained before tells what longer
        training would bring. None if it fell from the start.
    is_cut_short
        Whether the training was stopped.

    Returns
    -------
    str
        Whether it learned well, would gain from longer training, or had too few examples.

    Examples
    --------
    >>> from gridcloze.curve import Curve, Score, verdict
    >>> scores = [Score(200, 0.5, 0.60), Score(400, 0.3, 0.50), Score(600, 0.2, 0.40), Score(800, 0.1, 0.35)]
    >>> verdict(Curve(scores), cooled_from=600)
    'longer would help: held-out bits fell by 33 % in the last two fifths before the end'
    """
    rose = next((before for before, after in pairwise(curve.scores) if after.dropout > before.dropout), None)
    if rose is not None:
        last, share = curve.scores[-1], rose.steps / curve.scores[-1].steps
        return (
            f"too few examples for more: held-out bits rose after {100 * share:.0f} % of the steps, and "
            f"{100 * last.dropout:.0f} % of each layer was dropped to stop that; more examples would help most, or "
            "--symmetries if the grids have any"
        )
    last = cooled_from or math.inf
    gain = Curve([score for score in curve.scores if score.steps <= last]).gain
    if is_cut_short or gain == math.inf:
        return "longer would help: it ended too early to tell more"
    if gain > (GAIN if cooled_from else GAIN_AT_END):
        return f"longer would help: held-out bits fell by {100 * gain:.0f} % in the last two fifths before the end"
    return "learned well: held-out bits had stopped falling"
