"""The Translate tab: choose a model, give it a picture, compare before and after, download.

`build_translate_tab(demo, models)` is called while the `gr.Blocks` is built. The button is the API endpoint /translate:

    gradio_client.Client("http://127.0.0.1:7860").predict(MODEL, handle_file("x.png"), "fit", api_name="/translate")

returns the pair (before, after), the PNG to download, and a line about the run. Of a model with styles a picture may
follow whose style the result is to have. All state is the visitor's own: the
functions return values and keep none, and each result is a file named by its content.
"""

from __future__ import annotations

import html
import logging
from typing import Any

import gradio as gr

from img2img_hub.demo.components import (
    QUIET,
    before_after,
    picture_input,
    resize_choices,
    resolution,
    show_style,
    style_input,
    thumbnails,
)
from img2img_hub.demo.cycle import build_cycle, directions
from img2img_hub.demo.forecast import default_resize, foretell
from img2img_hub.demo.gallery import cards, model_gallery
from img2img_hub.demo.models import LOAD_ERRORS, VARIABLE, Models
from img2img_hub.demo.requests import check_request, check_style, done_line, run, runner_of, translating
from img2img_hub.demo.several import build_several, show_inputs, when_clicked
from img2img_hub.demo.speed import fastest, is_making
from img2img_hub.demo.texts import T
from img2img_hub.demo.uploads import device_name, notice, nth_example, open_examples, read_upload, status_line
from img2img_hub.demo.variations import build_variations
from img2img_hub.demo.zero import gpu
from img2img_hub.translation.translator import Translator

logger = logging.getLogger(__name__)


def build_translate_tab(demo: gr.Blocks, models: Models) -> None:
    """Put the tab's components and events into `demo`, the `gr.Blocks` that is being built."""
    if not models:
        gr.HTML(_no_models(models.problems), elem_id="no-models")
        return
    if models.problems:
        gr.HTML(notice(str(T("left_out")), models.problems))
    from_example = gr.State(True)
    made_by = gr.State("")  # the model of the picture in the slider
    model = model_gallery(models, next(iter(models.models)))
    with gr.Row(elem_id="workbench"):
        with gr.Column(elem_id="inputs", min_width=280):
            direction = gr.Radio([], label=T("direction"), visible=False, elem_id="direction")
            source = picture_input("source")
            several, pictures, together = build_several()
            examples = thumbnails(T("pick_example"), "examples")
            style = style_input("style")
            resize = resolution("resize")
            forecast = gr.HTML(elem_id="forecast", elem_classes="hint")
            button = gr.Button(T("translate"), variant="primary", size="lg", elem_id="translate")
        with gr.Column(elem_id="outputs", min_width=280):
            slider = before_after("slider")
            status = gr.HTML(status_line(T("choose_picture")), elem_id="status")
            download = gr.DownloadButton(str(T("download")), interactive=False, elem_id="download")
            with gr.Accordion(T("about"), open=True, elem_id="about"):
                story = gr.HTML(elem_id="story")
                facts = gr.HTML(f"<p>{T('loading')}</p>", elem_id="facts")
    variations, varied = build_variations(models, [model, source, resize], style)
    cycle, cycled = build_cycle(models, [model, source, resize])
    results = [slider, *varied, *cycled]

    def choose(key: str) -> tuple[Any, ...]:
        return choose_model(models, key)

    def turn(key: str) -> tuple[Any, ...]:
        return gr.HTML(key, cards=cards(models)), *choose_model(models, key)[1:]

    def first_example(key: str, was_example: bool) -> Any:
        # Asked after loading, which may take minutes: what the visitor has uploaded meanwhile is left alone.
        if not was_example:
            return gr.skip()
        return nth_example(models.models[key].examples, 0)

    def pick(key: str, event: gr.SelectData) -> tuple[str | None, bool]:
        return nth_example(models.models[key].examples, event.index), True

    def arrive(key: str, upload: dict[str, Any] | None, request: gr.Request) -> tuple[str, Any]:
        return foretell(models, key, upload, request), default_resize(models, key, upload)

    def translate(
        key: str,
        upload: dict[str, Any] | None,
        mode: str,
        style: dict[str, Any] | None = None,
        request: gr.Request | None = None,
    ) -> tuple[Any, ...]:
        return *translate_upload(models, key, upload, mode, request, style=style), key

    def finish(key: str, maker: str, upload: dict[str, Any] | None, request: gr.Request) -> tuple[Any, ...]:
        if key != maker:  # another model was chosen meanwhile, and this is no result of that one
            said, disabled, empty, *_ = clear()
            return disabled, gr.skip(), gr.skip(), empty, said
        ready = gr.DownloadButton(interactive=True, variant="primary")
        line, facts = foretell(models, key, upload, request), _facts(key, models.translator(key))
        return ready, line, facts, gr.skip(), gr.skip()

    def clear() -> list[Any]:
        disabled = gr.DownloadButton(value=None, interactive=False, variant="secondary")
        return [status_line(T("choose_picture")), disabled, *(None for _ in results)]

    for triggers, choice, function in (([demo.load, model.input], model, choose), ([direction.input], direction, turn)):
        gr.on(
            triggers,
            function,
            choice,
            [
                *(model, story, resize, examples, facts, direction, variations, cycle),
                *(style, source, button, several, *pictures),
            ],
            show_progress="minimal",
            show_progress_on=facts,
            trigger_mode="always_last",  # a choice made while another model is loading counts
            concurrency_limit=8,
            api_visibility="private",
        ).then(first_example, [model, from_example], source, **QUIET).then(
            arrive, [model, source], [forecast, resize], preprocess=False, **QUIET
        )
    # What another model made is no result of this one.
    gr.on([model.input, direction.input], clear, None, [status, download, *results], queue=False, **QUIET)
    examples.select(pick, model, [source, from_example], **QUIET)
    # preprocess=False: Gradio would open the file itself, and what it says of a bad one is not shown to the visitor.
    source.input(lambda: False, None, from_example, queue=False, **QUIET)  # first, while the file is being checked
    source.input(check_upload, source, source, preprocess=False, **QUIET)
    source.change(arrive, [model, source], [forecast, resize], preprocess=False, **QUIET)
    translated = button.click(
        gpu(translate),
        [model, source, resize, style],
        [slider, download, status, made_by],
        preprocess=False,
        api_name="translate",
        api_description="Translate one picture: model key, picture, 'fit' or 'native', and where the model has styles "
        "a picture to take one of. Returns the pair (before, after), the result as PNG, a line about the run.",
        concurrency_limit=2,
        concurrency_id="translate",
        scroll_to_output=True,
        show_progress_on=slider,
    )
    made_together = when_clicked(
        together, models, [model, resize, *pictures, style], [slider, download, status, made_by], shown_on=slider
    )
    # A second step, so that the API's answer is a plain file.
    finished = [download, forecast, facts, slider, status]
    for done in (translated, made_together):
        done.success(finish, [model, made_by, source], finished, preprocess=False, queue=False, **QUIET)
    for picture in (*pictures, style):
        picture.input(check_upload, picture, picture, preprocess=False, **QUIET)


def choose_model(models: Models, key: str) -> tuple[Any, ...]:
    """Load the model and show it: values for model, story, resize, examples, facts, direction, variations and cycle,
    style, the picture and its button, the section of several pictures and these.

    Of the gallery only the cards: what was chosen meanwhile must not be chosen back.
    """
    try:
        translator = models.translator(key)
        takes_style = translator.takes_style
        card = models.models[key]  # after loading: a Hub model's card and examples come with it
        pictures = list(open_examples(card.examples))
    except LOAD_ERRORS as error:
        logger.exception("loading %s", models.models[key].location)
        message = html.escape(f"{models.models[key].name} cannot be loaded: {models.reason(key, error)}")
        gr.Warning(message)
        hidden = [gr.update(visible=False) for _ in range(3)]
        empty = gr.Gallery([], visible=False)
        shown = (gr.skip(), gr.skip(), *show_inputs(None))
        return gr.skip(), "", gr.skip(), empty, f"<p>{message}</p>", *hidden, show_style(False), *shown
    both_ways, slots = directions(models, key), translator.settings.inputs
    alone = len(slots) < 2
    return (
        gr.HTML(cards=cards(models)),
        f"<p>{html.escape(card.story)}</p>" if card.story else "",
        gr.Radio(value=translator.settings.resize, choices=resize_choices(translator)),
        gr.Gallery(pictures, visible=bool(pictures)),
        _facts(key, translator),
        gr.Radio(both_ways, value=key, visible=bool(both_ways)),
        gr.Accordion(visible=translator.varies and alone),
        gr.Accordion(visible=bool(both_ways)),
        show_style(takes_style),
        gr.Image(label=slots[0].name if slots else str(T("your_picture")), visible=alone),
        gr.Button(visible=alone),
        *show_inputs(translator),
    )


def check_upload(upload: dict[str, Any] | None, request: gr.Request) -> Any:
    """Refuse a bad file as soon as it arrives: a value for source, which a refused one empties."""
    try:
        if upload is not None:
            read_upload(upload, request)
    except gr.Error as error:
        gr.Warning(error.message)
        return None
    return gr.skip()


def translate_upload(
    models: Models,
    key: Any,
    upload: dict[str, Any] | None,
    mode: Any,
    request: gr.Request | None = None,
    *,
    style: Any = None,
) -> tuple[Any, ...]:
    """Values for slider, download and status. Everything a visitor can do wrong is a `gr.Error` with the cure."""
    styled = check_style(models, key, style, request)
    translator, picture, resize = check_request(models, key, upload, mode, request)
    with translating(models, key, request):
        runner = runner_of(translator, style=styled)
        result, seconds = run(runner, picture.decoded, resize=resize)
    after = picture.save(result, key=key)
    return (picture.shown, after), after, done_line(runner, result, seconds, resize, request)


def _facts(key: str, translator: Translator) -> str:
    runner = fastest(translator)
    facts = [*runner.describe().split(" · ")[:-1], f"on {device_name(runner)}", f"loaded from {key}"]
    items = [html.escape(fact) for fact in facts] + ([str(T("faster_coming"))] if is_making(translator) else [])
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def _no_models(problems: list[str]) -> str:
    reasons = notice("These were asked for but cannot be used", problems) if problems else ""
    return (
        f"<h2>No models found</h2>{reasons}<p>Tell the page which translators to offer, then start it again:</p>"
        f'<pre><code>{VARIABLE}="runs/first, user/model-on-the-hub" python app.py</code></pre>'
        "<p>Each is a folder that holds <code>config.json</code> and <code>model.safetensors</code> "
        "(what a training run leaves in its output folder), or the id of a model repo on the Hugging Face Hub. "
        "Without the variable, every model in <code>model_cards/</code> is offered.</p>"
    )
