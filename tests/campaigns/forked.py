"""Runs commands of gridcloze in processes forked from one that has imported everything, so that each starts fast."""

import contextlib
import importlib
import itertools
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

MODULES = (
    *("torch", "torch._dynamo", "torch.fx.experimental.symbolic_shapes", "torch.distributed.tensor", "accelerate"),
    *(
        "onnxruntime",
        "onnx",
        "rasterio",
        "zarr",
        "pydantic.type_adapter",
        "matplotlib.pyplot",
        "matplotlib.backends.backend_agg",
    ),
    *(f"PIL.{name}ImagePlugin" for name in ("Png", "Gif", "Bmp", "Jpeg", "Ppm")),
    *(f"gridcloze.commands.{name}" for name in ("check", "explain", "export", "fill", "info", "score", "toy", "train")),
    "gridcloze.pictures",
)
STRAY = re.compile(  # lines of Python and of libraries, which people should not see
    r"Traceback|Warning\b|warnings\.warn|^\s+File \"|Exception (ignored|in thread)|\[[WE]:onnxruntime"
    r"|\b(ERROR|Warning) \d+:|libpng|\bTIFF[A-Z]\w*:|_tiff\w+:"
)
EVENTS = ("replace", "rename", "link", "unlink", "rmdir", "mkdir", "fsync")  # what changes a folder, or makes it last


def import_everything() -> None:
    """Import what commands import, and use none of it: threads do not live through a fork."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in ("gridcloze.cli", *MODULES):
        importlib.import_module(name)


def command(argv: Sequence[str]) -> int:
    """Run the entry point in this process; the exit code, as a process of its own would have it."""
    from gridcloze.cli import main

    sys.argv = ["gridcloze", *argv]
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException as error:
        traceback.print_exception(error)
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    return code if isinstance(code, int) else 1


def unclear(code: int, said: str) -> str:
    """What is wrong with the end of a run that fails: not code 2, or not one line of gridcloze after its news."""
    lines = [line for line in said.splitlines() if line.strip()]
    if stray := next((line for line in lines if not line.startswith("gridcloze: ") and STRAY.search(line)), ""):
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt|Abort)\b", line)]
        shown = re.sub(r"^.*?(?=\[[WE]:onnx|\w*Warning:)", "", (errors or [stray])[-1].strip())  # no times, no paths
        return f"code {code}, stray line: {shown[:70]}"
    if code != 2:
        return f"code {code}: {(lines or [''])[-1][:90]}"
    complaints = sum(line.startswith("gridcloze: ") for line in lines)
    if complaints != 1 or not lines[-1].startswith("gridcloze: "):
        return f"code 2 with {complaints} complaints, last: {(lines or [''])[-1][:60]}"
    return ""


def start(argv: Sequence[str], folder: Path, log: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """Fork a process that runs a command in a folder, after `prepare`; its number."""
    if number := os.fork():
        return number
    code = 70
    try:
        os.chdir(folder)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        prepare()
        code = command(argv)
    finally:
        os._exit(code)


def run(argv: Sequence[str], folder: Path, log: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """Run a command to its end: its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(start(argv, folder, log, prepare), 0)[1])


def at_events(before: Callable[[], object], after: Callable[[], object] = lambda: None) -> Callable[[], None]:
    """Prepare a process to call two functions before and after each event that changes a folder."""

    def watched(function: Callable[..., object]) -> Callable[..., object]:
        def call(*values: object, **named: object) -> object:
            before()
            try:
                return function(*values, **named)
            finally:
                after()

        return call

    def prepare() -> None:
        for name in EVENTS:
            setattr(os, name, watched(getattr(os, name)))

    return prepare


def at_event(number: int, act: Callable[[], object], after: bool = False) -> Callable[[], None]:
    """Prepare a process to `act` just before or after the event of a number, from 0."""
    seen = itertools.count()

    def count() -> None:
        if next(seen) == number:
            act()

    return at_events(lambda: None, count) if after else at_events(count)


def count_events(into: Path) -> Callable[[], None]:
    """Prepare a process to write a byte for each event, so that one can aim at them."""
    file = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    return at_events(lambda: os.write(file, b"."))


def die() -> None:
    """Kill this process, as a machine that loses its power would."""
    os.kill(os.getpid(), signal.SIGKILL)
