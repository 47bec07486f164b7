"""Images of other sizes, bicubic, class numbers and masks by nearest neighbours; and tensors padded to what a network
takes, and cropped back.

    python -c "from img2img_hub.images.read import read_image as r; from img2img_hub.images.resize import resized; \\
        resized(r('photo.jpg'), (286, 286)).save('small.png')"

Everything that a network sees is resized here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from img2img_hub.images.raster import AnyImage, Raster, RasterKind

_MOST_RESIZED = 1e30  # a value's distance from its band's middle, for a sum of several to stay a float32
_MOST_BETWEEN = 2**26  # pixels
_VALID_SHARE = 0.5  # of the data below a pixel of a resized image, for it to have data

AnImage = TypeVar("AnImage", Image.Image, Raster, AnyImage)
Size = tuple[int, int]
"""Width and height, in pixels."""


def sides(size: int | Sequence[int]) -> Size:
    """Width and height of what is said by one number for a square, or by two."""
    if isinstance(size, int):
        return size, size
    width, height = size
    return int(width), int(height)


def in_words(size: int | Sequence[int]) -> str:
    """ "256" of a square, else "900 300", as it is typed."""
    width, height = sides(size)
    return str(width) if width == height else f"{width} {height}"


def held(size: Size, *, least: Size, shorter: int | None = None, scale: int = 1) -> Size:
    """The size nearest to ``size``, of its shape, that ``least`` fits into; its shorter side is ``shorter`` pixels, if
    that is said and large enough. Both are of images ``scale`` times smaller a side, of at least one pixel; a size that
    stays keeps what is no whole one of those."""
    width, height = (max(side // scale, 1) for side in size)
    factor = 1.0 if shorter is None else shorter / min(width, height)
    factor = max(factor, least[0] / width, least[1] / height)
    if factor == 1:
        return size
    return max(least[0], round(width * factor)) * scale, max(least[1], round(height * factor)) * scale


def resized(image: AnImage, size: tuple[int, int]) -> AnImage:
    """``image`` at ``size`` (width, height), itself where it has that; a raster's georeference goes."""
    if image.size == size:
        return image
    if not isinstance(image, Raster):
        return _by_pillow(image, size, Image.Resampling.BICUBIC)
    bands, valid = resized_bands(image.array.transpose(2, 0, 1), image.valid, size=size, by_nearest=image.by_nearest)
    return replace(image, array=bands.transpose(1, 2, 0), valid=valid, georeference={})


def training_array(image: AnyImage, *, load_size: int | Size, kind: RasterKind | None = None) -> np.ndarray:
    """``image`` at ``load_size``, for a square or (width, height), as (channels, height, width) of its own type.

    Of a kind of rasters with pixels without data, the last channel says where there is data, by 1.
    """
    image = resized(image, sides(load_size))
    if not isinstance(image, Raster):
        array = np.asarray(image)
        return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))
    bands, valid = image.array.transpose(2, 0, 1), image.valid
    if kind is not None and kind.masked:
        valid = np.ones(bands.shape[1:], dtype=bool) if valid is None else valid
        bands = np.concatenate([np.where(valid, bands, 0), valid[None]]).astype(bands.dtype)
    return np.ascontiguousarray(bands)


def resized_bands(
    bands: np.ndarray, valid: np.ndarray | None, *, size: tuple[int, int], by_nearest: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray | None]:
    """(C, H, W) and (H, W) at `size` (width, height), of the same type: bicubic or, beside pixels without data, whose
    values must not spread, the mean of those with data (bilinear); as Pillow does, with averaging where it shrinks.
    Of the bands that are named, each pixel is the nearest one."""
    height, width = bands.shape[1:]
    if (width, height) == size:
        return bands, valid
    if len(by_nearest) == len(bands):
        return np.stack([_nearest(band, size) for band in bands]), None if valid is None else _nearest(valid, size)
    weight = None if valid is None else _resized(valid, size, Image.Resampling.BILINEAR)
    made = [
        _nearest(band, size) if number in by_nearest else _rounded(_resized_band(band, valid, weight, size), band.dtype)
        for number, band in enumerate(bands)
    ]
    return np.stack(made), None if weight is None else weight >= _VALID_SHARE


def _nearest(band: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(height, width), each the pixel that its middle lies in, as Pillow has it; of any type, to the last bit."""
    columns, rows = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.int64)
        for new, old in zip(size, reversed(band.shape), strict=True)
    )
    return band[rows[:, None], columns[None]]


def _resized_band(
    band: np.ndarray, valid: np.ndarray | None, weight: np.ndarray | None, size: tuple[int, int]
) -> np.ndarray:
    """(height, width), of float64 where the band is of 32 bits or more."""
    middle = None
    if band.dtype.itemsize >= 4:  # Pillow resizes float32: small differences of large values count, 1e38 overflows
        known = band.ravel() if valid is None else band[valid]
        middle = np.median(known[:: max(1, len(known) // 1000)].astype(np.float64)) if len(known) else 0.0
        band = np.clip(band - middle, -_MOST_RESIZED, _MOST_RESIZED)
    if valid is None or weight is None:
        made = _resized(band, size, Image.Resampling.BICUBIC)
    else:
        made = _resized(np.where(valid, band, 0), size, Image.Resampling.BILINEAR) / np.maximum(weight, 1e-6)
    return made if middle is None else made.astype(np.float64) + middle


def _resized(band: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    return np.asarray(_by_pillow(Image.fromarray(np.ascontiguousarray(band, dtype=np.float32)), size, how))


def _by_pillow(image: Image.Image, size: tuple[int, int], how: Image.Resampling) -> Image.Image:
    """Pillow goes along the rows first, and what is between may be enormous where an image is long and flat: then the
    other way round."""
    width, height = size
    between = width * image.height
    if between > _MOST_BETWEEN and image.width * height < between:
        image = image.resize((image.width, height), how)
    return image.resize(size, how)


def _rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.round(values.astype(np.float64)).clip(limits.min, limits.max).astype(dtype)


def enlarged(mask: np.ndarray, scale: int) -> np.ndarray:
    """(H, W) at ``scale`` times the size, each pixel as many times."""
    return mask if scale == 1 else mask.repeat(scale, axis=0).repeat(scale, axis=1)


def pad_to_multiple(batch: Tensor, *, multiple: int) -> tuple[Tensor, tuple[int, int]]:
    """Reflect-pad (N, C, H, W) on all sides, evenly, until H and W are multiples of ``multiple``.

    Returns the padded batch and (top, left), the place of the original in it, for ``crop``. An image smaller than
    its padding is reflected back and forth; a single row or column is repeated.
    """
    rows, top = reflected(batch.shape[-2], multiple, batch.device)
    columns, left = reflected(batch.shape[-1], multiple, batch.device)
    return batch.index_select(-2, rows).index_select(-1, columns), (top, left)


def crop(batch: Tensor, *, top: int, left: int, height: int, width: int) -> Tensor:
    """The (…, height, width) window of ``batch`` whose first pixel is (top, left)."""
    return batch[..., top : top + height, left : left + width]


def reflected(size: int, multiple: int, device: torch.device) -> tuple[Tensor, int]:
    """Positions in 0..size-1 that a reflected line of the next multiple reads, and how many precede the original."""
    padding = -size % multiple
    before = padding // 2
    positions = torch.arange(-before, size + padding - before, device=device)
    if size == 1:
        return torch.zeros_like(positions), before
    period = 2 * (size - 1)
    positions = positions.remainder(period)
    return torch.minimum(positions, period - positions), before
