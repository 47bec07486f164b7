"""The models as a gallery of cards to choose from: a thumbnail, a name, a line of story.

`model_gallery(models, "facades")` is a component whose value is the key of the chosen model, for programs and events
like any text box; in the browser it is a group of radio buttons, so that arrow keys and screen readers know it.

    python -c "from img2img_hub.demo.gallery import cards; from img2img_hub.demo.models import find_models; \
    print([card['story'] for card in cards(find_models())])"
"""

from __future__ import annotations

import base64
import io
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageOps

from img2img_hub.demo.models import Model, Models
from img2img_hub.evaluation.sheets import first_pair
from img2img_hub.families import FAMILIES
from img2img_hub.images.read import read_image
from img2img_hub.translation.settings import TranslationSettings

SCRIPT = Path(__file__).with_name("assets") / "gallery.js"
SIDE = 160  # pixels of a thumbnail, twice what it is shown at


def model_gallery(models: Models, chosen: str) -> gr.HTML:
    """The component; its value is the key of the model that is chosen."""
    return gr.HTML(
        chosen,
        html_template='<div class="gallery"></div>',
        js_on_load=SCRIPT.read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="model",
        cards=cards(models),
    )


def cards(models: Models) -> list[dict[str, Any]]:
    """What the browser draws: key, name, story and thumbnail (a data address, "" where there is none) of each."""
    names = {key: name for name, key in models.choices}
    return [
        {"key": key, "name": names[key], "story": _first_sentence(model.story), "thumbnail": thumbnail(model)}
        for key, model in models.models.items()
    ]


@lru_cache(maxsize=256)
def thumbnail(model: Model) -> str:
    """Half source and half output of the first sample, else the first example, as a data address."""
    picture = _halves(model.sheet, model.settings) if model.sheet and model.settings else None
    if picture is None and model.examples:
        picture = _or_none(model.examples[0])
    if picture is None:
        return ""
    data = io.BytesIO()
    ImageOps.fit(picture, (SIDE, SIDE), Image.Resampling.LANCZOS).save(data, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"


def _halves(sheet: Path, settings: TranslationSettings) -> Image.Image | None:
    whole = _or_none(sheet)
    family = FAMILIES.get(settings.family)
    size = settings.working_size  # without a translation.json a guess, which the layout confirms
    paired = bool(settings.inputs) or (family is not None and family.paired)
    pair = first_pair(whole, size=size, paired=paired) if whole else None
    if pair is None:
        return None
    source, output = pair
    output.paste(source.crop((0, 0, size // 2, size)))
    output.paste("white", (size // 2 - size // 64, 0, size // 2 + size // 64, size))
    return output


def _or_none(path: Path) -> Image.Image | None:
    try:
        return read_image(path, channels=3)
    except (OSError, ValueError):  # the card goes without
        return None


def _first_sentence(story: str) -> str:
    return re.split(r"(?<=[.!?])\s", story, maxsplit=1)[0]
