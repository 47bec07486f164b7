"""Several lists of images as one: of each row, the images of all lists, band behind band. A list whose kind is said, of
class numbers or masks, is one by itself.

python -m img2img_hub check-data --dataset rooms --source_column rgb depth --target_column normals
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

from img2img_hub.data.find.config import DataError
from img2img_hub.data.samples.reading import Half, Images
from img2img_hub.images.headers import HeaderError
from img2img_hub.images.raster import AnyImage, Raster, RasterKind
from img2img_hub.images.read import Decoded
from img2img_hub.images.slots import Slot, common_type, stacked
from img2img_hub.images.values import spread

_LOOKED_AT = 4  # images of each list whose headers are read


class Stack:
    """Lists of equal length, partner beside partner, by what each is called.

    Args:
        declared: what is known of some of them without a look.
    """

    def __init__(self, parts: Mapping[str, Images], *, declared: Mapping[str, Slot] | None = None) -> None:
        self.parts = dict(parts)
        self.declared = dict(declared or {})
        self.title = " + ".join(images.title for images in self.parts.values())
        self.left_out = "; ".join(filter(None, (images.left_out for images in self.parts.values())))

    @cached_property
    def _kinds(self) -> dict[str, RasterKind]:
        """What the images of each list are, in what a few of them have in common."""
        return {name: self._kind_of_part(name, images) for name, images in self.parts.items()}

    def like(self, other: Stack) -> Stack:
        """The same lists, of which another look told what they are."""
        known = Stack(self.parts, declared=self.declared)
        known._kinds = other._kinds
        return known

    def _kind_of_part(self, name: str, images: Images) -> RasterKind:
        said = self.declared.get(name)
        if said is not None and said.kind == "instances":
            return RasterKind(bands=1, dtype=self._of_instances(images), masked=False)
        if said is not None and said.by_nearest:
            return RasterKind(bands=1, dtype=said.dtype, masked=False)
        kinds = []
        for row in spread(len(images), _LOOKED_AT):
            try:  # with a value for no data even a picture is a raster, and says its bands
                found = images.kind(row, no_data=None, bands=None)
                kinds.append((found or images.kind(row, no_data=0.0, bands=None), found is None))
            except (HeaderError, DataError):  # its reader says why
                continue
        pictures = [kind.bands for kind, picture in kinds if picture and kind is not None]
        rasters = [kind for kind, picture in kinds if not picture and kind is not None]
        if pictures or not rasters:
            bands = max(pictures, default=3) if said is None else said.bands or max(pictures, default=3)
            return RasterKind(bands=bands, dtype="uint8", masked=False)
        if said is not None and said.kind == "picture":
            raise DataError(f"{images.title} has {rasters[0].describe()}, and {name} is a picture: save 8-bit pictures")
        for other in rasters[1:]:
            if (other.bands, other.dtype) != (rasters[0].bands, rasters[0].dtype):
                raise DataError(
                    f"{images.title} has {rasters[0].describe()} here and {other.describe()} there: make them alike"
                )
        masked = any(kind.masked for kind in rasters)
        return RasterKind(bands=rasters[0].bands, dtype=rasters[0].dtype, masked=masked)

    @staticmethod
    def _of_instances(images: Images) -> str:
        """16 bits where the files looked at have no more."""
        dtypes = []
        for row in spread(len(images), _LOOKED_AT):
            try:
                found = images.kind(row, no_data=None, bands=None)
            except (HeaderError, DataError):  # its reader says why
                continue
            dtypes.append("uint8" if found is None else found.dtype)
        return "uint16" if set(dtypes) <= {"uint8", "uint16"} else "int32"

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        slots = []
        for name, kind in self._kinds.items():
            said = self.declared.get(name)
            if said is not None and said.by_nearest:
                slots.append(replace(said, name=name, bands=1, dtype=kind.dtype, scale=1, training_only=False))
            else:
                slots.append(Slot(name=name, bands=kind.bands, dtype=kind.dtype))
        return tuple(slots)

    @property
    def channels(self) -> int:
        """What a network sees of a row."""
        return sum(slot.channels for slot in self.slots)

    @property
    def whole(self) -> RasterKind:
        """What a row is; of classes in their colours, with pixels of no class as such without data."""
        if self.slots[0].in_colours:
            return RasterKind(bands=3, dtype="uint8", masked=True)
        return RasterKind(
            bands=sum(slot.bands for slot in self.slots),
            dtype=common_type(self.slots),
            masked=any(kind.masked for kind in self._kinds.values()),
        )

    def kind_of(self, name: str) -> RasterKind:
        return self._kinds[name]

    @property
    def scale(self) -> int:
        """Pixels for one of a source."""
        return next(iter(self.declared.values())).scale if self.declared else 1

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def read(self, row: int, *, channels: int, kind: RasterKind | None = None) -> AnyImage:
        images = {slot.name: self._read_part(slot, row) for slot in self.slots}
        sizes = {name: image.size for name, image in images.items()}
        first = next(iter(sizes))
        for name, size in sizes.items():
            if size != sizes[first]:
                raise DataError(
                    f"the sources of a pair have two sizes: {self.parts[first].where(row)} is {sizes[first][0]}x"
                    f"{sizes[first][1]}, {self.parts[name].where(row)} is {size[0]}x{size[1]}: resize or delete them"
                )
        if self.slots[0].in_colours:
            return self.slots[0].painted(cast(Raster, images["target"]))
        return stacked(images, self.slots)

    def _read_part(self, slot: Slot, row: int) -> AnyImage:
        part = self.parts[slot.name]
        if slot.by_nearest:
            return slot.read(part.decoded(row))
        kind = None if slot.kind == "picture" else self._kinds[slot.name]
        return part.read(row, channels=slot.bands, kind=kind)

    def decoded(self, row: int) -> Decoded:
        return Decoded(self.read(row, channels=self.channels, kind=self.whole), name=self.where(row))

    def kind(self, row: int, *, no_data: float | None, bands: int | None) -> RasterKind | None:
        return self.whole

    def name(self, row: int) -> str:
        return next(iter(self.parts.values())).name(row)

    def where(self, row: int) -> str:
        return next(iter(self.parts.values())).where(row)


def lists_of(images: Images) -> list[Images]:
    """The lists that rows are read from: each of a stack, and of halves that of the whole images."""
    if isinstance(images, Half):
        return lists_of(images.both.images)
    if isinstance(images, Stack):
        return [each for part in images.parts.values() for each in lists_of(part)]
    return [images]


def check_sizes(source: AnyImage, other: AnyImage, *, scale: int, where: tuple[str, str]) -> None:
    """Refuse a partner that is not ``scale`` times as large. Raises DataError that names both."""
    if other.size == (source.width * scale, source.height * scale):
        return
    sizes = [f"{name} is {image.width}x{image.height}" for name, image in zip(where, (source, other), strict=True)]
    if scale == 1:
        raise DataError(f"a pair has two sizes: {', '.join(sizes)}: resize or delete them")
    raise DataError(f"{', '.join(sizes)}, which is not {scale} times the size: resize or delete them")


def extra_images(extras: Mapping[str, Stack], row: Any, source: AnyImage, *, where: str) -> Iterator[AnyImage]:
    """What else training reads of a row. Raises DataError where one is of another size than the source's and its."""
    for images in extras.values():
        image = images.read(row, channels=images.channels, kind=images.whole)
        check_sizes(source, image, scale=images.scale, where=(where, images.where(row)))
        yield image
