"""Holes: where an image is to be filled in, what of it a network has to see for that, and the known pixels around.

    python -c "from img2img_hub import Translator as T; T.from_pretrained('alice/erase')('a.jpg', mask='hole.png')"

A hole is what a mask shows white, what has one colour, or, where nobody names a mask, what is transparent in the image
or without data. A network sees windows around holes, not all of a large image for a small one; what it makes of the
rest is thrown away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter

from img2img_hub.images.formats import ImageError
from img2img_hub.images.palettes import rgb
from img2img_hub.images.picture import image_of, mask_image
from img2img_hub.images.raster import AnyImage, Raster
from img2img_hub.images.read import Decoded, ImageLike, read_mask
from img2img_hub.images.remarks import note
from img2img_hub.images.resize import resized
from img2img_hub.images.slots import Slot, stacked
from img2img_hub.images.values import BandValues, raster_of
from img2img_hub.translation.windows import Box

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
"""What is a colour in the place of a mask."""


class WithHole(Decoded):
    """An image and its hole as one raster, band behind band, which remembers the image by itself.

    Args:
        hole: (H, W) bool.
        photo: the image.
        opened: whether the hole is what was transparent, or without data, and is so no more when it is filled.
        no_data: the image's own value for pixels without data.
    """

    def __init__(
        self, content: Raster, *, hole: np.ndarray, photo: Decoded, opened: bool, no_data: float | None
    ) -> None:
        super().__init__(content, name=photo.name)
        self.no_data = no_data
        self.hole = mask_image(hole)
        self.photo = photo
        self.opened = opened


def is_colour(mask: Any) -> bool:
    """Whether a mask is named as a colour, "#ff00ff": what has exactly that one is the hole."""
    return isinstance(mask, str) and COLOUR.fullmatch(mask) is not None


def with_hole(
    image: ImageLike,
    mask: ImageLike | None,
    slots: Sequence[Slot],
    *,
    values: BandValues | None = None,
    others: Mapping[str, ImageLike] | None = None,
) -> WithHole:
    """An image and its hole, and what else a model reads, as one.

    Args:
        image: what is to be filled.
        mask: white where the hole is; of another size but the same shape it is resized. A colour, see `is_colour`.
            None: what is transparent in the image, or without data.
        slots: what the model reads: the image, the mask, and perhaps the image once more, as it is.
        values: type and range of the image's bands, and its value for no data; None: 8-bit pictures.
        others: images for slots behind the mask, by name; they are the image itself by default.

    Raises:
        ImageError: one of them cannot be read, the mask has another shape, or nothing is left to fill it from.
    """
    photo = Decoded.of(image)
    first, hole_slot = slots[:2]
    content = photo.straight(channels=first.bands) if first.kind == "picture" else _raster(photo, first, values)
    no_data = content.no_data if isinstance(content, Raster) else None
    if mask is None:
        hole, content = _open_places(photo, content)
    elif is_colour(mask):
        hole = _of_colour(photo, str(mask))
    else:
        hole = _of_mask(mask, content.size, name=photo.name)
    if hole.all():
        raise ImageError(
            f"{photo.name}: the hole is the whole image, so that there is nothing to fill it from. White in a mask is "
            "what is to be filled in: is it the wrong way round?"
        )
    if not hole.any():
        note("no hole", photo.name, "the mask is white nowhere")
    given = {slot.name: (others or {}).get(slot.name, content) for slot in slots}
    given[hole_slot.name] = Raster(array=hole.astype(np.uint8) * np.uint8(255), by_nearest=(0,), name=photo.name)
    raster = stacked(given, slots)
    raster = replace(raster, name=photo.name, georeference=photo.georeference)
    return WithHole(raster, hole=hole, photo=photo, opened=mask is None, no_data=no_data)


def _raster(photo: Decoded, slot: Slot, values: BandValues | None) -> Raster:
    """The image as a raster of the slot's bands and type; of another type whose values that one holds, too."""
    if isinstance(photo.content, torch.Tensor) and values is not None:
        photo = Decoded(raster_of(photo.content, values, name=photo.name))
    read = photo.raster(bands=slot.bands, default_no_data=None if values is None else values.no_data)
    held, wanted = read.array.dtype, np.dtype(slot.dtype)
    if held != wanted and (np.can_cast(held, wanted, "safe") or held.kind == wanted.kind == "f"):
        return replace(read, array=read.array.astype(wanted))
    checked = slot.read(read, name=photo.name)  # refuses other bands and types
    assert isinstance(checked, Raster)
    return replace(checked, valid=read.valid, no_data=read.no_data)


def in_the_middle(image: ImageLike, slots: Sequence[Slot]) -> dict[str, Any]:
    """An image with a hole of a third of its sides in its middle, by name: for trials, for which nobody drew one."""
    photo = Decoded.of(image)
    width, height = photo.size
    hole = np.zeros((height, width), dtype=bool)
    hole[height // 3 : height - height // 3, width // 3 : width - width // 3] = True
    return {slots[0].name: photo, slots[1].name: hole}


def joined_with_hole(
    image: ImageLike | Mapping[str, ImageLike],
    mask: ImageLike | None,
    slots: Sequence[Slot],
    *,
    values: BandValues | None = None,
) -> Decoded:
    """What a caller gives as one: an image and perhaps a mask, both by name, or what was put together before.

    Raises:
        ImageError: names that are none of the slots', a hole that is said twice; see `with_hole`.
    """
    if not isinstance(image, Mapping):
        decoded, bands = Decoded.of(image), sum(slot.bands for slot in slots)
        if mask is None and isinstance(decoded.content, Raster) and decoded.content.bands == bands:
            return decoded
        return with_hole(decoded, mask, slots, values=values)
    images = dict(image)
    first, hole = (slot.name for slot in slots[:2])
    if first not in images or not set(images) <= {slot.name for slot in slots}:
        came = ", ".join(map(str, images)) or "nothing"
        raise ImageError(f'the model fills holes, and {came} came: give {{"{first}": …, "{hole}": …}}')
    if mask is not None and hole in images:
        raise ImageError(f"mask= and {hole} both say where the hole is: give one of them")
    mask = images.pop(hole, mask)
    return with_hole(images.pop(first), mask, slots, values=values, others=images)


def _open_places(photo: Decoded, content: AnyImage) -> tuple[np.ndarray, AnyImage]:
    """Where an image is transparent, or without data, and the image without knowing that."""
    if isinstance(content, Raster):
        hole = None if content.valid is None else ~content.valid
        if hole is not None:
            array = np.where(hole[:, :, None], content.array[~hole][:1], content.array)  # in place of NaN
            content = replace(content, array=array, valid=None, no_data=None)
    else:
        hole = None if photo.alpha is None else np.asarray(photo.alpha) == 0
    if hole is None or not hole.any():
        what = "without data" if isinstance(content, Raster) else "fully transparent"
        raise ImageError(
            f"{photo.name} has no pixel that is {what}, and no mask came: say what is to be filled in by mask= "
            "(--mask), a file that is white there"
        )
    return hole, content


def _of_mask(mask: Any, size: tuple[int, int], *, name: str) -> np.ndarray:
    if isinstance(mask, str) and not Path(mask).is_file():
        raise ImageError(f"mask {mask!r} is no file that is there, nor a colour such as #ff00ff: check its spelling")
    if isinstance(mask, np.ndarray | torch.Tensor):
        mask = _of_numbers(mask)
    read = read_mask(mask, name=None if isinstance(mask, Decoded) else _name_of_mask(mask))
    width, height = size
    if read.size != (width, height):
        across, down = read.width / width, read.height / height
        if abs(width * down - read.width) > 1 and abs(height * across - read.height) > 1:
            raise ImageError(
                f"{read.name} has {read.width}×{read.height} pixels, and {name} has {width}×{height}, another shape: "
                "make them alike"
            )
        read = resized(read, size)
    return read.array[:, :, 0] > 0


def _of_numbers(mask: np.ndarray | torch.Tensor) -> np.ndarray:
    """A mask in numbers as 0 and 255 where it is of one band: bool; 0 and 1; whole numbers up to 255; of floats what is
    beyond the middle of 0 … 1, or of -1 … 1 where some are below 0."""
    array = np.asarray(mask.detach().cpu() if isinstance(mask, torch.Tensor) else mask)
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype.kind == "f" and array.size:
        low, high = float(array.min()), float(array.max())
        if not -1 <= low <= high <= 1:
            return array  # whoever reads it says what is wrong
        array = array > (0.0 if low < 0 else 0.5)
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    whole = array.dtype.kind in "iu" and array.size and 0 <= int(array.min()) <= int(array.max()) <= 255
    return array.astype(np.uint8) if whole else array


def _name_of_mask(mask: Any) -> str | None:
    return None if isinstance(mask, str | bytes) or hasattr(mask, "__fspath__") else "the mask"


def _of_colour(photo: Decoded, colour: str) -> np.ndarray:
    hole = (np.asarray(photo.straight()) == rgb([colour.lower()])[0]).all(axis=2)
    if not hole.any():
        raise ImageError(
            f"{photo.name} has no pixel of exactly {colour}: paint what is to go in that colour and save it as PNG "
            "(JPEG blurs colours), or give a mask"
        )
    return hole


# --- pixels -----------------------------------------------------------------------------------------------------------


def hole_in(source: Raster, place: int) -> np.ndarray:
    """(H, W) bool of an image with its hole as its `place`-th band."""
    return source.array[:, :, place] > 0


def known_picture(source: Raster, place: int) -> Image.Image:
    """The picture in front of the hole."""
    return image_of(np.ascontiguousarray(source.array[:, :, :place].astype(np.uint8)))


def shrunk(source: Raster, size: tuple[int, int], place: int) -> Raster:
    """The image and its hole at another size: the hole as wide as what a resized pixel has of it, so that nothing of
    what it covers shows at its edges."""
    if source.size == size:
        return source
    mask = mask_image(hole_in(source, place))
    if size[0] > source.width or size[1] > source.height:  # bicubic looks at two pixels to each side, of the smaller
        mask = mask.filter(ImageFilter.MaxFilter(5))
    touched = np.asarray(mask.resize(size, Image.Resampling.BILINEAR)) > 0
    made = resized(source, size)
    array = made.array.copy()
    array[:, :, place] = np.asarray(mask_image(touched).filter(ImageFilter.MaxFilter(5)))
    return replace(made, array=array)


def paste(into: AnyImage, part: AnyImage, box: Box) -> None:
    """A window's translation at its place."""
    if isinstance(into, Raster):
        assert isinstance(part, Raster)
        into.array[box[1] : box[3], box[0] : box[2]] = part.array
    else:
        assert isinstance(part, Image.Image)
        into.paste(part.convert(into.mode), box[:2])


def alpha_after(original: WithHole) -> Image.Image | None:
    """The alpha of a filled image: what it had, and where a transparent place was filled nothing is any more."""
    alpha = original.photo.alpha
    if alpha is None or not original.opened:
        return alpha
    return Image.composite(Image.new("L", alpha.size, 255), alpha, original.hole)
