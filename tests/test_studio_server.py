"""The server of the studio: the answers of the command line, and what it does under attack."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from functools import partial
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path

import jsonschema
import numpy as np
import psutil
import pytest
import torch
import uvicorn

from browsers import needed, opened_browser
from gridcloze import checkpoint, filling
from gridcloze.bert import Bert, BertConfig
from gridcloze.checkpoint import Header, TrainedPredictor
from gridcloze.decoding import DEFAULT_DECODER
from gridcloze.files.palettes import Palette
from gridcloze.networks import NetworkPredictor
from gridcloze.priors import squares
from gridcloze.puzzles import Puzzles
from gridcloze.side import Channel
from gridcloze.studio import guards, operations, server
from gridcloze.studio.guards import MOST_BYTES, MOST_IN_WORK, POLICY, Door, Guard
from gridcloze.studio.operations import OPERATIONS, load_models
from gridcloze.studio.server import bind, make_app
from gridcloze.studio.single import BUILT
from gridcloze.studio.watching import GoneError, Watch, joined, watched
from gridcloze.words import HIDDEN, InputError

TOKEN = "dGhlIHRva2Vu"
PUZZLE = np.full((5, 5), HIDDEN)
PUZZLE[0] = [0, 1, 1, 0, 1]


@pytest.fixture(scope="module")
def files(small_bert, tmp_path_factory):
    """A model of whole grids and one of windows, with the same weights; and a prior of the first."""
    folder = tmp_path_factory.mktemp("models")
    for name, windows in (("whole", False), ("window", True)):
        header = Header(asdict(small_bert.config), Palette.default(2), windows=windows)
        checkpoint.save(folder / f"{name}.safetensors", TrainedPredictor(NetworkPredictor(small_bert), header))
    (folder / "prior.json").write_text(json.dumps(squares(5, 5, 2, 4).spec))
    return folder


class Served:
    """A server in a thread, and requests to it as the page makes them."""

    def __init__(self, models):
        self.socket = bind("127.0.0.1", 0)
        self.port = self.socket.getsockname()[1]
        self.app = make_app(models, Door(self.port, TOKEN))
        config = uvicorn.Config(self.app, log_config=None, access_log=False, ws="none", http="h11")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()

    @property
    def headers(self):
        return {"Authorization": f"Bearer {TOKEN}", "Origin": f"http://127.0.0.1:{self.port}"}

    def ask(self, method, path, body=None, **headers):
        """Status, headers and body."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            own = {**self.headers, "Content-Type": "application/json"} if body is not None else self.headers
            sent = body if isinstance(body, bytes | None) else json.dumps(body)
            every = {name: value for name, value in {**own, **headers}.items() if value is not None}
            connection.request(method, path, sent, every)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def answer(self, operation, cells, model="whole", **options):
        """The answer to a grid."""
        status, _, content = self.ask("POST", f"/api/models/{model}/{operation}", {"cells": cells.tolist(), **options})
        assert status == 200, content
        return json.loads(content)

    def refusal(self, *request, **headers):
        """The status of a request that is refused, and its line."""
        status, _, content = self.ask(*request, **headers)
        return status, json.loads(content)["error"]

    def raw(self, *lines, body=b""):
        """What comes back for bytes on a socket."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            return client.makefile("rb").read()

    def stop(self):
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture(scope="module")
def served(files):
    one = Served(load_models([files / "whole.safetensors", files / "window.safetensors"], files / "prior.json"))
    yield one
    one.stop()


# The answers of the command line


def large():
    """A puzzle larger than a window."""
    generator = np.random.default_rng(0)
    return np.where(generator.random((12, 13)) < 0.6, HIDDEN, generator.integers(0, 2, (12, 13)))


def contradictory():
    """A puzzle in which visible cells contradict each other, for random weights."""
    return np.where(np.arange(25).reshape(5, 5) == 12, HIDDEN, np.random.default_rng(3).integers(0, 2, (5, 5)))


GRIDS = {
    "a puzzle": PUZZLE,
    "every cell hidden": np.full((5, 5), HIDDEN),
    "no cell hidden": np.eye(5, dtype=int),
    "another size": np.full((3, 7), HIDDEN),
    "contradictory": contradictory(),
    "one cell": np.array([[HIDDEN]]),
}
OPTIONS = {
    "samples": ({"samples": 3, "seed": 7}, ["--samples", "3", "--seed", "7"]),
    "typical": ({"typical": True}, ["--typical"]),
    "typical of few": ({"typical": True, "samples": 2}, ["--typical", "--samples", "2"]),
    "allow": ({"allow": "not black", "samples": 2}, ["--allow", "not black", "--samples", "2"]),
    "refine": ({"samples": 2, "refine": 2}, ["--samples", "2", "--refine", "2"]),
    "a refined typical one": ({"typical": True, "refine": 1}, ["--typical", "--refine", "1"]),
    "decoder": ({"order": "margin", "budget_bits": 0.5}, ["--order", "margin", "--budget-bits", "0.5"]),
}


def by_command(gridcloze, files, cells, *options, model="whole"):
    """The report and the arrays of `gridcloze fill`."""
    np.save("puzzle.npy", cells)
    path = files / f"{model}.safetensors"
    code, out, err = gridcloze("fill", path, "puzzle.npy", "-o", "out", "--overwrite", "--json", *options)
    assert code == 0, err
    with np.load("out/puzzle.npz") as arrays:
        return json.loads(out)[0], dict(arrays)


def assert_same(answer, report, arrays):
    """An answer has what the command line reports and writes, to the bit."""
    for name in ("fill", "samples", "marginals"):
        if answer.get(name):  # no samples where none were asked
            assert np.array_equal(np.array(answer[name], arrays[name].dtype).reshape(arrays[name].shape), arrays[name])
    keys = answer.keys() & report.keys() - {"samples"}
    assert {key: answer[key] for key in keys} == {key: report[key] for key in keys}
    if "fill" in answer:
        assert np.array_equal(np.array(answer["log2_probability"], float), arrays["log_prob_bits"], equal_nan=True)


@pytest.mark.parametrize("name", GRIDS)
def test_a_fill_is_that_of_the_command_line(name, served, gridcloze, files):
    """Fill, samples, probabilities, log-probability and warnings are the command line's, for grids of all kinds."""
    answer = served.answer("fill", GRIDS[name], samples=2)
    assert_same(answer, *by_command(gridcloze, files, GRIDS[name], "--samples", "2"))


@pytest.mark.parametrize("name", OPTIONS)
def test_options_mean_what_they_mean_on_the_command_line(name, served, gridcloze, files):
    """Options have the names of the command line, and change the answer as they do there."""
    options, arguments = OPTIONS[name]
    report, arrays = by_command(gridcloze, files, PUZZLE, *arguments)
    assert_same(served.answer("fill", PUZZLE, **options), report, arrays)


def test_a_grid_larger_than_a_window_is_answered_as_by_the_command_line(served, gridcloze, files):
    """A model of windows fills larger grids window after window, here too; of these there are no passes to show."""
    report, arrays = by_command(gridcloze, files, large(), "--samples", "2", model="window")
    answer = served.answer("fill", large(), model="window", samples=2)
    assert_same(answer, report, arrays)
    assert answer["passes"] == []
    assert_same(served.answer("marginals", large(), model="window"), report, arrays)
    report, arrays = by_command(gridcloze, files, large(), "--samples", "2", "--refine", "1", model="window")
    assert_same(served.answer("fill", large(), model="window", samples=2, refine=1), report, arrays)


def test_what_is_allowed_may_be_said_for_each_cell(served, gridcloze, files):
    """Booleans or likelihoods for each cell and symbol are what an array file is for the command line."""
    allowed = np.random.default_rng(0).random((5, 5, 2)) < 0.8
    allowed[..., 0] |= ~allowed.any(axis=-1)
    allowed[0, 1] = [True, False]
    for values in (allowed, np.where(allowed, 0.5, 0.25)):
        np.save("allowed.npy", values)
        report, arrays = by_command(gridcloze, files, PUZZLE, "--allow", "allowed.npy", "--samples", "2")
        assert_same(served.answer("fill", PUZZLE, allow=values.tolist(), samples=2), report, arrays)
    assert "--allow rules out" in " ".join(served.answer("fill", PUZZLE, allow=allowed.tolist())["warnings"])


def test_samples_and_probabilities_come_alone_too(served, gridcloze, files):
    """`sample` is `fill --no-fill`, and `marginals` has its probabilities, both to the bit."""
    report, arrays = by_command(gridcloze, files, PUZZLE, "--samples", "3", "--seed", "5", "--no-fill")
    assert_same(served.answer("sample", PUZZLE, samples=3, seed=5), report, arrays)
    assert_same(served.answer("marginals", PUZZLE, seed=5), report, arrays)


def test_check_and_explain_answer_what_the_command_line_prints(served, gridcloze, files):
    """Their answers have the report of the command line, key for key, and maps of all cells."""
    np.save("puzzle.npy", PUZZLE)
    model = files / "whole.safetensors"
    _, out, _ = gridcloze("check", model, "puzzle.npy", "--threshold", "0.4", "--json")
    answer = served.answer("check", PUZZLE, threshold=0.4, input="puzzle.npy")
    information = np.array(answer.pop("information"), dtype=float)
    assert answer == json.loads(out)
    assert answer["surprises"]
    assert information[PUZZLE == HIDDEN].max() == answer["look_next"]["bits"]
    _, out, _ = gridcloze("explain", model, "puzzle.npy", "--cell", "4,2", "--json")
    answer = served.answer("explain", PUZZLE, model="window", cell="4,2", input="puzzle.npy")
    influence, weights = answer.pop("influence"), np.array(answer.pop("attention_weights"))
    assert {**answer, "model": ""} == {**json.loads(out), "model": ""}
    first = answer["influences"][0]
    assert influence["hide"][first["row"]][first["column"]] == first["model"]["hide"]
    assert np.allclose(weights.sum(axis=(2, 3)), 1)


def test_a_prior_adds_the_exact_posterior(served, gridcloze, files):
    """Of a model whose grids are of the prior; a grid that is none of the prior is answered by the model alone."""
    grid = squares(5, 5, 2, 4).members[0].astype(int)
    puzzle = np.where(np.eye(5) == 1, HIDDEN, grid)
    exact = np.array(served.answer("marginals", puzzle)["exact"])
    assert np.array_equal(exact.argmax(axis=-1), grid)
    assert exact.max(axis=-1).min() == 1
    np.save("puzzle.npy", puzzle)
    _, out, _ = gridcloze(
        "explain", files / "whole.safetensors", "puzzle.npy", "--prior", files / "prior.json", "--json"
    )
    answer = served.answer("explain", puzzle, input="puzzle.npy")
    assert {key: answer[key] for key in json.loads(out)} == json.loads(out)
    assert "exact" not in served.answer("marginals", np.where(np.eye(5) == 1, HIDDEN, 1 - np.eye(5, dtype=int)))
    assert "exact" not in served.answer("marginals", puzzle.tolist() and np.full((4, 4), HIDDEN))


def test_passes_reveal_every_hidden_cell_once_and_add_up(served):
    """The passes of a fill and of each sample lead from the puzzle to it, and their bits to its log-probability."""
    for options in ({}, {"typical": True}, {"allow": "black"}, {"samples": 2}):
        answer = served.answer("fill", PUZZLE, **options)
        assert_lead_to(answer["passes"], PUZZLE, answer["fill"], answer["log2_probability"])
    evidence = np.full((5, 5, 2), 0.5)
    evidence[2, 2] = [0.9, 0.1]
    for allow in (None, evidence.tolist()):
        answer = served.answer("sample", PUZZLE, samples=3, allow=allow)
        for passes, whole, bits in zip(answer["passes"], answer["samples"], answer["log2_probability"], strict=True):
            assert_lead_to(passes, PUZZLE, whole, bits)


def test_passes_of_a_refined_sample_end_with_it(served):
    """Its cells are revealed once, and again in every round; neither it nor a pass has a log-probability."""
    answer = served.answer("sample", PUZZLE, samples=2, refine=2)
    plain = served.answer("sample", PUZZLE, samples=2)
    assert answer["log2_probability"] == [None, None]
    assert answer["samples"] != plain["samples"]
    for passes, first, whole in zip(answer["passes"], plain["passes"], answer["samples"], strict=True):
        assert [one["symbols"] for one in passes[: len(first)]] == [one["symbols"] for one in first]
        cells = PUZZLE.ravel().copy()
        for one in passes:
            cells[one["revealed"]] = one["symbols"]
        assert cells.tolist() == np.ravel(whole).tolist()
        assert {one["bits"] for one in passes} == {None}
        assert sum(len(one["revealed"]) for one in passes) == 3 * (PUZZLE == HIDDEN).sum()


def assert_lead_to(passes, puzzle, whole, bits):
    cells = puzzle.ravel().copy()
    for one in passes:
        assert (cells[one["revealed"]] == HIDDEN).all()
        cells[one["revealed"]] = one["symbols"]
    assert cells.tolist() == np.array(whole).ravel().tolist()
    assert sum(one["bits"] for one in passes) == pytest.approx(bits, abs=1e-9)


def test_passes_are_those_of_the_decoder(served, files):
    """Samples have as many passes, and are as probable, as those that the decoder makes."""
    answer = served.answer("sample", PUZZLE, samples=4)
    fills = filling.sample(checkpoint.load(files / "whole.safetensors"), Puzzles(PUZZLE[None]), 4)
    assert [len(passes) for passes in answer["passes"]] == fills.passes[0].tolist()
    assert answer["log2_probability"] == fills.log_prob_bits[0].tolist()


@pytest.mark.slow
def test_questions_that_come_together_are_answered_as_alone(served):
    """Twenty different puzzles at once get the answers that each gets alone."""
    generator = np.random.default_rng(0)
    puzzles = np.where(generator.random((20, 5, 5)) < 0.5, HIDDEN, generator.integers(0, 2, (20, 5, 5)))
    alone = [served.answer("fill", puzzle, samples=1) for puzzle in puzzles]
    together = [None] * len(puzzles)

    def ask(number):
        together[number] = served.answer("fill", puzzles[number], samples=1)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(puzzles))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.mark.parametrize("is_one_bad", [False, True])
def test_questions_that_come_together_share_forward_passes(is_one_bad, files, monkeypatch):
    """What waits while all threads are busy is one pass for each size; what is wrong with one harms no other."""
    alone, free, passes = checkpoint.load(files / "whole.safetensors"), threading.Event(), []
    model, cores = joined(alone), max(1, len(os.sched_getaffinity(0)) - 1)  # one is left for the work between passes
    puzzles = [*np.random.default_rng(0).integers(HIDDEN, 2, (cores + 8, 1, 5, 5)), np.full((1, 3, 4), HIDDEN)]
    bad = len(puzzles) - 2 if is_one_bad else -1
    expected = [alone.marginals(puzzle, puzzle == HIDDEN) for puzzle in puzzles]
    original = NetworkPredictor.logits

    def logits(self, tokens):
        passes.append(tokens)
        free.wait(60)
        if is_one_bad and any(np.array_equal(one, puzzles[bad][0] % 3) for one in tokens):  # 2 stands for hidden
            raise InputError("not that one")
        return original(self, tokens)

    monkeypatch.setattr(NetworkPredictor, "logits", logits)
    with ThreadPoolExecutor(len(puzzles)) as threads:
        found = []
        for one in puzzles:
            found.append(threads.submit(model.marginals, one, one == HIDDEN))
            wait_for(lambda: len(passes) == min(cores, len(found)))
        waiting = model.base.one_pass.__self__.waiting
        wait_for(lambda: sum(map(len, waiting.values())) == 9)
        free.set()
    for number, one in enumerate(found):
        if number == bad:
            assert str(one.exception()) == "not that one"
        else:
            assert np.array_equal(one.result(), expected[number])
    assert len(passes) == cores + 2 + 8 * is_one_bad


# What is said of it


@pytest.fixture(scope="module")
def described(served):
    return json.loads(served.ask("GET", "/api/openapi.json")[2])


@pytest.mark.parametrize("operation", [*OPERATIONS, "models"])
def test_answers_are_as_the_description_says(operation, served, described):
    """Real answers have the keys and types of the OpenAPI description, and no others; a wrong one is found."""
    path = "/api/models" if operation == "models" else f"/api/models/{{model_id}}/{operation}"
    [(_, of_path)] = described["paths"][path].items()
    schema = of_path["responses"]["200"]["content"]["application/json"]["schema"] | {
        "components": described["components"]
    }
    if operation == "models":
        answers = [json.loads(served.ask("GET", path)[2])]
    else:
        answers = [served.answer(operation, PUZZLE, model) for model in ("whole", "window")]
    for answer in answers:
        jsonschema.validate(answer, schema, cls=jsonschema.Draft202012Validator)
        for key in answer:
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({**answer, key: {"no": "answer"}}, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**answer, "more": 1}, schema)


def test_every_key_has_a_meaning(described):
    """Each key of a request and of an answer has a text in the description."""
    for name, schema in described["components"]["schemas"].items():
        for key, of_key in schema["properties"].items():
            assert of_key.get("description") or "$ref" in of_key, f"{name}.{key}"


def test_the_models_are_listed(served, files):
    """With what the page must know of them; a prior is named where it fits."""
    whole, window = json.loads(served.ask("GET", "/api/models")[2])["models"]
    assert (whole["id"], whole["height"], whole["width"], whole["window"]) == ("whole", 5, 5, None)
    assert whole["prior"] == "squares 5x5 2..4"
    assert window["window"] == [5, 5]
    assert whole["symbols"][1] == {"name": "white", "character": "#", "colour": "#ffffff"}
    assert whole["model"] == checkpoint.read_header(files / "whole.safetensors").hash


def test_two_models_of_one_name_have_two_ids(files, tmp_path):
    """Each model has an id of its own, without characters that mean something in addresses."""
    odd = tmp_path / "a b?.safetensors"
    odd.write_bytes((files / "whole.safetensors").read_bytes())
    assert [model.id for model in load_models([odd, odd])] == ["a-b-", "a-b--2"]


# Progress, and clients that leave


def test_long_work_tells_its_progress(served):
    """As lines of JSON: shares that grow, and at last the same result that comes without progress."""
    body = {"cells": PUZZLE.tolist(), "threshold": 0.3}
    _, headers, content = served.ask("POST", "/api/models/whole/check", body, Accept="application/x-ndjson")
    *progress, last = map(json.loads, content.splitlines())
    assert headers["Content-Type"].startswith("application/x-ndjson")
    shares = [one["progress"] for one in progress]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert last == {"result": served.answer("check", PUZZLE, threshold=0.3)}


def failing(monkeypatch, error):
    """Let `check` fail."""

    def fail(question, watch):
        raise error

    monkeypatch.setitem(OPERATIONS, "check", replace(OPERATIONS["check"], run=fail))


def test_an_error_on_the_way_is_the_last_line(served, monkeypatch):
    """What goes wrong after the first line is told in the last."""
    failing(monkeypatch, InputError("the model gives no numbers"))
    body = {"cells": PUZZLE.tolist()}
    _, _, content = served.ask("POST", "/api/models/whole/check", body, Accept="application/x-ndjson")
    assert json.loads(content.splitlines()[-1]) == {"error": "the model gives no numbers"}
    assert served.refusal("POST", "/api/models/whole/check", body) == (422, "the model gives no numbers")


def test_a_watched_model_gives_the_same_answers_and_stops_before_a_pass(files):
    """Progress reaches the whole of the work, and the work ends before the next pass when nobody waits."""
    model = checkpoint.load(files / "whole.safetensors")
    watch, puzzles = Watch(lambda: False, total=20.0), Puzzles(PUZZLE[None])
    fills = filling.sample(watched(model, watch), puzzles, 1)
    assert np.array_equal(fills.cells, filling.sample(model, puzzles, 1).cells)
    assert watch.share == 1
    passes = iter(range(100))
    with pytest.raises(GoneError):
        filling.sample(watched(model, Watch(lambda: next(passes) >= 2)), puzzles, 1, decoder=DEFAULT_DECODER)
    assert next(passes) == 3


@contextmanager
def slow_passes(monkeypatch):
    """Passes of the model take 0.1 s, and are counted."""
    passes = []
    original = NetworkPredictor.logits

    def logits(self, tokens):
        passes.append(time.monotonic())
        time.sleep(0.1)
        return original(self, tokens)

    monkeypatch.setattr(NetworkPredictor, "logits", logits)
    yield passes
    monkeypatch.undo()


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_work_ends_when_the_client_leaves(accept, served, monkeypatch):
    """A client that closes the connection ends its work within a pass, with and without progress."""
    body = json.dumps({"cells": np.full((30, 30), HIDDEN).tolist()}).encode()
    lines = head(served, f"Accept: {accept}", f"Content-Length: {len(body)}", path="/api/models/window/sample")
    with slow_passes(monkeypatch) as passes:
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            wait_for(lambda: len(passes) > 2)
        wait_for(lambda: served.app.in_work == 0)
        left = len(passes)
        time.sleep(1)  # in which ten passes would be done, of more than fifty
        assert len(passes) <= left + 1


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# Under attack


def fill_of(served, **headers):
    return served.ask("POST", "/api/models/whole/fill", {"cells": [[0, -1]]}, **headers)


@pytest.mark.parametrize(
    "host", ["evil.example:{}", "127.0.0.1.evil:{}", "127.0.0.1", "127.0.0.1:1", "localhost:{}@evil", "", "[::1]:{}"]
)
def test_a_foreign_host_is_refused(host, served):
    """421 for every Host that is not ours with our port, for the page as well as for the API: DNS rebinding."""
    named = host.format(served.port)
    for path in ("/", "/api/models"):
        status, line = served.refusal("GET", path, Host=named)
        assert (status, line) == (421, f"this server answers at http://127.0.0.1:{served.port} only")
    assert served.ask("GET", "/api/models", Host=f"LOCALHOST:{served.port}")[0] == 200


def test_two_hosts_are_refused(served):
    """421 for two Host headers, even equal ones; the parser of HTTP refuses them before with 400."""
    own = f"127.0.0.1:{served.port}".encode()
    with pytest.raises(guards.RefusedError) as refused:
        served.app.check("GET", "/", [(b"host", own), (b"host", own)])
    assert refused.value.status == 421
    answer = served.raw("GET /api/models HTTP/1.1", f"Host: 127.0.0.1:{served.port}", "Host: evil.example")
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Bearer {TOKEN}x", TOKEN.upper(), "Bearer é"])
def test_without_the_token_nothing_is_answered(authorization, served):
    """401 for every address of the API, for those that do not exist too."""
    for path in ("/api/models", "/api/openapi.json", "/api/none", "/api"):
        assert served.refusal("GET", path, Authorization=authorization)[0] == 401
    assert fill_of(served, Authorization=authorization)[0] == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": None},
        {"Origin": None, "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "null", "Sec_Fetch_Site": "same-origin"},
    ],
)
def test_another_site_is_refused(headers, served):
    """403 for requests with a body that do not come from our own page, even with the token."""
    headers = {name: value and value.format(port=served.port) for name, value in headers.items()}
    assert fill_of(served, **headers)[0] == 403
    for good in ({"Origin": None, "Sec_Fetch_Site": "same-origin"}, {"Origin": None, "Sec_Fetch_Site": "none"}, {}):
        assert fill_of(served, **good)[0] == 200


def test_a_form_of_another_site_is_refused(served):
    """403 for what a form of another page can send, and 415 where our own page would send it."""
    form = {"Content_Type": "application/x-www-form-urlencoded", "Authorization": None}
    forged = served.ask(
        "POST", "/api/models/whole/fill", b"cells=1", **form, Sec_Fetch_Site="cross-site", Origin="null"
    )
    assert forged[0] == 403
    assert served.ask("POST", "/api/models/whole/fill", b"cells=1", Content_Type=form["Content_Type"])[0] == 415
    assert served.ask("GET", "/api/models", Sec_Fetch_Site="cross-site")[0] == 403
    assert served.ask("GET", "/", Sec_Fetch_Site="cross-site")[0] in (200, 404)  # a link to the page


def test_no_other_site_may_read(served):
    """No answer has a CORS header, and a preflight is refused."""
    for status, headers, _ in (
        fill_of(served),
        served.ask("OPTIONS", "/api/models/whole/fill"),
        served.ask("GET", "/"),
    ):
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert status in (200, 404, 405)
    assert served.ask("OPTIONS", "/api/models/whole/fill", Origin="http://evil.example")[0] == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "image/png", "application/octet-stream"]
)
def test_only_json_is_read(kind, served):
    """415 for any other type of body: a PNG of 10^9 pixels is not decoded, and nothing compressed is."""
    bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (31623).to_bytes(4) * 2 + b"\x01\0\0\0\0"
    assert served.refusal("POST", "/api/models/whole/fill", bomb, Content_Type=kind)[0] == 415
    assert served.refusal("POST", "/api/models/whole/fill", b"\x1f\x8b", Content_Encoding="gzip")[0] == 415


def test_a_body_that_is_too_large_is_not_read(served):
    """413 as soon as it is declared, and 413 when it grows beyond, in both cases at once."""
    began = time.monotonic()
    declared = served.raw(*head(served, f"Content-Length: {MOST_BYTES + 1}"))
    assert declared.startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as client:
        client.sendall("\r\n".join([*head(served, "Transfer-Encoding: chunked"), "", ""]).encode())
        chunk = b"10000\r\n" + b" " * 2**16 + b"\r\n"
        for _ in range(MOST_BYTES // 2**16 + 1):
            client.sendall(chunk)
        assert client.recv(100).startswith(b"HTTP/1.1 413")
    assert time.monotonic() - began < 20
    assert served.app.in_work == 0


def head(served, *more, path="/api/models/whole/fill"):
    own = [f"{name}: {value}" for name, value in served.headers.items()]
    first = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{served.port}", "Content-Type: application/json"]
    return [*first, *own, *more]


def test_a_body_that_never_ends_is_given_up(served, monkeypatch):
    """408 for a body that stops before its end, and its place is free again; also when the client leaves instead."""
    monkeypatch.setattr(guards, "BODY_SECONDS", 0.3)
    answer = served.raw(*head(served, "Content-Length: 100"), body=b'{"cells"')
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not arrive" in answer
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall("\r\n".join([*head(served, "Content-Length: 100"), "", ""]).encode())
        wait_for(lambda: served.app.in_work == 1)
    wait_for(lambda: served.app.in_work == 0)


def test_a_grid_of_too_many_cells_is_refused(served, monkeypatch):
    """422 for more cells, more numbers in the answer and more memory than there is, before any is taken."""
    monkeypatch.setattr(operations, "MOST_CELLS", 24)
    monkeypatch.setattr(operations, "MOST_LOOKED_AT", 9)
    monkeypatch.setattr(operations, "MOST_NUMBERS", 1000)
    status, line = served.refusal("POST", "/api/models/whole/fill", {"cells": PUZZLE.tolist()})
    assert (status, "5 by 5 cells are more than 24" in line) == (422, True)
    monkeypatch.setattr(operations, "MOST_CELLS", 25)
    body = {"cells": PUZZLE.tolist()}
    assert "each of which would be looked at" in served.refusal("POST", "/api/models/whole/check", body)[1]
    status, line = served.refusal("POST", "/api/models/whole/sample", {**body, "samples": 100})
    assert (status, "give 2550 numbers" in line) == (422, True)
    status, line = served.refusal("POST", "/api/models/whole/sample", {**body, "samples": 10**12})
    assert (status, "memory" in line) == (422, True)


BAD = {
    "no grid": ({}, "cells: field required"),
    "no cells": ({"cells": []}, "the grid has no cells"),
    "rows without cells": ({"cells": [[], []]}, "the grid has no cells"),
    "not rectangular": ({"cells": [[0], [1, 0]]}, "row 1 has 2 cells, row 0 has 1"),
    "outside the palette": ({"cells": [[0, 7]]}, "row 0, column 1 (counted from 0): symbol 7 is not in the palette"),
    "no symbol": ({"cells": [[-2]]}, "-2 is not a symbol"),
    "a huge number": ({"cells": [[10**40]]}, "not symbols"),
    "a fraction": ({"cells": [[0.5]]}, "cells.0.0: input should be a valid integer"),
    "a boolean": ({"cells": [[True]]}, "cells.0.0: input should be a valid integer"),
    "no list": ({"cells": "0"}, "cells: input should be a valid list"),
    "an unknown option": ({"cells": [[0]], "sample": 3}, "sample: extra inputs are not permitted"),
    "a negative number of samples": ({"cells": [[0]], "samples": -1}, "samples: input should be greater than or equal"),
    "an unknown order": ({"cells": [[0]], "order": "up"}, "there is no order 'up'"),
    "a negative budget": ({"cells": [[0]], "budget_bits": -1}, "budget_bits must be 0 or more"),
    "nothing to refine": ({"cells": [[-1]], "refine": 1}, "the most likely fill is no sample"),
    "too many rounds": ({"cells": [[-1]], "refine": 1001, "samples": 1}, "refine must be 0 to 1000 rounds"),
    "a file": ({"cells": [[0]], "allow": "/etc/passwd.txt"}, "'/etc/passwd.txt' is no symbol of this model"),
    "nothing allowed": ({"cells": [[-1]], "allow": [[[False, False]]]}, "allows no symbol"),
    "no likelihood": ({"cells": [[-1]], "allow": [[[2.0, 0.5]]]}, "is no probability"),
    "allowed for other grids": (
        {"cells": [[-1]], "allow": [[[1, 1], [1, 1]]]},
        "--allow: shape (1, 2, 2) does not fit",
    ),
    "allowed without a shape": ({"cells": [[-1, -1]], "allow": [[[1, 1], [1]]]}, "different numbers of values"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_line(name, served):
    """422 with a line that says what is wrong."""
    body, line = BAD[name]
    status, said = served.refusal("POST", "/api/models/whole/fill", body)
    assert status == 422
    assert line in said
    assert "\n" not in said


@pytest.fixture(scope="module")
def sided(tmp_path_factory):
    """A server with a model that has side maps of classes and of numbers, and the folder of the model."""
    folder = tmp_path_factory.mktemp("sided")
    channels = (Channel("zone", (0.0, 1.0)), Channel("depth"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Bert(BertConfig(5, 5, 2, depth=1, patch=2, side=5)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    header = Header(asdict(model.config), Palette.default(2), side=channels)
    checkpoint.save(folder / "whole.safetensors", TrainedPredictor(NetworkPredictor(model), header))
    one = Served(load_models([folder / "whole.safetensors"]))
    yield one, folder
    one.stop()


SIDE = np.stack([np.eye(5), np.linspace(-1, 1, 25).reshape(5, 5)], axis=-1)


def test_a_model_with_side_maps_answers_as_the_command_line(sided, gridcloze):
    """The same fill, check and explanation as from files; null is unknown, and "none" unknown everywhere."""
    served, folder = sided
    side = SIDE.copy()
    side[1, 2] = np.nan
    values = [[[None if np.isnan(one) else one for one in cell] for cell in row] for row in side]
    np.save("zone.npy", side[..., 0])
    np.save("depth.npy", side[..., 1])
    options = ["--side", "zone.npy", "--side", "depth.npy"]
    fill = by_command(gridcloze, folder, PUZZLE, "--samples", "2", *options)
    assert_same(served.answer("fill", PUZZLE, samples=2, side=values), *fill)
    assert_same(served.answer("fill", PUZZLE, side="none"), *by_command(gridcloze, folder, PUZZLE, "--side", "none"))
    for operation in ("check", "explain"):
        answer = served.answer(operation, PUZZLE, side=values, input="puzzle.npy")
        code, out, err = gridcloze(operation, folder / "whole.safetensors", "puzzle.npy", "--json", *options)
        assert code in (0, 1), err
        report = json.loads(out)
        assert report.items() <= answer.items()
        assert operation == "check" or [one["name"] for one in report["side"]] == ["zone", "depth"]
    assert served.answer("attention", PUZZLE, side=values) != served.answer("attention", PUZZLE, side="none")
    entry = json.loads(served.ask("GET", "/api/models")[2])["models"][0]
    assert (entry["side"], entry["side_classes"]) == (["zone", "depth"], [[0, 1], []])


@pytest.mark.parametrize(
    ("side", "line"),
    [
        (None, "the model needs the side maps that it learned with (zone, depth)"),
        (SIDE[:4].tolist(), "side: shape (4, 5, 2) does not fit a grid of 5 by 5 cells"),
        (SIDE[..., :1].tolist(), "there are 1 side maps, and the model has 2 (zone, depth)"),
        ((SIDE + 7).tolist(), "side map 'zone' is 8 at grid 0, row 0, column 0, and in the examples 0, 1 only"),
        ("all", "side"),
    ],
)
def test_bad_side_maps_get_one_line(side, line, sided):
    """422 with a line that says what is wrong, and for a model without side maps as well."""
    status, said = sided[0].refusal("POST", "/api/models/whole/fill", {"cells": PUZZLE.tolist(), "side": side})
    assert (status, line in said, "\n" in said) == (422, True, False), said


def test_a_model_without_side_maps_takes_none(served):
    """Side maps that a model cannot use are refused, not ignored."""
    body = {"cells": PUZZLE.tolist(), "side": SIDE.tolist()}
    assert "learned without side maps" in served.refusal("POST", "/api/models/whole/fill", body)[1]


def test_lines_are_those_of_the_command_line(served, gridcloze, files):
    """Symbols outside the palette, whole grids to explain and odd thresholds get the words of the command line."""
    model = files / "whole.safetensors"
    for operation, cells, options, arguments in (
        ("check", [[0, 7]], {}, []),
        ("explain", [[0, 1]], {}, []),
        ("explain", [[0, -1]], {"cell": "0,0"}, ["--cell", "0,0"]),
        ("explain", [[0, -1]], {"cell": "one"}, ["--cell", "one"]),
        ("check", [[0]], {"threshold": 2.0}, ["--threshold", "2"]),
    ):
        np.save("puzzle.npy", np.array(cells))
        _, _, err = gridcloze(operation, model, "puzzle.npy", *arguments)
        _, line = served.refusal("POST", f"/api/models/whole/{operation}", {"cells": cells, **options})
        assert err.strip().removeprefix("gridcloze: ").removeprefix("puzzle.npy: ") == line


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000, b'{"cells": [[1' + b"0" * 5000 + b"]]}", b"\xff\xfe", b"null"]
)
def test_what_is_no_json_gets_one_line(body, served):
    """400 or 422 with one line, also for nesting without end and for numbers without end."""
    status, line = served.refusal("POST", "/api/models/whole/fill", body)
    assert status in (400, 422)
    assert "\n" not in line


def test_addresses_that_do_not_exist(served):
    """404 for unknown models and pages, 405 for wrong methods, all as one line."""
    assert served.refusal("POST", "/api/models/none/fill", {"cells": [[0]]}) == (
        404,
        "there is no model 'none'; the models are whole, window",
    )
    assert served.refusal("GET", "/none")[0] == 404
    assert served.refusal("GET", "/api/none")[0] == 404
    assert served.refusal("GET", "/api/models/whole/fill")[0] == 404
    assert served.refusal("POST", "/", {"cells": []})[0] == 405


def test_every_answer_tells_the_browser_what_the_page_may_do(served):
    """Policy, types that are not guessed and no referrer, with every status."""
    requests = [
        ("GET", "/"),
        ("GET", "/none"),
        ("GET", "/api/models"),
        ("POST", "/api/models/whole/fill", {"cells": 1}),
    ]
    answers = [served.ask(*request) for request in requests] + [served.ask("GET", "/api/models", Host="evil")]
    for _, headers, _ in answers:
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "server" not in headers or "uvicorn" in headers["server"]


def test_a_bug_is_one_line_for_the_client(served, monkeypatch, capsys):
    """500 with a line and no traceback; the traceback is printed where the server runs, and the server goes on."""
    failing(monkeypatch, ZeroDivisionError("inner secret"))
    status, line = served.refusal("POST", "/api/models/whole/check", {"cells": [[0]]})
    assert (status, "secret" in line) == (500, False)
    printed = capsys.readouterr().err
    assert "inner secret" in printed
    assert TOKEN not in printed
    assert fill_of(served)[0] == 200


@pytest.mark.slow
def test_more_requests_than_can_be_in_work_are_refused(served, monkeypatch):
    """429 with Retry-After for those beyond the limit; the others are answered."""
    monkeypatch.setattr(guards, "MOST_IN_WORK", 2)
    with slow_passes(monkeypatch):
        waiting = []
        for _ in range(2):
            client = socket.create_connection(("127.0.0.1", served.port))
            body = json.dumps({"cells": PUZZLE.tolist()}).encode()
            client.sendall("\r\n".join([*head(served, f"Content-Length: {len(body)}"), "", ""]).encode() + body)
            waiting.append(client)
        wait_for(lambda: served.app.in_work == 2)
        status, headers, _ = fill_of(served)
        assert (status, headers["Retry-After"]) == (429, "1")
        assert all(client.recv(20).startswith(b"HTTP/1.1 200") for client in waiting)
        for client in waiting:
            client.close()


@pytest.mark.slow
def test_a_thousand_requests_at_once(served):
    """Each is answered with 200 or 429, none fails, and memory stays flat."""
    body = json.dumps({"cells": PUZZLE.tolist(), "samples": 2}).encode()
    request = "\r\n".join([*head(served, f"Content-Length: {len(body)}", "Connection: close"), "", ""]).encode() + body

    async def one():
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return int(answer.split()[1])

    async def all_at_once():
        return await asyncio.gather(*(one() for _ in range(1000)))

    asyncio.run(all_at_once())
    before = psutil.Process().memory_info().rss
    statuses = asyncio.run(all_at_once())
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= MOST_IN_WORK
    assert 429 in statuses
    assert psutil.Process().memory_info().rss - before < 50 * 2**20
    assert fill_of(served)[0] == 200


# Where it listens


@pytest.mark.parametrize(
    ("address", "host", "is_at"),
    [
        ("0.0.0.0", "192.168.0.7:8765", True),
        ("0.0.0.0", "evil.example:8765", False),
        ("0.0.0.0", "192.168.0.7.evil:8765", False),
        ("192.168.0.7", "192.168.0.7:8765", True),
        ("192.168.0.7", "192.168.0.8:8765", False),
        ("::1", "[::1]:8765", True),
        ("127.0.0.1", "192.168.0.7:8765", False),
        ("127.0.0.1", "localhost.:8765", False),
    ],
)
def test_hosts_at_another_address(address, host, is_at):
    """Who listens elsewhere is asked by that address; who listens everywhere by any address, but by no name."""
    assert Door(8765, TOKEN, address).is_at(host) is is_at


def test_only_http_passes():
    """A web socket is not opened."""
    asyncio.run(Guard(lambda *_: pytest.fail("passed"), Door(1, TOKEN))({"type": "websocket"}, None, None))


# The page


def test_the_page_is_served_and_nothing_beside_it(served, tmp_path, monkeypatch):
    """Files of the built page have their types; nothing outside of its folder is given, by whatever name."""
    built = tmp_path / "built"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<p>page</p>")
    (built / "assets" / "page.js").write_text("1")
    (built / "assets" / "ort.wasm").write_bytes(b"\0asm")
    (built / "assets" / "page.py").write_text("secret")
    (tmp_path / "outside.js").write_text("secret")
    (built / "link.js").symlink_to(tmp_path / "outside.js")
    monkeypatch.setattr(server, "BUILT", built)
    for path, kind in (
        ("/", "text/html"),
        ("/assets/page.js", "text/javascript"),
        ("/assets/ort.wasm", "application/wasm"),
    ):
        status, headers, content = served.ask("GET", path, Authorization=None)
        assert (status, headers["Content-Type"].split(";")[0], b"secret" in content) == (200, kind, False)
    climbing = ("/../outside.js", "/%2e%2e/outside.js", "/assets/..%2f..%2foutside.js", f"/{tmp_path}/outside.js")
    for path in (*climbing, "/link.js", "/assets", "/a%00b", "//outside.js", "/assets/page.py", "/" + "a" * 5000):
        assert served.ask("GET", path)[0] == 404, path


def test_without_the_page_the_server_says_how_to_build_it(served, tmp_path, monkeypatch):
    """In a clone without a built page, / says what to do, and the API answers."""
    monkeypatch.setattr(server, "BUILT", tmp_path / "none")
    status, _, content = served.ask("GET", "/", Authorization=None)
    assert status == 200
    assert b"make studio" in content


def test_the_documentation_of_the_api_needs_no_network(served):
    """Its page and scripts come from the package, know no token, and name no other address."""
    for path, kind in (("/api/docs", "text/html"), ("/api/docs.js", "text/javascript"), ("/api/docs.css", "text/css")):
        status, headers, content = served.ask("GET", path, Authorization=None)
        assert (status, headers["Content-Type"].split(";")[0]) == (200, kind)
        assert not re.search(rb"(?<!\.)\b(https?:)?//(?!www\.w3\.org)[a-z]", content)
        assert TOKEN.encode() not in content


# The command


@pytest.fixture
def running(files):
    """The command `studio` in a process of its own: its address, its token and the process."""
    script = "from gridcloze.cli import main; main()"
    model = str(files / "whole.safetensors")
    command = [sys.executable, "-c", script, "studio", model, "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()
    yield process, *re.fullmatch(r"http://127\.0\.0\.1:(\d+)/#token=([\w-]{32})", url).groups()
    process.kill()
    process.communicate()


def request(port, token, path="/api/models?secret=1"):
    with closing(HTTPConnection("127.0.0.1", int(port), timeout=60)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status


@pytest.mark.slow
def test_the_command_serves_until_ctrl_c(running):
    """It prints an address with a token, answers, and ends by Ctrl-C with status 0; it prints no query and no token."""
    process, port, token = running
    assert request(port, token) == 200
    assert request(port, "wrong") == 401
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "secret" not in out + err
    assert token not in out + err
    assert "Traceback" not in err


@pytest.mark.slow
def test_ctrl_c_ends_work_that_is_not_finished(running):
    """Ctrl-C while a long question is answered ends the server within seconds."""
    process, port, token = running
    body = json.dumps({"cells": np.full((60, 60), HIDDEN).tolist(), "samples": 20}).encode()
    lines = [
        "POST /api/models/whole/sample HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Authorization: Bearer {token}",
        "Sec-Fetch-Site: same-origin",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    with socket.create_connection(("127.0.0.1", int(port))) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_port_in_use_is_one_line(gridcloze):
    """A port that another program uses ends the command with status 2 and a line that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, err = gridcloze("studio", "--no-browser", "--port", port)
    assert code == 2
    assert err == f"gridcloze: port {port} is in use: stop what uses it, or choose another with --port (0 for any)\n"


def test_what_is_no_model_is_refused(gridcloze, files, tmp_path):
    """A file that is no model, and a prior of other grids, end the command with the words of the other commands."""
    (tmp_path / "none.safetensors").write_bytes(b"no model")
    for arguments, line in (
        (["none.safetensors"], "none.safetensors is not a model file of gridcloze"),
        (["missing.safetensors"], "missing.safetensors: no such file"),
        (["--address", "300.1.1.1"], "cannot listen at 300.1.1.1"),
    ):
        code, _, err = gridcloze("studio", "--no-browser", "--port", "0", *arguments)
        assert (code, line in err) == (2, True)
    (tmp_path / "prior.json").write_text(json.dumps(squares(6, 6, 2, 3).spec))
    with pytest.raises(InputError, match="these have 5 by 5 with 2"):
        load_models([files / "whole.safetensors"], tmp_path / "prior.json")


def served_without_end(monkeypatch, *, address="127.0.0.1", browser=False):
    """What `serve` says and opens, if it is stopped as soon as it serves."""
    opened = []
    monkeypatch.setattr(server.webbrowser, "open", lambda place: opened.append((place, Path(place[7:]).read_text())))
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: time.sleep(0.2))
    server.serve([], None, 0, address, browser)
    return opened


def test_a_browser_is_opened_without_showing_the_token(monkeypatch, capsys):
    """The browser is started with a file that only this user can read, which leads to the page; it is gone after."""
    [(place, content)] = served_without_end(monkeypatch, browser=True)
    url = capsys.readouterr().out.splitlines()[0]
    assert url in content
    assert "token" not in place
    assert not Path(place.removeprefix("file://")).exists()


def test_another_address_is_warned_of(monkeypatch, capsys):
    """A server that other machines can reach says so on stderr; one on the loopback says nothing."""
    served_without_end(monkeypatch, address="0.0.0.0")
    assert "other machines can reach this server" in capsys.readouterr().err
    served_without_end(monkeypatch)
    assert capsys.readouterr().err == ""


# The page and the server together


@pytest.fixture(scope="module")
def browser():
    needed((BUILT / "index.html").is_file(), "the built page, which `make page` makes,")
    with opened_browser() as browser:
        yield browser


RECORDING = """
const fetched = window.fetch
window.answered = []
window.fetch = async (url, question) => {
  const answer = await fetched(url, question)
  answer.clone().text().then((text) => window.answered.push([String(url), question?.body, text]), () => {})
  return answer
}
"""


@pytest.fixture
def browse(browser):
    """Opens an address of the server; fails if anything else is asked, and on any error of the page."""
    pages, troubles = [], []

    def open_page(url):
        page = browser.new_page()
        pages.append(page)
        page.add_init_script(RECORDING)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda one: one.url.startswith((url.split("#")[0], "blob:")) or troubles.append(one.url))
        page.goto(url)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not troubles


def answer_to(page, operation, act):
    """What the page sends to an operation after `act()`, and the last line of the answer."""
    page.evaluate("answered.length = 0")
    act()
    for _ in range(600):
        for url, asked, text in page.evaluate("answered"):
            if url.endswith(f"/{operation}"):
                return json.loads(asked), json.loads(text.splitlines()[-1])
        page.wait_for_timeout(50)
    raise AssertionError(f"no answer to {operation}")


def put(page, cells):
    """Let the page have a puzzle, as a file that is opened."""
    page.wait_for_selector("text=bits of uncertainty per hidden cell")  # of the puzzle that is there
    content = BytesIO()
    np.save(content, cells)
    puzzle = {"name": "puzzle.npy", "mimeType": "application/octet-stream", "buffer": content.getvalue()}
    return answer_to(page, "marginals", lambda: page.get_by_label("Open a puzzle").set_input_files(puzzle))


def view(page, name, operation):
    """What is sent and answered when a view is chosen."""
    asked, answered = answer_to(page, operation, page.get_by_role("radio", name=name, exact=True).check)
    return asked, answered["result"]


@pytest.mark.slow
def test_the_page_at_the_printed_address_shows_what_the_command_line_answers(running, browse, gridcloze, files):
    """Probabilities, fill, samples, influence and attention are the command line's, and are seen."""
    _, port, token = running
    page = browse(f"http://127.0.0.1:{port}/#token={token}")
    asked, answered = put(page, PUZZLE)
    report, arrays = by_command(gridcloze, files, PUZZLE, "--samples", "16")
    assert np.array_equal(asked["cells"], PUZZLE)
    assert_same(answered["result"], report, arrays)
    _, fill = view(page, "Fill", "fill")
    assert_same(fill, *by_command(gridcloze, files, PUZZLE))
    page.wait_for_selector(f"text=log2 probability {fill['log2_probability']:.1f}".replace("-", "−"))
    asked, samples = view(page, "Samples", "sample")
    assert (asked["samples"], asked["seed"]) == (16, 0)
    assert_same(samples, {}, arrays)
    page.wait_for_selector(f"text=log2 probability {samples['log2_probability'][0]:.1f}".replace("-", "−"))
    refine = page.get_by_label("Refine")
    asked, refined = answer_to(page, "sample", lambda: refine.select_option("1"))
    assert asked["refine"] == 1
    assert_same(refined["result"], *by_command(gridcloze, files, PUZZLE, "--samples", "16", "--refine", "1"))
    page.wait_for_selector("text=its cells were drawn again, so it has no log-probability")
    answer_to(page, "sample", lambda: refine.select_option("0"))
    _, attention = view(page, "Attention", "attention")
    weights = checkpoint.load(files / "whole.safetensors").attention(PUZZLE[None], PUZZLE[None] == HIDDEN)
    assert np.array_equal(np.array(attention["weights"], np.float32), weights[0])
    box = page.get_by_role("application").first.bounding_box()
    at = box["x"] + 0.5 * box["width"], box["y"] + 0.9 * box["height"]
    asked, answered = answer_to(page, "explain", lambda: page.mouse.move(*at))
    np.save("puzzle.npy", PUZZLE)
    _, out, _ = gridcloze("explain", files / "whole.safetensors", "puzzle.npy", "--cell", asked["cell"], "--json")
    expected = json.loads(out)
    assert asked["cell"] == "4,2"
    assert {key: answered["result"][key] for key in expected} == {**expected, "input": ""}


@pytest.mark.slow
def test_side_maps_that_are_opened_in_the_page_reach_the_server(sided, browse, gridcloze):
    """Before, they are unknown; then every view has the command line's answer; what does not fit is refused."""
    served, folder = sided
    page = browse(f"http://127.0.0.1:{served.port}/#token={TOKEN}")
    asked, answered = put(page, PUZZLE)
    assert asked["side"] == "none"
    (line,) = (line for line in answered["result"]["warnings"] if "unknown" in line)
    assert page.get_by_text(line).is_visible()
    zone, depth = SIDE[..., 0].copy(), SIDE[..., 1] / 3
    zone[1, 2] = np.nan
    options = []
    for name, values in (("zone", zone), ("depth", depth)):
        np.save(f"{name}.npy", values)
        options += ["--side", f"{name}.npy"]
        opened = answer_to(page, "marginals", partial(page.get_by_label(f"Open {name}").set_input_files, f"{name}.npy"))
    assert_same(opened[1]["result"], *by_command(gridcloze, folder, PUZZLE, *options))
    page.wait_for_selector("text=known in 24 of 25 cells, 0 to 1")
    assert not page.get_by_text("unknown:").is_visible()
    np.save("zone.npy", zone + 1)
    page.get_by_label("Open zone").set_input_files("zone.npy")
    page.wait_for_selector(
        "text=zone.npy: side map 'zone' is 2 at grid 0, row 0, column 0, and in the examples 0, 1 only"
    )
    np.save("zone.npy", zone)
    assert_same(
        view(page, "Samples", "sample")[1], {}, by_command(gridcloze, folder, PUZZLE, "--samples", "16", *options)[1]
    )
    _, attention = view(page, "Attention", "attention")
    side = np.stack([zone, depth], axis=-1)[None].astype(np.float32)
    weights = checkpoint.load(folder / "whole.safetensors").attention(PUZZLE[None], PUZZLE[None] == HIDDEN, side)
    assert np.array_equal(np.array(attention["weights"], np.float32), weights[0])
    box = page.get_by_role("application").first.bounding_box()
    at = box["x"] + 0.5 * box["width"], box["y"] + 0.9 * box["height"]
    np.save("puzzle.npy", PUZZLE)
    explained = answer_to(page, "explain", lambda: page.mouse.move(*at))[1]["result"]
    expected = json.loads(
        gridcloze("explain", folder / "whole.safetensors", "puzzle.npy", "--cell", "4,2", "--json", *options)[1]
    )
    assert {key: explained[key] for key in expected} == {**expected, "input": ""}


@pytest.mark.slow
def test_what_the_server_refuses_is_a_line_in_the_page_and_costs_nothing(served, browse, monkeypatch, tmp_path):
    """A grid that is too large and a model that is none are each one line; what was painted stays."""
    page = browse(f"http://127.0.0.1:{served.port}/#token={TOKEN}")
    put(page, PUZZLE)
    view(page, "Fill", "fill")
    monkeypatch.setattr(operations, "MOST_CELLS", 24)
    painted, answered = answer_to(page, "fill", page.get_by_role("button", name="Clear").click)
    assert "5 by 5 cells are more than 24" in answered["error"]
    alert = page.get_by_role("region", name="Answer").get_by_role("alert")
    assert alert.inner_text() == answered["error"]
    (tmp_path / "none.onnx").write_bytes(b"no model")
    page.get_by_label("Open a model from a file").set_input_files(tmp_path / "none.onnx")
    page.wait_for_selector("[role=alert]:has-text('none.onnx: this is not an exported model')")
    assert alert.is_visible()
    monkeypatch.undo()
    view(page, "Samples", "sample")
    asked, _ = view(page, "Fill", "fill")
    assert asked["cells"] == painted["cells"] == np.full((5, 5), HIDDEN).tolist()


@pytest.mark.slow
def test_stop_on_the_page_ends_the_work_of_the_server(served, browse, monkeypatch):
    """The button closes the request, the work ends within a pass, and the puzzle can be asked again."""
    page = browse(f"http://127.0.0.1:{served.port}/#token={TOKEN}")
    put(page, PUZZLE)
    with slow_passes(monkeypatch) as passes:
        page.get_by_role("radio", name="Samples", exact=True).check()
        page.get_by_role("button", name="Stop").click()
        wait_for(lambda: served.app.in_work == 0)
        left = len(passes)
        page.wait_for_timeout(1000)
        assert len(passes) <= left + 1
    again = page.get_by_role("button", name="Answer for this puzzle").click
    assert len(answer_to(page, "sample", again)[1]["result"]["samples"]) == 16
