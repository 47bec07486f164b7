"""What every request for a translation has in common: its model and its picture are checked, its faults are explained.

    python -c "from img2img_hub.demo.requests import Picture; help(Picture.save)"

Whatever a visitor can do wrong, in the browser or by the API, becomes a `gr.Error` that says the cure.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from img2img_hub.demo.models import LOAD_ERRORS, Models
from img2img_hub.demo.running import check_mode, check_model, check_native, file_name_of
from img2img_hub.demo.texts import say
from img2img_hub.demo.uploads import BROWSER_FORMATS, format_of, read_upload, refusal, save_png
from img2img_hub.images import ImageError
from img2img_hub.rasters import AnyImage, Raster
from img2img_hub.translation.settings import Resize
from img2img_hub.translation.translator import Translator

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
        name = file_name_of(key) + (f"-{detail}" if detail else "")
        return save_png(result, name=f"{self.stem}-{name}.png" if self.stem != "image" else f"{name}.png")


def check_request(
    models: Models, key: Any, upload: dict[str, Any] | None, mode: Any, request: gr.Request | None
) -> tuple[Picture, Resize]:
    """The picture to translate, and how; refuses what this page does not have or take."""
    check_model(models, key, request)
    resize = check_mode(mode, request)
    if upload is None:
        raise refusal(say("no_picture", request))
    path, stem, image = read_upload(upload, request)
    check_native(image, resize, request)
    return Picture(path=path, stem=stem, image=image), resize


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
