"""What a painter needs to draw the sources of a model that reads label maps: a paint.json, made of translation.json.

    python -c "
    from img2img_hub.translation.painting import paper_of
    from img2img_hub.translation.settings import TranslationSettings
    print(paper_of(TranslationSettings.load('runs/facades')))"

A model may bring a paint.json of its own, with other tools or names in other languages.
"""

from typing import Any

from img2img_hub.images.palettes import text_of
from img2img_hub.translation.settings import TranslationSettings

_MOST = 1024  # pixels a side of a sheet
_BRUSHES = 32  # strokes of the brush side by side on a sheet


def paper_of(settings: TranslationSettings) -> dict[str, Any] | None:
    """The content of a paint.json: a sheet of the trained size, and each class with its colour, and what is of no class
    where that has one. None for a model that reads something else than one label map in colours."""
    if len(settings.inputs) != 1 or not settings.inputs[0].palette:
        return None
    (slot,) = settings.inputs
    names = slot.class_names or tuple(f"class {number}" for number in range(slot.classes))
    palette = [{"name": name[:40], "color": text_of(slot.colours[number])} for number, name in enumerate(names)]
    if len(slot.palette) > slot.classes:
        palette.append({"name": "of no class", "zh": "无类别", "color": slot.palette[-1]})
    side = min(settings.working_size, _MOST)
    return {
        "width": side,
        "height": side,
        "background": 0,
        "start": min(1, len(palette) - 1),
        "tool": "rectangle",
        "brush": max(1, side // _BRUSHES),
        "palette": palette,
    }
