"""What symbols look like, what they are called, and what stands for them in raster files."""

import colorsys
import json
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import index
from pathlib import Path
from typing import Any

from ..words import AnyPath, InputError, about
from .paths import read_bytes

Colour = tuple[int, int, int, int]
MAX_SYMBOLS = 256
MAX_BYTES = 2**20  # of a palette file
MOST_SHOWN = 100  # characters of what is wrong in a file
OKABE_ITO = (0x000000FF, 0xE69F00FF, 0x56B4E9FF, 0x009E73FF, 0xF0E442FF, 0x0072B2FF, 0xD55E00FF, 0xCC79A7FF)
OKABE_ITO_NAMES = ("black", "orange", "sky blue", "bluish green", "yellow", "blue", "vermilion", "reddish purple")
COLOUR_NAMES = {0xFFFFFFFF: "white", **dict(zip(OKABE_ITO, OKABE_ITO_NAMES, strict=True))}


@dataclass(frozen=True)
class Palette:
    """What the symbols 0 … n_symbols-1 look like, what they are called, and what stands for them in raster files.

    A symbol is whatever a cell can be: a class of land cover, a facies, a tile of a level.

    Parameters
    ----------
    colours
        Red, green, blue and alpha of each symbol, 0 … 255.
    characters
        A printable character for each symbol, other than "?", which stands for a hidden cell in text files.
    names
        A name for each symbol, such as "open water"; empty if symbols have no names.
    values
        The integer that stands for each symbol in a GeoTIFF; empty if it is the symbol itself.
    in_values
        Whether arrays always hold the values, as they do if the examples had class codes such as 1 … 5.

    Raises
    ------
    InputError
        When two symbols share a colour, character, name or value, when an entry is missing or out of range, and for no
        symbols or more than 256.

    Examples
    --------
    >>> cover = Palette(((70, 107, 159, 255), (28, 95, 44, 255)), "WF", names=("open water", "forest"), values=(11, 41))
    >>> cover.n_symbols, cover.raster_values
    (2, (11, 41))
    >>> cover.label(1), Palette.default(2).label(1)
    ('forest', 'white')
    """

    colours: tuple[Colour, ...]
    characters: str
    names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    in_values: bool = False

    def __post_init__(self) -> None:
        _refuse_count(self.n_symbols)
        if not all(0 <= channel <= 255 for colour in self.colours for channel in colour):
            raise InputError("red, green, blue and alpha of a colour must be 0 … 255")
        if not all(-(2**63) <= value < 2**63 for value in self.values):
            raise InputError("a symbol's value in a raster file must have at most 64 bits")
        if "?" in self.characters or not self.characters.isprintable():
            raise InputError("a symbol's character must be printable, and not '?', which stands for a hidden cell")
        if not all(name and name.isprintable() for name in self.names):
            raise InputError("a symbol's name must be printable, and not empty")
        self._need_one_each("colour", [_hexadecimal(colour) for colour in self.colours])
        self._need_one_each("character", self.characters)
        self._need_one_each("name", self.names or range(self.n_symbols))
        self._need_one_each("value", self.raster_values)

    def _need_one_each(self, what: str, entries: Sequence[Any]) -> None:
        if len(entries) != self.n_symbols:
            raise InputError(f"{self.n_symbols} symbols have {len(entries)} {what}s; give each symbol one")
        owner: dict[Any, int] = {}
        for symbol, entry in enumerate(entries):
            if owner.setdefault(entry, symbol) != symbol:
                raise InputError(f"symbols {owner[entry]} and {symbol} have the same {what} {entry}; give each its own")

    @property
    def n_symbols(self) -> int:
        """How many symbols there are."""
        return len(self.colours)

    @property
    def packed_colours(self) -> list[int]:
        """The colour of each symbol as one number, 0xRRGGBBAA."""
        return [int.from_bytes(colour) for colour in self.colours]

    @property
    def raster_values(self) -> tuple[int, ...]:
        """What stands for each symbol in a raster file: `values` or, without them, 0 … n_symbols-1."""
        return self.values or tuple(range(self.n_symbols))

    @property
    def marks(self) -> dict[int, str]:
        """What reports call each symbol, and print for it: its class code, or its number and its character."""
        codes = {value: str(value) for value in self.raster_values}
        return codes if self.in_values else dict(enumerate(self.characters))

    def label(self, symbol: int) -> str:
        """Name a symbol for people: by its name or class code, otherwise its colour, otherwise its character.

        Parameters
        ----------
        symbol
            The number of a symbol.

        Returns
        -------
        str
            Such as "open water", "class 11", "white" or "symbol A".
        """
        if self.names:
            return self.names[symbol]
        if self.in_values:
            return f"class {self.raster_values[symbol]}"
        return COLOUR_NAMES.get(self.packed_colours[symbol], f"symbol {self.characters[symbol]}")

    def symbols_in(self, rule: str) -> list[int]:
        """Read a rule of which symbols are allowed.

        Parameters
        ----------
        rule
            Symbols with commas between them, each by its name, its character or its value, such as "water, forest"; or
            characters without commas, such as "WF". After "not " all others are meant.

        Returns
        -------
        list of int
            The allowed symbols, in order.

        Raises
        ------
        InputError
            For what is no symbol, for what could be several, and if nothing is allowed.

        Examples
        --------
        >>> cover = Palette.default(3)
        >>> cover.symbols_in("black, 2"), cover.symbols_in("not orange"), cover.symbols_in("01")
        ([0, 2], [0, 2], [0, 1])
        """
        whole = self._meant_by(rule.strip())
        excludes = rule.strip().lower().startswith("not ") and not whole
        listed = rule.strip()[4 * excludes :].split(",")
        named = whole or set[int]().union(*(self._one_meaning_of(text.strip()) for text in listed))
        allowed = set(range(self.n_symbols)) - named if excludes else named
        if not allowed:
            raise InputError(f"{shortened(rule)!r} allows no symbol: leave at least one")
        return sorted(allowed)

    def _one_meaning_of(self, text: str) -> set[int]:
        symbols = self._meant_by(text)
        if not symbols:
            known = ", ".join(map(self.label, range(min(self.n_symbols, 20))))
            raise InputError(f"{shortened(text)!r} is no symbol of this model: they are {known}")
        return symbols

    def _meant_by(self, text: str) -> set[int]:
        """The symbols that a name, character or value stands for, or several characters; none if it is nothing."""
        of_symbols = {
            "name": [self.label(symbol).casefold() for symbol in range(self.n_symbols)],
            "character": list(self.characters),
            "value": list(map(str, self.values)),
        }
        keys = {"name": text.casefold(), "character": text, "value": text}
        meant = {what: {every.index(keys[what])} for what, every in of_symbols.items() if keys[what] in every}
        if not self.values and not meant and text in map(str, range(self.n_symbols)):
            meant["number"] = {int(text)}
        if len(text) > 1 and "name" not in meant and set(text) <= set(self.characters):
            meant["characters"] = set(map(self.characters.index, text))
        if len(set(map(frozenset, meant.values()))) > 1:
            readings = " or ".join(f"the {what} of {', '.join(map(self.label, sorted(meant[what])))}" for what in meant)
            raise InputError(
                f"{shortened(text)!r} could be {readings}: name symbols otherwise, with commas between them"
            )
        return next(iter(meant.values()), set())

    @classmethod
    @cache
    def default(cls, n_symbols: int) -> "Palette":
        """Make a palette for symbols of which nothing is known.

        Two symbols are black and white; more get Okabe and Ito's colours for colour-blind eyes, and after
        these generated ones.

        Parameters
        ----------
        n_symbols
            How many symbols there are, 1 … 256.

        Returns
        -------
        Palette
            Without names and values; the same object for the same number.

        Raises
        ------
        InputError
            For no symbols or more than 256.
        """
        _refuse_count(n_symbols)
        if n_symbols <= 2:
            return cls(((0, 0, 0, 255), (255, 255, 255, 255))[:n_symbols], ".#"[:n_symbols])
        hues = [index * 0.618034 % 1 for index in range(2 * MAX_SYMBOLS)]  # the golden ratio spreads any number of hues
        generated = [colorsys.hls_to_rgb(hue, (0.35, 0.7, 0.5)[index % 3], 0.85) for index, hue in enumerate(hues)]
        rounded = [(round(255 * red), round(255 * green), round(255 * blue), 255) for red, green, blue in generated]
        colours = dict.fromkeys([*map(unpacked, OKABE_ITO), *rounded])
        others = filter(str.isprintable, map(chr, range(ord("!"), 2 * MAX_SYMBOLS)))
        characters = "".join(dict.fromkeys([*string.digits, *string.ascii_uppercase, *string.ascii_lowercase, *others]))
        return cls(tuple(colours)[:n_symbols], characters.replace("?", "")[:n_symbols])

    @classmethod
    def from_json(cls, data: Any) -> "Palette":
        """Read a palette from the header of a model.

        Parameters
        ----------
        data
            What `to_json` returned, possibly after it was JSON text.

        Returns
        -------
        Palette
            Equal to the one that was written.

        Raises
        ------
        InputError
            When `data` is not a palette.
        """
        try:
            colours = [(index(r), index(g), index(b), index(alpha)) for r, g, b, alpha in data["colours"]]
            names, values = map(_text, data.get("names", ())), map(index, data.get("values", ()))
            in_values = data.get("in_values") is True
            return cls(tuple(colours), _text(data["characters"]), tuple(names), tuple(values), in_values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is not a palette: {shortened(error)}") from None

    def to_json(self) -> dict[str, Any]:
        """Give the palette in the form that the header of a model has.

        Returns
        -------
        dict
            Lists, texts and numbers under "colours" and "characters", and under "names" and "values" if there are any;
            "in_values" only if it is true.
        """
        required = {"colours": [list(colour) for colour in self.colours], "characters": self.characters}
        optional = {"names": list(self.names), "values": list(self.values), "in_values": self.in_values}
        return required | {key: entries for key, entries in optional.items() if entries}


def _text(data: Any) -> str:
    if not isinstance(data, str):
        raise TypeError(f"{_shown(data)} is no text")
    return data


def shortened(text: Any) -> str:
    r"""Make what came from a file fit into one line of an error.

    Parameters
    ----------
    text
        Anything that can be a text.

    Returns
    -------
    str
        Its first 100 characters without line breaks.

    Examples
    --------
    >>> shortened("two\nlines")
    'two lines'
    """
    return " ".join(f"{text!s:.{MOST_SHOWN}}{'…' * (len(str(text)) > MOST_SHOWN)}".split())


def _refuse_count(n_symbols: int) -> None:
    if n_symbols < 1:
        raise InputError("every cell is hidden, so nothing tells which symbols there are; give a palette")
    if n_symbols > MAX_SYMBOLS:
        raise InputError(
            f"{n_symbols} different symbols; a grid has at most {MAX_SYMBOLS} (a photograph is not a grid of symbols)"
        )


def unpacked(packed: int) -> Colour:
    """Split a colour into its channels.

    Parameters
    ----------
    packed
        The colour 0xRRGGBBAA.

    Returns
    -------
    tuple of int
        Red, green, blue and alpha, 0 … 255.

    Examples
    --------
    >>> unpacked(0xE69F00FF)
    (230, 159, 0, 255)
    """
    red, green, blue, alpha = packed.to_bytes(4)
    return red, green, blue, alpha


def _hexadecimal(colour: Colour) -> str:
    return "#" + bytes(colour).hex().removesuffix("ff" if colour[3] == 255 else "")


# Palette files

KEYS = {  # of a symbol in a palette file: type, pattern and what that is
    "name": (str, r".+", "a line of text"),
    "colour": (str, r"#([0-9a-fA-F]{2}){3,4}", '"#rrggbb" or "#rrggbbaa"'),
    "value": (int, r"-?\d{1,18}", "a whole number of at most 18 digits"),
    "character": (str, r".", "one character"),
}
FORM = f'a palette is {{"symbols": [{{…}}, …]}}, in which each symbol has {", ".join(KEYS)} or some of them'


def read_palette(path: AnyPath) -> Palette:
    """Read a palette that somebody wrote as JSON.

    The file has one entry for each symbol: `{"symbols": [{"name": "open water", "colour": "#466b9f", "value": 11,
    "character": "W"}, …]}`. If one symbol has a key, all must.

    Parameters
    ----------
    path
        The JSON file.

    Returns
    -------
    Palette
        Colours and characters that the file leaves out are those of `Palette.default`.

    Raises
    ------
    InputError
        When the file is missing or is not a palette; names the file and the symbol.

    Examples
    --------
    >>> _ = Path("cover.json").write_text('{"symbols": [{"name": "open water"}, {"name": "forest"}]}')
    >>> read_palette("cover.json").names
    ('open water', 'forest')
    """
    with about(path):
        symbols = _symbols_in(Path(path))
        default = Palette.default(len(symbols))
        return Palette(
            tuple(map(_colour_of, _entries("colour", symbols))) or default.colours,
            "".join(_entries("character", symbols)) or default.characters,
            tuple(_entries("name", symbols)),
            tuple(_entries("value", symbols)),
        )


def _symbols_in(path: Path) -> list[dict[str, Any]]:
    data = read_bytes(path, MAX_BYTES)
    try:
        content = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_twins)
    except RecursionError:
        raise InputError(f"this is nested too deeply; {FORM}") from None
    except ValueError as error:  # of JSON, or bytes that are not UTF-8
        raise InputError(f"this is not JSON ({shortened(error)})") from None
    symbols = content.get("symbols") if isinstance(content, dict) and len(content) == 1 else None
    if not symbols or not isinstance(symbols, list) or not all(isinstance(symbol, dict) for symbol in symbols):
        raise InputError(FORM)
    for number, symbol in enumerate(symbols):
        unknown = next((key for key in symbol if key not in KEYS), None)
        if unknown is not None:
            raise InputError(f"symbol {number} has an unknown key {_shown(unknown)}; {FORM}")
    return symbols


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    times = Counter(key for key, _ in pairs)
    for key in times:
        if times[key] > 1:
            raise InputError(f"{_shown(key)} stands {times[key]} times in one place; keep one")
    return dict(pairs)


def _entries(key: str, symbols: list[dict[str, Any]]) -> list[Any]:
    """What all symbols have for a key; nothing if none has it."""
    kind, pattern, form = KEYS[key]
    owners = [number for number, symbol in enumerate(symbols) if key in symbol]
    if 0 < len(owners) < len(symbols):
        without = next(number for number, symbol in enumerate(symbols) if key not in symbol)
        raise InputError(
            f"symbol {owners[0]} has a {key} and symbol {without} has none; give every symbol one, or none"
        )
    for number in owners:
        entry = symbols[number][key]
        if type(entry) is not kind or not re.fullmatch(pattern, str(entry)):  # a bool is an int, too
            raise InputError(f"the {key} of symbol {number} is {_shown(entry)}; it must be {form}")
    return [symbols[number][key] for number in owners]


def _shown(entry: Any) -> str:
    try:
        return shortened(repr(entry))
    except (RecursionError, ValueError):  # nested too deeply, or of too many digits
        return f"no {type(entry).__name__} to show"


def _colour_of(text: str) -> Colour:
    red, green, blue, *alpha = bytes.fromhex(text[1:])
    return red, green, blue, alpha[0] if alpha else 255
