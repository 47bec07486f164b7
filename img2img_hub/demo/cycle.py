"""There and back: a picture through a CycleGAN translator and through its reverse, and how much of it was lost.

Named /cycle for programs:

    client.predict(MODEL, handle_file("x.jpg"), "fit", api_name="/cycle")

returns source, output and back with their captions, the cycle error (mean absolute difference of source and back, 0 to
1) and a line about the run.
"""

from __future__ import annotations

import html
import time
from typing import Any, cast

import gradio as gr
import numpy as np
from gradio.components import Component
from PIL import Image

from img2img_hub.demo.components import results
from img2img_hub.demo.models import LOAD_ERRORS, Models
from img2img_hub.demo.requests import check_picture, check_request, load, name_of, translating
from img2img_hub.demo.speed import fastest
from img2img_hub.demo.texts import T, say
from img2img_hub.demo.uploads import device_name, refusal, status_line
from img2img_hub.demo.zero import gpu
from img2img_hub.images.read import Decoded, ImageLike
from img2img_hub.images.resize import resized
from img2img_hub.translation.settings import Resize
from img2img_hub.translation.translator import Translator


def build_cycle(models: Models, inputs: list[Component]) -> tuple[gr.Accordion, list[Component]]:
    """The section, for inputs model, picture and resolution, hidden until a model has a reverse; its results."""
    with gr.Accordion(T("cycle"), open=False, visible=False, elem_id="cycle") as section:
        gr.HTML(f"<p>{T('cycle_about')}</p>", elem_classes="hint")
        button = gr.Button(T("cycle_button"), elem_id="go-round")
        gallery = results(T("cycle"), "cycled")
        error = gr.Number(None, label=T("cycle_error"), precision=4, interactive=False, elem_id="cycle-error")
        status = gr.HTML(status_line(""), elem_id="cycled-status")

    def cycle(
        key: str, upload: dict[str, Any] | None, mode: str, request: gr.Request
    ) -> tuple[list[tuple[str, str]], float, str]:
        return cycle_upload(models, key, upload, mode, request)

    button.click(
        gpu(cycle),
        inputs,
        [gallery, error, status],
        preprocess=False,
        api_name="cycle",
        api_description="One picture there and back by a model with a reverse: model key, picture, 'fit' or 'native'. "
        "Returns source, output and back with captions, and the mean absolute difference of source and back, 0 to 1.",
        concurrency_limit=2,
        concurrency_id="translate",
        show_progress_on=gallery,
    )
    return section, [gallery, error, status]


def partner_of(models: Models, key: str) -> str | None:
    """The model of the opposite direction where there is one for pictures; it may fail to be loaded later."""
    settings = models.translator(key).settings
    if settings.source_values is not None or settings.target_values is not None:
        return None  # rasters in units are no pictures to lay side by side
    return models.partner(key)


def cycle_upload(
    models: Models, key: Any, upload: dict[str, Any] | None, mode: Any, request: gr.Request | None = None
) -> tuple[list[tuple[str, str]], float, str]:
    """Values for gallery, error and status."""
    translator, picture, resize = check_request(models, key, upload, mode, request)
    other = partner_of(models, key)
    if other is None:
        raise refusal(say("no_reverse", request, name=html.escape(models.models[key].name)))
    opposite = load(models, other)
    check_picture(opposite, picture, resize, request)
    there, back = fastest(translator), fastest(opposite)
    began = time.perf_counter()
    with translating(models, key, request):
        output, again, error = round_trip(there, back, picture.decoded, resize=resize)
        steps = [
            (picture.shown, say("cycle_source", request)),
            (picture.save(output, key=key), say("cycle_output", request)),
            (picture.save(again, key=key, detail="and-back"), say("cycle_back", request)),
        ]
    seconds = time.perf_counter() - began
    line = say("cycle_done", request, seconds=seconds, device=device_name(there), error=error)
    return steps, error, status_line(line)


def round_trip(
    there: Translator, back: Translator, image: ImageLike, *, resize: Resize
) -> tuple[Image.Image, Image.Image, float]:
    """(output, back, cycle error) of a picture, both at its size.

    The error is the mean absolute difference of source and back where the networks see them, 0 to 1, with 8 bits in
    between, as `evaluate` measures it: with "fit" at the working size, without what resizing takes away.
    """
    decoded = Decoded.of(image)
    whole = cast(Image.Image, there.pixels.read(decoded))
    side = there.settings.working_size
    source = whole if resize == "native" else resized(whole, (side, side))
    output = cast(Image.Image, there(source, resize="native"))
    again = cast(Image.Image, back(output, resize="native"))
    bands = (np.asarray(each.convert(source.mode), dtype=np.float32) for each in (source, again))
    error = float(np.abs(next(bands) - next(bands)).mean() / 255)
    first, second = (there.pixels.finished(made, original=decoded, source=whole) for made in (output, again))
    return cast(Image.Image, first), cast(Image.Image, second), error


def directions(models: Models, key: str) -> list[tuple[str, str]]:
    """(name, key) of the model and its reverse; [] where it has none."""
    try:
        other = partner_of(models, key)
    except LOAD_ERRORS:
        return []
    return [(name_of(models, each), each) for each in (key, other)] if other else []
