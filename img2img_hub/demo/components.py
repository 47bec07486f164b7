"""Components that several tabs show: made in one place, so that they look and behave alike.

python -c "from img2img_hub.demo.components import picture_input; help(picture_input)"
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import gradio as gr

from img2img_hub.demo.models import Models
from img2img_hub.demo.requests import enlarges
from img2img_hub.demo.texts import T
from img2img_hub.demo.uploads import open_examples
from img2img_hub.translation.translator import Translator

_SIDE_BY_SIDE: dict[str, Any] = {  # pictures of any size in rows that are as high as they need to be
    "format": "png",
    "columns": None,
    "height": "auto",
    "fit_columns": False,
    "object_fit": "contain",
    "interactive": False,
}

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "always_last"}
"""For the page's own answers to what is chosen or given: without a spinner, no part of the API, and to the last of
several that come in a row, too, where Gradio would drop it while an earlier one is being answered."""


def model_choice(models: Models, keys: Collection[str], label: Any, elem_id: str) -> gr.Dropdown:
    """One of these models, the first of them at the start; hidden where there is one alone."""
    choices = [choice for choice in models.choices if choice[1] in keys]
    return gr.Dropdown(
        choices,
        value=next(iter(keys)),
        label=label,
        filterable=False,
        elem_id=elem_id,
        visible=len(choices) > 1,
    )


def examples_of(models: Models, key: str, label: Any, elem_id: str) -> gr.Gallery:
    """A model's own examples to choose from; hidden where it has none."""
    found = list(open_examples(models.models[key].examples))
    return thumbnails(label, elem_id, found, visible=bool(found))


def other_examples(models: Models, key: str) -> gr.Gallery:
    """What `examples_of` becomes when another model is chosen."""
    found = list(open_examples(models.models[key].examples))
    return gr.Gallery(found, visible=bool(found))


def picture_input(elem_id: str, *, height: int = 290) -> gr.Image:
    """Where a visitor puts a picture. Its events want preprocess=False: Gradio would open the file itself."""
    return _picture(elem_id, T("your_picture"), height=height, alt_text=str(T("picture_to_translate")))


def style_input(elem_id: str) -> gr.Image:
    """The same for the picture whose style a model takes up, hidden until one is chosen that does."""
    return _picture(elem_id, T("style_picture"), height=200, visible=False)


def show_style(takes_style: bool) -> gr.Image:
    """The style input for the model that was chosen: of one that takes none up it is emptied, too, for it is sent."""
    if not takes_style:
        return gr.Image(value=None, visible=False)
    # The browser translates the text of what was hidden at first where it comes with the update.
    return gr.Image(visible=True, alt_text=str(T("style_picture")))


def _picture(elem_id: str, label: Any, *, height: int, **more: Any) -> gr.Image:
    return gr.Image(
        label=label,
        type="filepath",
        image_mode=None,  # the file as uploaded: the Translator reads bit depth, alpha and orientation itself
        format="png",
        sources=["upload", "clipboard", "webcam"],
        buttons=["fullscreen"],
        height=height,
        elem_id=elem_id,
        **more,
    )


def resolution(elem_id: str) -> gr.Radio:
    """At the model's working size, or at the picture's own."""
    return gr.Radio([(T("fit"), "fit"), (T("native"), "native")], value="fit", label=T("resolution"), elem_id=elem_id)


def resize_choices(translator: Translator) -> list[tuple[str, str]]:
    """(label, value) of the resolutions that a model has, with its working size, and how many times larger it makes a
    picture."""
    size, scale = translator.settings.working_size, translator.engine.scale
    if enlarges(translator):
        return [(f"{T('enlarges')} ({scale}×)", "native")]
    if not translator.settings.resizes:
        return [(str(T("native")), "native")]
    fit, native = (f"{size} px, {scale}×", f" ({scale}×)") if scale > 1 else (f"{size} px", "")
    return [(f"{T('fit')} ({fit})", "fit"), (f"{T('native')}{native}", "native")]


def before_after(elem_id: str) -> gr.ImageSlider:
    """A picture and its translation, with a handle between them."""
    return gr.ImageSlider(
        label=str(T("before_after")),
        format="png",
        type="filepath",
        interactive=False,
        max_height=560,
        buttons=["fullscreen"],
        elem_id=elem_id,
    )


def thumbnails(
    label: Any, elem_id: str, pictures: list[tuple[str, str]] | None = None, *, visible: bool = True
) -> gr.Gallery:
    """Small pictures to choose from, or to look over; a click enlarges none."""
    return gr.Gallery(
        pictures,
        label=label,
        allow_preview=False,
        buttons=[],
        visible=visible,
        elem_id=elem_id,
        elem_classes="thumbnails",
        **_SIDE_BY_SIDE,
    )


def results(label: Any, elem_id: str, *, elem_classes: str = "results") -> gr.Gallery:
    """Results side by side; a click enlarges one, with a button to download it."""
    return gr.Gallery(
        label=label,
        buttons=["download", "fullscreen"],
        elem_id=elem_id,
        elem_classes=elem_classes,
        **_SIDE_BY_SIDE,
    )
