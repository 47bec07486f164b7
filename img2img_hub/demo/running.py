"""What the tabs share that run models on visitors' pictures: what they may ask for, a timed run, words for failures.

python -c "from img2img_hub.demo.running import plain_name; print(plain_name('../../etc/my street.jpg'))"
"""

from __future__ import annotations

import html
import logging
import re
import time
from pathlib import PureWindowsPath
from typing import Any, Protocol, cast

import gradio as gr
from PIL import Image

from img2img_hub.demo.models import LOAD_ERRORS, Models
from img2img_hub.demo.texts import say
from img2img_hub.demo.uploads import megapixels, refusal
from img2img_hub.rasters import Raster
from img2img_hub.translation.settings import Resize
from img2img_hub.translation.translator import Translator

MAX_NATIVE_PIXELS = 4_000_000  # a network's feature maps take several hundred bytes a pixel of its input
RUN_ERRORS: tuple[type[Exception], ...] = (*LOAD_ERRORS, MemoryError)
_RESERVED = re.compile(r"con|prn|aux|nul|(com|lpt)\d", re.IGNORECASE)  # no file of Windows can have such a name

logger = logging.getLogger(__name__)


class Shelf(Protocol):
    """Where translators come from: the owner's `Models`, or the visitors' `Guests`."""

    def translator(self, key: str) -> Translator: ...

    def reason(self, key: str, error: Exception) -> str: ...


def check_model(models: Models, key: Any, request: gr.Request | None) -> str:
    if not isinstance(key, str) or key not in models.models:
        raise refusal(say("no_model", request, name=html.escape(f"{key!r:.200}")))
    return key


def check_mode(mode: Any, request: gr.Request | None) -> Resize:
    if mode not in ("fit", "native"):
        raise refusal(say("bad_resolution", request, value=html.escape(f"{mode!r:.200}")))
    return cast(Resize, mode)


def check_native(image: Image.Image, mode: Resize, request: gr.Request | None) -> None:
    if mode == "native" and image.width * image.height > MAX_NATIVE_PIXELS:
        raise refusal(say("too_large_native", request, size=megapixels(*image.size), limit=MAX_NATIVE_PIXELS / 1e6))


def run(translator: Translator, path: str, *, mode: Resize) -> tuple[Image.Image, float]:
    """(the translated picture, seconds)."""
    start = time.perf_counter()
    result = translator(path, resize=mode)
    seconds = time.perf_counter() - start
    return result.preview() if isinstance(result, Raster) else result, seconds  # a page shows pictures


def explain(error: Exception, shelf: Shelf, key: str, request: gr.Request | None) -> str:
    """What a visitor reads of a failed run; the log has the rest."""
    logger.error("translating with %s", key, exc_info=error)
    if isinstance(error, MemoryError | RuntimeError):  # torch reports exhausted memory as a RuntimeError
        return say("not_finished", request)
    return shelf.reason(key, error)


def plain_name(name: str) -> str:
    """A visitor's file name without its folder and ending, as it can be a file's name on any system."""
    name = PureWindowsPath(name).name  # both kinds of slashes
    name = "".join(letter if letter.isprintable() else "" for letter in name)  # also none that turns the direction
    stem = re.sub(r'[<>:"/\\|?*]+', "-", name.rpartition(".")[0] if "." in name else name)
    stem = stem.encode("utf-8", "ignore").decode()[:60].strip(". ")  # 60: a name has 255 bytes
    if _RESERVED.fullmatch(stem.partition(".")[0]):
        stem = f"{stem}-"
    return stem or "image"


def file_name_of(key: str) -> str:
    """A model's key as part of a file name."""
    return re.sub(r"[^\w.-]+", "-", key.split("/")[-1])
