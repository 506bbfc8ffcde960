"""The page of the studio answers as Python does: golden vectors, and the exported page in Chromium."""

import json
import subprocess
import sys
import threading
import zipfile
from dataclasses import asdict
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import studio_vectors
from browsers import needed, opened_browser
from gridcloze import answers, checkpoint, explaining, filling, priors
from gridcloze.checkpoint import Header, TrainedPredictor
from gridcloze.commands.export import export
from gridcloze.decoding import refining
from gridcloze.files.palettes import Palette
from gridcloze.logits import Calibration
from gridcloze.networks import NetworkPredictor
from gridcloze.predictor import tokens_of
from gridcloze.puzzles import Puzzles
from gridcloze.side import Channel, with_side
from gridcloze.studio import single
from gridcloze.studio.guards import POLICY
from gridcloze.words import InputError

HIDDEN_SHARES = (0.3, 0.6, 0.9, 1.0)
ANSWERS = """async ({puzzles, seed, samples}) => {
  const backend = new gridclozeEngine.BrowserBackend();
  const [model] = await backend.models();
  const plain = fill => ({cells: [...fill.cells], bits: fill.logProbBits, passes: fill.passes.length});
  const found = [];
  for (const {height, width, cells, side} of puzzles) {
    const maps = Object.entries(side ?? {}).map(([name, map]) => [name, Float32Array.from(map)]);
    const puzzle = {height, width, cells: Int16Array.from(cells), side: new Map(maps)};
    const target = puzzle.cells.indexOf(-1);
    const attention = await backend.attention(model, puzzle, {seed});
    found.push({
      marginals: [...await backend.marginals(model, puzzle, {seed})],
      samples: (await backend.sample(model, puzzle, samples, {seed})).map(plain),
      refined: (await backend.sample(model, puzzle, 2, {seed, refine: 1})).map(plain),
      likely: plain(await backend.mostLikely(model, puzzle, {seed})),
      influence: [...await backend.influence(model, puzzle, target, {seed})],
      attention: [...attention.weights],
      exact: [...await backend.exact(model, puzzle) ?? []],
    });
  }
  return {model: {...model, training: null}, found};
}"""
REFUSED = """async ({bytes, name}) => {
  const backend = new gridclozeEngine.BrowserBackend();
  return backend.open(new File([Uint8Array.from(bytes)], name)).then(() => "opened", error => error.message);
}"""

OPENED = """async ({bytes, name}) => {
  const backend = new gridclozeEngine.BrowserBackend();
  const model = await backend.open(new File([Uint8Array.from(bytes)], name));
  const puzzle = {height: 5, width: 5, cells: new Int16Array(25).fill(-1)};
  return [...await backend.marginals(model, puzzle, {seed: 0})];
}"""
CANCELLED = """async () => {
  const backend = new gridclozeEngine.BrowserBackend(), order = [], shares = [], stop = new AbortController();
  const [model] = await backend.models();
  const puzzle = {height: 60, width: 60, cells: new Int16Array(3600).fill(-1)};
  const options = {seed: 0, signal: stop.signal, onProgress: share => shares.push(share)};
  const samples = backend.sample(model, puzzle, 64, options).then(() => "samples", error => error.name);
  const marginals = () => backend.marginals(model, puzzle, {seed: 0}).then(() => order.push("marginals"));
  await marginals();
  while (!shares.length) await new Promise(done => setTimeout(done, 10));
  stop.abort();
  order.push(await samples);
  await marginals();
  return {order, shares};
}"""


def close(found, expected):
    """Whether two vectors are equal, but for the last digits of numbers that are not whole."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return abs(found - expected) < 1e-9 if isinstance(expected, float) else found == expected


def test_the_vectors_of_the_page_are_current():
    """What the TypeScript is compared with is what Python answers today."""
    written = json.loads(studio_vectors.VECTORS.read_text())
    current = json.loads(json.dumps(studio_vectors.vectors()))
    assert close(current, written), "write them again: python tests/studio_vectors.py"
    written["cases"]["weighted"]["samples"][0]["passes"][0]["bits"] += 1e-6
    assert not close(current, written)


def trained(network):
    calibration = Calibration((1.0, 2.5), (0.8, 1.1))
    header = Header(asdict(network.config), Palette.default(2), 3, {"seed": 5}, calibration)
    return TrainedPredictor(NetworkPredictor(network, calibration), header)


def test_a_page_that_cannot_be_made_is_refused_before_the_work(tmp_path, monkeypatch, small_bert):
    """Not built, or with a prior of other grids or one whose posterior the page does not know."""
    checkpoint.save(tmp_path / "model.safetensors", trained(small_bert))
    grids = {"mirror": priors.Mirror(5, 5), "other": priors.squares(6, 6, 2, 4), "squares": priors.squares(5, 5, 2, 4)}
    for name, prior in grids.items():
        (tmp_path / name).write_text(json.dumps(prior.spec))
    before = sorted(tmp_path.iterdir())

    def refused(out, prior):
        with pytest.raises(InputError) as error:
            export(tmp_path / "model.safetensors", tmp_path / out, prior_path=prior and tmp_path / prior)
        assert sorted(tmp_path.iterdir()) == before
        return str(error.value)

    assert "a prior is shown by a page alone" in refused("model.onnx", "squares")
    if (single.BUILT / "single.html").is_file():
        assert "plain squares only, not of mirror" in refused("model.html", "mirror")
        assert "is of grids of 6 by 6 cells" in refused("model.html", "other")
    monkeypatch.setattr(single, "BUILT", tmp_path / "built")
    assert "not built: run `make page`" in refused("model.html", None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_bert, exporting):
    """A model of 5×5 cells, its export, and its page with the exact posterior of squares."""
    folder = tmp_path_factory.mktemp("page")
    checkpoint.save(folder / "model.safetensors", trained(small_bert))
    (folder / "prior.json").write_text(json.dumps(priors.squares(5, 5, 2, 4).spec))
    with exporting():
        export(folder / "model.safetensors", folder / "model.onnx")
    needed((single.BUILT / "single.html").is_file(), "the page, which `make page` builds,")
    export(folder / "model.onnx", folder / "model.html", prior_path=folder / "prior.json")
    return folder


@pytest.fixture(scope="module")
def sided(tmp_path_factory, exporting):
    """Models with side maps, of whole grids and of windows of 5×5 cells, each exported and as a page."""
    import torch

    from gridcloze.bert import Bert, BertConfig

    folder = tmp_path_factory.mktemp("sided")
    channels = Channel("zone", (1.0, 2.5)), Channel("depth", mean=3.1, deviation=1.7)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Bert(BertConfig(5, 5, 2, depth=1, patch=2, side=5)).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    needed((single.BUILT / "single.html").is_file(), "the page, which `make page` builds,")
    for windows in (False, True):
        header = Header(asdict(model.config), Palette.default(2), windows=windows, side=channels)
        checkpoint.save(folder / "model.safetensors", TrainedPredictor(NetworkPredictor(model), header))
        with exporting():
            export(folder / "model.safetensors", folder / f"{windows}.onnx")
        export(folder / f"{windows}.onnx", folder / f"{windows}.html")
    return folder


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as browser:
        yield browser


@pytest.fixture
def page(browser, folder):
    """The exported page, opened from disk; any request to a network fails the test, and any error in it."""
    faults = []
    page = browser.new_page()
    page.on("request", lambda request: request.url.startswith(("file:", "blob:")) or faults.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto((folder / "model.html").as_uri())
    page.wait_for_function("globalThis.gridclozeEngine")
    yield page
    page.close()
    assert faults == []


@pytest.mark.slow
def test_the_exported_page_answers_as_python_does(page, folder):
    """Marginals, samples, the most likely fill, influence, attention and the exact posterior, with the same seed."""
    generator = np.random.default_rng(0)
    cells = priors.squares(5, 5, 2, 4).sample(len(HIDDEN_SHARES), generator).astype(np.int64)
    hidden = generator.random(cells.shape) < np.reshape(HIDDEN_SHARES, (-1, 1, 1))
    cells = np.where(hidden, -1, cells)
    predictor, puzzles = checkpoint.load(folder / "model.onnx"), Puzzles(cells)
    asked = [{"height": 5, "width": 5, "cells": grid.ravel().tolist()} for grid in cells]
    said = page.evaluate(ANSWERS, {"puzzles": asked, "seed": 3, "samples": 4})
    assert said["model"] == {
        "id": predictor.header.hash,
        "name": "model",
        "height": 5,
        "width": 5,
        "symbols": [
            {"name": "black", "character": ".", "colour": "#000000"},
            {"name": "white", "character": "#", "colour": "#ffffff"},
        ],
        "window": None,
        "prior": "squares 5x5 2..4",
        "side": [],
        "side_classes": [],
        "training": None,
    }
    expected = answers.Answers(predictor, puzzles.with_hidden(np.zeros_like(hidden)), samples=4, seed=3)
    expected.contradicting = np.zeros_like(hidden)  # `check` is not in the page: it believes what is visible
    refined = filling.sample(predictor, puzzles, 2, 3, refining(predictor, 1)).cells
    exact = priors.posterior(priors.squares(5, 5, 2, 4)).marginals(cells, hidden)
    for number, found in enumerate(said["found"]):
        assert np.allclose(np.reshape(found["marginals"], (5, 5, 2)), expected.marginals[number], atol=1e-6)
        assert np.array_equal([one["cells"] for one in found["samples"]], expected.samples[number].reshape(4, -1))
        assert np.array_equal([one["cells"] for one in found["refined"]], refined[number].reshape(2, -1))
        assert found["likely"]["cells"] == expected.fill[number].ravel().tolist()
        assert abs(found["likely"]["bits"] - expected.log_prob_bits[number]) < 1e-5
        assert np.allclose(np.reshape(found["exact"], (5, 5, 2)), exact[number], atol=1e-6)
        target = np.argwhere(hidden[number])[:1]
        influence = explaining.influence(predictor, cells[number], hidden[number], target)[0].ravel()
        assert np.allclose(np.array(found["influence"], dtype=float), influence, atol=1e-5, equal_nan=True)
        attention = predictor.base.attention(tokens_of(cells[[number]], hidden[[number]], 2))
        assert np.allclose(found["attention"], attention.ravel(), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("windows", "size"), [(False, (5, 5)), (True, (5, 5)), (True, (8, 11)), (True, (3, 9))])
def test_the_exported_page_takes_side_maps_as_python_does(browser, sided, windows, size):
    """The same answers with the same seed, of one window and of many; maps that are missing are unknown."""
    generator = np.random.default_rng(1)
    side = np.stack([generator.choice([1.0, 2.5], (3, *size)), generator.normal(3, 2, (3, *size))], axis=-1)
    side[generator.random(side.shape) < 0.2] = np.nan
    side[1], side[2, ..., 0] = np.nan, np.nan
    cells = np.where(generator.random((3, *size)) < 0.7, -1, generator.integers(2, size=(3, *size)))
    asked = [{"height": size[0], "width": size[1], "cells": grid.ravel().tolist()} for grid in cells]
    asked[0]["side"] = {"zone": side[0, ..., 0].ravel().tolist(), "depth": side[0, ..., 1].ravel().tolist()}
    asked[2]["side"] = {"depth": side[2, ..., 1].ravel().tolist(), "other": [7] * cells[0].size}
    page = browser.new_page()
    page.goto((sided / f"{windows}.html").as_uri())
    page.wait_for_function("globalThis.gridclozeEngine")
    said = page.evaluate(ANSWERS, {"puzzles": asked, "seed": 3, "samples": 4})
    page.close()
    assert [said["model"][key] for key in ("side", "side_classes")] == [["zone", "depth"], [[1, 2.5], []]]
    predictor, side, hidden = checkpoint.load(sided / f"{windows}.onnx"), side.astype(np.float32), cells < 0
    puzzles = Puzzles(cells, side=side)
    marginals, samples = filling.marginals(predictor, puzzles), filling.sample(predictor, puzzles, 4, 3)
    likely = filling.most_likely(predictor, puzzles, 3)
    for number, found in enumerate(said["found"]):
        assert np.allclose(np.reshape(found["marginals"], (*size, 2)), marginals[number], atol=1e-6)
        assert np.array_equal([one["cells"] for one in found["samples"]], samples.cells[number].reshape(4, -1))
        assert np.allclose([one["bits"] for one in found["samples"]], samples.log_prob_bits[number], atol=1e-4)
        assert found["likely"]["cells"] == likely.cells[number].ravel().tolist()
        bound, target = with_side(predictor, side[[number]]), np.argwhere(hidden[number])[:1]
        influence = explaining.influence(bound, cells[number], hidden[number], target)[0].ravel()
        assert np.allclose(np.array(found["influence"], dtype=float), influence, atol=1e-5, equal_nan=True)
        attention = predictor.attention(cells[[number]], hidden[[number]], side[[number]])
        assert np.allclose(found["attention"], attention.ravel(), atol=1e-5)


@pytest.mark.slow
def test_work_stops_when_it_is_cancelled_and_others_are_answered_meanwhile(page):
    """Probabilities are there before samples that were asked for first; cancelled samples never come."""
    said = page.evaluate(CANCELLED)
    assert said["order"] == ["marginals", "AbortError", "marginals"]
    assert said["shares"] == sorted(said["shares"])
    assert all(0 < share < 1 for share in said["shares"])


class Guarded(SimpleHTTPRequestHandler):
    """Serves the built page under the policy of the studio's server."""

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=str(single.BUILT))

    def end_headers(self):
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *arguments):
        pass


@pytest.mark.slow
def test_the_served_page_runs_a_dropped_model_under_its_policy(browser, folder):
    """No inline script or style, no eval; the runtime comes from the same server when it is first needed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page, faults = browser.new_page(), []
    page.on("console", lambda message: message.type == "error" and faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
    page.wait_for_function("globalThis.gridclozeEngine")
    said = page.evaluate(OPENED, {"bytes": list((folder / "model.onnx").read_bytes()), "name": "model.onnx"})
    server.shutdown()
    server.server_close()
    page.close()
    expected = checkpoint.load(folder / "model.onnx").marginals(np.full((1, 5, 5), -1), np.ones((1, 5, 5), bool))
    assert np.allclose(said, expected.ravel(), atol=1e-6)
    assert faults == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda data: data[:-40], "it is truncated"),
        (lambda data: b"", "not an exported model of gridcloze, or it is truncated"),
        (lambda data: b"\x89PNG\r\n\x1a\n" + bytes(100), "it is truncated"),
        (lambda data: data.replace(b'"seed', b'"SEED').replace(b'seed\\"', b'SEED\\"'), "the file was altered"),
        (lambda data: data[:999] + bytes([data[999] ^ 1]) + data[1000:], "altered"),
        (lambda data: data, "opened"),
    ],
)
def test_files_that_are_no_models_are_refused_in_the_words_of_python(page, folder, damage, line):
    """Truncated, empty, foreign and altered ones."""
    data = damage((folder / "model.onnx").read_bytes())
    said = page.evaluate(REFUSED, {"bytes": list(data), "name": "mine.onnx"})
    assert line in said
    (folder / "mine.onnx").write_bytes(data)
    try:
        checkpoint.load(folder / "mine.onnx")
        python = "opened"
    except InputError as error:
        python = str(error).replace(f"{folder}/", "")
    assert said == python


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, and the folder of programs of an environment that has nothing else."""
    place = tmp_path_factory.mktemp("installed")
    quiet = ["--quiet", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "wheel", *quiet, "--no-deps", "-w", str(place), str(studio_vectors.ROOT)]
    subprocess.run(pip, check=True, capture_output=True)
    (wheel,), programs = place.glob("*.whl"), place / "clean" / "bin"
    subprocess.run([sys.executable, "-m", "venv", str(programs.parent)], check=True)
    constraints = ["--constraint", str(studio_vectors.ROOT / "constraints.txt")]
    subprocess.run([programs / "pip", "install", *quiet, *constraints, f"{wheel}[studio]"], check=True)
    return wheel, programs


@pytest.mark.slow
def test_a_wheel_carries_the_page_and_nothing_of_its_sources(installed):
    """It is at most 10 MB, and has no package that only training or development needs."""
    wheel, programs = installed
    assert wheel.stat().st_size <= 10e6
    names = zipfile.ZipFile(wheel).namelist()
    assert "gridcloze/studio/built/index.html" in names
    assert not [name for name in names if "studio/page/" in name]
    for package in ("torch", "playwright", "pytest"):
        assert subprocess.run([programs / "python", "-c", f"import {package}"], capture_output=True).returncode == 1


@pytest.mark.slow
def test_an_installed_wheel_exports_and_serves_the_page_without_node(browser, folder, installed, tmp_path):
    """Where no program is found, both pages open in Chromium and answer."""
    environment, model = {"PATH": "", "HOME": str(tmp_path)}, str(folder / "model.onnx")
    command = [installed[1] / "gridcloze", "export", model, "-o", "page.html", "--prior", str(folder / "prior.json")]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    assert (tmp_path / "page.html").read_bytes() == (folder / "model.html").read_bytes()
    command = [installed[1] / "gridcloze", "studio", model, "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as server:
        try:
            for url in ((tmp_path / "page.html").as_uri(), server.stdout.readline().strip()):
                page = browser.new_page()
                page.goto(url)
                page.wait_for_selector("text=bits of uncertainty per hidden cell")
                page.close()
        finally:
            server.terminate()
