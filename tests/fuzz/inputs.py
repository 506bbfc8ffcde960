"""The inputs of the fuzzer: valid commands with valid files, in which one or two things are changed."""

import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from random import Random
from typing import Any

import numpy as np
from mutations import MEMORY, TEXTS, damaged

Files = dict[str, Any]  # by name: their bytes, or a pair of a word for something that is no plain file and a detail

SINGLE = ("p.png", "p.png", "alpha.png", "indexed.png", "p.txt", "p.npy", "real.npy", "p.npz", "group.zarr")
STACKS = ("s.npy", "s.npz", "z2.zarr", "z3.zarr")
MAPS = ("m.tif", "m.tif", "plain.tif", "alpha.tif", "masked.tif")
WEIGHTS = {
    "fill": 33,
    "info": 22,
    "check": 15,
    "toy": 11,
    "explain": 6,
    "train": 1.5,
    "score": 1.2,
    "export": 0.02,
    "other": 5,
}
BASE = {
    "train": "--steps 1 --depth 1",
    "toy": "-n 2 --puzzles 1 --height 4 --width 4",
    "score": "--sampled-grids 1",
}
OUT = {"train": "m.safetensors", "toy": "new", "fill": "out", "export": "x.onnx"}
VALID = {  # values of options, by the name of their parameter
    "samples": ("0", "1", "2"), "seed": ("0", "1"), "scale": ("1", "2"), "cell": ("1,1", "3,3", "0,0"),
    "hidden": ("auto", "grey", "transparent", "h.png", "h.npy", "h.tif"), "allow": ("a.png", "a.npy"),
    "order": ("weighted", "random", "certain", "spread"), "budget_bits": ("0.5", "2"), "refine": ("0", "1"),
    "prior": ("ex/prior.json",),
    "symmetries": ("none", "across", "turns", "all"), "palette": ("palette.json",), "windows": ("4", "4", "5"),
    "threshold": ("0.01", "0.5"), "examples": ("ex.npy", "ex"), "coupling": ("0.3",), "field": ("0.1",),
    "smallest": ("2",), "largest": ("3",), "largest_period": ("3",), "steps": ("1", "2"), "minutes": ("1e-5",),
    "depth": ("1",), "picture": ("x.png",), "heads": ("y.svg",), "film": ("f.gif",),
}  # fmt: skip
SLOW = ("picture", "pictures", "heads", "film", "minutes")  # a drawing takes half a second
INTEGERS = (
    "-1",
    "0",
    "1",
    "2",
    "7",
    "1000000000000",
    "9" * 30,
    "1.5",
    "1e3",
    "nan",
    "",
    "abc",
    "٣",
    "0x10",
    "--",
    "2147483648",
    "1_0",
    " 2",
)
REALS = ("nan", "inf", "-inf", "1e400", "-0.0", "0", "1", "1e-320", "abc", "", "-1", "1e308", "0.5")
LENGTHS = ("-1", "0", "nan", "-inf", "abc", "", "1.5", "1e-9")  # of a training: a long one is no fault
WORDS = (
    *(text for text in TEXTS if "\0" not in text and "\ud800" not in text),
    "-",
    "--",
    "0,0",
    "1;2",
    f"{'9' * 30},0",
    "4,4",
    "1,2,3",
    ".",
    "*",
    "auto",
    "é",
)
READ = ("model", "puzzles", "grid", "puzzle", "held_out", "examples", "hidden", "allow", "prior", "palette")
NAMES = (
    "a b{}",
    "-x{}",
    "é\u0301\u202e{}",
    "line\nbreak{}",
    "\udcff{}",
    "{}",
    "x" * 240 + "{}",
    "a.b{}.bak",
    "[bold]{}",
    "CON{}",
    "%s{}",
    "sub/deep/a{}",
)


@dataclass
class Case:
    """One input: the arguments, the files in the folder of the run, and stdin."""

    argv: list[str]
    files: Files = field(default_factory=dict)
    stdin: bytes = b""
    results: list[str] = field(default_factory=list)  # beginnings of names that the run may write over

    def write(self, folder: Path) -> None:
        """Make the folder of the run; what the file system does not take is left out."""
        for name, content in self.files.items():
            path = folder / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, bytes):
                    path.write_bytes(content)
                elif content[0] == "link":
                    path.symlink_to(content[1])
                elif content[0] == "sparse":
                    with path.open("wb") as file:
                        file.truncate(content[1])
                elif content[0] == "folder":
                    path.mkdir()
                elif content[0] == "fifo":
                    os.mkfifo(path)
            except (OSError, UnicodeError):
                continue


def read_seeds(folder: Path) -> Files:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def make(seed: int, number: int, seeds: Files, commands: dict[str, list[Any]]) -> Case:
    """The input of a number: a function of the two numbers, the valid files and the options of the commands."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return _made(Random(f"{seed}/{number}"), seeds, commands)


def _made(rng: Random, seeds: Files, commands: dict[str, list[Any]]) -> Case:
    name = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    if name == "other":
        return _other(rng)
    case = _valid(rng, name, commands[name])
    for wanted in [word for word in case.argv if word in seeds or any(key.startswith(f"{word}/") for key in seeds)]:
        _add(case.files, seeds, wanted)
    case.results += [OUT.get(name, "x.png"), "x.png", "y.svg", "f.gif"]
    _scene(rng, name, case, seeds)
    for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 2, 3))):
        rng.choices((_damage, _other_option, _rename, _replace), (60, 22, 8, 10))[0](rng, case, seeds)
    case.argv = [_harmless(before, word) for before, word in zip(["", *case.argv], case.argv, strict=False)]
    return case


def _harmless(before: str, word: str) -> str:
    """No NUL, which no shell can pass, and no result outside the folder of the run."""
    outside = before in ("-o", "--out", "--heads", "--film") and (word.startswith(("/", "~")) or ".." in word)
    return "x" if outside else word.replace("\0", "")


def _add(files: Files, seeds: Files, name: str) -> None:
    """A file with those next to it that belong to it, or a folder."""
    files |= {key: data for key, data in seeds.items() if key == name or key.startswith((f"{name}/", f"{name}."))}


def _valid(rng: Random, name: str, parameters: list[Any]) -> Case:
    model, grids = rng.choice(
        (
            (rng.choice(("two.safetensors", "two.onnx")), SINGLE + STACKS),
            (rng.choice(("two.safetensors", "two.onnx")), (*SINGLE, "some")),
            ("win.safetensors", ("p.npy", "s.npy", "p.npz", "big.npy")),
            ("map.safetensors", MAPS),
        )
    )
    files = {
        "model": (model,), "puzzles": grids, "grid": grids, "puzzle": grids,
        "examples": ("ex", "ex.npy", "s.npz", "z3.zarr", "p.npy", "big.npy", "big.tif"), "held_out": ("ex", "ex.npy"),
        "name": ("squares", "rectangles", "stripes", "mirror", "ising"),
    }  # fmt: skip
    if name in ("info", "export"):
        files["model"] = ("two.safetensors", "two.safetensors", "win.safetensors", "map.safetensors", "two.onnx")
    arguments = [rng.choice(files[one.name]) for one in parameters if one.param_type_name == "argument"]
    if name == "fill" and rng.random() < 0.15:
        arguments += rng.sample(grids, 1)
    options = BASE.get(name, "").split()
    if name == "train" and arguments[0].startswith("big"):
        options += ["--windows", "4"]
    if name in OUT:
        options += ["-o", OUT[name] if name != "toy" else rng.choice(("new", "new.npy", "new.npz"))]
    for one in parameters:
        if one.param_type_name == "option" and not one.required and rng.random() < (0.01 if one.name in SLOW else 0.12):
            options += [one.opts[-1], *([] if one.is_flag else [_good(rng, one)])]
    return Case([name, *arguments, *options])


def _good(rng: Random, parameter: Any) -> str:
    return rng.choice(VALID.get(parameter.name, ("1", "x")))


def _scene(rng: Random, name: str, case: Case, seeds: Files) -> None:
    """What earlier runs, or somebody, left in the folder."""
    if name == "train" and rng.random() < 0.3:
        case.files |= {key.removeprefix("state/"): data for key, data in seeds.items() if key.startswith("state/")}
        case.argv[1:2] = ["ex"]
        _add(case.files, seeds, "ex")
        if rng.random() < 0.9:
            case.argv += ["--resume", "--steps", "3"]
    if name == "fill" and rng.random() < 0.15:
        earlier = rng.choice(("done", "half"))
        case.files |= {
            f"out{key.removeprefix(earlier)}": data for key, data in seeds.items() if key.startswith(f"{earlier}/")
        }
    if rng.random() < 0.04:  # files of somebody, and inputs, where results would go
        name = rng.choice(
            (
                "out/p.png",
                "out/p.npz",
                "out/p.json",
                "out/s.json",
                "out",
                "m.safetensors",
                "new",
                "new/mine.png",
                "x.png",
            )
        )
        case.files.setdefault(name, seeds["p.png"])
    if rng.random() < 0.02 and "-o" in case.argv:
        case.argv[case.argv.index("-o") + 1] = rng.choice([word for word in case.argv if word in case.files] or ["."])
    if rng.random() < 0.02:
        case.stdin, case.argv[-1:] = seeds["p.png"], [rng.choice(("-", case.argv[-1]))]


def _damage(rng: Random, case: Case, seeds: Files) -> None:
    names = [name for name, content in case.files.items() if isinstance(content, bytes)]
    if names:
        grouped = {name.split("/")[0]: name for name in rng.sample(names, len(names))}  # a folder of many counts as one
        name = rng.choice(sorted(grouped.values()))
        case.files[name] = damaged(rng, name, case.files[name], list(seeds.values()))


def _other_option(rng: Random, case: Case, seeds: Files) -> None:
    """Another value, a value too many or one less."""
    places = [at for at, word in enumerate(case.argv) if at and case.argv[at - 1].startswith("-")]
    if places and rng.random() < 0.75:
        at = rng.choice(places)
        option = case.argv[at - 1]
        lists = LENGTHS if option in ("--steps", "--minutes") else rng.choice((INTEGERS, REALS, WORDS))
        case.argv[at] = rng.choice(lists)
    elif rng.random() < 0.5:
        case.argv.insert(
            rng.randrange(1, len(case.argv) + 1), rng.choice((*WORDS, "--bad", "-h", "--json", "--seed=-1", "-xyz"))
        )
    elif len(case.argv) > 2:
        del case.argv[rng.randrange(1, len(case.argv))]


def _rename(rng: Random, case: Case, seeds: Files) -> None:
    """A file that is named gets an odd name."""
    named = [word for word in case.argv[1:] if any(key == word or key.startswith(f"{word}/") for key in case.files)]
    if named:
        before = rng.choice(named)
        suffix = PurePath(before).suffix
        after = rng.choice(NAMES).format(rng.choice((suffix, suffix, suffix.upper(), ".png", "")))
        case.files = {
            after + key[len(before) :] if (key + "/").startswith(before + "/") else key: data
            for key, data in case.files.items()
        }
        case.argv = [after if word == before else word for word in case.argv]


def _replace(rng: Random, case: Case, seeds: Files) -> None:
    """A file becomes another one, or no plain file at all."""
    if case.files:
        name = rng.choice(sorted(case.files))
        links = ("link", rng.choice(("/dev/zero", "/dev/null", name, "nowhere", "p.png", ".", "/proc/self/mem")))
        other = rng.choice(
            (
                ("folder", ""),
                ("fifo", ""),
                links,
                links,
                ("sparse", MEMORY),
                b"",
                *[seeds[rng.choice(sorted(seeds))]] * 6,
            )
        )
        case.files[name] = other


def _other(rng: Random) -> Case:
    """No command, another one, or one that takes long, with an option that ends it at once."""
    name, word = rng.choice(list(WEIGHTS)), rng.choice(WORDS)
    alone = [[], ["--help"], ["--version"], [word], [name], [name, "--help"]]
    long = [["demo", "--minutes", rng.choice(("-1", "abc", "0"))], ["demo", "--seed", rng.choice(("-1", "abc", "1.5"))]]
    return Case(rng.choice([*alone, *long, ["compare", word, "--bad"], [name, word, rng.choice(WORDS), "--bad"]]))
