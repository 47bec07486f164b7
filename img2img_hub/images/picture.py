"""Arrays, tensors and whatever modes Pillow has, as 8-bit pictures, "L" or "RGB"; and pictures as tensors.

    python -c "from PIL import Image; from img2img_hub.images.picture import to_tensor; \
        print(to_tensor(Image.new('RGB', (8, 6))).shape)"

Files are read.py's business.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from img2img_hub.images.formats import ImageError
from img2img_hub.images.remarks import look_at_depth

MODES = {1: "L", 3: "RGB"}
"""Of a picture, by its channels."""


def to_tensor(image: Image.Image) -> Tensor:
    """An "L" or "RGB" image as (C, H, W) float32 in [-1, 1], computed as (x / 255 - 0.5) / 0.5."""
    if image.mode not in MODES.values():
        raise ImageError(f"image has mode {image.mode}; to_tensor takes L and RGB: call read_image(image) first")
    array = np.array(image, dtype=np.float32)
    if array.ndim == 2:
        array = array[:, :, None]
    return torch.from_numpy(array).permute(2, 0, 1).contiguous().div_(255).sub_(0.5).div_(0.5)


def to_image(tensor: Tensor) -> Image.Image:
    """The inverse of ``to_tensor``: (C, H, W) or (1, C, H, W) in [-1, 1], clamped and rounded, to "L" or "RGB"."""
    if tensor.ndim == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] not in MODES or 0 in tensor.shape:
        raise ImageError(f"tensor has shape {tuple(tensor.shape)}: give one image, (1, H, W) or (3, H, W)")
    values = tensor.detach().float().cpu()
    if not bool(torch.isfinite(values).all()):
        raise ImageError("tensor holds NaN or infinity, which no pixel can show: the network that made it has diverged")
    return image_of(values.mul(0.5).add(0.5).mul(255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy())


def image_of(array: np.ndarray) -> Image.Image:
    """An (H, W) or (H, W, C) array, of one of the types that Pillow knows, as an image."""
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2:] == (1,) else array))


def mask_image(mask: np.ndarray) -> Image.Image:
    """An (H, W) bool array as "L": 255 where it is true."""
    return Image.fromarray(mask.astype(np.uint8) * np.uint8(255))


def from_tensor(tensor: Tensor, *, name: str) -> Image.Image:
    """(C, H, W) in [-1, 1], checked. Raises ImageError."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        raise ImageError(f"{name} is a tensor of {tensor.dtype}, shape {tuple(tensor.shape)}: give float in [-1, 1]")
    check_unit_range(tensor, name=name, cure="scale them to [-1, 1] first")
    return to_image(tensor)


def numbers_of(tensor: Any, *, name: str) -> np.ndarray | None:
    """(H, W), the numbers of a tensor (H, W), (1, H, W) or (1, 1, H, W); None of what is no tensor, or one that shows
    colours, as of ``from_tensor``. Raises ImageError."""
    if not isinstance(tensor, Tensor):
        return None
    one = tensor.detach().cpu()
    while one.ndim > 2 and len(one) == 1:
        one = one[0]
    if one.ndim == 2:
        return (one.double() if one.is_floating_point() else one).numpy()
    if one.is_floating_point() and one.ndim == 3 and len(one) == 3:
        return None
    raise ImageError(
        f"{name} is a tensor of {tensor.dtype}, shape {tuple(tensor.shape)}: give (H, W) of whole numbers, or colours "
        "as floats (3, H, W) in [-1, 1]"
    )


def check_unit_range(tensor: Tensor, *, name: str, cure: str) -> None:
    """Refuse values that are not in [-1, 1]. Raises ImageError."""
    low, high = float(tensor.min()), float(tensor.max())
    if not (low >= -1.001 and high <= 1.001):  # a little room for rounding in half precision
        raise ImageError(f"{name} is a tensor with values from {low:g} to {high:g}: {cure}")


def from_bands(array: np.ndarray, *, name: str) -> Image.Image:
    """(H, W, 1) or (H, W, 3), as of ``from_array``; other numbers of bands are no picture. Raises ImageError."""
    if array.shape[2] not in MODES:
        raise ImageError(
            f"{name} has {array.shape[2]} bands, and a picture has 1 (grey) or 3 (RGB): use a model of such bands"
        )
    return from_array(array, name=name)


def from_array(array: np.ndarray, *, name: str) -> Image.Image:
    """(H, W) or (H, W, C) of bool, uint8, uint16 or floats in 0..1, with alpha where C is 2 or 4. Raises ImageError."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (2, 3, 4))):
        raise ImageError(f"{name} is an array of shape {array.shape}: give (H, W) or (H, W, C) with C in 1, 2, 3, 4")
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype == np.uint16:
        array = _scaled(array, top=65535, name=name)
    elif np.issubdtype(array.dtype, np.floating):
        array = _scaled(array, top=1.0, name=name)
    elif array.dtype != np.uint8:
        raise ImageError(
            f"{name} is an array of {array.dtype}: give uint8 in 0..255, uint16 in 0..65535 or float in 0..1"
        )
    return image_of(array)


def to_eight_bits(image: Image.Image, *, name: str) -> Image.Image:
    """Scale 16-bit and float grey to "L" by value, with alpha where a value is transparent; leave every other mode."""
    if image.mode == "F":
        return Image.fromarray(_scaled(np.asarray(image), top=1.0, name=name))
    if is_deep(image):
        # Pillow reads 16-bit grey as "I" from some formats, so that its values are taken to run to 65535 too.
        array = np.asarray(image)
        scaled = Image.fromarray(_scaled(array, top=65535, name=name))
        look_at_depth(array, name=name)
        if isinstance(clear := image.info.get("transparency"), int):
            scaled.putalpha(mask_image(array != clear))
        return scaled
    return image


def is_deep(image: Image.Image) -> bool:
    """Whether it is grey of 16 or 32 bits."""
    return image.mode == "I" or image.mode.startswith("I;16")


def is_grey(image: Image.Image) -> bool:
    return image.mode in {"1", "L", "LA", "La", "F"} or is_deep(image)


def converted(image: Image.Image, mode: str, *, name: str) -> Image.Image:
    """`image.convert(mode)`, with a message of ours where Pillow knows no way."""
    try:
        return image.convert(mode)
    except (ValueError, TypeError):  # no way from LAB to anything; a transparency that its mode cannot have
        raise ImageError(
            f"{name} has colours of mode {image.mode} that cannot be read as {mode}: save it as RGB first"
        ) from None


def _scaled(array: np.ndarray, *, top: float, name: str) -> np.ndarray:
    """Values in 0..top to uint8 in 0..255, rounded. Others are refused: to clip or stretch them would be a guess."""
    low, high = float(array.min()), float(array.max())
    if np.isnan(low):
        raise ImageError(f"{name} has pixels that are NaN: fill them, or use a model of rasters")
    if not (low >= -0.001 * top and high <= 1.001 * top):  # a little room for rounding
        raise ImageError(f"{name} holds values from {low:g} to {high:g}: scale them to 0..{top:g} first")
    return np.round(array.astype(np.float64) * (255.0 / top)).clip(0, 255).astype(np.uint8)
