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
from PIL import Image

from img2img_hub.errors import check_flags, check_range, counted
from img2img_hub.images.formats import ImageError
from img2img_hub.images.numbers import class_numbers, instance_ids
from img2img_hub.images.palettes import UNLABELLED, check_palette, colours_for, first_of, nearest
from img2img_hub.images.picture import from_array, image_of
from img2img_hub.images.raster import DTYPES, MAX_BANDS, AnyImage, Raster
from img2img_hub.images.read import Decoded, read_image, read_mask, read_raster
from img2img_hub.images.remarks import listening, note
from img2img_hub.images.values import BandValues

Kind = Literal["picture", "raster", "labels", "mask", "hole", "instances"]
MAX_SCALE = 16
COVERED = 128
"""What covered pixels are in 8 bits, in every band: 0 to a network, but for rounding."""
_TYPES: dict[str, tuple[str, ...]] = {
    "labels": ("uint8", "uint16"),
    "mask": ("uint8",),
    "hole": ("uint8",),
    "instances": ("uint8", "uint16", "int32"),
}
"""Of what is one band, and what it may be of."""


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
    which each becomes a channel, 1 where a pixel is of that class and 0 elsewhere; a target of labels is in the colours
    of its classes to the network. mask: 1 where it is white and 0 elsewhere. hole: a
    mask of what is to be filled: the inputs in front of it are not seen where it is white, and come back to the bit
    elsewhere; those behind it are seen everywhere. instances: one band of whole numbers, 1
    where a neighbour above, below or beside has another and 0 elsewhere. None: a picture or a raster, as the files
    are."""
    bands: int = 0
    """Of the files; 0: as they have."""
    dtype: str = "uint8"
    """Of the files' values."""
    classes: int = 0
    """Of labels: how many, numbered from 0; 0: as the data's settings say."""
    palette: tuple[str, ...] = ()
    """Of labels: the colour of each class, such as "#0030ff", and perhaps one more of what is of no class; empty: maps
    hold numbers, not colours."""
    class_names: tuple[str, ...] = ()
    """Of labels: what each class is called; empty: nobody said."""
    unknown: int | None = None
    """Of labels: a number of pixels of no class, besides 255 (65535, where there are more classes)."""
    unknown_channel: bool = False
    """Of labels: whether pixels of no class have a channel of their own, the last one; else they are 0 in all."""
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
        if self.kind in _TYPES and (self.bands not in (0, 1) or self.dtype not in self._types):
            raise ValueError(
                f"kind {self.kind} is of 1 band of {' or '.join(self._types)}, got {self.bands} of {self.dtype}"
            )
        if self.classes and self.kind != "labels":
            raise ValueError(f"classes is {self.classes}, and kind {self.kind} has none")
        self._check_classes()
        if self.kind is None and self.bands:  # as format 2 began
            object.__setattr__(self, "kind", "picture" if picture else "raster")

    def _check_classes(self) -> None:
        for key in ("palette", "class_names"):
            values = getattr(self, key)
            if not isinstance(values, list | tuple):
                raise ValueError(f"{key} must be a list of texts, got {values!r:.60}")
            object.__setattr__(self, key, tuple(values))
        check_flags(unknown_channel=self.unknown_channel)
        said = bool(self.palette or self.class_names or self.unknown_channel or self.unknown is not None)
        if said and self.kind != "labels":
            raise ValueError(f"palette, class_names and unknown are of labels, and kind is {self.kind}")
        check_palette(self.palette, self.class_names)
        if self.unknown is not None:
            check_range(unknown=(self.unknown, 0, 65535))
        if self.dtype == "uint8" and self.classes > UNLABELLED:
            raise ValueError(f"dtype is uint8, which has no number for what is none of {self.classes} classes: uint16")
        if self.palette and len(self.palette) not in (self.classes, self.classes + 1):
            raise ValueError(
                f"the palette has {counted(len(self.palette), 'colour')}, and there are {self.classes} classes: one "
                "for each, and perhaps one of what is of no class"
            )
        if self.class_names and len(self.class_names) != self.classes:
            raise ValueError(f"class_names are {len(self.class_names)}, and there are {self.classes} classes")

    @property
    def _types(self) -> tuple[str, ...]:
        return _TYPES[str(self.kind)]

    @property
    def channels(self) -> int:
        """What a network sees of it."""
        if self.kind != "labels":
            return self.bands
        return 3 if self.in_colours else self.classes + self.unknown_channel

    @property
    def in_colours(self) -> bool:
        """Whether networks see classes in their colours: where they are to make them."""
        return self.kind == "labels" and self.name == "target"

    @property
    def none(self) -> int:
        """Of labels, as `read` gives them: the number of pixels of no class."""
        if self.unknown_channel:
            return self.classes
        return self._unlabelled

    @property
    def by_nearest(self) -> bool:
        """Whether it is resized by nearest neighbours: between two classes there is no third."""
        return self.kind in _TYPES

    @property
    def ending(self) -> str:
        """Of the name of a file that holds it."""
        return "tif" if self.kind == "raster" else "png"

    def describe(self) -> str:
        """ "rgb (RGB)", "depth (1 band of uint16)", "labels (12 classes)", "holes (mask)"."""
        if self.kind == "picture":
            said = {0: "picture", 1: "grey", 3: "RGB"}[self.bands]
        elif self.kind == "labels":
            said = f"{self.classes} classes" + (" and unknown" if self.unknown_channel else "")
        elif self.kind in ("mask", "instances"):
            said = self.kind
        elif self.kind == "hole":
            said = "mask, white where something is to be filled in"
        else:
            said = f"{counted(self.bands, 'band')} of {self.dtype}"
        return f"{self.name} ({said})"

    def read(self, image: Any, *, name: str | None = None) -> AnyImage:
        """What this slot takes of an image. Raises ImageError where it has other bands or another type."""
        if self.kind == "picture":
            return read_image(image, channels=self.bands, name=name)
        if self.kind in ("mask", "hole"):
            return read_mask(image, name=name)
        decoded = Decoded.of(image, name=name)
        if self.kind == "labels":
            return self.read_classes(decoded)[0]
        if self.kind == "instances":
            return instance_ids(decoded.stored(), dtype=self.dtype, name=decoded.name)
        raster = read_raster(image, bands=self.bands, name=name)
        found = (raster.bands, raster.array.dtype.name)
        if found != (self.bands, self.dtype):
            had = f"{counted(raster.bands, 'band')} of {raster.array.dtype}"
            raise ImageError(f"{raster.name} has {had}, where {self.describe()} is needed: take an image of that kind")
        return raster

    def read_classes(self, image: Any) -> tuple[Raster, int]:
        """The class numbers of a label map, `none` where there is no class, and how many of its pixels are uncertain,
        because JPEG has blurred their colours.

        A file may hold numbers, or the colours of the palette. Raises ImageError for other numbers and colours.
        """
        decoded = Decoded.of(image)
        known = isinstance(decoded.content, Raster) and decoded.content.bands == 1  # numbers, read as such before
        read, uncertain = class_numbers(
            decoded.stored(), name=decoded.name, palette=() if known else self.palette, class_names=self.class_names
        )
        numbers = read.array[:, :, 0].astype(np.uint16)
        of_none = {self._unlabelled, self.none, self._unlabelled if self.unknown is None else self.unknown}
        of_none |= {self.classes} if len(self.palette) > self.classes else set()
        unknown = np.isin(numbers, list(of_none))
        beyond = (numbers >= self.classes) & ~unknown
        if beyond.any():
            column, row = first_of(beyond)
            raise ImageError(
                f"{read.name} has the class number {numbers[row, column]} at ({column}, {row}), and there are "
                f"{self.classes} classes, numbered from 0 ({self._none_in_words}: of no class): say how many there "
                "are, or mend the map"
            )
        numbers[unknown] = self.none
        return replace(read, array=numbers.astype(self.dtype)), uncertain

    @property
    def _unlabelled(self) -> int:
        """What is of no class in files, whatever else is."""
        return UNLABELLED if self.classes <= UNLABELLED else 65535

    @property
    def _none_in_words(self) -> str:
        return " and ".join(str(each) for each in (self._unlabelled, self.unknown) if each is not None)

    @property
    def classes_in_words(self) -> list[str]:
        """Of labels, such as ["0 sky (#0000de)", "1 wall (#0030ff)"], in what is known of them."""
        names, palette = self.class_names or ("",) * self.classes, self.palette or ("",) * self.classes
        return [
            f"{number} {name} ({colour})".replace(" ()", "").replace("  ", " ")
            for number, (name, colour) in enumerate(zip(names, palette, strict=False))
        ]

    @property
    def colours(self) -> np.ndarray:
        """(N, 3) uint8: what people see of each class number of labels, and of `none`."""
        return colours_for(self.classes, self.palette, none=self.none)

    def indexed(self, image: Image.Image) -> Image.Image:
        """The class map that an "RGB" image is nearest to, as one with a palette: its numbers are the classes."""
        made = Image.fromarray(self.numbers_of(image))
        made.putpalette(self.colours.tobytes())
        return made

    def numbers_of(self, image: Image.Image) -> np.ndarray:
        """(H, W) uint8, the classes whose colours those of an "RGB" image are nearest to."""
        numbers, _ = nearest(np.asarray(image).reshape(-1, 3), self.colours[: self.classes])
        return numbers.astype(np.uint8).reshape(image.height, image.width)

    def painted(self, raster: Raster) -> Raster:
        """Class numbers, as `read` gave them, in their colours; pixels of no class are without data."""
        numbers = raster.array[:, :, 0]
        valid = numbers != self.none
        if not valid.any():
            raise ImageError(f"{raster.name} has no pixel of a class: leave it out")
        array = self.colours[numbers]
        return replace(raster, array=array, valid=None if valid.all() else valid, by_nearest=(0, 1, 2))

    def shown(self, image: AnyImage, *, values: BandValues | None = None) -> Image.Image:
        """What people see of an image that `read` gave: classes in their colours, instances in some, masks black and
        white, pictures as they are, and rasters with the range of `values` from black to white, else of their own."""
        if not isinstance(image, Raster):
            return image
        if self.kind == "labels":
            return image_of(self.colours[image.array[:, :, 0]])
        if self.kind == "instances":
            return image_of(colours_for(0)[image.array[:, :, 0].astype(np.int64) % UNLABELLED])  # 0 … 254
        if values is not None and self.kind not in ("mask", "hole"):
            return values.preview(image)
        whole = image.array.dtype == np.uint8 and image.bands in (1, 3)
        return from_array(image.array, name=image.name) if whole else image.preview()


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
    for slot, decoded in zip(slots, given, strict=True):
        if listening() and slot.kind == "picture" and decoded.alpha is not None:
            note("clear", decoded.name, f"the image called {slot.name}")
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


def shown_parts(raster: Raster, slots: Sequence[Slot], values: BandValues | None = None) -> dict[str, Image.Image]:
    """What people see of each of the images that make one, by what they are called; rasters in the range of `values`,
    those of all bands together; what lies under a hole is grey."""
    shown: dict[str, Image.Image] = {}
    first = 0
    for slot, part in zip(slots, parted(raster, slots).values(), strict=True):
        own = None
        if values is not None:
            bands = slice(first, first + slot.bands)
            own = BandValues(dtype=slot.dtype, low=values.low[bands], high=values.high[bands])
        image = slot.shown(part, values=own)
        if slot.kind == "hole":
            for covered in shown.values():
                covered.paste((COVERED,) * len(covered.getbands()), mask=image)
        shown[slot.name] = image
        first += slot.bands
    return shown


def parted(raster: Raster, slots: Sequence[Slot]) -> dict[str, Raster]:
    """The way back: each slot's bands, in its own type, by its name."""
    parts, first = {}, 0
    for slot in slots:
        array = raster.array[:, :, first : first + slot.bands].astype(slot.dtype)
        nearest = (0,) if slot.by_nearest else ()
        parts[slot.name] = Raster(array=array, valid=raster.valid, by_nearest=nearest, name=raster.name)
        first += slot.bands
    return parts
