"""Odd inputs through the real entry point; `make fuzz` runs 50 times as many."""

import os
import re
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).with_name("run.py")


def test_no_input_gives_a_traceback_a_wrong_code_a_hang_or_a_half_written_file(tmp_path):
    """Of 2,000 odd inputs none shows a fault, and every command is reached by valid ones."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # a process of its own, for it forks
    asked = [sys.executable, RUN, "--count", "2000", "--keep", tmp_path]
    done = subprocess.run(asked, capture_output=True, text=True, errors="replace", check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("info", "fill", "check", "explain", "score", "train", "toy"):
        assert re.search(rf"^{name} +code 0: [1-9]\d*, .*code 2: [1-9]", done.stdout, re.MULTILINE), done.stdout
