"""Arrays as TIFF files, with what is no data and where they lie; and the same tags for pictures that Pillow writes.

python -c "from img2img_hub.images.read import read_raster; read_raster('scene.tif').save('copy.tif')"
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from img2img_hub.images.georeference import Georeference
from img2img_hub.images.tiff import NO_DATA, tifffile_for

_ASCII = 2  # the type of a tag that is text


def write_tiff(
    file: BinaryIO, array: np.ndarray, *, no_data: float | None, georeference: Georeference, name: str
) -> None:
    """Write (H, W, C) as one TIFF image, losslessly compressed, its bands as samples."""
    tags = []
    for code in sorted(georeference):
        kind, count, value = georeference[code]  # text that is not ASCII, as tifffile wants it to be, goes as bytes
        tags.append((code, kind, count, value.encode("latin-1", "replace") if isinstance(value, str) else value, True))
    if no_data is not None:
        text = f"{no_data:.17g}"
        tags.append((NO_DATA, _ASCII, len(text) + 1, text, True))
    bands = array.shape[2]
    tifffile_for(name).imwrite(
        file,
        array if bands > 1 else array[:, :, 0],
        photometric="rgb" if bands == 3 and array.dtype == np.uint8 else "minisblack",
        planarconfig="contig" if bands > 1 else None,
        compression="zlib",
        metadata=None,
        extratags=tags,
    )


def for_pillow(georeference: Georeference) -> ImageFileDirectory_v2:
    """What Pillow's `save(path, tiffinfo=…)` takes to write a picture with a georeference."""
    tags = ImageFileDirectory_v2()
    for code, (kind, _, value) in georeference.items():
        tags.tagtype[code] = kind
        tags[code] = value
    return tags
