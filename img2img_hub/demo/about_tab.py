"""The tab about a model: its card, what was measured, its licence and config, and how to use it from a program.

    python -c "from img2img_hub.demo.about_tab import python_call; print(python_call('user/model'))"

No weights are loaded for it; of a Hub model the card and the config are fetched when it is first looked at.
"""

from __future__ import annotations

import html
import json
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from huggingface_hub.constants import ENDPOINT

from img2img_hub.demo.cards import licence_of, metrics_of, render_card, split_card
from img2img_hub.demo.models import LOAD_ERRORS, Models
from img2img_hub.demo.requests import check_model
from img2img_hub.demo.several import MOST
from img2img_hub.demo.texts import T, say
from img2img_hub.images.slots import Slot
from img2img_hub.networks.base import CONFIG_FILE
from img2img_hub.translation.settings import SETTINGS_FILE, TranslationSettings

MAX_CONFIG = 20_000  # characters
HERE = "http://127.0.0.1:7860"
_ADDRESS = re.compile(r"https?://[\w.:\[\]-]+(/[\w./~-]*)?", re.ASCII)

logger = logging.getLogger(__name__)


def build_about_tab(models: Models, tab: gr.Tab) -> None:
    """Put the components and events into `tab`, which is being built; there is a model."""
    model = gr.Dropdown(
        models.choices, value=next(iter(models.models)), label=T("model"), filterable=False, elem_id="about-model"
    )
    shown: dict[str, Any] = {"elem_classes": "card", "apply_default_css": False}
    code: dict[str, Any] = {
        "interactive": False,
        "buttons": ["copy"],
        "wrap_lines": True,
        "show_line_numbers": False,
    }
    with gr.Row(elem_id="about-rows"):
        with gr.Column(min_width=280, scale=2):  # the short column first: on a telephone the card is long
            facts = gr.HTML(f"<p>{T('loading_card')}</p>", elem_id="about-facts", **shown)
            python = gr.Code(label=T("in_python"), language="python", lines=3, elem_id="about-python", **code)
            call = gr.Code(label=T("over_the_api"), language="python", lines=5, elem_id="about-api", **code)
            config = gr.Code(label=CONFIG_FILE, language="json", lines=3, max_lines=16, elem_id="about-config", **code)
        with gr.Column(min_width=280, scale=3):
            card = gr.HTML(elem_id="about-card", **shown)

    def show(key: str, request: gr.Request) -> tuple[str, str, str, str, str]:
        return describe_model(models, key, request)

    gr.on(
        [tab.select, model.input],
        show,
        model,
        [facts, python, call, config, card],
        show_progress="minimal",
        show_progress_on=facts,
        trigger_mode="always_last",
        concurrency_limit=4,
        api_visibility="private",
    )


def describe_model(models: Models, key: Any, request: gr.Request | None = None) -> tuple[str, str, str, str, str]:
    """Facts as HTML, the Python snippet, the API call, config.json, the card as HTML."""
    key = check_model(models, key, request)
    try:
        folder = models.folder(key)
        readme = folder / "README.md"
        text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
        config = (folder / CONFIG_FILE).read_text(encoding="utf-8", errors="replace")[:MAX_CONFIG]
    except LOAD_ERRORS as error:
        logger.warning("the card of %s", models.models[key].location, exc_info=error)
        said = say("no_card_to_be_had", request, name=models.models[key].name, reason=models.reason(key, error))
        return f'<p role="alert">{html.escape(said)}</p>', "", "", "", ""
    head, _ = split_card(text)
    settings = _settings(folder)
    ending, inputs = "tif" if settings.target_values is not None else "png", settings.asked
    return (
        _facts(key, head, request, address=f"{ENDPOINT}/{key}" if key in models.on_hub else None),
        python_call(key, ending=ending, inputs=inputs),
        api_call(key, address_of(request), inputs=inputs),
        config.strip(),
        render_card(text, folder) if text.strip() else f"<p>{html.escape(say('no_card', request))}</p>",
    )


def python_call(key: str, *, ending: str = "png", inputs: Sequence[Slot] = ()) -> str:
    """Three lines that translate a picture, or several; of a model in a folder, `key` is the folder's name."""
    several = {slot.name: f"{slot.name}.{slot.ending}" for slot in inputs}
    files = (
        json.dumps(several, ensure_ascii=False) if len(inputs) > 1 else f'"picture.{ending if not inputs else "png"}"'
    )
    return (
        "from img2img_hub import Translator\n\n"
        f"translator = Translator.from_pretrained({_quoted(key)})\n"
        f'translator({files}).save("translated.{ending}")'
    )


def api_call(key: str, address: str, *, inputs: Sequence[Slot] = ()) -> str:
    """The same over this page's API. `address`: of the page, or a Space's id."""
    if len(inputs) > MOST:
        return ""
    arguments = 'handle_file("picture.png"), "fit", api_name="/translate"'
    if len(inputs) > 1:
        files = [f"handle_file({_quoted(f'{slot.name}.{slot.ending}')})" for slot in inputs]
        files += ["None"] * (MOST - len(inputs))
        arguments = f'"fit", {", ".join(files)}, api_name="/translate_several"'
    return (
        "from gradio_client import Client, handle_file\n\n"
        f"client = Client({_quoted(address)})\n"
        "_, translated, *_ = client.predict(\n"
        f"    {_quoted(key)}, {arguments}\n"
        ")\n"
        "print(translated)  # the path of a PNG"
    )


def address_of(request: gr.Request | None) -> str:
    """What a program calls this page by: what the visitor's browser does, or the Space's id."""
    if space := os.environ.get("SPACE_ID"):
        return space
    said = (request.headers.get("referer", "") if request is not None else "").partition("?")[0]
    return said if _ADDRESS.fullmatch(said) else HERE


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _settings(folder: Path) -> TranslationSettings:
    try:
        return TranslationSettings.from_dict(json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return TranslationSettings()


def _linked(text: str, address: str | None) -> str:
    if address is None:
        return html.escape(text)
    return (
        f'<a href="{html.escape(address)}" target="_blank" rel="noopener noreferrer nofollow">{html.escape(text)}</a>'
    )


def _facts(key: str, head: dict[str, Any], request: gr.Request | None, *, address: str | None) -> str:
    name, licence = licence_of(head)
    name = name or say("no_licence", request)
    parts = [
        "<dl>",
        f"<dt>{html.escape(say('model', request))}</dt><dd>{_linked(key, address)}</dd>",
        f"<dt>{html.escape(say('licence', request))}</dt><dd>{_linked(name, licence)}</dd>",
        "</dl>",
    ]
    if rows := metrics_of(head):
        titles = "".join(
            f"<th scope='col'>{html.escape(say(name, request))}</th>" for name in ("metric", "value", "on")
        )
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        table = f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
        parts.append(f'<h3>{html.escape(say("measured", request))}</h3><div class="wide" tabindex="0">{table}</div>')
    return "".join(parts)
