"""The training loop, on problems small enough to train in a second."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from gridcloze import checkpoint, learning, scoring, training
from gridcloze.bert import Bert, BertConfig
from gridcloze.calibrating import calibrate
from gridcloze.commands import train as command
from gridcloze.files.arrays import write_stack
from gridcloze.files.palettes import Palette
from gridcloze.files.paths import atomic_write, only_one
from gridcloze.learning import learn
from gridcloze.logits import Calibration, distance_to_visible
from gridcloze.muon import orthogonalised
from gridcloze.networks import NetworkPredictor
from gridcloze.priors.examples import Examples
from gridcloze.priors.finite import squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.priors.known import posterior
from gridcloze.training import NOTES, Budget, Pool, Training, cross_entropy, training_batch, weights_of_grids
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
    assert same_weights(resumed, trained(9)[0])
    complete, progress = trained(
        9, state_path=state, report=lambda progress: pytest.fail("a step") if progress.share < 1 else None
    )
    assert (progress.steps, progress.interrupted) == (9, False)
    assert same_weights(complete, resumed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_answered_at_once_and_ends_a_training_after_its_step(tmp_path, number):
    """Ctrl-C, and SIGTERM where there is a state to come back to, are told and end the training; handlers come back."""
    before, told = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)], []

    def stop(progress):
        if progress.steps == 2:
            os.kill(os.getpid(), number)

    _, progress = trained(9, report=stop, state_path=tmp_path / "state", tell=told.append)
    assert (progress.steps, progress.interrupted) == (2, True)
    assert told == [training.STOPPING]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_training_that_is_stopped_before_its_first_step_can_be_resumed(tmp_path):
    """A state without steps is a state."""
    stopped, progress = trained(3, state_path=tmp_path / "state", report=lambda _: stop())
    assert progress.steps == 0
    assert np.isfinite(progress.held_out_bits_per_hidden_cell)
    assert same_weights(stopped, fresh())
    assert same_weights(trained(3, state_path=tmp_path / "state")[0], trained(3)[0])


@pytest.fixture
def state(tmp_path):
    """A state after three steps, with its tensors and its notes."""
    path = tmp_path / "state"
    trained(3, state_path=path, settings="one")
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return path, tensors, json.loads(json.loads(file.metadata()[NOTES])[0])


def is_refused(path, match, settings="one"):
    content = path.read_bytes()
    with pytest.raises(InputError, match=match) as error:
        trained(3, state_path=path, settings=settings)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_a_state_of_another_training_is_refused(state):
    """A state saved with other settings is refused in one line."""
    is_refused(state[0], "other examples or options", settings="other")


WEIGHT = "model/embedding_to_patch.weight"
NOTES_THAT_LIE = {
    "steps a word": {"steps": "x"},
    "steps below 0": {"steps": -5},
    "half a step": {"steps": 2.5},
    "steps true": {"steps": True},
    "too many steps": {"steps": 10**30},
    "no steps": {"steps": None},
    "no step, but optimizers": {"steps": 0},
    "seconds a word": {"seconds": "1"},
    "seconds NaN": {"seconds": float("nan")},
    "seconds below 0": {"seconds": -1.0},
    "seconds without end": {"seconds": float("inf")},
    "bits a list": {"held_out_bits_per_hidden_cell": [1]},
    "bits NaN": {"held_out_bits_per_hidden_cell": float("nan")},
    "bits without end": {"held_out_bits_per_hidden_cell": 1e999},
}
TENSORS_THAT_LIE = {
    "a missing weight": lambda tensors: tensors.pop("model/position"),
    "a missing moment": lambda tensors: tensors.pop("optimizer/1/0/momentum"),
    "no optimizers": lambda tensors: [tensors.pop(name) for name in [*tensors] if name.startswith("optimizer")],
    "a tensor too many": lambda tensors: tensors.update({"optimizer/x/y": torch.zeros(1)}),
    "an optimizer too many": lambda tensors: tensors.update({"optimizer/2/0/step": torch.zeros(())}),
    "another shape": lambda tensors: tensors.update({WEIGHT: tensors[WEIGHT].T.contiguous()}),
    "another type": lambda tensors: tensors.update({WEIGHT: tensors[WEIGHT].double()}),
    "bfloat16": lambda tensors: tensors.update({WEIGHT: tensors[WEIGHT].bfloat16()}),
    "whole numbers": lambda tensors: tensors.update({WEIGHT: tensors[WEIGHT].int()}),
    "a weight NaN": lambda tensors: tensors[WEIGHT].view(-1)[:1].fill_(float("nan")),
    "a moment without end": lambda tensors: tensors["optimizer/1/0/momentum"].view(-1)[:1].fill_(float("inf")),
}


def lying(path, tensors, text):
    """Writes a state whose hash is right."""
    hashed = {name: value.float() if value.dtype == torch.bfloat16 else value for name, value in tensors.items()}
    save_file(tensors, path, {NOTES: json.dumps([text, training._hash(text, hashed)])})


@pytest.mark.parametrize("case", NOTES_THAT_LIE)
def test_a_state_whose_notes_lie_is_refused(state, case):
    """Notes are checked even if the hash of the state is right."""
    path, tensors, notes = state
    lying(path, tensors, json.dumps(notes | NOTES_THAT_LIE[case]))
    is_refused(path, "is damaged")


@pytest.mark.parametrize("case", TENSORS_THAT_LIE)
def test_a_state_whose_tensors_lie_is_refused(state, case):
    """Names, shapes, types and values of tensors are checked even if the hash of the state is right."""
    path, tensors, notes = state
    TENSORS_THAT_LIE[case](tensors)
    lying(path, tensors, json.dumps(notes))
    is_refused(path, "is damaged")


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", "{}", "[" * 10**5, '{"steps": 1' + "0" * 5000 + "}"])
def test_a_state_with_other_notes_is_refused(state, text):
    """Notes may be anything: they are refused in one line."""
    path, tensors, _ = state
    lying(path, tensors, text)
    is_refused(path, "is damaged")


def test_a_state_that_was_altered_is_refused(state):
    """One bit anywhere, or a part that is missing, is found; so is a file of another kind."""
    path, whole = state[0], state[0].read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 40):
        content = bytearray(whole)
        content[place] ^= 1 << int(place) % 8
        path.write_bytes(content)
        is_refused(path, r"is damaged|other examples")
    for content in (b"", whole[:7], whole[:100], whole[:-1], whole + b"0", b"PK\3\4", bytes(8)):
        path.write_bytes(content)
        is_refused(path, "is damaged")


def test_a_training_that_diverges_leaves_the_last_good_state(tmp_path, monkeypatch):
    """A loss or a weight that is no finite number ends the training; the state before it stays as it is."""
    path, saves = tmp_path / "state", []
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", -1.0)

    def spoil(progress):
        if progress.steps == 3:
            saves.append(path.read_bytes())
            next(model.parameters()).data.fill_(float("nan"))

    for steps, state in ((9, path), (3, path), (3, None)):
        model = fresh()
        with pytest.raises(InputError, match="the training diverged after 3 steps"):
            Training(model, PRIOR, HELD_OUT, Budget(steps=steps), report=spoil, state_path=state).run()
        assert path.read_bytes() == saves[-1]


def test_a_full_disk_ends_no_training(tmp_path, monkeypatch):
    """A state that cannot be saved is told once; the training goes on, and saves it when there is room again."""
    told, attempts = [], []

    def full(path):
        attempts.append(path)
        if len(attempts) < 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return atomic_write(path)

    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", -1.0)
    monkeypatch.setattr(training, "atomic_write", full)
    model, _ = trained(5, state_path=tmp_path / "state", tell=told.append)
    assert told == ["the state of the training could not be saved (No space left on device)"]
    assert len(attempts) == 6
    assert same_weights(trained(5, state_path=tmp_path / "state")[0], model)


EXAMPLES = ("examples.npy", "-o", "m.safetensors", "--depth", 1)


@pytest.fixture
def train(gridcloze):
    """Runs `gridcloze train` on a small stack."""
    write_stack("examples.npy", PRIOR.sample(40, np.random.default_rng(0)))
    return lambda *options: gridcloze("train", *EXAMPLES, *options)


def stop():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def interrupted(train, monkeypatch):
    """A training that was interrupted after two of six steps, with its state and its model."""
    with monkeypatch.context() as patch:
        news = command._news
        patch.setattr(command, "_news", lambda progress: (progress.steps == 2 and stop()) or news(progress))
        code, out, err = train("--steps", 6)
    assert (code, out[:11]) == (0, "interrupted")
    assert training.STOPPING in err
    return Path("m.safetensors.resume"), Path("m.safetensors")


def test_a_fresh_training_does_not_delete_an_interrupted_one(train, interrupted):
    """It is refused before anything is read; --resume continues it, --overwrite drops it."""
    before = [path.read_bytes() for path in interrupted]
    Path("examples.npy").rename("away.npy")
    code, _, err = train("--steps", 6)
    assert code == 2
    assert re.search(r"m.safetensors.resume is that of an interrupted training: .*--resume, .*--overwrite\n$", err)
    assert err.count("\n") == 1
    assert [path.read_bytes() for path in interrupted] == before
    Path("away.npy").rename("examples.npy")
    code, _, err = train("--steps", 7, "--resume")
    assert (code, err.count("\n")) == (2, 1)
    assert "other examples or options" in err
    assert [path.read_bytes() for path in interrupted] == before
    assert train("--steps", 6, "--resume")[0] == 0
    assert names() == ["examples.npy", "m.safetensors"]


def test_overwrite_drops_an_interrupted_training(train, interrupted):
    """With --overwrite a training starts anew."""
    assert train("--steps", 3, "--overwrite")[0] == 0
    assert names() == ["examples.npy", "m.safetensors"]
    assert checkpoint.read_header("m.safetensors").training["steps"] == 3


def test_a_model_is_replaced_only_when_told_to(train):
    """A second training is refused; --resume after a complete one and of nothing say so."""
    code, _, err = train("--steps", 2, "--resume")
    assert code == 0
    assert err.startswith("no interrupted training of m.safetensors: starting a new one\n")
    model = Path("m.safetensors").read_bytes()
    ends = (((), 2, "is there already.*--overwrite"), (("--resume",), 0, "is complete.*nothing to resume"))
    for options, expected, match in ends:
        code, _, err = train("--steps", 2, *options)
        assert (code, err.count("\n")) == (expected, 1)
        assert re.search(f"m.safetensors {match}", err)
        assert Path("m.safetensors").read_bytes() == model
    assert train("--steps", 3, "--overwrite")[0] == 0
    assert Path("m.safetensors").read_bytes() != model


def write_foreign():
    Path("m.safetensors").write_bytes(b"mine")


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (write_foreign, "m.safetensors was not written by gridcloze"),
        (lambda: Path("m.safetensors").symlink_to("examples.npy"), "m.safetensors is an input, examples.npy"),
        (lambda: os.link("examples.npy", "m.safetensors"), "m.safetensors is an input, examples.npy"),
        (lambda: Path("m.safetensors.resume").symlink_to("examples.npy"), "m.safetensors.resume is an input"),
        (lambda: Path("m.safetensors.resume").write_text("mine"), "m.safetensors.resume was not written by gridcloze"),
        (lambda: Path("m.safetensors").mkdir(), "m.safetensors: cannot be written, it is a folder"),
    ],
)
def test_a_training_replaces_nothing_of_somebody(train, make, line):
    """Not with --overwrite either, and neither through links."""
    make()
    before = {path: path.is_file() and path.read_bytes() for path in Path().iterdir()}
    code, _, err = train("--steps", 2, "--overwrite")
    assert (code, err.count("\n")) == (2, 1)
    assert line in err
    assert {path: path.is_file() and path.read_bytes() for path in Path().iterdir()} == before


@pytest.mark.parametrize("name", ["examples.npy", "model", "m.onnx", "m.resume"])
def test_the_name_of_a_model_ends_as_model_files_do(gridcloze, name):
    """A name that no model has, that of the examples among them, is refused before they are read."""
    Path("examples.npy").write_bytes(b"")
    code, _, err = gridcloze("train", "examples.npy", "-o", name, "--steps", 1)
    assert (code, err) == (2, f"gridcloze: {name}: the name of a model ends in .safetensors\n")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--steps", 10**30), "length of the training"),
        (("--minutes", "nan"), "length of the training"),
        (("--minutes", "inf"), "length of the training"),
        (("--minutes", "1e300"), "length of the training"),
        (("--steps", 1, "--seed", 2**64), "the seed of a training"),
        (("--steps", 1, "--seed", 2**200), "the seed of a training"),
        (("--steps", 1, "--depth", 500), "of memory"),
    ],
)
def test_odd_numbers_are_refused_in_one_line(train, options, line):
    """Numbers that no training can have end it before it begins."""
    code, _, err = train(*options)
    assert (code, err.count("\n")) == (2, 1)
    assert line in err


def test_the_largest_seed_and_the_shortest_time(train):
    """Numbers at the ends of what is possible work."""
    assert train("--minutes", "5e-324", "--seed", 2**64 - 1)[0] == 0


def test_a_full_disk_keeps_what_was_learned(train, monkeypatch):
    """If the model cannot be written, the state stays, and --resume ends the training without a step."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        code, _, err = train("--steps", 4)
    assert code == 2
    assert re.search(r"m.safetensors could not be written \(No space left on device\): make room, .* --resume\n$", err)
    assert names() == ["examples.npy", "m.safetensors.resume"]
    monkeypatch.setattr(Training, "_step", None)
    assert train("--steps", 4, "--resume")[0] == 0
    assert names() == ["examples.npy", "m.safetensors"]


def test_two_trainings_of_one_model_do_not_mix(train):
    """A second process is refused in one line while the first trains."""
    with only_one("m.safetensors"):
        code, _, err = train("--steps", 2)
    assert (code, err.count("\n")) == (2, 1)
    assert "m.safetensors: another run is writing here" in err
    assert names() == ["examples.npy"]


def killing(function, after):
    """A function during or after which the process is killed."""

    def killed(*arguments, **options):
        if after:
            function(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    return killed


MOMENTS = {
    "saving": (training.Training, "_save", False),
    "saved": (training.Training, "_save", True),
    "calibrating": (learning, "calibrate", False),
    "writing": (checkpoint, "save", False),
    "renaming": (os, "replace", False),
    "renamed": (os, "replace", True),
    "written": (checkpoint, "save", True),
}


@pytest.fixture
def one_thread():
    """As many threads in this process as in a forked one, which can have no more: weights depend on them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_training_killed_at_its_end_is_not_lost(train, monkeypatch, one_thread, moment):
    """A training that is killed in its last second has its weights when it is resumed, and leaves nothing else."""
    owner, name, after = MOMENTS[moment]
    child = os.fork()
    if child == 0:
        setattr(owner, name, killing(getattr(owner, name), after))
        try:
            command.train(command.Source(Path("examples.npy")), Path("m.safetensors"), Budget(steps=4), 0, 1)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    saved = moment not in ("saving", "renaming")
    assert Path("m.safetensors.resume").exists() == saved
    with monkeypatch.context() as patch:
        if saved:
            patch.setattr(Training, "_step", None)
        assert train("--steps", 4, "--resume")[0] == 0
    assert names() == ["examples.npy", "m.safetensors"]
    resumed = checkpoint.load("m.safetensors").base.model
    assert train("--steps", 4, "--overwrite")[0] == 0
    assert same_weights(checkpoint.load("m.safetensors").base.model, resumed)


def names():
    return sorted(path.name for path in Path().iterdir())


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
    resumed = learned(
        report=lambda progress: records.append({"note": progress.steps}), resume=True, more_record=lambda: records[-1]
    )
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


def test_grids_with_few_hidden_cells_count_more_for_each():
    """A cell counts by the number of scored ones in its grid to the power -1/2, and all of a batch count 1."""
    scored = np.random.default_rng(0).random((6, 4, 4)) < np.array([0.1, 0.3, 0.5, 0.7, 1, 0])[:, None, None]
    weights, n = weights_of_grids(scored), scored.sum(axis=(1, 2))
    assert (weights * n).sum() == pytest.approx(1)
    assert weights[:5] / weights[4] == pytest.approx(np.sqrt(16 / n[:5]))
    assert (weights_of_grids(np.zeros_like(scored)) == 1).all()
    cells = PRIOR.sample(6, np.random.default_rng(1))
    model, hidden = trained(20)[0], scored | (np.arange(6) == 5)[:, None, None]
    weights = weights_of_grids(hidden)
    of_grids = [cross_entropy(model, cells[i : i + 1], hidden[i : i + 1]).item() for i in range(6)]
    by_hand = sum(w * k * loss for w, k, loss in zip(weights, hidden.sum(axis=(1, 2)), of_grids, strict=True))
    assert cross_entropy(model, cells, hidden, None, weights).item() == pytest.approx(by_hand, rel=1e-5)
    assert cross_entropy(model, cells, hidden).item() != pytest.approx(by_hand, rel=1e-3)


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


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.4])
def test_what_is_dropped_more_sees_more_parts_and_more_other_symbols(dropout):
    """Batches show whole grids, or parts from any place and of at least half of each side; symbols change places."""
    grid = np.arange(48).reshape(1, 6, 8)
    grid[0, 0, 0] = -1
    batches = [
        training_batch(Examples(grid, Palette.default(48)), np.random.default_rng(n), dropout) for n in range(60)
    ]
    sizes = np.array([cells.shape[1:] for cells, _, _ in batches])
    assert (sizes >= (3, 4)).all()
    assert (sizes < (6, 8)).any(axis=1).mean() == pytest.approx(min(0.8, 4 * dropout) * (1 - 1 / 20), abs=0.13)
    parts = [part for cells, _, _ in batches for part in cells]
    assert all(len(np.unique(part)) == part.size for part in parts)  # each symbol is still another one
    shifted = np.array([(np.diff(part[:, 1:]) == 1).all() and (np.diff(part[1:], axis=0) == 8).all() for part in parts])
    assert 1 - shifted.mean() == pytest.approx(min(0.6, 2 * dropout), abs=0.03)
    assert {part[0, 0] % 8 for part in parts if part.shape[1] == 4} >= ({0, 1, 2, 3} if dropout else set())
    assert (np.array([(part == -1).sum() for part in parts]) <= 1).all()
    assert any((part == -1).any() for part in parts)


def test_of_two_symbols_none_becomes_the_other():
    """Ink is never paper, however much is dropped; parts are cut all the same."""
    cells = np.zeros((1, 6, 8), dtype=int)
    for n in range(20):
        assert not training_batch(Examples(cells, Palette.default(2)), np.random.default_rng(n), 0.4)[0].any()


def test_muon_steps_are_nearly_orthogonal():
    """The singular values of an orthogonalised matrix are near 1, for wide and for tall ones."""
    matrices = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0))
    for some in (matrices, matrices.mT):
        values = torch.linalg.svdvals(orthogonalised(some))
        assert values.min() > 0.6
        assert values.max() < 1.3


@pytest.mark.parametrize(
    "options",
    [{"minutes": 1.0, "steps": 5}, {"steps": 0}, {"minutes": -1.0}, {"minutes": float("nan")}, {"steps": 10**10}],
)
def test_a_budget_is_minutes_or_steps(options):
    """A budget of both, or of nothing, is refused."""
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
    """A model that is too sure by a factor gets that temperature at all distances; one that is right gets 1."""
    found = calibrate(Sharpened(factor), HELD_OUT)
    assert len(found.temperatures) > 1
    assert found.temperatures == pytest.approx([factor] * len(found.temperatures), rel=0.15)
    assert found.points[0] == 1
    assert list(found.points) == sorted(set(found.points))


@pytest.mark.parametrize("most", [1, 3, 100])
def test_the_distance_to_what_is_visible(most):
    """That of brute force, up to the distance to stop at; without a visible cell it is the larger side."""
    shares = np.array([0.0, 0.5, 0.9, 0.97, 1.0])[:, None, None]
    hidden = np.random.default_rng(0).random((5, 7, 11)) < shares
    brute = np.full(hidden.shape, 11)
    for place in np.argwhere(~hidden):
        steps = np.abs(np.indices((7, 11)) - place[1:, None, None]).max(axis=0)
        brute[place[0]] = np.minimum(brute[place[0]], steps)
    assert (distance_to_visible(hidden, most) == np.minimum(brute, most)).all()
    assert (distance_to_visible(hidden, most)[4] == min(most, 11)).all()


class SureFarAway(Sharpened):
    """The exact answer next to visible cells, and too sure of all others."""

    def forward(self, tokens):
        far = distance_to_visible(tokens.numpy() == 2, 2) > 1
        return super().forward(tokens) / self.factor * torch.from_numpy(np.where(far[..., None], 2.0, 1.0))


def test_calibration_is_by_distance_from_what_is_visible():
    """What a model is too sure of far from the visible cells does not make it less sure next to them."""
    found = calibrate(SureFarAway(1.0), HELD_OUT)
    assert found.temperatures == pytest.approx([1.0] + [2.0] * (len(found.points) - 1), rel=0.15)
    cells = PRIOR.sample(2000, np.random.default_rng(3))
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(4))
    bits = [
        scoring.score(NetworkPredictor(SureFarAway(1.0), each).marginals(cells, hidden), cells, hidden)
        for each in (found, calibrate(SureFarAway(1.0), HELD_OUT, most=1), Calibration())
    ]
    by_distance, one, none = (each["bits_per_hidden_cell"] for each in bits)
    assert by_distance < one < none


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
