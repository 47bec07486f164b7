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

Box = tuple[int, int, int, int]
"""(left, top, right, bottom)."""
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
"""What is a colour in the place of a mask."""
_CELLS = 8  # to a window's smallest side: holes that lie no further apart are one
_AROUND = 2  # times a hole's own sides a window has at least


class WithHole(Decoded):
    """An image and its hole as one raster, band behind band, which remembers the image by itself.

    Args:
        hole: (H, W) bool.
        photo: the image.
        opened: whether the hole is what was transparent, or without data, and is so no more when it is filled.
    """

    def __init__(self, content: Raster, *, hole: np.ndarray, photo: Decoded, opened: bool) -> None:
        super().__init__(content, name=photo.name)
        self.hole = mask_image(hole)
        self.photo = photo
        self.opened = opened


def is_colour(mask: Any) -> bool:
    """Whether a mask is named as a colour, "#ff00ff": what has exactly that one is the hole."""
    return isinstance(mask, str) and COLOUR.fullmatch(mask) is not None


def with_hole(image: ImageLike, mask: ImageLike | None, slots: Sequence[Slot], **others: ImageLike) -> WithHole:
    """An image and its hole, and what else a model reads, as one.

    Args:
        image: what is to be filled.
        mask: white where the hole is; of another size but the same shape it is resized. A colour, see `is_colour`.
            None: what is transparent in the image, or without data.
        slots: what the model reads: the image, the mask, and perhaps the image once more, as it is.
        others: images for slots behind the mask, by name; they are the image itself by default.

    Raises:
        ImageError: one of them cannot be read, the mask has another shape, or nothing is left to fill it from.
    """
    photo = Decoded.of(image)
    hole_slot = next(slot for slot in slots if slot.kind == "hole")
    first = slots[0]
    content = photo.straight(channels=first.bands) if first.kind == "picture" else first.read(photo)
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
    given = {slot.name: others.get(slot.name, content) for slot in slots}
    given[hole_slot.name] = Raster(array=hole.astype(np.uint8) * np.uint8(255), by_nearest=(0,), name=photo.name)
    raster = stacked(given, slots)
    raster = replace(raster, name=photo.name, georeference=photo.georeference)
    return WithHole(raster, hole=hole, photo=photo, opened=mask is None)


def in_the_middle(image: ImageLike, slots: Sequence[Slot]) -> dict[str, Any]:
    """An image with a hole of a third of its sides in its middle, by name: for trials, for which nobody drew one."""
    photo = Decoded.of(image)
    width, height = photo.size
    hole = np.zeros((height, width), dtype=bool)
    hole[height // 3 : height - height // 3, width // 3 : width - width // 3] = True
    return {slots[0].name: photo, next(slot.name for slot in slots if slot.kind == "hole"): hole}


def joined_with_hole(
    image: ImageLike | Mapping[str, ImageLike], mask: ImageLike | None, slots: Sequence[Slot]
) -> Decoded:
    """What a caller gives as one: an image and perhaps a mask, both by name, or what was put together before.

    Raises:
        ImageError: names that are none of the slots', a hole that is said twice; see `with_hole`.
    """
    if not isinstance(image, Mapping):
        decoded = Decoded.of(image)
        if isinstance(decoded.content, Raster) and decoded.content.bands == sum(slot.bands for slot in slots):
            return decoded
        return with_hole(decoded, mask, slots)
    images = dict(image)
    first, hole = slots[0].name, next(slot.name for slot in slots if slot.kind == "hole")
    if first not in images or not set(images) <= {slot.name for slot in slots}:
        came = ", ".join(map(str, images)) or "nothing"
        raise ImageError(f'the model fills holes, and {came} came: give {{"{first}": …, "{hole}": …}}')
    if mask is not None and hole in images:
        raise ImageError(f"mask= and {hole} both say where the hole is: give one of them")
    mask = images.pop(hole, mask)
    return with_hole(images.pop(first), mask, slots, **images)


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
    if isinstance(mask, np.ndarray | torch.Tensor) and mask.dtype in (np.bool_, torch.bool):
        mask = np.asarray(mask).astype(np.uint8) * np.uint8(255)
    read = read_mask(mask, name=None if isinstance(mask, Decoded) else _name_of_mask(mask))
    width, height = size
    if read.size != (width, height):
        across, down = read.width / width, read.height / height
        if abs(width * down - read.width) > 1 and abs(height * across - read.height) > 1:
            raise ImageError(
                f"{read.name} is a mask of {read.width}×{read.height} pixels, and {name} has {width}×{height}, "
                "another shape: make them alike"
            )
        read = resized(read, size)
    return read.array[:, :, 0] > 0


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


# --- windows ----------------------------------------------------------------------------------------------------------


def windows(hole: np.ndarray, *, least: int, square: bool = False) -> list[Box]:
    """Windows that together hold all of a hole, (H, W) bool, and none of which overlaps another.

    Each is at least `least` pixels a side and twice as wide and high as what it holds of the hole, as far as the image
    reaches.

    Args:
        square: whether what becomes of a window is a square, so that it should be one.
    """
    height, width = hole.shape
    boxes = [_around(box, width, height, least=least, square=square) for box in _parts(hole, max(1, least // _CELLS))]
    while True:  # two that overlap become one, which may overlap others
        pair = next(((a, b) for a in range(len(boxes)) for b in range(a) if _overlap(boxes[a], boxes[b])), None)
        if pair is None:
            return sorted(boxes, key=lambda box: (box[1], box[0]))
        one, other = boxes.pop(pair[0]), boxes.pop(pair[1])
        boxes.append((min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])))


def _parts(hole: np.ndarray, cell: int) -> list[Box]:
    """The boxes around what of a hole hangs together, or nearly so."""
    height, width = hole.shape
    rows, columns = -(-height // cell), -(-width // cell)
    padded = np.zeros((rows * cell, columns * cell), dtype=bool)
    padded[:height, :width] = hole
    cells = padded.reshape(rows, cell, columns, cell).any(axis=(1, 3))
    left = {(int(row), int(column)) for row, column in np.argwhere(cells)}
    boxes = []
    while left:
        waiting, part = [left.pop()], []
        while waiting:
            row, column = waiting.pop()
            part.append((row, column))
            near = [(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
            found = [each for each in near if each in left]
            left.difference_update(found)
            waiting += found
        top, first = min(row for row, _ in part) * cell, min(column for _, column in part) * cell
        bottom, last = (max(row for row, _ in part) + 1) * cell, (max(column for _, column in part) + 1) * cell
        own = hole[top:bottom, first:last]
        across, down = np.flatnonzero(own.any(axis=0)), np.flatnonzero(own.any(axis=1))
        boxes.append((first + int(across[0]), top + int(down[0]), first + int(across[-1]) + 1, top + int(down[-1]) + 1))
    return boxes


def _around(box: Box, width: int, height: int, *, least: int, square: bool) -> Box:
    sides = [max(least, _AROUND * (box[axis + 2] - box[axis])) for axis in (0, 1)]
    sides = [max(sides)] * 2 if square else sides
    begins, ends = [], []
    for axis, (side, whole) in enumerate(zip(sides, (width, height), strict=True)):
        side = min(side, whole)
        begin = min(max((box[axis] + box[axis + 2] - side) // 2, 0), whole - side)
        begins.append(begin)
        ends.append(begin + side)
    return begins[0], begins[1], ends[0], ends[1]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


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
    mask = (
        mask_image(hole_in(source, place))
        .resize(size, Image.Resampling.BILINEAR)
        .point(lambda value: 255 * (value > 0))
    )
    made = resized(source, size)
    array = made.array.copy()
    array[:, :, place] = np.asarray(mask.filter(ImageFilter.MaxFilter(5)))
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
