"""Several images as one: what a network reads of a scene comes as named images of one size, band behind band.

    python -c "from img2img_hub.images.slots import Slot, stacked; \\
        print(stacked({'rgb': 'a.png', 'depth': 'b.tif'}, [Slot(name='rgb', bands=3), \\
        Slot(name='depth', bands=1, dtype='uint16')]).describe())"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from img2img_hub.errors import check_range, counted
from img2img_hub.images.formats import ImageError, name_of
from img2img_hub.images.raster import DTYPES, MAX_BANDS, AnyImage, Raster
from img2img_hub.images.read import read_image, read_raster


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One of the images that a network's input is made of.

    Raises:
        ValueError: what translation.json may not hold; the message names the key.
    """

    name: str
    """What it is called: a column, or a folder."""
    bands: int
    """1 (grey) or 3 (RGB) of 8-bit pictures, any number of rasters."""
    dtype: str = "uint8"
    """Of its values; "uint8" with 1 or 3 bands is a picture."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= 100:
            raise ValueError(f"name must be a short text such as 'depth', got {self.name!r:.60}")
        check_range(bands=(self.bands, 1, MAX_BANDS))
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r:.60}")

    @property
    def is_picture(self) -> bool:
        return self.dtype == "uint8" and self.bands in (1, 3)

    def describe(self) -> str:
        """ "rgb (RGB)", "depth (1 band of uint16)"."""
        if self.is_picture:
            return f"{self.name} ({'RGB' if self.bands == 3 else 'grey'})"
        return f"{self.name} ({counted(self.bands, 'band')} of {self.dtype})"

    def read(self, image: Any, *, name: str | None = None) -> AnyImage:
        """What this slot takes of an image. Raises ImageError where it has other bands or another type."""
        if self.is_picture:
            return read_image(image, channels=self.bands, name=name)
        raster = read_raster(image, bands=self.bands, name=name)
        found = (raster.bands, raster.array.dtype.name)
        if found != (self.bands, self.dtype):
            had = f"{counted(raster.bands, 'band')} of {raster.array.dtype}"
            raise ImageError(f"{raster.name} has {had}, where {self.describe()} is needed: take an image of that kind")
        return raster


def common_type(slots: Sequence[Slot]) -> str:
    """The type that holds the values of all slots."""
    found = np.result_type(*(np.dtype(slot.dtype) for slot in slots)).name
    return found if found in DTYPES else "float64"


def stacked(images: Mapping[str, Any], slots: Sequence[Slot]) -> Raster:
    """The images of all slots, in the slots' order, as one raster of all bands; where one has no data, it has none.

    Args:
        images: for each slot, by its name, whatever `read_image` or `read_raster` takes.

    Raises:
        ImageError: an image is missing or of no slot, cannot be read, is of another kind, or they differ in size.
    """
    needed = [slot.name for slot in slots]
    if not isinstance(images, Mapping) or set(images) != set(needed):
        got = ", ".join(map(str, images)) if isinstance(images, Mapping) else f"one {type(images).__name__}"
        wanted = ", ".join(f'"{name}": …' for name in needed)
        raise ImageError(f"{len(slots)} images make one input, and {got} came: give {{{wanted}}}")
    read = [slot.read(images[slot.name]) for slot in slots]
    names = [name_of(images[slot.name], None) for slot in slots]
    names = [slot.name if name == "image" else name for slot, name in zip(slots, names, strict=True)]
    for image, name in zip(read[1:], names[1:], strict=True):
        if image.size != read[0].size:
            sizes = [f"{each} is {one.width}×{one.height}" for each, one in ((names[0], read[0]), (name, image))]
            raise ImageError(f"the images of one input have one size, but {', '.join(sizes)}: resize one of them")
    rasters = [image if isinstance(image, Raster) else Raster(array=np.asarray(image)) for image in read]
    array = np.concatenate([raster.array.astype(common_type(slots), copy=False) for raster in rasters], axis=2)
    masks = [raster.valid for raster in rasters if raster.valid is not None]
    places = [raster.georeference for raster in rasters if raster.georeference]
    made = Raster(array=array, georeference=places[0] if places else {}, name=names[0])
    return replace(made, valid=np.logical_and.reduce(masks)) if masks else made


def parted(raster: Raster, slots: Sequence[Slot]) -> dict[str, Raster]:
    """The way back: each slot's bands, in its own type, by its name."""
    parts, first = {}, 0
    for slot in slots:
        array = raster.array[:, :, first : first + slot.bands].astype(slot.dtype)
        parts[slot.name] = Raster(array=array, valid=raster.valid, name=raster.name)
        first += slot.bands
    return parts
