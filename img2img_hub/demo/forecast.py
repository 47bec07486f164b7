"""What native resolution would take: seconds, foretold from what this server has measured of the model so far.

    python -c "from img2img_hub.demo.forecast import in_words; print(in_words(83.0))"

A network's work grows with the pixels, so the latest translations of any size say what the next one takes. Before the
first one the page says that it does not know.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from img2img_hub.demo.models import LOAD_ERRORS, Models
from img2img_hub.demo.requests import enlarges, most_pixels, native_pixels, too_large
from img2img_hub.demo.speed import fastest
from img2img_hub.demo.texts import say
from img2img_hub.demo.uploads import received, size_of
from img2img_hub.demo.zero import ON_ZERO_GPU
from img2img_hub.translation.translator import Translator

LARGE = 16  # times the pixels of the working size: from there on a picture is fitted unless the visitor says otherwise


def foretell(models: Models, key: str, upload: dict[str, Any] | None, request: gr.Request | None = None) -> str:
    """A paragraph on the picture at native resolution; "" where that is no more than the working size."""
    size = _size(upload)
    if size is None:
        return ""
    try:
        translator = models.translator(key)
    except LOAD_ERRORS:  # said where the model was chosen
        return ""
    (width, height), pixels = size, size[0] * size[1]
    if line := too_large(translator, width, height, "native", "beyond_native", request):
        return f"<p>{line}</p>"
    if pixels <= translator.settings.working_size**2 and not enlarges(translator):
        return ""
    if (seconds := _seconds(translator, height, width)) is not None:
        fits = translator.engine.fits(height, width)
        time = in_words(seconds, request)
        line = say("foretold" if fits else "foretold_longer", request, width=width, height=height, time=time)
    elif ON_ZERO_GPU:  # each call runs in a process of its own, which takes what it measured with it
        return ""
    else:
        line = say("not_foretold", request, width=width, height=height)
    if (scale := translator.engine.scale) > 1:
        line += " " + say("becomes", request, width=scale * width, height=scale * height)
    return f"<p>{line}</p>"


def default_resize(models: Models, key: str, upload: dict[str, Any] | None) -> Any:
    """The value of the resolution for a picture that has just come: what the repo says, but a large one fits."""
    try:
        translator = models.translator(key)
    except LOAD_ERRORS:
        return gr.skip()
    if not translator.settings.resizes:
        return "native"
    size = _size(upload)
    if size is not None and native_pixels(translator, *size) > most_pixels(translator, "native"):
        return "fit"
    settings = translator.settings
    if size is None or settings.resize == "fit":  # then what the visitor chose stays
        return gr.skip()
    return "fit" if size[0] * size[1] > LARGE * settings.working_size**2 else "native"


def in_words(seconds: float, request: gr.Request | None = None) -> str:
    """ "0.3 s", "12 s", "4 min": as exact as an estimate is."""
    if seconds < 9.5:
        return say("seconds", request, number=f"{max(seconds, 0.1):.1f}")
    if seconds < 100:
        return say("seconds", request, number=f"{seconds:.0f}")
    return say("minutes", request, number=f"{seconds / 60:.0f}")


def _seconds(translator: Translator, height: int, width: int) -> float | None:
    """By the backend that would run, or, where that has not run yet, by PyTorch."""
    runner = fastest(translator)
    forecasts = (each.engine.forecast(height, width) for each in (runner, translator))
    return next((seconds for seconds in forecasts if seconds is not None), None)


def _size(upload: dict[str, Any] | None) -> tuple[int, int] | None:
    found = received(upload)
    size = size_of(found[0]) if found else (0, 0)
    return size if all(size) else None
