"""One decode of an image: its 8-bit picture, its alpha, its raster in units, its place and its size.

    python -c "from img2img_hub.images.read import read_image; print(read_image('photo.jpg').size)"

`read_image`, `read_alpha` and `read_raster` are for whoever wants one of these. `Decoded` is for whoever wants several,
or hands the image on to others: the file is decoded once, whatever is asked for and by whomever.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar, Union

import numpy as np
from PIL import Image
from torch import Tensor

from img2img_hub.images import deep_png, picture, tiff
from img2img_hub.images.by_pillow import bits_of_grey, is_lossy, masked, open_upright, tiff_picture
from img2img_hub.images.formats import BYTES, NPY_MAGIC, ImageError, first_bytes, load_npy, name_of
from img2img_hub.images.georeference import Georeference, georeference_from
from img2img_hub.images.numbers import Stored, class_numbers, narrowed, places_in_palette, white_of
from img2img_hub.images.picture import MODES, converted, is_deep, is_grey, to_eight_bits
from img2img_hub.images.raster import Raster, RasterKind, check_kind, where_valid
from img2img_hub.images.remarks import Note, look_at_alpha, look_at_greys, note, with_notes
from img2img_hub.images.tiff import FilePixels, header_or_none, tiff_header

ImageLike = Union[str, Path, bytes, Image.Image, np.ndarray, Tensor, Raster, "Decoded"]

_WHITE = {"LA": (255, 255), "RGBA": (255, 255, 255, 255)}

T = TypeVar("T")


def read_image(image: ImageLike, *, channels: int = 3, name: str | None = None) -> Image.Image:
    """Read any image as an upright 8-bit PIL image of its own size, "RGB" (``channels=3``) or "L" (``channels=1``).

    The EXIF orientation is applied; palette, 1-bit, grey, CMYK and 16-bit images are converted, 16-bit values being
    scaled (65535 becomes 255), never clipped; what is transparent shows white.

    Args:
        image: a path, the bytes of a file, a PIL image, an array (H, W) or (H, W, C) of uint8 in 0..255, uint16 in
            0..65535 or float in 0..1, or a tensor (C, H, W) of float in [-1, 1].
        channels: 1 or 3.
        name: what messages call the image; its path by default.

    An ICC profile that still fits the bands is kept in ``.info``. Raises ImageError for anything that is missing,
    empty, damaged, too large or not an image.
    """
    return Decoded.of(image, name=name).picture(channels=channels)


def read_alpha(image: ImageLike, *, name: str | None = None) -> Image.Image | None:
    """The alpha band of ``image`` as an upright "L" image, or None where it has none or is opaque throughout."""
    return Decoded.of(image, name=name).alpha


def read_raster(
    content: ImageLike,
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
    return Decoded.of(content, name=name).raster(kind=kind, no_data=no_data, bands=bands)


def read_class_numbers(content: ImageLike, *, name: str | None = None) -> Raster:
    """Read a label map: one band of class numbers, uint8 or uint16; of an image with a palette its numbers.

    Raises:
        ImageError: it cannot be read, holds colours or fractions, or numbers beyond 65535.
    """
    decoded = Decoded.of(content, name=name)
    return class_numbers(decoded.stored(), name=decoded.name)[0]


def read_mask(content: ImageLike, *, name: str | None = None) -> Raster:
    """Read a mask: one band of uint8, 255 where it is white, 0 elsewhere. Files may hold 0 and 1, of any number of bits
    or with a palette, 0 and 255, or what JPEG made of these. Raises ImageError for what is neither."""
    if isinstance(content, Raster) and content.bands == 1:
        grey = content.array[:, :, 0]
        white = grey > (127 if grey.max() > 1 else 0)
    else:
        white = Decoded.of(content, name=name).white()
    return Raster(array=np.where(white, 255, 0).astype(np.uint8), by_nearest=(0,), name=name_of(content, name))


class Decoded:
    """An image that is decoded when its pixels are first asked for, and only then. What it gives is shared: change a
    copy. It belongs to one thread at a time.

        image = Decoded("scene.tif")
        image.picture(), image.alpha, image.raster(), image.georeference, image.size

    A TIFF or a PNG that Pillow reads in other bits than its own has two decoders, one for the picture and one for the
    raster; each runs once at most. What was noted (see remarks.py) is noted to everybody who asks.

    Args:
        content: a path, the bytes of a file, a PIL image, an array, a tensor or a Raster, as of `read_image`.
        name: what messages call it; its path by default.
    """

    def __init__(self, content: ImageLike, *, name: str | None = None) -> None:
        self.content: Any = content
        self.name = name_of(content, name)
        self._made: dict[Hashable, tuple[Any, list[Note]]] = {}
        self._lossy: bool | None = None  # of a part, which has no file of its own, that of the whole

    @classmethod
    def of(cls, image: ImageLike, *, name: str | None = None) -> Self:
        """Itself, where it is one."""
        return image if isinstance(image, cls) else cls(image, name=name)

    def picture(self, *, channels: int = 3) -> Image.Image:
        """As `read_image` gives it. Raises ImageError."""
        if channels not in MODES:
            raise ValueError(f"channels is {channels!r}, which no image here has: give 1 (grey) or 3 (RGB)")
        return self._once(("picture", channels), lambda: self._picture(channels))

    def straight(self, *, channels: int = 3) -> Image.Image:
        """`picture`, but with the colours that lie under its alpha."""
        image = to_eight_bits(self._upright()[0], name=self.name)
        if not image.has_transparency_data:
            return self.picture(channels=channels)
        return converted(image, "RGBA", name=self.name).convert(MODES[channels])

    @property
    def alpha(self) -> Image.Image | None:
        """As `read_alpha` gives it. Raises ImageError."""
        alpha = self._opaque()[1]
        return None if alpha is None or alpha.getextrema() == (255, 255) else alpha

    def raster(
        self,
        *,
        kind: RasterKind | None = None,
        no_data: float | None = None,
        bands: int | None = None,
        default_no_data: float | None = None,
    ) -> Raster:
        """As `read_raster` gives it; `default_no_data` is the value of pixels without data where the file says none.
        Raises ImageError."""
        if kind is not None:
            bands, no_data = kind.bands if bands is None else bands, kind.no_data if no_data is None else no_data
        raster = self.content if isinstance(self.content, Raster) else self._raster(bands)
        values = (no_data, raster.no_data, default_no_data)
        raster = replace(raster, no_data=next((value for value in values if value is not None), None), name=self.name)
        raster.valid = where_valid(raster)
        if raster.valid is not None and not raster.valid.any():
            raise ImageError(f"{self.name} holds no data, every pixel is NaN or marked as missing: leave it out")
        if kind is not None:
            check_kind(raster, kind)
        return raster

    def stored(self) -> Stored:
        """What it holds before anybody says what it means: a palette's numbers, and those of few bits, which Pillow
        spreads over 8. Raises ImageError."""
        if isinstance(self.content, Raster):
            return Stored(self.content.array)
        if (numbers := picture.numbers_of(self.content, name=self.name)) is not None:
            return Decoded(numbers, name=self.name).stored()
        bits = bits_of_grey(self.content)  # before it is decoded, after which an opened image does not tell
        pixels = self._values()
        values, alpha, decoded = pixels.array, pixels.alpha, "upright" in self._made
        if not values.size:
            raise ImageError(f"{self.name} has no pixels: give 1×1 or more")
        if self._has_palette():
            return places_in_palette(self._upright()[0])
        if decoded and values.dtype == np.uint8 and values.ndim == 2:
            bits = 1 if self._upright()[0].mode == "1" else bits
            values = narrowed(values, bits=bits)
        if alpha is None and values.shape[2:] == (4,):  # an array
            values, alpha = values[:, :, :3], values[:, :, 3]
        return Stored(values, alpha=alpha, lossy=self._is_lossy(), of_one_bit=bits == 1)

    def cropped(self, box: tuple[int, int, int, int]) -> Decoded:
        """The part of a picture from (left, top) to (right, bottom), in its own mode. Raises ImageError."""
        part = Decoded(self._upright()[0].crop(box), name=self.name)
        part._lossy = self._is_lossy()
        return part

    def white(self) -> np.ndarray:
        """(H, W) bool, of a mask, as `read_mask` takes it. Raises ImageError."""

        if isinstance(self.content, Tensor) and not self.content.is_floating_point():
            return Decoded(self.stored().values, name=self.name).white()

        def grey() -> np.ndarray:
            if self.alpha is not None:
                raise ImageError(
                    f"{self.name} is a mask with transparent pixels, which may be meant as its black or its white: "
                    f"save it in black and white, without alpha"
                )
            return np.asarray(self.picture(channels=1))

        numbers = self.stored().values
        palette = self._has_palette() and self.alpha is None  # a transparent colour says nothing, its number does
        return white_of(numbers, palette=palette, grey=grey, name=self.name)

    @property
    def georeference(self) -> Georeference:
        """Where it lies, {} where nobody says; from the tags alone."""
        return self._once("georeference", self._georeference)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), upright. Raises ImageError."""
        if "values" not in self._made:
            return self.content.size if isinstance(self.content, Raster) else self._upright()[0].size
        height, width = self._values().array.shape[:2]
        return width, height

    @property
    def format(self) -> str | None:
        """Pillow's name of the file's format; None for what Pillow did not read. Raises ImageError."""
        return self._upright()[1]

    # --- inside -----------------------------------------------------------------------------------------------------

    def _once(self, what: Hashable, make: Callable[[], T]) -> T:
        if what not in self._made:
            self._made[what] = with_notes(make)
            return self._made[what][0]
        made, notes = self._made[what]
        for each in notes:
            note(*each)
        return made

    def _picture(self, channels: int) -> Image.Image:
        (read, _), (opaque, alpha, profile) = self._upright(), self._opaque()
        if alpha is not None:
            look_at_alpha(np.asarray(alpha), name=self.name)
        mode = MODES[channels]
        result = opaque if opaque.mode == mode else converted(opaque, mode, name=self.name)
        if channels == 1:
            look_at_greys(read, result, name=self.name)
        # A profile describes the bands it came with: a CMYK or grey one on an RGB image would turn its colours.
        fits = read.mode not in {"CMYK", "YCbCr", "LAB", "HSV"} and is_grey(read) == (channels == 1)
        result.info = {"icc_profile": profile} if profile and fits else {}
        return result

    def _opaque(self) -> tuple[Image.Image, Image.Image | None, bytes | None]:
        """(the upright image in 8 bits, where it is clear white; its alpha; its colour profile)."""
        return self._once("opaque", self._make_opaque)

    def _make_opaque(self) -> tuple[Image.Image, Image.Image | None, bytes | None]:
        read, _ = self._upright()
        image, profile = to_eight_bits(read, name=self.name), read.info.get("icc_profile")
        if not image.has_transparency_data:
            return image, None, profile
        layer = converted(image, "LA" if is_grey(read) else "RGBA", name=self.name)
        opaque = Image.new(layer.mode, layer.size, _WHITE[layer.mode])
        opaque.alpha_composite(layer)
        return opaque.convert("L" if is_grey(read) else "RGB"), layer.getchannel("A"), profile

    def _upright(self) -> tuple[Image.Image, str | None]:
        """(the image in its own mode, with its EXIF orientation applied; the file's format)."""
        return self._once("upright", self._decode)

    def _decode(self) -> tuple[Image.Image, str | None]:
        content, name = self.content, self.name
        if isinstance(content, np.ndarray):
            return picture.from_array(content, name=name).copy(), None  # for it may be a view of the array
        if isinstance(content, Tensor):
            return picture.from_tensor(content, name=name), None
        if isinstance(content, Raster):
            return picture.from_bands(content.array, name=name).copy(), None
        if (found := open_upright(content, mask=self._mask, name=name)) is not None:
            return found
        return masked(tiff_picture(self._tiff(), name=name), self._mask(), name=name), None

    def _tiff(self) -> FilePixels:
        return self._once("tiff", lambda: tiff.read_tiff(self.content, name=self.name))

    def _mask(self) -> np.ndarray | None:
        return self._once("mask", lambda: tiff.read_mask(self.content, name=self.name))

    def _values(self) -> FilePixels:
        """The pixels in the file's own units."""
        return self._once("values", self._read_values)

    def _read_values(self) -> FilePixels:
        content, name = self.content, self.name
        if isinstance(content, np.ndarray):
            return FilePixels(content)
        if isinstance(content, (str, Path, *BYTES)) and (start := first_bytes(content)):
            if start == NPY_MAGIC:
                return FilePixels(load_npy(content, name=name))
            if header_or_none(tiff_header, content, name=name) is not None:
                return self._tiff()._replace(mask=self._mask())
            if header_or_none(deep_png.deep_png_header, content, name=name) is not None:
                return deep_png.read_deep_png(content, name=name)
        image, _ = self._upright()
        alpha = None
        if image.has_transparency_data:
            layer = converted(image, "LA" if image.mode == "La" else "RGBA", name=name)
            alpha = np.asarray(layer.getchannel("A"))
        if image.mode not in ("L", "RGB", "F") and not is_deep(image):
            image = converted(image, "L" if image.mode in ("1", "LA", "La") else "RGB", name=name)
        return FilePixels(np.asarray(image), alpha, georeference=self.georeference)

    def _is_lossy(self) -> bool:
        """Of what is decoded: whether that is of a format that may change values a little."""
        if self._lossy is None:
            self._lossy = is_lossy(self.content, self.format if "upright" in self._made else None)
        return self._lossy

    def _has_palette(self) -> bool:
        tensor = isinstance(self.content, np.ndarray | Tensor)
        return not tensor and "upright" in self._made and self._upright()[0].mode in ("P", "PA")

    def _raster(self, bands: int | None) -> Raster:
        """With an alpha band that is the last of the `bands` that are wanted, or says where there is data."""
        array, alpha, valid, no_data, georeference, _ = self._values()
        if alpha is not None and np.atleast_3d(array).shape[2] + 1 == bands:
            array = np.concatenate([np.atleast_3d(array), alpha[:, :, None]], axis=2)
        elif alpha is not None:
            look_at_alpha(alpha, name=self.name)
            valid = alpha > 0 if valid is None else valid & (alpha > 0)
        return Raster(array=array, valid=valid, no_data=no_data, georeference=georeference, name=self.name)

    def _georeference(self) -> Georeference:
        content = self.content
        if isinstance(content, Raster):
            return content.georeference
        try:
            tags = getattr(content, "tag_v2", None) if isinstance(content, Image.Image) else tiff.tiff_tags(content)
        except Exception:  # a damaged file, an array, a PIL image of another format: whoever reads the pixels says so
            return {}
        return {} if tags is None else georeference_from(tags)
