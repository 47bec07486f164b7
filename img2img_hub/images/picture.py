"""Files, PIL images and arrays to tensors and back: orientation, bands, bit depth, value range, padding.

Everything that reads an image, be it for training, the command line or the web page, reads it here:

    python -c "from img2img_hub.images.picture import read_image; print(read_image('photo.jpg').size)"

Three things come out of here and nothing else: an upright 8-bit PIL image ("RGB" or "L"), its alpha band, and a
(C, H, W) float32 tensor in [-1, 1].
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Union

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from img2img_hub.images.remarks import look_at_alpha, look_at_depth, look_at_greys

if TYPE_CHECKING:  # which reads pictures by this module
    from img2img_hub.images.raster import Raster

ImageLike = Union[str, Path, bytes, Image.Image, np.ndarray, Tensor, "Raster"]

FORMATS = (
    *("PNG", "JPEG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF"),
    *("ICO", "ICNS", "PCX", "SGI", "QOI", "PSD", "DDS", "TGA"),
)
"""What Pillow may take a file for, whatever its name says. All of these are decoded in this process; others, such as
PostScript, start an outside program, and none should run because somebody sent a file. TGA comes last: it has no mark
at its beginning, and Pillow takes icons for it."""

IMAGE_EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
"""Lower-case file name endings of the images that are read from folders."""

_MODES = {1: "L", 3: "RGB"}
_GREY_MODES = {"1", "L", "LA", "La", "I", "F"}
_WHITE = {"LA": (255, 255), "RGBA": (255, 255, 255, 255)}


class ImageError(ValueError):
    """An image that cannot be used. The message names the file (or "image") and what to do about it."""


def read_image(image: ImageLike, *, channels: int = 3, name: str | None = None) -> Image.Image:
    """Read any image as an upright 8-bit PIL image of its own size, "RGB" (``channels=3``) or "L" (``channels=1``).

    The EXIF orientation is applied; palette, 1-bit, grey, CMYK and 16-bit images are converted, 16-bit values being
    scaled (65535 becomes 255), never clipped; what is transparent shows white.

    Args:
        image: a path, the bytes of a file, a PIL image, an array (H, W) or (H, W, C) of uint8 in 0..255, uint16 in
            0..65535 or float in 0..1, or a tensor (C, H, W) of float in [-1, 1].
        channels: 1 or 3.
        name: what messages call the image; its path by default.

    An ICC profile that still fits the bands is kept in ``.info``. Raises ImageError for anything that is missing,
    empty, damaged, too large or not an image.
    """
    if channels not in _MODES:
        raise ValueError(f"channels is {channels!r}, which no image here has: give 1 (grey) or 3 (RGB)")
    upright = open_upright(image, name=name)
    grey = upright.mode in _GREY_MODES or upright.mode.startswith("I;16")
    profile = upright.info.get("icc_profile")
    eight_bit = to_eight_bits(upright, name=name_of(image, name))
    if eight_bit.has_transparency_data:
        with_alpha = converted(eight_bit, "LA" if grey else "RGBA", name=name_of(image, name))
        look_at_alpha(np.asarray(with_alpha.getchannel("A")), name=name_of(image, name))
        eight_bit = Image.new(with_alpha.mode, with_alpha.size, _WHITE[with_alpha.mode])
        eight_bit.alpha_composite(with_alpha)
    result = converted(eight_bit, _MODES[channels], name=name_of(image, name))
    if channels == 1:
        look_at_greys(upright, result, name=name_of(image, name))
    # A profile describes the bands it came with: a CMYK or grey one on an RGB image would turn its colours.
    fits = upright.mode not in {"CMYK", "YCbCr", "LAB", "HSV"} and grey == (channels == 1)
    result.info = {"icc_profile": profile} if profile and fits else {}
    return result


def read_alpha(image: ImageLike, *, name: str | None = None) -> Image.Image | None:
    """The alpha band of ``image`` as an upright "L" image, or None where it has none or is opaque throughout."""
    upright = open_upright(image, name=name)
    upright = to_eight_bits(upright, name=name_of(image, name))
    if not upright.has_transparency_data:
        return None
    alpha = converted(upright, "LA" if upright.mode == "La" else "RGBA", name=name_of(image, name)).getchannel("A")
    return None if alpha.getextrema() == (255, 255) else alpha


def open_file(content: str | Path | bytes | BinaryIO) -> Image.Image:
    """Open a picture by Pillow, its pixels unread, as one of FORMATS; the one place where files meet Pillow.

    Raises:
        ImageError: a path to what is no regular file: a folder, a pipe, a device.
        OSError, and nearly anything else that Pillow raises of a damaged file: UnidentifiedImageError of other formats.
    """
    if isinstance(content, bytes | bytearray | memoryview):
        content = io.BytesIO(content)
    elif isinstance(content, str | Path):
        refuse_irregular(content, name=str(content))
    return Image.open(content, formats=FORMATS)


def open_bytes(content: Any) -> BinaryIO:
    """A path's or bytes' content as a stream, for those who read headers by themselves.

    Raises:
        ImageError: a path to what is no regular file.
        OSError: it is not there, or may not be read.
    """
    if not isinstance(content, str | Path):
        return io.BytesIO(content)
    refuse_irregular(content, name=str(content))
    return Path(content).open("rb")


def refuse_irregular(path: str | Path, *, name: str) -> None:
    """A pipe would be waited for, a device never ends: only regular files, and links to them, are read.

    Raises:
        ImageError: there is something else at `path`; that there is nothing, whoever opens it says.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ImageError(f"{name} is no regular file, but a folder, a pipe or a device: name a file")


def to_tensor(image: Image.Image) -> Tensor:
    """An "L" or "RGB" image as (C, H, W) float32 in [-1, 1], computed as (x / 255 - 0.5) / 0.5."""
    if image.mode not in _MODES.values():
        raise ImageError(f"image has mode {image.mode}; to_tensor takes L and RGB: call read_image(image) first")
    array = np.array(image, dtype=np.float32)
    if array.ndim == 2:
        array = array[:, :, None]
    return torch.from_numpy(array).permute(2, 0, 1).contiguous().div_(255).sub_(0.5).div_(0.5)


def to_image(tensor: Tensor) -> Image.Image:
    """The inverse of ``to_tensor``: (C, H, W) or (1, C, H, W) in [-1, 1], clamped and rounded, to "L" or "RGB"."""
    if tensor.ndim == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] not in _MODES or 0 in tensor.shape:
        raise ImageError(f"tensor has shape {tuple(tensor.shape)}: give one image, (1, H, W) or (3, H, W)")
    values = tensor.detach().float().cpu()
    if not bool(torch.isfinite(values).all()):
        raise ImageError("tensor holds NaN or infinity, which no pixel can show: the network that made it has diverged")
    array = values.mul(0.5).add(0.5).mul(255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else np.ascontiguousarray(array))


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


def name_of(image: Any, name: str | None) -> str:
    """What messages call an image."""
    if name is not None:
        return name
    if isinstance(image, str | Path):
        return str(image)
    return str(getattr(image, "name", "") or getattr(image, "filename", "") or "image")


def open_upright(image: ImageLike, *, name: str | None) -> Image.Image:
    """The decoded image in its own mode, with its EXIF orientation applied."""
    name = name_of(image, name)
    if isinstance(image, np.ndarray):
        return from_array(image, name=name)
    if isinstance(image, Tensor):
        return _from_tensor(image, name=name)
    if isinstance(image, str | Path):
        path = Path(image)
        if path.is_dir():
            raise ImageError(f"{name} is a folder, not an image: name a file in it")
        if not path.exists():
            if path.is_symlink():
                raise ImageError(f"{name} is a link to what is not there: copy the file here, or delete the link")
            raise ImageError(f"{name} does not exist: check the spelling of the path")
        refuse_irregular(path, name=name)
        if path.stat().st_size == 0:
            raise ImageError(f"{name} is empty (0 bytes): copy or download it again")
        return _decode(path, name=name)
    if isinstance(image, bytes | bytearray | memoryview):
        if len(image) == 0:
            raise ImageError(f"{name} is empty (0 bytes): copy or download it again")
        return _decode(io.BytesIO(image), name=name)
    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise ImageError(f"{name} has no pixels, it is {image.width}×{image.height}: give 1×1 or more")
        return _decode(image, name=name)
    from img2img_hub.images.raster import Raster  # here, for it reads pictures by this module

    if isinstance(image, Raster):
        return from_bands(image.array, name=name)
    raise ImageError(
        f"{name} is a {type(image).__name__}, not an image: give a path, bytes, a PIL image, an array or a tensor"
    )


def _decode(image: Path | io.BytesIO | Image.Image, *, name: str) -> Image.Image:
    from img2img_hub.images.pillow_gaps import deep_tiff, upright  # which reads tags by this module

    try:
        if isinstance(image, Image.Image):
            return ImageOps.exif_transpose(image)
        with open_file(image) as opened:
            opened.load()
            return upright(opened, image, name=name)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise ImageError(
            f"{name} has more than {limit:.0f} million pixels, as a decompression bomb would: make it smaller first"
        ) from None
    except PermissionError:
        raise ImageError(f"{name} may not be read by this user: change its permissions, or leave it out") from None
    except Image.UnidentifiedImageError:
        if (deep := deep_tiff(image, name=name)) is not None:
            return deep
        raise ImageError(f"{name} is not an image that can be read: save it as PNG, JPEG, WebP or TIFF") from None
    except (
        Exception
    ) as error:  # damaged files make Pillow raise nearly anything: SyntaxError, struct.error, zlib.error …
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"{name} is damaged or cut short ({reason}): copy, download or save it again") from error


def to_eight_bits(image: Image.Image, *, name: str) -> Image.Image:
    """Scale 16-bit and float grey to "L" by value, with alpha where a value is transparent; leave every other mode."""
    if image.mode == "F":
        return Image.fromarray(_scale(np.asarray(image), top=1.0, name=name))
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow reads 16-bit grey as "I" from some formats, so that its values are taken to run to 65535 too.
        array = np.asarray(image)
        scaled = Image.fromarray(_scale(array, top=65535, name=name))
        look_at_depth(array, name=name)
        if isinstance(clear := image.info.get("transparency"), int):
            scaled.putalpha(Image.fromarray(np.where(array == clear, np.uint8(0), np.uint8(255))))
        return scaled
    return image


def converted(image: Image.Image, mode: str, *, name: str) -> Image.Image:
    """`image.convert(mode)`, with a message of ours where Pillow knows no way."""
    try:
        return image.convert(mode)
    except (ValueError, TypeError):  # no way from LAB to anything; a transparency that its mode cannot have
        raise ImageError(
            f"{name} has colours of mode {image.mode} that cannot be read as {mode}: save it as RGB first"
        ) from None


def _scale(array: np.ndarray, *, top: float, name: str) -> np.ndarray:
    """Values in 0..top to uint8 in 0..255, rounded. Others are refused: to clip or stretch them would be a guess."""
    low, high = float(array.min()), float(array.max())
    if np.isnan(low):
        raise ImageError(f"{name} has pixels that are NaN: fill them, or use a model of rasters")
    if not (low >= -0.001 * top and high <= 1.001 * top):  # a little room for rounding
        raise ImageError(f"{name} holds values from {low:g} to {high:g}: scale them to 0..{top:g} first")
    return np.round(array.astype(np.float64) * (255.0 / top)).clip(0, 255).astype(np.uint8)


def from_bands(array: np.ndarray, *, name: str) -> Image.Image:
    if array.shape[2] not in _MODES:
        raise ImageError(
            f"{name} has {array.shape[2]} bands, and a picture has 1 (grey) or 3 (RGB): use a model of such bands"
        )
    return from_array(array, name=name)


def from_array(array: np.ndarray, *, name: str) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (2, 3, 4))):
        raise ImageError(f"{name} is an array of shape {array.shape}: give (H, W) or (H, W, C) with C in 1, 2, 3, 4")
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype == np.uint16:
        array = _scale(array, top=65535, name=name)
    elif np.issubdtype(array.dtype, np.floating):
        array = _scale(array, top=1.0, name=name)
    elif array.dtype != np.uint8:
        raise ImageError(
            f"{name} is an array of {array.dtype}: give uint8 in 0..255, uint16 in 0..65535 or float in 0..1"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _from_tensor(tensor: Tensor, *, name: str) -> Image.Image:
    if not tensor.is_floating_point() or tensor.numel() == 0:
        raise ImageError(f"{name} is a tensor of {tensor.dtype}, shape {tuple(tensor.shape)}: give float in [-1, 1]")
    low, high = float(tensor.min()), float(tensor.max())
    if not (low >= -1.001 and high <= 1.001):  # a little room for rounding in half precision
        raise ImageError(f"{name} is a tensor with values from {low:g} to {high:g}: scale them to [-1, 1] first")
    return to_image(tensor)
