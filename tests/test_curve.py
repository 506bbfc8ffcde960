"""What a training knows of itself, and what follows from it: which weights are kept, what is dropped, when it ends."""

import os
import re
import signal

import numpy as np
import pytest
import torch

from gridcloze import checkpoint, training
from gridcloze.bert import Bert, BertConfig
from gridcloze.curve import Curve, Score, is_due, verdict
from gridcloze.files.arrays import write_stack
from gridcloze.priors.finite import squares
from gridcloze.training import Budget, Training
from gridcloze.words import InputError

PRIOR = squares(6, 6, 2, 4)
HELD_OUT = PRIOR.sample(40, np.random.default_rng(1))


def curve(*held_out, dropout=()):
    dropped = [*dropout] + [dropout[-1] if dropout else 0.0] * (len(held_out) - len(dropout))
    return Curve([Score(100 * (n + 1), 0.5, *pair) for n, pair in enumerate(zip(held_out, dropped, strict=True))])


@pytest.mark.parametrize(
    ("scores", "cooled_from", "said"),
    [
        (curve(), 100, "longer would help: it ended too early"),
        (curve(0.5, 0.4), 200, "longer would help: it ended too early"),
        (curve(0.9, 0.5, 0.5, 0.49, 0.49), 500, "longer would help: held-out bits fell by 2 %"),
        (curve(0.9, 0.5, 0.5, 0.49, 0.49), None, "learned well"),
        (curve(0.9, 0.8, 0.6, 0.5, 0.4), 500, "longer would help: held-out bits fell by 33 %"),
        (curve(0.9, 0.4, 0.4, 0.399, 0.399, 0.2), 500, "learned well"),
        (
            curve(0.9, 0.4, 0.5, 0.39, 0.39, dropout=(0.0, 0.0, 0.0, 0.1)),
            500,
            "too few examples .* rose after 60 %",
        ),
    ],
)
def test_a_training_says_what_it_came_to(scores, cooled_from, said):
    """What was gained before the learning rate fell tells whether longer would help; what was dropped, too few."""
    assert scores.scores == [] or verdict(scores, None, is_cut_short=True).startswith(("longer", "too few"))
    line = verdict(scores, cooled_from)
    assert re.match(said, line), line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("scores", "rises"),
    [
        (curve(0.5, 0.52, 0.51), True),
        (curve(0.5, 0.501, 0.52), False),  # a share that may be chance
        (curve(0.004, 0.0048, 0.0047), False),  # next to the truth: shares are large, bits are not
        (curve(0.004, 0.0052, 0.0051), True),
        (curve(0.5, 0.52), False),
        (curve(0.5, 0.52, 0.51, dropout=(0.0, 0.0, 0.1)), False),
    ],
)
def test_held_out_bits_rise_when_it_is_no_chance(scores, rises):
    """Two scores in a row under the same dropout, above the best by a share and by a part of a bit."""
    assert scores.rises == rises


@pytest.mark.parametrize(
    ("dropout", "gain"),
    [((0.0,), 0.0), ((0.0, 0.0, 0.1), 0.0), ((0.0, 0.0, 0.0, 0.1), np.inf), ((0.1, 0.1, 0.1, 0.1, 0.2), np.inf)],
)
def test_what_is_dropped_has_time_to_help(dropout, gain):
    """Nothing is known of the gain while more is dropped than in the first three fifths of the steps."""
    assert curve(0.9, 0.4, 0.4, 0.4, 0.4, dropout=dropout).gain == gain


def test_scores_come_ever_more_seldom():
    """Some fifty scores in ten thousand steps, and none in a training of a few."""
    assert not any(map(is_due, range(50)))
    assert 30 < sum(map(is_due, range(10_000))) < 50


def test_a_curve_comes_back_from_its_note():
    """Also one whose training bits are no number yet."""
    scores = Curve([Score(50, float("nan"), 0.5, 0.1), Score(58, 0.25, 0.75)])
    assert Curve.from_json(scores.to_json()).scores[1:] == scores.scores[1:]
    assert scores.to_json()["training"] == [None, 0.25]
    assert np.isnan(Curve.from_json(scores.to_json()).scores[0].training)


@pytest.fixture
def often(monkeypatch):
    """Trainings are scored every four steps, and may end after twenty."""
    monkeypatch.setattr(training, "is_due", lambda steps: steps % 4 == 0)
    monkeypatch.setattr("gridcloze.curve.LEAST_STEPS", 20)


class Few:
    """Two grids to learn from: a training on them is soon worse on others."""

    height, width, n_symbols = 6, 6, 2

    def sample(self, n, generator):
        return np.stack([PRIOR.members[0], PRIOR.members[-1]]).astype(np.int64)[generator.integers(0, 2, n)]


def trained(budget, examples, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Bert(BertConfig(6, 6, 2, depth=1))
    run = Training(model, examples, HELD_OUT, budget, **options)
    run.run(resume="state_path" in options)
    return model, run.progress


def test_the_best_weights_are_kept(often, monkeypatch):
    """The model that comes out has the best of all scores; of a network that cannot drop that is not the last."""
    monkeypatch.delattr(Bert, "set_dropout")
    model, progress = trained(Budget(steps=120), Few())
    scores = [score.held_out for score in progress.curve.scores]
    assert scores.index(min(scores)) < len(scores) - 1
    assert training._held_out_bits(model, HELD_OUT) == min(scores) == progress.held_out_bits_per_hidden_cell


@pytest.mark.slow
def test_where_held_out_bits_rise_it_goes_back_and_drops_more(often, monkeypatch):
    """It ends far below where it ends when nothing is dropped, and below the best of that, too."""
    _, progress = trained(Budget(steps=120), Few())
    assert progress.dropout > 0
    assert progress.verdict.startswith("too few examples")
    monkeypatch.delattr(Bert, "set_dropout")
    _, without = trained(Budget(steps=120), Few())
    assert without.dropout == 0
    ends = [one.curve.scores[-1].held_out for one in (progress, without)]
    assert ends[0] < 0.85 * ends[1]
    assert progress.curve.best.held_out < without.curve.best.held_out


@pytest.mark.slow
def test_large_seeds_drop_too(often):
    """A seed may have 64 bits, of which torch is given what it takes."""
    assert trained(Budget(steps=120), Few(), seed=2**64 - 1)[1].dropout > 0


def test_nothing_is_dropped_where_there_are_examples_enough(often):
    """The negative control: with grids without end held-out bits fall."""
    _, progress = trained(Budget(steps=60), PRIOR)
    assert progress.dropout == 0


def test_a_training_without_a_length_ends_by_itself(often, monkeypatch):
    """It ends when held-out bits stop falling, after a last part in which the learning rate falls."""
    monkeypatch.setattr(training, "MOST_DROPOUT", 0.1)
    rates = []
    monkeypatch.setattr(Training, "_learning_rate_share", lambda self: rates.append(original(self)) or rates[-1])
    _, progress = trained(Budget(), Few())
    assert progress.cooled_from < progress.steps < 400
    assert progress.steps == pytest.approx(progress.cooled_from / (1 - training.COOLING), abs=1)
    assert rates[progress.cooled_from - 1] > 10 * rates[-1]


original = Training._learning_rate_share


def test_a_training_without_a_length_has_a_limit(monkeypatch):
    """After an hour, or what stands for it here, it has ended, and says that longer would help."""
    monkeypatch.setattr(training, "MOST_MINUTES_UNASKED", 1 / 60)
    _, progress = trained(Budget(), PRIOR)
    assert 0.9 <= progress.seconds < 20
    assert progress.verdict.startswith("longer would help")


@pytest.mark.slow
def test_a_stopped_training_on_few_examples_ends_as_one_that_was_not(often, tmp_path):
    """Dropout, averages, the best weights and the curve are in the state."""

    def stop(progress):
        if progress.steps == 90:
            os.kill(os.getpid(), signal.SIGINT)

    _, progress = trained(Budget(steps=120), Few(), state_path=tmp_path / "state", report=stop)
    assert progress.dropout > 0
    resumed, progress = trained(Budget(steps=120), Few(), state_path=tmp_path / "state")
    whole, of_whole = trained(Budget(steps=120), Few())
    assert progress.curve == of_whole.curve
    for one, other in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_what_a_training_came_to_is_its_last_line(gridcloze):
    """On the screen, under where the model is."""
    gridcloze("toy", "squares", "-o", "toy", "-n", 4)
    code, out, _ = gridcloze("train", "toy", "-o", "short.safetensors", "--steps", 1, "--depth", 1)
    assert code == 0
    done, came_to = out.splitlines()
    assert done.endswith("model in short.safetensors")
    assert came_to.startswith("longer would help")


def test_a_training_goes_on_from_another_model(gridcloze):
    """`--from`: weights, sizes and symbols are those of the model; it is named, and its other sizes may differ."""
    write_stack("examples.npy", PRIOR.sample(40, np.random.default_rng(0)))
    write_stack("larger.npy", squares(8, 7, 2, 4).sample(40, np.random.default_rng(0)))
    write_stack("whites.npy", np.ones((40, 6, 6), dtype=int))
    gridcloze("train", "examples.npy", "-o", "one.safetensors", "--depth", 1, "--steps", 1)
    first = checkpoint.load("one.safetensors")
    for examples in ("examples.npy", "larger.npy", "whites.npy"):
        code, _, _ = gridcloze(
            "train", examples, "-o", "two.safetensors", "--from", "one.safetensors", "--steps", 1, "--overwrite"
        )
        assert code == 0
        second = checkpoint.load("two.safetensors")
        assert second.header.training["parent"] == first.header.hash
        assert second.header.palette == first.header.palette
        assert second.header.config["depth"] == 1
    refused = {
        ("--depth", 2): "the model to start from has 1 layers: leave out the depth, or the model",
        ("--palette", "palette.json"): "the symbols are those of the model: leave out --palette, or --from",
    }
    for options, line in refused.items():
        code, _, err = gridcloze(
            "train", "examples.npy", "-o", "three.safetensors", "--from", "one.safetensors", *options
        )
        assert (code, err) == (2, f"gridcloze: {line}\n") or line in err
        assert code == 2


def test_what_was_learned_is_where_the_next_training_begins():
    """With no step at all, a model that starts from another answers as it does."""
    from gridcloze.files.palettes import Palette
    from gridcloze.learning import learn
    from gridcloze.priors.examples import Examples

    examples = Examples(PRIOR.sample(60, np.random.default_rng(0)).astype(int), Palette.default(2))
    first = learn(examples, Budget(steps=60), depth=1)
    again = learn(examples, Budget(steps=1), depth=1, start=first)
    fresh = learn(examples, Budget(steps=1), depth=1)
    bits = [one.header.training["held_out_bits_per_hidden_cell"] for one in (first, again, fresh)]
    assert bits[1] < bits[0] + 0.02 < bits[2]
    with pytest.raises(InputError, match="other symbols"):
        learn(Examples(examples.cells, Palette.default(3)), Budget(steps=1), start=first)
