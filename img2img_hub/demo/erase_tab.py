"""The Erase tab: paint over what shall go, and see what a model that fills holes puts in its place, at once.

The picture lies under the painter of the Paint tab, smaller where it is large; what is painted is the mask. The rest of
the picture stays as it is, to the bit, in its own size.

    python app.py    # offers the tab where a model reads a mask of what is to be filled in
"""

from __future__ import annotations

import base64
import html
import io
from functools import partial
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from img2img_hub.demo.components import QUIET, examples_of, model_choice, other_examples, picture_input
from img2img_hub.demo.models import LOAD_ERRORS, Models
from img2img_hub.demo.paint_tab import SCRIPT, drawing_of
from img2img_hub.demo.requests import (
    MAX_NATIVE_PIXELS,
    Picture,
    check_model,
    load,
    native_pixels,
    plain_name,
    run,
    runner_of,
    translating,
)
from img2img_hub.demo.texts import T, say
from img2img_hub.demo.uploads import (
    device_name,
    megapixels,
    nth_example,
    read_upload,
    refusal,
    status_line,
)
from img2img_hub.demo.zero import gpu
from img2img_hub.translation.translator import Translator
from img2img_hub.translation.windows import windows

MOST_SHOWN = 1024  # pixels a side of the picture under the painter
_KEEP, _ERASE = "#000000", "#ff2d78"
_BRUSHES = 24  # strokes of the brush side by side on a picture


def fillers(models: Models) -> list[str]:
    """The models of the page that fill holes, as far as that is known without loading one."""
    return [
        key for key, model in models.models.items() if model.settings is not None and model.settings.hole is not None
    ]


def build_erase_tab(models: Models, tab: gr.Tab) -> None:
    """Put the components and events into `tab`, which is being built; there is a model that fills holes."""
    keys = fillers(models)
    with gr.Row(elem_id="eraser-bench"):
        with gr.Column(min_width=280):
            model = model_choice(models, keys, T("erase_by"), "erase-model")
            source = picture_input("erase-source", height=200)
            examples = examples_of(models, keys[0], T("pick_example"), "erase-examples")
            painter = gr.HTML(
                None,
                html_template='<div class="painter"></div>',
                js_on_load=SCRIPT.read_text(encoding="utf-8"),
                apply_default_css=False,
                elem_id="eraser",
                paper=None,
            )
        with gr.Column(min_width=280):
            result = gr.Image(
                label=T("result"), format="png", type="filepath", interactive=False, height=480, elem_id="erased",
                buttons=["download", "fullscreen"],
            )  # fmt: skip
            status = gr.HTML(status_line(T("choose_to_erase")), elem_id="erase-status")

    def lay(upload: Any, request: gr.Request) -> tuple[Any, ...]:
        """The picture under the painter, which begins anew."""
        if upload is None:
            return gr.HTML(paper=None, value=None), None, status_line(T("choose_to_erase")), gr.skip()
        try:
            paper = paper_under(read_upload(upload, request).straight())
        except gr.Error as error:
            gr.Warning(error.message)
            return gr.HTML(paper=None, value=None), None, status_line(html.unescape(error.message)), None
        return gr.HTML(paper=paper, value=None), None, status_line(T("paint_over")), gr.skip()

    def erase(key: str, drawing: Any, upload: Any, request: gr.Request) -> tuple[Any, ...]:
        if drawing is None:
            return gr.skip(), gr.skip()
        try:
            return erase_from(models, key, upload, drawing, request)
        except gr.Error as error:  # raised, it would make Gradio's page forget the stroke that is waiting for this one
            gr.Warning(error.message)
            return None, status_line(html.unescape(error.message))

    def pick(key: str, event: gr.SelectData) -> Any:
        return nth_example(models.models[key].examples, event.index)

    def first(key: str, upload: Any) -> Any:
        """Something to paint on for who comes to look; the model is loaded meanwhile."""
        if key not in keys:  # a stranger's
            return gr.skip()
        try:
            models.translator(key)
        except LOAD_ERRORS:  # the first stroke says why
            return gr.skip()
        return gr.skip() if upload is not None else nth_example(models.models[key].examples, 0)

    source.change(lay, source, [painter, result, status, source], preprocess=False, **QUIET)
    examples.select(pick, model, source, **QUIET)
    gr.on(
        [painter.input, model.input],
        gpu(erase),
        [model, painter, source],
        [result, status],
        preprocess=False,
        trigger_mode="always_last",  # one stroke after the other; what is older than the newest is dropped
        concurrency_limit=2,
        concurrency_id="translate",
        show_progress="hidden",
        api_visibility="private",
    )
    model.input(partial(other_examples, models), model, examples, **QUIET)
    tab.select(first, [model, source], source, preprocess=False, concurrency_limit=4, **QUIET)


def paper_under(picture: Image.Image) -> dict[str, Any]:
    """What the painter needs to draw a mask over a picture, with the picture as a data address."""
    shown = picture.copy()
    shown.thumbnail((MOST_SHOWN, MOST_SHOWN))
    data = io.BytesIO()
    shown.convert("RGB").save(data, "JPEG", quality=90, subsampling=0)
    return {
        "width": shown.width,
        "height": shown.height,
        "background": 0,
        "start": 1,
        "tool": "brush",
        "brush": max(1, max(shown.size) // _BRUSHES),
        "palette": [
            {"name": "keep", "zh": "保留", "color": _KEEP},
            {"name": "erase", "zh": "抹去", "color": _ERASE},
        ],
        "under": f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}",
    }


def erase_from(
    models: Models, key: Any, upload: Any, drawing: Any, request: gr.Request | None = None
) -> tuple[str | None, str]:
    """(path of the filled PNG, a line about it) of a picture and what was painted over it, a PNG as a data address."""
    check_model(models, key, request)
    if upload is None:
        raise refusal(say("no_picture", request))
    decoded = read_upload(upload, request)
    picture = Picture(decoded=decoded, stem=plain_name(decoded.name))
    painted = np.asarray(drawing_of(drawing, request))[:, :, 0] > 127
    if painted.all():
        raise refusal(say("all_erased", request))
    if not painted.any():
        return None, status_line(say("paint_over", request))
    translator = load(models, key)
    if translator.settings.hole is None:
        raise refusal(say("fills_nothing", request, name=html.escape(models.models[key].name)))
    mask = Image.fromarray(painted)
    _check_windows(translator, mask, decoded.size, request)
    with translating(models, key, request):
        runner = runner_of(translator)
        result, seconds = run(runner, decoded, resize=None, mask=mask)
    path = picture.save(result, key=key)
    return path, status_line(say("erased", request, seconds=seconds, device=device_name(runner)))


def _check_windows(
    translator: Translator, mask: Image.Image, size: tuple[int, int], request: gr.Request | None
) -> None:
    """Refuse what would take more pixels through the network than any other picture of this page may."""
    settings = translator.settings
    fit, side = settings.resize == "fit" and settings.resizes, settings.working_size
    boxes = windows(np.asarray(mask.resize(size, Image.Resampling.NEAREST)), least=side, square=fit)
    sizes = [(side, side) if fit else (box[2] - box[0], box[3] - box[1]) for box in boxes]
    pixels = sum(native_pixels(translator, *each) for each in sizes)
    if pixels > MAX_NATIVE_PIXELS:
        raise refusal(say("too_much_erased", request, size=megapixels(*size), limit=MAX_NATIVE_PIXELS / 1e6))
