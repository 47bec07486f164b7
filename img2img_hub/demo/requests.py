"""What every request for a translation has in common: its model and its picture are checked, its faults are explained.

    python -c "from img2img_hub.demo.requests import MAX_NATIVE_PIXELS; print(MAX_NATIVE_PIXELS)"

Whatever a visitor can do wrong, in the browser or by the API, becomes a `gr.Error` that says the cure.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from img2img_hub.demo.models import LOAD_ERRORS, Models
from img2img_hub.demo.texts import say
from img2img_hub.demo.uploads import BROWSER_FORMATS, format_of, megapixels, read_upload, refusal, save_png
from img2img_hub.images import ImageError
from img2img_hub.rasters import AnyImage, Raster
from img2img_hub.translation.settings import Resize
from img2img_hub.translation.translator import Translator

MAX_NATIVE_PIXELS = 4_000_000  # a network's feature maps take several hundred bytes a pixel of its input

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A visitor's picture: the file as it came, the stem of the name that it had there, and the picture, upright."""

    path: str
    stem: str
    image: Image.Image

    @property
    def shown(self) -> str:
        """A file that browsers can show: itself, or a PNG of it."""
        return self.path if format_of(self.path) in BROWSER_FORMATS else save_png(self.image, name=f"{self.stem}.png")

    def save(self, result: AnyImage, *, key: str, detail: str = "") -> str:
        """Write a translation by the model `key` as a PNG that is named after the picture; returns its path."""
        if isinstance(result, Raster):  # a page shows pictures
            result = result.preview()
        name = re.sub(r"[^\w.-]+", "-", key.split("/")[-1]) + (f"-{detail}" if detail else "")
        return save_png(result, name=f"{self.stem}-{name}.png" if self.stem != "image" else f"{name}.png")


def check_request(
    models: Models, key: Any, upload: dict[str, Any] | None, mode: Any, request: gr.Request | None
) -> tuple[Picture, Resize]:
    """The picture to translate, and how; refuses what this page does not have or take."""
    check_key(models, key, request)
    if mode not in ("fit", "native"):
        raise refusal(say("bad_resolution", request, value=html.escape(repr(mode))))
    if upload is None:
        raise refusal(say("no_picture", request))
    path, stem, image = read_upload(upload, request)
    if mode == "native" and image.width * image.height > MAX_NATIVE_PIXELS:
        raise refusal(say("too_large_native", request, size=megapixels(*image.size), limit=MAX_NATIVE_PIXELS / 1e6))
    return Picture(path=path, stem=stem, image=image), mode


def check_key(models: Models, key: Any, request: gr.Request | None) -> None:
    if not isinstance(key, str) or key not in models.models:
        raise refusal(say("no_model", request, name=html.escape(repr(key))))


def load(models: Models, key: str) -> Translator:
    """The model's translator; one that cannot be loaded says why."""
    try:
        return models.translator(key)
    except LOAD_ERRORS as error:
        logger.exception("loading %s", models.models[key].location)
        raise refusal(html.escape(models.reason(key, error))) from error


@contextmanager
def translating(models: Models, key: str, request: gr.Request | None) -> Iterator[None]:
    """Around the translation: a picture of other bands than the model takes is named; the rest is too large."""
    try:
        yield
    except ImageError as error:
        raise refusal(html.escape(models.reason(key, error))) from error
    except (MemoryError, RuntimeError, ValueError, OSError) as error:  # torch says RuntimeError of exhausted memory
        logger.exception("translating with %s", models.models[key].location)
        raise refusal(say("not_finished", request)) from error


def name_of(models: Models, key: str) -> str:
    """What visitors see of a model."""
    return next(name for name, each in models.choices if each == key)
