"""The families of the package, as tests take them: all of them, each as small as it gets.

python -m pytest tests/test_training.py
"""

from pathlib import Path

import pytest
import torch
from PIL import Image

from img2img_hub.families import FAMILIES, Family
from img2img_hub.families.options import Architecture
from img2img_hub.objectives.vgg19 import PLACES

_TINY = {
    "cyclegan": {"pool_size": 2},
    "cut": {"head_width": 8},
    "fastcut": {"head_width": 8},
    "pix2pixhd": {"perceptual": "none"},
    "spade": {"perceptual": "none", "latent": 4},
    "srgan": {"perceptual": "none", "scale": 2, "discriminator": "patch"},
    "esrgan": {"perceptual": "none", "scale": 2, "discriminator": "patch"},
}
_SIDES = {"pix2pixhd": 32, "spade": 64, "srgan": 16, "esrgan": 16}
_SMALL = {
    "pix2pix": {"noise_channels": 1},
    "pix2pixhd": {"blocks": 1, "discriminator_scales": 1},
    "spade": {"hidden": 8},
    "srgan": {"blocks": 1},
    "esrgan": {"blocks": 1, "growth": 2},
    "inpaint": {"blocks": 1, "dilated": 1},
    "ccgan": {"levels": 3},
}

PACKAGED: list[type[Family]] = [
    family for _, family in sorted(FAMILIES.items()) if family.__module__.startswith("img2img_hub.")
]


def tiny(family: type[Family], **knobs) -> Family:
    return family(**(_TINY.get(family.name, {}) | knobs))


def of_pairs(family: Family) -> dict[str, bool]:
    """What a DataConfig says of the tests' files of two halves: pairs or, to methods that enlarge or fill, pictures."""
    return {"side_by_side": family.paired and getattr(family, "scale", 1) == 1 and not fills(family)}


def fills(family: Family) -> bool:
    return any(slot.kind == "hole" for slot in family.slots)


def mask_for(family: Family, image: Image.Image) -> Image.Image | None:
    """A hole to fill in an image, for methods that do that."""
    if not fills(family):
        return None
    mask = Image.new("1", image.size)
    mask.paste(1, (2, 3, 9, 8))
    return mask


def in_channels(family: Family, bands: int = 3) -> int:
    """What its generator reads of images of so many bands."""
    inputs = [slot for slot in family.slots if slot.name != "target" and not slot.training_only]
    return sum(1 if slot.kind == "hole" else bands for slot in inputs)


def smallest_size(family: Family) -> int:
    """Pixels a side that such networks take."""
    return _SIDES.get(family.name, 16)


def small(family: Family) -> Architecture:
    """Networks for them."""
    return Architecture(width=4, discriminator_layers=1, **_SMALL.get(family.name, {"blocks": 1}))


each_family = pytest.mark.parametrize("family", [tiny(family) for family in PACKAGED], ids=lambda family: family.name)


def tiny_vgg19(path: Path) -> Path:
    """A file of VGG19's tensors by torchvision's names, of a few channels with random weights, and a classifier."""
    generator = torch.Generator().manual_seed(1)
    state, inner = {}, 3
    for place in PLACES.values():
        state[f"features.{place}.weight"] = torch.randn(4, inner, 3, 3, generator=generator) / 3
        state[f"features.{place}.bias"] = torch.randn(4, generator=generator) / 4
        inner = 4
    state["classifier.0.weight"] = torch.zeros(2, 4)
    torch.save(state, path)
    return path
