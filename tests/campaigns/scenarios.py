"""What the campaigns run, and what it should give: a training, and fills of a folder, stacks and a map."""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campaigns.forked import count_events, run

SIZE = ["--height", "4", "--width", "4", "--smallest", "2", "--largest", "3"]
COMMANDS = {
    "train": "train ex.npy -o out/m.safetensors --steps 12 --depth 1",
    "folder": "fill m.safetensors folder -o out --samples 2",
    "stack": "fill m.safetensors stack.npy -o out --samples 2",
    "zarr": "fill m.safetensors stack.zarr -o out --samples 2",
    "map": "fill map.safetensors map.tif -o out --samples 2",
}
INPUTS = ("ex.npy", "m.safetensors", "map.safetensors", "folder", "stack.npy", "stack.zarr", "map.tif")
TIMES = ("seconds", "hash")  # what differs from run to run, in the notes of a model


def in_small_parts() -> None:
    """Let a run save so often that there is something to lose between any two moments."""
    import gridcloze.commands.fill
    import gridcloze.training

    gridcloze.training.SECONDS_BETWEEN_SAVES = 0.0
    gridcloze.commands.fill.GRIDS_AT_ONCE = 2


@dataclass(frozen=True)
class Scenario:
    """A command with its inputs, and the results of a run that nothing disturbed."""

    name: str
    inputs: Path
    results: dict[str, object]
    seconds: float
    events: int  # how often it changed the folder
    largest: int  # bytes of the largest file

    @property
    def argv(self) -> list[str]:
        return COMMANDS[self.name].split()

    def fresh(self, folder: Path) -> Path:
        """Make an empty folder with the inputs."""
        shutil.rmtree(folder, ignore_errors=True)
        return Path(shutil.copytree(self.inputs, folder))

    def finish(self, folder: Path, log: Path) -> str:
        """Run to the end what was stopped; the fault, or an empty text."""
        code = run([*self.argv, *(["--resume"] if self.name == "train" else [])], folder, log, in_small_parts)
        finished = self.name == "train" and (folder / "out/m.safetensors").exists()
        return "" if code == 0 or (code == 2 and finished) else f"the resumed run ends with {code}: {last_line(log)}"

    def differences(self, folder: Path, finished: bool = True) -> list[str]:
        """How results and inputs differ from those of an undisturbed run; if it did not finish, what is broken."""
        found, faults = contents(folder / "out"), []
        for name in sorted(found.keys() | self.results.keys()):
            if name not in found or name not in self.results:
                kind = "left over" if name in found else "missing"
                faults += [f"{kind}: {re.sub('[0-9a-f]{32}', '*', name)}"] if finished else []
            elif found[name] != self.results[name] and (
                finished or self.name != "train" or isinstance(found[name], str)
            ):
                one, other = found[name], self.results[name]  # an interrupted training leaves a model of fewer steps
                both = isinstance(one, dict) and isinstance(other, dict)
                parts = (
                    [part for part in other if one.get(part) != other[part]]
                    if both
                    else [one]
                    if isinstance(one, str)
                    else []
                )
                faults.append(f"different: {name} {' '.join(parts)}")
        changed = [name for name in INPUTS if contents(folder / name) != contents(self.inputs / name)]
        return [*faults, *(f"input changed: {name}" for name in changed)]


def last_line(log: Path) -> str:
    """The line of an error, or the last one."""
    lines = log.read_text(errors="replace").strip().splitlines() or [""]
    return next((line for line in reversed(lines) if re.match(r"[\w.]+(Error|Interrupt)\b", line)), lines[-1])[:150]


def contents(path: Path) -> dict[str, object]:
    """What files hold, by their names: all of it, but for the times in archives and in the notes of models."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(file.relative_to(path.parent)): _content(file) for file in files if file.is_file()}


def _content(file: Path) -> object:
    try:
        if file.suffix == ".npz":
            with np.load(file) as arrays:
                return {name: (arrays[name].shape, arrays[name].tobytes()) for name in arrays}
        if file.suffix == ".safetensors":
            data = file.read_bytes()
            length = 8 + int.from_bytes(data[:8], "little")
            header = json.loads(data[8:length])
            notes = json.loads(json.loads(header["__metadata__"].pop("gridcloze"))[0])
            record = {name: value for name, value in notes.pop("training").items() if name not in TIMES}
            return {"header": header, "weights": data[length:], **notes, **record}
    except Exception as error:
        return f"{type(error).__name__}: not whole"
    return file.read_bytes()


def make_inputs(folder: Path) -> None:
    import rasterio
    import zarr
    from PIL import Image

    generator = np.random.default_rng(0)
    stack = np.where(generator.random((7, 4, 4)) < 0.2, -1, generator.integers(0, 2, (7, 4, 4))).astype(np.int16)
    np.save(folder / "stack.npy", stack)
    zarr.create_array(folder / "stack.zarr", data=stack, chunks=(1, 4, 4))
    (folder / "folder").mkdir()
    for number, grid in enumerate(stack[:5]):
        Image.fromarray(np.array([0, 255, 128], np.uint8)[grid]).save(folder / f"folder/{number}.png")
    classes = np.where(np.add.outer(np.arange(40), np.arange(12)) % 5 < 2, 11, 41).astype(np.uint8)
    form = {
        "driver": "GTiff",
        "height": 40,
        "width": 12,
        "count": 1,
        "dtype": "uint8",
        "nodata": 255,
        "crs": "EPSG:32618",
    }
    form["transform"] = rasterio.Affine(30, 0, 5e5, 0, -30, 4e6)
    for name, values in (
        ("whole.tif", classes),
        ("map.tif", np.where(generator.random(classes.shape) < 0.1, 255, classes)),
    ):
        with rasterio.open(folder / name, "w", **form) as file:
            file.write(values, 1)


@contextmanager
def scenarios(names: tuple[str, ...] = tuple(COMMANDS)):
    """Yield the scenarios, and a folder to work in."""
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="gridcloze-campaign-", dir=base) as scratch:
        inputs, log = Path(scratch) / "inputs", Path(scratch) / "log"
        inputs.mkdir()
        in_child(lambda: make_inputs(inputs))
        for argv in (
            ["toy", "squares", "-o", "ex.npy", "-n", "20", *SIZE],
            ["train", "ex.npy", "-o", "m.safetensors", "--steps", "2", "--depth", "1"],
            ["train", "whole.tif", "-o", "map.safetensors", "--windows", "4", "--steps", "2", "--depth", "1"],
        ):
            if run(argv, inputs, log):
                raise SystemExit(f"gridcloze {' '.join(argv)}: {last_line(log)}")
        yield [_reference(name, inputs, Path(scratch)) for name in names], Path(scratch)


def _reference(name: str, inputs: Path, scratch: Path) -> Scenario:
    folder, marks = scratch / f"reference-{name}", scratch / "events"
    shutil.copytree(inputs, folder)
    began = time.monotonic()
    code = run(COMMANDS[name].split(), folder, scratch / "log", lambda: (in_small_parts(), count_events(marks)()))
    seconds = time.monotonic() - began
    if code:
        raise SystemExit(f"gridcloze {COMMANDS[name]}: {last_line(scratch / 'log')}")
    largest = max(file.stat().st_size for file in (folder / "out").rglob("*"))
    return Scenario(name, inputs, contents(folder / "out"), seconds, marks.stat().st_size, largest)


def in_child(work: Callable[[], None]) -> None:
    """Call a function in a process of its own, for the threads that it may start."""
    if number := os.fork():
        if os.waitpid(number, 0)[1]:
            raise SystemExit("the inputs of the campaign could not be made")
        return
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)
