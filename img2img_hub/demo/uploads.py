"""Visitors' files: read and refused in words they understand, and results written to where the page may serve them.

    python -c "from img2img_hub.demo.uploads import megapixels; print(megapixels(4000, 3000))"

All state is the visitor's own: nothing here keeps any, and each file is named by its content.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import io
import itertools
import logging
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

import gradio as gr
from gradio.i18n import I18nData
from gradio.utils import get_upload_folder
from PIL import Image

from img2img_hub.demo.speed import TITLES
from img2img_hub.demo.texts import say
from img2img_hub.files import write_bytes
from img2img_hub.images.formats import NPY_MAGIC, ImageError, first_bytes, load_npy, open_file
from img2img_hub.images.read import Decoded, read_image
from img2img_hub.images.remarks import noted
from img2img_hub.translation.translator import Translator

MAX_PIXELS = 40_000_000  # decoding takes 3 bytes a pixel several times over
MAX_SIDE = 30_000  # a picture of few rows and millions of columns makes much of little
SLOWER = 8  # times as large counts a picture that is decoded in Python
BROWSER_FORMATS = {"PNG", "JPEG", "WEBP", "GIF", "BMP"}

logger = logging.getLogger(__name__)


def received(upload: Any) -> tuple[str, str] | None:
    """(path, the visitor's name for it) of a file that was uploaded to this page; None for whatever else is named.

    Gradio checks only what says of itself that it is a file, and strangers leave that out. So this is the one gate:
    a regular file, no link to one, that lies where Gradio puts uploads, in a folder of its own that is named by the
    file's content. Whoever does not have the content cannot name it.
    """
    path = upload.get("path") if isinstance(upload, dict) else None
    if not isinstance(path, str):
        return None
    try:
        folder = os.path.realpath(get_upload_folder())
        own, name = Path(path).parts[-2:]
        plain = os.path.isabs(path) and ".." not in Path(path).parts and re.fullmatch(r"[0-9a-f]{64}", own)
        if not plain or os.path.realpath(path, strict=True) != os.path.join(folder, own, name):
            return None
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
    except (OSError, ValueError):  # not there; a name with a NUL in it, or of one part
        return None
    called = upload.get("orig_name")
    return path, plain_text(called if isinstance(called, str) and called else name)


def plain_text(name: str) -> str:
    """A visitor's name for a file, as messages show it: without folders, at most 100 letters."""
    return PureWindowsPath(name).name[:100] or "image"  # both kinds of slashes


def read_upload(upload: Any, request: gr.Request | None = None) -> Decoded:
    """An uploaded file that is a picture, decoded, under the visitor's name for it."""
    found = received(upload)
    if found is None:  # in the same words, whatever it was: they tell nothing about the server's files
        raise refusal(say("not_arrived", request))
    path, name = found
    if said := beyond_this_page(*size_of(path), name=html.escape(name), request=request):
        raise refusal(said)
    decoded = Decoded(path, name=name)
    try:
        with noted():  # so that a translator hears it later
            decoded.picture()
    except ImageError as error:
        raise refusal(html.escape(str(error))) from error
    return decoded


def beyond_this_page(width: int, height: int, *, name: str, request: gr.Request | None) -> str:
    """What is said of a picture that is too large for any model here; "" of others."""
    if width * height > MAX_PIXELS:
        return say("too_large", request, name=name, size=megapixels(width, height), limit=MAX_PIXELS / 1e6)
    if max(width, height) > MAX_SIDE:
        return say("too_long", request, name=name, width=width, height=height, limit=MAX_SIDE)
    return ""


def refusal(message: str) -> gr.Error:
    """A visitor's mistake: a message on the page, no traceback in the server's log."""
    return gr.Error(message, print_exception=False)


def open_examples(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """(a file that the page may serve, its caption) of a model's examples, but for those that cannot be read."""
    for path in paths:
        try:
            picture = save_png(read_image(path), name="image.png")  # as Gradio calls what has no name
        except ImageError as error:  # a model may come from anywhere, and is good without this one
            logger.warning("an example is left out: %s", error)
        else:
            yield picture, path.stem.lstrip("0123456789-_ ").replace("-", " ").replace("_", " ") or path.stem


def save_png(image: Image.Image, *, name: str) -> str:
    """Write a file into Gradio's cache, from where the page may serve it, with its alpha and colour profile.

    Gradio's own functions write over a file that is there already, and whoever is just downloading it gets a part.
    """
    data = io.BytesIO()
    image.save(data, "PNG", icc_profile=image.info.get("icc_profile"), compress_level=4)
    path = Path(get_upload_folder(), hashlib.sha256(data.getbuffer()).hexdigest(), name)
    write_bytes(path, data.getbuffer())
    return str(path)


def nth_example(paths: Iterable[Path], index: int) -> str | None:
    """The file of one of `open_examples`, for which those after it are not read; None where there are not so many."""
    return next((picture for picture, _ in itertools.islice(open_examples(paths), index, None)), None)


def size_of(path: str) -> tuple[int, int]:
    """(width, height) from the header alone: an enormous picture is refused before it is decoded."""
    if first_bytes(path) == NPY_MAGIC:
        return _size_of_npy(path)
    with contextlib.suppress(Exception):  # no TIFF, a damaged one, or no tifffile: Pillow knows more
        return _size_of_tiff(path)
    try:
        with open_file(path) as header:
            (width, height), tiles = header.size, header.tile  # type: ignore[attr-defined]
            # Of some formats, such as QOI and PPM as text, Pillow decodes pixel by pixel, and nobody else gets a turn.
            return width, height * (SLOWER if tiles and tiles[0][0] in Image.DECODERS else 1)
    except Exception:  # Pillow raises nearly anything of damaged files
        return 0, 0  # read_image knows what to say


def _size_of_tiff(path: str) -> tuple[int, int]:
    """The same of a TIFF of any bands, types and pages, which are decoded together."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        return _counted(page.imagewidth, page.imagelength, page.nbytes * len(file.pages))


def _size_of_npy(path: str) -> tuple[int, int]:
    try:
        array = load_npy(path, name=path)  # mapped, not read
        height, width = array.shape[:2]
        return _counted(width, height, array.nbytes)
    except (ImageError, ValueError):  # ValueError: of fewer than two axes
        return 0, 0


def _counted(width: int, height: int, size: int) -> tuple[int, int]:
    """What goes beyond four bytes a pixel counts as more rows."""
    return width, max(height, math.ceil(size / 4 / max(width, 1)))


def megapixels(width: int, height: int) -> str:
    return f"{width} × {height} pixels ({width * height / 1e6:.1f} megapixels)"


def status_line(text: str | I18nData) -> str:
    shown = str(text) if isinstance(text, I18nData) else html.escape(text)
    return f'<p role="status">{shown}</p>'


def notice(title: str, lines: list[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<div class="notice" role="alert"><strong>{title}</strong><ul>{items}</ul></div>'


def device_name(translator: Translator) -> str:
    """ "GPU", or on a CPU "CPU (OpenVINO, bfloat16)": there the backend makes a difference."""
    kind = translator.device.type
    dtype = "" if translator.dtype == "float32" else f", {translator.dtype}"
    by = f"CPU ({TITLES[translator.backend]}{dtype})"
    return by if kind == "cpu" else {"cuda": "GPU", "mps": "GPU"}.get(kind, kind)
