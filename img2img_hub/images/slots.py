"""Slots: the named images that a method reads and makes, and several of them as one, band behind band.

    python -c "from img2img_hub.images.slots import Slot, stacked; \\
        print(stacked({'rgb': 'a.png', 'depth': 'b.tif'}, [Slot(name='rgb', bands=3), \\
        Slot(name='depth', bands=1, dtype='uint16')]).describe())"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from img2img_hub.errors import check_range, counted
from img2img_hub.images.formats import ImageError
from img2img_hub.images.raster import DTYPES, MAX_BANDS, AnyImage, Raster
from img2img_hub.images.read import Decoded, read_class_numbers, read_image, read_mask, read_raster
from img2img_hub.images.values import UNLABELLED

Kind = Literal["picture", "raster", "labels", "mask"]
MAX_SCALE = 16


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A named image that a method reads or makes. Source and target are two like any other.

    A family declares what it needs, the data say the rest, and translation.json keeps what an input is.

    Raises:
        ValueError: what translation.json may not hold; the message names the key.
    """

    name: str
    """What it is called: "source", "target", or a column or folder."""
    kind: Kind | None = None
    """picture: grey or RGB of 8 bits. raster: any bands, in units of their own. labels: one band of class numbers, of
    which each becomes a channel, 1 where a pixel is of that class and 0 elsewhere. mask: 1 where it is white and 0
    elsewhere. None: a picture or a raster, as the files are."""
    bands: int = 0
    """Of the files; 0: as they have."""
    dtype: str = "uint8"
    """Of the files' values."""
    classes: int = 0
    """Of labels: how many, numbered from 0; 0: as the data's settings say."""
    scale: int = 1
    """Its pixels for one of the source, a side."""
    training_only: bool = False
    """Whether nobody needs it to translate, as a weight for each pixel: losses find it in the batch by its name."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= 100 or not self.name.isprintable():
            raise ValueError(f"name must be a short text in one line such as 'depth', got {self.name!r:.60}")
        if self.kind is not None and self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r:.60}")
        check_range(
            bands=(self.bands, 0, MAX_BANDS), classes=(self.classes, 0, MAX_BANDS), scale=(self.scale, 1, MAX_SCALE)
        )
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r:.60}")
        picture = self.dtype == "uint8" and self.bands in (0, 1, 3)
        if self.kind == "picture" and not picture:
            raise ValueError(f"kind picture is of 1 or 3 bands of uint8, and bands is {self.bands}, dtype {self.dtype}")
        if self.kind == "labels" and (self.bands not in (0, 1) or self.dtype not in ("uint8", "uint16")):
            raise ValueError(f"kind labels is of 1 band of uint8 or uint16, got {self.bands} of {self.dtype}")
        if self.kind == "mask" and (self.bands not in (0, 1) or self.dtype != "uint8"):
            raise ValueError(f"kind mask is of 1 band of uint8, and bands is {self.bands}, dtype {self.dtype}")
        if self.classes and self.kind != "labels":
            raise ValueError(f"classes is {self.classes}, and kind {self.kind} has none")
        if self.kind is None and self.bands:  # as format 2 began
            object.__setattr__(self, "kind", "picture" if picture else "raster")

    @property
    def channels(self) -> int:
        """What a network sees of it."""
        return self.classes if self.kind == "labels" else self.bands

    @property
    def by_nearest(self) -> bool:
        """Whether it is resized by nearest neighbours: between two classes there is no third."""
        return self.kind in ("labels", "mask")

    @property
    def ending(self) -> str:
        """Of the name of a file that holds it."""
        return "tif" if self.kind == "raster" else "png"

    def describe(self) -> str:
        """ "rgb (RGB)", "depth (1 band of uint16)", "labels (12 classes)", "holes (mask)"."""
        if self.kind == "picture":
            said = {0: "picture", 1: "grey", 3: "RGB"}[self.bands]
        elif self.kind == "labels":
            said = f"{self.classes} classes"
        else:
            said = "mask" if self.kind == "mask" else f"{counted(self.bands, 'band')} of {self.dtype}"
        return f"{self.name} ({said})"

    def read(self, image: Any, *, name: str | None = None) -> AnyImage:
        """What this slot takes of an image. Raises ImageError where it has other bands or another type."""
        if self.kind == "picture":
            return read_image(image, channels=self.bands, name=name)
        if self.kind == "mask":
            return read_mask(image, name=name)
        if self.kind == "labels":
            return self._read_labels(image, name=name)
        raster = read_raster(image, bands=self.bands, name=name)
        found = (raster.bands, raster.array.dtype.name)
        if found != (self.bands, self.dtype):
            had = f"{counted(raster.bands, 'band')} of {raster.array.dtype}"
            raise ImageError(f"{raster.name} has {had}, where {self.describe()} is needed: take an image of that kind")
        return raster

    def _read_labels(self, image: Any, *, name: str | None) -> Raster:
        raster = read_class_numbers(image, name=name)
        numbers = raster.array
        beyond = numbers[(numbers >= self.classes) & (numbers != UNLABELLED)]
        if beyond.size:
            raise ImageError(
                f"{raster.name} has the class number {beyond.max()}, and there are {self.classes} classes, numbered "
                f"from 0 ({UNLABELLED}: of no class): say how many there are, or mend the image"
            )
        return replace(raster, array=numbers.astype(self.dtype), by_nearest=(0,))


def common_type(slots: Sequence[Slot]) -> str:
    """The type that holds the values of all slots."""
    found = np.result_type(*(np.dtype(slot.dtype) for slot in slots)).name
    return found if found in DTYPES else "float64"


def by_nearest(slots: Sequence[Slot]) -> tuple[int, ...]:
    """The bands of all slots together that are resized by nearest neighbours."""
    firsts = np.cumsum([0, *(slot.bands for slot in slots)]).tolist()
    return tuple(first for slot, first in zip(slots, firsts, strict=False) if slot.by_nearest)


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
        raise ImageError(f"{counted(len(slots), 'image')} make one input, and {got} came: give {{{wanted}}}")
    given = [Decoded.of(images[slot.name]) for slot in slots]
    read = [slot.read(decoded) for slot, decoded in zip(slots, given, strict=True)]
    names = [decoded.name for decoded in given]
    names = [slot.name if name == "image" else name for slot, name in zip(slots, names, strict=True)]
    for image, name in zip(read[1:], names[1:], strict=True):
        if image.size != read[0].size:
            sizes = [f"{each} is {one.width}×{one.height}" for each, one in ((names[0], read[0]), (name, image))]
            raise ImageError(f"the images of one input have one size, but {', '.join(sizes)}: resize one of them")
    rasters = [image if isinstance(image, Raster) else Raster(array=np.asarray(image)) for image in read]
    array = np.concatenate([raster.array.astype(common_type(slots), copy=False) for raster in rasters], axis=2)
    masks = [raster.valid for raster in rasters if raster.valid is not None]
    places = [decoded.georeference for decoded in given if decoded.georeference]
    made = Raster(array=array, georeference=places[0] if places else {}, by_nearest=by_nearest(slots), name=names[0])
    return replace(made, valid=np.logical_and.reduce(masks)) if masks else made


def parted(raster: Raster, slots: Sequence[Slot]) -> dict[str, Raster]:
    """The way back: each slot's bands, in its own type, by its name."""
    parts, first = {}, 0
    for slot in slots:
        array = raster.array[:, :, first : first + slot.bands].astype(slot.dtype)
        nearest = (0,) if slot.by_nearest else ()
        parts[slot.name] = Raster(array=array, valid=raster.valid, by_nearest=nearest, name=raster.name)
        first += slot.bands
    return parts
