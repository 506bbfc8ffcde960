"""Files are written whole, by one process at a time, and replace nothing that is somebody's."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from gridcloze.files.paths import OWN, atomic_write, is_signed, only_one, refuse_replacing, remove_leftovers, write_json
from gridcloze.words import InputError


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def names():
    return sorted(str(path) for path in Path().rglob("*"))


def test_a_file_that_cannot_be_finished_leaves_the_older_one():
    Path("a.txt").write_text("older")
    with suppress(OSError), atomic_write("a.txt") as partial:
        partial.write_text("half")
        raise OSError("full")
    assert Path("a.txt").read_text() == "older"
    assert names() == ["a.txt"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_mode_of_the_umask(mask):
    before = os.umask(mask)
    try:
        with atomic_write("model") as partial:
            partial.touch(mode=0o600)  # as safetensors does
    finally:
        os.umask(before)
    assert Path("model").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_link_stays_a_link_to_what_is_written():
    Path("far").mkdir()
    Path("link.txt").symlink_to("far/file.txt")
    with atomic_write("link.txt") as partial:
        partial.write_text("new")
    assert Path("link.txt").is_symlink()
    assert Path("far/file.txt").read_text() == "new"


def test_the_longest_name_can_be_written():
    name = "n" * 251 + ".txt"
    with atomic_write(name) as partial:
        partial.write_text("")
    assert names() == [name]


def test_no_json_has_a_number_that_is_none():
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json("a.json", {"bits": float("nan")})
    assert names() == []


HOLD = """
import sys
from gridcloze.files.paths import atomic_write, only_one
with {context} as path:
    print("here", flush=True)
    sys.stdin.read()
"""


def holding(context):
    """Another process that is in the middle of something."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(context=context)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "here\n"
    return process


@pytest.mark.parametrize("name", ["folder", "model.safetensors"])
def test_a_second_process_is_kept_out_until_the_first_is_gone(name):
    Path("folder").mkdir()
    with holding(f"only_one({name!r})") as first:
        with pytest.raises(InputError, match=f"{name}: another run is writing here"), only_one(name):
            pass
        first.kill()
    with only_one(name):
        pass
    assert names() == ["folder"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not():
    with holding("atomic_write('a.txt')") as killed:
        killed.kill()
    with holding("atomic_write('b.txt')") as living:
        assert len(names()) == 2
        remove_leftovers(Path())
        assert len(names()) == 1
        living.kill()
    Path(f"{OWN}0.lock").touch()
    remove_leftovers(Path())
    assert names() == []


@pytest.mark.parametrize("make", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_an_input_is_not_replaced_through_a_link(make):
    Path("grid.png").write_text("")
    make("grid.png", "other.png")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"other.png is an input, grid.png, and would be replaced"):
            refuse_replacing([Path("other.png")], [Path("grid.png")], overwrite)


def test_an_input_is_not_replaced_by_another_spelling_or_within_an_array():
    Path("far").mkdir()
    Path("s.zarr/c").mkdir(parents=True)
    for output, path in (("far/../a.png", "a.png"), ("s.zarr/c/0.png", "s.zarr")):
        with pytest.raises(InputError, match="is an input"):
            refuse_replacing([Path(output)], [Path(path)])
    refuse_replacing([Path("far/look.png")], [Path("far")])  # a folder of grids may get a picture


def test_two_results_have_two_names():
    with pytest.raises(InputError, match=r"a.png is the name of two results"):
        refuse_replacing([Path("a.png"), None, Path("./a.png")])


def test_only_files_of_gridcloze_are_replaced_and_only_when_told_to():
    Path("mine.json").write_text("{}")
    write_json("ours.json", {"written by": "gridcloze"})
    for name in ("mine.json", "ours.json"):
        with pytest.raises(InputError, match=f"{name} is there already; .* --overwrite"):
            refuse_replacing([Path(name)])
    with pytest.raises(InputError, match=r"mine.json was not written by gridcloze"):
        refuse_replacing([Path("mine.json")], overwrite=True)
    refuse_replacing([Path("ours.json")], overwrite=True)


def test_a_link_that_leads_nowhere_is_there():
    Path("a.png").symlink_to("gone.png")
    with pytest.raises(InputError, match="is there already"):
        refuse_replacing([Path("a.png")])


def test_the_name_is_found_at_either_end():
    for number, content in enumerate((b"gridcloze" + b"0" * 3 * 2**20, b"0" * 3 * 2**20 + b"gridcloze")):
        Path(f"{number}").write_bytes(content)
        assert is_signed(Path(f"{number}"))


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.gif", "a.mp4"])
def test_pictures_and_films_are_signed(name):
    import numpy as np

    from gridcloze.films import write_film
    from gridcloze.pictures import LIGHT, written

    if name.endswith((".png", ".svg")):
        with written(Path(name), LIGHT, 2.0):
            pass
    else:
        write_film(Path(name), [np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)], 2.0)
    assert is_signed(Path(name))


def test_a_picture_of_a_grid_is_somebody_s_since_people_paint_over_it():
    """Pictures of grids note their scale; that does not make them drawings that may be replaced."""
    import numpy as np

    from gridcloze.files.grids import Grid, write_grid

    write_grid("grid.png", Grid.from_cells(np.array([[0, 1]])))
    with pytest.raises(InputError, match=r"grid.png was not written by gridcloze and is not replaced"):
        refuse_replacing([Path("grid.png")], overwrite=True)
