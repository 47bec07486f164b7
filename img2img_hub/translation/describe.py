"""A translator in one line.

python -m img2img_hub translate photo.jpg --model model_cards/facades-label2photo --output translated/
"""

import torch

from img2img_hub.networks import Generator
from img2img_hub.translation.settings import TranslationSettings


def describe(
    network: Generator, settings: TranslationSettings, *, device: torch.device, backend: str, dtype: str
) -> str:
    """Method, network, bands, scale, norm statistics, size of training, device."""
    size = f"{settings.working_size}×{settings.working_size}"
    norm = network.config.get("norm", "none")
    normalised = "no norm" if norm == "none" else f"{norm} norm"
    if norm == "batch":
        own = settings.norm_statistics == "image"
        normalised += " with each image's own statistics" if own else " with training's running averages"
    parts = [
        f"{settings.family} {type(network).__name__}".strip(),
        settings.describe_bands() + (f", {network.scale} times the size" if network.scale != 1 else ""),
        normalised,
        *([f"styles of {network.latent} numbers"] if network.latent else []),
        *([f"{network.styles} styles of each class"] if network.styles else []),
        f"trained at {size} · resize {settings.resize}" if settings.resizes else f"trained on crops of {size}",
        f"on {device}" + ("" if backend == "torch" else f" by {backend}"),
    ]
    parts[-1] += "" if dtype == "float32" else f" in {dtype}"
    return " · ".join(parts)
