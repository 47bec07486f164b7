"""Images that are no 8-bit pictures: any bands, whole numbers of 8 to 32 bits or floats, no-data pixels, a place.

    python -c "from img2img_hub.images.read import read_raster; print(read_raster('scene.tif').describe())"

TIFF is written by tifffile (pip install tifffile imagecodecs), .npy and .png without it; read.py reads them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from img2img_hub.errors import counted
from img2img_hub.files import replacing
from img2img_hub.images.formats import ImageError
from img2img_hub.images.georeference import Georeference
from img2img_hub.images.picture import image_of
from img2img_hub.images.tiff_writing import write_tiff

MAX_BANDS = 1024
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")
"""Of a pixel's values."""

IN_PNG = {("uint8", 1), ("uint8", 3), ("uint16", 1)}
"""(type, bands) that PNG holds."""


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
        return f"{counted(self.bands, 'band')} of {self.dtype}"


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
    by_nearest: tuple[int, ...] = ()
    """Bands that are resized by nearest neighbours, such as class numbers."""
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
        parts = [f"{self.width}×{self.height}", counted(self.bands, "band")]
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
        return image_of(np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8))

    def save(self, path: str | Path) -> None:
        """Write it whole or not at all: .tif with its georeference and no-data value, .npy, .png where that holds it.

        Raises:
            ImageError: another ending, an image that PNG cannot hold, or a place that cannot be written.
        """
        path = Path(path)
        tiff = {".tif": self._write_tiff, ".tiff": self._write_tiff}
        writer = {**tiff, ".npy": self._write_npy, ".png": self._write_png}.get(path.suffix.lower())
        if writer is None:
            held = f"{counted(self.bands, 'band')} of {self.array.dtype}"
            raise ImageError(f"{path} would have to hold {held}: let its name end in .tif or .npy")
        try:
            with replacing(path) as part, part.open("wb") as file:
                writer(file)
        except OSError as error:
            raise ImageError(f"{path} cannot be written ({error.strerror or error}): name another place") from None

    def _write_tiff(self, file: BinaryIO) -> None:
        missing = self.no_data
        if missing is None and self.valid is not None and self.array.dtype.kind == "f":
            missing = float("nan")
        write_tiff(file, self.array, no_data=missing, georeference=self.georeference, name=self.name)

    def _write_npy(self, file: BinaryIO) -> None:
        np.save(file, self.array)

    def _write_png(self, file: BinaryIO) -> None:
        if (self.array.dtype.name, self.bands) not in IN_PNG:
            held = f"{counted(self.bands, 'band')} of {self.array.dtype}"
            raise ImageError(f"PNG cannot hold {held}: let the file's name end in .tif or .npy")
        image_of(self.array).save(file, "PNG")


AnyImage = Image.Image | Raster
"""What the data give: an upright 8-bit picture, "L" or "RGB", or a raster."""


def check_kind(raster: Raster, kind: RasterKind) -> None:
    """Refuse a raster that is not what the others of its side are. Raises ImageError."""
    if raster.bands != kind.bands:
        had = counted(raster.bands, "band")
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


def where_valid(raster: Raster) -> np.ndarray | None:
    """(height, width) bool, False where its values or its file say that there is no data; None for nowhere."""
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
