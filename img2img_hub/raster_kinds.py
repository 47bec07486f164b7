"""What an image file is, from its header alone: an 8-bit picture, or a raster of so many bands of which type.

python -c "from img2img_hub.raster_kinds import kind_of; print(kind_of('scene.tif'))"
"""

from __future__ import annotations

from typing import Any

import numpy as np

from img2img_hub.images import ImageError, name_of, open_file
from img2img_hub.rasters import DTYPES, NPY_MAGIC, RasterKind, first_bytes, load_npy
from img2img_hub.tiffs import is_tiff, tiff_header


class HeaderError(ImageError):
    """A header that cannot be read; whoever reads the pixels has better words."""


def kind_of(content: Any, *, no_data: float | None = None, name: str | None = None) -> RasterKind | None:
    """What an image file, by path or bytes, holds, from its header; None for an 8-bit picture. With `no_data` pictures
    are rasters, too.

    Raises:
        HeaderError: the file is missing, damaged or no image.
        ImageError: a TIFF needs tifffile, and that is missing; values that are not computed with.
    """
    try:
        header = _header(content, name=name_of(content, name), pictures=no_data is not None)
    except ImageError:
        raise
    except Exception as error:  # damaged files make Pillow and tifffile raise nearly anything
        raise HeaderError(f"{name_of(content, name)} is damaged or no image: copy it again, or leave it out") from error
    if header is None:
        return None
    bands, dtype, declared = header
    if dtype not in DTYPES:
        raise ImageError(
            f"{name_of(content, name)} holds {dtype} values: convert them to one of {', '.join(DTYPES)} first"
        )
    masked = declared or no_data is not None or dtype.startswith("float")
    return RasterKind(bands=bands, dtype=dtype, masked=masked, no_data=no_data)


def _header(content: Any, *, name: str, pictures: bool) -> tuple[int, str, bool] | None:
    if first_bytes(content) == NPY_MAGIC:
        array = load_npy(content, name=name)
        bands = array.shape[2] if array.ndim == 3 else 1
        picture = array.dtype == np.uint8 and bands in (1, 3)
        return None if picture and not pictures else (bands, str(array.dtype), False)
    if is_tiff(content) and (found := tiff_header(content, name=name)):
        return found
    with open_file(content) as image:
        mode = image.mode
    deep = {"I;16": "uint16", "I;16B": "uint16", "I;16L": "uint16", "I;16N": "uint16", "F": "float32"}.get(mode)
    if deep is not None:
        return 1, deep, False
    if pictures and mode == "I":
        return 1, "int32", False
    return (1 if mode in ("1", "L", "LA") else 3, "uint8", False) if pictures else None
