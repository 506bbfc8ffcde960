"""Every exit of a command: one line on stderr, a status that says why, and JSON that is JSON."""

import json
import logging
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from gridcloze.cli import BUG, CLOSED_PIPE, REPORT, STOPPED, app
from gridcloze.commands import estimate, info, shared
from gridcloze.files.grids import Grid
from gridcloze.priors import posterior, squares
from gridcloze.words import InputError

COMMANDS = [command.callback.__name__ for command in app.registered_commands]
RUN = (sys.executable, "-c", "from gridcloze.cli import main; main()")


@pytest.fixture
def info_that(gridcloze, monkeypatch):
    """Runs a command that raises an error, or calls a function, when its work begins."""

    def run(ends, *arguments):
        def work(*_):
            if isinstance(ends, BaseException):
                raise ends
            return ends()

        monkeypatch.setattr(info, "info", work)
        return gridcloze("info", "model.safetensors", *arguments)

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("grid.png: 2 cells are missing"), "grid.png: 2 cells are missing"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), "a.png: No such file or directory"),
        (PermissionError(13, "Permission denied", b"a.png"), "a.png: Permission denied"),
        (OSError(18, "Invalid cross-device link", "a", None, "b"), "a: b: Invalid cross-device link"),
        (OSError("cannot identify image file"), "cannot identify image file"),
        (TimeoutError(), "TimeoutError"),
        (MemoryError(), "not enough memory (no further details): give smaller grids, or ask for less at once"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 TB\n more"), "not enough memory (DefaultCPUA"),
        (ValueError("array is too big; `arr.size * arr.dtype.itemsize` is larger"), "not enough memory (array is to"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply (maximum recursion depth exceeded)"),
        (OverflowError("int too large to convert to float"), "a number is too large (int too large to convert to"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "not readable as text ('utf-8' codec"),
        (ModuleNotFoundError("No module named 'rasterio'", name="rasterio"), "this needs rasterio, which is not inst"),
        (InputError("a\nb\tc\x1b[31m\udcff.png: damaged"), r"a\nb\tc\x1b[31m\udcff.png: damaged"),
        (FileNotFoundError(2, "No such file or directory", "a\r.png"), r"a\r.png: No such file or directory"),
    ],
)
def test_bad_input_is_one_line(error, line, info_that):
    """Whatever bad input makes a library raise, it ends with one line on stderr and status 2."""
    code, out, err = info_that(error)
    assert (code, out) == (2, "")
    assert err.startswith(f"gridcloze: {line}")
    assert err.count("\n") == 1
    assert err[:-1].isprintable()


@pytest.mark.parametrize("error", [KeyError("x"), AssertionError(), ModuleNotFoundError(name="gridcloze.nothing")])
def test_a_traceback_is_a_bug_and_says_so(error, info_that):
    """What nobody expected shows where it happened, ends with how to report it, and has its own status."""
    code, _, err = info_that(error)
    assert code == BUG
    assert "Traceback" in err
    assert err.splitlines()[-1] == f"gridcloze: {REPORT}"


def test_ctrl_c_is_one_line(info_that, monkeypatch):
    """Ctrl-C says that the command stopped, also where a library turned it into an error of its own."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert info_that(KeyboardInterrupt()) == (STOPPED, "", "gridcloze: stopped\n")

    def import_that_is_interrupted():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("numpy failed to import") from error

    assert info_that(import_that_is_interrupted) == (STOPPED, "", "gridcloze: stopped\n")


def test_ctrl_c_before_the_command_line_is_loaded(tmp_path):
    """Ctrl-C while the first modules are imported gives no traceback either."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(RUN, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (STOPPED, "", "gridcloze: stopped\n")


def test_a_closed_pipe_is_no_error():
    """`gridcloze … | head` ends without a word."""
    for arguments in (["--version"], ["fill", "--help"]):
        running = subprocess.Popen([*RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.stdout.close()
        said = running.stderr.read()
        running.stderr.close()
        assert (running.wait(), said) == (CLOSED_PIPE, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_under_stdout_is_one_line():
    """Output that cannot be written is an error, and said once."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([*RUN, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "gridcloze: No space left on device\n")


def test_names_that_the_terminal_cannot_show():
    """On a terminal without these characters, and for names that are not UTF-8, the line is written with escapes."""
    for encoding in ("ascii", "utf-8:strict"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        arguments = [*map(os.fsencode, RUN), b"info", "é".encode() + b"\xff.safetensors"]
        done = subprocess.run(arguments, env=environment, capture_output=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(b"gridcloze: ")
        assert b"\\udcff.safetensors: no such file" in done.stderr
        assert done.stderr.count(b"\n") == 1


def test_libraries_say_nothing_on_stderr(info_that, capsys):
    """Python's warnings and the log lines of libraries never reach stderr, nor become errors."""

    def work():
        warnings.warn("numpy changes", RuntimeWarning, stacklevel=1)
        logging.getLogger("rasterio._env").error("CPLE_AppDefined in a.tif")
        raise InputError("a.tif: damaged")

    try:
        assert info_that(work) == (2, "", "gridcloze: a.tif: damaged\n")
    finally:
        logging.disable(logging.NOTSET)


def test_json_is_valid_whatever_a_report_holds(info_that):
    """JSON has no NaN and no infinity: both are null."""
    report = {"a": float("nan"), "b": [1.5, -float("inf"), {"c": (np.float64("inf"), 2)}], "é": "\udcff"}
    code, out, _ = info_that(lambda: report, "--json")

    def refuse(constant):
        raise AssertionError(constant)

    assert code == 0
    assert json.loads(out, parse_constant=refuse) == {"a": None, "b": [1.5, None, {"c": [None, 2]}], "é": "\udcff"}


def test_the_command_alone_shows_its_help(gridcloze):
    """Without a command there is the help, and nothing on stderr."""
    code, out, err = gridcloze()
    assert (code, err) == (2, "")
    assert "Examples:" in out


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_flags_have_no_type_in_the_help(command, gridcloze):
    """A flag takes no value, and the help shows none."""
    _, out, _ = gridcloze(*filter(None, [command]), "--help")
    assert "<bool>" not in out


@pytest.mark.parametrize(
    "arguments", [["no-such"], ["fill", "--no-such"], ["train"], ["train", "x", "-o", "y", "--symmetries", "some"]]
)
def test_wrong_usage_is_one_line(arguments, gridcloze):
    """Unknown commands, options and choices are refused in one line."""
    code, out, err = gridcloze(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("gridcloze: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("seconds", "said"), [(0.1, ""), (80, "2 minutes"), (3 * 3600, "3 hours")])
def test_work_of_minutes_is_announced(capsys, monkeypatch, seconds, said):
    """By the time of a short try: a hundredth of what is asked for here."""
    clock = iter([0.0, seconds / 100])
    monkeypatch.setattr(shared.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(shared, "QUICK", 1600)
    grid = Grid.from_cells(np.full((4, 4), -1))
    shared.announce_work(Path("cover.tif"), posterior(squares(4, 4, 2, 3)), grid, 101)
    err = capsys.readouterr().err
    assert err == (f"cover.tif: 4 by 4 cells take about {said}; Ctrl-C stops\n" if said else "")


@pytest.mark.parametrize(
    ("seconds", "samples", "said"),
    [(0.1, 4, ""), (8, 2, "4 minutes"), (8, 0, "2 minutes"), (3600, 0, "10 hours")],
)
def test_fills_of_minutes_are_announced(capsys, monkeypatch, seconds, samples, said):
    """By the time of one sample and of the rest, for ten windows, and nothing where nothing is hidden."""
    clock = iter([0.0, seconds, 2 * seconds])
    monkeypatch.setattr(estimate.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(estimate, "QUICK", 600)
    exact = posterior(squares(4, 4, 2, 3))
    work = estimate.work_in(exact, np.full((4, 4), -1), 10.0)
    estimate.announce_fill(
        exact, [work, estimate.work_in(exact, np.zeros((4, 4), int), 5.0)], 3, samples, "likely", None
    )
    err = capsys.readouterr().err
    goes_on = "Ctrl-C stops, and the same command goes on with what is not finished"
    assert err == (f"filling 3 grids in 10 windows takes about {said}; {goes_on}\n" if said else "")


def test_the_windows_to_fill_are_counted():
    """A grid has as many windows to fill as have a hidden cell in their core; the one with most of them is tried."""
    cells = np.zeros((12, 12), int)
    cells[0, 0], cells[9:, 9:] = -1, -1

    class Windows:
        n_symbols, window = 2, (4, 4)

        def marginals(self, cells, hidden):
            raise AssertionError("nothing is predicted")

    work = estimate.work_in(Windows(), cells, 2.0, (40, 12), 20)
    assert (work.windows, (work.cells == -1).sum()) == (4, 9)
    assert work.window == (slice(28, 32), slice(8, 12))
