"""Images that are no 8-bit pictures: any bands, whole numbers of 8 to 32 bits or floats, no-data pixels, a place.

    python -c "from img2img_hub.images.raster import read_raster; print(read_raster('scene.tif').describe())"

TIFF is read and written by tifffile (pip install tifffile imagecodecs), .npy files and arrays without it; PNG and what
else Pillow knows come through picture.py.
"""

from __future__ import annotations

import io
import math
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from img2img_hub.images.deep_png import deep_png_header, read_deep_png
from img2img_hub.images.picture import ImageError, converted, name_of, open_bytes, open_upright
from img2img_hub.images.remarks import look_at_alpha
from img2img_hub.images.tiff import Georeference, Header, georeference_from, is_tiff, read_tiff, tiff_header, tiff_tags
from img2img_hub.images.tiff_writing import write_tiff

MAX_BANDS = 1024
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")
"""Of a pixel's values."""

NPY_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True, kw_only=True)
class RasterKind:
    """What the images of one side of a data set have in common."""

    bands: int
    dtype: str
    masked: bool
    """Whether pixels may be without data: floats may be NaN, whole numbers have a value that says so."""
    no_data: float | None = None
    """That value, in all files; None: what each file says."""

    def describe(self) -> str:
        return f"{self.bands} band{'s' if self.bands > 1 else ''} of {self.dtype}"


@dataclass(kw_only=True, eq=False)
class Raster:
    """An image in its own units.

    Raises:
        ImageError: no (height, width, bands) array of numbers that can be computed with.
    """

    array: np.ndarray
    """(height, width, bands), of one of DTYPES; (height, width) becomes one band."""
    valid: np.ndarray | None = None
    """(height, width) bool, False where there is no data; None where there is data everywhere."""
    no_data: float | None = None
    """The value of pixels without data in files; None: NaN for floats, none for whole numbers."""
    georeference: Georeference = field(default_factory=dict)
    """Where it lies, as TIFF tags; {} where nobody said."""
    name: str = "raster"
    """What messages call it."""

    def __post_init__(self) -> None:
        if self.array.ndim == 2:
            self.array = self.array[:, :, None]
        if self.array.ndim != 3 or 0 in self.array.shape or self.array.shape[2] > MAX_BANDS:
            raise ImageError(
                f"{self.name} is an array of shape {self.array.shape}: give (height, width) or (height, width, bands) "
                f"with at most {MAX_BANDS} bands"
            )
        if not self.array.dtype.isnative:
            self.array = self.array.astype(self.array.dtype.newbyteorder("="))
        if self.array.dtype.name not in DTYPES:
            raise ImageError(
                f"{self.name} holds {self.array.dtype} values: convert them to one of {', '.join(DTYPES)} first"
            )

    @property
    def height(self) -> int:
        return int(self.array.shape[0])

    @property
    def width(self) -> int:
        return int(self.array.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), as PIL has it."""
        return self.width, self.height

    @property
    def bands(self) -> int:
        return int(self.array.shape[2])

    def describe(self) -> str:
        """One line: size, bands, type, how much is missing, whether its place is known."""
        missing = 0.0 if self.valid is None else 1 - float(self.valid.mean())
        parts = [f"{self.width}×{self.height}", f"{self.bands} band{'s' if self.bands > 1 else ''}"]
        parts += [str(self.array.dtype)] + ([f"{missing:.1%} without data"] if missing else [])
        return ", ".join(parts + (["georeferenced"] if self.georeference else []))

    def crop(self, box: tuple[int, int, int, int]) -> Raster:
        """The part from (left, top) to (right, bottom); it has no georeference."""
        left, top, right, bottom = box
        valid = None if self.valid is None else self.valid[top:bottom, left:right]
        return replace(self, array=self.array[top:bottom, left:right], valid=valid, georeference={})

    def preview(self) -> Image.Image:
        """The first three bands, or the only one, stretched from their 2nd to their 98th percentile to a picture, for
        people to look at; white where there is no data."""
        shown = self.array[:, :, :3] if self.bands >= 3 else self.array[:, :, :1]
        valid = np.ones(self.array.shape[:2], dtype=bool) if self.valid is None else self.valid
        known = shown[valid].astype(np.float64)
        low, high = np.percentile(known, (2, 98), axis=0) if len(known) else (0.0, 1.0)
        with np.errstate(all="ignore"):
            scaled = (shown - low) / np.maximum(np.asarray(high - low), 1e-30)
        scaled = np.where(valid[:, :, None], scaled, 1.0)
        return _picture(np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8))

    def save(self, path: str | Path) -> None:
        """Write it whole or not at all: .tif with its georeference and no-data value, .npy, .png where that holds it.

        Raises:
            ImageError: another ending, an image that PNG cannot hold, or a place that cannot be written.
        """
        path = Path(path)
        tiff = {".tif": self._write_tiff, ".tiff": self._write_tiff}
        writer = {**tiff, ".npy": self._write_npy, ".png": self._write_png}.get(path.suffix.lower())
        if writer is None:
            held = f"{self.bands} band{'s' if self.bands > 1 else ''} of {self.array.dtype}"
            raise ImageError(f"{path} would have to hold {held}: let its name end in .tif or .npy")
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("wb") as file:
                writer(file)
            os.replace(part, path)
        except OSError as error:
            raise ImageError(f"{path} cannot be written ({error.strerror or error}): name another place") from None
        finally:
            part.unlink(missing_ok=True)

    def _write_tiff(self, file: BinaryIO) -> None:
        missing = self.no_data
        if missing is None and self.valid is not None and self.array.dtype.kind == "f":
            missing = float("nan")
        write_tiff(file, self.array, no_data=missing, georeference=self.georeference, name=self.name)

    def _write_npy(self, file: BinaryIO) -> None:
        np.save(file, self.array)

    def _write_png(self, file: BinaryIO) -> None:
        if self.array.dtype == np.uint8 and self.bands in (1, 3):
            _picture(self.array).save(file, "PNG")
        elif self.array.dtype == np.uint16 and self.bands == 1:
            Image.fromarray(np.ascontiguousarray(self.array[:, :, 0])).save(file, "PNG")
        else:
            held = f"{self.bands} band{'s' if self.bands > 1 else ''} of {self.array.dtype}"
            raise ImageError(f"PNG cannot hold {held}: let the file's name end in .tif or .npy")


AnyImage = Image.Image | Raster
"""What the data give: an upright 8-bit picture, "L" or "RGB", or a raster."""


def read_raster(
    content: Any,
    *,
    kind: RasterKind | None = None,
    no_data: float | None = None,
    bands: int | None = None,
    name: str | None = None,
) -> Raster:
    """Read any image in its own bands, units and type.

    A pixel that any of its bands has no data for counts as one without data; so do NaN and infinity. Only of three
    bands of 8 bits all must have the value that says so: with 0 for no data, pure red is no hole.

    Args:
        content: a path, the bytes of a file, a PIL image, an array (H, W) or (H, W, C), or a Raster.
        kind: what it must be; None: whatever it is.
        no_data: the value of pixels without data; None: what the file says.
        bands: how many are wanted, by default those of `kind`: where a file has as many with its alpha band, that is a
            band like the others, and says nothing of missing data.
        name: what messages call it; its path by default.

    Raises:
        ImageError: it cannot be read, is of another kind, of a type that is not computed with, or without any data.
    """
    name = name_of(content, name)
    bands = kind.bands if kind is not None and bands is None else bands
    raster = content if isinstance(content, Raster) else _read(content, name=name, bands=bands)
    no_data = kind.no_data if kind is not None and no_data is None else no_data
    raster = replace(raster, no_data=raster.no_data if no_data is None else no_data, name=name)
    raster.valid = _valid(raster)
    if raster.valid is not None and not raster.valid.any():
        raise ImageError(f"{name} holds no data, every pixel is NaN or marked as missing: leave it out")
    if kind is not None:
        _of_kind(raster, kind)
    return raster


def georeference_of(content: Any) -> Georeference:
    """The georeference of a TIFF, by path, bytes or opened PIL image, or of a Raster; {} where it has none."""
    if isinstance(content, Raster):
        return content.georeference
    try:
        tags = getattr(content, "tag_v2", None) if isinstance(content, Image.Image) else tiff_tags(content)
    except Exception:  # a damaged file, an array, a PIL image of another format: whoever reads the pixels says so
        return {}
    return {} if tags is None else georeference_from(tags)


# --- inside -----------------------------------------------------------------------------------------------------------


def _read(content: Any, *, name: str, bands: int | None) -> Raster:
    if isinstance(content, np.ndarray):
        return Raster(array=content, name=name)
    if isinstance(content, bytes | bytearray | memoryview | str | Path):
        start = first_bytes(content)
        if start == NPY_MAGIC:
            return Raster(array=load_npy(content, name=name), name=name)
        if start and is_tiff(content) and _header_or_none(tiff_header, content, name=name) is not None:
            pixels = read_tiff(content, name=name, bands=bands)
            return Raster(
                array=pixels.array,
                valid=None if pixels.alpha is None else pixels.alpha > 0,
                no_data=pixels.no_data,
                georeference=pixels.georeference,
                name=name,
            )
        if start and _header_or_none(deep_png_header, content, name=name) is not None:
            array, alpha = read_deep_png(content, name=name)
            return _with_alpha(array, alpha, bands=bands, name=name)
    image = open_upright(content, name=name)
    alpha = None
    if image.has_transparency_data:
        transparent = converted(image, "LA" if image.mode == "La" else "RGBA", name=name)
        alpha = np.asarray(transparent.getchannel("A"))
    if image.mode not in ("L", "RGB", "F", "I") and not image.mode.startswith("I;16"):
        image = converted(image, "L" if image.mode in ("1", "LA", "La") else "RGB", name=name)
    raster = _with_alpha(np.asarray(image), alpha, bands=bands, name=name)
    return replace(raster, georeference=georeference_of(content))


def _with_alpha(array: np.ndarray, alpha: np.ndarray | None, *, bands: int | None, name: str) -> Raster:
    """With an alpha band that is the last of the `bands` that are wanted, or says where there is data."""
    array = np.atleast_3d(array)
    if alpha is not None and array.shape[2] + 1 == bands:
        return Raster(array=np.concatenate([array, alpha[:, :, None]], axis=2), name=name)
    if alpha is not None:
        look_at_alpha(alpha, name=name)
    return Raster(array=array, valid=None if alpha is None else alpha > 0, name=name)


def _header_or_none(header: Callable[..., Header | None], content: Any, *, name: str) -> Header | None:
    try:
        return header(content, name=name)
    except ImageError:
        raise
    except Exception:  # too damaged for its tags to be read: Pillow has the words for that
        return None


def _of_kind(raster: Raster, kind: RasterKind) -> None:
    """Refuse a raster that is not what the others of its side are."""
    if raster.bands != kind.bands:
        had = f"{raster.bands} band{'s' if raster.bands > 1 else ''}"
        raise ImageError(f"{raster.name} has {had}, where {kind.bands} are needed: take an image with these bands")
    if raster.array.dtype.name != kind.dtype:
        raise ImageError(
            f"{raster.name} holds {raster.array.dtype}, the first images beside it {kind.dtype}: save them alike"
        )
    if raster.valid is not None and not kind.masked:
        value = "VALUE" if raster.no_data is None else f"{raster.no_data:g}"
        raise ImageError(
            f"{raster.name} has pixels without data, which the first images beside it do not know: "
            f"type --no_data {value}"
        )


def _valid(raster: Raster) -> np.ndarray | None:
    """Where there is data; None where that is everywhere."""
    array = raster.array
    valid = np.ones(array.shape[:2], dtype=bool) if raster.valid is None else raster.valid
    if array.dtype.kind == "f":
        valid = valid & np.isfinite(array).all(axis=2)
    value = raster.no_data
    if value is not None and math.isfinite(value):
        limits = np.iinfo(array.dtype) if array.dtype.kind in "iu" else np.finfo(array.dtype)
        if limits.min <= value <= limits.max:  # else no pixel can have it
            missing = array == array.dtype.type(value)
            picture = array.dtype == np.uint8 and raster.bands == 3
            valid = valid & ~(missing.all(axis=2) if picture else missing.any(axis=2))
    return None if valid.all() else valid


def first_bytes(content: Any) -> bytes:
    """The first bytes of a file; none where it cannot be opened, of which Pillow's door says why."""
    try:
        with open_bytes(content) as file:
            return file.read(len(NPY_MAGIC))
    except (OSError, ImageError):
        return b""


def load_npy(content: Any, *, name: str) -> np.ndarray:
    try:
        if isinstance(content, str | Path):
            return np.load(content, mmap_mode="r", allow_pickle=False)
        return np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # a damaged header is Python text that numpy evaluates: nearly anything can be raised
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"{name} is damaged or cut short ({reason}): copy or save it again") from None


def _picture(array: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array))
