"""Runs on a disk that is full at one place after the other, makes room, and resumes.

`python tests/campaigns/full_disk.py` prints what is not as it should be. As root, the results are on a file system of
their own, of one page, two pages and so on until a run succeeds. Limits on the size of a file need no rights, and the
system reports them in the same way.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from campaigns.forked import import_everything, run, unclear
from campaigns.scenarios import COMMANDS, Scenario, in_small_parts, scenarios

PAGE = 4096  # bytes: what a small file system counts in


def campaign(stride: int = 1, names: tuple[str, ...] = tuple(COMMANDS)) -> Iterator[tuple[str, bool, list[str]]]:
    """Yield for each place the scenario, whether the run failed there, and the faults; `stride` leaves places out."""
    with scenarios(names) as (all_of_them, scratch):
        can_mount, folder, log = _can_mount(scratch / "mount"), scratch / "run", scratch / "log"
        for one in all_of_them:
            for part in range(1, 11, stride):  # the log is a file, too, and needs a little
                yield f"{one.name}, file limit", *_file_limit(one, folder, log, one.largest * part // 11)
            full, pages = can_mount, 1
            while full:
                full, faults = _small_disk(one, folder, log, pages * PAGE)
                pages += stride
                yield f"{one.name}, small disk", full, faults


def _file_limit(one: Scenario, folder: Path, log: Path, limit: int) -> tuple[bool, list[str]]:
    one.fresh(folder)
    code = run(
        one.argv, folder, log, lambda: (in_small_parts(), resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    )
    faults = _faults(one, folder, log, code)
    return code != 0, [*faults, *_resumed(one, folder, log)]


def _small_disk(one: Scenario, folder: Path, log: Path, size: int) -> tuple[bool, list[str]]:
    out = one.fresh(folder) / "out"
    with _mounted(out, size):
        code = run(one.argv, folder, log, in_small_parts)
        faults = _faults(one, folder, log, code)
        subprocess.run(["mount", "-o", "remount,size=64m", out], check=True)
        return code != 0, [*faults, *_resumed(one, folder, log)]


def _faults(one: Scenario, folder: Path, log: Path, code: int) -> list[str]:
    wrong = unclear(code, log.read_text(errors="replace")) if code else ""
    return [wrong] * bool(wrong) + [f"at once {fault}" for fault in one.differences(folder, finished=code == 0)]


def _resumed(one: Scenario, folder: Path, log: Path) -> list[str]:
    return [*filter(None, [one.finish(folder, log)]), *one.differences(folder)]


@contextmanager
def _mounted(folder: Path, size: int):
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True, capture_output=True)
    try:
        yield
    finally:
        for _ in range(50):
            if subprocess.run(["umount", folder], check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)


def _can_mount(folder: Path) -> bool:
    if os.getuid() or not shutil.which("mount"):
        return False
    try:
        with _mounted(folder, PAGE):
            return True
    except subprocess.CalledProcessError:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stride", type=int, default=1, help="leave places out, to be faster")
    parser.add_argument("--only", choices=COMMANDS, action="append")
    asked = parser.parse_args()
    import_everything()
    kinds, places = Counter(), Counter()
    for name, full, faults in campaign(asked.stride, tuple(asked.only or COMMANDS)):
        places[name, full] += 1
        kinds.update(f"{name}: {fault}" for fault in faults)
    for kind, times in kinds.most_common():
        print(f"{times:6}  {kind}")
    for name in sorted({name for name, _ in places}):
        print(f"{name}: full at {places[name, True]} places, not at {places[name, False]}")
    full = sum(times for (_, failed), times in places.items() if failed)
    print(f"{full} places where the disk was full, {len(kinds)} kinds of faults")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
