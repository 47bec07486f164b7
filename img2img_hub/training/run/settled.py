"""What a run's settings become before it starts: what the launcher says, and what a resumed run was begun with.

accelerate launch --mixed_precision bf16 train_accelerate.py pix2pix … && grep mixed_precision OUTPUT_DIR/run.json
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from img2img_hub.families import Family
from img2img_hub.training.run.config import LATER, RUN_DEFAULTS, MixedPrecision, TrainConfig
from img2img_hub.training.run.same_settings import read_settings
from img2img_hub.training.state.start_networks import as_recorded


def with_former_settings(config: TrainConfig) -> TrainConfig:
    """A run that is resumed keeps what nobody types and what its family may say otherwise by now; its decay where it is
    resumed for as many epochs."""
    unsaid = [key for key in LATER if config.resume and getattr(config, key) is None]
    before = read_settings(Path(config.output_dir) / "run.json") if unsaid else None
    if before is None:
        return config
    former = RUN_DEFAULTS | before["training"]
    if former["num_epochs"] != config.num_epochs:
        unsaid = [key for key in unsaid if key != "decay_epochs"]
    return replace(config, **{key: former[key] for key in unsaid})


def with_launched_precision(config: TrainConfig) -> TrainConfig:
    """What the launcher says of the precision: the settings of a run tell it, so that one made by them is the same."""
    launched: Any = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    known = config.mixed_precision is None and launched in get_args(MixedPrecision)
    return replace(config, mixed_precision=launched) if known else config


def with_former_shape(family: Family, architecture: Any, config: TrainConfig) -> tuple[Family, Any]:
    """A run that began with --init_from may have got its networks' shape from there, and keeps it when resumed."""
    before = read_settings(Path(config.output_dir) / "run.json") if config.resume and config.init_from else None
    return (family, architecture) if before is None else as_recorded(family, architecture, settings=before)
