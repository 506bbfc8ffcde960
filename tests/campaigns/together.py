"""Starts two, four and eight processes in one folder at once: whole, right results or one clear line, never a mixture.

`python tests/campaigns/together.py --rounds 5` prints what is not as it should be.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))
from campaigns.forked import import_everything, run, start, unclear
from campaigns.scenarios import COMMANDS, Scenario, contents, in_small_parts, scenarios

WAYS = ("same", "other seeds", "other inputs")


def campaign(
    rounds: int, seed: int = 0, names: tuple[str, ...] = tuple(COMMANDS)
) -> Iterator[tuple[str, list[int], list[str]]]:
    """Yield what was done, the exit codes and the faults: each number of processes, in each way, `rounds` times."""
    rng = Random(seed)
    with scenarios(names) as (all_of_them, scratch):
        references: dict[tuple[str, str], dict[str, object]] = {}
        for _ in range(rounds):
            for one in all_of_them:
                for way in WAYS if one.name != "train" else WAYS[:2]:
                    for n in (2, 4, 8):
                        yield f"{one.name}, {way}", *_together(one, way, n, scratch, rng, references)


def _argvs(one: Scenario, way: str, n: int) -> list[list[str]]:
    if way == "other inputs":
        model, kind = one.argv[1], Path(one.argv[2])
        return [
            ["fill", model, f"{kind.stem}-{number}{kind.suffix}", "-o", "out", "--samples", "2"] for number in range(n)
        ]
    return [[*one.argv, "--seed", str(number % 2 if way == "other seeds" else 0)] for number in range(n)]


def _together(
    one: Scenario, way: str, n: int, scratch: Path, rng: Random, references: dict[tuple[str, str], dict[str, object]]
) -> tuple[list[int], list[str]]:
    folder, argvs = _with_copies(one, scratch / "run"), _argvs(one, way, n)
    for argv in argvs:  # what each gives alone
        if (one.name, key := " ".join(argv)) not in references:
            alone = _with_copies(one, scratch / "alone")
            run(argv, alone, scratch / "log", in_small_parts)
            references[one.name, key] = contents(alone / "out")
    logs, numbers = [scratch / f"log-{number}" for number in range(n)], []
    for argv, log in zip(argvs, logs, strict=True):
        numbers.append(start(argv, folder, log, in_small_parts))
        time.sleep(rng.choice((0, 0, one.seconds * rng.random())))
    codes = [os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) for number in numbers]
    said = [
        unclear(code, log.read_text(errors="replace")) if code else "" for code, log in zip(codes, logs, strict=True)
    ]
    faults = list(filter(None, said))
    found = contents(folder / "out")
    ended = [references[one.name, " ".join(argv)] for argv, code in zip(argvs, codes, strict=True) if code == 0]
    if not ended:
        faults.append("none of them ends well")
    expected = [{name: content for each in ended for name, content in each.items()}] if way == "other inputs" else ended
    if ended and found not in expected:
        names = found.keys() | expected[0].keys()
        wrong = [name for name in names if all(found.get(name) != each.get(name) for each in expected)]
        named = ", ".join(sorted(name for name in wrong if "/." not in name)) or "a mixture, or leftovers"
        faults.append(f"not what one of them gives alone: {named}")
    return codes, faults


def _with_copies(one: Scenario, folder: Path) -> Path:
    """A folder with the inputs, and eight copies of that of the scenario under other names."""
    one.fresh(folder)
    source = Path(one.argv[2]) if one.name != "train" else Path("ex.npy")
    for number in range(8):
        (folder / f"{source.stem}-{number}{source.suffix}").symlink_to(source.name)
        if one.name == "folder":  # its results are named after the files in it
            (folder / f"folder-{number}").unlink()
            (folder / f"folder-{number}").mkdir()
            for file in sorted((folder / "folder").iterdir()):
                (folder / f"folder-{number}/{number}{file.name}").write_bytes(file.read_bytes())
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=COMMANDS, action="append")
    asked = parser.parse_args()
    import_everything()
    kinds, ends = Counter(), Counter()
    for name, codes, faults in campaign(asked.rounds, asked.seed, tuple(asked.only or COMMANDS)):
        ends.update((name, code) for code in codes)
        kinds.update(f"{name}: {fault}" for fault in faults)
    for kind, times in kinds.most_common():
        print(f"{times:6}  {kind}")
    for name in sorted({name for name, _ in ends}):
        print(
            f"{name}:", ", ".join(f"code {code}: {times}" for (of, code), times in sorted(ends.items()) if of == name)
        )
    print(f"{ends.total()} processes, {len(kinds)} kinds of faults")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
