"""Where an image lies, as the tags of its TIFF say it.

python -c "from img2img_hub.images.read import Decoded; print(Decoded('scene.tif').georeference)"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

Georeference = dict[int, tuple[int, int, Any]]
"""{tag: (type, count, value)} of the tags that say where an image lies; {} for none."""

# GeoTIFF's tags and rational polynomials, which hold for any image of the same size.
_PIXEL_SCALE, _TIE_POINTS, _TRANSFORMATION, _POLYNOMIALS = 33550, 33922, 34264, 50844
_PLACE_TAGS = (_PIXEL_SCALE, _TIE_POINTS, _TRANSFORMATION, 34735, 34736, 34737, _POLYNOMIALS)


def georeference_from(tags: ImageFileDirectory_v2) -> Georeference:
    """The tags that say where an image lies."""
    found: Georeference = {}
    for code in _PLACE_TAGS:
        if code in tags:
            value = tags[code]
            count = len(value) + 1 if isinstance(value, str) else len(value) if isinstance(value, tuple) else 1
            found[code] = (tags.tagtype[code], count, value)
    return found


def enlarged_georeference(tags: Georeference, scale: int) -> Georeference:
    """Of the same place in ``scale`` times the pixels a side (GeoTIFF 1.1, annex B). Rational polynomials are left out:
    they are fitted to the sensor's own pixels."""
    if scale == 1:
        return tags
    factors = {
        _PIXEL_SCALE: (1 / scale, 1 / scale, 1),
        _TIE_POINTS: (scale, scale, 1, 1, 1, 1),
        _TRANSFORMATION: (1 / scale, 1 / scale, 1, 1),
    }
    found = {code: tag for code, tag in tags.items() if code != _POLYNOMIALS}
    for code, each in factors.items():
        if code in found:
            kind, count, value = found[code]
            found[code] = kind, count, tuple(number * each[place % len(each)] for place, number in enumerate(value))
    return found
