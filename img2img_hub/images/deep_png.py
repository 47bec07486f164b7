"""PNGs of 16 bits that Pillow reads as 8: in colour, with alpha, or with a value that is transparent.

    python -c "from img2img_hub.images.deep_png import read_deep_png as r; print(r('a.png', name='a.png').array.dtype)"

Their pixels come by imagecodecs, which TIFFs need, too. Plain grey of 16 bits is Pillow's.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from img2img_hub.images.formats import ImageError, damaged, open_bytes, open_file
from img2img_hub.images.tiff import UPRIGHT, FilePixels, Header

_MAGIC = b"\x89PNG\r\n\x1a\n"
_BANDS = {0: (1, False), 2: (3, False), 4: (1, True), 6: (3, True)}  # by colour type; whether alpha comes on top
_ORIENTATION = 274
_END = b"\0\0\0\0IEND\xaeB`\x82"


def deep_png_header(content: Any, *, name: str) -> Header | None:
    """What such a PNG holds; None for anything else.

    Raises:
        ImageError: imagecodecs is needed to read it, and that is missing.
    """
    found = bands_of_deep_png(content)
    if found is None:
        return None
    bands, alpha = found
    _imagecodecs(name)
    return Header(bands, "uint16", alpha=alpha)


def bands_of_deep_png(content: Any) -> tuple[int, bool] | None:
    """(bands, whether alpha comes on top) of such a PNG, from the chunks before the pixels; None for anything else."""
    with open_bytes(content) as stream:
        start = stream.read(33)
        if len(start) < 33 or start[:8] != _MAGIC or start[12:16] != b"IHDR":
            return None
        depth, colour = start[24], start[25]
        if depth != 16 or colour not in _BANDS:
            return None
        bands, alpha = _BANDS[colour]
        for kind, _ in _chunks(stream):
            if alpha or kind in (b"IDAT", b"IEND"):
                break
            alpha = kind == b"tRNS"
        return None if bands == 1 and not alpha else (bands, alpha)


def read_deep_png(content: Any, *, name: str) -> FilePixels:
    """Its pixels in full depth.

    Raises:
        ImageError: imagecodecs is missing, or the file is damaged or of too many pixels.
    """
    library = _imagecodecs(name)
    with open_bytes(content) as stream:
        data = stream.read()
    try:
        orientation = _orientation(data)  # and refuses one of too many pixels before memory is taken
        array = np.atleast_3d(library.png_decode(data))
    except Exception as error:  # of Pillow, or of libpng
        raise damaged(name, error) from error
    array = UPRIGHT.get(orientation, lambda same: same)(array)
    alpha = None
    if array.shape[2] in (2, 4):  # libpng makes alpha of a transparent value, too
        array, alpha = array[:, :, :-1], array[:, :, -1]
    return FilePixels(np.ascontiguousarray(array), alpha)


# --- inside -----------------------------------------------------------------------------------------------------------


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(kind, length of its data) of each chunk of a PNG, from where the stream stands, which then is at its data."""
    while len(start := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        here = stream.tell()
        yield kind, length
        stream.seek(here + length + 4)


def _orientation(data: bytes) -> Any:
    """Of EXIF or XMP, which may stand behind the pixels, so that Pillow would decode these to find it: it is given the
    file without them."""
    with open_bytes(data) as stream:
        parts, start = [stream.read(8)], 8
        for kind, length in _chunks(stream):
            if kind not in (b"IDAT", b"fdAT"):
                parts.append(data[start : start + 12 + length])
            start += 12 + length
    with open_file(b"".join([*parts, _END])) as image:
        return Image.Image.getexif(image).get(_ORIENTATION, 1)


def _imagecodecs(name: str) -> Any:
    try:
        return importlib.import_module("imagecodecs")
    except ImportError:
        raise ImageError(
            f"{name} is a PNG of 16 bits in colour or with alpha, which needs a library: pip install imagecodecs"
        ) from None
