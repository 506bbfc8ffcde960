"""The data of the benchmarks: what is kept here, what is fetched and checked, what is made."""

import gzip
import hashlib
import os

import numpy as np
import pytest

import data
from gridcloze.words import HIDDEN, InputError

needs_local_data = pytest.mark.skipif("GRIDCLOZE_DATA" not in os.environ, reason="GRIDCLOZE_DATA names no folder")


def test_channels_and_land_cover_are_the_published_cells():
    """The committed grids have the sizes, symbols and content that figures were measured on."""
    channels, landcover = data.load("channels"), data.load("landcover")
    digests = {
        "training_image": "4e00398b2ba1436b4e15a952b40582b9ace435caeedff4be1d774476c2061037",
        "realizations": "53b19aaeb77fbe744165e44149b343eef38e731602b5239880ef61b85227c6c1",
        "cells": "6458125da186328147204b22a5664010a272cf682b30b6bbcf9a9af24357a777",
        "codes": "c2b6ca0c305c40d3d60a84f12bd8e3e8093e5a5164dd37baef2037fdcb36af46",
    }
    arrays = {**channels, **landcover}
    assert {
        name: hashlib.sha256(array.astype(np.uint8).tobytes()).hexdigest() for name, array in arrays.items()
    } == digests
    assert arrays["realizations"].shape == (450, 128, 128)
    assert len(arrays["codes"]) == arrays["cells"].max() + 1 == 15


def test_an_unknown_name_is_refused():
    """A name that stands for no data is an error that tells the names that do."""
    with pytest.raises(InputError, match="choose from channels, landcover, mnist, strebelle, sudoku"):
        data.load("photographs")


@pytest.fixture
def digits_on_disk(tmp_path, monkeypatch):
    """A small idx file as it is published, its address, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + np.array(images.shape, ">u4").tobytes() + images.tobytes()))
    return images, path


def test_what_is_fetched_is_kept(digits_on_disk):
    """A fetched array is the published one, and the second time needs no origin."""
    images, path = digits_on_disk
    digest = hashlib.sha256(images.tobytes()).hexdigest()
    assert (data._fetched(path.as_uri(), digest, data._from_idx) == images).all()
    path.unlink()
    assert (data._fetched(path.as_uri(), digest, data._from_idx) == images).all()


def test_what_is_not_as_published_is_refused(digits_on_disk, tmp_path):
    """Other content than published, and an origin that does not answer, are errors; nothing is kept."""
    _, path = digits_on_disk
    with pytest.raises(InputError, match="not the published cells"):
        data._fetched(path.as_uri(), "0" * 64, data._from_idx)
    path.unlink()
    with pytest.raises(InputError, match="could not be fetched"):
        data._fetched(path.as_uri(), "0" * 64, data._from_idx)
    assert not [*(tmp_path / "cache").rglob("*.npy")]


def test_what_was_kept_is_checked_again(digits_on_disk, tmp_path):
    """A file in the cache that was changed is refused."""
    images, path = digits_on_disk
    digest = hashlib.sha256(images.tobytes()).hexdigest()
    data._fetched(path.as_uri(), digest, data._from_idx)
    (kept,) = (tmp_path / "cache" / "gridcloze").iterdir()
    np.save(kept, images + 1)
    with pytest.raises(InputError, match="not the published cells"):
        data._fetched(path.as_uri(), digest, data._from_idx)


def test_a_gslib_file_holds_rows_after_each_other():
    """Columns come before rows in the first line, and values run along rows."""
    content = b"3 2 1  1.00 1.00 1.00\n1\nfacies\n0\n1\n0\n1\n1\n0\n"
    assert data._from_gslib(content).tolist() == [[0, 1, 0], [1, 1, 0]]


def test_a_local_folder_without_the_file_is_refused(tmp_path, monkeypatch):
    """Where GRIDCLOZE_DATA names a folder, nothing is fetched in secret."""
    monkeypatch.setenv("GRIDCLOZE_DATA", str(tmp_path))
    with pytest.raises(InputError, match="there is no such file"):
        data.strebelle()


@needs_local_data
def test_the_local_copies_are_the_published_cells():
    """Digits and Strebelle's image come as published from a folder of one's own."""
    assert data.load("strebelle")["training_image"].mean() == pytest.approx(0.267424)
    assert data.load("mnist")["x_test"].shape == (10_000, 28, 28)


@pytest.mark.parametrize(("seed", "clues"), [(1, 0), (2, 36)])
def test_sudokus_have_the_clues_that_lead_to_their_solution(seed, clues):
    """Visible cells are the solution's, and a solution has every symbol once in each row, column and box."""
    made = data.sudoku(20, seed, clues)
    visible = made["puzzles"] != HIDDEN
    assert (made["puzzles"] == made["solutions"])[visible].all()
    assert (visible.sum(axis=(1, 2)) == made["clues"]).all()
    assert (made["clues"] == clues).all() if clues else (made["clues"] < 30).all()
    boxes = made["solutions"].reshape(20, 3, 3, 3, 3).swapaxes(2, 3).reshape(20, 9, 9)
    for units in (made["solutions"], made["solutions"].swapaxes(1, 2), boxes):
        assert (np.sort(units, axis=2) == np.arange(9)).all()


@needs_local_data
@pytest.mark.parametrize(
    ("seed", "clues", "name"), [(1, 0, "gen_minimal_seed1_20000.csv"), (2, 36, "gen_36clues_seed2_20000.csv")]
)
def test_sudokus_are_those_that_figures_were_measured_on(seed, clues, name):
    """The generator gives the rows of the files that others use, in their order."""
    with open(os.path.join(os.environ["GRIDCLOZE_DATA"], "sudoku", name), encoding="ascii") as file:
        rows = [next(file).strip() for _ in range(50)]
    made = data.sudoku(50, seed, clues)
    texts = [["".join(map(str, board.ravel() + 1)) for board in made[part]] for part in ("puzzles", "solutions")]
    assert [",".join(map(str, row)) for row in zip(*texts, made["clues"], made["guesses"], strict=True)] == rows
