"""Maps of the editor Tiled in JSON (`.tmj`): a layer of tiles is a grid, and tile 0 is a hidden cell.

In a map with several such layers the custom property `gridcloze` (true) says which one is meant; the custom property
`hidden` of the layer says which other tile is a hidden cell. https://doc.mapeditor.org/en/stable/reference/json-map-format/
"""

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt32

from ..words import InputError

FLIPPED = 0xF0000000  # bits of a tile that is mirrored or turned
DATA = re.compile(r'"data"\s*:\s*(\[[^\[\]{}"]*\]|"[^"\\]*")')
MOST_CELLS = 2**28


@dataclass(frozen=True)
class TileMap:
    """Hold a layer with all that is written back as it was.

    Parameters
    ----------
    text
        Of the file.
    number
        Which data of the file is that of the layer.
    layer
        As JSON.
    values
        The tiles (1, height, width), NaN where hidden.
    hidden
        The tile of hidden cells.

    Examples
    --------
    >>> layer = '{"type": "tilelayer", "width": 2, "height": 1, "data": [5, 0]}'
    >>> tiles = read(f'{{"layers": [{layer}]}}'.encode())
    >>> tiles.values.tolist()
    [[[5.0, nan]]]
    """

    text: str
    number: int
    layer: Mapping[str, Any]
    values: Float[np.ndarray, "one height width"]
    hidden: int

    def with_grid(
        self, values: Shaped[np.ndarray, "height width"], more: Mapping[str, Shaped[np.ndarray, "height width"]]
    ) -> bytes:
        """Write other tiles; the rest of the file stays as it was.

        Parameters
        ----------
        values
            The tiles, NaN where hidden.
        more
            Is not written.

        Returns
        -------
        bytes
            Of the file.

        Examples
        --------
        >>> layer = '{"type": "tilelayer", "width": 2, "height": 1, "data": [5, 0]}'
        >>> tiles = read(f'{{"layers": [{layer}]}}'.encode())
        >>> json.loads(tiles.with_grid(np.array([[5, 6]]), {}))["layers"][0]["data"]
        [5, 6]
        """
        tiles = np.where(np.isnan(values), self.hidden, values).astype("<u4").ravel()
        found = list(DATA.finditer(self.text))[self.number]
        if np.array_equal(tiles, _tiles(self.layer)):
            return self.text.encode()
        if found[1].startswith("["):
            new = iter(tiles.tolist())
            data = re.sub(r"\d+", lambda _: str(next(new)), found[1])
        else:
            pack = {"": bytes, "zlib": zlib.compress, "gzip": lambda raw: gzip.compress(raw, mtime=0)}
            data = json.dumps(base64.b64encode(pack[self.layer.get("compression", "")](tiles.tobytes())).decode())
        return (self.text[: found.start(1)] + data + self.text[found.end(1) :]).encode()


def read(content: bytes) -> TileMap:
    """Read a map.

    Parameters
    ----------
    content
        Its bytes.

    Returns
    -------
    TileMap
        Its layer.

    Raises
    ------
    InputError
        When it is none, has no or several layers of tiles, or tiles that are mirrored or turned.

    Examples
    --------
    >>> read(b'{"layers": []}')
    Traceback (most recent call last):
    gridcloze.words.InputError: this map has no layer of tiles
    """
    try:
        text = content.decode()
        layers = list(_layers(json.loads(text)))
    except (ValueError, RecursionError, AttributeError, TypeError):
        raise InputError("this is no map of Tiled in JSON") from None
    layer = _chosen([one for one in layers if one.get("type") == "tilelayer"])
    if "chunks" in layer:
        raise InputError("this map is infinite: turn that off in its properties (Map, Map Properties) and save it")
    tiles, size = _tiles(layer), (int(layer["height"]), int(layer["width"]))
    if tiles.size != size[0] * size[1] or not tiles.size:
        raise InputError(f"its layer {_name(layer)!r} has {tiles.size} tiles, and {size[0]} rows of {size[1]}")
    flipped = np.flatnonzero(tiles & FLIPPED)
    if flipped.size:
        row, column = divmod(int(flipped[0]), size[1])
        line = "a mirrored or turned tile has no symbol; use a tile of its own"
        raise InputError(f"row {row}, column {column} (counted from 0) of the layer {_name(layer)!r}: {line}")
    hidden = int(_property(layer, "hidden") or 0)
    values = np.where(tiles == hidden, np.nan, tiles.astype(float)).reshape(1, *size)
    number = next(n for n, one in enumerate(one for one in layers if "data" in one) if one is layer)
    if len(DATA.findall(text)) != sum("data" in one for one in layers):
        raise InputError("it has data that are of no layer: save the map with Tiled")
    return TileMap(text, number, layer, values, hidden)


def _layers(group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All layers, also those in groups, in the order of the text."""
    for layer in group.get("layers", []):
        yield layer
        yield from _layers(layer)


def _chosen(layers: list[dict[str, Any]]) -> dict[str, Any]:
    if not layers:
        raise InputError("this map has no layer of tiles")
    marked = [layer for layer in layers if _property(layer, "gridcloze")]
    found = marked if len(layers) > 1 else layers
    if len(found) != 1:
        names = ", ".join(map(_name, layers))
        line = "give one of them the custom property 'gridcloze' (bool, true)"
        raise InputError(f"this map has several layers of tiles ({names}): {line}")
    return found[0]


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer.get("name", ""))


def _property(layer: Mapping[str, Any], name: str) -> Any:
    return next((one.get("value") for one in layer.get("properties", []) if one.get("name") == name), None)


def _tiles(layer: Mapping[str, Any]) -> UInt32[np.ndarray, "tile"]:
    data, compression = layer.get("data", []), layer.get("compression", "")
    most = 4 * int(layer["height"]) * int(layer["width"])
    if most > 4 * MOST_CELLS:
        raise InputError(f"its layer {_name(layer)!r} has more than {MOST_CELLS} cells")
    try:
        if isinstance(data, list):
            return np.array(data, dtype=np.uint32)
        raw = base64.b64decode(data, validate=True)
        if compression in ("zlib", "gzip"):
            raw = zlib.decompressobj(wbits=47).decompress(raw, most + 4)  # 47: with the header of either
        elif compression:
            raise InputError(f"its layer is packed with {compression}: choose another format in the map's properties")
        return np.frombuffer(raw[: len(raw) // 4 * 4], "<u4")
    except (ValueError, OverflowError, TypeError, zlib.error) as error:
        raise InputError(f"its layer {_name(layer)!r} cannot be read: {error}") from None
