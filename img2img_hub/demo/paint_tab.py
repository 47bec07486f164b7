"""The Paint tab: draw what a model takes for a source, such as a label map, and see what it makes of it at once.

A model that has a paint.json beside its weights is offered here: the size of the sheet and its palette, each colour
with its name, so that what is drawn is exactly what the model was trained on. "smooth" is for line drawings: round
strokes with soft edges. Of two colours the background is the eraser. A model whose translation.json has a palette of
label maps needs no paint.json: its sheet is made of that.

    cat model_cards/facades-label2photo/paint.json
"""

from __future__ import annotations

import base64
import html
import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from img2img_hub.demo.components import QUIET, examples_of, model_choice, other_examples, show_style, style_input
from img2img_hub.demo.models import LOAD_ERRORS, Models
from img2img_hub.demo.requests import (
    check_model,
    check_style,
    check_takes_one,
    file_name_of,
    load,
    run,
    runner_of,
    save_result,
    too_large,
    translating,
)
from img2img_hub.demo.texts import T, say
from img2img_hub.demo.uploads import device_name, nth_example, refusal, status_line
from img2img_hub.demo.variations import MAX_SEED, check_seed
from img2img_hub.demo.zero import gpu
from img2img_hub.errors import check_flags, check_range
from img2img_hub.images.read import Decoded
from img2img_hub.translation.painting import paper_of

SCRIPT = Path(__file__).with_name("assets") / "paint.js"
PAPER_FILE = "paint.json"
TOOLS = ("brush", "rectangle", "fill")
MAX_SIDE = 1024
MAX_COLOURS = 256  # the painter keeps a byte a pixel
MAX_BYTES = 4_000_000  # a noisy 1024 × 1024 PNG
PREFIX = "data:image/png;base64,"
LOADING = "load:"  # before a picture that the painter has yet to turn into a drawing

logger = logging.getLogger(__name__)


def build_paint_tab(models: Models, tab: gr.Tab) -> None:
    """Put the components and events into `tab`, which is being built; there is a model that has a sheet."""
    papers = find_papers(models)
    first = next(iter(papers))
    with gr.Row(elem_id="easel"):
        with gr.Column(min_width=280):
            model = model_choice(models, papers, T("paint_for"), "paint-model")
            painter = gr.HTML(
                None,
                html_template='<div class="painter"></div>',
                js_on_load=SCRIPT.read_text(encoding="utf-8"),
                apply_default_css=False,
                elem_id="painter",
                paper=papers[first],
            )
        with gr.Column(min_width=280):
            result = gr.Image(
                label=T("result"), format="png", type="filepath", interactive=False, height=480, elem_id="painted",
                buttons=["download", "fullscreen"],
            )  # fmt: skip
            status = gr.HTML(status_line(T("draw")), elem_id="paint-status")
            style = style_input("paint-style")
            seed = gr.Number(
                0,
                label=T("paint_seed"),
                precision=0,
                minimum=0,
                maximum=MAX_SEED,
                visible=False,
                elem_id="paint-seed",
            )
            examples = examples_of(models, first, T("start_from"), "paint-examples")

    def paint(key: str, drawing: Any, upload: Any, seed: Any, request: gr.Request) -> tuple[Any, ...]:
        try:
            style = check_style(models, key, upload, request)
        except gr.Error as error:  # a bad file goes at once, or each stroke would say so anew
            gr.Warning(error.message)
            return gr.skip(), gr.skip(), None
        if drawing is None or str(drawing).startswith(LOADING):  # a style before the first stroke, or before an example
            return gr.skip(), gr.skip(), gr.skip()
        try:
            return *paint_translation(models, key, drawing, request, style=style, seed=seed), gr.skip()
        except gr.Error as error:  # raised, it would make Gradio's page forget the stroke that is waiting for this one
            gr.Warning(error.message)
            return None, status_line(html.unescape(error.message)), gr.skip()

    def pick(key: str, event: gr.SelectData) -> Any:
        example = nth_example(models.models[key].examples, event.index)
        if example is None:  # gone since the page was loaded
            return gr.skip()
        data = Path(example).read_bytes()
        return f"{LOADING}{PREFIX}{base64.b64encode(data).decode()}"

    def clear(key: str) -> tuple[Any, ...]:
        fresh = gr.HTML(paper=papers[key], value=None), other_examples(models, key), None
        return *fresh, show_style(False), gr.Number(value=0, visible=False)

    def offer(key: str) -> tuple[gr.Image, gr.Number]:
        try:
            translator = models.translator(key)
            return show_style(translator.takes_style), gr.Number(visible=translator.varies)
        except LOAD_ERRORS:  # the first stroke says why
            return show_style(False), gr.Number(visible=False)

    gr.on(
        [painter.input, style.change, seed.change],
        gpu(paint),
        [model, painter, style, seed],
        [result, status, style],
        preprocess=False,  # Gradio would open the style picture itself
        trigger_mode="always_last",  # one stroke after the other; what is older than the newest is dropped
        concurrency_limit=2,
        concurrency_id="translate",
        show_progress="hidden",
        api_visibility="private",
    )
    examples.select(pick, model, painter, **QUIET)
    chosen = model.input(clear, model, [painter, examples, result, style, seed], **QUIET)
    # What a model takes beside a drawing is known when it is loaded, which it is when somebody comes to paint.
    for event in (tab.select, chosen.then):
        event(offer, model, [style, seed], concurrency_limit=4, **QUIET)


def find_papers(models: Models) -> dict[str, dict[str, Any]]:
    """{model: its paint.json, or what is made of its palette} of the models in folders; faults are logged."""
    papers = {}
    for key, model in models.models.items():
        path = Path(model.location) / PAPER_FILE
        paper = paper_of(model.settings) if path.parent.is_dir() and model.settings is not None else None
        try:
            if path.is_file():
                paper = json.loads(path.read_text(encoding="utf-8"))
            if paper is not None:
                papers[key] = check_paper(paper)
        except (OSError, ValueError, RecursionError) as error:
            logger.warning("%s: %s", path, error)
    return papers


def check_paper(paper: Any) -> dict[str, Any]:
    """A paint.json, checked key by key: it comes with a model, which may come from anywhere.

    Raises:
        ValueError: a key that is missing or has another value than the page can use.
    """
    if not isinstance(paper, dict):
        raise ValueError(f"an object was expected, got {type(paper).__name__}")
    palette = paper.get("palette")
    if not isinstance(palette, list) or not 2 <= len(palette) <= MAX_COLOURS:
        raise ValueError(f"palette must be a list of 2 to {MAX_COLOURS} colours")
    for entry in palette:
        names = [entry.get("name"), entry.get("zh", "-")] if isinstance(entry, dict) else [None]
        if not all(isinstance(name, str) and 0 < len(name) <= 40 and name.isprintable() for name in names):
            raise ValueError(f"a colour needs a short name in one line, got {entry!r:.80}")
        if not re.fullmatch(r"#[0-9a-f]{6}", str(entry.get("color"))):
            raise ValueError(f"color must be like #0030ff, got {entry.get('color')!r:.40}")
    limits: dict[str, Any] = {"width": (1, MAX_SIDE), "height": (1, MAX_SIDE), "brush": (1, 200)}
    limits |= dict.fromkeys(("background", "start"), (0, len(palette) - 1))
    check_range(**{name: (paper.get(name), *limit) for name, limit in limits.items()})
    check_flags(smooth=paper.get("smooth", False))
    if paper.get("tool") not in TOOLS:
        raise ValueError(f"tool must be one of {', '.join(TOOLS)}, got {paper.get('tool')!r:.40}")
    kept = {name: paper[name] for name in (*limits, "tool")} | {"smooth": paper.get("smooth", False)}
    # No more than that: the rest of a stranger's file may be what no JSON of the page can hold.
    colours = [{key: entry[key] for key in ("name", "zh", "color") if key in entry} for entry in palette]
    return kept | {"palette": colours}


def paint_translation(
    models: Models,
    key: Any,
    drawing: Any,
    request: gr.Request | None = None,
    *,
    style: Decoded | None = None,
    seed: Any = 0,
) -> tuple[str, str]:
    """(path of the translated PNG, a line about it) of a drawing, a PNG as a data address; in the style of a picture
    where one is given, and as the variation of a seed but for 0."""
    check_model(models, key, request)
    source = drawing_of(drawing, request)
    number = check_seed(seed, request) or None  # the browser has no empty number
    translator = load(models, key)
    check_takes_one(translator, request)
    if said := too_large(translator, *source.size, "fit", "too_large_fit", request):
        raise refusal(said)
    with translating(models, key, request):
        runner = runner_of(translator, style=style, seed=number)
        result, seconds = run(runner, source, resize="fit", seed=number)
    path = save_result(result, name=f"{file_name_of(key)}.png")
    return path, status_line(say("painted", request, seconds=seconds, device=device_name(runner)))


def drawing_of(drawing: Any, request: gr.Request | None) -> Image.Image:
    """What the painter sent, a PNG as a data address, as "RGB"; refuses what it cannot have sent."""
    if not isinstance(drawing, str) or not drawing.startswith(PREFIX) or len(drawing) > MAX_BYTES:
        raise refusal(say("drawing_foreign", request))
    try:
        image = Image.open(io.BytesIO(base64.b64decode(drawing.removeprefix(PREFIX), validate=True)), formats=["PNG"])
        if max(image.size) > MAX_SIDE:
            raise refusal(say("drawing_large", request, width=image.width, height=image.height, limit=MAX_SIDE))
        return image.convert("RGB")
    except gr.Error:
        raise
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise refusal(say("drawing_torn", request)) from error
