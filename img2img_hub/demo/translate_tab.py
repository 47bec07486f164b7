"""The Translate tab: choose a model, give it a picture, compare before and after, download.

`build_translate_tab(demo, models)` is called while the `gr.Blocks` is built. The button is the API endpoint /translate:

    gradio_client.Client("http://127.0.0.1:7860").predict(MODEL, handle_file("x.png"), "fit", api_name="/translate")

returns the pair (before, after), the PNG to download, and a line about the run. All state is the visitor's own: the
functions return values and keep none, and each result is a file named by its content.
"""

from __future__ import annotations

import html
import logging
import re
import time
from pathlib import Path
from typing import Any

import gradio as gr

from img2img_hub.demo.models import LOAD_ERRORS, VARIABLE, Models
from img2img_hub.demo.texts import T, say
from img2img_hub.demo.uploads import (
    BROWSER_FORMATS,
    device_name,
    format_of,
    megapixels,
    notice,
    open_example,
    read_upload,
    refusal,
    save_png,
    status_line,
)
from img2img_hub.demo.zero import gpu
from img2img_hub.rasters import Raster
from img2img_hub.translation.translator import Translator

MAX_NATIVE_PIXELS = 4_000_000  # a network's feature maps take several hundred bytes a pixel of its input

logger = logging.getLogger(__name__)


def build_translate_tab(demo: gr.Blocks, models: Models) -> None:
    """Put the tab's components and events into `demo`, the `gr.Blocks` that is being built."""
    if not models:
        gr.HTML(_no_models(models.problems), elem_id="no-models")
        return
    if models.problems:
        gr.HTML(notice(str(T("left_out")), models.problems))
    first = next(iter(models.models))
    from_example = gr.State(True)
    with gr.Row(elem_id="workbench"):
        with gr.Column(elem_id="inputs", min_width=280):
            model = gr.Dropdown(models.choices, value=first, label=T("model"), filterable=False, elem_id="model")
            story = gr.HTML(elem_id="story")
            source = gr.Image(
                label=T("your_picture"),
                type="filepath",
                image_mode=None,  # the file as uploaded: the Translator reads bit depth, alpha and orientation itself
                format="png",
                sources=["upload", "clipboard", "webcam"],
                buttons=["fullscreen"],
                height=290,
                alt_text=str(T("picture_to_translate")),
                elem_id="source",
            )
            examples = gr.Gallery(
                label=T("pick_example"),
                format="png",
                columns=None,
                height="auto",
                fit_columns=False,
                object_fit="contain",
                allow_preview=False,
                interactive=False,
                buttons=[],
                elem_id="examples",
                elem_classes="thumbnails",
            )
            resize = gr.Radio(
                [(T("fit"), "fit"), (T("native"), "native")], value="fit", label=T("resolution"), elem_id="resize"
            )
            button = gr.Button(T("translate"), variant="primary", size="lg", elem_id="translate")
        with gr.Column(elem_id="outputs", min_width=280):
            slider = gr.ImageSlider(
                label=str(T("before_after")),
                format="png",
                type="filepath",
                interactive=False,
                max_height=560,
                buttons=["fullscreen"],
                elem_id="slider",
            )
            status = gr.HTML(status_line(T("choose_picture")), elem_id="status")
            download = gr.DownloadButton(str(T("download")), interactive=False, elem_id="download")
            with gr.Accordion(T("about"), open=True, elem_id="about"):
                facts = gr.HTML(f"<p>{T('loading')}</p>", elem_id="facts")

    def choose(key: str) -> tuple[Any, ...]:
        return choose_model(models, key)

    def first_example(key: str, was_example: bool) -> Any:
        # Asked after loading, which may take minutes: what the visitor has uploaded meanwhile is left alone.
        if not was_example:
            return gr.skip()
        examples_of_it = models.models[key].examples
        return open_example(examples_of_it[0]) if examples_of_it else None

    def pick(key: str, event: gr.SelectData) -> tuple[str, bool]:
        return open_example(models.models[key].examples[event.index]), True

    def translate(key: str, upload: dict[str, Any] | None, mode: str, request: gr.Request) -> tuple[Any, ...]:
        return translate_upload(models, key, upload, mode, request)

    gr.on(
        [demo.load, model.input],
        choose,
        model,
        [story, resize, examples, facts],
        show_progress="minimal",
        show_progress_on=facts,
        trigger_mode="always_last",  # a choice made while another model is loading counts
        concurrency_limit=8,
        api_visibility="private",
    ).then(first_example, [model, from_example], source, show_progress="hidden", api_visibility="private")
    examples.select(pick, model, [source, from_example], api_visibility="private", show_progress="hidden")
    # preprocess=False: Gradio would open the file itself, and what it says of a bad one is not shown to the visitor.
    source.input(
        check_upload, source, [source, from_example], preprocess=False, api_visibility="private", show_progress="hidden"
    )
    translated = button.click(
        gpu(translate),
        [model, source, resize],
        [slider, download, status],
        preprocess=False,
        api_name="translate",
        api_description="Translate one picture: the pair (before, after), the result as PNG, a line about the run.",
        concurrency_limit=2,
        concurrency_id="translate",
        scroll_to_output=True,
        show_progress_on=slider,
    )
    # A second step, so that the API's answer is a plain file.
    translated.success(
        lambda: gr.DownloadButton(interactive=True, variant="primary"),
        outputs=download,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def choose_model(models: Models, key: str) -> tuple[Any, ...]:
    """Load the model and show it: values for story, resize, examples and facts."""
    try:
        translator = models.translator(key)
        card = models.models[key]  # after loading: a Hub model's card and examples come with it
        pictures = [(open_example(path), _caption(path)) for path in card.examples]
    except LOAD_ERRORS as error:
        logger.exception("loading %s", models.models[key].location)
        message = html.escape(f"{models.models[key].name} cannot be loaded: {models.reason(key, error)}")
        gr.Warning(message)
        return "", gr.skip(), gr.Gallery([], visible=False), f"<p>{message}</p>"
    return (
        f"<p>{html.escape(card.story)}</p>" if card.story else "",
        gr.Radio(value=translator.settings.resize, choices=_resize_choices(translator)),
        gr.Gallery(pictures, visible=bool(pictures)),
        _facts(key, translator.describe()),
    )


def check_upload(upload: dict[str, Any] | None, request: gr.Request) -> tuple[Any, bool]:
    """Refuse a bad file as soon as it arrives: values for source (emptied) and for "this is an example"."""
    try:
        if upload is not None:
            read_upload(upload, request)
    except gr.Error as error:
        gr.Warning(error.message)
        return None, False
    return gr.skip(), False


def translate_upload(
    models: Models, key: Any, upload: dict[str, Any] | None, mode: Any, request: gr.Request | None = None
) -> tuple[Any, ...]:
    """Values for slider, download and status. Everything a visitor can do wrong is a `gr.Error` with the cure."""
    if not isinstance(key, str) or key not in models.models:
        raise refusal(say("no_model", request, name=html.escape(repr(key))))
    if mode not in ("fit", "native"):
        raise refusal(say("bad_resolution", request, value=html.escape(repr(mode))))
    if upload is None:
        raise refusal(say("no_picture", request))
    path, stem, image = read_upload(upload, request)
    if mode == "native" and image.width * image.height > MAX_NATIVE_PIXELS:
        raise refusal(say("too_large_native", request, size=megapixels(*image.size), limit=MAX_NATIVE_PIXELS / 1e6))
    try:
        translator = models.translator(key)
        start = time.perf_counter()
        result = translator(path, resize=mode)
        seconds = time.perf_counter() - start
    except (MemoryError, RuntimeError) as error:  # torch reports exhausted memory as a RuntimeError
        logger.exception("translating with %s", models.models[key].location)
        raise refusal(say("not_finished", request)) from error
    except LOAD_ERRORS as error:
        logger.exception("translating with %s", models.models[key].location)
        raise refusal(html.escape(models.reason(key, error))) from error
    if isinstance(result, Raster):  # a page shows pictures
        result = result.preview()
    name = re.sub(r"[^\w.-]+", "-", key.split("/")[-1])
    after = save_png(result, name=f"{stem}-{name}.png" if stem != "image" else f"{name}.png")
    before = path if format_of(path) in BROWSER_FORMATS else save_png(image, name=f"{stem}.png")
    size = f"{result.width} × {result.height} px"
    fitted = say("fitted", request, pixels=translator.settings.working_size)
    how = fitted if mode == "fit" else say("at_native", request)
    line = status_line(say("done", request, seconds=seconds, device=device_name(translator), size=size, how=how))
    return (before, after), after, line


def _caption(path: Path) -> str:
    return path.stem.lstrip("0123456789-_ ").replace("-", " ").replace("_", " ")


def _resize_choices(translator: Translator) -> list[tuple[str, str]]:
    size = translator.settings.working_size
    return [(f"{T('fit')} ({size} px)", "fit"), (str(T("native")), "native")]


def _facts(key: str, description: str) -> str:
    facts = [*description.split(" · "), f"loaded from {key}"]
    return "<ul>" + "".join(f"<li>{html.escape(fact)}</li>" for fact in facts) + "</ul>"


def _no_models(problems: list[str]) -> str:
    reasons = notice("These were asked for but cannot be used", problems) if problems else ""
    return (
        f"<h2>No models found</h2>{reasons}<p>Tell the page which translators to offer, then start it again:</p>"
        f'<pre><code>{VARIABLE}="runs/first, user/model-on-the-hub" python app.py</code></pre>'
        "<p>Each is a folder that holds <code>config.json</code> and <code>model.safetensors</code> "
        "(what a training run leaves in its output folder), or the id of a model repo on the Hugging Face Hub. "
        "Without the variable, every model in <code>model_cards/</code> is offered.</p>"
    )
