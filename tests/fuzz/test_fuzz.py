"""Odd inputs through the real entry point; `make fuzz` runs 50 times as many."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_input_gives_a_traceback_a_wrong_code_a_hang_or_a_half_written_file(count, tmp_path):
    """Of many odd inputs none shows a fault, and every command (of 400, the commonest) is reached by valid ones."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # a process of its own, for it forks
    asked = [sys.executable, RUN, "--count", str(count), "--keep", tmp_path]
    done = subprocess.run(asked, capture_output=True, text=True, errors="replace", check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("info", "fill", "check", "explain", "score", "train", "toy")[: None if count == 2000 else 3]:
        assert re.search(rf"^{name} +code 0: [1-9]\d*, .*code 2: [1-9]", done.stdout, re.MULTILINE), done.stdout
