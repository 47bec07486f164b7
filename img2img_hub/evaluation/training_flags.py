"""What a translator's training_config.json says of the data it was trained on, held against those it is measured on.

python -m img2img_hub evaluate --model user/maps --dataset maps --side_by_side --direction AtoB
"""

import json

from huggingface_hub.errors import HfHubHTTPError

from img2img_hub.data.find.config import DataConfig
from img2img_hub.families import FAMILIES
from img2img_hub.networks.fetch import fetch
from img2img_hub.translation.translator import Translator

_NO_ANSWER: type[Exception] = HfHubHTTPError.__bases__[0]  # of the HTTP library, whichever the Hub client uses
_OTHER_WAY = {"AtoB": "BtoA", "BtoA": "AtoB"}


def difference_from_training(translator: Translator, data: DataConfig, *, revision: str | None = None) -> str | None:
    """One line where the flags that say what is source and what target are others than in training, else None.

    A model measured the wrong way round gives numbers that look like those of a bad model. Only a warning: another
    data set may well be laid out in another way.
    """
    try:
        path = fetch(translator.name, "training_config.json", revision=revision)
        trained = json.loads(path.read_text(encoding="utf-8"))["data"]
        direction, side_by_side = trained["direction"], trained["side_by_side"]
    except (ValueError, KeyError, TypeError, OSError, _NO_ANSWER):
        return None  # not from a run, or not to be had now: nothing to compare with
    family = FAMILIES.get(translator.settings.family)
    forwards = family.directions[0].folder if family is not None else ""
    if forwards and (translator.settings.reverse or "").endswith(forwards):  # it is the other generator of the run
        direction = _OTHER_WAY.get(direction, direction)
    differences = []
    if direction != data.direction:
        differences.append(f"with --direction {direction} (here {data.direction})")
    if side_by_side != data.side_by_side:
        before, now = ("with", "without") if side_by_side else ("without", "with")
        differences.append(f"{before} --side_by_side (here {now})")
    if not differences:
        return None
    return f"{translator.name} was trained {' and '.join(differences)}: are sources and targets the right way round?"
