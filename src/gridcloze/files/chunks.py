"""Chunks of zarr arrays, decoded only to the size that the metadata says."""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from gzip import GzipFile
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.registry import register_pipeline


@dataclass(frozen=True, eq=False)
class ChunkedArray:
    """An array of zarr on disk; parts of it are read when they are taken.

    Parameters
    ----------
    array
        The array of zarr, whose metadata was checked.

    Examples
    --------
    >>> _ = zarr.create_array("grids.zarr", data=np.array([[[0, 1]], [[1, 1]]]))
    >>> ChunkedArray.open(Path("grids.zarr"), "", 3)[1:]
    array([[[1, 1]]])
    """

    array: Any

    @classmethod
    def open(cls, folder: Path, name: str, version: int) -> "ChunkedArray":
        """Open an array.

        Parameters
        ----------
        folder
            The array, or a group of arrays.
        name
            Of the array in its group; empty for an array that is in no group.
        version
            Of the format, 2 or 3.

        Returns
        -------
        ChunkedArray
            None of its chunks is read yet.
        """
        with zarr.config.set(PIPELINE):
            return cls(zarr.open_array(folder, path=name, mode="r", zarr_format=version))  # type: ignore[arg-type]

    def __getitem__(self, part: Any) -> np.ndarray:
        """Read a part into memory."""
        with zarr.config.set(PIPELINE):
            return np.asarray(self.array[part])


class BoundedPipeline(BatchedCodecPipeline):
    """The codecs of zarr, for chunks that do not decode to more bytes than the metadata says.

    Examples
    --------
    >>> _ = zarr.create_array("grid.zarr", data=np.ones((1, 9), np.int8), compressors=zarr.codecs.GzipCodec())
    >>> _ = Path("grid.zarr/c/0/0").write_bytes(numcodecs.GZip().encode(bytes(10)))
    >>> ChunkedArray.open(Path("grid.zarr"), "", 3)[...]
    Traceback (most recent call last):
    ValueError: a chunk decodes to more than 9 bytes
    """

    async def decode_batch(self, chunk_bytes_and_specs: Iterable[tuple[Any, Any]]) -> Iterable[Any]:
        """Decode chunks.

        Parameters
        ----------
        chunk_bytes_and_specs
            What is stored, None for a chunk that is not there, and what it should be.

        Returns
        -------
        iterable
            The arrays of chunks.

        Raises
        ------
        ValueError
            When a chunk decodes to more bytes than it should.
        """
        chunks = list(chunk_bytes_and_specs)
        codecs = getattr(self.array_bytes_codec, "compressor", None), *self.bytes_bytes_codecs
        exceeds = next((_EXCEEDS[name] for name in map(_name_of, codecs) if name in _EXCEEDS), None)
        for chunk, spec in chunks:
            limit = prod(spec.shape) * spec.dtype.to_native_dtype().itemsize
            if exceeds and chunk is not None and exceeds(chunk.to_bytes(), limit):
                raise ValueError(f"a chunk decodes to more than {limit} bytes")
        return await super().decode_batch(chunks)


register_pipeline(BoundedPipeline)
PIPELINE = {"codec_pipeline.path": f"{BoundedPipeline.__module__}.{BoundedPipeline.__qualname__}"}


def _name_of(codec: Any) -> str:
    """Of a codec of zarr 2 its id; in zarr 3 they are classes such as ZstdCodec."""
    return getattr(codec, "codec_id", type(codec).__name__.removesuffix("Codec").lower())


def _zstd_exceeds(stored: bytes, limit: int) -> bool:
    """The size is in the header of each frame, or nowhere; numcodecs decodes into a buffer of the right size alone."""
    numcodecs.Zstd().decode(stored, out=np.empty(limit, np.uint8))
    return False


_EXCEEDS: dict[str, Callable[[bytes, int], bool]] = {
    "blosc": lambda stored, limit: int.from_bytes(stored[4:8], "little") > limit,
    "lz4": lambda stored, limit: int.from_bytes(stored[:4], "little") > limit,
    "zlib": lambda stored, limit: len(zlib.decompressobj().decompress(stored, limit + 1)) > limit,
    "gzip": lambda stored, limit: len(GzipFile(fileobj=BytesIO(stored)).read(limit + 1)) > limit,
    "zstd": _zstd_exceeds,
}
