"""Which settings of a run may differ from those of its resumption, and which differ.

diff <(python -m json.tool A/run.json) <(python -m json.tool B/run.json)
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from img2img_hub.training.run.config import RUN_DEFAULTS, TrainConfig


def _marked(mark: str) -> set[str]:
    """TrainConfig's fields with this mark."""
    hints = get_type_hints(TrainConfig, include_extras=True)
    return {name for name, hint in hints.items() if mark in getattr(hint, "__metadata__", ())}


LENGTH, FREE = _marked("length"), _marked("free")
# Where the data lie may change (another mount), what they are may not.
FREE_DATA = {"dataset", "max_megapixels"}


def read_settings(file: Path) -> dict[str, Any] | None:
    """The settings in a run.json; None where there are none that can be read."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        if all(isinstance(settings[part], dict) for part in ("objective", "architecture", "data", "training")):
            return {"family": settings["family"], **settings}
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        pass
    return None


def other_settings(
    before: dict[str, Any], now: dict[str, Any], *, made_by: Mapping[str, Any], data_recorded: bool
) -> list[str]:
    """What differs and may not, in words.

    Args:
        before, now: as RunFolder.settings gives them.
        made_by: the configuration of each part, for the defaults that an older run did not write down.
        data_recorded: whether the images are compared themselves, so that all their places may change.
    """
    different = [] if before["family"] == now["family"] else [f"family: {before['family']} -> {now['family']}"]
    free_data = FREE_DATA | ({"target_dataset", "palette", "target_palette"} if data_recorded else set())
    free = {"data": free_data, "training": FREE}
    for part, config in made_by.items():
        defaults = {item.name: item.default for item in fields(config)}
        if part == "training":  # before a family could say otherwise, these were all families'
            defaults |= {key: value for key, value in RUN_DEFAULTS.items() if key in defaults}
        defaults |= {key: list(value) for key, value in defaults.items() if isinstance(value, tuple)}  # as in JSON
        for key in sorted((before[part].keys() | now[part].keys()) - free.get(part, set())):
            new = now[part].get(key)
            old = before[part].get(key, defaults.get(key))  # an older run did not know the field
            if old != new:
                different.append(f"--{key}: {old} -> {new}")
    return different
