"""The Enlarge tab: a picture made larger, and a loupe over it: before and after side by side, pixel by pixel.

python app.py    # offers the tab where a model makes pictures larger
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from img2img_hub.demo.components import QUIET, examples_of, model_choice, other_examples, picture_input
from img2img_hub.demo.models import Models
from img2img_hub.demo.texts import T
from img2img_hub.demo.translate_tab import check_upload, translate_upload
from img2img_hub.demo.uploads import nth_example, status_line
from img2img_hub.demo.zero import gpu
from img2img_hub.networks.base import CONFIG_FILE

SCRIPT = Path(__file__).with_name("assets") / "loupe.js"


def enlargers(models: Models) -> list[str]:
    """The models of the page that make pictures larger, as far as their folders say so."""
    found = []
    for key, model in models.models.items():
        try:
            config = json.loads(Path(model.location, CONFIG_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):  # on the Hub, or damaged, which its loading says
            continue
        scale = config.get("scale", 1) if isinstance(config, dict) else 1
        found += [key] if isinstance(scale, int) and scale > 1 else []
    return found


def build_enlarge_tab(models: Models, tab: gr.Tab) -> None:
    """Put the components and events into `tab`, which is being built; there is a model that enlarges."""
    keys = enlargers(models)
    with gr.Row(elem_id="enlarge-bench"):
        with gr.Column(min_width=280):
            model = model_choice(models, keys, T("enlarge_by"), "enlarge-model")
            source = picture_input("enlarge-source", height=260)
            examples = examples_of(models, keys[0], T("pick_example"), "enlarge-examples")
            button = gr.Button(T("enlarge_button"), variant="primary", size="lg", elem_id="enlarge")
            status = gr.HTML(status_line(T("choose_to_enlarge")), elem_id="enlarge-status")
            download = gr.DownloadButton(str(T("download")), interactive=False, elem_id="enlarge-download")
        with gr.Column(min_width=280, scale=2):
            loupe = gr.HTML(
                None,
                html_template='<div class="loupe"></div>',
                js_on_load=SCRIPT.read_text(encoding="utf-8"),
                apply_default_css=False,
                elem_id="loupe",
                pair=None,
            )

    def enlarge(key: str, upload: Any, request: gr.Request) -> tuple[Any, ...]:
        (before, after), file, line = translate_upload(models, key, upload, "native", request)
        return gr.HTML(pair={"before": before, "after": after}), file, line

    def pick(key: str, event: gr.SelectData) -> Any:
        return nth_example(models.models[key].examples, event.index)

    def first(key: str, upload: Any) -> Any:
        if upload is not None or key not in keys:  # which only a stranger's is
            return gr.skip()
        return nth_example(models.models[key].examples, 0)

    def clear() -> tuple[Any, ...]:
        return gr.HTML(pair=None), gr.DownloadButton(value=None, interactive=False), status_line(T("choose_to_enlarge"))

    # What was made of another picture, or by another model, is no result of this one.
    gr.on([source.change, model.input], clear, None, [loupe, download, status], queue=False, **QUIET)
    source.input(check_upload, source, source, preprocess=False, **QUIET)
    examples.select(pick, model, source, **QUIET)
    model.input(partial(other_examples, models), model, examples, **QUIET)
    tab.select(first, [model, source], source, preprocess=False, concurrency_limit=4, **QUIET)
    button.click(
        gpu(enlarge),
        [model, source],
        [loupe, download, status],
        preprocess=False,
        concurrency_limit=2,
        concurrency_id="translate",
        show_progress_on=status,
        api_visibility="private",
    ).success(lambda: gr.DownloadButton(interactive=True, variant="primary"), None, download, queue=False, **QUIET)
