"""VTK ImageData (`.vti`), which ParaView shows: one flat array of points or cells is a grid, with row 0 in the north.

https://docs.vtk.org/en/latest/vtk_file_formats/vtkxml_file_format.html
"""

import base64
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from jaxtyping import Float, Shaped

from ..words import InputError
from .gslib import MISSING

TYPES = {
    f"{kind}{8 * size}": f"{letter}{size}" for kind, letter in (("Int", "i"), ("UInt", "u")) for size in (1, 2, 4, 8)
}
TYPES |= {"Float32": "f4", "Float64": "f8"}
NOT_KNOWN = (*MISSING, -1.0)
ASSOCIATIONS = ("CellData", "PointData")
APPENDED = re.compile(rb"<AppendedData[^>]*>\s*_")
MOST_BYTES = 2**31


@dataclass(frozen=True)
class Image:
    """Hold the grid of a file with all that is written back.

    Parameters
    ----------
    root
        The file, with its arrays decoded.
    arrays
        All arrays, by the number of their element in the file.
    chosen
        The element of the array that is the grid.
    values
        The grid (1, height, width), NaN where hidden.

    Examples
    --------
    >>> array = '<DataArray type="Int8" Name="facies" format="ascii">3 -1</DataArray>'
    >>> piece = f'<Piece Extent="0 2 0 1 0 0"><CellData>{array}</CellData></Piece>'
    >>> file = f'<VTKFile type="ImageData"><ImageData WholeExtent="0 2 0 1 0 0">{piece}</ImageData></VTKFile>'
    >>> read(file.encode()).values.tolist()
    [[[3.0, nan]]]
    """

    root: Element
    arrays: Mapping[int, np.ndarray]
    chosen: Element
    values: Float[np.ndarray, "one height width"]

    def with_grid(
        self, values: Shaped[np.ndarray, "height width"], more: Mapping[str, Shaped[np.ndarray, "height width"]]
    ) -> bytes:
        """Write other values, and more arrays next to them; all other arrays stay.

        Parameters
        ----------
        values
            Of the grid, NaN where hidden.
        more
            Grids by their names.

        Returns
        -------
        bytes
            Of the file; its arrays are packed by zlib.

        Examples
        --------
        >>> array = '<DataArray type="Int8" Name="facies" format="ascii">3 -1</DataArray>'
        >>> piece = f'<Piece Extent="0 2 0 1 0 0"><CellData>{array}</CellData></Piece>'
        >>> file = f'<VTKFile type="ImageData"><ImageData WholeExtent="0 2 0 1 0 0">{piece}</ImageData></VTKFile>'
        >>> read(read(file.encode()).with_grid(np.array([[3, 4]]), {})).values.tolist()
        [[[3.0, 4.0]]]
        """
        root = ElementTree.fromstring(ElementTree.tostring(self.root))
        ours = dict(zip(map(id, self.root.iter()), root.iter(), strict=True))
        for old in self.root.iter("DataArray"):
            array = self.arrays[id(old)]
            if old is self.chosen:
                is_known = ~np.isnan(values[::-1].ravel())
                array = np.array(array)  # what stays hidden has the number that it had
                array[is_known] = values[::-1].ravel()[is_known]
            _put(ours[id(old)], array)
        association = next(one for one in root.iter() if ours[id(self.chosen)] in list(one))
        association.set("Scalars", str(self.chosen.get("Name")))  # so that it stays the grid
        for name, grid in more.items():
            array = np.asarray(grid)[::-1].ravel()
            kind = "Float32" if array.dtype.kind == "f" else "Int32"
            _put(ElementTree.SubElement(association, "DataArray", type=kind, Name=name), array.astype(TYPES[kind]))
        root.attrib |= {"byte_order": "LittleEndian", "header_type": "UInt64", "compressor": "vtkZLibDataCompressor"}
        for element in root.findall("AppendedData"):
            root.remove(element)
        return b'<?xml version="1.0"?>\n' + ElementTree.tostring(root) + b"\n"


def read(content: bytes) -> Image:
    """Read a file.

    Parameters
    ----------
    content
        Its bytes.

    Returns
    -------
    Image
        Its grid.

    Raises
    ------
    InputError
        When it is none, is not flat, is in parts, or has no or several arrays of classes.

    Examples
    --------
    >>> read(b"<VTKFile type='PolyData'/>")
    Traceback (most recent call last):
    gridcloze.words.InputError: this is no VTK ImageData
    """
    raw = b""
    if appended := APPENDED.search(content):
        end = content.rfind(b"</AppendedData>")
        raw, content = content[appended.end() : end], content[: appended.end()] + content[end:]
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError):
        raise InputError("this is no VTK ImageData") from None
    pieces = root.findall("ImageData/Piece")
    if root.get("type") != "ImageData" or not pieces:
        raise InputError("this is no VTK ImageData")
    if len(pieces) > 1:
        raise InputError(f"it is in {len(pieces)} pieces: save it as one")
    decoder = _Decoder(root, raw)
    arrays = {id(one): decoder.array(one) for one in root.iter("DataArray")}
    association, chosen = _chosen(pieces[0], arrays)
    size = _size(pieces[0].get("Extent", ""), association == "CellData")
    array = arrays[id(chosen)]
    if array.size != size[0] * size[1]:
        raise InputError(f"its array {chosen.get('Name')!r} has {array.size} numbers, and {size[0]} rows of {size[1]}")
    values = np.where(np.isin(array, NOT_KNOWN), np.nan, array.astype(float)).reshape(1, *size)[:, ::-1]
    return Image(root, arrays, chosen, values)


def _chosen(piece: Element, arrays: Mapping[int, np.ndarray]) -> tuple[str, Element]:
    """The array of classes: the active one, or the only one."""
    found = list[tuple[str, Element]]()
    for association in filter(None, map(piece.find, ASSOCIATIONS)):
        active = association.get("Scalars")
        for one in association.findall("DataArray"):
            if int(one.get("NumberOfComponents") or 1) == 1 and one.get("Name") != "vtkGhostType":
                if active is not None and one.get("Name") == active:
                    return association.tag, one
                found.append((association.tag, one))
    if len(found) != 1:
        names = ", ".join(str(one.get("Name")) for _, one in found)
        raise InputError(f"it has {len(found)} arrays with one number a cell ({names}): make one the active scalars")
    return found[0]


def _size(extent: str, of_cells: bool) -> tuple[int, int]:
    try:
        west, east, south, north, low, high = map(int, extent.split())
    except ValueError:
        raise InputError("this is no VTK ImageData: its piece has no extent") from None
    if high > low + of_cells:
        raise InputError("it has several layers, and only flat grids (one cell in z) can be read")
    return north - south + (not of_cells), east - west + (not of_cells)


class _Decoder:
    """Numbers as text, in base64, or raw at the end of the file; as they are, or packed by zlib in blocks."""

    def __init__(self, root: Element, raw: bytes):
        self.order = ">" if root.get("byte_order") == "BigEndian" else "<"
        self.header = np.dtype(self.order + TYPES[root.get("header_type", "UInt32")])
        self.packed, self.raw = root.get("compressor"), raw
        element = root.find("AppendedData")
        self.is_raw = element is not None and element.get("encoding") == "raw"

    def array(self, element: Element) -> np.ndarray:
        name, kind, way = element.get("Name"), element.get("type", ""), element.get("format", "ascii")
        if kind not in TYPES:
            raise InputError(f"its array {name!r} has values of type {kind}")
        dtype = np.dtype(self.order + TYPES[kind])
        try:
            if way == "ascii":
                return np.array((element.text or "").split(), dtype=dtype)
            if way == "appended":
                take = self._taker(self.raw[int(element.get("offset") or 0) :], self.is_raw)
            else:
                take = self._taker((element.text or "").encode(), is_raw=False)
            return np.frombuffer(b"".join(self._parts(take)), dtype)
        except (ValueError, IndexError, zlib.error) as error:
            raise InputError(f"its array {name!r} cannot be read: {error}") from None

    def _parts(self, take: Callable[[int, int], bytes]) -> Iterator[bytes]:
        if self.packed not in (None, "vtkZLibDataCompressor"):
            raise ValueError(f"it is packed by {self.packed}, and only vtkZLibDataCompressor can be read")
        width = self.header.itemsize
        if self.packed is None:
            size = self._integers(take(0, width))[0]
            yield take(width, size)
            return
        n = self._integers(take(0, width))[0]
        sizes = self._integers(take(0, (3 + n) * width))[1:]
        if n * sizes[0] > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        begin = (3 + n) * width
        for size in sizes[2:]:
            yield zlib.decompressobj().decompress(take(begin, size), sizes[0] or MOST_BYTES)
            begin += size

    def _integers(self, content: bytes) -> list[int]:
        return np.frombuffer(content, self.header).tolist()

    def _taker(self, content: bytes, is_raw: bool) -> Callable[[int, int], bytes]:
        """What gives some bytes of an array, from one on."""
        if is_raw:
            return lambda begin, size: content[begin : begin + size]
        text = re.sub(rb"\s", b"", content)
        return lambda begin, size: _from_base64(text, begin + size)[begin:]


def _from_base64(text: bytes, size: int) -> bytes:
    """The first bytes: the header may be a text of its own, with its own end."""
    found = bytearray()
    while len(found) < size and text:
        end = text.find(b"=")
        length = len(text) if end < 0 else -(-(end + 1) // 4) * 4
        wanted = min(length, -(-(size - len(found)) // 3) * 4)
        found += base64.b64decode(text[:wanted])
        text = text[wanted:]
    if len(found) < size:
        raise ValueError("it is cut off")
    return bytes(found[:size])


def _put(element: Element, array: np.ndarray) -> None:
    raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
    packed = zlib.compress(raw)
    header = np.array([1, len(raw), len(raw), len(packed)], "<u8").tobytes()
    element.set("format", "binary")
    element.attrib.pop("offset", None)
    for name in ("RangeMin", "RangeMax"):
        element.attrib.pop(name, None)
    element.text = (base64.b64encode(header) + base64.b64encode(packed)).decode()
