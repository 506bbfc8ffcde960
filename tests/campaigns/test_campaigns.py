"""Runs that are stopped, find no room on the disk or meet others; `make kills` does 1,000 kills and more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def campaign(name, *options):
    """Run a campaign in a process of its own, for it forks; its report, which shows no fault."""
    asked = [sys.executable, HERE / f"{name}.py", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(asked, capture_output=True, text=True, errors="replace", check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_fill_that_is_killed_and_resumed_equals_one_never_killed():
    """Five kills of fills of a folder change no result and leave nothing behind."""
    assert "\n5 kills, 0 kinds of faults" in campaign("kills", "--kills", "5", "--only", "folder")


@pytest.mark.slow
def test_resumed_runs_equal_those_never_killed():
    """Thirty kills of trainings and fills of all kinds change no result and leave nothing behind."""
    assert "\n30 kills, 0 kinds of faults" in campaign("kills", "--kills", "30", "--seed", "1")


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing():
    """Where the disk is full, a run ends with one line; when there is room again, the results are those of any run."""
    assert "0 kinds of faults" in campaign("full_disk", "--stride", "4")


@pytest.mark.slow
def test_processes_in_one_folder_give_whole_results_or_one_line():
    """Two, four and eight processes at once give what one of them gives alone, or say that they cannot."""
    assert "0 kinds of faults" in campaign("together", "--rounds", "1", "--only", "stack", "--only", "train")
