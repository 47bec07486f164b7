"""Class numbers, instances and masks: what the values of one band, or the colours of a map, say.

    python -c "from img2img_hub.images.read import read_class_numbers, read_mask; \\
        print(read_class_numbers('labels.png').array.max(), read_mask('mask.png').array.mean() / 255)"

read.py, which decodes the files, calls this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from img2img_hub.errors import counted
from img2img_hub.images.formats import ImageError
from img2img_hub.images.palettes import first_of, foreign_colour, rgb, snapped
from img2img_hub.images.raster import Raster
from img2img_hub.images.remarks import note

_OF_8_BITS = 257  # what 8 bits are multiplied by to be 16
_GREY = 127  # brighter is white, in a mask
_LOSSILY = "compressed in a way that changes values a little, as JPEG does"
_NEARLY_BLACK = 40  # of 255: what JPEG makes of black, and far from what anybody takes for white


class Stored(NamedTuple):
    """What a file holds, before anybody says what it means."""

    values: np.ndarray
    """(H, W) or (H, W, C), of its own type; of an image with a palette the places in that."""
    colours: np.ndarray | None = None
    """(n, 3) uint8, the palette, which may have fewer colours than places are used."""
    alpha: np.ndarray | None = None
    """(H, W), of its own type; None where there is none."""
    lossy: bool = False
    """Whether its format changes values a little, as JPEG does."""
    of_one_bit: bool = False
    """Whether 0 and 1 are the file's black and white."""


def places_in_palette(image: Image.Image) -> Stored:
    """What an image of Pillow's modes P and PA holds."""
    places = np.asarray(image.getchannel(0) if image.mode == "PA" else image)
    colours = np.asarray(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    clear = image.info.get("transparency")
    if image.mode == "PA":
        return Stored(places, colours, np.asarray(image.getchannel("A")))
    if clear is None:
        return Stored(places, colours)
    opaque = np.full(256, 255, dtype=np.uint8)
    if isinstance(clear, bytes):
        opaque[: len(clear)] = np.frombuffer(clear[:256], dtype=np.uint8)
    else:
        opaque[int(clear)] = 0
    return Stored(places, colours, opaque[places])


def class_numbers(
    stored: Stored, *, name: str, palette: Sequence[str] = (), class_names: Sequence[str] = ()
) -> tuple[Raster, int]:
    """One band of class numbers, of uint8 or uint16, and how many pixels of a blurred map are uncertain.

    Numbers are taken as they are. Colours (RGB, or of an image with a palette that has the same colours, whatever their
    places) become their places in `palette`; where the format blurs them, the nearest.

    Raises:
        ImageError: it is neither, or has a colour that is in no palette.
    """
    values = stored.values[:, :, 0] if stored.values.ndim == 3 and stored.values.shape[2] == 1 else stored.values
    _check_axes(values, name=name)
    colours = _colours_of(stored, values, palette, name=name)
    if colours is not None and palette:
        _check_alpha(stored.alpha, name=name)
        found = snapped(colours, rgb(palette), blurred=stored.lossy)
        if found.foreign is not None:
            raise foreign_colour(colours, found.foreign, palette, class_names, name=name)
        if found.uncertain:
            note("blurred", name, f"{found.uncertain / found.numbers.size:.1%} of its pixels uncertain")
        return _raster(found.numbers, name=name), found.uncertain
    cure = "save it as PNG, grey or with a palette, numbered from 0, or "
    cure += "in RGB of 8 bits, in the palette's colours" if palette else "say which colour is which class (--palette)"
    if values.ndim != 2:
        bands = values.shape[2]
        raise ImageError(f"{name} holds colours, {bands} bands of them, where class numbers are needed: {cure}")
    if stored.lossy:
        raise ImageError(f"{name} is {_LOSSILY}, and with them the classes: {cure}")
    _check_alpha(stored.alpha, name=name)
    return _raster(_whole(values, name=name), name=name), 0


def instance_ids(stored: Stored, *, dtype: str, name: str) -> Raster:
    """One band of whole numbers, one an instance. Raises ImageError where it holds others, or some beyond the type."""
    values = stored.values[:, :, 0] if stored.values.ndim == 3 and stored.values.shape[2] == 1 else stored.values
    _check_axes(values, name=name)
    if values.ndim != 2 or stored.lossy:
        had = f"is {_LOSSILY}" if values.ndim == 2 else f"has {values.shape[2]} bands"
        raise ImageError(f"{name} {had}, and instances are whole numbers: save them as grey PNG or TIFF of 16 bits")
    _check_alpha(stored.alpha, name=name)
    whole = _whole(values, name=name, what="instances are numbered by")
    limits = np.iinfo(dtype)
    low, high = whole.min(), whole.max()  # of floats perhaps infinity
    if low < limits.min or high > limits.max:
        raise ImageError(
            f"{name} holds {low:.15g} to {high:.15g}, and the instances beside it go from {limits.min} to "
            f"{limits.max}: renumber them"
        )
    return Raster(array=whole.astype(dtype), by_nearest=(0,), name=name)


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
    step = 255 // (2**bits - 1) if bits in (1, 2, 4) else 1
    return values if step == 1 or (values % step).any() else values // step  # somebody may have drawn in it since


# --- inside -----------------------------------------------------------------------------------------------------------


def in_colours(stored: Stored, *, name: str) -> np.ndarray:
    """(H, W, 3) uint8 of places in a palette. Raises ImageError where that has no such place."""
    assert stored.colours is not None
    beyond = stored.values >= len(stored.colours)
    if beyond.any():
        column, row = first_of(beyond)
        raise ImageError(
            f"{name} has the place {stored.values[row, column]} of its palette at ({column}, {row}), and that has only "
            f"{counted(len(stored.colours), 'colour')}: save it anew"
        )
    return stored.colours[stored.values]


def _colours_of(stored: Stored, values: np.ndarray, palette: Sequence[str], *, name: str) -> np.ndarray | None:
    """(H, W, 3) uint8 of a map in colours, None of one of numbers."""
    known = {tuple(colour): place for place, colour in enumerate(rgb(palette).tolist())}
    if values.ndim == 2 and stored.colours is not None:
        used = np.unique(values).tolist()
        shown = {number: tuple(stored.colours[number].tolist()) for number in used if number < len(stored.colours)}
        theirs = [number for number in used if shown.get(number) in known]
        ramp = len(shown) == len(used) and all(colour == (number,) * 3 for number, colour in shown.items())
        agree = all(known[shown[number]] == number for number in theirs)
        # Most of them, at other places than the classes have: a map in colours, of which the others are none.
        meant = len(theirs) == len(used) or (2 * len(theirs) > len(used) and not agree)
        return in_colours(stored, name=name) if meant and not ramp else None
    if values.ndim == 2:
        if values.dtype != np.uint8 or not known or any(len(set(colour)) > 1 for colour in known):
            return None
        if stored.lossy or (values >= len(palette)).any():
            return np.repeat(values[:, :, None], 3, axis=2)
        _refuse_either(values, known, of_one_bit=stored.of_one_bit, name=name)
        return None
    if values.shape[2] == 3 and values.dtype == np.uint16 and not (values % _OF_8_BITS).any():
        return (values // _OF_8_BITS).astype(np.uint8)
    if values.dtype == np.uint8 and values.shape[2] == 3:
        return values
    return None


def _refuse_either(values: np.ndarray, known: dict[tuple[int, ...], int], *, of_one_bit: bool, name: str) -> None:
    """Raise ImageError for a grey map whose values are class numbers and, as greys, the colours of other classes."""
    greys = {int(value): 255 * int(value) if of_one_bit else int(value) for value in np.unique(values)}
    classes = {value: known.get((grey,) * 3) for value, grey in greys.items()}
    if None in classes.values() or all(value == place for value, place in classes.items()):
        return
    value = next(value for value, place in classes.items() if value != place)
    grey = f"#{greys[value]:02x}" + 2 * f"{greys[value]:02x}"
    raise ImageError(
        f"{name} holds class {value}, or the grey {grey}, which is class {classes[value]}'s: save it in RGB for "
        "colours, or give the palette in the order of its greys"
    )


def _check_alpha(alpha: np.ndarray | None, *, name: str) -> None:
    """Refuse a map of which a pixel is transparent: nobody knows whether it counts."""
    if alpha is None:
        return
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else alpha.max()
    clear = alpha < opaque
    if clear.any():
        column, row = first_of(clear)
        raise ImageError(
            f"{name} has an alpha band, which is {alpha[row, column]} of {opaque} at ({column}, {row}), and a pixel of "
            "such a map is of one or of none: save it without alpha"
        )


def _check_axes(values: np.ndarray, *, name: str) -> None:
    if values.ndim not in (2, 3):
        raise ImageError(f"{name} is an array of shape {values.shape}, and a map has rows and columns: give (H, W)")


def _whole(values: np.ndarray, *, name: str, what: str = "class numbers are") -> np.ndarray:
    """(H, W) as whole numbers. Raises ImageError for what these cannot be."""
    if values.dtype.kind not in "buif":
        raise ImageError(f"{name} is an array of {values.dtype}, and {what} whole numbers: give uint8")
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        raise ImageError(f"{name} holds fractions, and {what} whole numbers: give the map of them")
    return values


def _raster(numbers: np.ndarray, *, name: str) -> Raster:
    low, high = float(numbers.min()), float(numbers.max())
    if not 0 <= low <= high <= 65535:
        raise ImageError(f"{name} holds {low:g} to {high:g}, and class numbers go from 0 to 65535: renumber it")
    return Raster(array=numbers.astype(np.uint8 if high < 256 else np.uint16), by_nearest=(0,), name=name)
