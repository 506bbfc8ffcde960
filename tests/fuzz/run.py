"""Runs gridcloze on odd inputs: no traceback, wrong exit code, half-written file, hang or flood of memory.

`python tests/fuzz/run.py --count 2000` makes and judges 2,000 inputs; `--only 17` runs number 17 alone and keeps its
folder. Another checkout is tried by naming its `src` in PYTHONPATH.
"""

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import multiprocessing as mp
import os
import re
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection, wait
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from inputs import Case, Files, make, read_seeds
from seeds import make_seeds, make_states

from campaigns.forked import STRAY, command, import_everything, unclear

SECONDS, MEMORY, ADDRESSES, FILE_SIZE = 20, 2 * 2**30, 12 * 2**30, 4 * 2**30
OWN = ".gridcloze-"  # how the names of files begin that a run removes when it ends well
INPUTS_OF_A_WORKER = 1000
DAMAGE = 4096  # bytes of stderr that are looked at


@dataclass
class Outcome:
    """What came of an input."""

    number: int
    name: str
    code: int
    faults: list[str]
    seconds: float = 0.0
    peak: int = 0
    argv: list[str] = field(default_factory=list)
    said: str = ""


def snapshot(folder: Path) -> dict[str, str]:
    """What each file is: its kind and content; of huge ones the size and the time."""
    found = {}
    for path in folder.rglob("*"):
        about = path.lstat()
        name = os.fsencode(path.relative_to(folder)).decode(errors="backslashreplace")
        if stat.S_ISREG(about.st_mode) and about.st_size < 2**24:
            found[name] = hashlib.blake2b(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(about.st_mode):
            found[name] = os.readlink(path)
        else:
            found[name] = f"{stat.S_IFMT(about.st_mode)} {about.st_size if stat.S_ISREG(about.st_mode) else ''}"
    return found


def no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def not_whole(path: Path) -> str:
    """Why a file that a run wrote cannot be read, or an empty text."""
    import numpy as np
    import rasterio
    from PIL import Image
    from safetensors import safe_open

    try:
        suffix = path.suffix.lower()
        if suffix in (".png", ".gif"):
            Image.open(path).load()
        elif suffix == ".json":
            json.loads(path.read_text(), parse_constant=no_number)
        elif suffix in (".npz", ".npy"):
            loaded = np.load(path)
            _ = dict(loaded) if suffix == ".npz" else loaded
        elif suffix in (".tif", ".tiff"):
            with rasterio.open(path) as file:
                file.read()
        elif suffix in (".safetensors", ".resume"):
            with safe_open(path, "numpy") as file:
                _ = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
        return "" if path.stat().st_size else "empty"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:40]}"


def judge(case: Case, folder: Path, code: int, out: str, err: str, before: dict[str, str]) -> list[str]:
    """The faults of a run."""
    after = snapshot(folder)
    faults = []
    if "Traceback (most recent call last)" in err:
        faults.append(f"traceback: {where(err)}")
    elif code == 2 or code not in ((0, 1) if case.argv[:1] == ["check"] else (0,)):
        faults += filter(None, [unclear(code, err) if case.argv else ""])
    elif stray := next((line for line in err.splitlines() if STRAY.search(line)), ""):
        faults.append(f"stray line: {stray[:70]}")
    outs = (word for option, word in itertools.pairwise(case.argv) if option in ("-o", "--out"))
    results = (*case.results, *outs) if code != 2 else ()
    for name in sorted(before):
        if name not in after and OWN in name:
            continue  # what a killed run left is removed by the next
        if after.get(name) != before[name] and not (results and name.startswith(results)):
            faults.append(
                f"{'replaced' if name in after else 'removed'} by code {code}: {case.argv[0]} {Path(name).suffix}"
            )
    some_may_be_done = case.argv[:1] == ["fill"]  # inputs that were filled before one failed
    for name in sorted(set(after) - set(before)):
        path = folder / os.fsdecode(name)
        is_done = some_may_be_done and (any(path.glob("*.json")) if path.is_dir() else path.parent.glob("*.json"))
        if (code == 2 and not is_done) or Path(name).name.startswith("."):
            kind = "folder" if path.is_dir() else f"file {Path(name).suffix}"
            faults.append(f"left by code {code}: {case.argv[0]}, {kind}")
        elif path.is_file() and (why := not_whole(path)):
            faults.append(f"not whole: {case.argv[0]} {path.suffix}, {why}")
        elif path.is_file() and path.stat().st_mode & 0o777 != 0o644:
            faults.append(f"mode {path.stat().st_mode & 0o777:o}: {case.argv[0]} {path.suffix}")
    asked = any(word == "--json" and not before.startswith("-") for before, word in itertools.pairwise(case.argv))
    if code in (0, 1) and asked and not {"-h", "--help"} & set(case.argv):
        with contextlib.suppress(ValueError):
            json.loads(out, parse_constant=no_number)
            out = ""
        if out:
            faults.append(f"stdout is not JSON: {case.argv[0]}")
    return list(dict.fromkeys(faults))


def where(err: str) -> str:
    """The error at the end of a traceback, and the last line of gridcloze that it went through."""
    ours = re.findall(r'/gridcloze/(\S+)", line \d+, in (\w+)', err)
    last = next(
        (
            line
            for line in reversed(err.splitlines())
            if re.match(r"[\w.]+(Error|Exception|Abort|Interrupt|Warning)\b", line)
        ),
        "",
    )
    return f"{last.split(':')[0]} in {' '.join(ours[-1]) if ours else '?'}"


def peak_memory() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


class Worker:
    """A process that runs inputs; its stdout and stderr are files, which libraries cannot get past either."""

    def __init__(self, scratch: Path, seed: int, seeds: Files):
        import typer

        self.folder, self.seed, self.seeds = scratch / "run", seed, seeds
        self.streams = [os.open(scratch / name, os.O_RDWR | os.O_CREAT) for name in ("out", "err")]
        typer.main.get_command = cache(typer.main.get_command)  # the same every time, and half of the time of a refusal
        self.commands = commands_of()
        os.umask(0o022)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))  # only so that this machine stays usable
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number, stream in zip((1, 2), self.streams, strict=True):
            os.dup2(stream, number)
        for category in (UserWarning, RuntimeWarning):
            warnings.simplefilter("always", category)  # or only the first input of a worker would show one

    def run(self, number: int) -> Outcome:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        os.chdir(self.folder)
        case = make(self.seed, number, self.seeds, self.commands)
        case.write(self.folder)
        before = snapshot(self.folder)
        for stream in self.streams:
            os.ftruncate(stream, 0)
            os.lseek(stream, 0, os.SEEK_SET)
        sys.stdout, sys.stderr = (open(each, "w", errors="backslashreplace", closefd=False) for each in (1, 2))  # noqa: SIM115
        sys.stdin = io.TextIOWrapper(io.BytesIO(case.stdin))
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak of the memory back
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor: other work on the machine is no fault
        signal.alarm(3 * SECONDS)
        began = time.monotonic()
        code = command([os.fsdecode(os.fsencode(word)) for word in case.argv])
        seconds = time.monotonic() - began
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.chdir(self.folder)
        out, err = (
            os.pread(each, size, 0).decode(errors="replace")
            for each, size in zip(self.streams, (2**20, 2**16), strict=True)
        )
        faults = judge(case, self.folder, code, out, err, before)
        if (peak := peak_memory()) > MEMORY:
            faults.append(f"memory over 2 GiB: {case.argv[0]}")
        return Outcome(
            number,
            case.argv[0] if case.argv else "",
            code,
            faults,
            seconds,
            peak,
            case.argv,
            err[-DAMAGE:] if faults else "",
        )


def commands_of() -> dict[str, list]:
    """The parameters of each command, read from the program, so that new options are tried as well."""
    import typer

    from gridcloze.cli import app

    return {name: list(one.params) for name, one in typer.main.get_command(app).commands.items()}  # type: ignore[attr-defined]


def work(scratch: Path, seed: int, seeds: Files, numbers: list[int], pipe: Connection) -> None:
    worker = Worker(scratch, seed, seeds)
    for number in numbers:
        pipe.send(number)
        pipe.send(worker.run(number))
    pipe.close()
    os._exit(0)


def campaign(scratch: Path, seed: int, first: int, count: int, jobs: int):
    """Yield the outcome of each input; a worker that dies is a fault of its input, and is replaced."""
    context, seeds_folder = mp.get_context("fork"), scratch / "seeds"
    seeds_folder.mkdir()
    maker = context.Process(target=make_seeds, args=(seeds_folder,))
    with open(scratch / "log", "w") as log:
        saved = [os.dup(1), os.dup(2)]
        os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
        maker.start()
        maker.join()
        make_states(seeds_folder, scratch / "states.log")
        os.dup2(saved[0], 1), os.dup2(saved[1], 2)
    if maker.exitcode:
        sys.exit((scratch / "log").read_text())
    seeds = read_seeds(seeds_folder)
    parts = [
        list(range(at, min(at + INPUTS_OF_A_WORKER, first + count)))
        for at in range(first, first + count, INPUTS_OF_A_WORKER)
    ]
    parts.reverse()
    running: dict[Connection, tuple[mp.Process, list[int], int]] = {}
    free = list(range(jobs))
    while parts or running:
        while parts and free:
            job, numbers = free.pop(), parts.pop()
            (scratch / str(job)).mkdir(exist_ok=True)
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(scratch / str(job), seed, seeds, numbers, theirs))
            process.start()
            theirs.close()
            running[ours] = process, numbers, job
        for pipe in wait(list(running)):
            process, numbers, job = running[pipe]
            try:
                number = pipe.recv()
                outcome = pipe.recv()
                del numbers[0]
            except EOFError:
                del running[pipe]
                free.append(job)
                process.join()
                if process.exitcode == 1:
                    sys.exit(f"the fuzzer itself fails: {(scratch / str(job) / 'err').read_text()}")
                if not numbers:
                    continue
                number = numbers.pop(0)
                if numbers:
                    parts.append(numbers)
                ends = {-signal.SIGALRM: "waits for ever", -signal.SIGPROF: "computes for ever"}
                reason = ends.get(process.exitcode or 0, f"died by {process.exitcode}")
                case = make(seed, number, seeds, commands_of())
                name = case.argv[0] if case.argv else ""
                announced = "; Ctrl-C stops" in (scratch / str(job) / "err").read_text(errors="replace")
                faults = [] if announced and process.exitcode == -signal.SIGPROF else [f"{reason}: {name}"]
                outcome = Outcome(number, name, process.exitcode or 0, faults, SECONDS, 0, case.argv)
            yield outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("seed", 0), ("first", 0), ("count", 2000), ("jobs", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", type=int, help="run the input of this number alone")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="folder for the failing inputs")
    asked = parser.parse_args()
    first, count = (asked.first, asked.count) if asked.only is None else (asked.only, 1)
    import_everything()
    began, kinds, codes, examples = time.monotonic(), Counter(), Counter(), {}
    slowest = peak = None
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="gridcloze-fuzz-", dir=base) as scratch:
        for outcome in campaign(Path(scratch), asked.seed, first, count, asked.jobs):
            codes[outcome.name if outcome.name in COMMANDS else "other", outcome.code] += 1
            slowest = max(slowest or outcome, outcome, key=lambda one: one.seconds)
            peak = max(peak or outcome, outcome, key=lambda one: one.peak)
            kinds.update(outcome.faults)
            for kind in outcome.faults:
                examples.setdefault(kind, []).append(outcome.number)
            if asked.only is not None:
                print(f"gridcloze {outcome.argv}\ncode {outcome.code}\n{outcome.said}")
            if any(len(examples[kind]) <= 3 for kind in outcome.faults) or asked.only is not None:
                keep(asked.keep / f"{asked.seed}-{outcome.number}", outcome, asked.seed, Path(scratch) / "seeds")
        seconds = time.monotonic() - began
    for kind, times in kinds.most_common():
        print(f"{times:6}  {kind}  (numbers {', '.join(map(str, examples[kind][:3]))})")
    for name in COMMANDS:
        ends = {code: times for (of, code), times in sorted(codes.items()) if of == name}
        print(f"{name:8}", ", ".join(f"code {code}: {times}" for code, times in ends.items()))
    faulty = len({number for numbers in examples.values() for number in numbers})
    print(f"{count} inputs in {seconds:.0f} s: {faulty} with faults of {len(kinds)} kinds; ", end="")
    print(f"peak {peak.peak / 2**20:.0f} MiB ({peak.number}), slowest {slowest.seconds:.1f} s ({slowest.number})")
    return 1 if kinds else 0


COMMANDS = ("info", "fill", "check", "explain", "score", "export", "train", "toy", "other")


def keep(folder: Path, outcome: Outcome, seed: int, seeds: Path) -> None:
    """Write the input to a folder, to be looked at."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "files").mkdir(parents=True)
    make(seed, outcome.number, read_seeds(seeds), commands_of()).write(folder / "files")
    about = {"argv": outcome.argv, "code": outcome.code, "faults": outcome.faults, "stderr": outcome.said}
    (folder / "outcome.json").write_text(json.dumps(about, indent=1))


if __name__ == "__main__":
    sys.exit(main())
