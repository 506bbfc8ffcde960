"""The data of the benchmarks: what is kept here, what is downloaded and checked, what is generated."""

import gzip
import hashlib
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import data
from gridcloze.words import HIDDEN, InputError

needs_local_data = pytest.mark.skipif("GRIDCLOZE_DATA" not in os.environ, reason="GRIDCLOZE_DATA names no folder")


def test_channels_and_land_cover_are_the_published_cells():
    """The committed grids have the sizes, symbols and content that figures were measured on."""
    channels, landcover = data.channels(), data.landcover()
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


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small idx file on a server of this machine: its images, its path, its address; and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + np.array(images.shape, ">u4").tobytes() + images.tobytes()))
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield images, path, f"http://127.0.0.1:{server.server_port}/{path.name}"
        server.shutdown()


def sha256(images):
    return hashlib.sha256(images.tobytes()).hexdigest()


def test_a_download_is_kept(published):
    """A downloaded array is the published one, and the second time needs no server."""
    images, path, url = published
    assert (data._downloaded(url, sha256(images), data._from_idx) == images).all()
    path.unlink()
    assert (data._downloaded(url, sha256(images), data._from_idx) == images).all()


def test_what_is_not_as_published_is_refused(published, tmp_path):
    """Other cells, a file that is no idx file, and a server without the file are errors; nothing is kept."""
    images, path, url = published
    with pytest.raises(InputError, match="not the published cells"):
        data._downloaded(url, "0" * 64, data._from_idx)
    path.write_text("<html>Please log in</html>")
    with pytest.raises(InputError, match="not the published file"):
        data._downloaded(url, sha256(images), data._from_idx)
    path.unlink()
    with pytest.raises(InputError, match="cannot be downloaded"):
        data._downloaded(url, sha256(images), data._from_idx)
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]


def test_without_a_network_there_is_one_clear_line(monkeypatch, tmp_path):
    """Where nothing answers, the error names the address and the variable that names a copy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"^http://127.0.0.1:9/a.gz: cannot be downloaded .* GRIDCLOZE_DATA"):
        data._downloaded("http://127.0.0.1:9/a.gz", "0" * 64, data._from_idx)


def test_the_cache_is_checked_again(published, tmp_path):
    """A file in the cache that was changed is refused, and downloaded again by the next call."""
    images, _, url = published
    data._downloaded(url, sha256(images), data._from_idx)
    (kept,) = (tmp_path / "cache" / "gridcloze").iterdir()
    raw = gzip.decompress(kept.read_bytes())
    kept.write_bytes(gzip.compress(raw[:-1] + b"\0"))
    with pytest.raises(InputError, match="not the published cells"):
        data._downloaded(url, sha256(images), data._from_idx)
    assert (data._downloaded(url, sha256(images), data._from_idx) == images).all()


def test_a_gslib_file_holds_rows_after_each_other():
    """Columns come before rows in the first line, and values run along rows."""
    content = b"3 2 1  1.00 1.00 1.00\n1\nfacies\n0\n1\n0\n1\n1\n0\n"
    assert data._from_gslib(content).tolist() == [[0, 1, 0], [1, 1, 0]]


def test_a_local_folder_without_the_file_is_refused(tmp_path, monkeypatch):
    """Where GRIDCLOZE_DATA names a folder, nothing is fetched in secret."""
    monkeypatch.setenv("GRIDCLOZE_DATA", str(tmp_path))
    with pytest.raises(InputError, match="no such file"):
        data.strebelle()


@needs_local_data
def test_the_local_copies_are_the_published_cells():
    """Digits and Strebelle's image come as published from a folder of one's own."""
    assert data.strebelle()["training_image"].mean() == pytest.approx(0.267424)
    assert data.digits()["x_test"].shape == (10_000, 28, 28)


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
