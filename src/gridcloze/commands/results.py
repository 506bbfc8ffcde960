"""Results in a folder: whose they are, whether they are whole, and how they get there."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..files import maps
from ..files.paths import as_json, put_in_place, read_bytes, readable
from ..words import InputError

MOST_BYTES = 2**27  # of a note; that of a stack has a number for each grid
Stamp = tuple[int, int, int]  # of a file: its inode, size and time of change


def parts_of(path: Path) -> list[Path]:
    """List the files of an input.

    Parameters
    ----------
    path
        A file, or a folder that is an array.

    Returns
    -------
    list of Path
        The file itself, what belongs to a map, or all files in the folder, in order.

    Raises
    ------
    InputError
        When there is no such file, or it is none of a grid.

    Examples
    --------
    >>> _ = Path("grid.txt").write_text(".#")
    >>> [path.name for path in parts_of(Path("grid.txt"))]
    ['grid.txt']
    """
    if maps.is_map(path):
        return maps.files_of(path)
    with readable(path):
        return sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]


def content_hash(paths: Sequence[Path]) -> str:
    """Hash the names and contents of files.

    Parameters
    ----------
    paths
        The files; of the names only what differs counts, so that they can be moved together.

    Returns
    -------
    str
        SHA-256, in hexadecimal digits; of a single file that of its content.

    Examples
    --------
    >>> _ = Path("empty.txt").write_text("")
    >>> content_hash([Path("empty.txt")])[:8]
    'e3b0c442'
    """
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(paths) == 1:
        return digests[0]
    top = paths[0].parents[_depth_in_common(paths)] if paths else None
    lines = [f"{path.relative_to(top)} {digest}" for path, digest in zip(paths, digests, strict=True) if top]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _depth_in_common(paths: Sequence[Path]) -> int:
    """How many folders up from the first file the folder is in which all files are."""
    return next(number for number, top in enumerate(paths[0].parents) if all(top in path.parents for path in paths))


def stamps(paths: Iterable[Path]) -> list[Stamp]:
    """Note the state of files, to find later whether they were changed.

    Parameters
    ----------
    paths
        The files.

    Returns
    -------
    list of tuple
        Equal lists stand for files that nobody has written meanwhile.

    Examples
    --------
    >>> _ = Path("a.txt").write_text("one")
    >>> before = stamps([Path("a.txt")])
    >>> _ = Path("a.txt").write_text("three")
    >>> stamps([Path("a.txt")]) == before
    False
    """
    states = [path.stat() for path in paths]
    return [(state.st_ino, state.st_size, state.st_mtime_ns) for state in states]


def report_of_earlier(path: Path) -> dict[str, Any]:
    """Read the report of an earlier run.

    Parameters
    ----------
    path
        Where a report would be.

    Returns
    -------
    dict
        The report; empty if there is none.

    Raises
    ------
    InputError
        When the file there is no report of gridcloze.

    Examples
    --------
    >>> report_of_earlier(Path("none.json"))
    {}
    """
    if not os.path.lexists(path):
        return {}
    report = note_in(path)
    needed = {"input_hash": str, "version": str, "files": dict}
    if not isinstance(report, dict) or not all(isinstance(report.get(key), kind) for key, kind in needed.items()):
        raise InputError(f"{path} was not written by gridcloze and is not replaced; choose another folder")
    return report


def note_in(path: Path) -> Any:
    """Read a note of gridcloze, such as a report.

    Parameters
    ----------
    path
        Where it would be.

    Returns
    -------
    Any
        What its JSON holds; None if there is no such file, or it is something else.

    Examples
    --------
    >>> _ = Path("a.json").write_text('{"done": 3}')
    >>> note_in(Path("a.json")), note_in(Path("none.json"))
    ({'done': 3}, None)
    """
    try:
        content = read_bytes(path, MOST_BYTES)
        return json.loads(content) if content.startswith(b"{") else None
    except (InputError, ValueError, RecursionError):
        return None


def are_whole(folder: Path, report: dict[str, Any], overwrite: bool) -> bool:
    """Tell whether all files of a result are there as they were written, and refuse to replace those of others.

    Parameters
    ----------
    folder
        The folder of the results.
    report
        What the result consists of: under "files" the hash of each file, by its name.
    overwrite
        Whether a file that was changed since may be replaced.

    Returns
    -------
    bool
        False if a file is missing.

    Raises
    ------
    InputError
        When a file was changed and is not to be replaced.

    Examples
    --------
    >>> are_whole(Path("."), {"files": {"none.png": "5eed…"}}, overwrite=False)
    False
    """
    there = [name for name in report["files"] if (folder / name).is_file()]
    for name in there if not overwrite else ():
        if content_hash([folder / name]) != report["files"][name]:
            line = "was changed after gridcloze wrote it; choose another folder, or replace it with --overwrite"
            raise InputError(f"{folder / name} {line}")
    return len(there) == len(report["files"])


def write_report(scratch: Path, names: Sequence[str], report: dict[str, Any]) -> None:
    """Write the report of finished files next to them, with their hashes.

    Parameters
    ----------
    scratch
        The folder in which the files are.
    names
        Of the files, whether they are there or not; the last is that of the report.
    report
        The report without "files", which are added.

    Examples
    --------
    >>> _ = Path("a.txt").write_text("done")
    >>> report = {"input_hash": "5eed…", "version": "0.2.0"}
    >>> write_report(Path("."), ["a.txt", "a.npz", "a.json"], report)
    >>> list(report["files"]), Path("a.json").exists()
    (['a.txt'], True)
    """
    there = [scratch / name for name in names if (scratch / name).is_file()]
    report["files"] = {path.name: content_hash([path]) for path in there}
    (scratch / names[-1]).write_text(as_json(report))


def put_results(scratch: Path, folder: Path, older: Iterable[str]) -> None:
    """Move finished files to where they belong, so that a kill at any moment leaves no doubt whose they are.

    The reports come first: they name the other files and their hashes, and a result is complete when all are there.

    Parameters
    ----------
    scratch
        The folder in which the files are.
    folder
        The folder of the results.
    older
        Names of files of older results in that folder, which are removed.

    Examples
    --------
    >>> for name in ("scratch", "results"):
    ...     Path(name).mkdir()
    >>> _ = Path("scratch/a.txt").write_text("done")
    >>> put_results(Path("scratch"), Path("results"), [])
    >>> [path.name for path in Path("results").iterdir()]
    ['a.txt']
    """
    for name in older:
        (folder / name).unlink(missing_ok=True)
    put_in_place(scratch, folder)
