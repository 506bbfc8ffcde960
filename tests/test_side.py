"""Side maps: what is known of every cell besides its symbol, from the model to every answer."""

import logging
from dataclasses import asdict, replace

import jaxtyping
import numpy as np
import pytest
import torch

from gridcloze import Inpainter, answers, checkpoint, filling, scoring
from gridcloze.answers import AnswersByRows
from gridcloze.bert import Bert, BertConfig
from gridcloze.checking import contradicting
from gridcloze.checkpoint import Header, TrainedPredictor
from gridcloze.decoding import ONE_AT_A_TIME
from gridcloze.files.palettes import Palette
from gridcloze.learning import learn
from gridcloze.networks import NetworkPredictor
from gridcloze.priors import Examples, Windows, evaluation_hiding, posterior, squares
from gridcloze.puzzles import Puzzles
from gridcloze.side import Channel, SideMaps, as_side, check_names, check_side, encoded, with_side, without
from gridcloze.training import Budget, training_batch
from gridcloze.words import InputError

FLIPPED = 0.1
PRIOR = squares(6, 6, 2, 4)


def flips(cells, generator):
    """Each cell, seen through a channel that flips it with a known probability."""
    return (cells ^ (generator.random(cells.shape) < FLIPPED))[..., None].astype(np.float32)


def of_flips(side):
    """The probability of what was seen, under both symbols."""
    white = np.where(side[..., 0] == 1, 1 - FLIPPED, FLIPPED)
    return np.where(np.isnan(side), 0.5, np.stack([1 - white, white], axis=-1))


class ExactThroughFlips:
    """The exact posterior of squares that are seen through flips, as a predictor with side maps."""

    n_symbols, window, side = 2, None, (Channel("seen", (0.0, 1.0)),)

    def marginals(self, cells, hidden, side):
        return posterior(PRIOR).marginals(cells, hidden, of_flips(side))


class Copier:
    """Predicts in windows what the side map shows: whoever confuses grids, windows or rows is found out."""

    n_symbols, window, side = 2, (4, 4), (Channel("truth", (0.0, 1.0)),)

    def marginals(self, cells, hidden, side):
        assert cells.shape == side.shape[:3]
        certain = np.eye(2)[np.nan_to_num(side[..., 0]).astype(int)]
        return np.where(hidden[..., None], certain, np.eye(2)[np.where(hidden, 0, cells)])


CHANNELS = (Channel("zone", (0.0, 1.0)), Channel("depth"))


def untrained(windows=False, size=(6, 6), n_features=5, channels=CHANNELS):
    """A model with random weights and side maps."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(*size, 2, depth=1, patch=2, side=n_features)
        model = Bert(config).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
    header = Header(asdict(config), Palette.default(2), windows=windows, side=channels)
    return TrainedPredictor(NetworkPredictor(model), header)


def some_side(n, size=(6, 6), seed=0):
    generator = np.random.default_rng(seed)
    side = np.stack([generator.integers(0, 2, (n, *size)), generator.normal(size=(n, *size))], axis=-1)
    return np.where(generator.random(side.shape) < 0.1, np.nan, side).astype(np.float32)


# The model


def test_a_model_without_side_maps_is_what_it_was():
    """Its weights have the old names, its file says nothing of side maps, and it draws the same random numbers."""
    model = Bert(BertConfig(6, 6, 2, depth=1))
    assert not any("side" in name for name in model.state_dict())
    predictor = learn(
        Examples(PRIOR.sample(30, np.random.default_rng(0)), Palette.default(2)), Budget(steps=1), depth=1
    )
    assert "side" not in predictor.header.config
    assert "side" not in checkpoint._header_to_json(predictor.header)
    cells, _, side = training_batch(PRIOR, np.random.default_rng(0))
    assert side is None
    assert (cells == PRIOR.sample(64, np.random.default_rng(0))).all()


def test_side_maps_start_by_saying_nothing():
    """A new model with side maps has the other weights, and the answers, of one without."""
    models = []
    for n_features in (0, 3):
        torch.manual_seed(0)
        models.append(Bert(BertConfig(5, 6, 2, depth=2, side=n_features)))
    plain, sided = models
    torch.nn.init.normal_(plain.cell_path.cell_to_symbols.weight)
    shared = plain.state_dict()
    assert all(
        (value == shared[name]).all()
        for name, value in sided.state_dict().items()
        if name in shared and "cell_to" not in name
    )
    sided.load_state_dict(sided.state_dict() | shared)
    tokens, side = torch.randint(0, 3, (2, 5, 6)), torch.randn(2, 5, 6, 3)
    assert torch.equal(plain(tokens), sided(tokens, side=side))


def test_the_number_of_weights_is_counted():
    """A config with side maps says how many weights its model has; a file is judged by it."""
    for channels, patch in ((16, 2), (0, 1)):
        config = BertConfig(5, 6, 3, depth=2, patch=patch, channels=channels, side=4)
        assert config.n_parameters == sum(one.numel() for one in Bert(config).parameters())


def test_every_cell_feels_its_own_side_map():
    """A change of one cell's side map changes the prediction of that cell."""
    model, side = untrained(), some_side(1)
    hidden = np.ones((1, 6, 6), dtype=bool)
    before = with_side(model, side).marginals(np.zeros((1, 6, 6), int), hidden)
    side[0, 3, 4, 1] += 1
    after = with_side(model, side).marginals(np.zeros((1, 6, 6), int), hidden)
    assert np.abs(after - before)[0, 3, 4, 0] > 1e-4


# Kinds and checks


def test_integers_are_classes_unless_a_name_says_otherwise():
    """The type of the values decides, or the name; numbers are standardised, and NaN is unknown."""
    generator = np.random.default_rng(0)
    integers, floats = generator.integers(0, 3, (2, 9, 9, 1)), generator.normal(5, 2, (2, 9, 9, 1)).round()
    kinds = [SideMaps.of(*given).channels[0].kind for given in ((integers,), (floats,))]
    assert kinds == ["classes", "numbers"]
    assert SideMaps.of(integers, ["depth:numbers"]).channels[0].kind == "numbers"
    values = np.concatenate([integers, floats], axis=-1)
    values[0, 0, 0] = np.nan
    maps = SideMaps.of(values, ["zone:classes", "a:b"])
    assert [(one.name, one.kind) for one in maps.channels] == [("zone", "classes"), ("a:b", "numbers")]
    assert maps.channels[0].classes == (0.0, 1.0, 2.0)
    features = maps.features(slice(None))
    assert features.shape[-1] == sum(channel.n_features for channel in maps.channels) == 4 + 2
    assert abs(features[..., 4].mean()) < 0.01
    assert features[0, 0, 0].tolist() == [0, 0, 0, 1, 0, 1]
    with pytest.raises(InputError, match="more than 64; if these are amounts, name it 'dem:numbers'"):
        SideMaps.of(np.arange(81).reshape(1, 9, 9, 1), ["dem"])
    with pytest.raises(InputError, match="1 side maps and 2 names"):
        SideMaps.of(integers, ["a", "b"])


def test_a_training_goes_on_with_the_side_maps_of_its_model():
    """Other examples keep the classes and statistics of the model; other names and new classes are refused."""
    cells, names = PRIOR.sample(30, np.random.default_rng(0)), ["zone:classes", "depth"]

    def examples(side, names=names):
        return Examples(cells, Palette.default(2), side=SideMaps.of(side, names))

    first = learn(examples(some_side(30)), Budget(steps=1), depth=1)
    shifted = some_side(30, seed=1) * np.float32([1, 9])
    assert learn(examples(shifted), Budget(steps=1), start=first).side == first.side
    for other, line in (
        (examples(shifted + np.float32([5, 0])), "example 0: side map 'zone' is"),
        (examples(shifted, ["zone:classes", "height"]), "the model has the side maps zone, depth and is given"),
        (Examples(cells, Palette.default(2)), "is given none"),
    ):
        with pytest.raises(InputError, match=line):
            learn(other, Budget(steps=1), start=first)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (np.full((1, 2, 2, 1), np.nan), "unknown (NaN or no data) everywhere"),
        (np.array([[[[np.inf]]]]), "infinite"),
    ],
)
def test_examples_with_bad_side_maps_are_refused(values, line):
    """A map that is known nowhere or infinite is refused before training."""
    with pytest.raises(InputError, match=line.replace("(", r"\(").replace(")", r"\)")):
        SideMaps.of(values)


@pytest.mark.parametrize(
    ("side", "line"),
    [
        (np.zeros((1, 2, 2, 1)), "there are 1 side maps, and the model has 2"),
        (np.zeros((1, 2, 2, 3)), "there are 3 side maps, and the model has 2"),
        (np.full((1, 2, 2, 2), 4.0), "'zone' is 4 at grid 0, row 0, column 0, and in the examples 1, 2 only"),
        (np.array([[[[1.0, -np.inf]]]]), "'depth' is -inf at grid 0"),
    ],
)
def test_side_maps_that_a_model_cannot_take_are_refused(side, line):
    """One line says what is wrong with them."""
    with pytest.raises(InputError, match=line):
        check_side(side, [Channel("zone", (1.0, 2.0)), Channel("depth")])


@pytest.mark.parametrize("names", [["zone"], ["zone", "depth", "third"], ["depth", "zone"], ["zone", "height"]])
def test_names_are_checked(names):
    """Missing, further, other and reordered maps are refused by name."""
    with pytest.raises(InputError, match="zone, depth"):
        check_names(names, [Channel("zone"), Channel("depth")])


def test_side_maps_must_be_numbers():
    """Texts and objects are refused, masked cells are unknown."""
    for wrong in (np.array([["a"]]), np.array([[object()]]), {"a": np.zeros((1, 2)), "b": np.zeros((2, 1))}):
        with pytest.raises(InputError):
            as_side(wrong)
    assert np.isnan(as_side(np.ma.array([[1.0, 2.0]], mask=[[True, False]]))[1]).tolist() == [[True, False]]


# Examples


def test_grids_and_side_maps_are_transformed_alike():
    """Symmetries, windows and crops move the side maps with the grids."""
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 9, (12, 15)), generator.integers(0, 9, (9, 9))]
    maps = SideMaps.of([image[..., None].astype(np.float32) for image in images])
    windows = Windows(images, Palette.default(9), (5, 5), "all", side=maps)
    learned, held_out = windows.split()
    for cells, side in (learned.sample_with_side(50, generator), (held_out.cells, held_out.side.values)):
        assert (cells == side[..., 0]).all()
    grids = Examples(
        np.stack([image[:9, :9] for image in images]),
        Palette.default(9),
        "turns",
        SideMaps.of(np.stack([image[:9, :9, None] for image in images])),
    )
    sizes = set()
    for seed in range(20):
        cells, _, features = training_batch(grids, np.random.default_rng(seed), dropout=0.4)
        sizes.add(cells.shape[1:])
        known = features[..., -1] == 0
        assert (features[..., :9].argmax(-1) == cells)[known].all()
        assert 0.5 < known.mean() < 0.97
    assert len(sizes) > 3


def test_side_maps_of_another_size_are_refused():
    """Side maps of other grids, or of another size, are refused."""
    grids = np.zeros((2, 3, 4), int)
    for shape, line in (((2, 4, 3, 1), "4 by 3 cells and the grid 3 by 4"), ((1, 3, 4, 1), "of 1 grids, and 2")):
        with pytest.raises(InputError, match=line):
            Examples(grids, Palette.default(2), side=SideMaps.of(np.zeros(shape)))


# Answers: the exact posterior through flips


def test_fills_and_marginals_are_exact_through_side_maps():
    """With an exact predictor, marginals and samples are those of the evidence mechanism without side maps."""
    generator = np.random.default_rng(1)
    cells = PRIOR.sample(6, generator)
    side, hidden = flips(cells, generator), np.ones(cells.shape, bool)
    side[0, :3] = np.nan
    puzzles = Puzzles(cells, hidden, side=side)
    exact = posterior(PRIOR).marginals(cells, hidden, of_flips(side))
    assert np.allclose(filling.marginals(ExactThroughFlips(), puzzles), exact)
    assert not np.allclose(filling.marginals(ExactThroughFlips(), Puzzles(cells, hidden, side=side[::-1])), exact)
    one = Puzzles(cells[:1], hidden[:1], side=side[:1])
    drawn = filling.sample(ExactThroughFlips(), one, 300, decoder=ONE_AT_A_TIME).cells[0]
    right = posterior(PRIOR).sample(cells[:1], hidden[:1], 2000, generator, of_flips(side[:1]))[0]
    wrong = posterior(PRIOR).sample(cells[:1], hidden[:1], 2000, generator)[0]
    assert np.abs(drawn.mean(0) - right.mean(0)).max() < 0.12 < np.abs(drawn.mean(0) - wrong.mean(0)).max()


def test_puzzles_that_differ_in_their_side_maps_alone_are_not_confused():
    """Rows with the same cells are predicted together only if they have the same side maps."""
    generator = np.random.default_rng(2)
    hidden = np.ones((3, 6, 6), bool)
    side = flips(PRIOR.sample(3, generator), generator)
    puzzles = Puzzles(np.zeros((3, 6, 6), int), hidden, side=side)
    together = answers.fill(ExactThroughFlips(), puzzles, samples=2)
    for number in range(3):
        alone = answers.fill(
            ExactThroughFlips(), Puzzles(puzzles.cells[:1], hidden[:1], side=side[number : number + 1]), samples=2
        )
        assert (alone.samples == together.samples[number]).all()
        assert (alone.marginals == together.marginals[number]).all()
    assert (together.samples[0] != together.samples[1]).any()


def test_evidence_and_side_maps_go_together():
    """With both, the answer is the posterior given both; the same cells with other side maps have another."""
    generator = np.random.default_rng(3)
    cells = np.repeat(PRIOR.sample(1, generator), 2, axis=0)
    side, hidden = flips(cells, generator), np.ones(cells.shape, bool)
    allowed = np.ones((2, 6, 6, 2))
    allowed[:, 2, 2] = [0.2, 0.9]
    allowed[:, 3, 1] = [0.6, 0.3]
    puzzles = Puzzles(cells, hidden, allowed, side)
    exact = posterior(PRIOR).marginals(cells, hidden, of_flips(side) * allowed)
    assert np.allclose(filling.marginals(ExactThroughFlips(), puzzles), exact, atol=0.02)
    drawn = filling.sample(ExactThroughFlips(), puzzles, 600).cells
    assert np.abs(drawn.mean(1) - exact[..., 1]).max() < 0.12


def test_contradictions_are_judged_by_side_maps():
    """A visible cell that the side maps rule out is found, in the grid that has it only."""
    cells = np.zeros((2, 6, 6), int)
    cells[:, 1:4, 1:4] = 1

    class Strict(ExactThroughFlips):
        def marginals(self, cells, hidden, side):
            sure = np.eye(2)[side[..., 0].astype(int)] * 0.9998 + 0.0001
            return np.where(hidden[..., None], sure, np.eye(2)[np.where(hidden, 0, cells)])

    side = cells[..., None].astype(np.float32)
    side[1, 5, 5] = 1
    found = contradicting(Strict(), Puzzles(cells, np.zeros(cells.shape, bool), side=side))
    assert np.argwhere(found).tolist() == [[1, 5, 5]]


def test_windows_take_their_part_of_the_side_maps():
    """Grids larger than a window, of any size, get in every window the side maps that lie there."""
    generator = np.random.default_rng(4)
    truth = generator.integers(0, 2, (3, 11, 14))
    puzzles = Puzzles(np.full(truth.shape, -1), side=truth[..., None].astype(np.float32))
    found = answers.fill(Copier(), puzzles, samples=2)
    assert (found.samples == truth[:, None]).all()
    assert (found.fill == truth).all()
    for height, width in ((11, 14), (3, 14), (9, 3)):
        part = truth[0, :height, :width]
        by_rows = AnswersByRows(
            Copier(),
            lambda start, stop, part=part: np.full(part.shape, -1)[start:stop],
            part.shape,
            2,
            side=part[..., None].astype(np.float32),
        )
        rows = list(by_rows)
        assert (np.concatenate([row.fill for row in rows]) == part).all()
        assert (np.concatenate([row.samples for row in rows], axis=1) == part).all()
        assert (np.concatenate([row.marginals for row in rows]).argmax(-1) == part).all()


@pytest.mark.parametrize("windows", [False, True])
def test_all_doors_give_one_answer(windows):
    """A whole grid, a grid by rows and the grids of a stack have the same answers to the bit, alone or together."""
    model = untrained(windows)
    generator = np.random.default_rng(5)
    size = (13, 17) if windows else (6, 6)
    cells = np.where(generator.random((3, *size)) < 0.7, -1, generator.integers(0, 2, (3, *size)))
    side = some_side(3, size)
    together = answers.fill(model, Puzzles(cells, side=side), samples=2, seed=3)
    by_rows = AnswersByRows(model, lambda start, stop: cells[1][start:stop], size, 2, 3, side=side[1])
    rows = list(by_rows)
    assert (np.concatenate([row.fill for row in rows]) == together.fill[1]).all()
    assert (np.concatenate([row.samples for row in rows], axis=1) == together.samples[1]).all()
    assert (np.concatenate([row.marginals for row in rows]) == together.marginals[1]).all()
    alone = answers.fill(model, Puzzles(cells[1:2], side=side[1:2]), samples=2, seed=3)
    assert (alone.samples[0] == together.samples[1]).all()


def test_missing_side_maps_are_refused():
    """A model with side maps needs them, and one without takes none."""
    puzzles = Puzzles(np.full((1, 6, 6), -1))
    for predictor in (untrained(), untrained(windows=True)):
        with pytest.raises(InputError, match="needs the side maps that it learned with"):
            answers.fill(predictor, puzzles, samples=1).samples  # noqa: B018
        with pytest.raises(InputError, match="needs the side maps"):
            predictor.marginals(puzzles.cells, puzzles.hidden)
    with pytest.raises(InputError, match="without side maps"):
        filling.sample(posterior(PRIOR), Puzzles(puzzles.cells, side=some_side(1)))
    with pytest.raises(InputError, match="must be of the same grids"):
        Puzzles(puzzles.cells, side=some_side(2))


# Files


def test_a_model_file_keeps_its_side_maps(tmp_path):
    """Names, classes and statistics come back; a note that does not fit the weights is refused."""
    model = untrained()
    checkpoint.save(tmp_path / "model.safetensors", model)
    loaded = checkpoint.load(tmp_path / "model.safetensors")
    assert loaded.side == model.side
    side, cells = some_side(2), np.full((2, 6, 6), -1)
    assert (
        with_side(loaded, side).marginals(cells, cells < 0) == with_side(model, side).marginals(cells, cells < 0)
    ).all()
    wrong = TrainedPredictor(model.base, replace(model.header, side=model.side[:1]))
    checkpoint.save(tmp_path / "wrong.safetensors", wrong)
    with pytest.raises(InputError, match="side maps in its note do not fit"):
        checkpoint.load(tmp_path / "wrong.safetensors")


@pytest.mark.slow
def test_an_exported_model_takes_side_maps(tmp_path):
    """ONNX gives the answers of torch, on grids of any size, and the attention too."""
    model = untrained()
    logging.disable()  # pytest would keep thousands of records
    jaxtyping.config.update("jaxtyping_disable", True)  # the sizes of an export are symbols, which type checks refuse
    try:
        checkpoint.export(tmp_path / "model.onnx", model)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
        logging.disable(logging.NOTSET)
    exported = checkpoint.load(tmp_path / "model.onnx")
    model.base.precise = True  # ONNX computes in float32
    assert exported.side == model.side
    for size in ((6, 6), (5, 9)):
        side, cells = some_side(2, size), np.full((2, *size), -1)
        both = [with_side(one, side) for one in (model, exported)]
        assert np.allclose(*(one.marginals(cells, cells < 0) for one in both), atol=1e-4)
        assert np.allclose(*(one.attention(cells, cells < 0) for one in both), atol=1e-4)
    with pytest.raises(InputError, match="needs the side maps"):
        exported.marginals(cells, cells < 0)


# Python


@pytest.fixture(scope="module")
def sided():
    """An Inpainter that learned squares with two side maps, hardly trained."""
    cells = PRIOR.sample(60, np.random.default_rng(0))
    maps = {
        "seen:classes": flips(cells, np.random.default_rng(1))[..., 0],
        "depth": np.random.default_rng(2).normal(size=cells.shape),
    }
    return Inpainter(steps=3, depth=1).fit(cells, side=maps), cells, maps


def test_the_python_door_takes_arrays_and_mappings(sided, tmp_path):
    """Arrays, mappings of names, single grids and rows of a table have the same answers, before and after saving."""
    model, cells, maps = sided
    puzzles, array = np.where(np.arange(6) < 3, cells[:4], -1), np.stack([*maps.values()], axis=-1)[:4]
    expected = model.predict_proba(puzzles, side=array)
    assert (model.predict_proba(puzzles, side={name: values[:4] for name, values in maps.items()}) == expected).all()
    assert (model.predict_proba(puzzles[1], side=array[1]) == expected[1]).all()
    assert model.fill(puzzles, side=array).shape == (4, 6, 6)
    assert (model.transform(puzzles, side=array) == model.fill(puzzles, side=array)).all()
    assert model.sample(puzzles, n=2, side=array).shape == (4, 2, 6, 6)
    assert model.score(cells, side=maps) < 0
    assert model.log_prob(cells[:2], side=array[:2]).shape == (2,)
    assert len(model.check(cells[:2], side=array[:2])) == 2
    model.save(tmp_path / "model.safetensors")
    assert (Inpainter.load(tmp_path / "model.safetensors").predict_proba(puzzles, side=array) == expected).all()


def test_without_side_maps_by_word(sided):
    """side="none" fills as if they were unknown, and warns; nothing is refused."""
    model, cells, _ = sided
    puzzles = np.where(np.arange(6) < 3, cells[:2], -1)
    with pytest.warns(UserWarning, match="as if the side maps were unknown"):
        found = model.predict_proba(puzzles, side="none")
    unknown = np.full((2, 6, 6, 2), np.nan)
    assert (found == model.predict_proba(puzzles, side=unknown)).all()


def test_the_python_door_refuses_what_does_not_fit(sided):
    """Each bad input has a line of its own."""
    model, cells, maps = sided
    puzzles, array = cells[:2], np.stack([*maps.values()], axis=-1)[:2]
    seen, depth = (values[:2] for values in maps.values())
    for side, line in (
        (None, "needs the side maps that it learned with"),
        (array[..., :1], "does not fit"),
        (array[:1], "does not fit"),
        ({"depth": depth, "seen": seen}, "keep their order"),
        ({"seen": seen}, "give these, in this order"),
        (np.full(array.shape, 5.0), "'seen' is 5"),
        (np.where(array == array, np.inf, array), "inf"),
        (array.astype(str), "must be numbers"),
    ):
        with pytest.raises(InputError, match=line):
            model.fill(puzzles, side=side)
    plain = Inpainter(steps=1, depth=1).fit(cells)
    with pytest.raises(InputError, match="without side maps"):
        plain.fill(puzzles, side=array)


@pytest.mark.slow
def test_windows_learn_with_side_maps():
    """Grids of different sizes have a list of side maps, in training and in filling."""
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 3, size) for size in ((20, 22), (18, 30))]
    side = [np.stack([image % 2, generator.normal(size=image.shape)], axis=-1) for image in images]
    model = Inpainter(steps=2, depth=1, windows=8).fit(images, side=side)
    puzzles = [np.where(generator.random(image.shape) < 0.5, -1, image) for image in images]
    assert [grid.shape for grid in model.fill(puzzles, side=side)] == [(20, 22), (18, 30)]


def test_side_maps_are_metadata_of_scikit_learn():
    """Metadata routing knows `side`, as a pipeline needs."""
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        model = Inpainter().set_fit_request(side=True).set_transform_request(side=True)
        assert model.get_metadata_routing().fit.requests["side"] is True


# Truth: what a training learns


def trained(observed, steps, depth=1, n=4000, seed=0):
    """A model of squares with a side map, and held-out grids with theirs."""
    generator = np.random.default_rng(seed)
    cells, held_out = PRIOR.sample(n, generator), PRIOR.sample(200, generator)
    examples = Examples(cells, Palette.default(2), side=SideMaps.of(observed(cells, generator)))
    model = learn(examples, Budget(steps=steps), depth=depth)
    return model, held_out, observed(held_out, generator)


def bits(model, cells, hidden, side):
    return scoring.bits_per_hidden_cell(with_side(model, side).marginals(cells, hidden), cells, hidden)


def test_a_map_that_equals_the_grid_gives_the_grid():
    """With the truth as its side map a model fills without an error, and a wrong map misleads it (negative control)."""
    model, cells, side = trained(lambda cells, generator: cells[..., None].astype(np.float32), steps=150)
    hidden = np.ones(cells.shape, bool)
    found = filling.greedy(model, Puzzles(cells, hidden, side=side)).cells[:, 0]
    assert (found == cells).mean() > 0.999
    assert bits(model, cells, hidden, side) < 0.02
    assert bits(model, cells, hidden, side[::-1]) > 1


def gaussian(cells, generator):
    return (cells + generator.normal(0, 0.7, cells.shape))[..., None].astype(np.float32)


def of_gaussian(side):
    return np.exp(-((side - np.arange(2)) ** 2) / (2 * 0.7**2))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("observed", "likelihood"), [(flips, of_flips), (gaussian, of_gaussian)])
def test_a_model_reaches_the_exact_posterior_through_a_noisy_map(observed, likelihood):
    """All or some cells hidden, what it predicts is near the posterior given the map, and far from it without."""
    model, cells, side = trained(observed, steps=1500, depth=2, n=20000)
    for hidden in (np.ones(cells.shape, bool), evaluation_hiding(cells.shape, np.random.default_rng(0))):
        exact = posterior(PRIOR).marginals(cells, hidden, likelihood(side))
        blind = posterior(PRIOR).marginals(cells, hidden)
        predicted = with_side(model, side).marginals(cells, hidden)
        assert scoring.excess_bits(predicted, exact, hidden) < 0.04
        assert scoring.excess_bits(blind, exact, hidden) > 0.1
        unknown = with_side(model, without(side, 0)).marginals(cells, hidden)
        assert scoring.excess_bits(unknown, blind, hidden) < 0.1


@pytest.mark.slow
def test_a_map_of_noise_is_worth_nothing():
    """Making a map of noise unknown changes the bits by less than two standard errors, or 0.003."""
    model, cells, side = trained(lambda cells, generator: generator.normal(size=(*cells.shape, 1)), steps=400)
    hidden = evaluation_hiding(cells.shape, np.random.default_rng(0))
    worth = np.array(
        [
            bits(model, cells[[n]], hidden[[n]], without(side[[n]], 0))
            - bits(model, cells[[n]], hidden[[n]], side[[n]])
            for n in range(len(cells))
        ]
    )
    assert abs(worth.mean()) < max(0.003, 2 * worth.std() / len(worth) ** 0.5)


def test_encoded_features_are_those_of_each_channel():
    """Features stand behind each other, in the order of the channels."""
    channels = [Channel("zone", (1.0, 5.0)), Channel("depth", mean=1.0, deviation=2.0)]
    assert encoded(channels, np.array([[5.0, 3.0], [np.nan, np.nan]])).tolist() == [[0, 1, 0, 1, 0], [0, 0, 1, 0, 1]]


def test_the_guide_is_right_about_clouds_that_prefer_mountains():
    """Cells hidden by their class: without a side map 50% mountains are predicted, with one 82%, and 90% are."""
    hidden, told = np.array([0.1, 0.9]), 0.95  # of valleys and mountains; of the cells whose class the map tells
    truly = 0.5 * hidden / (0.5 * hidden).sum()
    of_map = np.array([[told, 1 - told], [1 - told, told]])  # the class that the map shows, by true class
    said = truly @ of_map @ np.array([1 - told, told])
    assert truly[1] == pytest.approx(0.9)
    assert said == pytest.approx(0.824)
    assert (truly * (1 - told)).sum() == pytest.approx(0.05)
