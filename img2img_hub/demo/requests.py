"""What every request for a translation has in common: its model and its picture are checked, its faults are explained.

python -c "from img2img_hub.demo.requests import plain_name; print(plain_name('../../etc/my street.jpg'))"

Whatever a visitor can do wrong, in the browser or by the API, becomes a `gr.Error` that says the cure.
"""

from __future__ import annotations

import html
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import Any, Protocol, cast

import gradio as gr
from PIL import Image

from img2img_hub.demo.models import LOAD_ERRORS, Models
from img2img_hub.demo.speed import fastest
from img2img_hub.demo.texts import say
from img2img_hub.demo.uploads import (
    BROWSER_FORMATS,
    MAX_PIXELS,
    device_name,
    megapixels,
    read_upload,
    refusal,
    save_png,
    status_line,
)
from img2img_hub.images.formats import ImageError
from img2img_hub.images.raster import AnyImage, Raster
from img2img_hub.images.read import Decoded
from img2img_hub.translation.settings import Resize
from img2img_hub.translation.translator import Input, Translator

MAX_NATIVE_PIXELS = 4_000_000  # a network's feature maps take several hundred bytes a pixel of its input
MAX_ENLARGED_PIXELS = 16_000_000  # of what a model makes that enlarges, most of whose maps have the input's size
RUN_ERRORS: tuple[type[Exception], ...] = (*LOAD_ERRORS, MemoryError)
_RESERVED = re.compile(r"con|prn|aux|nul|(com|lpt)\d", re.IGNORECASE)  # no file of Windows can have such a name

logger = logging.getLogger(__name__)


class Shelf(Protocol):
    """Where translators come from: the owner's `Models`, or the visitors' `Guests`."""

    def translator(self, key: str) -> Translator: ...

    def reason(self, key: str, error: Exception) -> str: ...


# --- what was asked for ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A visitor's picture: the file, decoded once for all that becomes of it, and the stem of the name it had there."""

    decoded: Decoded
    stem: str

    @property
    def shown(self) -> str:
        """A file that browsers can show: itself, or a PNG of it."""
        if self.decoded.format in BROWSER_FORMATS:
            return str(self.decoded.content)
        return save_png(self.decoded.picture(), name=f"{self.stem}.png")

    def save(self, result: AnyImage, *, key: str, detail: str = "") -> str:
        """Write a translation by the model `key` as a PNG that is named after the picture; returns its path."""
        name = file_name_of(key) + (f"-{detail}" if detail else "")
        return save_result(result, name=f"{self.stem}-{name}.png" if self.stem != "image" else f"{name}.png")


def check_request(
    models: Models, key: Any, upload: Any, mode: Any, request: gr.Request | None
) -> tuple[Translator, Picture, Resize]:
    """The model, the picture to translate, and how; refuses what this page does not have or take."""
    check_model(models, key, request)
    resize = check_mode(mode, request)
    settings = models.models[key].settings
    # What has no resolution to choose says so itself, when it is loaded.
    early: Resize = resize if settings is None or settings.resizes else "fit"
    picture = read_picture(upload, early, request)
    translator = load(models, key)
    check_picture(translator, picture, resize, request)
    return translator, picture, resize


def check_model(models: Models, key: Any, request: gr.Request | None) -> str:
    if not isinstance(key, str) or key not in models.models:
        raise refusal(say("no_model", request, name=html.escape(f"{key!r:.200}")))
    return key


def check_mode(mode: Any, request: gr.Request | None) -> Resize:
    if mode not in ("fit", "native"):
        raise refusal(say("bad_resolution", request, value=html.escape(f"{mode!r:.200}")))
    return cast(Resize, mode)


def read_picture(upload: Any, resize: Resize, request: gr.Request | None, *, missing: str = "no_picture") -> Picture:
    """The picture, checked and read; `missing` names the text for those who brought none."""
    if upload is None:
        raise refusal(say(missing, request))
    decoded = read_upload(upload, request)
    width, height = decoded.size
    if resize == "native" and width * height > MAX_NATIVE_PIXELS:  # before a model is loaded for it
        raise refusal(say("too_large_native", request, size=megapixels(width, height), limit=MAX_NATIVE_PIXELS / 1e6))
    return Picture(decoded=decoded, stem=plain_name(decoded.name))


def check_picture(translator: Translator, picture: Picture, resize: Resize, request: gr.Request | None) -> None:
    """Refuse one picture for a model of several, or one that is too large for this model."""
    check_takes_one(translator, request)
    check_size(translator, picture, resize, request)


def check_takes_one(translator: Translator, request: gr.Request | None, *, text: str = "several_pictures") -> None:
    """Refuse a model of several pictures, as `text` says it."""
    inputs = translator.settings.inputs
    if len(inputs) > 1:
        names = ", ".join(slot.describe() for slot in inputs)
        raise refusal(say(text, request, names=html.escape(names)))


def check_size(translator: Translator, picture: Picture, resize: Resize, request: gr.Request | None) -> None:
    """Refuse what this model pads, or makes, to more pixels than it may."""
    if said := too_large(translator, *picture.decoded.size, resize, f"too_large_{resize}", request):
        raise refusal(said)


def most_pixels(translator: Translator, resize: Resize) -> int:
    """Of a picture, so that what the model makes of it, so many times the size, is not more than this page holds."""
    if enlarges(translator):
        return MAX_ENLARGED_PIXELS // translator.engine.scale**2
    resize = resize if translator.settings.resizes else "native"
    return (MAX_NATIVE_PIXELS if resize == "native" else MAX_PIXELS) // translator.engine.scale**2


def enlarges(translator: Translator) -> bool:
    """Whether a picture becomes larger as it is, so that there is no resolution to choose."""
    return translator.engine.scale > 1 and not translator.settings.resizes


def native_pixels(translator: Translator, width: int, height: int) -> int:
    """What a network has to compute at native resolution: a picture that is narrower than its least side is padded."""
    least, _ = translator.engine.padded_size(1, 1)  # 256 of the deepest U-Nets in use
    return max(width, least) * max(height, least)


def too_large(
    translator: Translator, width: int, height: int, resize: Resize, text: str, request: gr.Request | None
) -> str:
    """Why a picture is more than this page computes with this model, as `text` says it; "" where it is not."""
    limit = most_pixels(translator, resize)
    if not translator.settings.resizes:
        resize, one = "native", text.endswith("_one")
        text = "too_large_native_one" if one else "too_large_as_is"
        if enlarges(translator):
            text = "too_large_fit_one" if one else "too_large_fit"
    pixels = native_pixels(translator, width, height) if resize == "native" else width * height
    if pixels <= limit:
        return ""
    size = megapixels(width, height)
    if width * height <= limit:
        rows, columns = translator.engine.padded_size(height, width)
        size = say("padded", request, width=width, height=height, padded=megapixels(columns, rows))
    return say(text, request, size=size, limit=limit / 1e6)


# --- running --------------------------------------------------------------------------------------------------------


def load(models: Models, key: str) -> Translator:
    """The model's translator; one that cannot be loaded says why."""
    with _loading(models, key):
        return models.translator(key)


def check_style(models: Models, key: Any, upload: Any, request: gr.Request | None) -> Decoded | None:
    """The picture whose style is asked for, checked and read, None where none came; refuses it for a model that takes
    none up."""
    if upload is None:
        return None
    key = check_model(models, key, request)
    style = read_upload(upload, request)
    with _loading(models, key):
        takes_style = models.translator(key).takes_style
    if not takes_style:
        raise refusal(say("no_styles", request, name=html.escape(models.models[key].name)))
    return style


def runner_of(translator: Translator, *, style: Decoded | None = None, seed: int | None = None) -> Translator:
    """What translates: the fastest by now; where a style or a seed is asked for PyTorch, which alone has these."""
    if style is not None:
        return translator.with_style(style)
    return fastest(translator) if seed is None else translator


@contextmanager
def _loading(models: Models, key: str) -> Iterator[None]:
    """Around what reads a model's files."""
    try:
        yield
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


def run(
    translator: Translator,
    picture: Input,
    *,
    resize: Resize | None,
    seed: int | None = None,
    mask: Image.Image | None = None,
) -> tuple[AnyImage, float]:
    """(the translated picture, seconds)."""
    start = time.perf_counter()
    result = translator(picture, resize=resize, seed=seed, mask=mask)
    return result, time.perf_counter() - start


def save_result(result: AnyImage, *, name: str) -> str:
    """Write a translation as a PNG for the page, which shows pictures; returns its path."""
    return save_png(result.preview() if isinstance(result, Raster) else result, name=name)


def explain(error: Exception, shelf: Shelf, key: str, request: gr.Request | None) -> str:
    """What a visitor reads of a failed run; the log has the rest."""
    logger.error("translating with %s", key, exc_info=error)
    if isinstance(error, MemoryError | RuntimeError):  # torch reports exhausted memory as a RuntimeError
        return say("not_finished", request)
    return shelf.reason(key, error)


# --- what is said of it ---------------------------------------------------------------------------------------------


def done_line(
    translator: Translator, result: AnyImage, seconds: float, resize: Resize, request: gr.Request | None
) -> str:
    """One line of HTML: how long it took, by what, at which size."""
    fitted = say("fitted", request, pixels=translator.settings.working_size)
    how = fitted if resize == "fit" and translator.settings.resizes else say("at_native", request)
    if larger := enlarged(translator, request):
        how = larger if enlarges(translator) else f"{how} · {larger}"
    size = f"{result.width} × {result.height} px"
    return status_line(say("done", request, seconds=seconds, device=device_name(translator), size=size, how=how))


def enlarged(translator: Translator, request: gr.Request | None) -> str:
    """ "4× as large", "" of a model that leaves the size as it is."""
    scale = translator.engine.scale
    return say("enlarged", request, scale=scale) if scale > 1 else ""


def name_of(models: Models, key: str) -> str:
    """What visitors see of a model."""
    return next(name for name, each in models.choices if each == key)


def plain_name(name: str) -> str:
    """A visitor's file name without its folder and ending, as it can be a file's name on any system."""
    name = PureWindowsPath(name).name  # both kinds of slashes
    name = "".join(letter if letter.isprintable() else "" for letter in name)  # also none that turns the direction
    stem = re.sub(r'[<>:"/\\|?*]+', "-", name.rpartition(".")[0] if "." in name else name)
    stem = stem.encode("utf-8", "ignore")[:150].decode("utf-8", "ignore")  # a name has 255 bytes, and more is added
    stem = stem[:60].strip(". ")
    if _RESERVED.fullmatch(stem.partition(".")[0]):
        stem = f"{stem}-"
    return stem or "image"


def file_name_of(key: str) -> str:
    """A model's key as part of a file name."""
    return re.sub(r"[^\w.-]+", "-", key.split("/")[-1])
