"""Pictures as Pillow decodes them, upright, and what it leaves out: masks, fewer bits than 16, white for 0, deep colour
of TIFFs.

    python -c "from img2img_hub.images.read import read_image; print(read_image('scene.tif').size)"

read.py calls this; nobody else has to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageOps

from img2img_hub.images.deep_png import bands_of_deep_png
from img2img_hub.images.formats import BYTES, ImageError, damaged, open_bytes, open_file, refuse_irregular, too_large
from img2img_hub.images.picture import from_array, from_bands, mask_image, to_eight_bits
from img2img_hub.images.remarks import listening, look_at_alpha, look_at_depth, look_at_frames, note
from img2img_hub.images.tiff import FilePixels, header_or_none, tiff_header, tiff_tags
from img2img_hub.images.tiff_pages import pages, passed_over

_BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _FORMAT = 258, 259, 262, 274, 339
_LOSSY = frozenset({"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"})
"""Formats, by Pillow's names, that may change values a little …"""
_LOSSY_INSIDE = frozenset({6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 34927, 50001})
"""… and so do these compressions of a TIFF, by their tag: JPEG old and new, JPEG 2000, WebP."""
_SIGNED = 2
_PNG = b"\x89PNG\r\n\x1a\n"


def open_upright(
    content: Any, *, mask: Callable[[], np.ndarray | None], name: str
) -> tuple[Image.Image, str | None] | None:
    """(a path's, bytes' or PIL image's picture in its own mode, with its EXIF orientation applied; a file's format).

    None for a TIFF that Pillow has no mode for. `mask` reads that of a TIFF.

    Raises:
        ImageError: it is missing, empty, damaged, too large, or no image.
    """
    _check(content, name=name)
    try:
        if isinstance(content, Image.Image):
            return ImageOps.exif_transpose(content), None
        with open_file(content) as opened:
            if opened.format == "TIFF" and opened.tag_v2.get(_ORIENTATION, 1) > 4:  # type: ignore[attr-defined]
                opened.filename = ""  # type: ignore[attr-defined]  # or an uncompressed one is mapped into memory, in the turned size: scrambled
            opened.load()
            image = _upright(opened, content, name=name)
            return masked(image, mask(), name=name) if opened.format == "TIFF" else image, opened.format
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise too_large(name) from None
    except PermissionError:
        raise ImageError(f"{name} may not be read by this user: change its permissions, or leave it out") from None
    except Image.UnidentifiedImageError:
        if header_or_none(tiff_header, content, name=name) is not None:
            return None
        raise ImageError(f"{name} is not an image that can be read: save it as PNG, JPEG, WebP or TIFF") from None
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise damaged(name, error) from error


def tiff_picture(pixels: FilePixels, *, name: str) -> Image.Image:
    """A TIFF that Pillow has no mode for, such as RGB of 16 bits, in 8 bits, with its alpha."""
    array = pixels.array
    if pixels.alpha is not None:
        look_at_alpha(pixels.alpha, name=name)
    if array.dtype == np.uint16:
        array = _spread(array, bits=pixels.bits)
        look_at_depth(array, name=name)
    image = from_bands(array, name=name)
    if pixels.alpha is not None:
        image.putalpha(from_array(pixels.alpha, name=name))
    return image


def masked(image: Image.Image, mask: np.ndarray | None, *, name: str) -> Image.Image:
    """In 8 bits, with an alpha band that is 0 where the mask is; the image itself without one."""
    if mask is None:
        return image
    image = to_eight_bits(image, name=name)
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("L" if image.mode == "1" else "RGBA" if image.has_transparency_data else "RGB")
    shown = mask_image(mask)
    image.putalpha(ImageChops.darker(image.getchannel("A"), shown) if image.mode in ("LA", "RGBA") else shown)
    return image


def bits_of_grey(file: Any) -> int:
    """Bits of a pixel of a grey PNG or TIFF, which Pillow spreads over 8 where they are fewer; 0 of what is another
    file, in colour, with a palette, or no file. An image that Pillow opened is known by its file, or by what it is
    still to decode."""
    if isinstance(file, Image.Image):
        raws = [str(tile[3]) for tile in getattr(file, "tile", [])]
        if file.format == "PNG" and (found := [int(bits) for raw in raws for bits in re.findall(r"L;([24])\b", raw)]):
            return found[0]
        file = getattr(file, "filename", None)
        if file is None or not os.path.isfile(file):
            return 0
    if not isinstance(file, (str, Path, *BYTES)):
        return 0
    with open_bytes(file) as stream:
        header = stream.read(26)
    if header.startswith(_PNG):
        return header[24] if header[25] == 0 else 0
    tags = tiff_tags(file)
    return int(tags.get(_BITS, (1,))[0]) if tags is not None and tags.get(_PHOTOMETRIC) in (0, 1) else 0


def is_lossy(file: Any, format_: str | None) -> bool:
    """Whether a file, or that of an image that Pillow opened, is of a format that may change values a little, as JPEG
    does, also where that is inside a TIFF. `format_`: of a file that Pillow has read, by its name."""
    opened = isinstance(file, Image.Image)
    if (file.format if opened else format_) in _LOSSY:
        return True
    if opened:
        tags = getattr(file, "tag_v2", None)
    else:
        tags = tiff_tags(file) if isinstance(file, (str, Path, *BYTES)) else None
    return tags is not None and tags.get(_COMPRESSION) in _LOSSY_INSIDE


# --- inside -----------------------------------------------------------------------------------------------------------


def _check(content: Any, *, name: str) -> None:
    """Refuse what holds nothing, and what is none of those."""
    if isinstance(content, str | Path):
        path = Path(content)
        if path.is_dir():
            raise ImageError(f"{name} is a folder, not an image: name a file in it")
        if not path.exists():
            if path.is_symlink():
                raise ImageError(f"{name} is a link to what is not there: copy the file here, or delete the link")
            raise ImageError(f"{name} does not exist: check the spelling of the path")
        refuse_irregular(path, name=name)
    elif isinstance(content, Image.Image):
        if 0 in content.size:
            raise ImageError(f"{name} has no pixels, it is {content.width}×{content.height}: give 1×1 or more")
        return
    elif not isinstance(content, BYTES):
        raise ImageError(
            f"{name} is a {type(content).__name__}, not an image: give a path, bytes, a PIL image, an array or a tensor"
        )
    if (len(content) if isinstance(content, BYTES) else Path(content).stat().st_size) == 0:
        raise ImageError(f"{name} is empty (0 bytes): copy or download it again")


def _upright(opened: Image.Image, file: Any, *, name: str) -> Image.Image:
    """A file's picture, loaded by Pillow, with its EXIF orientation applied, and what Pillow left out."""
    image = ImageOps.exif_transpose(opened)
    if opened.format != "TIFF":
        look_at_frames(opened, name=name)
        if listening() and bands_of_deep_png(file):
            _look_at_upper_bytes(image, name=name)
        key = opened.info.get("transparency")
        if opened.format == "PNG" and isinstance(key, tuple) and max(key) > 255:  # of 16 bits, as the pixels were
            image.info["transparency"] = tuple(value >> 8 for value in key)
        elif opened.format == "PNG" and isinstance(key, int) and (bits := bits_of_grey(file)) in (2, 4):
            image.info["transparency"] = key * 255 // (2**bits - 1)  # as its pixels were spread over 8 bits
        return image
    if listening() and (more := passed_over(pages(file))):
        note("pages", name, more)
    tags = opened.tag_v2  # type: ignore[attr-defined]
    bits = int(tags.get(_BITS, (1,))[0])
    if image.mode == "L" and bits == 8 and _SIGNED in tags.get(_FORMAT, ()):
        _refuse_negative(np.asarray(image).view(np.int8), name=name)
    if image.mode.startswith("I;16"):
        image = _sixteen_bits(np.asarray(image), bits=bits, inverted=tags.get(_PHOTOMETRIC) == 0)
    elif listening() and bits == 16:
        _look_at_upper_bytes(image, name=name)
    return image


def _refuse_negative(array: np.ndarray, *, name: str) -> None:
    """Signed values of 8 bits, of which Pillow takes -1 for 255."""
    if (low := int(array.min())) < 0:
        raise ImageError(f"{name} holds values from {low} to {int(array.max())}: scale them to 0..255 first")


def _look_at_upper_bytes(image: Image.Image, *, name: str) -> None:
    """Colour of 16 bits, of which Pillow keeps the upper 8."""
    if image.mode in ("RGB", "RGBA"):
        look_at_depth(np.asarray(image)[:, :, :3], name=name, upper_byte=True)


def _sixteen_bits(array: np.ndarray, *, bits: int, inverted: bool) -> Image.Image:
    top = 2**bits - 1
    return Image.fromarray(_spread(top - array if inverted else array, bits=bits))


def _spread(array: np.ndarray, *, bits: int) -> np.ndarray:
    """Values of so many bits as 16 bits: what is white in 12 is 4095."""
    if bits >= 16:
        return array.astype(np.uint16)
    return np.round(array.astype(np.float64) * (65535 / (2**bits - 1))).clip(0, 65535).astype(np.uint16)
