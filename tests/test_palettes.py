import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from gridcloze.files.palettes import Palette, read_palette
from gridcloze.words import InputError

RED, BLUE = (255, 0, 0, 255), (0, 0, 255, 128)
COVER = Palette((RED, BLUE), "WF", ("open water", "forest"), (11, 41))
FULL = [
    {"name": "open water", "colour": "#ff0000", "value": 11, "character": "W"},
    {"name": "forest", "colour": "#0000FF80", "value": 41, "character": "F"},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "palette.json"


def save(path: Path, symbols) -> Path:
    path.write_text(json.dumps({"symbols": symbols}))
    return path


def refused(message: str, function, *arguments, **options) -> None:
    """The call raises InputError with one line that has the message in it."""
    with pytest.raises(InputError, match=message) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)


# Palettes


@pytest.mark.parametrize("n_symbols", [1, 2, 3, 8, 9, 100, 256])
def test_default_palettes(n_symbols):
    """The colours and characters of a default palette are all different, and none stands for hidden."""
    palette = Palette.default(n_symbols)
    assert len(set(palette.colours)) == len(set(palette.characters)) == palette.n_symbols == n_symbols
    assert (128, 128, 128, 255) not in palette.colours
    assert all(colour[3] == 255 for colour in palette.colours)
    assert "?" not in palette.characters
    assert palette.characters.startswith(".#"[:n_symbols] if n_symbols <= 2 else "0123456789ABC"[:n_symbols])
    assert palette.names == ()
    assert palette.raster_values == tuple(range(n_symbols))


def test_people_read_names():
    """A symbol is called by its name, otherwise its colour, otherwise its character."""
    assert [COVER.label(symbol) for symbol in range(2)] == ["open water", "forest"]
    assert [Palette.default(3).label(symbol) for symbol in range(3)] == ["black", "orange", "sky blue"]
    assert Palette((RED, (255, 255, 255, 255)), "ab").label(0) == "symbol a"
    assert Palette((RED, (255, 255, 255, 255)), "ab").label(1) == "white"


def parts_of_palettes(n_symbols: int):
    """Any colours, characters, names and values."""
    alike = {"min_size": n_symbols, "max_size": n_symbols, "unique": True}
    part = some.integers(0, 255)
    texts = some.text(some.characters(categories=["L", "N", "P", "S"]), min_size=1)
    return some.tuples(
        some.lists(some.tuples(part, part, part, part), **alike).map(tuple),
        some.lists(some.characters(categories=["L", "N"]), **alike).map("".join),
        some.one_of(some.just(()), some.lists(texts, **alike).map(tuple)),
        some.one_of(some.just(()), some.lists(some.integers(-(2**31), 2**32), **alike).map(tuple)),
    )


@settings(max_examples=60, deadline=None)
@given(some.integers(1, 4).flatmap(parts_of_palettes))
def test_round_trip_through_json(parts):
    """A palette is the same after it was in the header of a model."""
    palette = Palette(*parts)
    assert Palette.from_json(json.loads(json.dumps(palette.to_json()))) == palette


def test_palettes_in_old_models():
    """What has neither names nor values is written as it was before there were any, and read."""
    said = {"colours": [list(RED), list(BLUE)], "characters": "WF"}
    assert Palette((RED, BLUE), "WF").to_json() == said
    assert Palette.from_json(said) == Palette((RED, BLUE), "WF")


@pytest.mark.parametrize(
    ("colours", "characters", "message"),
    [
        ((BLUE, RED, RED), "abc", "symbols 1 and 2 have the same colour #ff0000; give each its own"),
        ((RED, BLUE, BLUE), "abc", "symbols 1 and 2 have the same colour #0000ff80; give each its own"),
        ((RED, BLUE), "aa", "symbols 0 and 1 have the same character a; give each its own"),
        ((RED,), "ab", "1 symbols have 2 characters; give each symbol one"),
        (((0, 0, 0, 256),), "a", "must be 0 … 255"),
        ((RED,), "?", "must be printable, and not"),
        ((RED,), "\n", "must be printable"),
        ((), "", "give a palette"),
        ((RED,) * 257, "", "257 different symbols; a grid has at most 256"),
    ],
)
def test_bad_palettes(colours, characters, message):
    """Symbols that could not be told apart, or from a hidden cell, are refused."""
    refused(message, Palette, colours, characters)
    refused("this is not a palette: ", Palette.from_json, {"colours": colours, "characters": characters})


@pytest.mark.parametrize(
    ("optional", "message"),
    [
        ({"names": ("a", "a")}, "symbols 0 and 1 have the same name a"),
        ({"names": ("a",)}, "2 symbols have 1 names; give each symbol one"),
        ({"names": ("a", "")}, "name must be printable, and not empty"),
        ({"names": ("a", "b\n")}, "name must be printable"),
        ({"values": (11, 11)}, "symbols 0 and 1 have the same value 11"),
        ({"values": (1, 2, 3)}, "2 symbols have 3 values; give each symbol one"),
        ({"values": (1, 2**63)}, "must have at most 64 bits"),
    ],
)
def test_bad_names_and_values(optional, message):
    """Names and values tell symbols apart as colours do; each symbol has one if one has."""
    refused(message, Palette, (RED, BLUE), "WF", **optional)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"colours": [[1, 2]], "characters": "a"},
        None,
        {"colours": 3, "characters": ""},
        {"colours": [[float("inf"), 0, 0, 255]], "characters": "a"},
        {"colours": [[float("nan"), 0, 0, 255]], "characters": "a"},
        {"colours": [[0, 0, 0, "255"]], "characters": "a"},
        {"colours": [[0, 0, 0, 255]], "characters": ["a"]},
        {"colours": [[0, 0, 0, 255]], "characters": "a", "names": [["a"]]},
        {"colours": [[0, 0, 0, 255]], "characters": "a", "names": 3},
        {"colours": [[0, 0, 0, 255]], "characters": "a", "values": [1.5]},
        {"colours": [[0, 0, 0, 255]], "characters": "a", "values": [10**400]},
    ],
)
def test_bad_palette_in_json(data):
    """What is no palette in a model's header is refused as such."""
    refused("this is not a palette", Palette.from_json, data)


# Palette files


def test_a_file_with_all_keys(path):
    """A name, a colour with or without alpha, a value and a character for each symbol make the palette."""
    assert read_palette(save(path, FULL)) == COVER


@settings(max_examples=30, deadline=None)
@given(some.sets(some.sampled_from(list(FULL[0]))))
def test_what_is_not_given_is_the_default(tmp_path_factory, keys):
    """Colours and characters that are not given are the default ones; names and values that are not given are none."""
    path = tmp_path_factory.mktemp("some") / "palette.json"
    palette = read_palette(save(path, [{key: symbol[key] for key in keys} for symbol in FULL]))
    default = Palette.default(2)
    assert palette.names == (COVER.names if "name" in keys else ())
    assert palette.values == (COVER.values if "value" in keys else ())
    assert palette.colours == (COVER.colours if "colour" in keys else default.colours)
    assert palette.characters == (COVER.characters if "character" in keys else default.characters)


def test_a_file_of_an_editor_on_windows(path):
    """A byte order mark and other ends of lines make no difference."""
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"symbols": FULL}, indent=1).replace("\n", "\r\n").encode())
    assert read_palette(path) == COVER


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (
            [{}, {"color": "#000000"}],
            "symbol 1 has an unknown key 'color'; a palette is .*name, colour, value, character",
        ),
        ([{"name": "a"}, {}, {}], "symbol 0 has a name and symbol 1 has none; give every symbol one, or none"),
        ([{}, {"value": 3}], "symbol 1 has a value and symbol 0 has none"),
        ([{"colour": "red"}], 'the colour of symbol 0 is \'red\'; it must be "#rrggbb" or "#rrggbbaa"'),
        ([{"colour": "#12345"}], 'it must be "#rrggbb" or'),
        ([{"colour": [1, 2, 3]}], r"the colour of symbol 0 is \[1, 2, 3\]; it must be"),
        ([{"value": "11"}], "the value of symbol 0 is '11'; it must be a whole number"),
        ([{"value": True}], "the value of symbol 0 is True; it must be a whole number"),
        ([{"value": 1.0}], "the value of symbol 0 is 1.0; it must be a whole number"),
        ([{"value": 10**30}], "it must be a whole number"),
        ([{"character": "ab"}], "the character of symbol 0 is 'ab'; it must be one character"),
        ([{"character": "?"}], "must be printable, and not '\\?'"),
        ([{"name": ""}], "the name of symbol 0 is ''; it must be a line of text"),
        ([{"name": 3}], "it must be a line of text"),
        ([{"colour": "#ff0000"}, {"colour": "#FF0000ff"}], "symbols 0 and 1 have the same colour #ff0000"),
        ([{"value": 4}, {"value": 5}, {"value": 4}], "symbols 0 and 2 have the same value 4"),
        ([{"name": "a"}, {"name": "a"}], "symbols 0 and 1 have the same name a"),
        ([{}] * 257, "257 different symbols; a grid has at most 256"),
        ([], 'a palette is {"symbols": '),
        ({}, 'a palette is {"symbols": '),
        ([3], 'a palette is {"symbols": '),
    ],
)
def test_bad_symbols_in_a_file(path, symbols, message):
    """What a symbol cannot have is refused, with the file, the symbol and what it must be."""
    refused(f"^[^:]*palette.json: .*{message}", read_palette, save(path, symbols))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "this is not JSON"),
        (b"\xff\xfe", "this is not JSON"),
        (b"[]", "a palette is"),
        (b'{"symbols": [{}], "name": "x"}', "a palette is"),
        (b"{}", "a palette is"),
        (
            b'{"symbols": [{"name": "a", "name": "b"}]}',
            "this is not JSON .'name' stands 2 times in one",
        ),
        (b'{"symbols": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "this is nested too deeply; a palette is"),
        (b'{"symbols": [{"value": ' + b"9" * 5000 + b"}]}", "this is not JSON .Exceeds the limit"),
        (b'{"symbols": [{"value": NaN}]}', "the value of symbol 0 is nan; it must be a whole number"),
        (b'{"symbols": [{"value": Infinity}]}', "the value of symbol 0 is inf; it must be a whole number"),
        (b'{"symbols": [{"name": "\\ud800"}]}', "a symbol's name must be printable"),
        (b'{"symbols": [{"character": "\\udc00"}]}', "a symbol's character must be printable"),
        (b'{"symbols": [{"name": "a\\nb"}]}', r"the name of symbol 0 is 'a\\nb'; it must be a line of text"),
        (b'{"symbols": [{"name": "a\\u2028b"}]}', "a symbol's name must be printable"),
        (b'{"symbols": [{"a\\n": 1}]}', r"symbol 0 has an unknown key 'a\\n'"),
        (b'{"symbols": [{"colour": "' + b"#" * 10_000 + b'"}]}', "the colour of symbol 0 is '#{99}…; it must be"),
        (b" " * (2**20 + 1), "this file has more than the 1048576 bytes"),
    ],
)
def test_files_that_are_no_palette(path, content, message):
    """What is not JSON, or JSON of something else, is refused."""
    path.write_bytes(content)
    refused(f"palette.json: {message}", read_palette, path)


def test_files_that_are_not_there(path):
    """No file, and a folder, are refused."""
    refused("palette.json: this file cannot be read", read_palette, path)
    refused("this file cannot be read", read_palette, path.parent)
