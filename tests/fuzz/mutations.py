"""What damages a file: blindly, or with the knowledge of its format, so that it comes further than the first check."""

import hashlib
import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePath
from random import Random
from typing import Any

import numpy as np

NUMBERS = (-1, 0, 1, 2, 3, 5, 0.5, -1e9, 255, 65536, 10**12, 2**31, 2**63, 10**400, math.nan, math.inf, -math.inf)
TEXTS = (
    "",
    "x",
    "-1",
    "nan",
    "cells",
    "tokens",
    "\ud800",
    "\u202e",
    "a\nb",
    "\x00",
    "é" * 300,
    "../x",
    "/etc/passwd",
    "9" * 5000,
)
TYPES = (
    "|O",
    "|b1",
    "<f8",
    "<f2",
    "<c16",
    "<U5",
    "|S3",
    "<M8[s]",
    "|V8",
    "<i8",
    ">i2",
    "|u1",
    "<u8",
    "int16",
    "string",
    "",
)
MEMORY = 3 * 2**30  # bytes that a small file may claim to hold
ZEROS = zlib.compressobj(9, zlib.DEFLATED, -15)
BLOCK = ZEROS.compress(bytes(2**20)) + ZEROS.flush(zlib.Z_FULL_FLUSH)  # of deflate, a mebibyte, which can be repeated


def damaged(rng: Random, name: str, data: bytes, others: list[bytes]) -> bytes:
    """The content of a file with one thing changed in it."""
    if rng.random() < 0.3:
        return blind(rng, data, others)
    try:
        return of_kind(rng, name, data)
    except Exception:  # it was damaged before, and cannot be taken apart
        return blind(rng, data, others)


def of_kind(rng: Random, name: str, data: bytes) -> bytes:
    suffix = PurePath(name).suffix.lower()
    for start, change in (
        (b"\x89PNG", png),
        (b"\x93NUMPY", npy),
        (b"PK", npz),
        (b"II*", tiff),
        (b"{", json_text),
        (b"[", json_text),
    ):
        if data.startswith(start):
            return change(rng, data)
    if data[8:10] == b'{"':
        return safetensors(rng, data)
    return (
        onnx_model(rng, data)
        if suffix == ".onnx"
        else text(rng, data)
        if suffix in (".txt", ".xml")
        else blind(rng, data)
    )


def blind(rng: Random, data: bytes, others: list[bytes] | None = None) -> bytes:
    """Flip, cut, repeat, insert, replace or empty."""
    start = rng.randrange(len(data) + 1) if rng.random() < 0.5 else rng.randrange(min(len(data), 64) + 1)
    stop = min(len(data), start + rng.choice((1, 1, 2, 4, 8, 64, 1000)))
    other = rng.choice(others) if others else b"\xff" * 9
    return rng.choice(
        (
            lambda: data[:start] + bytes(byte ^ 1 << rng.randrange(8) for byte in data[start:stop]) + data[stop:],
            lambda: data[:start],
            lambda: data[:stop] + data[start:],
            lambda: data[:start] + rng.randbytes(stop - start) + data[stop:],
            lambda: data[:start] + other[rng.randrange(len(other) + 1) :],
            lambda: data + other[:4096],
            lambda: data[:start] + b"\xff" * (stop - start) + data[stop:],
            lambda: rng.choice((b"", b"\0", data[:1], b"\0" * 5000, other)),
        )
    )()


def value(rng: Random, before: Any) -> Any:
    """Something else in the place of a value of JSON."""
    near = [before + 1, -before, float(before)] if type(before) is int and abs(before) < 2**53 else []
    more = ([], {}, [before], {"x": before}, [[]] * 300, str(before)[:300], [before, before], TYPES)
    return rng.choice(
        [*near, *near, None, True, rng.choice(NUMBERS), rng.choice(NUMBERS), rng.choice(TEXTS), rng.choice(more)]
    )


def json_tree(rng: Random, tree: Any) -> Any:
    """The same tree with one node replaced, left out or added."""
    nodes = [(None, None)]
    for holder, key in nodes:
        node = tree if holder is None else holder[key]
        if isinstance(node, dict | list):
            nodes += [(node, key) for key in (node if isinstance(node, dict) else range(len(node)))]
    holder, key = rng.choice(nodes[1:] or nodes)
    if holder is None:
        return value(rng, tree)
    if isinstance(holder, dict) and rng.random() < 0.2:
        kept = holder.pop(key)
        if rng.random() < 0.5:
            holder[rng.choice(TEXTS)] = kept
    elif isinstance(holder, list) and rng.random() < 0.2:
        holder[key : key + 1] = rng.choice(([], [holder[key]] * 2, [holder[key]] * 300))
    elif isinstance(holder[key], str) and rng.random() < 0.3:
        holder[key] = rng.choice((*TYPES, "pickle", "vlen-utf8", "blosc", "gzip", "sharding_indexed", "F", "v3"))
    else:
        holder[key] = value(rng, holder[key])
    return tree


def json_text(rng: Random, data: bytes | str) -> bytes:
    tree = json.loads(data)
    changed = json.dumps(json_tree(rng, tree)).encode()
    deep = rng.choice((b"[" * 100_000, b'{"a":' * 50_000, b"[" * 900 + b"]" * 900))
    return rng.choice(
        (changed,) * 12
        + (deep, changed + b"x", changed[:-1], b"\xef\xbb\xbf" + changed, changed.replace(b":", b":" + deep, 1))
    )


def text(rng: Random, data: bytes) -> bytes:
    lines = data.decode(errors="replace").splitlines()
    at = rng.randrange(len(lines) or 1)
    line = lines[at] if lines else ""
    changed = rng.choice(
        (
            line[:-1],
            line * 2,
            "",
            "#" * 100_000,
            line + rng.choice(TEXTS),
            *(line.replace(line[:1] or "x", c) for c in "0,?\t1 é\u0301-"),
        )
    )
    encoding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig", "latin-1"))
    return (
        rng.choice(("\n", "\n", "\r\n", "\r", "\x0b"))
        .join([*lines[:at], changed, *lines[at + 1 :]])
        .encode(encoding, "replace")
    )


def png(rng: Random, data: bytes) -> bytes:
    """Change a chunk, and make its length and checksum fit."""
    chunks, at = [], 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        chunks.append([kind, data[at + 8 : at + 8 + length]])
        at += 12 + length
    header = bytearray(chunks[0][1])
    side = struct.pack(">I", rng.choice((0, 1, 3, 7, 9, 16, 50_000, 2**31 - 1, 2**31, 2**32 - 1)))
    bomb = b"\x78\xda" + BLOCK * 100
    extra = (
        (b"zTXt", b"a\0\0" + bomb),
        (b"iTXt", b"a\0\1\0\0\0" + bomb),
        (b"acTL", struct.pack(">II", 2, 0)),
        (b"IHDR", bytes(header)),
    )
    extra += (
        (b"iCCP", b"a\0\0" + bomb),
        (b"eXIf", rng.randbytes(20)),
        (b"tRNS", rng.randbytes(3)),
        (b"PLTE", rng.randbytes(6)),
        (b"IDAT", bomb),
    )
    number, action = rng.randrange(len(chunks)), rng.randrange(7)
    if action == 0:
        place = rng.choice((0, 4))
        header[place : place + 4] = side
    elif action == 1:
        header[rng.randrange(8, 13)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    elif action == 2:
        chunks[number][1] = blind(rng, chunks[number][1])
    elif action == 3:
        chunks[number][0] = rng.choice((b"IDAT", b"PLTE", b"abcd", b"IEND", b"fdAT"))
    elif action == 4:
        del chunks[number]
    elif action == 5:
        chunks.insert(rng.randrange(len(chunks) + 1), list(rng.choice(extra)))
    else:
        header[:8] = side + side
        chunks.insert(1, [b"IHDR", chunks[0][1]])
    if chunks and chunks[0][0] == b"IHDR" and action in (0, 1, 6):
        chunks[0][1] = bytes(header)
    parts = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return data[:8] + b"".join(parts)


def npy(rng: Random, data: bytes) -> bytes:
    """Change the header, or the values."""
    length = struct.unpack("<H", data[8:10])[0]
    header, body = data[10 : 10 + length].decode("latin-1"), data[10 + length :]
    shape = rng.choice(
        (
            "()",
            "(0, 4, 4)",
            "(4,)",
            "(1, 1)",
            "(2, 2, 2, 2)",
            "(4, -4)",
            "(4, 4.5)",
            "(1000000, 1000000)",
            "(3, 0)",
            f"({10**30},)",
            "None",
        )
    )
    if (action := rng.randrange(5)) == 0:
        header = re.sub(r"\(.*?\)", shape, header)
    elif action == 1:
        header = re.sub(r"'descr': '.*?'", f"'descr': '{rng.choice(TYPES)}'", header)
    elif action == 2:
        header = rng.choice(
            (
                header.replace("False", "True"),
                blind(rng, header.encode()).decode("latin-1"),
                "{" * 5000,
                "(" * 900,
                header * 40,
            )
        )
    else:
        array = np.load(io.BytesIO(data)).astype(rng.choice(("f8", "i8", "f4", "i2", "u1")))
        if array.size:
            array.flat[rng.randrange(array.size)] = rng.choice(
                (np.nan, np.inf, 1e300, 0.5)
                if array.dtype.kind == "f"
                else (-1, 2, 7, 99)
                if array.dtype.kind == "i"
                else (7, 99)
            )
        return saved(array[: rng.choice((None, None, 3, 1, 0))])
    header = header.encode("latin-1", "replace")[: 2**16 - 1]
    return data[:8] + struct.pack("<H", len(header)) + header + body


def saved(array: np.ndarray) -> bytes:
    np.save(file := io.BytesIO(), array)
    return file.getvalue()


def npz(rng: Random, data: bytes) -> bytes:
    """Change, rename, double or drop a member, or put a bomb into one."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    action = rng.randrange(6)
    if action == 0:
        members[at] = (
            rng.choice(("cells", "x.txt", "../x.npy", "/x.npy", "hidden.npy", "cells.npy", "é.npy", "fill.npy")),
            content,
        )
    elif action == 1:
        members.append(rng.choice(((name, content), ("fill.npy", content), ("hidden.npy", content), ("x", b""))))
    elif action == 2:
        del members[at]
    elif action == 3 and rng.random() < 0.1:
        return bomb()
    else:
        members[at] = (name, npy(rng, content))
    with zipfile.ZipFile(file := io.BytesIO(), "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def bomb() -> bytes:
    """A small npz file with a grid of so many cells that memory would not hold them."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": (2**15, MEMORY // 2**15)}
    )
    body = (
        struct.pack("<BHH", 0, len(head.getvalue()), len(head.getvalue()) ^ 0xFFFF)
        + head.getvalue()
        + BLOCK * (MEMORY >> 20)
        + b"\3\0"
    )
    sizes = struct.pack(
        "<III", 0, len(body), MEMORY + len(head.getvalue())
    )  # whoever comes to the checksum has read all
    local = b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 8, 0, 33) + sizes + struct.pack("<HH", 9, 0) + b"cells.npy"
    entry = (
        b"PK\1\2"
        + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 33)
        + sizes
        + struct.pack("<HHHHHII", 9, 0, 0, 0, 0, 0, 0)
        + b"cells.npy"
    )
    return local + body + entry + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local) + len(body), 0)


def tiff(rng: Random, data: bytes) -> bytes:
    """Change a tag of the first directory."""
    order = "<" if data[:2] == b"II" else ">"
    start = struct.unpack(order + "I", data[4:8])[0]
    at = start + 2 + 12 * rng.randrange(struct.unpack(order + "H", data[start : start + 2])[0])
    tag, kind, count, content = struct.unpack(order + "HHII", data[at : at + 12])
    odd = (0, 1, 2, 3, 8, 16, 255, 65535, 2**31, 2**32 - 1, start, content + 1 & 2**32 - 1)
    changed = rng.choice(
        ((tag, kind, count, rng.choice(odd)),) * 4
        + (
            (tag, kind, rng.choice(odd), content),
            (tag, rng.randrange(20), count, content),
            (rng.choice((254, 256, 257, 258, 259, 273, 277, 317, 320, 338, 339, 33550, 42113)), kind, count, content),
        )
    )
    return data[:at] + struct.pack(order + "HHII", *changed) + data[at + 12 :]


NUMPY = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "F16": "<f2", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}


def signature(content: str, tensors: dict[str, np.ndarray], types: bool = True) -> str:
    """The hash in a model file, and without types in a state: who alters a file can sign it again."""
    digest = hashlib.sha256(content.encode(errors="surrogatepass"))
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape}{f' {tensors[name].dtype}' if types else ''}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def safetensors(rng: Random, data: bytes, chosen: int | None = None) -> bytes:
    """Change what a model says about itself, its weights or its header, and sign it again."""
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    metadata = header["__metadata__"]
    action = rng.randrange(8) if chosen is None else chosen
    names = [name for name in header if name != "__metadata__"]
    if action == 0:
        return data[:8] + blind(rng, data[8 : 8 + length]) + body
    if action == 1:
        header = json_tree(rng, header)
    elif action in (2, 3):
        first, last = header[rng.choice(names)]["data_offsets"]
        weight = rng.choice((np.nan, np.inf, 1e38, 0, -1e38, 1e-40))
        body[first:last] = np.full((last - first) // 4, weight, "<f4").tobytes()
    elif action == 4:
        key = rng.choice(list(metadata))
        metadata[key] = rng.choice(
            (*map(str, NUMBERS), *TEXTS, "[" * 100_000, json_text(rng, metadata[key]).decode(errors="replace"))
        )
    if action != 1 and "gridcloze" in metadata:
        content, _, *more = json.loads(metadata["gridcloze"])
        content = json_text(rng, content).decode(errors="replace") if action > 4 else content
        arrays = {
            name: np.frombuffer(body[slice(*header[name]["data_offsets"])], NUMPY[header[name]["dtype"]]).reshape(
                header[name]["shape"]
            )
            for name in names
        }
        metadata["gridcloze"] = json.dumps(
            [content, signature(content, arrays, types=not any("/" in name for name in names)), *more]
        )
    top = json.dumps(header).encode()
    return struct.pack("<Q", len(top)) + top + bytes(body)


def notes_of(model: bytes) -> str:
    """What a model file says about itself, with its hash, as an exported one has it."""
    metadata = json.loads(model[8 : 8 + struct.unpack("<Q", model[:8])[0]])["__metadata__"]
    content, model_hash, *_ = json.loads(metadata["gridcloze"])
    return json.dumps(json.loads(content) | {"hash": model_hash}, sort_keys=True)


def signed(graph: bytes, content: str, change: Callable[[str], str] = str) -> bytes:
    """An ONNX file with notes and their signature."""
    import onnx

    notes = json.dumps([content, signature(content, {"": np.frombuffer(graph, np.uint8)}), len(graph)])
    entry = onnx.StringStringEntryProto(key="gridcloze", value=change(notes))
    return graph + onnx.ModelProto(metadata_props=[entry]).SerializeToString()


def onnx_model(rng: Random, data: bytes, chosen: int | None = None) -> bytes:
    """Change what an exported model says about itself, or its graph, and sign it again."""
    import onnx

    model = onnx.load_model_from_string(data)
    content, _, length = json.loads(model.metadata_props[0].value)
    graph = onnx.load_model_from_string(data[:length])
    action = rng.randrange(10) if chosen is None else chosen
    weight, node = rng.choice(graph.graph.initializer), rng.choice(graph.graph.node)
    if action == 0:
        rng.choice((graph.graph.input, graph.graph.output))[0].name = "x"
    elif action == 1:
        node.op_type = rng.choice(("Add", "Mul", "Loop", "If", "Resize", "Expand", "Tile", "NoSuch", "MatMul", "Range"))
    elif action == 2:
        weight.ClearField("raw_data")
        weight.data_location = 1
        weight.external_data.add(key="location", value=rng.choice(("p.png", "../p.png", "/etc/passwd", "x" * 300)))
    elif action == 3:
        weight.raw_data = rng.choice(
            (b"", b"\xff" * len(weight.raw_data), bytes(len(weight.raw_data)), weight.raw_data[:-1])
        )
    elif action == 4:
        weight.dims[:] = rng.choice(([0], [-1], [2**40], [2**31, 2**31], []))
    elif action == 5:
        graph.graph.node.remove(node)
    elif action == 6:
        graph.opset_import[0].version = rng.choice((0, 1, 99, 2**40))
    elif action > 7:
        content = json_text(rng, content).decode(errors="replace")
    changed = graph.SerializeToString() if 0 <= action <= 6 else data[:length]
    return signed(
        changed, content, (lambda notes: json_text(rng, notes).decode(errors="replace")) if action == 7 else str
    )
