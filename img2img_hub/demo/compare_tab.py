"""The Compare tab: one picture through several models, or through two revisions of one, side by side with their times.

    client.predict(["first", "second"], handle_file("x.png"), "fit", api_name="/compare")
    client.predict("owner/name", "v1", "main", handle_file("x.png"), "fit", api_name="/compare_revisions")

return the pictures with their captions and a line about the run. Revisions are of models on the Hub; they are read
without the owner's token and bounded, since visitors name them (see `demo.guests`).
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from img2img_hub.demo.components import QUIET, picture_input, resolution, results, thumbnails
from img2img_hub.demo.guests import GuestError, Guests, check_revision
from img2img_hub.demo.models import Models
from img2img_hub.demo.requests import (
    RUN_ERRORS,
    Shelf,
    check_mode,
    check_model,
    check_picture,
    enlarged,
    explain,
    read_picture,
    run,
)
from img2img_hub.demo.speed import fastest
from img2img_hub.demo.texts import T, say
from img2img_hub.demo.uploads import device_name, notice, open_examples, refusal, status_line
from img2img_hub.demo.zero import ON_ZERO_GPU, gpu

FEWEST, MOST = 2, 4
MOST_EXAMPLES = 8

Pictures = list[tuple[str, str]]


def can_compare(models: Models) -> bool:
    """Whether there is anything to compare: two models, or one with revisions."""
    return len(models.models) >= FEWEST or has_revisions(models)


def has_revisions(models: Models) -> bool:
    return bool(models.on_hub) and not ON_ZERO_GPU  # there, all weights are loaded at the start


def build_compare_tab(models: Models) -> None:
    """Put the tab's components and events into the `gr.Blocks` that is being built."""
    revisions = Guests(most=2)
    both = len(models.models) >= FEWEST and has_revisions(models)
    with gr.Row(elem_id="compare"):
        with gr.Column(min_width=280, scale=2):
            source = picture_input("compare-source", height=260)
            examples = [path for model in models.models.values() for path in model.examples[:2]]
            pictures = list(open_examples(examples[:MOST_EXAMPLES]))
            picks = thumbnails(T("pick_example"), "compare-examples", pictures, visible=bool(pictures))
            resize = resolution("compare-resize")
            what = gr.Radio(
                [(T("several_models"), "models"), (T("two_revisions"), "revisions")],
                value="models" if len(models.models) >= FEWEST else "revisions",
                label=T("compare_what"),
                visible=both,
                elem_id="compare-what",
            )
            with gr.Column(visible=len(models.models) >= FEWEST, elem_id="compare-models") as by_model:
                chosen = gr.CheckboxGroup(
                    models.choices, value=list(models.models)[:FEWEST], label=T("two_to_four"), elem_id="compare-chosen"
                )
                button = gr.Button(T("compare"), variant="primary", size="lg", elem_id="compare-button")
            with gr.Column(visible=has_revisions(models) and not both, elem_id="compare-revisions") as by_revision:
                hub = [choice for choice in models.choices if choice[1] in models.on_hub]
                model = gr.Dropdown(
                    hub,
                    value=models.on_hub[0] if models.on_hub else None,
                    label=T("model"),
                    filterable=False,
                    elem_id="compare-model",
                )
                first = gr.Textbox("main", label=T("first_revision"), max_length=100, elem_id="compare-first")
                second = gr.Textbox(
                    label=T("second_revision"), placeholder="v1.0", max_length=100, elem_id="compare-second"
                )
                revisions_button = gr.Button(
                    T("compare"), variant="primary", size="lg", elem_id="compare-revisions-button"
                )
        with gr.Column(min_width=280, scale=3):
            compared = results(T("results"), "compare-results", elem_classes="side-by-side")
            status = gr.HTML(status_line(T("choose_to_compare")), elem_id="compare-status")

    def compare(keys: Any, upload: dict[str, Any] | None, mode: str, request: gr.Request) -> tuple[Pictures, str]:
        return compare_models(models, keys, upload, mode, request)

    def compare_two(
        key: str, first: str, second: str, upload: dict[str, Any] | None, mode: str, request: gr.Request
    ) -> tuple[Pictures, str]:
        return compare_revisions(models, revisions, key, (first, second), upload, mode, request)

    def pick(event: gr.SelectData) -> str:
        return pictures[event.index][0]

    picks.select(pick, None, source, **QUIET)
    options: dict[str, Any] = {
        "preprocess": False,  # Gradio would open the file itself
        "scroll_to_output": True,
        "show_progress_on": compared,
    }
    if len(models.models) >= FEWEST:
        button.click(
            gpu(compare),
            [chosen, source, resize],
            [compared, status],
            api_name="compare",
            api_description="One picture through 2 to 4 models: the pictures with captions, a line about the run.",
            concurrency_limit=2,
            concurrency_id="translate",
            **options,
        )
    if has_revisions(models):
        revisions_button.click(
            compare_two,
            [model, first, second, source, resize],
            [compared, status],
            api_name="compare_revisions",
            api_description="One picture through two revisions of a model on the Hub: the pictures with captions.",
            concurrency_limit=1,  # a download keeps nobody waiting but those who want another one
            concurrency_id="revisions",
            **options,
        )
    what.input(
        lambda choice: (gr.Column(visible=choice == "models"), gr.Column(visible=choice == "revisions")),
        what,
        [by_model, by_revision],
        queue=False,
        **QUIET,
    )


def compare_models(
    models: Models, keys: Any, upload: Any, mode: Any, request: gr.Request | None = None
) -> tuple[Pictures, str]:
    """([(picture, caption)], a line about the run); the visitor's own picture comes first."""
    keys = keys if isinstance(keys, list) else []
    names = {check_model(models, key, request): models.models[key].name for key in keys}
    if not FEWEST <= len(names) <= MOST:
        raise refusal(say("choose_two_to_four", request, count=len(names)))
    if len(set(names.values())) < len(names):
        names = {key: key for key in names}
    return _side_by_side(models, names, upload, mode, request)


def compare_revisions(
    models: Models,
    revisions: Guests,
    key: Any,
    named: tuple[Any, Any],
    upload: Any,
    mode: Any,
    request: gr.Request | None = None,
) -> tuple[Pictures, str]:
    """The same for two revisions of a model that comes from the Hub."""
    location = models.models[check_model(models, key, request)].location
    if key not in models.on_hub:
        raise refusal(say("no_revisions", request, name=html.escape(models.models[key].name)))
    try:
        names = {f"{location}@{(name := check_revision(str(each or '')))}": name for each in named}
    except GuestError as error:
        raise refusal(html.escape(error.say(request))) from error
    if len(names) < 2:
        raise refusal(say("same_revision", request))
    return _side_by_side(revisions, names, upload, mode, request)


def _side_by_side(
    shelf: Shelf, names: dict[str, str], upload: Any, mode: Any, request: gr.Request | None
) -> tuple[Pictures, str]:
    resize = check_mode(mode, request)
    picture = read_picture(upload, resize, request, missing="no_picture_to_compare")
    pictures = [(picture.shown, say("your_picture", request))]
    failures, device = [], ""
    for key, name in names.items():
        try:
            translator = shelf.translator(key)
            check_picture(translator, picture, resize, request)
            if isinstance(shelf, Models):  # what visitors name is not kept for long enough
                translator = fastest(translator)
            result, seconds = run(translator, picture.decoded, resize=resize)
        except GuestError as error:
            failures.append(error.say(request))
        except gr.Error as error:
            failures.append(f"{name}: {error.message}")
        except RUN_ERRORS as error:
            failures.append(f"{name}: {explain(error, shelf, key, request)}")
        else:
            device = device_name(translator)
            path = picture.save(result, key=key)
            caption = say("compared", request, name=name, seconds=seconds)
            larger = enlarged(translator, request)
            pictures.append((path, f"{caption} · {larger}" if larger else caption))
    if len(pictures) == 1:
        raise refusal(html.escape(" · ".join(failures)))
    width, height = picture.decoded.size
    size = f"{width} × {height} px"
    line = status_line(say("compared_all", request, count=len(pictures) - 1, size=size, device=device))
    return pictures, line + (notice(say("not_compared", request), failures) if failures else "")
