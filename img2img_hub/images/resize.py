"""One image of a data set at the size that training loads: an array of the image's own type.

from img2img_hub.images.resize import resized
print(resized(data.source(0), load_size=286, kind=data.about.source_kind).shape)
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from img2img_hub.images.raster import AnyImage, Raster, RasterKind
from img2img_hub.images.values import resized_bands


def resized(image: AnyImage, *, load_size: int, kind: RasterKind | None = None) -> np.ndarray:
    """``image`` at ``load_size`` x ``load_size`` (bicubic), as (channels, load_size, load_size) of its own type.

    Of a kind of rasters with pixels without data, the last channel says where there is data, by 1.
    """
    size = (load_size, load_size)
    if not isinstance(image, Raster):
        array = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
        return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))
    bands, valid = resized_bands(image.array.transpose(2, 0, 1), image.valid, size=size)
    if kind is not None and kind.masked:
        valid = np.ones(bands.shape[1:], dtype=bool) if valid is None else valid
        bands = np.concatenate([np.where(valid, bands, 0), valid[None]]).astype(bands.dtype)
    return np.ascontiguousarray(bands)
