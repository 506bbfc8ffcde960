"""The training loop, on problems small enough to train in a second."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

from gridcloze import checkpoint, scoring
from gridcloze.bert import Bert, BertConfig
from gridcloze.calibrating import calibrate
from gridcloze.files.arrays import write_stack
from gridcloze.files.palettes import Palette
from gridcloze.learning import learn
from gridcloze.muon import orthogonalised
from gridcloze.networks import NetworkPredictor
from gridcloze.priors.examples import Examples
from gridcloze.priors.finite import squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.priors.known import posterior
from gridcloze.training import Budget, Pool, Training, cross_entropy, training_batch
from gridcloze.words import InputError

PRIOR = squares(4, 4, 2, 3)
HELD_OUT = PRIOR.sample(64, np.random.default_rng(1))


def fresh():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Bert(BertConfig(4, 4, 2, depth=2))


def trained(steps, seed=0, examples=PRIOR, **options):
    model = fresh()
    training = Training(model, examples, HELD_OUT, Budget(steps=steps), seed, **options)
    training.run(resume=options.get("state_path") is not None)
    return model, training.progress


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.slow
def test_training_comes_near_the_exact_answer():
    """250 steps take away four fifths of the excess that a fresh model has over the exact posterior."""
    cells = PRIOR.sample(500, np.random.default_rng(2))
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(3))
    exact = posterior(PRIOR).marginals(cells, hidden)
    model, progress = trained(250)
    excess = [
        scoring.excess_bits(NetworkPredictor(one).marginals(cells, hidden), exact, hidden) for one in (fresh(), model)
    ]
    assert excess[1] < 0.2 * excess[0]
    assert progress.held_out_bits_per_hidden_cell == pytest.approx(
        scoring.bits_per_hidden_cell(exact, cells, hidden), abs=0.1
    )


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    """A training in steps is repeated to the bit by its seed."""
    assert same_weights(trained(5, seed=3)[0], trained(5, seed=3)[0])
    assert not same_weights(trained(5, seed=3)[0], trained(5, seed=4)[0])


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path):
    """Ctrl-C ends with a usable model; resumed, the run has the weights of one that was never interrupted."""

    def interrupt(progress):
        if progress.steps == 4:
            os.kill(os.getpid(), signal.SIGINT)

    state = tmp_path / "state"
    broken, progress = trained(9, report=interrupt, state_path=state)
    assert progress.interrupted
    assert progress.steps == 4
    assert not broken.training
    assert state.exists()
    resumed, progress = trained(9, state_path=state)
    assert progress.steps == 9
    assert not state.exists()
    assert same_weights(resumed, trained(9)[0])


def test_a_state_of_another_training_is_refused(tmp_path):
    """A state saved with other settings, or damaged, is refused in one line."""
    state = tmp_path / "state"
    training = Training(fresh(), PRIOR, HELD_OUT, Budget(steps=2), state_path=state, settings="one")
    training.optimizers = []
    training._save()
    with pytest.raises(InputError, match="other examples or options"):
        Training(fresh(), PRIOR, HELD_OUT, Budget(steps=2), state_path=state, settings="other").run(resume=True)
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(InputError, match="is damaged"):
        Training(fresh(), PRIOR, HELD_OUT, Budget(steps=2), state_path=state, settings="one").run(resume=True)


def test_the_record_of_a_model_is_complete_in_its_header(tmp_path):
    """More entries stand in the header as they are when the training is over, and name no state to resume from."""
    examples, state = Examples(PRIOR.sample(40, np.random.default_rng(0)), Palette.default(2)), tmp_path / "state"
    records = []

    def interrupt(progress):
        records.append({"note": progress.steps})
        if progress.steps == 2:
            os.kill(os.getpid(), signal.SIGINT)

    def learned(**options):
        return learn(examples, Budget(steps=4), 1, 1, state_path=state, **options).header.training

    assert learned(report=interrupt)["interrupted"]
    resumed = learned(report=interrupt, resume=True, more_record=lambda: records[-1])
    assert (resumed["steps"], resumed["note"], resumed["data"]) == (4, 4, examples.record["data"])
    assert "note" not in learned()


def test_unknown_cells_are_hidden_and_never_scored():
    """The loss does not change with what a model says at unknown cells, and has no part of theirs."""
    cells = HELD_OUT.copy()
    cells[:, 0] = -1
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(0))
    model = fresh()
    loss = cross_entropy(model, cells, hidden).item()
    assert loss == pytest.approx(np.log(2), abs=1e-6)  # a fresh model says 1/2 everywhere
    everything_unknown = np.full_like(cells, -1)
    assert cross_entropy(model, everything_unknown, hidden).item() == 0


def test_the_targets_of_a_pool_are_the_exact_posterior_of_its_examples():
    """The mean of the targets over all grids that look alike is what Bayes says, if the pool is the prior itself."""
    members = PRIOR.members.astype(np.int64)
    hidden = np.repeat(evaluation_hiding((40, 4, 4), np.random.default_rng(0)), len(members), axis=0)
    cells = np.tile(members, (40, 1, 1))
    targets = Pool(members, 2, torch.device("cpu")).targets(cells, hidden).numpy()
    alike = np.where(hidden, -1, cells)
    exact = posterior(PRIOR).marginals(cells, hidden)
    for number in range(0, len(cells), 7):
        same = (alike == alike[number]).all(axis=(1, 2)) & (hidden == hidden[number]).all(axis=(1, 2))
        assert np.allclose(targets[same].mean(axis=0), exact[number], atol=0.005)  # bfloat16 counts
    other = Pool(members[: len(members) // 2], 2, torch.device("cpu")).targets(cells, hidden).numpy()
    assert np.abs(other - targets).max() > 0.2


def test_a_pool_changes_the_noise_of_the_loss_but_not_its_mean():
    """Over many draws the loss with targets of a pool has the same mean as that with the grids themselves."""
    model, generator = trained(20)[0], np.random.default_rng(4)
    losses = []
    for _ in range(200):
        cells = PRIOR.sample(16, generator)
        hidden = evaluation_hiding(cells.shape, generator)
        targets = Pool(PRIOR.sample(64, generator), 2, torch.device("cpu")).targets(cells, hidden)
        with torch.no_grad():
            losses.append([cross_entropy(model, cells, hidden, of).item() for of in (None, targets)])
    plain, pooled = np.array(losses).T
    difference = plain - pooled
    assert abs(difference.mean()) < 3 * difference.std() / len(losses) ** 0.5
    assert pooled.std() < 0.9 * plain.std()


def test_a_grid_with_unknown_cells_is_no_pattern_for_others():
    """Examples that are not whole are in no pool, and what is known of a grid alone is its own target."""
    cells = PRIOR.sample(10, np.random.default_rng(0))
    cells[:, 0, 0] = -1
    hidden = np.ones(cells.shape, dtype=bool)
    targets = Pool(cells, 2, torch.device("cpu")).targets(cells, hidden).numpy()
    assert np.array_equal(targets, cells[..., None] == np.arange(2))


def test_examples_with_unknown_cells_can_be_learned_from():
    """A training on examples with unknown cells runs and keeps every weight finite."""
    cells = PRIOR.sample(100, np.random.default_rng(5))
    cells[np.random.default_rng(6).random(cells.shape) < 0.3] = -1
    model, _ = trained(4, examples=Examples(cells, Palette.default(2)))
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_a_batch_follows_from_its_generator():
    """The same generator gives the same grids and the same hidden cells."""
    one, other = (training_batch(PRIOR, np.random.default_rng([0, 7])) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_muon_steps_are_nearly_orthogonal():
    """The singular values of an orthogonalised matrix are near 1, for wide and for tall ones."""
    matrices = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0))
    for some in (matrices, matrices.mT):
        values = torch.linalg.svdvals(orthogonalised(some))
        assert values.min() > 0.6
        assert values.max() < 1.3


@pytest.mark.parametrize(
    "options",
    [{}, {"minutes": 1.0, "steps": 5}, {"steps": 0}, {"minutes": -1.0}, {"minutes": float("nan")}, {"steps": 10**10}],
)
def test_a_budget_is_minutes_or_steps(options):
    """A budget of neither, both, or nothing is refused."""
    with pytest.raises(InputError, match="length of the training"):
        Budget(**options)


class Sharpened(nn.Module):
    """The exact answer with all log-probabilities multiplied: too sure of itself, or not enough."""

    n_symbols = 2
    window = None

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, tokens):
        exact = posterior(PRIOR).marginals(tokens.numpy() % 2, tokens.numpy() == 2)
        return torch.from_numpy(np.log(np.clip(exact, 1e-6, 1))) * self.factor


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_calibration_finds_the_temperature(factor):
    """A model that is too sure by a factor gets that temperature where much is hidden; one that is right gets 1."""
    found = calibrate(Sharpened(factor), HELD_OUT)
    assert len(found.temperatures) > 1
    assert found.temperatures[-1] == pytest.approx(factor, rel=0.15)  # where little is, nearly all cells are determined
    assert list(found.hidden_fractions) == sorted(found.hidden_fractions)


def test_calibration_of_next_to_nothing():
    """A few cells get one temperature, and unknown cells are not scored."""
    cells = HELD_OUT[:1].copy()
    cells[:, 1:] = -1
    assert len(calibrate(fresh(), cells).temperatures) == 1
    assert calibrate(fresh(), np.full_like(cells, -1)).temperatures == (1.0,)


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_state(tmp_path):
    """A run that is killed outright and resumed ends with the weights of one that was never killed."""
    write_stack(tmp_path / "grids.npy", PRIOR.sample(200, np.random.default_rng(0)))

    def command(name, *more):
        script = "import gridcloze.training as t; t.SECONDS_BETWEEN_SAVES = 0.0; from gridcloze.cli import main; main()"
        options = ["train", "grids.npy", "-o", f"{name}.safetensors", "--steps", "60", *more]
        return subprocess.Popen([sys.executable, "-c", script, *options], cwd=tmp_path, stderr=subprocess.DEVNULL)

    killed = command("killed")
    state = tmp_path / "killed.safetensors.resume"
    while not state.exists() and killed.poll() is None:
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert state.exists()
    assert not (tmp_path / "killed.safetensors").exists()
    assert command("killed", "--resume").wait() == 0
    assert command("whole").wait() == 0
    one, other = (checkpoint.load(tmp_path / f"{name}.safetensors").base.model for name in ("killed", "whole"))
    assert same_weights(one, other)
