"""What symbols are called, how they look, and what stands for them in raster files."""

import colorsys
import json
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..words import AnyPath, InputError, about

Colour = tuple[int, int, int, int]
MAX_SYMBOLS = 256
OKABE_ITO = (0x000000FF, 0xE69F00FF, 0x56B4E9FF, 0x009E73FF, 0xF0E442FF, 0x0072B2FF, 0xD55E00FF, 0xCC79A7FF)


@dataclass(frozen=True)
class Palette:
    """How symbols look: an RGBA colour (0 … 255) and a printable character for each, or InputError.

    They may have `names` such as "open water", and `values` that stand for them in raster files.
    """

    colours: tuple[Colour, ...]
    characters: str
    names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _refuse_count(self.n_symbols)
        if not all(0 <= part <= 255 for colour in self.colours for part in colour):
            raise InputError("a colour's red, green, blue and alpha must be 0 … 255")
        if "?" in self.characters or not self.characters.isprintable():
            raise InputError("a symbol's character must be printable, and not '?', which stands for a hidden cell")
        if not all(name and name.isprintable() for name in self.names):
            raise InputError("a symbol's name must be printable, and not empty")
        self._refuse_unlike_symbols("colour", [_hexadecimal(colour) for colour in self.colours])
        self._refuse_unlike_symbols("character", self.characters)
        self._refuse_unlike_symbols("name", self.names or range(self.n_symbols))
        self._refuse_unlike_symbols("value", self.raster_values)

    def _refuse_unlike_symbols(self, what: str, given: Sequence[Any]) -> None:
        """Each symbol needs one, and its own."""
        if len(given) != self.n_symbols:
            raise InputError(f"{what}s must be as many as symbols: {self.n_symbols}, not {len(given)}")
        first: dict[Any, int] = {}
        for symbol, one in enumerate(given):
            if first.setdefault(one, symbol) != symbol:
                raise InputError(f"symbols {first[one]} and {symbol} have the same {what} {one}; give each its own")

    @property
    def n_symbols(self) -> int:
        return len(self.colours)

    @property
    def packed_colours(self) -> list[int]:
        """0xRRGGBBAA for each symbol."""
        return [int.from_bytes(colour) for colour in self.colours]

    @property
    def raster_values(self) -> tuple[int, ...]:
        """What stands for each symbol in a raster file: `values` or, without them, 0 … n_symbols-1."""
        return self.values or tuple(range(self.n_symbols))

    @classmethod
    @cache
    def default(cls, n_symbols: int) -> "Palette":
        """Black and white for two symbols; for more, Okabe and Ito's colours for all eyes, then generated ones."""
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
        """The palette that `to_json` gave. Raises InputError."""
        try:
            colours = [(int(red), int(green), int(blue), int(alpha)) for red, green, blue, alpha in data["colours"]]
            names, values = map(str, data.get("names", ())), map(int, data.get("values", ()))
            return cls(tuple(colours), str(data["characters"]), tuple(names), tuple(values))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no palette: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads; names and values only if there are any."""
        said = {"colours": [list(colour) for colour in self.colours], "characters": self.characters}
        optional = {"names": list(self.names), "values": list(self.values)}
        return said | {key: given for key, given in optional.items() if given}


def _refuse_count(n_symbols: int) -> None:
    if n_symbols < 1:
        raise InputError("every cell is hidden, so nothing says which symbols there are; give a palette")
    if n_symbols > MAX_SYMBOLS:
        raise InputError(f"{n_symbols} different symbols; a grid has at most {MAX_SYMBOLS}, and is no photograph")


def unpacked(packed: int) -> Colour:
    """The colour 0xRRGGBBAA."""
    red, green, blue, alpha = packed.to_bytes(4)
    return red, green, blue, alpha


def _hexadecimal(colour: Colour) -> str:
    return "#" + bytes(colour).hex().removesuffix("ff" if colour[3] == 255 else "")


# Palette files

KEYS = {  # of a symbol in a palette file: type, pattern and what that is
    "name": (str, r".+", "a line of text"),
    "colour": (str, r"#([0-9a-fA-F]{2}){3,4}", '"#rrggbb" or "#rrggbbaa"'),
    "value": (int, r"-?\d{1,18}", "a whole number"),
    "character": (str, r".", "one character"),
}
FORM = f'a palette is {{"symbols": [{{…}}, …]}}, with {", ".join(KEYS)} or some of them for each symbol'


def read_palette(path: AnyPath) -> Palette:
    """The palette in a JSON file: {"symbols": [{"name": …, "colour": "#466b9f", "value": 11, "character": "W"}, …]}.

    All symbols have a key or none; colours and characters that are not given are those of `Palette.default`. Raises
    InputError, naming the file and the symbol.
    """
    with about(path):
        symbols = _symbols_in(Path(path))
        default = Palette.default(len(symbols))
        return Palette(
            tuple(map(_colour_of, _given("colour", symbols))) or default.colours,
            "".join(_given("character", symbols)) or default.characters,
            tuple(_given("name", symbols)),
            tuple(_given("value", symbols)),
        )


def _symbols_in(path: Path) -> list[dict[str, Any]]:
    try:
        said = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"this file cannot be read ({error.strerror})") from None
    except ValueError as error:  # of JSON, or bytes that are no UTF-8
        raise InputError(f"this is not JSON ({error})") from None
    symbols = said.get("symbols") if isinstance(said, dict) and len(said) == 1 else None
    if not symbols or not isinstance(symbols, list) or not all(isinstance(symbol, dict) for symbol in symbols):
        raise InputError(FORM)
    for number, symbol in enumerate(symbols):
        unknown = next((key for key in symbol if key not in KEYS), None)
        if unknown is not None:
            raise InputError(f"symbol {number} has an unknown key {unknown!r}; {FORM}")
    return symbols


def _given(key: str, symbols: list[dict[str, Any]]) -> list[Any]:
    """What all symbols have for a key; nothing if none has it."""
    kind, pattern, form = KEYS[key]
    having = [number for number, symbol in enumerate(symbols) if key in symbol]
    if 0 < len(having) < len(symbols):
        lacking = next(number for number, symbol in enumerate(symbols) if key not in symbol)
        raise InputError(f"symbol {having[0]} has a {key} and symbol {lacking} has none; give it to all or to none")
    for number in having:
        given = symbols[number][key]
        if type(given) is not kind or not re.fullmatch(pattern, str(given)):  # a bool is an int, too
            raise InputError(f"the {key} of symbol {number} is {given!r}; it must be {form}")
    return [symbols[number][key] for number in having]


def _colour_of(text: str) -> Colour:
    red, green, blue, *alpha = bytes.fromhex(text[1:])
    return red, green, blue, alpha[0] if alpha else 255
