"""Stops runs by a signal, at random moments and just before and after each change of a folder, and resumes them.

`python tests/campaigns/kills.py --kills 1000` prints what differs from runs that were never stopped.
"""

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))
from campaigns.forked import STRAY, at_event, import_everything, start
from campaigns.scenarios import COMMANDS, Scenario, in_small_parts, last_line, scenarios

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ENDS = (0, 2, 130, 143, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
PATIENCE = 30  # seconds for a run that was told to stop


def campaign(
    n_kills: int, seed: int, names: tuple[str, ...] = tuple(COMMANDS)
) -> Iterator[tuple[Scenario, int, list[str]]]:
    """Yield the scenario, the kills and the faults of each run that was stopped one to three times, and resumed."""
    rng = Random(seed)
    with scenarios(names) as (all_of_them, scratch):
        aims = [(one, event, after) for one in all_of_them for event in range(one.events) for after in (False, True)]
        rng.shuffle(aims)
        done = 0
        while done < n_kills:
            one, event, after = aims.pop() if aims else (rng.choice(all_of_them), None, False)
            folder, log, faults = one.fresh(scratch / "run"), scratch / "log", []
            kills = min(rng.choice((1, 1, 2, 3)), n_kills - done)
            for number in range(kills):
                aim = event if number == 0 else None if rng.random() < 0.7 else rng.randrange(one.events)
                faults += _stopped(one, folder, log, rng, aim, after, resume=number > 0)
            faults += [*filter(None, [one.finish(folder, log)]), *one.differences(folder)]
            done += kills
            yield one, kills, faults


def _stopped(
    one: Scenario, folder: Path, log: Path, rng: Random, event: int | None, after: bool, resume: bool
) -> list[str]:
    """Start a run, stop it, and look whether it stopped as it should, and left only whole files."""
    which = rng.choice(SIGNALS)
    argv = [*one.argv, *(["--resume"] if resume and one.name == "train" else [])]
    aim: Callable[[], None] = (
        at_event(event, lambda: os.kill(os.getpid(), which), after) if event is not None else lambda: None
    )
    number = start(argv, folder, log, lambda: (in_small_parts(), aim()))
    if event is None:
        late = one.name == "train" and rng.random() < 0.5  # while it calibrates and writes the model
        time.sleep(one.seconds * (rng.uniform(0.6, 1.0) if late else rng.random()))
        os.kill(number, which)
    code = _end(number)
    faults = [] if code in ENDS else [f"{which.name}: ends with {code}: {last_line(log)}"]
    if stray := STRAY.search(log.read_text(errors="replace")):
        faults.append(f"{which.name}: stray line: {stray[0]}, {last_line(log)}")
    return faults + [f"{which.name}: at once {fault}" for fault in one.differences(folder, finished=False)]


def _end(number: int) -> int:
    """Wait for a process that was told to stop; the code of one that does not is that of no process."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        found, status = os.waitpid(number, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)
    return 999


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=COMMANDS, action="append")
    asked = parser.parse_args()
    import_everything()
    kinds, kills, runs = Counter(), Counter(), Counter()
    for one, times, faults in campaign(asked.kills, asked.seed, tuple(asked.only or COMMANDS)):
        kills[one.name] += times
        runs[one.name, not faults] += 1
        kinds.update(f"{one.name}: {fault}" for fault in faults)
    for kind, times in kinds.most_common():
        print(f"{times:6}  {kind}")
    for name in kills:
        equal, all_runs = runs[name, True], runs[name, True] + runs[name, False]
        print(f"{name}: {kills[name]} kills; {equal} of {all_runs} resumed runs equal one never stopped")
    print(f"{sum(kills.values())} kills, {len(kinds)} kinds of faults")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
