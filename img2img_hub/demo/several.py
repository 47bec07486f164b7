"""The section for models of several pictures: an input for each, in the place of the one of other models.

    gradio_client.Client("http://127.0.0.1:7860").predict(
        MODEL, "fit", handle_file("a.png"), handle_file("b.png"), None, None, api_name="/translate_several")

The pictures come in the order in which the model names them; what it has no picture for is left out. A picture whose
style the result is to have may follow.
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from img2img_hub.demo.components import picture_input
from img2img_hub.demo.models import Models
from img2img_hub.demo.requests import (
    check_mode,
    check_model,
    check_size,
    check_style,
    done_line,
    load,
    read_picture,
    run,
    runner_of,
    translating,
)
from img2img_hub.demo.texts import T, say
from img2img_hub.demo.uploads import refusal
from img2img_hub.demo.zero import gpu
from img2img_hub.translation.translator import Translator

MOST = 4
"""Pictures of one input; a model of more is for Python and the command line."""


def build_several() -> tuple[gr.Column, list[gr.Image], gr.Button]:
    """The section, hidden until a model of several pictures is chosen; its inputs, its button."""
    with gr.Column(visible=False, elem_id="several") as section:
        pictures = [picture_input(f"source-{number}", height=200) for number in range(1, MOST + 1)]
        button = gr.Button(T("translate"), variant="primary", size="lg", elem_id="translate-several")
    return section, pictures, button


def when_clicked(button: gr.Button, models: Models, inputs: list[Any], outputs: list[Any], *, shown_on: Any) -> Any:
    """The button's event: inputs model, resolution, pictures, style; outputs slider, download, status and the maker."""

    def translate(
        key: str, mode: str, a: Any, b: Any, c: Any, d: Any, style: Any = None, request: gr.Request | None = None
    ) -> tuple[Any, ...]:
        return *translate_several(models, key, mode, [a, b, c, d], request, style=style), key

    return button.click(
        gpu(translate),
        inputs,
        outputs,
        preprocess=False,
        api_name="translate_several",
        api_description="Translate several pictures that make one input: model key, 'fit' or 'native', the pictures in "
        "the model's order, and where it has styles a picture to take one of. Returns the pair (first picture, after), "
        "the result as PNG, a line about the run.",
        concurrency_limit=2,
        concurrency_id="translate",
        scroll_to_output=True,
        show_progress_on=shown_on,
    )


def show_inputs(translator: Translator | None) -> list[Any]:
    """Values for the section and its inputs, of the model that was chosen."""
    slots = () if translator is None else translator.settings.asked
    labels = [slot.name for slot in slots] + [""] * (MOST - len(slots))
    fits = 1 < len(slots) <= MOST
    pictures = (gr.Image(label=label, alt_text=label, visible=bool(label)) for label in labels[:MOST])
    return [gr.Column(visible=fits), *pictures]


def translate_several(
    models: Models, key: Any, mode: Any, uploads: list[Any], request: gr.Request | None = None, *, style: Any = None
) -> tuple[Any, ...]:
    """Values for slider, download and status. Everything a visitor can do wrong is a `gr.Error` with the cure."""
    check_model(models, key, request)
    styled = check_style(models, key, style, request)
    resize = check_mode(mode, request)
    translator = load(models, key)
    slots = translator.settings.asked
    needed = ", ".join(slot.describe() for slot in slots)
    if not 0 < len(slots) <= MOST:
        raise refusal(say("one_picture" if not slots else "too_many_pictures", request, names=html.escape(needed)))
    missing = [upload is None for upload in uploads[: len(slots)]]
    if any(missing) or any(upload is not None for upload in uploads[len(slots) :]):
        raise refusal(say("each_picture", request, names=html.escape(needed)))
    pictures = [read_picture(upload, resize, request) for upload in uploads[: len(slots)]]
    check_size(translator, pictures[0], resize, request)
    with translating(models, key, request):
        runner = runner_of(translator, style=styled)
        images = {slot.name: picture.decoded for slot, picture in zip(slots, pictures, strict=True)}
        result, seconds = run(runner, images, resize=resize)
    after = pictures[0].save(result, key=key)
    return (pictures[0].shown, after), after, done_line(runner, result, seconds, resize, request)
