"""The tab for any model of the Hub: a visitor types owner/name. Only where the owner allows it.

    IMG2IMG_ALLOW_ANY_MODEL=1 python app.py

The button is the API endpoint /translate_any:

    client.predict("owner/name", handle_file("x.png"), "fit", api_name="/translate_any")

(or "owner/name@revision") returns what /translate does, the pair (before, after), the PNG to download and a line about
the run; and the model's card. What such a model may be, `demo.guests` says.
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from img2img_hub.demo.cards import render_card
from img2img_hub.demo.components import before_after, picture_input, resolution
from img2img_hub.demo.guests import GuestError, Guests
from img2img_hub.demo.requests import (
    RUN_ERRORS,
    check_mode,
    check_size,
    check_takes_one,
    done_line,
    explain,
    read_picture,
    run,
)
from img2img_hub.demo.texts import T, say
from img2img_hub.demo.uploads import refusal, status_line


def build_hub_tab() -> None:
    """Put the tab's components and events into the `gr.Blocks` that is being built."""
    guests = Guests()
    with gr.Row(elem_id="any"):
        with gr.Column(min_width=280):
            name = gr.Textbox(
                label=T("hub_model"), info=T("hub_model_info"), placeholder="owner/name", max_length=200,
                elem_id="any-name",
            )  # fmt: skip
            source = picture_input("any-source")
            resize = resolution("any-resize")
            button = gr.Button(T("translate"), variant="primary", size="lg", elem_id="any-button")
        with gr.Column(min_width=280):
            slider = before_after("any-slider")
            status = gr.HTML(status_line(T("name_a_model")), elem_id="any-status")
            download = gr.DownloadButton(str(T("download")), interactive=False, elem_id="any-download")
            with gr.Accordion(T("about"), open=False, elem_id="any-about"):
                card = gr.HTML(elem_id="any-card", elem_classes="card", apply_default_css=False)

    def translate(
        name: str, upload: dict[str, Any] | None, mode: str, request: gr.Request
    ) -> tuple[tuple[str, str], str, str, str]:
        return translate_guest(guests, name, upload, mode, request)

    done = gr.on(
        [button.click, name.submit],
        translate,
        [name, source, resize],
        [slider, download, status, card],
        preprocess=False,  # Gradio would open the file itself
        api_name="translate_any",
        api_description="Translate one picture with any public model of the Hub: as /translate, and the model's card.",
        concurrency_limit=1,  # one such model is loaded at a time
        concurrency_id="any",
        scroll_to_output=True,
        show_progress_on=slider,
    )
    # A second step, so that the API's answer is a plain file.
    done.success(
        lambda: gr.DownloadButton(interactive=True, variant="primary"),
        outputs=download,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def translate_guest(
    guests: Guests, name: Any, upload: Any, mode: Any, request: gr.Request | None = None
) -> tuple[tuple[str, str], str, str, str]:
    """((before, after), the PNG to download, a line about the run, the card as HTML)."""
    resize = check_mode(mode, request)
    if not isinstance(name, str) or not name.strip():
        raise refusal(say("name_a_model", request))
    picture = read_picture(upload, resize, request, missing="no_picture_to_compare")
    try:
        guest = guests.guest(name)
        translator = guest.translator
        check_takes_one(translator, request, text="too_many_pictures")
        check_size(translator, picture, resize, request)
        result, seconds = run(translator, picture.decoded, resize=resize)
    except GuestError as error:
        raise refusal(html.escape(error.say(request))) from error
    except RUN_ERRORS as error:
        raise refusal(html.escape(explain(error, guests, name.strip(), request))) from error
    after = picture.save(result, key=translator.name)
    line = done_line(translator, result, seconds, resize, request)
    return (picture.shown, after), after, line, render_card(guest.card)
