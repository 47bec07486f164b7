"""TIFF files as arrays: any number of bands of any type, what is no data, where it lies. Pixels come by tifffile;
tiff_writing.py is the way back.

    python -c "from img2img_hub.images.tiff import read_tiff; print(read_tiff('a.tif', name='a.tif').array.shape)"

The tags are read without tifffile, for to know what a file is must not ask for a library that a picture does not need.
"""

from __future__ import annotations

import importlib
import io
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from img2img_hub.errors import first_line
from img2img_hub.images.formats import ImageError, damaged, open_bytes, or_allow_more, refuse_irregular
from img2img_hub.images.georeference import Georeference, georeference_from
from img2img_hub.images.remarks import note
from img2img_hub.images.tiff_pages import Page, full, mask_place, pages, passed_over

MAX_BYTES = 16 * 2**30  # of one image, decoded

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA, _FORMAT = 256, 257, 258, 262, 277, 338, 339
_ORIENTATION, NO_DATA = 274, 42113
_WHITE_IS_ZERO, _YCBCR = 0, 6
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_KINDS = {1: "uint", 2: "int", 3: "float", 4: "uint", 5: "complexint", 6: "complex"}
UPRIGHT = {  # the orientations of TIFF and EXIF, undone
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: array.swapaxes(0, 1)[:, ::-1],
    7: lambda array: array.swapaxes(0, 1)[::-1, ::-1],
    8: lambda array: array.swapaxes(0, 1)[::-1],
}


class Header(NamedTuple):
    """What a file says that it holds."""

    bands: int
    """Without alpha."""
    dtype: str
    declared: bool = False
    """Whether it says what is no data, by a value or a mask."""
    alpha: bool = False
    """Whether there is an alpha band besides."""


def header_or_none(header: Callable[..., Header | None], content: Any, *, name: str) -> Header | None:
    """What `header` finds; None, too, of what is too damaged: Pillow has the words for that. Raises ImageError."""
    try:
        return header(content, name=name)
    except ImageError:
        raise
    except Exception:
        return None


class FilePixels(NamedTuple):
    """What a file holds in its own units."""

    array: np.ndarray
    """(H, W, C) of the file's own type, upright; larger values are brighter."""
    alpha: np.ndarray | None = None
    """(H, W), 0 where it is clear; None without such a band."""
    mask: np.ndarray | None = None
    """(H, W) bool of a mask beside the image, see `read_mask`, False where there is no data; None without one."""
    no_data: float | None = None
    georeference: Georeference = {}  # noqa: RUF012 (nobody writes into it)
    bits: int = 8
    """Of a value of a TIFF, which may be fewer than its type has."""


def is_tiff(content: Any) -> bool:
    """Whether a path's or bytes' content begins as TIFF does."""
    with open_bytes(content) as stream:
        return stream.read(4) in _MAGIC


def tiff_header(content: Any, *, name: str) -> Header | None:
    """What a TIFF holds; None for 8-bit grey, RGB, palettes and CMYK where no pixel is declared to be no data.

    Pages of one size, with one band each, are bands; smaller copies and masks are none. Of pages in other arrangements
    the first of 8 bits is a picture.

    Raises:
        ImageError: tifffile is needed to tell, and it is missing; or pages are, see `read_tiff`.
    """
    tags = tiff_tags(content)
    if tags is None or tags.get(_PHOTOMETRIC) not in (0, 1, 2, _YCBCR):
        return None
    samples, bits = int(tags.get(_SAMPLES, 1)), int(tags.get(_BITS, (1,))[0])
    kind = _KINDS.get(int(tags.get(_FORMAT, (1,))[0]), "uint")
    alpha = bool(_alpha_bands(tags.get(_EXTRA, ())))
    bands = samples - alpha
    others = _pages(content, tags, name=name)
    masked = mask_place(others) is not None
    if tags.get(_PHOTOMETRIC) == _YCBCR and not (masked and bits == 8 and bands == 3):
        return None
    declared = masked or _no_data(tags) is not None
    shown = (1,) if tags.get(_PHOTOMETRIC) in (0, 1) else (1, 3)  # three bands not called RGB are no picture to Pillow
    picture = bits <= 8 and kind == "uint" and bands in shown and not (declared and bits == 8)
    if picture and not (samples == 1 and bits == 8 and full(others) > 1 and _imported()):
        return None
    if samples == 1:  # bands may be pages
        with _open(content, name=name) as file:
            try:
                shape, axes = _shape(file, name=name)
            except ImageError:
                if picture:  # what Pillow makes of it, its first page
                    return None
                raise
            bands = math.prod(size for axis, size in zip(axes, shape, strict=True) if axis not in "YX")
            return None if picture and bands == 1 else Header(bands, str(file.series[0].dtype), declared)
    dtype = f"{kind}{next(size for size in (8, 16, 32, 64, 128, bits) if size >= bits)}"
    return Header(bands, dtype, declared, alpha)


def read_tiff(content: Any, *, name: str) -> FilePixels:
    """The first image of a TIFF, all its bands, be they samples or pages.

    Each page says where the next one begins; that one which lies behind the file's end was cut off, and with it bands.
    A file whose last page says that it is the last is taken for whole: that there were others, nothing in it tells.

    Raises:
        ImageError: tifffile is missing, or the file is damaged, cut short, of too many pixels or of too many axes.
    """
    try:
        with _open(content, name=name) as file:
            tags = tiff_tags(content)
            assert tags is not None
            there = _pages(content, tags, name=name)
            shape, axes = _shape(file, name=name)
            page = file.series[0].keyframe
            array = _bands_last(file.series[0].asarray().reshape(shape), axes)
            array = _upright(array, tags)
            if more := passed_over(there, used=max(1, len(file.series[0].pages))):
                note("pages", name, more)
    except ImageError:
        raise
    except Exception as error:  # damaged files make it raise nearly anything, as they do Pillow
        if "imagecodecs" in first_line(error):
            raise ImageError(f"{name} is compressed in a way that needs a library: pip install imagecodecs") from None
        raise damaged(name, error) from error
    alpha, no_data = None, _no_data(tags)
    if page.samplesperpixel > 1 and _alpha_bands(page.extrasamples):
        array, alpha = array[:, :, :-1], array[:, :, -1]
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and array.dtype.kind == "u":  # others have no value that is black
        top = 2**page.bitspersample - 1
        array = top - array
        no_data = top - no_data if no_data is not None and 0 <= no_data <= top else no_data
    array = np.ascontiguousarray(array)
    return FilePixels(array, alpha, None, no_data, georeference_from(tags), page.bitspersample)


def read_mask(content: Any, *, name: str) -> np.ndarray | None:
    """(H, W) bool of a TIFF, upright: where its mask says that there is data; None without one.

    Raises:
        ImageError: it has one that cannot be read, or tifffile is missing.
    """
    tags = tiff_tags(content)
    place = None if tags is None else mask_place(_pages(content, tags, name=name))
    if tags is None or place is None:
        return None
    try:
        with _open(content, name=name) as file:
            return _upright(file.pages[place].asarray() != 0, tags)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{name} has a mask that cannot be read ({first_line(error)}): save it again") from error


def tiff_tags(content: Any) -> ImageFileDirectory_v2 | None:
    """The tags of a TIFF's first image, by path or bytes; None for what is no TIFF."""
    with open_bytes(content) as stream:
        start = stream.read(8)
        if start[:4] not in _MAGIC:
            return None
        if start[2:4] in (b"+\0", b"\0+"):  # more than 4 GB
            start += stream.read(8)
        tags = ImageFileDirectory_v2(start)
        stream.seek(tags.next)
        tags.load(stream)
        return tags


def library_version() -> str:
    """Of what decodes TIFFs, "" where it is missing."""
    return getattr(_imported(), "__version__", "")


# --- inside -----------------------------------------------------------------------------------------------------------


def _imported() -> Any:
    try:
        library = importlib.import_module("tifffile")
    except ImportError:
        return None
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # of a damaged file our own error tells, once
    return library


def tifffile_for(name: str) -> Any:
    library = _imported()
    if library is None:
        raise ImageError(f"{name} is a TIFF that needs a library: pip install tifffile imagecodecs")
    return library


def _open(content: Any, *, name: str) -> Any:
    library = tifffile_for(name)
    if isinstance(content, str | Path):
        refuse_irregular(content, name=name)
    return library.TiffFile(str(content) if isinstance(content, str | Path) else io.BytesIO(content))


def _pages(content: Any, tags: ImageFileDirectory_v2, *, name: str) -> list[Page]:
    """The pages behind and with the first one, none where that is alone; refused where one is missing that may be a
    band, as of 8 bits or more with one band each."""
    if not tags.next:
        return []
    found = pages(content)
    if found.missing and int(tags.get(_SAMPLES, 1)) == 1 and int(tags.get(_BITS, (1,))[0]) >= 8:
        raise ImageError(
            f"{name} is damaged or cut short (its page {len(found) + 1} is missing): copy, download or save it again"
        )
    return found


def _upright(array: np.ndarray, tags: ImageFileDirectory_v2) -> np.ndarray:
    return UPRIGHT.get(int(tags.get(_ORIENTATION, 1)), lambda same: same)(array)


def _bands_last(array: np.ndarray, axes: str) -> np.ndarray:
    """(H, W, C) of an array with these axes, as tifffile names them."""
    if "Y" not in axes or "X" not in axes:
        return array
    others = [place for place, axis in enumerate(axes) if axis not in "YX"]
    height, width = (array.shape[axes.index(axis)] for axis in "YX")
    return array.transpose(axes.index("Y"), axes.index("X"), *others).reshape(height, width, -1)


def _shape(file: Any, *, name: str) -> tuple[tuple[int, ...], str]:
    """Shape and axes of a TIFF's first image, without those of length 1; refused where it could not be handled."""
    series = file.series[0]
    pairs = [(size, axis) for size, axis in zip(series.shape, series.axes, strict=True) if size > 1 or axis in "YX"]
    shape, axes = tuple(size for size, _ in pairs), "".join(axis for _, axis in pairs)
    if axes.count("Y") != 1 or axes.count("X") != 1 or len(axes) > 3:
        raise ImageError(
            f"{name} has the axes {series.axes} of lengths {series.shape}: save one image, its bands as samples"
        )
    pixels = shape[axes.index("Y")] * shape[axes.index("X")]
    size = math.prod(shape) * series.dtype.itemsize
    if pixels > 2 * (Image.MAX_IMAGE_PIXELS or pixels) or size > MAX_BYTES:
        raise ImageError(
            f"{name} has {pixels / 1e6:.0f} million pixels, {size / 1e9:.1f} GB of them, as a decompression bomb "
            f"would: cut it into parts first{or_allow_more() if size <= MAX_BYTES else ''}"
        )
    return shape, axes


def _alpha_bands(extra: Any) -> int:
    """1 where the last sample is alpha, be it associated (1) or not (2); else 0."""
    extra = (extra,) if isinstance(extra, int) else tuple(extra)
    return int(bool(extra) and int(extra[-1]) in (1, 2))


def _no_data(tags: ImageFileDirectory_v2) -> float | None:
    """The value that GDAL declares; None, too, for NaN and infinity, which are no data whoever says so."""
    try:
        value = float(str(tags[NO_DATA]).strip(" \0"))
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None
