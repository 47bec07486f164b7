"""--encoder: what the classification network inside a generator starts with, and the steps in which it is kept.

accelerate launch train_accelerate.py pix2pix --encoder lite0 --freeze_encoder_steps 1000 …
"""

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from img2img_hub.families import Family
from img2img_hub.hub.local_paths import shortened
from img2img_hub.networks.encoders import encoder_of
from img2img_hub.training.run.config import IMAGENET, TrainConfig

NONE = "none"


def start_encoders(networks: Mapping[str, nn.Module], config: TrainConfig, *, fresh: bool) -> list[str]:
    """Give the encoders of `networks` the weights that `config` names; lines for the log.

    Args:
        fresh: neither a checkpoint nor --init_from brings weights.

    Raises:
        ValueError: there are no such weights, or no such encoder.
    """
    encoders = {name: encoder for name, network in networks.items() if (encoder := encoder_of(network)) is not None}
    if not encoders:
        for flag, value, default in (
            ("encoder_weights", config.encoder_weights, IMAGENET),
            ("freeze_encoder_steps", config.freeze_encoder_steps, 0),
        ):
            if value != default:
                raise ValueError(f"--{flag} {value} does nothing without --encoder lite0, resnet18 or vgg16: add one")
        return []
    if not fresh or config.encoder_weights == NONE:
        return []
    where = config.encoder_weights
    said = []
    for name, encoder in encoders.items():
        try:
            encoder.load_released(None if where == IMAGENET else Path(where))
        except ValueError as error:
            raise ValueError(
                f"--encoder_weights {where}: {error}; or give a file of them, or --encoder_weights none"
            ) from None
        said.append(f"{name}'s encoder starts from {_words(config)}.")
    return said


def frozen_encoders(
    family: Family, config: TrainConfig, networks: Mapping[str, nn.Module], *, step: int
) -> dict[str, list[nn.Parameter]]:
    """{phase: the weights of its networks' encoders} in the steps (from 0) in which these are kept; {} afterwards."""
    if step >= config.freeze_encoder_steps:
        return {}
    kept = {}
    for phase in family.phases:
        encoders = [encoder for name in phase.trains if (encoder := encoder_of(networks[name])) is not None]
        kept[phase.name] = [parameter for encoder in encoders for parameter in encoder.parameters()]
    return kept


def describe_encoder(config: TrainConfig, network: nn.Module) -> str:
    """For the card: "" where there is none."""
    encoder = encoder_of(network)
    if encoder is None:
        return ""
    begun = _words(config) if config.init_from is None else f"those of {shortened(config.init_from)}"
    kept = f", which the first {config.freeze_encoder_steps:,} steps kept" if config.freeze_encoder_steps else ""
    return f"started with {begun}{kept}"


def _words(config: TrainConfig) -> str:
    where = config.encoder_weights
    return {
        IMAGENET: "weights of ImageNet's classification", NONE: "random weights"
    }.get(where, f"the weights of {Path(where).name}")  # fmt: skip
