"""The variations of a picture: what a model with noise (dropout, noise channels) or styles makes of it besides its one
answer.

Named /variations for programs:

    client.predict(MODEL, handle_file("x.png"), "fit", 7, 3, api_name="/variations")

returns the pictures with their captions, the translation without noise first, and a line about the run. A picture may
come last whose style they are drawn around.
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from img2img_hub.demo.components import results
from img2img_hub.demo.models import Models
from img2img_hub.demo.requests import check_request, check_style, runner_of, translating
from img2img_hub.demo.texts import T, say
from img2img_hub.demo.uploads import device_name, refusal, status_line
from img2img_hub.demo.zero import gpu

MAX_COUNT = 7
MAX_SEED = 2**31 - 1


def build_variations(models: Models, inputs: list[Component], style: gr.Image) -> tuple[gr.Accordion, list[Component]]:
    """The section, for inputs model, picture and resolution, and style; hidden until a model with noise or styles is
    chosen; its results."""
    with gr.Accordion(T("variations"), open=False, visible=False, elem_id="variations") as section:
        gr.HTML(f"<p>{T('variations_about')}</p>", elem_classes="hint")
        with gr.Row():
            seed = gr.Number(
                1, label=T("seed"), precision=0, minimum=0, maximum=MAX_SEED, min_width=120, elem_id="seed"
            )
            count = gr.Slider(1, MAX_COUNT, 3, step=1, label=T("how_many"), min_width=120, elem_id="count")
        button = gr.Button(T("draw_variations"), elem_id="vary")
        gallery = results(T("variations"), "varied")
        status = gr.HTML(status_line(""), elem_id="varied-status")

    def vary(
        key: str,
        upload: dict[str, Any] | None,
        mode: str,
        seed: Any,
        count: Any,
        style: dict[str, Any] | None = None,
        request: gr.Request | None = None,
    ) -> tuple[list[tuple[str, str]], str]:
        return vary_upload(models, key, upload, mode, seed, count, request, style=style)

    button.click(
        gpu(vary),
        [*inputs, seed, count, style],
        [gallery, status],
        preprocess=False,
        api_name="variations",
        api_description="Variations of one picture by a model with noise: model key, picture, 'fit' or 'native', a "
        f"seed (whole number), how many (1 to {MAX_COUNT}), and where the model has styles a picture to take one of. "
        "Returns pictures with captions, without noise first.",
        concurrency_limit=2,
        concurrency_id="translate",
        show_progress_on=gallery,
    )
    return section, [gallery, status]


def vary_upload(
    models: Models,
    key: Any,
    upload: dict[str, Any] | None,
    mode: Any,
    seed: Any,
    count: Any,
    request: gr.Request | None = None,
    *,
    style: Any = None,
) -> tuple[list[tuple[str, str]], str]:
    """Values for gallery and status: the one translation without noise, then one of each seed from `seed` on; all of
    them in the style of the picture that `style` uploads, where there is one."""
    styled = check_style(models, key, style, request)
    translator, picture, resize = check_request(models, key, upload, mode, request)
    first = check_seed(seed, request)
    number = _whole(
        count, least=1, most=MAX_COUNT, say_no=lambda: say("bad_count", request, value=_shown(count), most=MAX_COUNT)
    )
    if not translator.varies:
        raise refusal(say("no_noise", request, name=html.escape(models.models[key].name)))
    began = time.perf_counter()
    with translating(models, key, request):
        runner = runner_of(translator, style=styled)
        made = [(picture.save(runner(picture.decoded, resize=resize), key=key), say("without_noise", request))]
        runner = translator if styled is None else runner  # PyTorch, which alone has the noise
        for number_drawn in range(first, first + number):
            varied = runner(picture.decoded, resize=resize, seed=number_drawn)
            path = picture.save(varied, key=key, detail=f"seed-{number_drawn}")
            made.append((path, say("of_seed", request, seed=number_drawn)))
    seconds = time.perf_counter() - began
    return made, status_line(say("painted", request, seconds=seconds, device=device_name(translator)))


def check_seed(value: Any, request: gr.Request | None) -> int:
    return _whole(value, least=0, most=MAX_SEED, say_no=lambda: say("bad_seed", request, value=_shown(value)))


def _whole(value: Any, *, least: int, most: int, say_no: Callable[[], str]) -> int:
    """Browsers and programs send 7 as well as 7.0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or not least <= value <= most:
        raise refusal(say_no())
    if value != int(value):
        raise refusal(say_no())
    return int(value)


def _shown(value: Any) -> str:
    return html.escape(f"{value!r:.40}")
