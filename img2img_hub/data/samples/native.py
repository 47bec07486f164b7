"""The images of opened data at their own size and shape, for crops of the pictures as they are.

from img2img_hub.data.samples.native import NativeImages
from img2img_hub.data.find.sources import DataConfig, open_data

data = open_data(DataConfig(dataset="panoramas"), paired=True, split="train")
print(NativeImages(data, least=(256, 256)).pair(0)[0].shape)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from img2img_hub.data.find.config import DataError
from img2img_hub.data.samples.opened import ImageData, PairedData, Side
from img2img_hub.images.raster import AnyImage, RasterKind
from img2img_hub.images.resize import Size, held, training_array

_MOST_ENLARGED = 2**26  # pixels of an image that is enlarged until a crop fits into it
_REMEMBERED = 512 * 2**20  # bytes of pixels that a process keeps, so that a small data set is decoded once


class NativeImages:
    """Images of their own resolution, in the place of `ResizedImages`: arrays (channels, height, width).

    Args:
        data: what ``open_data`` gave.
        least: what has to fit into a source, (width, height); smaller images are enlarged until it does.
        shorter: pixels of the shorter side, to which sources are resized; None: as they are.
    """

    def __init__(self, data: ImageData, *, least: Size, shorter: int | None = None) -> None:
        self.data = data
        self.least = least
        self.shorter = shorter
        how = "their own size" if shorter is None else f"their own shape, {shorter} pixels at the shorter side"
        self.description = f"Images are cropped at {how}."
        self._recent: OrderedDict[tuple[str, int], tuple[np.ndarray, ...]] = OrderedDict()
        self._bytes = 0

    @cached_property
    def _sides(self) -> list[Side]:
        return list(self.data.sides.values())

    def pair(self, index: int) -> tuple[np.ndarray, ...]:
        """As of `ResizedImages`: of the same shape, those of another scale so many times as large. A target of which
        sources are made may have some pixels more, which are no whole pixel of a source."""
        assert isinstance(self.data, PairedData)
        data = self.data
        if data.corrupter is not None:
            (pixels,) = self._kept("target", index, lambda: self._arrays([data.target(index)], self._sides, index))
            return pixels, pixels
        return self._kept("pair", index, lambda: self._arrays(data.images(index), self._sides, index))

    def source(self, index: int) -> np.ndarray:
        """Source ``index``, modulo their number, of unpaired data. Raises ImageError or DataError as the data does."""
        side = self._sides[0]
        return self._kept("source", index, lambda: self._arrays([self.data.source(index)], [side], index))[0]

    def target(self, index: int) -> np.ndarray:
        """Target ``index``, modulo their number, of unpaired data. Raises ImageError or DataError as the data does."""
        side = self._sides[1]
        return self._kept("target", index, lambda: self._arrays([self.data.target(index)], [side], index))[0]

    def _arrays(self, images: Sequence[AnyImage], sides: Sequence[Side], row: int) -> tuple[np.ndarray, ...]:
        kinds, scales = [side.kind for side in sides], [side.scale for side in sides]
        try:
            return native_arrays(images, kinds, scales, least=self.least, shorter=self.shorter)
        except DataError as error:
            rows = sides[0].rows
            raise DataError(f"{sides[0].images.where(int(rows[row % len(rows)]))}: {error}") from None

    def _kept(self, what: str, index: int, read: Callable[[], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
        """Of those that were asked for last, without a look at the disk."""
        key = (what, index)
        if key in self._recent:
            self._recent.move_to_end(key)
            return self._recent[key]
        made = self._recent[key] = read()
        self._bytes += sum(array.nbytes for array in made)
        while self._bytes > _REMEMBERED:
            _, dropped = self._recent.popitem(last=False)
            self._bytes -= sum(array.nbytes for array in dropped)
        return made

    def __getstate__(self) -> dict[str, object]:
        """Without the pixels: a process that reads images remembers its own."""
        return self.__dict__ | {"_recent": OrderedDict(), "_bytes": 0}


def native_arrays(
    images: Sequence[AnyImage],
    kinds: Sequence[RasterKind | None],
    scales: Sequence[int],
    *,
    least: Size,
    shorter: int | None,
) -> tuple[np.ndarray, ...]:
    """Images of one row, of one shape, as (channels, height, width) each."""
    width, height = images[0].size
    if min(width, height) < scales[0]:
        raise DataError(
            f"a picture of {width}x{height} is too small to be made {scales[0]} times smaller: leave it out"
        )
    sizes = [
        held(image.size, least=least, shorter=shorter, scale=scale) for image, scale in zip(images, scales, strict=True)
    ]
    wide, high = sizes[0]
    if wide * high > max(width * height, _MOST_ENLARGED):
        raise DataError(
            f"a picture of {width}x{height} would have to become {wide}x{high} for a crop of {least[0]}x{least[1]} to "
            "fit: leave it out, or take a smaller --image_size"
        )
    return tuple(
        training_array(image, load_size=size, kind=kind) for image, size, kind in zip(images, sizes, kinds, strict=True)
    )
