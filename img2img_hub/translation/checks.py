"""What is refused before any image of a folder is read.

    from img2img_hub.translation.checks import check_options
    check_options(format="png", batch_size=4, seed=None)

Messages speak of the flags of the command line, whose words are those of Python, too.
"""

from collections.abc import Mapping
from pathlib import Path

from img2img_hub.errors import counted
from img2img_hub.images.raster import IN_PNG
from img2img_hub.translation.holes import is_colour
from img2img_hub.translation.outputs import SAVE_OPTIONS
from img2img_hub.translation.translator import Translator


def check_names(translator: Translator, named: Mapping[str, str | Path]) -> None:
    """Refuse inputs without a name for a model of several images, and the other way round. Raises ValueError."""
    slots = translator.settings.inputs
    if not named and (len(slots) == 1 or translator.settings.hole is not None):
        return  # of class numbers or a mask, where there is nothing to tell apart, or of images with holes in them
    if translator.settings.hole is not None and {slot.name for slot in slots[:2]} <= set(named):
        slots = tuple(slot for slot in slots if slot.name in named)
    if set(named) != {slot.name for slot in slots}:
        if not slots:
            raise ValueError(f"{translator.name} takes one image, and {' '.join(named)} are named: leave the names out")
        needed = ", ".join(slot.describe() for slot in slots)
        line = " ".join(f"{slot.name}=PATH" for slot in slots)
        raise ValueError(f"{translator.name} takes {needed}: name a folder, or a file, of each, as in {line}")


def check_mask(translator: Translator, mask: str | Path | None, named: Mapping[str, str | Path]) -> None:
    """Refuse a mask that nothing is done with, or that is not there. Raises ValueError."""
    if mask is None:
        return
    if translator.settings.hole is None:
        raise ValueError(f"--mask is for models that fill holes, and {translator.name} fills none: leave it out")
    if named:
        raise ValueError(f"--mask and {' '.join(f'{name}=' for name in named)} say twice what is read: drop one")
    if not is_colour(str(mask)) and not (str(mask) not in ("", ".") and Path(mask).exists()):
        raise ValueError(f"--mask {mask} is no file or folder that is there, nor a colour such as #ff00ff")


def check_options(*, format: str, batch_size: int, seed: int | None) -> None:
    """Refuse what no image could be translated with. Raises ValueError."""
    if f".{format}" not in SAVE_OPTIONS:
        raise ValueError(f"--format is {format!r}: type {', '.join(ending[1:] for ending in SAVE_OPTIONS)}")
    if batch_size < 1:
        raise ValueError(f"--batch_size is {batch_size}: type 1 or more")
    if seed is not None and seed < 0:
        raise ValueError(f"--seed is {seed}: type a whole number from 0 on")


def check_format(translator: Translator, format: str) -> None:
    """Refuse a format that cannot hold what the model makes. Raises ValueError."""
    values = translator.settings.target_values
    if (made := translator.settings.output) is not None and format in ("jpg", "webp"):
        raise ValueError(
            f"{translator.name} makes {made.describe()}, whose borders {format} would blur: add --format png, or tif"
        )
    if values is None or values.is_picture or format == "tif":
        return
    if format == "png" and (values.dtype, values.bands) in IN_PNG:
        return
    bands = counted(values.bands, "band")
    raise ValueError(f"{translator.name} makes {bands} of {values.dtype}, which {format} cannot hold: add --format tif")
