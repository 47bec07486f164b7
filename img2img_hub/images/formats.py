"""What files are taken for images, and the one place where they are opened; what is wrong with one, in words.

python -c "from img2img_hub.images.formats import open_file; print(open_file('photo.jpg').size)"
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from img2img_hub.errors import first_line

FORMATS = (
    *("PNG", "JPEG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF"),
    *("ICO", "ICNS", "PCX", "SGI", "QOI", "PSD", "DDS", "TGA"),
)
"""What Pillow may take a file for, whatever its name says. All of these are decoded in this process; others, such as
PostScript, start an outside program, and none should run because somebody sent a file. TGA comes last: it has no mark
at its beginning, and Pillow takes icons for it."""

IMAGE_EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"}
    | {".jp2", ".j2k", ".ppm", ".pgm", ".pnm", ".tga"}
)
"""Lower-case file name endings of the images that are read from folders."""

_USUAL_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # Pillow refuses more
BYTES = (bytes, bytearray, memoryview)
NPY_MAGIC = b"\x93NUMPY"


def allow_megapixels(number: int | None) -> None:
    """Let pictures of so many million pixels be read in this process, where its user trusts them; None changes nothing.
    By default 179, which is Pillow's limit.

    Raises:
        ValueError: no such number.
    """
    if number is None:
        return
    if not 1 <= number <= 1_000_000:
        raise ValueError(f"--max_megapixels is {number}: type millions of pixels, from 1 to 1000000")
    Image.MAX_IMAGE_PIXELS = number * 500_000  # Pillow warns of so many, and refuses twice as many


class ImageError(ValueError):
    """An image that cannot be used. The message names the file (or "image") and what to do about it."""


def open_file(content: str | Path | bytes | BinaryIO) -> Image.Image:
    """Open a picture by Pillow, its pixels unread, as one of FORMATS; the one place where files meet Pillow.

    Raises:
        ImageError: a path to what is no regular file: a folder, a pipe, a device.
        OSError, and nearly anything else that Pillow raises of a damaged file: UnidentifiedImageError of other formats.
    """
    if isinstance(content, BYTES):
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


def first_bytes(content: Any) -> bytes:
    """The first bytes of a file; none where it cannot be opened, of which Pillow's door says why."""
    try:
        with open_bytes(content) as file:
            return file.read(len(NPY_MAGIC))
    except (OSError, ImageError):
        return b""


def load_npy(content: Any, *, name: str) -> np.ndarray:
    """The array of a .npy file, mapped where that is a path. Raises ImageError."""
    try:
        if isinstance(content, str | Path):
            return np.load(content, mmap_mode="r", allow_pickle=False)
        return np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # a damaged header is Python text that numpy evaluates: nearly anything can be raised
        raise ImageError(f"{name} is damaged or cut short ({first_line(error)}): copy or save it again") from None


def too_large(name: str) -> ImageError:
    """What is said of a picture of more pixels than are read."""
    return ImageError(
        f"{name} has more than {_limit() / 1e6:.0f} million pixels, as a decompression bomb would: make it smaller "
        f"first{or_allow_more()}"
    )


def or_allow_more() -> str:
    """The end of such an answer; "" on the page, which has a lower limit, and whose visitors have no flag."""
    return ", or type --max_megapixels with a higher limit if you trust it" if _limit() >= _USUAL_PIXELS else ""


def _limit() -> int:
    return 2 * (Image.MAX_IMAGE_PIXELS or 0)


def name_of(image: Any, name: str | None) -> str:
    """What messages call an image."""
    if name is not None:
        return name
    if isinstance(image, str | Path):
        return str(image)
    return str(getattr(image, "name", "") or getattr(image, "filename", "") or "image")


def damaged(name: str, error: Exception) -> ImageError:
    """What is said of a file that makes a decoder raise nearly anything: SyntaxError, struct.error, zlib.error …"""
    return ImageError(f"{name} is damaged or cut short ({first_line(error)}): copy, download or save it again")
