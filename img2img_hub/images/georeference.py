"""Where an image lies, as the tags of its TIFF say it.

python -c "from img2img_hub.images.read import Decoded; print(Decoded('scene.tif').georeference)"
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

Georeference = dict[int, tuple[int, int, Any]]
"""{tag: (type, count, value)} of the tags that say where an image lies; {} for none."""

# GeoTIFF's tags and rational polynomials, which hold for any image of the same size.
_PIXEL_SCALE, _TIE_POINTS, _TRANSFORMATION, _POLYNOMIALS, _KEYS = 33550, 33922, 34264, 50844, 34735
_FLOATS = (11, 12)  # float and double, as TIFF numbers its types
# {tag: (the types that it may have, how many values belong together)}
_PLACE_TAGS = {
    _PIXEL_SCALE: (_FLOATS, 3),
    _TIE_POINTS: (_FLOATS, 6),
    _TRANSFORMATION: (_FLOATS, 16),
    _KEYS: ((3,), 4),
    34736: (_FLOATS, 1),
    34737: ((2,), 1),
    _POLYNOMIALS: (_FLOATS, 1),
}
_RASTER_TYPE, _OF_MIDDLES = 1025, 2  # of the keys, and its value where a pixel's place is its middle, no corner


def georeference_from(tags: ImageFileDirectory_v2) -> Georeference:
    """The tags that say where an image lies, but for those of other types or lengths than theirs: a decoder or encoder
    may fail by these, and even end the process."""
    found: Georeference = {}
    for code, (kinds, together) in _PLACE_TAGS.items():
        if code not in tags or tags.tagtype[code] not in kinds:
            continue
        value = tags[code]
        if isinstance(value, str):
            found[code] = (tags.tagtype[code], len(value) + 1, value)
            continue
        numbers = value if isinstance(value, tuple) else (value,)
        sound = all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
        if sound and 2 not in kinds and numbers and len(numbers) % together == 0:
            found[code] = (tags.tagtype[code], len(numbers), value)
    return found


def enlarged_georeference(tags: Georeference, scale: int) -> Georeference:
    """Of the same place in ``scale`` times the pixels a side (GeoTIFF 1.1, annex B). Rational polynomials are left out:
    they are fitted to the sensor's own pixels."""
    if scale == 1:
        return tags
    # A pixel's middle, where that is its place, is the middle of scale × scale pixels.
    shift = (scale - 1) / 2 if _places_are_middles(tags) else 0.0
    found = {code: tag for code, tag in tags.items() if code != _POLYNOMIALS}
    if _PIXEL_SCALE in found:
        kind, _, (across, down, up, *_) = found[_PIXEL_SCALE]
        found[_PIXEL_SCALE] = kind, 3, (across / scale, down / scale, up)
    if _TIE_POINTS in found:
        kind, count, value = found[_TIE_POINTS]
        moved = tuple(scale * each + shift if place % 6 < 2 else each for place, each in enumerate(value))
        found[_TIE_POINTS] = kind, count, moved
    if _TRANSFORMATION in found:
        kind, count, value = found[_TRANSFORMATION]
        made: list[float] = []
        for across, down, up, origin in zip(*[iter(value)] * 4, strict=True):
            made += [across / scale, down / scale, up, origin - (across + down) / scale * shift]
        found[_TRANSFORMATION] = kind, count, tuple(made)
    return found


def _places_are_middles(tags: Georeference) -> bool:
    keys = tags[_KEYS][2] if _KEYS in tags else ()
    return any(keys[first] == _RASTER_TYPE and keys[first + 3] == _OF_MIDDLES for first in range(4, len(keys), 4))
