"""What an image file is, from its header alone: an 8-bit picture, or a raster of so many bands of which type.

python -c "from img2img_hub.images.headers import kind_of; print(kind_of('scene.tif'))"
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from img2img_hub.images.deep_png import deep_png_header
from img2img_hub.images.formats import NPY_MAGIC, ImageError, first_bytes, load_npy, name_of, open_file, too_large
from img2img_hub.images.raster import DTYPES, RasterKind
from img2img_hub.images.tiff import Header, is_tiff, tiff_header


class HeaderError(ImageError):
    """A header that cannot be read; whoever reads the pixels has better words."""


def kind_of(
    content: Any, *, no_data: float | None = None, bands: int | None = None, name: str | None = None
) -> RasterKind | None:
    """What an image file, by path or bytes, holds, from its header; None for an 8-bit picture. With `no_data` pictures
    are rasters, too; so are those that have the `bands` asked for with their alpha band, which is a band then.

    Raises:
        HeaderError: the file is missing, damaged or no image.
        ImageError: a TIFF needs tifffile, or a PNG imagecodecs, and that is missing; values that are not computed with.
    """
    try:
        header, picture = _header(content, name=name_of(content, name))
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise too_large(name_of(content, name)) from None
    except Exception as error:  # damaged files make Pillow and tifffile raise nearly anything
        raise HeaderError(f"{name_of(content, name)} is damaged or no image: copy it again, or leave it out") from error
    if header.alpha and bands == header.bands + 1:
        header, picture = header._replace(bands=bands, alpha=False), False
    if picture and no_data is None:
        return None
    if header.dtype not in DTYPES:
        raise ImageError(
            f"{name_of(content, name)} holds {header.dtype} values: convert them to one of {', '.join(DTYPES)} first"
        )
    masked = header.declared or (header.alpha and not picture) or no_data is not None
    masked = masked or header.dtype.startswith("float")
    return RasterKind(bands=header.bands, dtype=header.dtype, masked=masked, no_data=no_data)


_DEEP = {"I": "int32", "F": "float32", "I;16": "uint16", "I;16B": "uint16", "I;16L": "uint16", "I;16N": "uint16"}


def _header(content: Any, *, name: str) -> tuple[Header, bool]:
    """And whether it is an 8-bit picture, or one that Pillow widens to 32 bits."""
    if first_bytes(content) == NPY_MAGIC:
        array = load_npy(content, name=name)
        bands = array.shape[2] if array.ndim == 3 else 1
        return Header(bands, array.dtype.name), array.dtype == np.uint8 and bands in (1, 3)
    if is_tiff(content) and (found := tiff_header(content, name=name)):
        return found, False
    if found := deep_png_header(content, name=name):
        return found, False
    with open_file(content) as image:
        mode, alpha = image.mode, image.has_transparency_data
    if mode in _DEEP:
        return Header(1, _DEEP[mode]), mode == "I"
    return Header(1 if mode in ("1", "L", "LA", "La") else 3, "uint8", alpha=alpha), True
