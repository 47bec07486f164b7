"""Class numbers and masks: what the values of one band say.

    python -c "from img2img_hub.images.read import read_class_numbers, read_mask; \\
        print(read_class_numbers('labels.png').array.max(), read_mask('mask.png').array.mean() / 255)"

read.py, which decodes the files, calls this.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from img2img_hub.images.formats import ImageError
from img2img_hub.images.raster import Raster

_GREY = 127  # brighter is white, in a mask
_NEARLY_BLACK = 40  # of 255: what JPEG makes of black, and far from what anybody takes for white


def class_numbers(array: np.ndarray, *, name: str) -> Raster:
    """One band of class numbers, of uint8 or uint16. Raises ImageError for what these cannot be."""
    bands = 1 if array.ndim == 2 else array.shape[2]
    if bands != 1:
        raise ImageError(
            f"{name} holds colours, {bands} bands of them, where each pixel's class number is needed: save it as grey "
            f"or with a palette, numbered from 0"
        )
    if array.dtype.kind not in "buif":
        raise ImageError(f"{name} is an array of {array.dtype}, and class numbers are whole: give uint8")
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
        raise ImageError(f"{name} holds fractions, and class numbers are whole: give the map of classes")
    if not 0 <= low <= high <= 65535:
        raise ImageError(f"{name} holds {low:g} to {high:g}, and class numbers go from 0 to 65535: renumber it")
    return Raster(array=array.astype(np.uint8 if high < 256 else np.uint16), by_nearest=(0,), name=name)


def white_of(numbers: np.ndarray, *, palette: bool, grey: Callable[[], np.ndarray], name: str) -> np.ndarray:
    """(H, W) bool, where a mask is white.

    Args:
        numbers: the file's values, or places in its palette.
        grey: gives the picture, (H, W) uint8.

    Raises:
        ImageError: nothing is white, and it is not black.
    """
    numbers = numbers[:, :, 0] if numbers.ndim == 3 and numbers.shape[2] == 1 else numbers
    ones = numbers.ndim == 2 and numbers.dtype.kind in "bui" and 0 <= numbers.min() <= numbers.max() <= 1
    if ones and not palette:
        return numbers > 0
    shades = grey()
    brightest = int(shades.max())
    if ones and brightest <= _GREY:  # 1 is of some colour that only tells it from 0
        return numbers > 0
    if _NEARLY_BLACK < brightest <= _GREY:
        raise ImageError(
            f"{name} is a mask, and nothing in it is white, the brightest pixel being {brightest} of 255: save it as 0 "
            f"and 255, or as 0 and 1"
        )
    return shades > (_GREY if brightest > 1 else 0)


def narrowed(values: np.ndarray, *, bits: int) -> np.ndarray:
    """What Pillow spread over 8 bits in the bits of the file, where those are fewer."""
    return values // (255 // (2**bits - 1)) if bits in (1, 2, 4) else values
